package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"afterlive/internal/job"
	"afterlive/ladder"
)

// note is what is kept with a job of a task that was given up: by a worker, and then,
// perhaps, by an operator.
type note struct {
	job.Failure

	Dropped time.Time `json:"dropped,omitzero"` // when an operator gave it up; zero: it is in the failed queue
}

// at is when the note was made.
func (n note) at() time.Time {
	if n.Dropped.IsZero() {
		return n.Time
	}
	return n.Dropped
}

// state is that of a job that needs the task.
func (n note) state() State {
	if n.Dropped.IsZero() {
		return Failed
	}
	return Dropped
}

// NoteFailure keeps a failure with its job, and adds which recording it is about. Its
// key's end is what operators may have S3 notify them of.
func (p *Pipeline) NoteFailure(ctx context.Context, f *job.Failure) error {
	plan, unplanned := LoadPlan(ctx, p.Store, f.Job)
	if unplanned == nil && f.Source == "" {
		f.Source, f.ETag = plan.Recording.Key, plan.Recording.ETag
	}
	_, err := p.writeJSON(ctx, ladder.FailureKey(f.Job, f.Task, f.Time), *f, "")
	if err != nil || unplanned != nil || !plan.Grows || !strings.HasPrefix(f.Task, string(job.Chunk)+"-") {
		return err
	}
	return p.goOnWithout(ctx, plan)
}

// notes are the last note of each of a job's tasks.
func notes(ctx context.Context, store Store, id string) (map[string]note, error) {
	keys, err := store.List(ctx, ladder.FailuresPrefix(id))
	if err != nil {
		return nil, fmt.Errorf("list failures of job %s: %w", id, err)
	}
	last := map[string]note{}
	for _, key := range keys {
		var n note
		if _, err := loadJSON(ctx, store, key, &n); err != nil {
			return nil, err
		}
		if n.at().After(last[n.Task].at()) {
			last[n.Task] = n
		}
	}
	return last, nil
}

// LastFailure is how a task of a job failed last; ok is false if it never did, or was
// sent again since.
func LastFailure(ctx context.Context, store Store, id, task string) (f job.Failure, dropped, ok bool, err error) {
	all, err := notes(ctx, store, id)
	n, ok := all[task]
	return n.Failure, !n.Dropped.IsZero(), ok, err
}
