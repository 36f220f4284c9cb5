package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"afterlive/internal/job"
	"afterlive/ladder"
)

// Status is how far a job is, read from the store alone.
type Status struct {
	Job       string        `json:"job"`
	Asset     string        `json:"asset"`
	Profile   string        `json:"profile"`
	Planned   time.Time     `json:"planned,omitzero"`
	State     string        `json:"state"` // one of those below
	Parts     int           `json:"parts"`
	Done      int           `json:"done"`
	Duration  float64       `json:"duration_s"` // of the recording
	Encoded   float64       `json:"encoded_s"`  // of its picture (of its sound, if there is no picture)
	Master    string        `json:"master,omitempty"`
	Reason    string        `json:"reason,omitempty"` // of the failure, and what to know of it
	Detail    string        `json:"detail,omitempty"`
	Effort    *ladder.Total `json:"effort,omitempty"`        // that it took, once published
	Published string        `json:"published_job,omitempty"` // whose result the asset is at the moment
}

// States of a job.
const (
	Working    = "working"
	Failed     = "failed" // a task that it needs was given up
	Published  = "published"
	Superseded = "superseded" // a job planned later was published in its place
)

// NoteFailure keeps a failure with its job, and adds which recording it is about. Its
// key's end is what operators may have S3 notify them of.
func (p *Pipeline) NoteFailure(ctx context.Context, f *job.Failure) error {
	if f.Source == "" {
		if plan, err := LoadPlan(ctx, p.Store, f.Job); err == nil {
			f.Source, f.ETag = plan.Recording.Key, plan.Recording.ETag
		}
	}
	key := fmt.Sprintf("%s%s-%d-failed.json", ladder.FailuresPrefix(f.Job), f.Task, f.Time.UnixMilli())
	_, err := p.writeJSON(ctx, key, *f, "")
	return err
}

// failures are the last failure of each of a job's tasks.
func failures(ctx context.Context, store Store, id string) (map[string]job.Failure, error) {
	keys, err := store.List(ctx, ladder.FailuresPrefix(id))
	if err != nil {
		return nil, fmt.Errorf("list failures of job %s: %w", id, err)
	}
	last := map[string]job.Failure{}
	for _, key := range keys {
		var f job.Failure
		if _, err := loadJSON(ctx, store, key, &f); err != nil {
			return nil, err
		}
		if f.Time.After(last[f.Task].Time) {
			last[f.Task] = f
		}
	}
	return last, nil
}

// LastFailure is how a task of a job failed last; ok is false if it never did.
func LastFailure(ctx context.Context, store Store, id, task string) (f job.Failure, ok bool, err error) {
	all, err := failures(ctx, store, id)
	f, ok = all[task]
	return f, ok, err
}

// JobStatus reads how far a job is. [fs.ErrNotExist]: it isn't planned yet, or
// never will be.
func JobStatus(ctx context.Context, store Store, id string) (Status, error) {
	failed, err := failures(ctx, store, id)
	if err != nil {
		return Status{}, err
	}
	plan, err := LoadPlan(ctx, store, id)
	if f, ok := failed[string(job.Recording)]; ok && errors.Is(err, fs.ErrNotExist) {
		var t job.Task // its profile, unless S3 sent the message
		if err := json.Unmarshal(f.Message, &t); err != nil {
			return Status{}, fmt.Errorf("read failure of job %s: %w", id, err)
		}
		return Status{Job: id, Asset: job.Asset(f.Source), Profile: t.Profile, State: Failed, Reason: f.Reason, Detail: f.Detail}, nil
	}
	if err != nil {
		return Status{}, err
	}
	done, err := PartsDone(ctx, store, plan)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Job: id, Asset: plan.Asset, Profile: plan.Profile, Planned: plan.Created, State: Working,
		Parts: len(plan.PartNames()), Done: len(done), Duration: plan.Duration,
	}
	for k, c := range plan.Chunks {
		if done[ladder.ChunkPart(k)] {
			s.Encoded += plan.Rate.Time(c.To).Seconds() - plan.Rate.Time(c.From).Seconds()
		}
	}
	if len(plan.Chunks) == 0 && done[ladder.AudioPart] {
		s.Encoded = plan.Duration
	}
	var pointer ladder.Asset
	_, err = loadJSON(ctx, store, ladder.PointerKey(plan.Asset), &pointer)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Status{}, err
	}
	s.Published = pointer.Job
	switch {
	case pointer.Job == id:
		s.State, s.Master, s.Effort = Published, ladder.StableMasterKey(plan.Asset), &pointer.Effort
	case s.Done == s.Parts && pointer.Planned.After(plan.Created):
		s.State = Superseded
	}
	for _, name := range plan.PartNames() {
		if f, ok := failed[name]; ok && !done[name] {
			s.State, s.Reason, s.Detail = Failed, f.Reason, name+": "+f.Detail
		}
	}
	return s, nil
}

// FindJobs returns the jobs that a name means: a job, an asset (all of its jobs),
// or, empty, all that there are. The earliest planned comes first.
func FindJobs(ctx context.Context, store Store, name string) ([]Status, error) {
	if s, err := JobStatus(ctx, store, name); err == nil {
		return []Status{s}, nil
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		return nil, err
	}
	keys, err := store.List(ctx, "jobs/")
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	var ids []string
	for _, key := range keys {
		if parts := strings.Split(key, "/"); len(parts) > 2 && !slices.Contains(ids, parts[1]) {
			ids = append(ids, parts[1])
		}
	}
	all := make([]Status, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for i, id := range ids {
		group.Go(func() (err error) {
			all[i], err = JobStatus(ctx, store, id)
			if errors.Is(err, fs.ErrNotExist) { // nothing but notes of what is no longer there
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s Status) bool {
		return s.Job == "" || (name != "" && s.Asset != strings.Trim(name, "/"))
	})
	slices.SortFunc(all, func(a, b Status) int { return a.Planned.Compare(b.Planned) })
	return all, nil
}
