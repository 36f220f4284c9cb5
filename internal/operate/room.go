package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/ladder"
)

// ErrNoRoom is that nothing more can be removed, and there is still too little room.
var ErrNoRoom = errors.New("there is still too little room")

// MakeRoom removes what can be spared, the oldest first, until there is enough room: results in whose place others are, then recordings of what
// is published. What is published stays, and so does what has failed or is at work. With dry, it only tells what it would begin with.
func (o Operator) MakeRoom(ctx context.Context, recordings Recordings, enough func() (bool, error), dry bool, report func(Pruned)) error {
	if ok, err := enough(); ok || err != nil {
		return err
	}
	all, err := o.spare(ctx)
	if err != nil {
		return err
	}
	const youngest ladder.Age = 1 // however young it is
	gone := map[string]bool{}
	for _, keep := range []ladder.Keep{{Superseded: youngest}, {Recordings: youngest}} {
		for _, s := range all {
			if keep.Recordings > 0 && gone[s.Recording] {
				continue
			}
			p, due := o.due(ctx, recordings, func(catalog.Status) ladder.Keep { return keep }, time.Now(), s)
			if !due || errors.Is(p.Err, ErrAtWork) || errors.Is(p.Err, ErrClipped) {
				continue
			}
			if p.What == prunedRecording {
				gone[s.Recording] = true
			}
			if p.Err == nil && !dry {
				p.Err = o.prune(ctx, recordings, p)
			}
			report(p)
			if p.Err != nil {
				return fmt.Errorf("%s %s: %w", p.What, s.Asset, p.Err)
			}
			if ok, err := enough(); ok || err != nil {
				return err
			}
		}
	}
	if dry {
		return nil
	}
	return ErrNoRoom
}

// spare are the jobs of which something may go, the oldest first.
func (o Operator) spare(ctx context.Context) (all []catalog.Status, err error) {
	q := catalog.Query{States: []catalog.State{catalog.Published, catalog.Superseded}, Limit: 200, Noted: true}
	for {
		jobs, next, err := catalog.Page(ctx, o.Store, q)
		if err != nil {
			return nil, err
		}
		all = append(all, jobs...)
		if q.After = next; next == "" {
			slices.Reverse(all)
			return all, nil
		}
	}
}
