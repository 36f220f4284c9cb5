package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/trace"
	"afterlive.alt/job"
)

const (
	settleTime  = 10 * time.Second
	noteTime    = 3 * time.Second
	maxFailures = 5 // attempts that failed, after which a task is given up
	// The worker replaces the message of a task that failed or was interrupted, so
	// a message that was received often has killed that many workers.
	maxReceives = 3
	// SQS takes messages of up to 1 MiB.
	largestMessage = 1 << 20
)

// settle decides what becomes of a message: the only place that does.
//
//	done                 delete
//	lease lost           touch nothing; it is somebody else's
//	interrupted          an identical message in its place
//	the store is gone    likewise: this worker's store, the others' may be another
//	left to others       likewise, after a while: a newer program wrote of it, or somebody has claimed it
//	failed, may pass     one with failures+1 in its place, after a while
//	failed for good      to the failed queue, with the reason
//
// A replacement is sent before the old message is deleted. If the worker dies in
// between there are two, which costs little; the other order could lose it.
func (w *Worker) settle(ctx context.Context, s settlement) {
	reason, final := job.Verdict(s.err)
	pause, leave := job.LeaveFor(s.err)
	outcome, err := s.hold.outcome(), error(nil) // of the settling itself
	switch {
	case s.err == nil:
		err = w.Queue.Delete(ctx, s.d.Receipt)
	case errors.Is(s.err, errLeaseLost):
		outcome = outcomeLeaseLost
	case errors.Is(s.err, errInterrupted):
		outcome = outcomeInterrupted
		err = w.replace(ctx, w.Queue, s.d, s.d.Body, 0)
	case w.isLost(s.err):
		outcome = outcomeLeft
		err = w.replace(ctx, w.Queue, s.d, s.d.Body, 0)
	case leave:
		outcome = outcomeLeft
		err = w.replace(ctx, w.Queue, s.d, s.d.Body, pause)
	case !final && len(s.tasks) > 1: // it could not be divided; what was sent already is found done
		outcome = outcomeRetry
		err = w.replace(ctx, w.Queue, s.d, s.d.Body, backoff(1))
	case !final && len(s.tasks) == 1 && s.tasks[0].Failures+1 < maxFailures:
		outcome = outcomeRetry
		err = w.retry(ctx, s, reason)
	default:
		outcome = outcomeFailed
		err = w.fail(ctx, s.d, w.failure(s, reason, final))
	}
	w.account(s, outcome, reason, err)
	w.trace(ctx, s, outcome, reason)
	w.whetherAstray(s, reason)
}

// settlement is a message, and how its task went.
type settlement struct {
	d     *job.Delivery
	tasks []job.Task
	hold  *Lease // says its outcome, if there was no error
	began time.Time
	took  time.Duration
	spent []trace.Stage
	err   error
}

// account counts a settled message, and logs it: one line each.
func (w *Worker) account(s settlement, outcome, reason string, settleErr error) {
	w.Metrics.settled.WithLabelValues(outcome).Inc()
	fields := []zap.Field{zap.String("outcome", outcome), zap.Int("receives", s.d.Receives), zap.Duration("took", s.took)}
	for _, t := range s.tasks {
		fields = append(fields, zap.String("job", s.hold.jobOf(t)), zap.String("task", t.Name()), zap.Int("attempt", t.Failures+1))
		if t.Key != "" {
			fields = append(fields, zap.String("key", t.Key))
		}
		w.Metrics.taskSeconds.WithLabelValues(string(t.Kind)).Observe(s.took.Seconds())
	}
	if s.err != nil {
		fields = append(fields, zap.Error(s.err))
		if outcome == outcomeRetry || outcome == outcomeFailed {
			fields = append(fields, zap.String("reason", reason))
		}
		if log := job.LastWords(s.err); log != "" {
			fields = append(fields, zap.String("ffmpeg", log))
		}
	}
	if outcome == outcomeRetry || outcome == outcomeFailed {
		w.Metrics.failures.WithLabelValues(reason).Inc()
	}
	if settleErr != nil { // the lease will end, and the task be done or found done again
		w.Metrics.settleErrs.Inc()
		fields = append(fields, zap.NamedError("settle_error", settleErr))
	}
	if outcome == outcomeFailed {
		w.Log.Error("task settled", fields...)
		return
	}
	w.Log.Info("task settled", fields...)
}

// trace sends the spans of a message's tasks.
func (w *Worker) trace(ctx context.Context, s settlement, outcome, reason string) {
	for _, t := range s.tasks {
		w.Tracer.Task(ctx, trace.Task{
			Job: s.hold.jobOf(t), Name: t.Name(), Key: t.Key, Attempt: t.Failures + 1, Outcome: outcome, Reason: reason, Err: s.err,
			Began: s.began, Ended: s.began.Add(s.took), Stages: s.spent,
		})
	}
}

func (w *Worker) replace(ctx context.Context, to Sender, d *job.Delivery, body []byte, delay time.Duration) error {
	if err := to.Send(ctx, body, delay); err != nil {
		return err
	}
	return w.Queue.Delete(ctx, d.Receipt)
}

// retry puts a message that counts the failure in the place of a task's, and notes it for people.
func (w *Worker) retry(ctx context.Context, s settlement, reason string) error {
	next := s.tasks[0]
	next.Failures++
	pause := backoff(next.Failures)
	err := w.replace(ctx, w.Queue, s.d, next.Body(), pause)
	if f := w.failure(s, reason, false); w.Retry != nil && f.Job != "" {
		brief, cancel := context.WithTimeout(ctx, noteTime)
		defer cancel()
		err = errors.Join(err, w.Retry(brief, &f, next.Failures, time.Now().UTC().Add(pause)))
	}
	return err
}

// fail gives a task up. The note is for people who look at the job; the message
// is what counts.
func (w *Worker) fail(ctx context.Context, d *job.Delivery, f job.Failure) error {
	var noteErr error
	if w.Note != nil && f.Job != "" {
		brief, cancel := context.WithTimeout(ctx, noteTime) // a store that hangs must not keep the message
		noteErr = w.Note(brief, &f)
		cancel()
	}
	body := mustJSON(f)
	if len(body) > largestMessage { // what nobody can read was long itself
		body = d.Body
	}
	return errors.Join(w.replace(ctx, w.Failed, d, body, 0), noteErr)
}

// failure is the message for the failed queue.
func (w *Worker) failure(s settlement, reason string, final bool) job.Failure {
	f := job.Failure{
		Version: job.Version, Class: "transient", Reason: reason, Detail: s.err.Error(), Advice: job.Advice(reason), Log: job.LastWords(s.err),
		Time: time.Now().UTC(), Worker: w.Name, Program: w.Program,
	}
	switch {
	case reason == job.CrashLoop:
		f.Class = "crash-loop"
	case final:
		f.Class = "permanent"
	}
	if len(s.tasks) == 1 {
		f.Job, f.Task = s.hold.jobOf(s.tasks[0]), cmp.Or(job.FailedTask(s.err), s.tasks[0].Name())
		f.Source, f.ETag = s.tasks[0].Key, s.tasks[0].ETag
	}
	f.Message = s.d.Body
	if !json.Valid(s.d.Body) {
		f.Message = mustJSON(string(s.d.Body))
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
