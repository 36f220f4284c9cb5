package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// samples are the last segments of a part's renditions, by key. What another job has made was looked at when that was published.
func samples(plan *ladder.Plan, part *ladder.Part) (keys []string) {
	if part.Of != "" {
		return nil
	}
	for _, t := range part.Tracks {
		if n := len(t.Segments); n > 0 {
			keys = append(keys, plan.Key(t.Ladder, t.Rendition, t.Segments[n-1].URI))
		}
	}
	return keys
}

// areStored looks whether the store has what parts name: every object in its list, and
// one segment of every rendition and part by its own name, and of what size it is; of before, that
// was done when it was published. What a list lacks, since some lag, is asked for by name too.
//
// That something is missing is transient: it may have been written a moment ago. If it
// stays away, whoever removed it has to make up for it.
func (p *Pipeline) areStored(ctx context.Context, plan *ladder.Plan, before ladder.Part, parts []ladder.Part) error {
	keys, err := p.Store.List(ctx, plan.Key()+"/")
	if err != nil {
		return fmt.Errorf("list job %s: %w", plan.Job, err)
	}
	if c := plan.Clip; c != nil {
		theirs, err := p.Store.List(ctx, (&ladder.Plan{Asset: c.Asset, Job: c.Job}).Key()+"/")
		if err != nil {
			return fmt.Errorf("list job %s: %w", c.Job, err)
		}
		keys = append(keys, theirs...)
	}
	listed := map[string]bool{}
	for _, key := range keys {
		listed[key] = true
	}
	wanted := ledger.Objects(plan, &before)
	asked := map[string]bool{}
	for _, part := range parts {
		for _, key := range samples(plan, &part) {
			asked[key] = true
		}
		maps.Copy(wanted, ledger.Objects(plan, &part))
	}
	for key := range wanted {
		if !listed[key] {
			asked[key] = true
		}
	}
	return p.have(ctx, slices.Sorted(maps.Keys(asked)), wanted)
}

// areThere looks whether the store has the samples of a part.
func (p *Pipeline) areThere(ctx context.Context, plan *ladder.Plan, part ladder.Part) error {
	return p.have(ctx, samples(plan, &part), ledger.Objects(plan, &part))
}

// have asks for objects by name, and wants them to be as they were promised.
func (p *Pipeline) have(ctx context.Context, keys []string, wanted map[string]ledger.Object) error {
	var lock sync.Mutex
	var faults []error
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, key := range keys {
		group.Go(func() error {
			fault, err := p.isStored(ctx, key, wanted[key].Bytes)
			if fault != nil {
				lock.Lock()
				defer lock.Unlock()
				faults = append(faults, fmt.Errorf("part %s: %w", wanted[key].Part, fault))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(faults) > 0 {
		return job.Transient("segment_missing", fmt.Errorf("%d objects are not as their parts say; the first: %w", len(faults), faults[0]))
	}
	return nil
}

// isStored is a fault where an object isn't there, or is of another size, and an error
// where nobody can tell.
func (p *Pipeline) isStored(ctx context.Context, key string, size int64) (fault, err error) {
	switch have, _, err := p.Store.Stat(ctx, key); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not in the store", key), nil
	case err != nil:
		return nil, fmt.Errorf("look at %s: %w", key, err)
	case size >= 0 && have != size:
		return fmt.Errorf("%s has %d bytes, and should have %d", key, have, size), nil
	}
	return nil, nil
}
