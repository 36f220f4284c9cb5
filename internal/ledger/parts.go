package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/ladder"
)

// atOnce is how many documents are read at once.
const atOnce = 8

// Done names the parts of a plan that exist.
func Done(ctx context.Context, store Store, plan *ladder.Plan) (map[string]bool, error) {
	keys, err := store.List(ctx, ladder.PartsPrefix(plan.Job))
	if err != nil {
		return nil, fmt.Errorf("list parts of job %s: %w", plan.Job, err)
	}
	done := map[string]bool{}
	for _, key := range keys {
		done[strings.TrimSuffix(path.Base(key), ".json")] = true
	}
	return done, nil
}

// Parts are those of these names.
func Parts(ctx context.Context, store Store, id string, names []string) ([]ladder.Part, error) {
	parts := make([]ladder.Part, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, name := range names {
		group.Go(func() error {
			_, err := Load(ctx, store, ladder.PartKey(id, name), &parts[i])
			return err
		})
	}
	return parts, group.Wait()
}

// Complete tells whether these parts of a plan are there. The list spares asking for each,
// but it may lag behind, and whoever made the last part is the last to look: what is not in
// it is asked for by name, until one is missing. The last part is the likeliest to be.
func Complete(ctx context.Context, store Store, plan *ladder.Plan, names []string) (bool, error) {
	listed, err := Done(ctx, store, plan)
	if err != nil {
		return false, err
	}
	for _, name := range slices.Backward(names) {
		if listed[name] {
			continue
		}
		_, _, err := store.Load(ctx, ladder.PartKey(plan.Job, name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for part %s of job %s: %w", name, plan.Job, err)
		}
	}
	return true, nil
}

// Object is one that a part names.
type Object struct {
	Part  string
	Bytes int64 // or Unknown
}

// Objects are the objects that a part names, by key.
func Objects(plan *ladder.Plan, part *ladder.Part) map[string]Object {
	all := map[string]Object{}
	for _, t := range part.Tracks {
		if plan.Container != ladder.TS {
			all[plan.Key(t.Ladder, t.Rendition, t.Init)] = Object{part.Name, Unknown}
		}
		for _, s := range t.Segments {
			all[plan.Key(t.Ladder, t.Rendition, s.URI)] = Object{part.Name, s.Bytes}
		}
	}
	for _, image := range part.Images.All() {
		all[plan.Key(ladder.StoryboardFolder, image.URI)] = Object{part.Name, image.Bytes}
	}
	return all
}

// Unknown is the size of an init segment: parts don't tell it.
const Unknown = -1
