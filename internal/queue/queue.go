// Package queue carries messages: on SQS, in PostgreSQL, or in a SQLite file. All behave alike:
//
//   - Receive hands out at most one message and hides it from others for the
//     lease; nil without an error means that none came while it waited;
//   - a message that isn't deleted before its lease ends is handed out again, and
//     its Receives counts it;
//   - a receipt is good for one delivery. Deleting with an old one does nothing;
//     extending with one may fail with [job.ErrNotHeld], or do nothing;
//   - a poll that is under way when the context is cancelled is allowed to end,
//     and what it brought is handed out: abandoned, a message would be hidden for
//     a whole lease.
package queue

import (
	"context"
	"time"

	"afterlive.alt/job"
)

// Backlog counts a queue's messages. On SQS the numbers are approximate.
type Backlog struct {
	Waiting  int `json:"waiting"`   // ready to be received
	InFlight int `json:"in_flight"` // received and not yet deleted
	Delayed  int `json:"delayed"`   // not ready yet
}

// poll looks for a message until one is there, wait is over, or the context is cancelled: for queues whose server doesn't let a receiver wait.
func poll(ctx context.Context, wait, every time.Duration, look func() (*job.Delivery, error)) (*job.Delivery, error) {
	deadline := time.Now().Add(wait)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := look()
		if err != nil || d != nil {
			return d, err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil, nil //nolint:nilnil // an empty poll is neither a message nor an error
		}
		timer := time.NewTimer(min(every, left))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
