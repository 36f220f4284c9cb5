package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"afterlive/ladder"
)

// Status is how far a job is, read from the store alone.
type Status struct {
	Job       string  `json:"job"`
	Asset     string  `json:"asset"`
	Profile   string  `json:"profile"`
	State     string  `json:"state"` // working, or one of the two below
	Parts     int     `json:"parts"`
	Done      int     `json:"done"`
	Duration  float64 `json:"duration_s"` // of the recording
	Encoded   float64 `json:"encoded_s"`  // of its picture (of its sound, if there is no picture)
	Master    string  `json:"master,omitempty"`
	Published string  `json:"published_job,omitempty"` // whose result the asset is at the moment
}

// States of a job that has a plan.
const (
	Working    = "working"
	Published  = "published"
	Superseded = "superseded" // a job planned later was published in its place
)

// JobStatus reads how far a job is. [fs.ErrNotExist]: it isn't planned yet, or
// never will be.
func JobStatus(ctx context.Context, store Store, id string) (Status, error) {
	plan, err := LoadPlan(ctx, store, id)
	if err != nil {
		return Status{}, err
	}
	done, err := PartsDone(ctx, store, plan)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Job: id, Asset: plan.Asset, Profile: plan.Profile, State: Working,
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
		s.State, s.Master = Published, ladder.StableMasterKey(plan.Asset)
	case s.Done == s.Parts && pointer.Planned.After(plan.Created):
		s.State = Superseded
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
	keys = slices.DeleteFunc(keys, func(key string) bool { return path.Base(key) != "plan.json" })
	plans := make([]*ladder.Plan, len(keys))
	all := make([]Status, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for i, key := range keys {
		group.Go(func() (err error) {
			id := path.Base(path.Dir(key))
			if plans[i], err = LoadPlan(ctx, store, id); err != nil {
				return err
			}
			if name == "" || plans[i].Asset == strings.Trim(name, "/") {
				all[i], err = JobStatus(ctx, store, id)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(plans, func(a, b *ladder.Plan) int { return a.Created.Compare(b.Created) })
	var found []Status
	for _, plan := range plans {
		for _, s := range all {
			if s.Job == plan.Job {
				found = append(found, s)
			}
		}
	}
	return found, nil
}
