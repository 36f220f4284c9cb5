package pipeline

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPipeline is a pipeline on memory, with real ffmpeg.
func newPipeline(t *testing.T, store *testenv.Memory, queue Queue, profiles string) *Pipeline {
	t.Helper()
	all, err := ladder.ParseProfiles([]byte(profiles))
	if err != nil {
		t.Fatal(err)
	}
	scratch, err := ffmpeg.NewScratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { scratch.Close() })
	return &Pipeline{
		Queue: queue, Recordings: store, Store: store, Profiles: all, Scratch: scratch, Worker: "test",
		FFmpeg: ffmpeg.Program{Path: "ffmpeg", Stall: time.Minute}, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t),
	}
}

// onlyPlan is the small recording's only job.
func onlyPlan(t *testing.T, store Store) *ladder.Job {
	t.Helper()
	jobs, err := catalog.Of(t.Context(), store, "live/talk")
	must(t, err)
	return wholeJob(t, store, jobs[0].Job)
}

func wholeJob(t *testing.T, store Store, id string) *ladder.Job {
	t.Helper()
	plan, err := ledger.Plan(t.Context(), store, id)
	must(t, err)
	whole, err := ledger.Job(t.Context(), store, plan)
	must(t, err)
	return whole
}

// firstChunk is that of the small recording's only job.
func firstChunk(t *testing.T, store Store) *ladder.Chunk {
	t.Helper()
	c, err := ledger.Chunk(t.Context(), store, onlyPlan(t, store).Job, 0)
	must(t, err)
	return c
}

// drain does all tasks of a queue, in order, and fails on the first error.
func drain(t *testing.T, p *Pipeline, q *testenv.Messages) {
	t.Helper()
	for d := q.Take(time.Hour); d != nil; d = q.Take(time.Hour) {
		tasks, err := job.Parse(d.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if err := p.Do(t.Context(), task, nil); err != nil {
				t.Fatalf("%s: %v", task.Name(), err)
			}
		}
		if err := q.Delete(t.Context(), d.Receipt); err != nil {
			t.Fatal(err)
		}
	}
}

// script is a stand-in for ffmpeg.
func script(t *testing.T, body string) ffmpeg.Program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ffmpeg")
	must(t, os.WriteFile(file, []byte("#!/bin/bash\n"+body+"\n"), 0o755))
	return ffmpeg.Program{Path: file, Stall: time.Minute, File: 1 << 20}
}

// givenUp has a worker do a task that is not tried again, with whatever comes of it, and returns what is in the failed queue then.
func givenUp(t *testing.T, p *Pipeline, task job.Task, do func(ctx context.Context, t job.Task, lease *worker.Lease) error) *testenv.Messages {
	t.Helper()
	queue, failed := &testenv.Messages{}, &testenv.Messages{Quick: true}
	must(t, queue.Send(t.Context(), task.Body(), 0))
	stop, done := context.WithCancel(t.Context())
	w := &worker.Worker{
		Queue: queue, Failed: failed, Note: p.NoteFailure, Bucket: p.Bucket, Slots: 1, Lease: time.Minute, Drain: time.Minute, Metrics: worker.NewMetrics(nil), Log: p.Log,
		Do: func(ctx context.Context, t job.Task, lease *worker.Lease) error {
			defer done()
			return do(ctx, t, lease)
		},
	}
	must(t, w.Run(stop, t.Context()))
	return failed
}

// inFailed are the tasks of a failed queue.
func inFailed(t *testing.T, o operate.Operator) (all []operate.FailedTask) {
	t.Helper()
	must(t, o.EachFailed(t.Context(), func(_ context.Context, f operate.FailedTask) (bool, error) { all = append(all, f); return false, nil }))
	return all
}

func mustJSON(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return body
}
