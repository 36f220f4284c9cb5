package ledger

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"afterlive.alt/ladder"
)

// Claim says in the store who is at something, and until when others leave it to them. It
// saves work and decides nothing: what is written in the end is conditional all the same.
type Claim struct {
	By    string    `json:"by"` // "": nobody
	Until time.Time `json:"until"`
	Taken int       `json:"taken,omitempty"` // times that it was taken from somebody who never gave it up
}

// Dispatch is what was made of a recording so far, and sent: once, however many ask for it (the
// hook, the bucket's notification, each look at a recording that grows, a redelivery, a resend).
// Who does more of it claims that first, and notes after each batch how far it came; if it
// dies, whoever comes next goes on from there, and sends one batch again at most.
//
// Stored as jobs/<job>/dispatch.json.
type Dispatch struct {
	Claim

	Plan   time.Time     `json:"plan,omitzero"`    // when the plan was made that it is of
	Chunks []ladder.Span `json:"chunks,omitempty"` // that are stored
	Ended  bool          `json:"ended,omitempty"`  // there will be no more
	Sent   int           `json:"sent,omitempty"`   // tasks, in the order of their parts
}

// Dispatched is how far a plan's dispatch is. One that was removed, and is made anew, has sent nothing.
func Dispatched(ctx context.Context, store Store, plan *ladder.Plan) (d Dispatch, etag string, err error) {
	etag, err = Load(ctx, store, ladder.DispatchKey(plan.Job), &d)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if !d.Plan.Equal(plan.Created) {
		d = Dispatch{Plan: plan.Created}
	}
	return d, etag, err
}
