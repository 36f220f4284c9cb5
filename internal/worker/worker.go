// Package worker receives tasks and sees to it that each message ends as it should: it holds a
// message while its task is done (lease.go), decides its fate (settle.go), ends in order, and tells
// whether it is well (health.go, astray.go). What tasks are, it doesn't know.
package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/trace"
	"afterlive.alt/job"
)

// What ends a task that hasn't failed. They are the causes of its context.
var (
	errInterrupted = errors.New("the worker is shutting down")
	errLeaseLost   = errors.New("the lease was lost")
)

// Sender puts messages on a queue; they can be received after delay.
type Sender interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// Queue is where tasks wait. Receive hands out at most one message and hides it
// from others for the lease; nil without an error means that none came. A poll
// under way when ctx is cancelled may end, and its message is handed out. A
// receipt is good for one delivery: Delete with an old one does nothing, Extend
// may return [job.ErrNotHeld].
type Queue interface {
	Sender
	Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error)
	Extend(ctx context.Context, receipt string, d time.Duration) error
	Delete(ctx context.Context, receipt string) error
}

// Worker receives tasks and sees to it that each message ends as it should.
type Worker struct {
	Queue  Queue
	Failed Sender                                                                     // where tasks go that no further attempt is made for
	Note   func(ctx context.Context, f *job.Failure) error                            // also told of them, if set; may add what it knows
	Retry  func(ctx context.Context, f *job.Failure, times int, next time.Time) error // told of tasks that failed and are tried again, if set
	Do     func(ctx context.Context, t job.Task, hold *Lease) error
	Done   func(ctx context.Context, t job.Task) (bool, error) // whether there is nothing left to do; asked before a task is taken for deadly
	Lost   func(err error) bool                                // whether an error says that the store itself is gone, if set
	Bucket string                                              // of recordings whose messages name none
	Slots  int                                                 // tasks at once; no message is held that isn't worked on
	Lease  time.Duration                                       // a quarter of it is the time between heartbeats
	Drain  time.Duration                                       // that a task gets to finish after a shutdown began, if it can be expected to
	Idle   func(ctx context.Context) (bool, error)             // set: slots end once there is nothing left to do
	// Protect, if set, keeps whoever runs the worker from ending it, from before a
	// message is asked for until release; ok is false if it may be ended all the
	// same, and must take no work for now.
	Protect func(ctx context.Context) (release func(), ok bool)
	// Ready, if set, is asked before a message is: an error says why no work can be taken for now.
	Ready   func() error
	Name    string
	Program string // its version, and ffmpeg's
	Metrics *Metrics
	Tracer  *trace.Tracer // may be nil
	Log     *zap.Logger

	liveness liveness
	astray   astray
	unfit    unfit
	doing    doing
}

// Run works until stop is cancelled, or the queue is idle. stop ends receiving;
// tasks under way then have Drain to finish and are handed back otherwise. work
// ends everything at once.
func (w *Worker) Run(stop, work context.Context) error {
	w.liveness.heartbeat()
	defer w.liveness.end()
	var slots errgroup.Group
	for range w.Slots {
		slots.Go(func() error { return w.slot(stop, work) })
	}
	return slots.Wait()
}

// Where a slot is protected while it works, it pauses after the first task that ends a minute after the
// pause before: a busy worker that never pauses would never be told to end. While a recording grows, its
// tasks take seconds, and a pause after each would be a fifth of the time.
const (
	unprotected  = 2 * time.Second
	pausesWithin = time.Minute
)

// refused is how long a slot waits whose task must not be protected: nobody would end it
// in the middle of its work, but it might be ended before it has begun.
const refused = 15 * time.Second

// slot does one task after the other.
func (w *Worker) slot(stop, work context.Context) error {
	failures := 0
	for stop.Err() == nil && work.Err() == nil {
		if err := w.astray.fault(); err != nil {
			if w.Idle != nil { // nobody waits for it to be started anew
				return err
			}
			w.liveness.heartbeat()
			sleep(stop, refused)
			continue
		}
		if w.unfit.look(w.Ready, w.Log) {
			w.liveness.heartbeat()
			if w.Idle != nil { // nobody waits for what may never come
				return w.unlessIdle(work)
			}
			sleep(stop, refused)
			continue
		}
		release, ok := w.protect(work)
		if !ok { // until ECS stops this task, or finds that it needs it after all
			w.liveness.heartbeat()
			sleep(stop, refused)
			continue
		}
		idle, err := w.turns(stop, work, &failures)
		release()
		if idle || err != nil {
			return err
		}
		if w.Protect != nil {
			sleep(stop, unprotected)
		}
	}
	return nil
}

func (w *Worker) protect(ctx context.Context) (release func(), ok bool) {
	if w.Protect == nil {
		return func() {}, true
	}
	return w.Protect(ctx)
}

// turns does one task after the other until none comes, or it is time for a pause. An error ends the worker.
func (w *Worker) turns(stop, work context.Context, failures *int) (idle bool, err error) {
	for began := time.Now(); ; {
		worked, idle, err := w.turn(stop, work, failures)
		if !worked || idle || err != nil || time.Since(began) >= pausesWithin || stop.Err() != nil || work.Err() != nil || w.astray.fault() != nil {
			return idle, err
		}
		if w.unfit.look(w.Ready, w.Log) {
			return false, nil
		}
	}
}

// turn receives a message and does its task, if one comes. failures counts receipts
// that failed in a row. idle is true once there is nothing left to do. An error ends the worker: its queue is gone.
func (w *Worker) turn(stop, work context.Context, failures *int) (worked, idle bool, err error) {
	began := time.Now()
	d, err := w.Queue.Receive(stop, w.Lease)
	switch {
	case d != nil:
		*failures = 0
		w.liveness.heartbeat()
		w.handle(stop, work, d, began)
		return true, false, nil
	case errors.Is(err, job.ErrQueueGone):
		return false, false, err
	case stop.Err() == nil && err == nil:
		w.liveness.heartbeat()
		if w.Idle != nil {
			idle, err = w.Idle(work)
		}
	}
	if stop.Err() == nil && err != nil { // that nothing is left is not to be known from it
		w.unread(stop, err, failures)
		return false, false, nil
	}
	*failures = 0
	return false, idle, nil
}

// unread waits after the queue could not be read, the longer the more often that was so.
func (w *Worker) unread(stop context.Context, err error, failures *int) {
	*failures++
	w.Metrics.pollErrors.Inc()
	pause := jitter(min(100*time.Millisecond<<min(*failures, 10), 30*time.Second))
	w.Log.Warn("queue cannot be read", zap.Error(err), zap.Int("failures", *failures), zap.Duration("pause", pause))
	sleep(stop, pause)
}

// jitter is full jitter: anything up to d, so that workers that failed together
// don't return together.
func jitter(d time.Duration) time.Duration { return rand.N(d) + time.Millisecond }

// handle does one message's task under its lease, and settles it. The lease is
// counted from before the message was asked for.
func (w *Worker) handle(stop, work context.Context, d *job.Delivery, began time.Time) {
	w.Metrics.received.Inc()
	w.Metrics.working.Inc()
	defer w.Metrics.working.Dec()
	collects, stages := trace.Collect(work)
	ctx, cancel := context.WithCancelCause(collects)
	defer cancel(nil)
	defer w.liveness.watch(ctx)()
	l := &lease{queue: w.Queue, receipt: d.Receipt, length: w.Lease, began: began, until: began.Add(w.Lease), log: w.Log, alive: w.liveness.heartbeat}
	hold := &Lease{prove: l.prove, lease: w.Lease}
	defer context.AfterFunc(stop, func() {
		if hold.drain(ctx, w.Drain) {
			cancel(errInterrupted)
		}
	})()

	keepCtx, release := context.WithCancel(context.WithoutCancel(work))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := l.keep(keepCtx); err != nil {
			cancel(err)
		}
	}()

	started := time.Now()
	tasks, err := job.Parse(d.Body)
	for i := range tasks {
		tasks[i] = tasks[i].In(w.Bucket)
	}
	defer w.doing.begin(tasks, began)()
	switch {
	case err != nil:
		err = job.Permanent("bad_message", err)
	default:
		err = w.do(ctx, d, tasks, hold)
	}
	// Settling is not cut short, and the message is held until it is done.
	settle, done := context.WithTimeout(context.WithoutCancel(work), settleTime)
	defer done()
	w.settle(settle, settlement{d, tasks, hold, started, time.Since(started), stages(), err})
	release()
	<-kept
}

// do runs a message's task. One that is several recordings becomes as many
// messages, so that each has a fate of its own.
func (w *Worker) do(ctx context.Context, d *job.Delivery, tasks []job.Task, hold *Lease) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = job.Transient("panic", fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	if d.Receives > maxReceives && !w.finished(ctx, tasks) {
		return job.Permanent(job.CrashLoop, fmt.Errorf("the message was received %d times, and each worker that had it died without saying why", d.Receives))
	}
	if len(tasks) == 0 {
		w.Metrics.ignored.Inc()
	}
	for _, t := range tasks {
		if len(tasks) > 1 {
			err = errors.Join(err, w.Queue.Send(ctx, t.Body(), 0))
		} else {
			err = w.Do(ctx, t, hold)
		}
	}
	switch cause := context.Cause(ctx); {
	case err == nil || cause == nil:
		return err
	case errors.Is(cause, context.Canceled): // everything ends at once
		return errInterrupted
	default:
		return cause
	}
}

// finished tells whether a task was done, and only its message came back.
func (w *Worker) finished(ctx context.Context, tasks []job.Task) bool {
	if w.Done == nil || len(tasks) != 1 {
		return false
	}
	done, err := w.Done(ctx, tasks[0])
	return done && err == nil
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
