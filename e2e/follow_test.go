package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// follower is a running "enqueue follow".
type follower struct {
	*exec.Cmd
	log string
}

func startFollow(t *testing.T, args ...string) *follower {
	t.Helper()
	return startFollowIn(t, nil, args...)
}

// startFollowIn starts one in a network namespace, or here.
func startFollowIn(t *testing.T, home *netns, args ...string) *follower {
	t.Helper()
	f := &follower{log: filepath.Join(t.TempDir(), "follow.log")}
	f.Cmd = exec.Command(filepath.Join(bin, "enqueue"), append([]string{"follow", "--log-file", f.log}, args...)...)
	f.Env = testenv.Environ(t)
	home.inside(f.Cmd)
	must(t, f.Start())
	t.Cleanup(func() {
		f.kill()
		if log, err := os.ReadFile(f.log); err == nil && t.Failed() {
			t.Logf("follow:\n%s", log)
		}
	})
	return f
}

func (f *follower) kill() {
	_ = f.Process.Kill() // it may have ended
	_ = f.Wait()
}

// pointer is what the asset's pointer says; ok is false if there is none.
func pointer(t *testing.T, url string) (a ladder.Asset, ok bool) {
	t.Helper()
	body, _ := get(t, url)
	return a, body != "" && json.Unmarshal([]byte(body), &a) == nil
}

// onDemand is what the asset's pointer says once its stable playlist is that of the video on demand, too.
func onDemand(t *testing.T, asset string) (a ladder.Asset, ok bool) {
	t.Helper()
	master, _ := get(t, asset+ladder.MasterFile)
	a, ok = pointer(t, asset+ladder.PointerFile)
	return a, ok && !a.Live && strings.Contains(master, "/"+ladder.MediaPlaylistFile)
}

// A stream is followed, by a process that is killed on the way: it can be watched from its start while it is live,
// and is on demand soon after its end. Each chunk has one message and is encoded once, though the hook
// tells of the recording too, and in the end the store has the recording as one object.
func TestStreamIsFollowed(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	s := newSky(t)
	o := startOrigin(t, fmt.Sprintf("queue: %s\nfailed: %s\nrecordings: s3://recs\nstore: s3://vod\n", s.place[1], s.place[3]))
	follow := append([]string{"--every", "2s", o.dir + "/rec"}, s.place...)
	first := startFollow(t, follow...)
	w := startWorker(t, append([]string{"--slots", "2"}, s.place...)...)
	const seconds = 62
	stream := publish(t, o, "talk", seconds)
	var name string
	eventually(t, patience, "it is recorded", func() bool {
		files, err := filepath.Glob(o.dir + "/rec/talk-*.flv")
		if err == nil && len(files) == 1 {
			name = strings.TrimSuffix(filepath.Base(files[0]), ".flv")
		}
		return name != ""
	})
	asset := s.cloud.Endpoint + "/vod/vod/live/talk/" + name + "/"
	var event ladder.Asset
	eventually(t, patience, "it can be watched", func() bool { body, _ := get(t, asset+ladder.MasterFile); return body != "" })
	event, _ = pointer(t, asset+ladder.PointerFile)
	if !event.Live || event.Duration < 36 || stream.ProcessState != nil {
		t.Errorf("while it is live: %+v", event)
	}
	keepsTheRules(t, asset+ladder.MasterFile)
	first.kill()
	startFollow(t, follow...)
	must(t, stream.Wait())
	ended := time.Now()
	var whole ladder.Asset
	eventually(t, patience, "it is on demand", func() (ok bool) { whole, ok = onDemand(t, asset); return ok })
	t.Logf("on demand %.1f s after the end; it could be watched from %.1f s on", time.Since(ended).Seconds(), event.Duration)
	if whole.Job != event.Job || math.Abs(whole.Duration-seconds) > 0.2 {
		t.Errorf("in the end: %+v", whole)
	}
	checkHLS(t, asset+ladder.MasterFile, whole.Duration, []string{"320x180"})
	list, _ := get(t, asset+event.Ladders[0].Renditions[0].MediaList)
	if !strings.Contains(list, "#EXT-X-ENDLIST") {
		t.Errorf("the event has not ended:\n%s", list)
	}
	key := "recordings/live/talk/" + name + ".flv"
	recordings := blob.NewS3(s.cloud.Config, "recs", "")
	eventually(t, patience, "the recording is one object", func() bool {
		left, err := recordings.List(t.Context(), key+".growing/")
		must(t, err)
		_, _, err = recordings.Stat(t.Context(), key)
		return err == nil && len(left) == 1
	})
	if left, err := filepath.Glob(o.dir + "/rec/*.flv"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	log, err := os.Stat(o.dir + "/hook.log")
	if err != nil || log.Mode().Perm()&0o022 != 0 { // nginx starts hooks without a umask
		t.Errorf("anybody may write to the hook's log: %v, %v", log, err)
	}
	s.tellAgain(t, key)
	eventually(t, patience, "all messages are done with", func() bool {
		r := status(t, s.place...)
		return r.Queue.Waiting+r.Queue.InFlight == 0 && len(r.Jobs) == 1
	})
	begun, chunks := map[string]int{}, 0
	for _, e := range w.events(t) {
		if e.Message == "part begun" {
			begun[e.Task]++
		}
		if e.Message == "task settled" && strings.HasPrefix(e.Task, "chunk-") {
			chunks++
		}
	}
	encodes := 0
	for _, n := range begun {
		encodes += n
	}
	parts := status(t, s.place...).Jobs[0].Parts
	t.Logf("%d parts, %d encodes, %d messages, and %d that came again", parts, encodes, chunks-redelivered, redelivered)
	if parts < 9 || len(begun) != parts || float64(encodes) > 1.02*float64(parts) || float64(chunks-redelivered) > 1.05*float64(parts) {
		t.Errorf("%d parts: begun %v, %d messages", parts, begun, chunks)
	}
}

const redelivered = 2

// tellAgain delivers all that was said of a recording once more, and lets the bucket notify of it, twice.
func (s *sky) tellAgain(t *testing.T, key string) {
	t.Helper()
	_, etag, err := blob.NewS3(s.cloud.Config, "recs", "").Stat(t.Context(), key)
	must(t, err)
	notification := fmt.Sprintf(`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"recs"},"object":{"key":%q,"eTag":%q}}}]}`, key, etag)
	plans := blob.NewS3(s.cloud.Config, "vod", "")
	all, err := plans.List(t.Context(), "jobs/")
	must(t, err)
	var plan ladder.Plan
	for _, name := range all {
		if path.Base(name) == "plan.json" {
			body, _, err := plans.Load(t.Context(), name)
			must(t, errors.Join(err, json.Unmarshal(body, &plan)))
		}
	}
	looked := job.Task{Kind: job.Recording, Bucket: "recs", Key: key, ETag: plan.Recording.ETag, Profile: "auto"}
	hooked := looked
	hooked.ETag = etag
	direct := queue.NewSQS(s.strict.Config(), "http://strict/tasks", 0)
	for range redelivered {
		for _, body := range [][]byte{looked.Body(), hooked.Body(), []byte(notification), job.Task{Kind: job.Chunk, Job: plan.Job, Chunk: 3}.Body()} {
			must(t, direct.Send(t.Context(), body, 0))
		}
	}
}

// The recorder and its disk are gone for good: what was shipped is on demand once an operator says so, and not while it
// may still grow.
func TestRecorderIsGone(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	s := newSky(t)
	rec := t.TempDir()
	body, err := os.ReadFile(source(t, "160x90", fps, 24))
	must(t, err)
	file, err := os.Create(filepath.Join(rec, "talk-1.flv"))
	must(t, err)
	_, err = file.Write(body[:len(body)*9/10])
	must(t, err)
	f := startFollow(t, append([]string{"--every", "1s", rec}, s.place...)...)
	recordings := blob.NewS3(s.cloud.Config, "recs", "")
	const key = "recordings/live/talk-1/talk-1.flv"
	const told = key + ".growing/index.json"
	var state map[string]any
	eventually(t, patience, "its head is shipped", func() bool {
		now, _, err := recordings.Load(t.Context(), told)
		return err == nil && json.Unmarshal(now, &state) == nil && state["index"] != nil
	})
	f.kill()
	must(t, errors.Join(file.Close(), os.RemoveAll(rec)))
	send := append([]string{"send", "s3://recs/" + key}, s.place...)
	if out, err := commandError(t.Context(), t, "enqueue", send...); err == nil || !strings.Contains(out, "grows: something came") {
		t.Errorf("it was ended while it may grow: %v: %s", err, out)
	}
	now, etag, err := recordings.Load(t.Context(), told)
	must(t, errors.Join(err, json.Unmarshal(now, &state)))
	state["told"] = time.Now().Add(-time.Hour)
	now, err = json.Marshal(state)
	must(t, errors.Join(err, recordings.Write(t.Context(), told, now, etag)))
	enqueue(t, send...)
	w := startWorker(t, s.place...)
	asset := s.cloud.Endpoint + "/vod/vod/live/talk-1/talk-1/"
	var whole ladder.Asset
	eventually(t, patience, "it is on demand", func() (ok bool) {
		whole, ok = onDemand(t, asset)
		return ok
	})
	if whole.Duration < 12 || whole.Duration > 24*0.95 {
		t.Errorf("%+v", whole)
	}
	keepsTheRules(t, asset+ladder.MasterFile)
	if w.ProcessState != nil {
		t.Error("the worker has ended")
	}
}
