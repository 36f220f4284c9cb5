package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/ladder"
)

// pointLatest makes an asset its stream's latest, unless one that began later is it. A link to that can be made before there is any.
func (p *Pipeline) pointLatest(ctx context.Context, plan *ladder.Plan) error {
	stream := path.Dir(plan.Asset)
	if stream == "." || plan.Clip != nil { // a clip is nothing new
		return nil
	}
	for {
		var last ladder.Latest
		etag, err := ledger.Load(ctx, p.Store, ladder.LatestKey(stream), &last)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var pointer ladder.Asset // read after that: what is written is as new as what was there
		if _, err := ledger.Load(ctx, p.Store, ladder.PointerKey(plan.Asset), &pointer); err != nil {
			return err
		}
		mine := ladder.LatestOf(plan.Asset, pointer)
		if last.Asset == mine.Asset { // it was made again
			mine.Began = last.Began
		}
		if last.Asset != mine.Asset && last.Began.After(mine.Began) {
			return nil
		}
		if last == mine {
			break
		}
		won, err := ledger.Write(ctx, p.Store, ladder.LatestKey(stream), mine, etag)
		if err != nil {
			return err
		}
		if won {
			break
		}
	}
	return p.writeLatestMaster(ctx, stream)
}

// writeLatestMaster makes a stream's own multivariant playlist that of its latest asset.
func (p *Pipeline) writeLatestMaster(ctx context.Context, stream string) error {
	err := p.keep(ctx, ladder.LatestMasterKey(stream), func() ([]byte, error) {
		var latest ladder.Latest
		if _, err := ledger.Load(ctx, p.Store, ladder.LatestKey(stream), &latest); err != nil {
			return nil, err
		}
		stable, _, err := p.Store.Load(ctx, ladder.StableMasterKey(latest.Asset))
		if err != nil {
			return nil, fmt.Errorf("load master of %s: %w", latest.Asset, err)
		}
		return latest.Rebase(stable), nil
	})
	if errors.Is(err, fs.ErrNotExist) { // it was removed this moment
		return nil
	}
	return err
}
