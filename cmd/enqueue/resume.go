package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

type resumeCommand struct {
	All       bool   `help:"Also jobs that have failed: the failed queue is lost, too."`
	Unplanned bool   `help:"Also recordings of which there is no job: they waited in the queue, or their asset was removed and they were kept."`
	Profile   string `help:"Of those." default:"auto" placeholder:"NAME"`
	DryRun    bool   `help:"Only say what would be sent."`
}

// Help explains what --help has no place for.
func (*resumeCommand) Help() string {
	return `Messages are all that a queue has, and the store knows what was to be done: so a lost queue costs nothing but this. It sends each job that is not done; what is done is not made again. ` +
		`While the queue is well, there is no need for it: what waits there would be sent twice, which costs little.`
}

// resuming is a resume under way.
type resuming struct {
	*resumeCommand

	operator operate.Operator
	backend  *config.Backend
	stdout   io.Writer
	sent     int
}

// Run sends what isn't done.
func (c *resumeCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(o operate.Operator, backend *config.Backend) error {
		r := &resuming{c, o, backend, stdout, 0}
		err := r.jobs(ctx)
		if err == nil {
			err = r.recordings(ctx)
		}
		fmt.Fprintf(stdout, "%d messages\n", r.sent)
		return err
	})
}

func (r *resuming) send(ctx context.Context, what string, t job.Task) error {
	r.sent++
	fmt.Fprintf(r.stdout, "%s: %s\n", what, map[bool]string{true: "would be sent", false: "sent"}[r.DryRun])
	if r.DryRun {
		return nil
	}
	return r.backend.Queue.Send(ctx, t.Body(), 0)
}

// jobs sends those that are not done.
func (r *resuming) jobs(ctx context.Context) error {
	for q := (catalog.Query{Limit: 200}); ; {
		jobs, next, err := catalog.Page(ctx, r.backend.Store, q)
		if err != nil {
			return err
		}
		for _, s := range jobs {
			if s.State.Settled() && (!r.All || s.State != catalog.Failed) {
				continue
			}
			if err := r.job(ctx, s); err != nil {
				return fmt.Errorf("resume job %s: %w", s.Job, err)
			}
		}
		if q.After = next; next == "" {
			return nil
		}
	}
}

// job sends the recording of one, or of a clip its chunks, which are at most two.
func (r *resuming) job(ctx context.Context, s catalog.Status) error {
	plan, err := ledger.Plan(ctx, r.backend.Store, s.Job)
	unplanned := errors.Is(err, fs.ErrNotExist)
	if err != nil && !unplanned {
		return err
	}
	var again job.Task
	if unplanned {
		if again, err = r.failed(ctx, s.Job); err != nil {
			return err
		}
	}
	if s.State == catalog.Failed && !r.DryRun {
		if err := r.operator.Resume(ctx, s.Job, true); err != nil {
			return err
		}
	}
	switch {
	case unplanned:
		return r.send(ctx, s.Asset, again)
	case plan.Clip != nil:
		return r.clip(ctx, s, plan)
	}
	t := job.Task{Kind: job.Recording, Bucket: r.backend.Bucket, Key: plan.Recording.Key, ETag: plan.Recording.ETag, Profile: job.DefaultProfile, Repair: true}
	t.Trim = operate.TrimOf(plan)
	if t.JobID() != s.Job { // a job's name tells which profile was asked for
		t.Profile = plan.Profile
	}
	t.ETag = strings.TrimSuffix(t.ETag, growing.Replanned("")) // its head's job leads to it
	if plan.Grows {
		t.Watch = watching()
	}
	return r.send(ctx, s.Asset, t)
}

// failed is the task by which a recording could not be planned.
func (r *resuming) failed(ctx context.Context, id string) (job.Task, error) {
	there, err := ledger.Listed(ctx, r.backend.Store, id)
	if err != nil {
		return job.Task{}, err
	}
	notes, err := there.Notes(ctx, r.backend.Store)
	if err != nil {
		return job.Task{}, err
	}
	for _, n := range notes {
		if tasks, err := job.Parse(n.Message); err == nil && len(tasks) == 1 {
			tasks[0].Failures = 0
			return tasks[0], nil
		}
	}
	return job.Task{}, errors.New("nothing tells what was to be done: send its recording again")
}

// watching has workers look at a recording again and again until it has ended: that message is lost, too.
func watching() job.Watch { return job.Watch{Every: 5, Since: time.Now().UTC()} }

// clip sends what is not done of a clip; where all of it is, one of its chunks all the same, whose worker then publishes it.
func (r *resuming) clip(ctx context.Context, s catalog.Status, plan *ladder.Plan) error {
	whole, err := ledger.Job(ctx, r.backend.Store, plan)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(r.stdout, "%s: was broken off: make that clip again\n", s.Asset)
		return nil
	}
	if err != nil {
		return err
	}
	done, err := ledger.Done(ctx, r.backend.Store, plan)
	if err != nil {
		return err
	}
	var encoded, missing []int
	for n, name := range whole.ChunkNames() {
		_, err := ledger.Chunk(ctx, r.backend.Store, plan.Job, n)
		if errors.Is(err, fs.ErrNotExist) { // its asset's
			continue
		}
		if err != nil {
			return err
		}
		if encoded = append(encoded, n); !done[name] {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 && len(encoded) > 0 {
		missing = encoded[:1]
	}
	if len(missing) == 0 {
		fmt.Fprintf(r.stdout, "%s: is not published: make that clip again\n", s.Asset)
	}
	for _, n := range missing {
		if err := r.send(ctx, s.Asset, job.Task{Kind: job.Chunk, Job: s.Job, Chunk: n}); err != nil {
			return err
		}
	}
	return nil
}

// recordings sends those of which there is no job, if they are meant: their messages had not been taken yet, or their asset was removed.
func (r *resuming) recordings(ctx context.Context) error {
	keys, err := r.backend.Recordings.List(ctx, job.Prefix)
	if err != nil {
		return fmt.Errorf("list recordings: %w", err)
	}
	live := map[string]bool{}
	var all []string
	for _, key := range keys {
		if of, grows := strings.CutSuffix(key, ".growing/index.json"); grows {
			key, live[of] = of, true
		}
		if job.IsFLV(key) && job.ValidKey(key) == nil {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	count := 0
	for _, key := range slices.Compact(all) {
		t := job.Task{Kind: job.Recording, Bucket: r.backend.Bucket, Key: key, Profile: r.Profile}
		if _, etag, err := r.backend.Recordings.Stat(ctx, key); err == nil {
			t.ETag = etag
		} else if live[key] && errors.Is(err, fs.ErrNotExist) {
			t.Watch = watching()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if planned, err := r.planned(ctx, t); err != nil || planned {
			if err != nil {
				return err
			}
			continue
		}
		count++
		if r.Unplanned {
			if err := r.send(ctx, key, t); err != nil {
				return err
			}
		}
	}
	if count > 0 && !r.Unplanned {
		fmt.Fprintf(r.stdout, "%d recordings have no job: they waited in the queue, or their assets were removed. --unplanned sends them too\n", count)
	}
	return nil
}

// planned tells whether there is a job of this version of a recording.
func (r *resuming) planned(ctx context.Context, t job.Task) (bool, error) {
	ids, err := catalog.IDs(ctx, r.backend.Store, job.Asset(t.Key))
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		plan, err := ledger.Plan(ctx, r.backend.Store, id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it could not be planned
			return true, nil
		case err != nil:
			return false, err
		case plan.Recording.Key == t.Key && (t.ETag == "" || plan.Recording.ETag == t.ETag || growing.IsVersion(plan.Recording.ETag)): // a version that grew has a name of its own
			return true, nil
		}
	}
	return false, nil
}
