// Package webhook reports a recording's events (live, ready, failed, removed) to URLs and commands: each at least once, those of
// a job in their order. Events that wait are in an outbox in the store, so a crash loses none. Start at [Sender.Run].
package webhook

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/ladder"
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

	mine  time.Time // until when the outbox is ours
	after string    // where the outbox is looked at next

	mu    sync.Mutex
	idle  map[string]time.Time // since when nothing was to be told of a job
	later map[string]time.Time // when a job is looked at again of which somebody could not be told
}

const (
	often   = 2 * time.Second  // between looks at the outbox
	claim   = 30 * time.Second // for which one has the outbox, after each look
	last    = 5 * time.Second  // for what is told before it ends
	atOnce  = 8                // jobs
	most    = 1000             // jobs a look
	longest = time.Minute      // that a job is left alone while somebody cannot be told of it
	patient = 72 * time.Hour   // after which nobody is told any more
	// quiet is more than anybody takes from the outbox to the note (catalog.Refresh): until then, a job of which nothing is told stays in it.
	quiet = 2 * time.Minute
)

// Run tells until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	s.idle, s.later = map[string]time.Time{}, map[string]time.Time{}
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("outbox of webhooks cannot be read for now", zap.Error(err))
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
		s.Log.Warn("some webhooks were not delivered", zap.Error(err))
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
	keys, err := s.Store.ListFrom(ctx, catalog.Outbox, s.after, most)
	if err != nil {
		return fmt.Errorf("list outbox: %w", err)
	}
	if s.after = ""; len(keys) == most { // those behind come next
		s.after = keys[most-1]
	}
	ctx, cancel := context.WithDeadline(ctx, s.mine) // then it may be another's
	defer cancel()
	var group errgroup.Group
	var faults []error
	group.SetLimit(atOnce)
	for _, key := range keys {
		if s.rests(key) {
			continue
		}
		group.Go(func() error {
			done, err := s.deliver(ctx, path.Base(key))
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil && done && s.rested(key) {
				err = s.forget(ctx, path.Base(key))
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

// rests tells whether it is too early to look at a job again.
func (s *Sender) rests(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.later[key]) {
		return true
	}
	delete(s.later, key)
	return false
}

// rested tells whether there has been nothing to tell of a job for so long that nothing will come of which the outbox knew.
func (s *Sender) rested(key string) bool {
	since, seen := s.idle[key]
	if !seen {
		s.idle[key] = time.Now()
	}
	return seen && time.Since(since) > quiet
}

// forget takes a job out of the outbox. Who noted something at the same time may have found it there: so it is looked at afterwards, and if
// anything is new, it is put back. Whoever was killed between what they did and their note is made good here.
func (s *Sender) forget(ctx context.Context, id string) error {
	if err := s.Store.Delete(ctx, catalog.Outbox+id); err != nil {
		return err
	}
	_, err := catalog.Refresh(ctx, s.Store, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	h, err2 := catalog.HistoryOf(ctx, s.Store, id)
	if n := len(h.Changes); err2 == nil && n > 0 && time.Since(h.Changes[n-1].At) < quiet {
		err2 = catalog.Mark(ctx, s.Store, id)
	}
	return errors.Join(err, err2)
}

// deliver tells everybody of a job; done is true if there is nothing more to tell.
func (s *Sender) deliver(ctx context.Context, id string) (done bool, err error) {
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
	h, err := catalog.HistoryOf(ctx, s.Store, id)
	if errors.Is(err, fs.ErrNotExist) { // it comes, or is being removed
		return true, nil
	}
	if err != nil {
		return false, err
	}
	key := ladder.JobPrefix(id) + "told.json"
	told := map[string]catalog.Told{}
	if etag, err = ledger.Load(ctx, s.Store, key, &told); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	changed, done := s.tellAll(ctx, told, h.Life, s.events(h))
	err = nil
	if changed {
		err = s.keep(ctx, key, told, etag)
	}
	if !done && err == nil {
		s.leave(id, told)
	}
	return done && !changed, err
}

// leave leaves a job alone until somebody is told again, but not for so long that others wait for what is new.
func (s *Sender) leave(id string, told map[string]catalog.Told) {
	until := time.Now().Add(longest)
	for _, t := range s.Targets {
		if next := told[t.Name()].Next; !next.IsZero() && next.Before(until) {
			until = next
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later[catalog.Outbox+id] = until
}

// events are what there is to tell of a job, from its first change on.
func (s *Sender) events(h catalog.History) (all []Event) {
	live := false
	for _, c := range h.Changes {
		kind := ""
		switch c.To {
		case catalog.Live, catalog.Waiting:
			if !live {
				kind = "live"
			}
			live = true
		case catalog.Published:
			kind, live = "ready", false
		case catalog.Failed:
			kind = "failed"
		}
		if kind != "" {
			all = append(all, s.event(kind, fmt.Sprintf("%s-%s-%d", h.Status.Job, h.Life, c.Number), c.Number, c.At, h.Status))
		}
	}
	return all
}

// keep writes down who was told, also if it is time to end.
func (s *Sender) keep(ctx context.Context, key string, v any, etag string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
	defer cancel()
	_, err := ledger.Write(ctx, s.Store, key, v, etag)
	return err
}

// tellRemoved tells everybody that a job was removed, and takes it out of the outbox.
func (s *Sender) tellRemoved(ctx context.Context, id string, out catalog.Outgoing, etag string) (done bool, err error) {
	if out.Told == nil {
		out.Told = map[string]catalog.Told{}
	}
	life := strconv.FormatInt(out.At.UnixMilli(), 10)
	changed, done := s.tellAll(ctx, out.Told, life, []Event{s.event("removed", id+"-"+life+"-removed", 1, out.At, *out.Removed)})
	switch {
	case done: // it may have been made again meanwhile: so an entry stays
		return false, s.keep(ctx, catalog.Outbox+id, catalog.Outgoing{}, etag)
	case changed:
		return false, s.keep(ctx, catalog.Outbox+id, out, etag)
	}
	return false, nil
}

// tellAll tells each target the next events that it was not told of, and notes that in told.
func (s *Sender) tellAll(ctx context.Context, told map[string]catalog.Told, life string, events []Event) (changed, done bool) {
	done = true
	for _, t := range s.Targets {
		progress := told[t.Name()]
		if progress.Life != life {
			progress = catalog.Told{Life: life}
		}
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
	if ctx.Err() != nil {
		return false
	}
	began := time.Now()
	if progress.Tries == 0 && time.Since(e.Time) > patient { // of before anybody wanted to be told, or while nobody told
		*progress = catalog.Told{Life: progress.Life, Number: e.number}
		return true
	}
	err := t.Tell(context.WithoutCancel(ctx), e) // it has its own time
	switch {
	case err == nil:
		log.Info("told", zap.Int("tries", progress.Tries+1), zap.Duration("took", time.Since(began)))
	case time.Since(e.Time) > patient:
		log.Error("webhook not delivered: given up", zap.Int("tries", progress.Tries+1), zap.Error(err))
	default:
		progress.Tries++
		progress.Next = time.Now().Add(backoff(progress.Tries)).UTC()
		log.Warn("webhook not delivered: retried later", zap.Int("tries", progress.Tries), zap.Time("next", progress.Next), zap.Error(err))
		return false
	}
	*progress = catalog.Told{Life: progress.Life, Number: e.number}
	return true
}

// backoff is how long to wait after so many tries that went wrong: 5 s, 10 s, 20 s, …, at most 10 min.
func backoff(tries int) time.Duration { return min(5*time.Second<<min(tries-1, 10), 10*time.Minute) }

// address is where an object is for those who are told; "" where that is not known.
func (s *Sender) address(key string) string {
	if s.Media == "" || key == "" {
		return ""
	}
	return strings.TrimSuffix(s.Media, "/") + "/" + escaped(key)
}
