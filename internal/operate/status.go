// Package operate is what people ask of jobs: how far they are, what failed and why, to try it again or
// to give it up, and what is garbage.
package operate

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
	"afterlive/internal/ledger"
	"afterlive/ladder"
)

// State is where a job stands.
type State string

// The states of a job. All but working and live are ends, until an operator changes it.
const (
	Working    State = "working"    // its tasks wait, are done, or will be tried again
	Failed     State = "failed"     // a task that it needs is in the failed queue; replay tries it again
	Dropped    State = "dropped"    // an operator dropped such a task; sending the recording again takes it up
	Live       State = "live"       // its recording grows, and what there is can be watched
	Published  State = "published"  // it is what the asset's URL shows
	Superseded State = "superseded" // it is complete, but the asset is another job; publish brings it back
)

// Status is how far a job is, read from the store alone.
type Status struct {
	Job       string        `json:"job"`
	Asset     string        `json:"asset"`
	Profile   string        `json:"profile"`
	Planned   time.Time     `json:"planned,omitzero"`
	State     State         `json:"state"`
	Parts     int           `json:"parts"`
	Done      int           `json:"done"`
	Duration  float64       `json:"duration_s"` // of the recording
	Encoded   float64       `json:"encoded_s"`  // of its picture (of its sound, if there is no picture)
	Master    string        `json:"master,omitempty"`
	Task      string        `json:"task,omitempty"`   // that was given up
	Reason    string        `json:"reason,omitempty"` // of its failure, and what to know of it
	Detail    string        `json:"detail,omitempty"`
	Waiting   time.Time     `json:"waiting,omitzero"`        // of a live one: until then its publisher may come back
	Effort    *ladder.Total `json:"effort,omitempty"`        // that it took, once published
	Published string        `json:"published_job,omitempty"` // whose result the asset is at the moment
}

// JobStatus reads how far a job is. [fs.ErrNotExist]: it isn't planned yet, or
// never will be.
func JobStatus(ctx context.Context, store ledger.Store, id string) (Status, error) {
	given, err := ledger.Notes(ctx, store, id)
	if err != nil {
		return Status{}, err
	}
	plan, err := ledger.Plan(ctx, store, id)
	if n, ok := given[string(job.Recording)]; ok && errors.Is(err, fs.ErrNotExist) {
		return unplanned(id, n)
	}
	if err != nil {
		return Status{}, err
	}
	done, err := ledger.Done(ctx, store, plan)
	if err != nil {
		return Status{}, err
	}
	var pointer ladder.Asset
	_, err = ledger.Load(ctx, store, ladder.PointerKey(plan.Asset), &pointer)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Status{}, err
	}
	whole, err := ledger.Job(ctx, store, plan)
	if errors.Is(err, fs.ErrNotExist) { // it grows, or is about to be divided
		var d ledger.Dispatch
		if d, _, err = ledger.Dispatched(ctx, store, plan); err == nil {
			whole = plan.SoFar(d.Chunks)
		}
	}
	if err != nil {
		return Status{}, err
	}
	s := howFar(whole, done)
	s.decide(whole, done, pointer, given)
	return s, nil
}

// unplanned is the status of a job whose recording could not be planned.
func unplanned(id string, n ledger.Note) (Status, error) {
	var t job.Task // its profile, unless S3 sent the message
	if err := json.Unmarshal(n.Message, &t); err != nil {
		return Status{}, fmt.Errorf("read failure of job %s: %w", id, err)
	}
	return Status{Job: id, Asset: job.Asset(n.Source), Profile: t.Profile, State: stateBy(n), Task: n.Task, Reason: n.Reason, Detail: n.Detail}, nil
}

// howFar is how much of a plan is done.
func howFar(plan *ladder.Job, done map[string]bool) Status {
	s := Status{
		Job: plan.Job, Asset: plan.Asset, Profile: plan.Profile, Planned: plan.Created, State: Working,
		Parts: len(plan.PartNames()), Done: len(done), Duration: plan.Duration,
	}
	for k, c := range plan.Chunks {
		if done[ladder.ChunkPart(k)] {
			s.Encoded += plan.Rate.Time(c.To).Seconds() - plan.Rate.Time(c.From).Seconds()
		}
	}
	return s
}

// decide finds the state. A note of a part that is there is of a copy of its message, and
// means nothing.
func (s *Status) decide(plan *ladder.Job, done map[string]bool, pointer ladder.Asset, given map[string]ledger.Note) {
	s.Published = pointer.Job
	if pointer.Job == plan.Job {
		s.State, s.Master, s.Effort = Published, ladder.StableMasterKey(plan.Asset), &pointer.Effort
		if !pointer.Live {
			return
		}
		s.State, s.Waiting = Live, pointer.Waiting
	}
	needed := []string{ladder.PublishTask}
	if s.Done < s.Parts || s.Parts == 0 {
		needed = append(plan.PartNames(), string(job.Recording)) // its message sends theirs
	} else if pointer.Outranks(plan.Plan) {
		s.State = Superseded
	}
	for _, name := range needed {
		n, ok := given[name]
		if !ok || done[name] || s.State == Failed { // what can be replayed comes before what was dropped
			continue
		}
		s.State, s.Task, s.Reason, s.Detail = stateBy(n), name, n.Reason, name+": "+n.Detail
	}
}

// stateBy is that of a job that needs a task of which there is a note.
func stateBy(n ledger.Note) State {
	if n.Dropped.IsZero() {
		return Failed
	}
	return Dropped
}

// looks is how many jobs are read at once.
const looks = 8

// FindJobs returns the jobs that a name means: a job, an asset (all of its jobs),
// or, empty, all that there are. The earliest planned comes first.
func FindJobs(ctx context.Context, store ledger.Store, name string) ([]Status, error) {
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
		if parts := strings.Split(key, "/"); len(parts) > 2 {
			ids = append(ids, parts[1])
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	all := make([]Status, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
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
