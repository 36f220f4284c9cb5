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

	"afterlive/internal/catalog"
	"afterlive/internal/growing"
	"afterlive/internal/job"
	"afterlive/internal/ledger"
	"afterlive/internal/operate"
	"afterlive/internal/wiring"
)

type resumeCommand struct {
	All     bool   `help:"Also jobs that have failed: the failed queue is lost, too."`
	Profile string `help:"Of recordings that were not planned yet." default:"auto" placeholder:"NAME"`
	DryRun  bool   `help:"Only say what would be sent."`
}

// Help explains what --help has no place for.
func (*resumeCommand) Help() string {
	return `Messages are all that a queue has, and the store knows what was to be done: so a lost queue costs nothing but this. It sends each job that is not done, and each recording of which there is no job. ` +
		`What is done is not made again. While the queue is well, there is no need for it: what waits there would be sent twice, which costs little.`
}

// Run sends what isn't done.
func (c *resumeCommand) Run(ctx context.Context, stdout io.Writer, flags wiring.Flags) error {
	return atPlace(ctx, flags, func(o operate.Operator, place *wiring.Place) error {
		sent := 0
		send := func(what string, t job.Task) error {
			sent++
			fmt.Fprintf(stdout, "%s: %s\n", what, map[bool]string{true: "would be sent", false: "sent"}[c.DryRun])
			if c.DryRun {
				return nil
			}
			return place.Queue.Send(ctx, t.Body(), 0)
		}
		known, err := c.jobs(ctx, o, place, send)
		if err == nil {
			err = c.recordings(ctx, place, known, send)
		}
		fmt.Fprintf(stdout, "%d messages\n", sent)
		return err
	})
}

// jobs sends those that are not done, and returns the recordings of all.
func (c *resumeCommand) jobs(ctx context.Context, o operate.Operator, place *wiring.Place, send func(string, job.Task) error) (known map[string]bool, err error) {
	known = map[string]bool{}
	q := catalog.Query{Limit: 200}
	for {
		jobs, next, err := catalog.Page(ctx, place.Store, q)
		if err != nil {
			return known, err
		}
		for _, s := range jobs {
			if s.Recording != "" && (!c.All || !s.Planned.IsZero()) { // what could not be planned is tried again
				known[s.Recording] = true
			}
			if s.State.Settled() && (!c.All || s.State != catalog.Failed) {
				continue
			}
			if err := c.resume(ctx, o, place, s, send); err != nil {
				return known, fmt.Errorf("resume job %s: %w", s.Job, err)
			}
		}
		if q.After = next; next == "" {
			return known, nil
		}
	}
}

// resume sends a job's recording, or of a clip its chunks, which are at most two.
func (c *resumeCommand) resume(ctx context.Context, o operate.Operator, place *wiring.Place, s catalog.Status, send func(string, job.Task) error) error {
	plan, err := ledger.Plan(ctx, place.Store, s.Job)
	unplanned := errors.Is(err, fs.ErrNotExist)
	if err != nil && !unplanned {
		return err
	}
	if s.State == catalog.Failed && !c.DryRun {
		if err := o.Resume(ctx, s.Job, true); err != nil {
			return err
		}
	}
	if unplanned { // its recording is sent below
		return nil
	}
	if plan.Clip != nil {
		return c.clip(ctx, place, s, send)
	}
	t := job.Task{Kind: job.Recording, Bucket: place.Bucket, Key: plan.Recording.Key, ETag: plan.Recording.ETag, Profile: job.DefaultProfile, Repair: true}
	if plan.Grows {
		t.Watch = watching()
	}
	if version, replanned := strings.CutSuffix(t.ETag, growing.Replanned("")); replanned { // its head's job leads to it
		t.ETag = version
	} else if t.In(place.Bucket).JobID() != s.Job { // a job's name tells which profile was asked for
		t.Profile = plan.Profile
	}
	return send(s.Asset, t)
}

// watching has workers look at a recording again and again until it has ended: that message is lost, too.
func watching() job.Watch { return job.Watch{Every: 5, Since: time.Now().UTC()} }

// clip sends what is not done of a clip.
func (c *resumeCommand) clip(ctx context.Context, place *wiring.Place, s catalog.Status, send func(string, job.Task) error) error {
	plan, err := ledger.Plan(ctx, place.Store, s.Job)
	if err != nil {
		return err
	}
	whole, err := ledger.Job(ctx, place.Store, plan)
	if errors.Is(err, fs.ErrNotExist) { // it was broken off: whoever wants it asks again
		return nil
	}
	if err != nil {
		return err
	}
	done, err := ledger.Done(ctx, place.Store, plan)
	if err != nil {
		return err
	}
	for n, name := range whole.ChunkNames() {
		if !done[name] {
			if err := send(s.Asset+" ("+name+")", job.Task{Kind: job.Chunk, Job: s.Job, Chunk: n}); err != nil {
				return err
			}
		}
	}
	return nil
}

// recordings sends those of which there is no job: their messages had not been taken yet.
func (c *resumeCommand) recordings(ctx context.Context, place *wiring.Place, known map[string]bool, send func(string, job.Task) error) error {
	keys, err := place.Recordings.List(ctx, job.Prefix)
	if err != nil {
		return fmt.Errorf("list recordings: %w", err)
	}
	var all []string
	live := map[string]bool{}
	for _, key := range keys {
		if of, grows := strings.CutSuffix(key, ".growing/index.json"); grows {
			key, live[of] = of, true
		}
		if job.IsFLV(key) && job.ValidKey(key) == nil && !known[key] {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	for _, key := range slices.Compact(all) {
		t := job.Task{Kind: job.Recording, Bucket: place.Bucket, Key: key, Profile: c.Profile}
		if _, etag, err := place.Recordings.Stat(ctx, key); err == nil {
			t.ETag = etag
		} else if live[key] && errors.Is(err, fs.ErrNotExist) {
			t.Watch = watching()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := send(key, t); err != nil {
			return err
		}
	}
	return nil
}
