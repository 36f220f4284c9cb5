package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// ErrAtWork is an asset that cannot be removed for now: workers are at it.
var ErrAtWork = errors.New("workers are at it")

// ErrClipped is an asset that cannot be removed: clips name its segments.
var ErrClipped = errors.New("clips are made of it")

// Recordings is where recordings are.
type Recordings interface {
	List(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, key string) error
}

// Belongings are all that there is of an asset, in the order in which it goes: first what leads viewers to it, and a job's plan last,
// so that who was killed over it, and begins again, finds what is left.
type Belongings struct {
	Jobs       []catalog.Status
	Pointers   []string // the asset's own names
	Segments   []string // and playlists, of all jobs
	Documents  []string // of all jobs; their plans last
	Recordings []string // with their indexes, among the recordings
	whole      bool     // it is all there is of the asset: others are told that it is gone
	Entries    []string // of all jobs, in the asset's index: the last to go, since they lead to the rest
}

// None tells whether there is nothing.
func (b Belongings) None() bool {
	return len(b.Pointers)+len(b.Segments)+len(b.Documents)+len(b.Recordings)+len(b.Entries) == 0
}

// FindBelongings looks what there is of an asset. [ErrAtWork]: one of its jobs is not done; where none is at work any more, as its
// messages are gone, force passes that over. Without recordings, those are left alone.
func (o Operator) FindBelongings(ctx context.Context, asset string, recordings Recordings, force bool) (b Belongings, err error) {
	if job.IsID(asset) {
		if s, err := catalog.Look(ctx, o.Store, asset); err == nil {
			return b, fmt.Errorf("%s is a job of asset %s: name that", asset, s.Asset)
		}
	}
	b.whole = true
	if b.Pointers, err = o.pointers(ctx, asset); err != nil {
		return b, err
	}
	ids, err := o.jobsOf(ctx, asset)
	if err != nil {
		return b, err
	}
	indexed, err := catalog.IDs(ctx, o.Store, asset)
	if err != nil {
		return b, err
	}
	keys, clips := []string{job.Prefix + asset + ".flv"}, 0
	for _, id := range ids {
		s, err := catalog.Look(ctx, o.Store, id)
		gone := errors.Is(err, fs.ErrNotExist) // who removed it was killed in the end
		if gone {
			s, err = catalog.Status{Job: id, Asset: asset}, nil
		}
		if err != nil {
			return b, err
		}
		if s.Asset != asset || gone && !slices.Contains(indexed, id) { // a folder, or another asset, that is called like a job
			continue
		}
		before := len(b.Documents)
		if err := o.belongings(ctx, s, &b); err != nil {
			return b, err
		}
		rest := b.Documents[before:] // its plan alone: likewise; or it has been planned this moment
		begun := gone || len(rest) == 1 && time.Since(s.Planned) > time.Minute
		if !s.State.Settled() && !force && !begun {
			return b, fmt.Errorf("job %s is %s: %w", s.Job, s.State, ErrAtWork)
		}
		if s.Clip != nil {
			clips++
		}
		if s.Recording != "" {
			keys = append(keys, s.Recording)
		}
	}
	if clips > 0 { // a recording of that name has nothing to do with it
		keys = keys[1:]
	}
	if recordings != nil {
		b.Recordings, err = recordingsOf(ctx, recordings, keys)
	}
	return b, err
}

// pointers are what leads viewers to an asset: its own names, and its stream's, if it is the latest there.
func (o Operator) pointers(ctx context.Context, asset string) (all []string, err error) {
	for _, key := range []string{ladder.PointerKey(asset), ladder.StableMasterKey(asset)} {
		if _, _, err := o.Store.Load(ctx, key); err == nil {
			all = append(all, key)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if stream := path.Dir(asset); stream != "." {
		var latest ladder.Latest
		_, err := ledger.Load(ctx, o.Store, ladder.LatestKey(stream), &latest)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil && latest.Asset == asset {
			all = append(all, ladder.LatestKey(stream), ladder.LatestMasterKey(stream))
		}
	}
	return all, nil
}

// jobsOf are an asset's jobs by the index, and those that have results, which it may lack: who was to enter them died over it.
func (o Operator) jobsOf(ctx context.Context, asset string) ([]string, error) {
	ids, err := catalog.IDs(ctx, o.Store, asset)
	if err != nil {
		return nil, err
	}
	folder := "vod/" + asset + "/"
	keys, err := o.Store.List(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("list asset %s: %w", asset, err)
	}
	for _, key := range keys {
		if id, _, below := strings.Cut(strings.TrimPrefix(key, folder), "/"); below && job.IsID(id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// belongings adds those of a job.
func (o Operator) belongings(ctx context.Context, s catalog.Status, b *Belongings) error {
	results, err := o.Store.List(ctx, (&ladder.Plan{Asset: s.Asset, Job: s.Job}).Key()+"/")
	if err != nil {
		return fmt.Errorf("list job %s: %w", s.Job, err)
	}
	documents, err := o.Store.List(ctx, ladder.JobPrefix(s.Job))
	if err != nil {
		return fmt.Errorf("list job %s: %w", s.Job, err)
	}
	if err := o.clipped(ctx, documents); err != nil {
		return fmt.Errorf("job %s: %w", s.Job, err)
	}
	if plan, err := ledger.Plan(ctx, o.Store, s.Job); err == nil && plan.Clip != nil {
		documents = append(documents, ladder.ClipKey(plan.Clip.Job, s.Job))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	byTime, ofAsset, err := catalog.Entries(ctx, o.Store, s)
	if err != nil {
		return err
	}
	if byTime != "" {
		documents = append(documents, byTime)
	}
	last := []string{byTime, catalog.NoteKey(s.Job), ladder.RemovedKey(s.Job), ladder.PlanKey(s.Job)}
	slices.SortStableFunc(documents, func(x, y string) int { return slices.Index(last, x) - slices.Index(last, y) })
	b.Jobs, b.Entries = append(b.Jobs, s), append(b.Entries, ofAsset)
	b.Segments, b.Documents = append(b.Segments, results...), append(b.Documents, documents...)
	return nil
}

// clipped is an error if clips need a job's segments, by its documents. Of a clip whose plan is not there, nothing came, or nothing is left.
func (o Operator) clipped(ctx context.Context, documents []string) error {
	var names []string
	for _, key := range documents {
		of, clip := path.Split(strings.TrimSuffix(key, ".json"))
		if path.Base(of) != "clips" {
			continue
		}
		plan, err := ledger.Plan(ctx, o.Store, clip)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = ledger.Job(ctx, o.Store, plan)
		if errors.Is(err, fs.ErrNotExist) && time.Since(plan.Created) > time.Hour { // whoever made it was killed over it
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		names = append(names, plan.Asset)
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: %s", ErrClipped, strings.Join(names, ", "))
	}
	return nil
}

// recordingsOf are the objects of recordings: the whole, its index, extents.
func recordingsOf(ctx context.Context, recordings Recordings, keys []string) (all []string, err error) {
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		found, err := recordings.List(ctx, path.Dir(key)+"/")
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", path.Dir(key), err)
		}
		for _, name := range found { // not those of talk.flv2
			rest, its := strings.CutPrefix(name, key)
			if !its {
				continue
			}
			if rest == "" || strings.HasSuffix(rest, ".index.json") && rest[0] == '.' || rest == ".wish.json" || strings.HasPrefix(rest, ".growing/") {
				all = append(all, name)
			}
		}
	}
	return all, nil
}

// removers is how many objects are removed at once.
const removers = 16

// Remove removes all of it, one kind after the other. It may be done again.
func (o Operator) Remove(ctx context.Context, b Belongings, recordings Recordings) error {
	var mine []string // that nobody was removing before
	for _, s := range b.Jobs {
		its := func(key string) bool { return strings.HasPrefix(key, ladder.JobPrefix(s.Job)) }
		if !slices.ContainsFunc(b.Documents, its) { // nothing is left but its entries
			continue
		}
		switch err := o.Store.Write(ctx, ladder.RemovedKey(s.Job), []byte("{}\n"), ""); {
		case err == nil:
			mine = append(mine, s.Job)
		case !errors.Is(err, fs.ErrExist):
			return fmt.Errorf("remove job %s: %w", s.Job, err)
		}
		if !slices.Contains(b.Documents, ladder.RemovedKey(s.Job)) { // before the plan
			at := slices.Index(b.Documents, ladder.PlanKey(s.Job))
			if at < 0 { // it was never planned
				at = len(b.Documents)
			}
			b.Documents = slices.Insert(b.Documents, at, ladder.RemovedKey(s.Job))
		}
	}
	for _, s := range b.Jobs { // lists don't have it any more
		if err := o.Note(ctx, s.Job); err != nil {
			return err
		}
	}
	if err := o.stillMeant(ctx, &b); err != nil {
		return err
	}
	if err := o.stillWhole(ctx, b); err != nil {
		return errors.Join(err, o.spareJobs(ctx, mine))
	}
	for _, keys := range [][]string{b.Pointers, b.Segments} {
		if err := removeAll(ctx, o.Store, keys, removers); err != nil {
			return err
		}
	}
	if recordings != nil { // before the plans, which tell where they are
		if err := removeAll(ctx, recordings, b.Recordings, removers); err != nil {
			return err
		}
	}
	if err := removeAll(ctx, o.Store, b.Documents, 1); err != nil { // in their order
		return err
	}
	if b.whole && len(b.Jobs) > 0 {
		if err := catalog.Removing(ctx, o.Store, b.Jobs[0]); err != nil {
			return fmt.Errorf("record that %s is removed: %w", b.Jobs[0].Asset, err)
		}
	}
	return removeAll(ctx, o.Store, b.Entries, 1)
}

// stillMeant looks again, now that it is noted what goes, at what may have changed since it was found: which job the asset is, and which asset
// its stream's latest.
func (o Operator) stillMeant(ctx context.Context, b *Belongings) error {
	for _, s := range b.Jobs {
		if b.whole {
			break
		}
		var pointer ladder.Asset
		if _, err := ledger.Load(ctx, o.Store, ladder.PointerKey(s.Asset), &pointer); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if pointer.Job == s.Job {
			if err := o.Store.Delete(ctx, ladder.RemovedKey(s.Job)); err != nil {
				return err
			}
			return errors.Join(fmt.Errorf("job %s was published meanwhile: %w", s.Job, ErrAtWork), o.Note(ctx, s.Job))
		}
	}
	if len(b.Jobs) == 0 || !b.whole {
		return nil
	}
	pointers, err := o.pointers(ctx, b.Jobs[0].Asset)
	b.Pointers = pointers
	return err
}

// stillWhole looks again whether clips are made of what goes: whoever makes one looks whether it is to go, after having said so.
func (o Operator) stillWhole(ctx context.Context, b Belongings) error {
	for _, s := range b.Jobs {
		documents, err := o.Store.List(ctx, ladder.ClipsPrefix(s.Job))
		if err != nil {
			return fmt.Errorf("list clips of job %s: %w", s.Job, err)
		}
		if err := o.clipped(ctx, documents); err != nil {
			return fmt.Errorf("job %s: %w", s.Job, err)
		}
	}
	return nil
}

// spareJobs takes back that jobs are being removed.
func (o Operator) spareJobs(ctx context.Context, ids []string) error {
	var faults []error
	for _, id := range ids {
		faults = append(faults, o.Store.Delete(ctx, ladder.RemovedKey(id)), o.Note(ctx, id))
	}
	return errors.Join(faults...)
}

func removeAll(ctx context.Context, store interface {
	Delete(ctx context.Context, key string) error
}, keys []string, atOnce int,
) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, key := range keys {
		group.Go(func() error {
			if err := store.Delete(ctx, key); err != nil {
				return fmt.Errorf("remove %s: %w", key, err)
			}
			return nil
		})
	}
	return group.Wait()
}
