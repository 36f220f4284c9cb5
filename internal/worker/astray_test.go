package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
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
				if stopped := b.Healthy() != nil; stopped != tc.stops || stopped != (len(b.queue.Bodies()) == 30-maxAstray) || !stopped && len(b.queue.Bodies()) > 0 {
					t.Errorf("healthy: %v; %d tasks are left, %d were given up", b.Healthy(), len(b.queue.Bodies()), len(b.failed.Bodies()))
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
					b.Idle = func(context.Context) (bool, error) { return len(b.queue.Bodies()) == 0, nil }
				}
			})
			time.Sleep(10 * time.Minute)
			if err := b.Healthy(); !errors.Is(err, gone) || len(b.failed.Bodies()) > 0 || fmt.Sprint(b.queue.Bodies()) != fmt.Sprintf("[%s]", chunkTask.Body()) {
				t.Errorf("healthy: %v; left %q, failed %q", err, b.queue.Bodies(), b.failed.Bodies())
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
	})
}

// The message of a task that is better left to others is replaced by an identical one that waits for a while, as
// often as need be.
func TestLeftToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error {
			if tries.Add(1) <= 3*maxFailures {
				return fmt.Errorf("load plan: %w", later(90*time.Second))
			}
			return nil // by a worker that can do it
		})
		began := time.Now()
		time.Sleep(30 * time.Second)
		if tries.Load() != 1 || fmt.Sprint(b.queue.Bodies()) != fmt.Sprintf("[%s]", chunkTask.Body()) {
			t.Errorf("%d tries; %q waits", tries.Load(), b.queue.Bodies())
		}
		time.Sleep(time.Hour)
		b.end(t)
		if len(b.queue.Bodies())+len(b.failed.Bodies()) > 0 || tries.Load() != 3*maxFailures+1 {
			t.Errorf("after %s and %d tries, left %q, failed %q", time.Since(began), tries.Load(), b.queue.Bodies(), b.failed.Bodies())
		}
	})
}

// What is put back comes as it was, when it may, and counts as no failure.
func TestBusyTaskIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := &testenv.Messages{}
		body := job.Task{Kind: job.Chunk, Job: "0123456789abcdef", Chunk: 3, Failures: 2}.Body()
		must(t, queue.Send(t.Context(), body, 0))
		w := &Worker{Queue: queue, Failed: queue, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t)}
		d := queue.Take(time.Hour)
		w.settle(t.Context(), settlement{d: d, tasks: []job.Task{{Kind: job.Chunk}}, hold: &Lease{}, err: later(40 * time.Second)})
		if queue.Take(0) != nil {
			t.Error("it came back at once")
		}
		time.Sleep(40 * time.Second)
		if d := queue.Take(0); d == nil || !bytes.Equal(d.Body, body) {
			t.Errorf("it came back as %+v", d)
		}
	})
}
