package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"afterlive/internal/job"
)

// recordingOf is a message of a recording of its own.
func recordingOf(n int) []byte {
	return job.Task{Kind: job.Recording, Key: fmt.Sprintf("recordings/%d.flv", n)}.Body()
}

// A worker that looks in the wrong place gives up a few tasks, not all; one job that is
// not where it should be, or many now and then, stop nobody.
func TestAstray(t *testing.T) {
	missing := job.Permanent("no_recording", fmt.Errorf("stat: %w", fs.ErrNotExist))
	for _, tc := range []struct {
		name    string
		do      func(n int) error // the nth task
		message func(n int) []byte
		stops   bool
	}{
		{"nothing is where it should be", func(int) error { return missing }, recordingOf, true},
		{"wrong bucket", func(int) error { return job.Permanent("wrong_bucket", errors.New("elsewhere")) }, recordingOf, true},
		{"unknown profiles", func(int) error { return job.Permanent("no_profile", errors.New("nope")) }, recordingOf, true},
		{"every ninth task is done", func(n int) error { return map[bool]error{true: missing}[n%9 != 0] }, recordingOf, false},
		{"many chunks of one job whose plan is gone", func(int) error { return job.Permanent("no_plan", errors.New("gone")) },
			func(n int) []byte { return job.Task{Kind: job.Chunk, Job: "0123456789abcdef", Chunk: n}.Body() }, false},
		{"many bad recordings", func(int) error { return job.Permanent("not_flv", errors.New("text")) }, recordingOf, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				b := start(t, tc.message(0), func(context.Context, *bench) error { n++; return tc.do(n) })
				for i := range 29 {
					must(t, b.queue.Send(t.Context(), tc.message(i+1), 0))
				}
				time.Sleep(10 * time.Minute)
				if stopped := b.Healthy() != nil; stopped != tc.stops || stopped != (len(b.queue.bodies()) == 30-mostAstray) || !stopped && len(b.queue.bodies()) > 0 {
					t.Errorf("healthy: %v; %d tasks are left, %d were given up", b.Healthy(), len(b.queue.bodies()), len(b.failed.bodies()))
				}
				b.end(t)
			})
		})
	}
}

// A bucket that is gone is no fault of a task: it stays, as it was, and this worker takes
// no more. One that ends when all is done ends with the error.
func TestStoreIsGone(t *testing.T) {
	gone := errors.New("there is no such bucket")
	for _, once := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, chunkTask.Body(), func(context.Context, *bench) error { return fmt.Errorf("load plan: %w", gone) }, func(b *bench) {
				b.Lost = func(err error) bool { return errors.Is(err, gone) }
				if once {
					b.Idle = func(context.Context) (bool, error) { return len(b.queue.bodies()) == 0, nil }
				}
			})
			time.Sleep(10 * time.Minute)
			if err := b.Healthy(); !errors.Is(err, gone) || len(b.failed.bodies()) > 0 || fmt.Sprint(b.queue.bodies()) != fmt.Sprintf("[%s]", chunkTask.Body()) {
				t.Errorf("healthy: %v; left %q, failed %q", err, b.queue.bodies(), b.failed.bodies())
			}
			if once {
				if err := <-b.done; !errors.Is(err, gone) {
					t.Errorf("it ended with %v", err)
				}
				return
			}
			b.end(t)
		})
	}
}

// What is left cannot be counted for a while: the worker asks again, and ends when it can.
func TestIdleCountFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := 0
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error { return nil }, func(b *bench) {
			b.Idle = func(context.Context) (bool, error) {
				counts++
				if counts <= 3 {
					return false, errors.New("throttled")
				}
				return true, nil
			}
		})
		if err := <-b.done; err != nil || counts != 4 {
			t.Errorf("%v after %d counts", err, counts)
		}
	})
}

// Which tasks are no crash loop, since only their messages come back: those of parts,
// recordings and quality alike.
func TestDoneIsNotDeadly(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	tasks := []job.Task{smallTask, {Kind: job.Recording, Key: smallTask.Key}}
	wanted := func(want bool) {
		t.Helper()
		for _, task := range tasks {
			if done, err := p.Done(t.Context(), task); err != nil || done != want {
				t.Errorf("%s %s: done is %t, %v", task.Name(), task.Profile, done, err)
			}
		}
	}
	wanted(false)
	must(t, p.Do(t.Context(), smallTask, nil))
	plan := onlyPlan(t, store)
	tasks = []job.Task{smallTask, {Kind: job.Recording, Key: smallTask.Key, Profile: smallTask.Profile, ETag: plan.Recording.ETag}}
	wanted(true)
	tasks = []job.Task{
		{Kind: job.Chunk, Job: plan.Job}, {Kind: job.Quality, Job: plan.Job},
		{Kind: job.Quality, Job: "0123456789abcdef"}, {Kind: job.Recording, Key: "recordings/none.flv"},
	}
	wanted(false)
	drain(t, p, queue)
	store.put(plan.Key("quality.json"), []byte("{}"))
	tasks = tasks[:2]
	wanted(true)
}

// A recording whose message names no bucket is told, and noted, under the job that it is
// planned as.
func TestJobOfMessageWithoutBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := job.Task{Kind: job.Recording, Key: "recordings/a.flv", ETag: "e"}
		b := start(t, task.Body(), func(context.Context, *bench) error { return job.Permanent("not_flv", errors.New("text")) },
			func(b *bench) { b.Bucket = "recs" })
		time.Sleep(time.Second)
		b.end(t)
		want := job.ID("recs", task.Key, task.ETag, job.DefaultProfile)
		if f := b.failure(t); f.Job != want || string(f.Message) != string(task.Body()) {
			t.Errorf("failure of job %s with message %s, want %s", f.Job, f.Message, want)
		}
		o := Operator{Bucket: "recs", Store: operatorStore{newMemory()}}
		if f := o.read(t.Context(), []byte(b.failed.bodies()[0])); f.Job != want {
			t.Errorf("operators see job %s", f.Job)
		}
	})
}

// operatorStore can also delete, which nobody asks for here.
type operatorStore struct{ *memory }

func (operatorStore) Delete(context.Context, string) error { return errors.ErrUnsupported }

// A list that lags behind, however long, delays nothing: parts are asked for by name.
func TestListLags(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	store.lags = true
	must(t, queue.Send(t.Context(), smallTask.Body(), 0))
	drain(t, p, queue)
	must(t, queue.Send(t.Context(), smallTask.Body(), 0)) // parts that the list lacks are sent, and found done
	drain(t, p, queue)
	store.lags = false // who looks, lists
	checkPublished(t, store)
}

// What a newer program wrote is left to it: whoever meets it says so, and nothing is
// published over it.
func TestNewerDocuments(t *testing.T) {
	const pointer = "vod/live/talk/asset.json"
	for name, newer := range map[string]func(store *memory, id string){
		"plan":  func(store *memory, id string) { raise(store, "jobs/"+id+"/plan.json") },
		"part":  func(store *memory, id string) { raise(store, "jobs/"+id+"/parts/chunk-00000.json") },
		"asset": func(store *memory, _ string) { store.put(pointer, []byte(`{"v":2,"job":["of another form"]}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			p, store, queue := newSmall(t, smallRecording(t))
			must(t, p.Do(t.Context(), smallTask, nil))
			plan := onlyPlan(t, store)
			bodies := queue.bodies()
			for _, body := range bodies[:len(bodies)-1] {
				tasks, err := job.Parse([]byte(body))
				must(t, err)
				must(t, p.Do(t.Context(), tasks[0], nil))
			}
			newer(store, plan.Job)
			before := store.writes[pointer]
			last := job.Task{Kind: job.Chunk, Job: plan.Job, Chunk: len(plan.Chunks) - 1}
			for _, task := range []job.Task{last, smallTask} { // to do, and to repair
				if err := p.Do(t.Context(), task, nil); !errors.Is(err, errNewer) {
					t.Errorf("%s: %v", task.Name(), err)
				}
			}
			if store.writes[pointer] != before {
				t.Error("it is published")
			}
		})
	}
}

func raise(store *memory, key string) {
	body, _, err := store.get(key)
	if err != nil {
		panic(err)
	}
	store.put(key, regexp.MustCompile(`"v": \d+`).ReplaceAll(body, []byte(`"v": 99`)))
}

// The message of such a task is replaced by an identical one that waits for a while, as
// often as need be.
func TestNewerIsLeftToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error {
			if tries.Add(1) <= 3*maxFailures {
				return fmt.Errorf("load plan: %w", errNewer)
			}
			return nil // by a worker that understands it
		})
		began := time.Now()
		time.Sleep(30 * time.Second)
		if tries.Load() != 1 || fmt.Sprint(b.queue.bodies()) != fmt.Sprintf("[%s]", chunkTask.Body()) {
			t.Errorf("%d tries; %q waits", tries.Load(), b.queue.bodies())
		}
		time.Sleep(time.Hour)
		b.end(t)
		if len(b.queue.bodies())+len(b.failed.bodies()) > 0 || tries.Load() != 3*maxFailures+1 {
			t.Errorf("after %s and %d tries, left %q, failed %q", time.Since(began), tries.Load(), b.queue.bodies(), b.failed.bodies())
		}
	})
}
