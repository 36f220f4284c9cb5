// Package operate is what operators can do, by a command of cmd/enqueue or on a page of site: replay or drop failed tasks (failed.go), remove assets
// (remove.go), segments that nothing names (gc.go), and what is too old or takes room that is needed (prune.go, room.go).
package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// FailedTask is a message of the failed queue. Tasks is empty where the message is
// of no form that we know.
type FailedTask struct {
	job.Failure
	Asset string     `json:"asset,omitempty"`
	Tasks []job.Task `json:"-"`
}

// Matches tells whether name is the task's job or asset.
func (f FailedTask) Matches(name string) bool {
	return name != "" && (name == f.Job || name == f.Asset)
}

// Operator looks at the failed queue, and repairs.
type Operator struct {
	Failed worker.Queue
	Work   worker.Sender
	Bucket string // of recordings; empty in a directory
	Store  interface {
		catalog.Pages
		Delete(ctx context.Context, key string) error
	}
}

const (
	receivers  = 8                // at once: a queue far away answers in tens of milliseconds
	visibility = 10 * time.Minute // that a message is hidden from others while all are looked at
)

// EachFailed shows every message of the failed queue to take, once each, several at a
// time. A message is deleted if take says so, and is where it was otherwise. What
// failed again since it was taken is left alone: a task that fails at once, whenever
// it is replayed, would keep EachFailed busy for ever.
func (o Operator) EachFailed(ctx context.Context, take func(context.Context, FailedTask) (done bool, err error)) error {
	var mu sync.Mutex
	var kept []string
	began := time.Now()
	taken := map[string]bool{} // in this run
	ctx, cancel := context.WithTimeoutCause(ctx, visibility-time.Minute, errors.New("the failed queue is too long to be seen in one go; what was done so far is done, so try again"))
	defer cancel()
	group, groupCtx := errgroup.WithContext(ctx)
	for range receivers {
		group.Go(func() error {
			for {
				d, err := o.Failed.Receive(groupCtx, visibility)
				if err != nil || d == nil {
					return err
				}
				f := o.read(groupCtx, d.Body)
				mu.Lock()
				again := taken[string(f.Message)] && f.Time.After(began)
				taken[string(f.Message)] = true
				mu.Unlock()
				done := false
				if !again {
					done, err = take(groupCtx, f)
				}
				if err == nil && done {
					err = o.Failed.Delete(groupCtx, d.Receipt)
				} else {
					mu.Lock()
					kept = append(kept, d.Receipt)
					mu.Unlock()
				}
				if err != nil {
					return err
				}
			}
		})
	}
	err := group.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return errors.Join(err, o.release(context.WithoutCancel(ctx), kept))
}

// release puts messages back where others see them.
func (o Operator) release(ctx context.Context, receipts []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(receivers)
	for _, r := range receipts {
		group.Go(func() error { return o.Failed.Extend(ctx, r, 0) })
	}
	return group.Wait()
}

// read understands a message of the failed queue, whoever put it there.
func (o Operator) read(ctx context.Context, body []byte) FailedTask {
	var f FailedTask
	if err := json.Unmarshal(body, &f.Failure); err != nil || f.Class == "" || len(f.Message) == 0 {
		f.Failure = job.Failure{Class: "crash-loop", Reason: job.Redriven, Detail: "the queue's own redrive policy gave it up: it was received too often, and no worker said why", Message: body}
	}
	tasks, err := job.Parse(f.original())
	if err != nil {
		return f
	}
	f.Tasks = tasks
	if len(tasks) == 1 { // what the worker has found out about its job and its task goes before
		t := tasks[0].In(o.Bucket)
		f.Job, f.Task, f.Asset = cmp.Or(f.Job, t.JobID()), cmp.Or(f.Task, t.Name()), job.Asset(t.Key)
	}
	if f.Asset == "" && f.Job != "" {
		if plan, err := ledger.Plan(ctx, o.Store, f.Job); err == nil {
			f.Asset = plan.Asset
		}
	}
	return f
}

// original is the message as it was on the queue.
func (f FailedTask) original() []byte {
	var text string // what was not JSON was kept as a string
	if json.Unmarshal(f.Message, &text) == nil {
		return []byte(text)
	}
	return f.Message
}

// Replay sends a failed task to the workers again, as if it had never failed. With a
// profile, its recording is planned anew with that, as another job, and the task is dropped. Parts that exist are not made
// again, and a job that is published by now is found so.
func (o Operator) Replay(ctx context.Context, f FailedTask, profile string) (sent []job.Task, err error) {
	bodies := [][]byte{f.original()}
	if len(f.Tasks) > 0 {
		bodies = bodies[:0]
	}
	for _, t := range f.Tasks {
		t.Failures = 0
		if profile != "" {
			if t, err = o.replan(ctx, t, profile); err != nil {
				return nil, err
			}
		}
		sent = append(sent, t)
		bodies = append(bodies, t.Body())
	}
	// First, or it would remove the note of a task that fails again at once.
	if err := o.forget(ctx, f, ""); err != nil {
		return nil, err
	}
	for _, body := range bodies {
		if err := o.Work.Send(ctx, body, 0); err != nil {
			return nil, fmt.Errorf("replay %s: %w", f.Job, err)
		}
	}
	if profile != "" && f.Job != "" { // it goes on as another
		if err := o.Drop(ctx, f); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// Note notes how a job stands now: after Replay and Drop, once for all of its tasks.
func (o Operator) Note(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	if _, err := catalog.Refresh(ctx, o.Store, id); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was never planned
		return fmt.Errorf("write state of job %s: %w", id, err)
	}
	return nil
}

// replan is the task to plan a task's recording with another profile.
func (o Operator) replan(ctx context.Context, t job.Task, profile string) (job.Task, error) {
	if t.Kind == job.Recording {
		t.Profile = profile
		return t, nil
	}
	plan, err := ledger.Plan(ctx, o.Store, t.Job)
	if err != nil {
		return t, fmt.Errorf("replay job %s with profile %s: %w", t.Job, profile, err)
	}
	if plan.Clip != nil {
		return t, fmt.Errorf("replay job %s with profile %s: it is a clip of %s, and has the renditions of that", t.Job, profile, plan.Clip.Asset)
	}
	return job.Task{
		Kind: job.Recording, Bucket: o.Bucket, Key: plan.Recording.Key, ETag: plan.Recording.ETag, Profile: profile,
		Trim: TrimOf(plan),
	}, nil
}

// TrimOf is what a task says of what a plan leaves out of its recording.
func TrimOf(plan *ladder.Plan) job.Trim {
	return job.Trim{Start: plan.Trim.Start.Milliseconds(), End: plan.Trim.End.Milliseconds()}
}

// Forget removes the notes of a task's failures: from now on it is in work.
func (o Operator) Forget(ctx context.Context, f FailedTask) error {
	if err := o.forget(ctx, f, ""); err != nil {
		return err
	}
	return o.Note(ctx, f.Job)
}

// Drop notes that a task was given up for good. The notes of its failures go: nobody is to
// look after them any more.
func (o Operator) Drop(ctx context.Context, f FailedTask) error {
	if f.Job == "" {
		return nil
	}
	key := ladder.DroppedKey(f.Job, f.Task)
	if _, err := ledger.Write(ctx, o.Store, key, ledger.Note{Failure: f.Failure, Dropped: time.Now().UTC()}, ""); err != nil { // not won: it was dropped before
		return fmt.Errorf("record that %s of job %s is dropped: %w", f.Task, f.Job, err)
	}
	return o.forget(ctx, f, key)
}

// Resume forgets that a job's recording could not be planned, since the recording is sent
// again; where the job is repaired, also that tasks of it were dropped.
func (o Operator) Resume(ctx context.Context, id string, repair bool) error {
	there, err := ledger.Listed(ctx, o.Store, id)
	if err != nil {
		return err
	}
	given, err := there.Notes(ctx, o.Store)
	if err != nil {
		return err
	}
	for task, n := range given {
		if task == string(job.Recording) || repair && !n.Dropped.IsZero() {
			if err := o.forget(ctx, FailedTask{Failure: job.Failure{Job: id, Task: task}}, ""); err != nil {
				return err
			}
		}
	}
	return o.Note(ctx, id)
}

// forget removes the notes of a task, but for one.
func (o Operator) forget(ctx context.Context, f FailedTask, but string) error {
	if f.Job == "" {
		return nil
	}
	keys, err := o.Store.List(ctx, ladder.FailuresPrefix(f.Job))
	if err != nil {
		return fmt.Errorf("list failures of job %s: %w", f.Job, err)
	}
	for _, key := range keys {
		if strings.HasPrefix(key, ladder.FailurePrefix(f.Job, f.Task)) && key != but {
			if err := o.Store.Delete(ctx, key); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("forget failure: %w", err)
			}
		}
	}
	return nil
}
