package operate

import (
	"context"
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

// ErrAtWork is an asset that cannot be removed for now: workers are at it.
var ErrAtWork = errors.New("workers are at it")

// Shelf is where recordings are.
type Shelf interface {
	List(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, key string) error
}

// Belongings are all that there is of an asset, in the order in which it goes: first what leads viewers to it, and a job's plan last,
// so that who was killed over it, and begins again, finds what is left.
type Belongings struct {
	Jobs       []Status
	Pointers   []string // the asset's own names
	Segments   []string // and playlists, of all jobs
	Documents  []string // of all jobs; their plans last
	Recordings []string // with their indexes, in the shelf
}

// None tells whether there is nothing.
func (b Belongings) None() bool {
	return len(b.Pointers)+len(b.Segments)+len(b.Documents)+len(b.Recordings) == 0
}

// FindBelongings looks what there is of an asset. [ErrAtWork]: one of its jobs is not done; where none is at work any more, as its
// messages are gone, force passes that over. Without a shelf, its recordings are left alone.
func (o Operator) FindBelongings(ctx context.Context, asset string, shelf Shelf, force bool) (b Belongings, err error) {
	jobs, err := FindJobs(ctx, o.Store, asset)
	if err != nil {
		return b, err
	}
	for _, s := range jobs {
		if s.Asset != asset {
			return b, fmt.Errorf("%s is a job of asset %s: name that", asset, s.Asset)
		}
	}
	b.Jobs = jobs
	for _, key := range []string{ladder.PointerKey(asset), ladder.StableMasterKey(asset)} {
		if _, _, err := o.Store.Load(ctx, key); err == nil {
			b.Pointers = append(b.Pointers, key)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
	}
	recordings := []string{job.Prefix + asset + ".flv"}
	for _, s := range jobs {
		before := len(b.Documents)
		if err := o.belongings(ctx, s, &b); err != nil {
			return b, err
		}
		rest := b.Documents[before:] // its plan alone: who removed it was killed in the end; or it has been planned this moment
		begun := slices.Contains(rest, removalKey(s.Job)) || len(rest) == 1 && time.Since(s.Planned) > time.Minute
		if (s.State == Working || s.State == Live) && !force && !begun {
			return b, fmt.Errorf("job %s is %s: %w", s.Job, s.State, ErrAtWork)
		}
		if plan, err := ledger.Plan(ctx, o.Store, s.Job); err == nil {
			recordings = append(recordings, plan.Recording.Key)
		}
	}
	if shelf != nil {
		b.Recordings, err = recordingsOf(ctx, shelf, recordings)
	}
	return b, err
}

// belongings adds those of a job.
func (o Operator) belongings(ctx context.Context, s Status, b *Belongings) error {
	results, err := o.Store.List(ctx, (&ladder.Plan{Asset: s.Asset, Job: s.Job}).Key()+"/")
	if err != nil {
		return fmt.Errorf("list job %s: %w", s.Job, err)
	}
	documents, err := o.Store.List(ctx, "jobs/"+s.Job+"/")
	if err != nil {
		return fmt.Errorf("list job %s: %w", s.Job, err)
	}
	last := []string{removalKey(s.Job), ladder.PlanKey(s.Job)}
	slices.SortStableFunc(documents, func(x, y string) int { return slices.Index(last, x) - slices.Index(last, y) })
	b.Segments, b.Documents = append(b.Segments, results...), append(b.Documents, documents...)
	return nil
}

// recordingsOf are the objects of recordings: the whole, its index, extents.
func recordingsOf(ctx context.Context, shelf Shelf, keys []string) (all []string, err error) {
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		found, err := shelf.List(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", key, err)
		}
		for _, name := range found { // not those of talk.flv2
			if rest := strings.TrimPrefix(name, key); rest == "" || strings.HasSuffix(rest, ".index.json") && rest[0] == '.' || strings.HasPrefix(rest, ".growing/") {
				all = append(all, name)
			}
		}
	}
	return all, nil
}

// removalKey is where it is said that a job is being removed: what is left of it is no longer at work.
func removalKey(id string) string { return "jobs/" + id + "/removed.json" }

// removers is how many objects are removed at once.
const removers = 16

// Remove removes all of it, one kind after the other. It may be done again.
func (o Operator) Remove(ctx context.Context, b Belongings, shelf Shelf) error {
	for _, s := range b.Jobs {
		if err := o.Store.Write(ctx, removalKey(s.Job), []byte("{}\n"), ""); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("remove job %s: %w", s.Job, err)
		}
		if !slices.Contains(b.Documents, removalKey(s.Job)) { // before the plan
			b.Documents = slices.Insert(b.Documents, slices.Index(b.Documents, ladder.PlanKey(s.Job)), removalKey(s.Job))
		}
	}
	for _, keys := range [][]string{b.Pointers, b.Segments} {
		if err := removeAll(ctx, o.Store, keys, removers); err != nil {
			return err
		}
	}
	if shelf != nil { // before the plans, which tell where they are
		if err := removeAll(ctx, shelf, b.Recordings, removers); err != nil {
			return err
		}
	}
	return removeAll(ctx, o.Store, b.Documents, 1) // in their order
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
