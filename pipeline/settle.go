package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.uber.org/zap"

	"afterlive/internal/job"
)

const (
	settleTime  = 10 * time.Second
	maxFailures = 5 // attempts that failed, after which a task is given up
	// The worker replaces the message of a task that failed or was interrupted, so
	// a message that was received often has killed that many workers.
	maxReceives = 3
	crashLoop   = "crash_loop"
)

// settle decides what becomes of a message: the only place that does.
//
//	done                 delete
//	lease lost           touch nothing; it is somebody else's
//	interrupted          an identical message in its place
//	failed, may pass     one with failures+1 in its place, after a while
//	failed for good      to the failed queue, with the reason
//
// A replacement is sent before the old message is deleted. If the worker dies in
// between there are two, which costs little; the other order could lose it.
func (w *Worker) settle(ctx context.Context, d *job.Delivery, tasks []job.Task, err error) {
	log := w.Log.With(zap.Int("receives", d.Receives))
	for _, t := range tasks {
		log = log.With(zap.String("job", t.JobID()), zap.String("task", t.Name()), zap.Int("failures", t.Failures))
		if t.Key != "" {
			log = log.With(zap.String("key", t.Key))
		}
	}
	reason, final := verdict(err)
	var settleErr error
	outcome := "done"
	switch {
	case err == nil:
		settleErr = w.Queue.Delete(ctx, d.Receipt)
	case errors.Is(err, errLeaseLost):
		outcome = "lease_lost"
	case errors.Is(err, errInterrupted):
		outcome = "interrupted"
		settleErr = w.replace(ctx, w.Queue, d, d.Body, 0)
	case !final && len(tasks) == 1 && tasks[0].Failures+1 < maxFailures:
		outcome = "retry"
		next := tasks[0]
		next.Failures++
		settleErr = w.replace(ctx, w.Queue, d, next.Body(), backoff(next.Failures))
	default:
		outcome = "failed"
		settleErr = w.fail(ctx, d, w.failure(d, tasks, reason, final, err))
	}
	fields := []zap.Field{zap.String("outcome", outcome)}
	if err != nil {
		fields = append(fields, zap.String("reason", reason), zap.Error(err))
	}
	if settleErr != nil { // the lease will end, and the task be done or found done again
		fields = append(fields, zap.NamedError("settle_error", settleErr))
	}
	if outcome == "failed" {
		log.Error("task settled", fields...)
		return
	}
	log.Info("task settled", fields...)
}

func (w *Worker) replace(ctx context.Context, to Sender, d *job.Delivery, body []byte, delay time.Duration) error {
	if err := to.Send(ctx, body, delay); err != nil {
		return err
	}
	return w.Queue.Delete(ctx, d.Receipt)
}

// fail gives a task up. The note is for people who look at the job; the message
// is what counts.
func (w *Worker) fail(ctx context.Context, d *job.Delivery, f job.Failure) error {
	var noteErr error
	if w.Note != nil && f.Job != "" {
		noteErr = w.Note(ctx, f)
	}
	return errors.Join(w.replace(ctx, w.Failed, d, mustJSON(f), 0), noteErr)
}

// failure is the message for the failed queue.
func (w *Worker) failure(d *job.Delivery, tasks []job.Task, reason string, final bool, err error) job.Failure {
	f := job.Failure{Version: job.Version, Class: "transient", Reason: reason, Detail: err.Error(), Time: time.Now().UTC(), Worker: w.Name}
	switch {
	case reason == crashLoop:
		f.Class = "crash-loop"
	case final:
		f.Class = "permanent"
	}
	if len(tasks) == 1 {
		f.Job, f.Task = tasks[0].JobID(), tasks[0].Name()
	}
	f.Message = d.Body
	if !json.Valid(d.Body) {
		f.Message = mustJSON(string(d.Body))
	}
	return f
}

// mustJSON is for values that cannot fail: strings, numbers, valid JSON.
func mustJSON(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return body
}

// backoff is how long a task waits after failing n times: 15 s, 30 s, 1 min, …,
// at most the 15 min that SQS can delay, give or take a fifth.
func backoff(n int) time.Duration {
	d := min(15*time.Second<<(n-1), 750*time.Second)
	return d - d/5 + jitter(2*d/5)
}
