package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// The source of these tests: 13 s, so two chunks, and audio.
var small = spec{rate: flv.Rate{Num: 25, Den: 1}, seconds: 13, gop: 2}

func smallRecording(t *testing.T) []byte {
	t.Helper()
	return once("small", func() []byte {
		body, err := os.ReadFile(small.make(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		return body
	})
}

var smallTask = job.Task{Version: job.Version, Kind: job.Recording, Key: "recordings/live/talk.flv", Profile: "stitch"}

func newSmall(t *testing.T, recording []byte) (*Pipeline, *testenv.Memory, *testenv.Messages) {
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(smallTask.Key, recording)
	return newPipeline(t, store, queue, fmt.Sprintf(stitchProfile, 6)), store, queue
}

// checkPublished checks that the store holds one complete result: what a reader
// can reach from the stable URL is there, and every part was written once.
func checkPublished(t *testing.T, store *testenv.Memory) {
	t.Helper()
	var pointer ladder.Asset
	body, _, err := store.Get("vod/live/talk/asset.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &pointer); err != nil {
		t.Fatal(err)
	}
	if problem := reachable(store, "vod/live/talk/master.m3u8"); problem != "" {
		t.Error(problem)
	}
	if pointer.Storyboard != "" {
		checkStoryboard(t, store, pointer)
	} else if len(pointer.Ladders[0].Renditions) > 0 {
		t.Error("there is video, and no storyboard")
	}
	for key, n := range store.Writes {
		if n != 1 && !isClaim(key) && key != catalog.NoteKey(pointer.Job) {
			t.Errorf("%s was written %d times", key, n)
		}
	}
	jobs, err := catalog.Of(t.Context(), store, "live/talk")
	if err != nil || len(jobs) != 1 || jobs[0].State != catalog.Published || jobs[0].Job != pointer.Job || jobs[0].Done != jobs[0].Parts {
		t.Errorf("jobs %+v, %v", jobs, err)
	}
}

// isClaim tells what is written again and again, and means nothing.
func isClaim(key string) bool {
	return strings.Contains(key, "/claims/") || strings.HasSuffix(key, "/dispatch.json")
}

// expire ends all claims: their time is over. What else is noted beside them stays.
func expire(t *testing.T, store *testenv.Memory) {
	t.Helper()
	for key, body := range maps.Clone(store.Objects) {
		if !isClaim(key) {
			continue
		}
		var c map[string]json.RawMessage
		must(t, json.Unmarshal(body, &c))
		c["until"] = json.RawMessage(`"2001-01-01T00:00:00Z"`)
		body, err := json.Marshal(c)
		must(t, err)
		store.Put(key, body)
	}
}

// reachable follows a playlist, and says what is missing.
func reachable(store *testenv.Memory, key string) string {
	body, _, err := store.Get(key)
	if err != nil {
		return err.Error()
	}
	gap := false
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		gap = gap || line == "#EXT-X-GAP"
		if gap && !strings.HasPrefix(line, "#") {
			gap = false
			continue
		}
		if _, after, ok := strings.Cut(line, `URI="`); ok {
			line, _, _ = strings.Cut(after, `"`)
		} else if line == "" || line[0] == '#' {
			continue
		}
		next := path.Join(path.Dir(key), line)
		if path.Ext(next) == ".m3u8" {
			if problem := reachable(store, next); problem != "" {
				return problem
			}
		} else if _, _, err := store.Get(next); err != nil {
			return fmt.Sprintf("%s names what isn't there: %v", key, err)
		}
	}
	return ""
}

func parts(store *testenv.Memory) map[string]string {
	out := map[string]string{}
	for key, body := range store.Objects {
		if strings.Contains(key, "/parts/") {
			out[path.Base(key)] = string(body)
		}
	}
	return out
}

// What others left under the output's prefix, or an attempt that died, stays as it is
// and is named by nobody.
func TestForeignObjects(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	must(t, queue.Send(t.Context(), smallTask.Body(), 0))
	id := job.ID("", smallTask.Key, store.ETag(smallTask.Key), smallTask.Profile)
	foreign := map[string]string{
		"vod/live/talk/" + id + "/flat/48p/s00000-deadbeef.m4s":                     "half a segment",
		"vod/live/talk/" + id + "/flat/48p/notes.txt":                               "mine",
		"vod/live/talk/" + id + "/hd/fedcba9876543210/flat/48p/s00000-deadbeef.m4s": "of an asset below this name",
		"vod/live/talk/thumb.jpg":                                                   "mine",
	}
	for key, body := range foreign {
		store.Put(key, []byte(body))
	}
	drain(t, p, queue)
	checkPublished(t, store)
	for key, body := range foreign {
		if now, _, err := store.Get(key); err != nil || string(now) != body {
			t.Errorf("%s is %q, %v", key, now, err)
		}
		for name, list := range store.Objects {
			if path.Ext(name) == ".m3u8" && strings.Contains(string(list), path.Base(key)) {
				t.Errorf("%s names %s", name, key)
			}
		}
	}
	garbage, err := operate.Garbage(t.Context(), store, id)
	if err != nil || len(garbage) != 1 || !strings.HasSuffix(garbage[0], "s00000-deadbeef.m4s") {
		t.Errorf("garbage %q, %v", garbage, err)
	}
}

// Doing everything twice is doing it once.
func TestDoingItAgain(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	for range 3 {
		if err := queue.Send(t.Context(), smallTask.Body(), 0); err != nil {
			t.Fatal(err)
		}
		drain(t, p, queue)
		checkPublished(t, store)
	}
}

// left tells whether a task is with another worker.
func left(err error) bool {
	_, ok := job.LeaveFor(err)
	return ok
}

// Five deliveries of every message at once end in one result.
func TestConcurrentDeliveries(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	all := func(task job.Task) {
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := p.Do(t.Context(), task, nil); err != nil && !left(err) {
					t.Errorf("%s: %v", task.Name(), err)
				}
			})
		}
		wg.Wait()
		must(t, p.Do(t.Context(), task, nil)) // one of those that have waited for the claim's end
	}
	all(smallTask)
	bodies := queue.Bodies()
	if len(bodies) != 2 {
		t.Errorf("%d messages of 6 deliveries, for 2 parts: %q", len(bodies), bodies)
	}
	for _, body := range bodies {
		tasks, err := job.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		all(tasks[0])
	}
	checkPublished(t, store)
	attempts := map[string]bool{}
	for key := range store.Objects {
		if name, ok := strings.CutSuffix(path.Base(key), ".m4s"); ok {
			attempts[name[strings.LastIndex(name, "-"):]] = true
		}
	}
	if len(attempts) != len(bodies) {
		t.Errorf("%d attempts at %d chunks", len(attempts), len(bodies))
	}
}

// Wherever a worker dies, a reader sees nothing or a complete result, and the
// next worker finishes with the parts that were there.
func TestCrashAtEveryStoreOperation(t *testing.T) {
	testenv.InTurn(t)
	mediaHeavy(t)
	recording := smallRecording(t)
	operations := dying(t, recording, math.MaxInt)
	if operations < 40 {
		t.Errorf("only %d places to crash at", operations)
	}
	t.Logf("crashes at each of %d store operations", operations)
	for at := range operations {
		if !chosen(at, 8) {
			continue
		}
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			dying(t, recording, at)
		})
	}
}

// dying does a recording with a worker that dies after so many operations on the store,
// and then with another. It returns how many operations the first one has tried.
func dying(t *testing.T, recording []byte, at int) (operations int) {
	t.Helper()
	crash := errors.New("crash")
	p, store, queue := newSmall(t, recording)
	var mu sync.Mutex
	store.Before = func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		operations++
		if operations > at {
			return crash // and everything after it: the worker is dead
		}
		return nil
	}
	must(t, queue.Send(t.Context(), smallTask.Body(), 0))
	for d := queue.Take(time.Hour); d != nil; d = queue.Take(time.Hour) {
		tasks, err := job.Parse(d.Body)
		must(t, err)
		if err := p.Do(t.Context(), tasks[0], nil); err != nil {
			if operations <= at {
				t.Fatal(err)
			}
			break
		}
		must(t, queue.Delete(t.Context(), d.Receipt))
	}
	if _, _, err := store.Get("vod/live/talk/master.m3u8"); err == nil {
		if problem := reachable(store, "vod/live/talk/master.m3u8"); problem != "" {
			t.Fatalf("crash at operation %d: %s", at, problem)
		}
	}
	before := parts(store)
	store.Before = nil
	queue.Expire() // the dead worker's lease ends
	expire(t, store)
	drain(t, p, queue)
	checkPublished(t, store)
	after := parts(store)
	for name, body := range before {
		if after[name] != body {
			t.Errorf("crash at operation %d: %s was made again", at, name)
		}
	}
	return operations
}

// Whichever operation on the store fails once, what is noted of the rest is true: the task that failed is tried again, and all is published.
func TestEachStoreOperationFailsOnce(t *testing.T) {
	testenv.InTurn(t)
	mediaHeavy(t)
	recording := smallRecording(t)
	for at := range 60 { // the first of them plan and divide, where most is noted
		if !chosen(at, 4) {
			continue
		}
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			p, store, queue := newSmall(t, recording)
			var operations atomic.Int64
			store.Before = func(op, key string) error {
				if operations.Add(1) == int64(at)+1 {
					t.Logf("%s %s fails", op, key)
					return errors.New("503 slow down")
				}
				return nil
			}
			must(t, queue.Send(t.Context(), smallTask.Body(), 0))
			for d, failed := queue.Take(time.Hour), 0; d != nil; d = queue.Take(time.Hour) {
				tasks, err := job.Parse(d.Body)
				must(t, err)
				if err := p.Do(t.Context(), tasks[0], nil); err != nil {
					failed++
					if failed > 3 {
						t.Fatalf("%s still fails: %v", tasks[0].Name(), err)
					}
					expire(t, store)
					must(t, queue.Send(t.Context(), d.Body, 0))
				}
				must(t, queue.Delete(t.Context(), d.Receipt))
			}
			checkPublished(t, store)
		})
	}
}

// An upload that fails while ffmpeg is just ending is a failed task, and nothing
// is published without it.
func TestUploadFailsAsFFmpegEnds(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	p.Profiles["stitch"] = onlyProfile(t, fmt.Sprintf(stitchProfile, 12))
	// It has written the second segment of a chunk, and ends while the first is on its way.
	dir := t.TempDir()
	must(t, unix.Mkfifo(dir+"/uploading", 0o600))
	p.FFmpeg = script(t, `echo $$ > `+dir+`/pid; ffmpeg "$@" && read -r < `+dir+`/uploading`)
	broken := errors.New("503 slow down")
	failed := false
	var mu sync.Mutex
	store.Before = func(op, key string) error {
		mu.Lock()
		defer mu.Unlock()
		if op == "write" && strings.HasSuffix(key, ".m4s") && !failed {
			failed = true
			if err := errors.Join(os.WriteFile(dir+"/uploading", []byte("yes\n"), 0o600), testenv.Gone(dir+"/pid")); err != nil {
				t.Error(err)
			}
			return broken
		}
		return nil
	}
	if err := p.Do(t.Context(), smallTask, nil); err != nil {
		t.Fatal(err)
	}
	tasks, err := job.Parse(queue.Take(time.Hour).Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), tasks[0], nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if len(parts(store)) > 0 {
		t.Error("the part was committed without its segment")
	}
}

func onlyProfile(t *testing.T, text string) ladder.Profile {
	t.Helper()
	all, err := ladder.ParseProfiles([]byte(text))
	must(t, err)
	return all["stitch"]
}

// A recording that was made again, and a job planned earlier that comes in late.
func TestNewerJobWins(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	if err := p.Do(t.Context(), smallTask, nil); err != nil { // planned first
		t.Fatal(err)
	}
	late := queue.Clear()
	store.Put(smallTask.Key, smallRecording(t)) // a new version
	if err := p.Do(t.Context(), smallTask, nil); err != nil {
		t.Fatal(err)
	}
	drain(t, p, queue)
	first, _, err := store.Get("vod/live/talk/master.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	// The first job's source is gone: its parts cannot be made from another version.
	tasks, err := job.Parse([]byte(late[0]))
	if err != nil {
		t.Fatal(err)
	}
	err = p.Do(t.Context(), tasks[0], nil)
	if reason, final := job.Verdict(err); !final || reason != "no_recording" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part from a replaced recording: %v", err)
	}
	again, _, err := store.Get("vod/live/talk/master.m3u8")
	if err != nil || !bytes.Equal(again, first) {
		t.Errorf("the asset changed: %v", err)
	}
}

// A job that comes in late leaves the asset as it is; an operator may turn it back, and
// then it stays so, until something newer is planned.
func TestPointerIsNotTurnedBack(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	with := func(profile string) *ladder.Job {
		t.Helper()
		task := smallTask
		task.Profile = profile
		must(t, queue.Send(t.Context(), task.Body(), 0))
		drain(t, p, queue)
		return wholeJob(t, store, job.ID("", task.Key, store.ETag(task.Key), profile))
	}
	wants := func(when string, want *ladder.Job, others ...*ladder.Job) {
		t.Helper()
		for _, plan := range append(others, want) {
			state := map[bool]catalog.State{true: catalog.Published, false: catalog.Superseded}[plan == want]
			if s, err := catalog.Look(t.Context(), store, plan.Job); err != nil || s.State != state || s.Published != want.Job {
				t.Errorf("%s: %s is %s, of %s: %v", when, plan.Profile, s.State, s.Published, err)
			}
		}
		master, _, err := store.Get("vod/live/talk/master.m3u8")
		if err != nil || !strings.Contains(string(master), want.Job) {
			t.Errorf("%s: the stable playlist is not that of %s: %v", when, want.Profile, err)
		}
		if problem := reachable(store, "vod/live/talk/master.m3u8"); problem != "" {
			t.Errorf("%s: %s", when, problem)
		}
	}
	older, newer := with("stitch"), with("flat")
	wants("planned later", newer, older)
	with("stitch")
	wants("sent again", newer, older)
	must(t, p.goOn(t.Context(), older.Plan, nil))
	wants("an earlier job comes in late", newer, older)

	_, asset, err := PublishAgain(t.Context(), store, older.Job)
	if err != nil || asset.Job != older.Job || asset.Chosen.IsZero() {
		t.Fatalf("published %+v, %v", asset, err)
	}
	wants("an operator chose the earlier", older, newer)
	with("flat")
	must(t, p.goOn(t.Context(), newer.Plan, nil))
	wants("what was planned before the choice comes again", older, newer)
	newest := with("auto")
	wants("planned after the choice", newest, older, newer)

	for name, id := range map[string]string{"no job": "0123456789abcdef", "no name of a job": "live/talk"} {
		if _, _, err := PublishAgain(t.Context(), store, id); err == nil || !strings.Contains(err.Error(), "there is no job") {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, store.Delete(t.Context(), ladder.PartKey(older.Job, ladder.ChunkPart(0))))
	if _, _, err := PublishAgain(t.Context(), store, older.Job); err == nil || !strings.Contains(err.Error(), "1 of its 2 parts") {
		t.Errorf("a job that lacks a part: %v", err)
	}
}
