package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"afterlive/ladder"
)

// complete tells whether these parts of a plan are there. The list spares asking for each,
// but it may lag behind, and whoever made the last part is the last to look: what is not in
// it is asked for by name, until one is missing. The last part is the likeliest to be.
func (p *Pipeline) complete(ctx context.Context, plan *ladder.Plan, names []string) (bool, error) {
	listed, err := PartsDone(ctx, p.Store, plan)
	if err != nil {
		return false, err
	}
	for _, name := range slices.Backward(names) {
		if listed[name] {
			continue
		}
		_, _, err := p.Store.Load(ctx, ladder.PartKey(plan.Job, name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for part %s of job %s: %w", name, plan.Job, err)
		}
	}
	return true, nil
}
