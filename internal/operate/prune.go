package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/ladder"
)

// What is pruned.
const (
	prunedAsset      = "asset"
	prunedSuperseded = "superseded"
	prunedRecording  = "recording"
)

// Pruned is something whose time is over.
type Pruned struct {
	What   string // asset, superseded or recording
	Status catalog.Status
	Belongings
	Err error // why it stays
}

// Prune removes what is older than its profile says, or where that says nothing, than keep does, and tells of each; with dry, it only tells. What has
// failed, or is at work, stays, and so does its recording. What cannot be removed keeps nothing else from it.
func (o Operator) Prune(ctx context.Context, recordings Recordings, keep ladder.Keep, dry bool, report func(Pruned)) error {
	if err := keep.Check(); err != nil {
		return err
	}
	now := time.Now()
	rule := func(s catalog.Status) ladder.Keep { return s.Keep.Or(keep) }
	q := catalog.Query{States: []catalog.State{catalog.Published, catalog.Superseded, catalog.Removed}, Limit: 200, Noted: true}
	var faults []error
	gone := map[string]bool{} // recordings: several jobs may have one
	for {
		jobs, next, err := catalog.Page(ctx, o.Store, q)
		if err != nil {
			return errors.Join(append(faults, err)...)
		}
		for _, s := range jobs {
			if young(s, rule(s), now) {
				continue
			}
			p, due := o.due(ctx, recordings, rule, now, s)
			if p.What == prunedRecording {
				due = due && !gone[s.Recording]
				gone[s.Recording] = true
			}
			if due && p.Err == nil && !dry {
				p.Err = o.prune(ctx, recordings, p)
			}
			if p.Err != nil && !errors.Is(p.Err, ErrAtWork) && !errors.Is(p.Err, ErrClipped) {
				faults = append(faults, fmt.Errorf("%s %s: %w", p.What, s.Asset, p.Err))
			}
			if due {
				report(p)
			}
			if err := ctx.Err(); err != nil {
				return errors.Join(append(faults, err)...)
			}
		}
		if q.After = next; next == "" {
			return errors.Join(faults...)
		}
	}
}

// keepRule says for how long what a job made is kept.
type keepRule func(catalog.Status) ladder.Keep

// young tells whether nothing of a job can be due, whatever its state is by now.
func young(s catalog.Status, keep ladder.Keep, now time.Time) bool {
	least := time.Duration(keep.Youngest())
	return s.State != catalog.Removed && (least == 0 || now.Sub(s.Planned) <= least)
}

// due is what of a job is to go, as it stands now: its note may be older.
func (o Operator) due(ctx context.Context, recordings Recordings, rule keepRule, now time.Time, s catalog.Status) (p Pruned, due bool) {
	p.Status = s
	s, err := catalog.Refresh(ctx, o.Store, s.Job)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false
	}
	if err != nil {
		p.Err = err
		return p, true
	}
	p.Status = s
	keep := rule(s) // its note may lack it
	over := func(age ladder.Age, since time.Time) bool { return age > 0 && now.Sub(since) > time.Duration(age) }
	old := over(keep.Recordings, s.Planned)
	switch {
	case s.State == catalog.Published && over(keep.Assets, s.Planned):
		p.What = prunedAsset
		if !old {
			recordings = nil
		}
		if p.Belongings, p.Err = o.FindBelongings(ctx, s.Asset, recordings, false); p.Err == nil {
			p.Err = o.old(ctx, p.Belongings, now.Add(-time.Duration(keep.Assets)))
		}
	case s.State == catalog.Removed: // whoever removed it was killed over it
		p.What = prunedAsset
		if s.Published != "" && s.Published != s.Job {
			p.What = prunedSuperseded
			p.Err = o.belongings(ctx, s, &p.Belongings)
			break
		}
		p.Belongings, p.Err = o.FindBelongings(ctx, s.Asset, nil, false)
	case s.State == catalog.Superseded && over(keep.Superseded, s.Since):
		p.What = prunedSuperseded
		p.Err = o.belongings(ctx, s, &p.Belongings)
	case old && !s.Unrecorded && s.Recording != "":
		p.What = prunedRecording
		p.Recordings, p.Err = o.recordingOf(ctx, recordings, s, func(other catalog.Status) bool { return over(rule(other).Recordings, other.Planned) })
	default:
		return p, false
	}
	if p.What == prunedRecording && p.None() && p.Err == nil { // somebody was here before
		p.Err = o.unrecorded(ctx, s.Asset)
	}
	return p, !p.None() || p.Err != nil
}

// old tells whether all of an asset is from before a time, and nothing of it has failed, or was brought back by an operator since.
func (o Operator) old(ctx context.Context, b Belongings, before time.Time) error {
	for _, s := range b.Jobs {
		if s.State != catalog.Published && s.State != catalog.Superseded || s.Planned.After(before) {
			return fmt.Errorf("job %s is %s, and was planned %s: %w", s.Job, s.State, s.Planned.Format(time.DateTime), ErrAtWork)
		}
		var pointer ladder.Asset
		if _, err := ledger.Load(ctx, o.Store, ladder.PointerKey(s.Asset), &pointer); err != nil {
			return err
		}
		if pointer.Chosen.After(before) {
			return fmt.Errorf("job %s was published again %s: %w", pointer.Job, pointer.Chosen.Format(time.DateTime), ErrAtWork)
		}
	}
	return nil
}

// recordingOf is a job's recording, if no other job may want it, and its time is over for each.
func (o Operator) recordingOf(ctx context.Context, recordings Recordings, s catalog.Status, over func(catalog.Status) bool) ([]string, error) {
	all, err := catalog.Of(ctx, o.Store, s.Asset)
	if err != nil {
		return nil, err
	}
	for _, other := range all {
		if other.State != catalog.Published && other.State != catalog.Superseded && other.State != catalog.Dropped {
			return nil, fmt.Errorf("job %s is %s: %w", other.Job, other.State, ErrAtWork)
		}
		if other.Recording == s.Recording && !other.Unrecorded && !over(other) {
			return nil, fmt.Errorf("job %s, planned %s, keeps it: %w", other.Job, other.Planned.Format(time.DateTime), ErrAtWork)
		}
		if err := o.clipsAreDone(ctx, other.Job); err != nil {
			return nil, err
		}
	}
	return recordingsOf(ctx, recordings, []string{s.Recording})
}

// clipsAreDone is an error while a clip of a job needs its recording, or may yet.
func (o Operator) clipsAreDone(ctx context.Context, id string) error {
	keys, err := o.Store.List(ctx, ladder.ClipsPrefix(id))
	if err != nil {
		return fmt.Errorf("list clips of job %s: %w", id, err)
	}
	for _, key := range keys {
		s, err := catalog.Look(ctx, o.Store, strings.TrimSuffix(path.Base(key), ".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if s.State != catalog.Published && s.State != catalog.Superseded && s.State != catalog.Dropped && s.State != catalog.Removed {
			if s.State == catalog.Failed {
				return fmt.Errorf("its clip %s has failed: replay it, or drop it: %w", s.Asset, ErrClipped)
			}
			return fmt.Errorf("its clip %s is %s: %w", s.Asset, s.State, ErrAtWork)
		}
	}
	return nil
}

// prune removes what is due.
func (o Operator) prune(ctx context.Context, recordings Recordings, p Pruned) error {
	if err := o.Remove(ctx, p.Belongings, recordings); err != nil || p.What != prunedRecording {
		return err
	}
	return o.unrecorded(ctx, p.Status.Asset)
}

// unrecorded notes that the recording of an asset's jobs is gone.
func (o Operator) unrecorded(ctx context.Context, asset string) error {
	ids, err := catalog.IDs(ctx, o.Store, asset)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := ledger.Put(ctx, o.Store, ladder.UnrecordedKey(id), []byte("{}\n"), ""); err != nil {
			return err
		}
		if err := o.Note(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
