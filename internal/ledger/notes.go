package ledger

import (
	"context"
	"fmt"
	"time"

	"afterlive/internal/job"
	"afterlive/ladder"
)

// Note is what is kept with a job of a task that was given up: by a worker, and then,
// perhaps, by an operator.
type Note struct {
	job.Failure

	Dropped time.Time `json:"dropped,omitzero"` // when an operator gave it up; zero: it is in the failed queue
}

// at is when the note was made.
func (n Note) at() time.Time {
	if n.Dropped.IsZero() {
		return n.Time
	}
	return n.Dropped
}

// Notes are the last note of each of a job's tasks.
func Notes(ctx context.Context, store Store, id string) (map[string]Note, error) {
	keys, err := store.List(ctx, ladder.FailuresPrefix(id))
	if err != nil {
		return nil, fmt.Errorf("list failures of job %s: %w", id, err)
	}
	last := map[string]Note{}
	for _, key := range keys {
		var n Note
		if _, err := Load(ctx, store, key, &n); err != nil {
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
	all, err := Notes(ctx, store, id)
	n, ok := all[task]
	return n.Failure, !n.Dropped.IsZero(), ok, err
}
