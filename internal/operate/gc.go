package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/ladder"
)

// Garbage lists the segments of a finished job that no part names: those of attempts
// that lost, or died. Of a job that isn't finished it lists none, since any segment
// may yet be named.
func Garbage(ctx context.Context, store ledger.Store, id string) ([]string, error) {
	plan, err := ledger.Plan(ctx, store, id)
	if err != nil {
		return nil, err
	}
	done, err := ledger.Done(ctx, store, plan)
	if err != nil {
		return nil, err
	}
	whole, err := ledger.Job(ctx, store, plan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := whole.PartNames()
	for _, name := range names {
		if !done[name] {
			return nil, nil
		}
	}
	parts, err := ledger.Parts(ctx, store, id, names)
	if err != nil {
		return nil, err
	}
	kept := map[string]ledger.Object{}
	for _, part := range parts {
		maps.Copy(kept, ledger.Objects(plan, &part))
	}
	if c := plan.Clip; c != nil && c.Poster != "" {
		kept[plan.Key(ladder.StoryboardFolder, c.Poster)] = ledger.Object{}
	}
	folders := map[string]bool{plan.Key(ladder.StoryboardFolder): true} // others may be assets' below this name
	for key := range kept {
		folders[path.Dir(key)] = true
	}
	keys, err := store.List(ctx, plan.Key()+"/")
	if err != nil {
		return nil, fmt.Errorf("list job %s: %w", id, err)
	}
	var garbage []string
	for _, key := range keys {
		switch path.Ext(key) {
		case ladder.FMP4.Extension(), ladder.TS.Extension(), path.Ext(ladder.InitFile), path.Ext(ladder.PosterFile):
			if _, ok := kept[key]; !ok && folders[path.Dir(key)] {
				garbage = append(garbage, key)
			}
		}
	}
	return garbage, nil
}
