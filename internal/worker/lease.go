package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/job"
)

// lease is a worker's hold on one message. Its clock is ours and monotonic: a
// queue may answer "extended" and have done nothing.
type lease struct {
	queue   Queue
	receipt string
	length  time.Duration
	began   time.Time // before the message was asked for
	log     *zap.Logger
	alive   func() // told of every heartbeat that the queue answered

	mu    sync.Mutex // one heartbeat at a time
	until time.Time  // when others may have it
}

const (
	// SQS holds no message longer than 12 hours after it was received, and
	// answers a wish for more with an error.
	maxLease         = 12*time.Hour - time.Minute
	heartbeatTimeout = 5 * time.Second
)

// keep extends the lease until ctx ends. It returns early, with errLeaseLost,
// once it cannot prove that the message is still ours: the work must stop before
// another worker may start it.
func (l *lease) keep(ctx context.Context) error {
	margin := l.length / 8
	var err error // of the heartbeats since the last that succeeded
	for pause, tried := l.length/4, false; ; tried = true {
		left := l.left() - margin
		if left <= 0 && l.left() > 0 && time.Since(l.began) > maxLease-l.length { // it is ours for a moment yet: it can be given up
			return job.Permanent("too_slow", fmt.Errorf("the task took 12 hours, the longest that SQS holds a message"))
		}
		if left <= 0 && tried { // a poll may use up the first lease: it gets one heartbeat at least
			return fmt.Errorf("%w: %w", errLeaseLost, err)
		}
		if !sleep(ctx, max(0, min(pause, left))) {
			return nil
		}
		failed := l.heartbeat(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // released meanwhile; err is of an earlier heartbeat
		case failed == nil:
			pause, err = l.length/4, errStoodStill // the one reason for the next heartbeat to come too late
		case errors.Is(failed, job.ErrNotHeld):
			return fmt.Errorf("%w: %w", errLeaseLost, failed)
		default:
			pause, err = l.length/20, failed
			l.log.Warn("lease cannot be extended", zap.Error(err), zap.Duration("left", l.left()))
		}
	}
}

// prove makes sure, by an extra heartbeat, that the message is ours for long enough to
// commit its result.
func (l *lease) prove(ctx context.Context) error {
	if l.left() <= 0 {
		return fmt.Errorf("%w: it ended before the result was committed", errLeaseLost)
	}
	err := l.heartbeat(ctx)
	switch {
	case err == nil, !errors.Is(err, job.ErrNotHeld) && l.left() > l.length/4:
		return nil // held, or held for long enough, though the queue doesn't answer
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", errLeaseLost, err)
}

var (
	errTwelveHours = errors.New("12 hours are over")
	errStoodStill  = errors.New("this worker stood still")
)

func (l *lease) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.until)
}

// heartbeat extends the lease, but never beyond what SQS allows.
func (l *lease) heartbeat(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	d := min(l.length, maxLease-now.Sub(l.began)).Truncate(time.Second) // SQS counts whole seconds
	if d <= 0 {
		return errTwelveHours
	}
	call, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	if err := l.queue.Extend(call, l.receipt, d); err != nil {
		return err
	}
	l.until = now.Add(d)
	l.alive()
	return nil
}
