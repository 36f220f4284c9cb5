// Package catalog knows in which state each job is: working, failed, published and so on. [Look] finds that out from the job's documents, with several
// requests. [Refresh] writes the answer into an index after each change (index.go), so lists of jobs ([Page], [Of]) cost one request a job, however many
// there ever were.
package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// State is where a job stands. A recording that waits in the queue is no job yet.
type State string

// The states of a job, and what leads to each. Published, superseded, failed and dropped stay until somebody does something.
const (
	Working    State = "working"    // planned: its tasks wait, or are being done. Replayed, or sent again after it was dropped
	Retrying   State = "retrying"   // likewise, and one of its tasks failed a moment ago, and will be tried again
	Live       State = "live"       // the first seconds of a recording that grows were published: it can be watched
	Waiting    State = "waiting"    // live, and its publisher has lost its connection: it may come back
	Published  State = "published"  // its playlists are what the asset's URL shows
	Superseded State = "superseded" // another job of the asset was published; publish brings this one back
	Failed     State = "failed"     // a task that it needs is in the failed queue; replay tries it again
	Dropped    State = "dropped"    // an operator dropped such a task; sending the recording again takes it up
	Removed    State = "removed"    // it is being removed
)

// States are all that there are.
func States() []State {
	return []State{Working, Retrying, Live, Waiting, Published, Superseded, Failed, Dropped, Removed}
}

// Settled tells whether a job in that state stays so until somebody does something.
func (s State) Settled() bool {
	return s == Published || s == Superseded || s == Failed || s == Dropped || s == Removed
}

// Status is how a job stands.
type Status struct {
	Job         string         `json:"job"`
	Asset       string         `json:"asset"`
	Title       string         `json:"title,omitempty"` // what people call it, once it can be watched
	Profile     string         `json:"profile"`
	Recording   string         `json:"recording,omitempty"`  // its key
	Clip        *ladder.ClipOf `json:"clip,omitempty"`       // it is a part of another asset, and has no recording of its own
	Unrecorded  bool           `json:"unrecorded,omitempty"` // that was removed, as its time was over
	Planned     time.Time      `json:"planned,omitzero"`
	State       State          `json:"state"`
	Shown       State          `json:"shown,omitempty"` // what viewers see of it: published, live or waiting, also if a task has failed
	Since       time.Time      `json:"since,omitzero"`  // that it was seen in that state
	Parts       int            `json:"parts"`
	Done        int            `json:"done"`
	Duration    float64        `json:"duration_s"` // of the recording
	Encoded     float64        `json:"encoded_s"`  // of its video (of its audio, if there is no video)
	Master      string         `json:"master,omitempty"`
	Poster      string         `json:"poster,omitempty"`      // the key of a JPEG, once there is one
	Projections []string       `json:"projections,omitempty"` // of what is published, the default first
	Task        string         `json:"task,omitempty"`        // that failed
	Reason      string         `json:"reason,omitempty"`      // of its failure, and what to know of it
	Detail      string         `json:"detail,omitempty"`
	Next        time.Time      `json:"next,omitzero"`           // when a task that failed is tried again
	Waiting     time.Time      `json:"waiting,omitzero"`        // until then its publisher may come back
	Abandoned   bool           `json:"abandoned,omitempty"`     // its recorder went away: what that had not shipped is missing
	Missing     int            `json:"missing,omitempty"`       // how many things of the recording are, by asset.json
	Effort      *ladder.Total  `json:"effort,omitempty"`        // that it took, once published
	Keep        ladder.Keep    `json:"keep,omitzero"`           // for how long its profile keeps what was made
	Published   string         `json:"published_job,omitempty"` // whose result the asset is at the moment
}

// Look reads how a job stands. [fs.ErrNotExist]: it isn't planned yet, or never will be.
func Look(ctx context.Context, store ledger.Store, id string) (Status, error) {
	there, err := ledger.Listed(ctx, store, id)
	if err != nil {
		return Status{}, err
	}
	given, err := there.Notes(ctx, store)
	if err != nil {
		return Status{}, err
	}
	plan, err := ledger.Plan(ctx, store, id)
	if n, ok := given[string(job.Recording)]; ok && errors.Is(err, fs.ErrNotExist) {
		s, err := unplanned(id, n)
		if there.Has(ladder.RemovedKey(id)) {
			s.State = Removed
		}
		return s, err
	}
	if err != nil {
		return Status{}, err
	}
	var pointer ladder.Asset
	if _, err := ledger.Load(ctx, store, ladder.PointerKey(plan.Asset), &pointer); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
	done := there.Done()
	if pointer.Job == id && !pointer.Live { // the list may lag behind
		for _, name := range whole.PartNames() {
			done[name] = true
		}
	}
	s := howFar(whole, done)
	s.Unrecorded = there.Has(ladder.UnrecordedKey(id))
	s.decide(whole, done, pointer, given)
	if s.State == Working && s.Parts > 0 && s.Done == s.Parts && whole.End != nil && whole.Replan != "" {
		err = s.replanned(ctx, store)
	}
	if err == nil && s.State == Working {
		err = s.retries(ctx, store, there, done)
	}
	if there.Has(ladder.RemovedKey(id)) {
		s.State, s.Shown = Removed, ""
	}
	return s, err
}

// unplanned is the status of a job whose recording could not be planned.
func unplanned(id string, n ledger.Note) (Status, error) {
	var t job.Task // its profile, unless S3 sent the message
	if err := json.Unmarshal(n.Message, &t); err != nil {
		return Status{}, fmt.Errorf("read failure of job %s: %w", id, err)
	}
	return Status{
		Job: id, Asset: job.Asset(n.Source), Profile: t.Profile, Recording: n.Source, State: stateBy(n), Task: n.Task, Reason: n.Reason, Detail: n.Detail,
	}, nil
}

// howFar is how much of a plan is done.
func howFar(plan *ladder.Job, done map[string]bool) Status {
	s := Status{
		Job: plan.Job, Asset: plan.Asset, Profile: plan.Profile, Recording: plan.Recording.Key, Planned: plan.Created, State: Working,
		Parts: len(plan.PartNames()), Done: len(done), Duration: plan.Duration, Keep: plan.Keep,
	}
	if c := plan.Clip; c != nil {
		s.Recording, s.Clip = "", &ladder.ClipOf{Asset: c.Asset, From: plan.Rate.Time(c.From).Seconds(), To: plan.Rate.Time(c.To).Seconds()}
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
		s.published(plan.Plan, pointer)
		if !pointer.Live {
			return
		}
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

// published is what the asset says of its job.
func (s *Status) published(plan *ladder.Plan, pointer ladder.Asset) {
	s.State, s.Master, s.Effort = Published, ladder.StableMasterKey(plan.Asset), &pointer.Effort
	s.Title, s.Abandoned, s.Missing = pointer.Title, pointer.Abandoned, len(pointer.Missing)
	if pointer.Poster != "" {
		s.Poster = path.Join("vod", plan.Asset, pointer.Poster)
	}
	for _, l := range pointer.Ladders {
		if form := string(l.Projection); !slices.Contains(s.Projections, form) {
			s.Projections = append(s.Projections, form)
		}
	}
	switch {
	case !pointer.Live:
	case pointer.Waiting.IsZero():
		s.State = Live
	default:
		s.State, s.Waiting = Waiting, pointer.Waiting
	}
	if s.Shown = s.State; pointer.Live {
		s.Encoded = pointer.Duration
	}
}

// replanned finds whether the whole recording was planned anew by now, as another job: that is the one that will be published.
func (s *Status) replanned(ctx context.Context, store ledger.Store) error {
	all, err := noted(ctx, store, s.Asset)
	if err == nil && slices.ContainsFunc(all, func(other Status) bool { return other.Planned.After(s.Planned) }) {
		s.State = Superseded
	}
	return err
}

// retries finds the last task that failed and will be tried again.
func (s *Status) retries(ctx context.Context, store ledger.Store, there ledger.Listing, done map[string]bool) error {
	all, err := there.Retries(ctx, store, done)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Next.After(s.Next) && r.Current() {
			s.State, s.Task, s.Reason, s.Detail, s.Next = Retrying, r.Task, r.Reason, r.Task+": "+r.Detail, r.Next
		}
	}
	return nil
}

// stateBy is that of a job that needs a task of which there is a note.
func stateBy(n ledger.Note) State {
	if n.Dropped.IsZero() {
		return Failed
	}
	return Dropped
}
