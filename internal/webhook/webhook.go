// Package webhook tells others what becomes of recordings: that one is live, ready, has failed or was removed. The outbox in the store
// has the jobs to tell of, and the notes of jobs how they got there, so nothing is lost with whoever tells of it. Each is told
// at least once, and those of a job in their order.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive/internal/catalog"
	"afterlive/internal/ledger"
	"afterlive/ladder"
)

// Store is where jobs, and the outbox, are.
type Store interface {
	catalog.Pages
	Delete(ctx context.Context, key string) error
}

// Target is who is told. A nil error means that they know.
type Target interface {
	// Name says who it is, in logs and for what is noted of them. It must stay the same.
	Name() string
	Tell(ctx context.Context, e Event) error
}

// Sender tells targets. Of several of one store, one works at a time.
type Sender struct {
	Store   Store
	Targets []Target
	Media   string // where vod/ is, as https://cdn.example.org; "": addresses are not told
	Name    string // who this is: different from all others
	Log     *zap.Logger

	mine time.Time // until when the outbox is ours
	idle map[string]time.Time
}

const (
	often   = 2 * time.Second  // between looks at the outbox
	claim   = 30 * time.Second // for which one has the outbox, after each look
	last    = 5 * time.Second  // for what is told before it ends
	atOnce  = 8                // jobs
	most    = 1000             // jobs a look
	patient = 72 * time.Hour   // after which nobody is told any more
	// quiet is more than anybody takes from the outbox to the note (catalog.Refresh): until then, a job of which nothing is told stays in it.
	quiet = 2 * time.Minute
)

// Run tells until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	s.idle = map[string]time.Time{}
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("others cannot be told for now", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			s.finish(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
	}
}

// finish tells what there is to tell by now. What is left, another does.
func (s *Sender) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, last)
	defer cancel()
	if err := s.round(ctx); err != nil {
		s.Log.Warn("others were not told of everything", zap.Error(err))
	}
}

// claimKey is where it is said who has the outbox.
const claimKey = "index/sender.json"

// hold makes the outbox ours for a while, if it is nobody else's.
func (s *Sender) hold(ctx context.Context) (bool, error) {
	if time.Until(s.mine) > claim/2 {
		return true, nil
	}
	var c ledger.Claim
	etag, err := ledger.Load(ctx, s.Store, claimKey, &c)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if left := time.Until(c.Until); c.By != s.Name && left > 0 && left <= claim {
		return false, nil
	}
	until := time.Now().Add(claim).UTC()
	won, err := ledger.Write(ctx, s.Store, claimKey, ledger.Claim{By: s.Name, Until: until}, etag)
	if err == nil && won {
		s.mine = until
	}
	return won, err
}

// round tells what there is to tell.
func (s *Sender) round(ctx context.Context) error {
	if mine, err := s.hold(ctx); err != nil || !mine {
		return err
	}
	keys, err := s.Store.ListFrom(ctx, catalog.Outbox, "", most)
	if err != nil {
		return fmt.Errorf("list outbox: %w", err)
	}
	ctx, cancel := context.WithDeadline(ctx, s.mine) // then it may be another's
	defer cancel()
	var group errgroup.Group
	var mu sync.Mutex
	var faults []error
	group.SetLimit(atOnce)
	for _, key := range keys {
		group.Go(func() error {
			done, err := s.tell(ctx, path.Base(key))
			mu.Lock()
			defer mu.Unlock()
			if err == nil && done && s.rested(key) {
				err = s.Store.Delete(ctx, key)
				delete(s.idle, key)
			}
			if !done {
				delete(s.idle, key)
			}
			faults = append(faults, err)
			return nil
		})
	}
	return errors.Join(group.Wait(), errors.Join(faults...))
}

// rested tells whether there has been nothing to tell of a job for so long that nothing will come of which the outbox knew.
func (s *Sender) rested(key string) bool {
	since, seen := s.idle[key]
	if !seen {
		s.idle[key] = time.Now()
	}
	return seen && time.Since(since) > quiet
}

// tell tells everybody of a job; done is true if there is nothing more to tell.
func (s *Sender) tell(ctx context.Context, id string) (done bool, err error) {
	var out catalog.Outgoing
	etag, err := ledger.Load(ctx, s.Store, catalog.Outbox+id, &out)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if out.Removed != nil {
		return s.tellRemoved(ctx, id, out, etag)
	}
	changes, status, err := catalog.Changes(ctx, s.Store, id)
	if errors.Is(err, fs.ErrNotExist) { // it comes, or is being removed
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var events []Event
	for _, c := range changes {
		if kind := kindOf(c); kind != "" {
			events = append(events, s.event(kind, fmt.Sprintf("%s-%d", id, c.Number), c.Number, c.At, status))
		}
	}
	key := ladder.JobPrefix(id) + "told.json"
	told := map[string]catalog.Told{}
	if etag, err = ledger.Load(ctx, s.Store, key, &told); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	changed, done := s.tellAll(ctx, told, events)
	if changed {
		_, err = ledger.Write(ctx, s.Store, key, told, etag)
	} else {
		err = nil
	}
	return done && !changed, err
}

// tellRemoved tells everybody that a job was removed, and takes it out of the outbox.
func (s *Sender) tellRemoved(ctx context.Context, id string, out catalog.Outgoing, etag string) (done bool, err error) {
	if out.Told == nil {
		out.Told = map[string]catalog.Told{}
	}
	changed, done := s.tellAll(ctx, out.Told, []Event{s.event("removed", id+"-removed", 1, out.At, *out.Removed)})
	if done {
		return false, s.Store.Delete(ctx, catalog.Outbox+id)
	}
	if changed {
		_, err = ledger.Write(ctx, s.Store, catalog.Outbox+id, out, etag)
	}
	return false, err
}

// tellAll tells each target the next events that it was not told of, and notes that in told.
func (s *Sender) tellAll(ctx context.Context, told map[string]catalog.Told, events []Event) (changed, done bool) {
	done = true
	for _, t := range s.Targets {
		progress := told[t.Name()]
		before := progress
		for _, e := range events {
			if e.number <= progress.Number {
				continue
			}
			if !s.tellOne(ctx, t, &progress, e) {
				done = false
				break
			}
		}
		if progress != before {
			told[t.Name()], changed = progress, true
		}
	}
	return changed, done
}

// tellOne tells a target of an event, if it is time for that. It is true if that need not be done again.
func (s *Sender) tellOne(ctx context.Context, t Target, progress *catalog.Told, e Event) bool {
	log := s.Log.With(zap.String("event", e.ID), zap.String("type", e.Type), zap.String("asset", e.Data.Asset), zap.String("to", t.Name()))
	if time.Now().Before(progress.Next) {
		return false
	}
	began := time.Now()
	err := t.Tell(ctx, e)
	switch {
	case err == nil:
		log.Info("told", zap.Int("tries", progress.Tries+1), zap.Duration("took", time.Since(began)))
	case ctx.Err() != nil: // whether they know, they know
		return false
	case time.Since(e.Time) > patient:
		log.Error("not told: given up", zap.Int("tries", progress.Tries+1), zap.Error(err))
	default:
		progress.Tries++
		progress.Next, progress.Fault = time.Now().Add(backoff(progress.Tries)).UTC(), err.Error()
		log.Warn("not told: tried again later", zap.Int("tries", progress.Tries), zap.Time("next", progress.Next), zap.Error(err))
		return false
	}
	*progress = catalog.Told{Number: e.number}
	return true
}

// backoff is how long to wait after so many tries that went wrong: 5 s, 10 s, 20 s, …, at most 10 min.
func backoff(tries int) time.Duration { return min(5*time.Second<<min(tries-1, 10), 10*time.Minute) }

// kindOf is what a change is told as; "": not at all.
func kindOf(c catalog.Change) string {
	switch {
	case c.To == catalog.Live && c.From != catalog.Waiting:
		return "live"
	case c.To == catalog.Published:
		return "ready"
	case c.To == catalog.Failed:
		return "failed"
	}
	return ""
}

// address is where an object is for those who are told; "" where that is not known.
func (s *Sender) address(key string) string {
	if s.Media == "" || key == "" {
		return ""
	}
	return strings.TrimSuffix(s.Media, "/") + "/" + escaped(key)
}
