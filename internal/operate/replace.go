package operate

import (
	"context"
	"fmt"

	"afterlive.alt/internal/catalog"
)

// MakeWay removes a recording, with its index, in whose place another is to come. What was published of it stays. [ErrAtWork]: workers may still read it.
func (o Operator) MakeWay(ctx context.Context, recordings Recordings, asset, key string) error {
	jobs, err := catalog.Of(ctx, o.Store, asset)
	if err != nil {
		return fmt.Errorf("replace %s: %w", key, err)
	}
	for _, s := range jobs {
		if !s.State.Settled() {
			return fmt.Errorf("job %s is %s: %w", s.Job, s.State, ErrAtWork)
		}
		if err := o.clipsAreDone(ctx, s.Job); err != nil {
			return err
		}
	}
	found, err := recordingsOf(ctx, recordings, []string{key})
	if err != nil {
		return err
	}
	if err := o.unrecorded(ctx, asset); err != nil { // first: by its age, an older job would lead prune to what comes in its place
		return err
	}
	return removeAll(ctx, recordings, found, removers)
}
