package worker

import (
	"cmp"
	"context"
	"sync"
	"time"

	"afterlive.alt/job"
)

// Lease links a task that is being done with its message. Through it the task
// learns whether the message is still its own, and the worker how far the task is.
// nil is the hold of a task that came by no message.
type Lease struct {
	prove func(ctx context.Context) error
	lease time.Duration

	mu        sync.Mutex
	ends      time.Time // when the task will be done, by its own estimate; zero: it has none
	duplicate bool
	job       string // that a recording's task has found to be its own; "": as its message says
}

// Prove is what a task asks before a write that commits it: one extra heartbeat.
// An error means that another worker may have the message by now.
func (h *Lease) Prove(ctx context.Context) error {
	if h == nil || h.prove == nil {
		return nil
	}
	return h.prove(ctx)
}

// Length is for how long the message is held unless that is extended, as it always is.
func (h *Lease) Length() time.Duration {
	const usual = time.Minute
	if h == nil {
		return usual
	}
	return cmp.Or(h.lease, usual)
}

// Expect tells the worker that the task will be done in about d.
func (h *Lease) Expect(d time.Duration) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends = time.Now().Add(d)
}

// Duplicate tells the worker that there was nothing left to do.
func (h *Lease) Duplicate() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.duplicate = true
}

// Belongs tells the worker which job a recording's task belongs to: its message may leave
// out the bucket and the version.
func (h *Lease) Belongs(id string) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.job = id
}

// jobOf is the job that a task belongs to.
func (h *Lease) jobOf(t job.Task) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return cmp.Or(h.job, t.JobID())
}

// outcome is how a task that did not fail is counted.
func (h *Lease) outcome() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.duplicate {
		return outcomeDuplicate
	}
	return outcomeDone
}

// fits tells whether the task may be done by a moment. What cannot say when it will
// be done gets until soon.
func (h *Lease) fits(by, soon time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ends.IsZero() {
		return time.Now().Before(soon)
	}
	return !h.ends.After(by)
}

// unannounced is what a task gets at a shutdown that cannot say how long it will
// take: enough to store what is done, and not much of a wait.
const unannounced = 5 * time.Second

// drain waits for a task to end, for up to d and as long as it can be expected to.
// It is false if ctx, the task's, ended meanwhile.
func (h *Lease) drain(ctx context.Context, d time.Duration) (handBack bool) {
	by := time.Now().Add(d)
	soon := time.Now().Add(min(d, unannounced))
	for h.fits(by, soon) && time.Now().Before(by) {
		if !sleep(ctx, min(time.Second, time.Until(by))) {
			return false
		}
	}
	return ctx.Err() == nil
}
