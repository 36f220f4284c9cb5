package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// sender puts a message on a queue.
type sender interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// Operators see what failed, repair it, and give it up: alike in a folder and on
// SQS and S3.
func TestFailedTasks(t *testing.T) {
	testenv.InTurn(t)
	t.Run("folder", func(t *testing.T) {
		alongside(t)
		data := t.TempDir()
		operators(t, []string{"--data", data}, func(t *testing.T) sender { return folderQueue(t, data, "failed") })
	})
	t.Run("SQS", func(t *testing.T) {
		alongside(t)
		cloud := testenv.Start(t)
		cloud.Bucket(t, "recs", false)
		cloud.Bucket(t, "vod", true)
		failed := cloud.Queue(t, "failed")
		place := []string{"--queue", cloud.Queue(t, "tasks"), "--failed", failed, "--recordings", "s3://recs", "--store", "s3://vod"}
		operators(t, place, func(*testing.T) sender { return queue.NewSQS(cloud.Config, failed, time.Second) })
	})
}

func folderQueue(t *testing.T, data, name string) *queue.SQLite {
	t.Helper()
	db, err := queue.OpenDB(t.Context(), filepath.Join(data, "queue.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return queue.NewSQLite(db, name, 0)
}

func operators(t *testing.T, place []string, failed func(*testing.T) sender) {
	run := func(command string, args ...string) string {
		t.Helper()
		return enqueue(t, append(append([]string{command}, args...), place...)...)
	}
	startWorker(t, place...)
	work := func() {
		t.Helper()
		eventually(t, patience, "all is done", func() bool { q := status(t, place...).Queue; return q.Waiting+q.InFlight == 0 })
	}
	count := func(want int) {
		t.Helper()
		eventually(t, patience, fmt.Sprintf("%d tasks are in the failed queue", want), func() bool { return status(t, place...).Failed == want })
	}
	if out := run("failed"); !strings.Contains(out, "no task has failed") {
		t.Errorf("failed says:\n%s", out)
	}
	dir := t.TempDir()
	run("send", "--force", "--as", "diary", writeFile(t, filepath.Join(dir, "diary.flv"), "Dear diary,\ntoday I was streamed.\n"))
	talk := source(t, "320x180", 25, 14)
	eventually(t, patience, "the worker has said which profiles it knows", func() bool {
		out, err := commandError(t.Context(), t, "enqueue", append([]string{"send", "--as", "refused", "--profile", "future", talk}, place...)...)
		return err != nil && strings.Contains(out, `no worker knows the profile "future": they know auto, `)
	})
	run("send", "--force", "--as", "talk", "--profile", "future", talk)
	work()
	count(2)

	out := run("failed")
	if !strings.Contains(out, "not_flv") || !strings.Contains(out, "no_profile") || !strings.Contains(out, "diary") || strings.Count(out, "permanent") != 2 {
		t.Errorf("failed says:\n%s", out)
	}
	if out := run("failed", "diary"); !strings.Contains(out, `starts with "Dear"`) || !strings.Contains(out, "enqueue replay ") || strings.Contains(out, "no_profile") {
		t.Errorf("failed diary says:\n%s", out)
	}
	var f job.Failure
	if out := run("failed", "--json", "--reason", "no_profile"); json.Unmarshal([]byte(out), &f) != nil || f.Reason != "no_profile" || f.Job == "" {
		t.Errorf("failed --json says:\n%s", out)
	}
	if said, err := commandError(t.Context(), t, "enqueue", append([]string{"replay"}, place...)...); err == nil || !strings.Contains(said, "say which") {
		t.Errorf("replay of nothing in particular: %v, %s", err, said)
	}
	if out := run("replay", "--all", "--dry-run"); strings.Count(out, "would be replayed") != 2 {
		t.Errorf("replay --dry-run says:\n%s", out)
	}
	count(2) // looking changes nothing

	if out := run("replay", "talk", "--profile", "quick"); !strings.Contains(out, "1 tasks") {
		t.Errorf("replay says:\n%s", out)
	}
	work()
	r := status(t, append(place, "talk")...)
	if len(r.Jobs) == 0 || r.Jobs[len(r.Jobs)-1].State != "published" || r.Failed != 1 {
		t.Fatalf("status %+v", r)
	}

	// What SQS's own redrive policy moves is a task as it was, not a failure.
	var asset struct {
		Job string `json:"job"`
	}
	for _, task := range []job.Task{{Kind: job.Chunk}, {Kind: job.Chunk, Chunk: 1}} {
		task.Job = publishedJob(t, place, "talk")
		asset.Job = task.Job
		must(t, failed(t).Send(t.Context(), task.Body(), 0))
	}
	count(3)
	if out := run("failed", asset.Job); !strings.Contains(out, "redriven") || !strings.Contains(out, "enqueue input "+asset.Job+" chunk-00001 --") {
		t.Errorf("failed says:\n%s", out)
	}
	if out := enqueue(t, append([]string{"input", asset.Job, "chunk-00001"}, place...)...); !strings.HasPrefix(out, "FLV") {
		t.Errorf("input starts with %q", out[:min(len(out), 20)])
	}
	if out := run("drop", "--reason", "not_flv"); !strings.Contains(out, "1 tasks") {
		t.Errorf("drop says:\n%s", out)
	}
	for _, j := range status(t, place...).Jobs {
		if j.Asset == "diary" && (j.State != "dropped" || j.Reason != "not_flv") {
			t.Errorf("what was dropped is told as %+v", j)
		}
	}
	run("replay", "--all", "--rate", "20")
	work()
	count(0)
}

// publishedJob is the job that an asset is.
func publishedJob(t *testing.T, place []string, asset string) string {
	t.Helper()
	for line := range strings.Lines(enqueue(t, append([]string{"status", asset}, place...)...)) {
		if strings.Contains(line, "published") {
			_, id, _ := strings.Cut(line, "  job ")
			return strings.Fields(id)[0]
		}
	}
	t.Fatalf("%s isn't published", asset)
	return ""
}

// A thousand failed messages: of a job that is published by now, of parts that are
// missing, of recordings that nobody can do. All are handled and none is lost; what
// is done is found so without encoding.
func TestReplayThousand(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data := t.TempDir()
	recording := source(t, "320x180", 25, 14)
	var ids []string
	for _, name := range []string{"talk", "gone"} {
		enqueue(t, "send", "--data", data, "--as", name, "--profile", "quick", recording)
		startWorker(t, "--data", data, "--exit-when-idle").finish(t)
		ids = append(ids, publishedJob(t, []string{"--data", data}, name))
	}
	for _, part := range []string{"chunk-00000", "chunk-00001"} {
		must(t, os.Remove(data+"/jobs/"+ids[1]+"/parts/"+part+".json"))
	}
	writeFile(t, data+"/recordings/text.flv", "no recording")
	failed := folderQueue(t, data, "failed")
	bad := 0
	for n := range 1000 {
		task := job.Task{Kind: job.Chunk, Job: ids[0], Chunk: n % 2, Failures: 5}
		switch n % 20 {
		case 7:
			task.Job, task.Chunk = ids[1], 0
		case 8:
			task.Job, task.Chunk = ids[1], 1
		case 9:
			bad++
			task = job.Task{Kind: job.Recording, Key: "recordings/text.flv", Profile: "flat"}
		}
		f := job.Failure{Version: 1, Class: "transient", Reason: "ffmpeg_failed", Job: task.Job, Task: task.Name(), Message: task.Body(), Time: time.Unix(int64(n), 0)}
		body, err := json.Marshal(f)
		must(t, err)
		must(t, failed.Send(t.Context(), body, 0))
	}
	before := files(t, data+"/vod/talk")
	workers := []*worker{startWorker(t, "--data", data, "--slots", "2")} // they work while it is sent
	began := time.Now()
	if out := enqueue(t, "replay", "--data", data, "--all"); !strings.Contains(out, "\n1000 tasks\n") {
		t.Errorf("replay says:\n%s", out[max(0, len(out)-300):])
	}
	sent := time.Since(began)
	workers = append(workers, startWorker(t, "--data", data, "--exit-when-idle", "--slots", "2"))
	workers[1].finish(t)
	terminate(t, workers[0], syscall.SIGTERM)
	workers[0].finish(t)
	log := workers[0].output(t) + workers[1].output(t)
	done, duplicate := strings.Count(log, `"outcome":"done"`), strings.Count(log, `"outcome":"duplicate"`)
	again, made := strings.Count(log, `"outcome":"failed"`), strings.Count(log, `"first":true`)
	if done+duplicate != 1000-bad || again != bad || made != 2 || strings.Count(log, `"part begun"`) > 4 {
		t.Errorf("%d done, %d duplicates, %d failed, %d parts were made", done, duplicate, again, made)
	}
	if r := status(t, "--data", data); r.Failed != bad || r.Queue.Waiting+r.Queue.InFlight > 0 {
		t.Errorf("status %+v", r)
	}
	if after := files(t, data+"/vod/talk"); len(after) != len(before) {
		t.Errorf("%d files were published, now %d", len(before), len(after))
	}
	t.Logf("1,000 replayed in %s, settled in %s: %d done, %d duplicates, %d failed again", sent.Round(time.Millisecond), (time.Since(began) - sent).Round(time.Millisecond), done, duplicate, again)
}

// Segments that no part names are removed, and nothing else.
func TestGarbage(t *testing.T) {
	alongside(t)
	data := t.TempDir()
	enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "quick", source(t, "320x180", 25, 14))
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	id := publishedJob(t, []string{"--data", data}, "talk")
	before := files(t, data+"/vod")
	lost := data + "/vod/talk/" + id + "/flat/180p/s00001-lostlost.m4s"
	writeFile(t, lost, "left by a worker that died")
	if out := enqueue(t, "gc", "--data", data, "--dry-run"); !strings.Contains(out, "s00001-lostlost.m4s\n1 segments") {
		t.Errorf("gc --dry-run says:\n%s", out)
	}
	if _, err := os.Stat(lost); err != nil {
		t.Errorf("a dry run removes: %v", err)
	}
	enqueue(t, "gc", "--data", data)
	if after := files(t, data+"/vod"); len(after) != len(before) {
		t.Errorf("%d files are left of %d", len(after), len(before))
	}
	checkHLS(t, data+"/vod/talk/master.m3u8", 14, []string{"320x180", "160x90"})
}

// A recording is published anew with another profile, and then its earlier result is
// brought back.
func TestEarlierResult(t *testing.T) {
	alongside(t)
	data := t.TempDir()
	place := []string{"--data", data}
	recording := source(t, "320x180", 25, 4)
	send := func(profile string) string {
		t.Helper()
		out := enqueue(t, "send", "--data", data, "--as", "live/a talk", "--profile", profile, recording)
		startWorker(t, "--data", data, "--exit-when-idle").finish(t)
		return out
	}
	is := func(job string) {
		t.Helper()
		if got := publishedJob(t, place, "live/a talk"); got != job {
			t.Errorf("%s is published, want %s", got, job)
		}
		if master, err := os.ReadFile(data + "/vod/live/a talk/master.m3u8"); err != nil || !strings.Contains(string(master), job) {
			t.Errorf("the stable playlist: %v\n%s", err, master)
		}
	}
	send("quick")
	first := publishedJob(t, place, "live/a talk")
	send("flat")
	second := publishedJob(t, place, "live/a talk")
	if first == second {
		t.Fatal("the second profile is not published")
	}
	if out := send("quick"); !strings.Contains(out, "superseded by job "+second+"; to bring it back: enqueue publish "+first) {
		t.Errorf("sent again, it says:\n%s", out)
	}
	is(second)
	if out := enqueue(t, "publish", first, "--data", data); !strings.Contains(out, "/vod/live/a%20talk/master.m3u8") {
		t.Errorf("publish says:\n%s", out)
	}
	is(first)
	send("flat") // it was planned before the choice
	is(first)
	if out := enqueue(t, "status", second, "--data", data); !strings.Contains(out, "superseded") || !strings.Contains(out, "by "+first) {
		t.Errorf("status says:\n%s", out)
	}
	if said, err := commandError(t.Context(), t, "enqueue", "publish", "0123456789abcdef", "--data", data); err == nil || !strings.Contains(said, "there is no job") {
		t.Errorf("publish of nothing: %v, %s", err, said)
	}
}
