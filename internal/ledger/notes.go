package ledger

import (
	"context"
	"time"

	"afterlive.alt/job"
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

// LastFailure is how a task of a job failed last; ok is false if it never did, or was
// sent again since.
func LastFailure(ctx context.Context, store Store, id, task string) (f job.Failure, dropped, ok bool, err error) {
	there, err := Listed(ctx, store, id)
	if err != nil {
		return f, false, false, err
	}
	all, err := there.Notes(ctx, store)
	n, ok := all[task]
	return n.Failure, !n.Dropped.IsZero(), ok, err
}
