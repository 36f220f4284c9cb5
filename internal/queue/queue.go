// Package queue carries messages: on SQS, or in a SQLite file. Both behave alike:
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

// Backlog counts a queue's messages. On SQS the numbers are approximate.
type Backlog struct {
	Waiting  int `json:"waiting"`   // ready to be received
	InFlight int `json:"in_flight"` // received and not yet deleted
	Delayed  int `json:"delayed"`   // not ready yet
}
