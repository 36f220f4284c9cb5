package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive/ladder"
)

// PartsDone names the parts of a plan that exist.
func PartsDone(ctx context.Context, store Store, plan *ladder.Plan) (map[string]bool, error) {
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

// publishIfComplete is what every part ends with: whoever finds the last one
// there, publishes. Several may at once; all write the same bytes.
//
// A reader sees nothing of it before the last two writes, and the whole of it
// after the first of them: everything else is under the job's own folder.
func (p *Pipeline) publishIfComplete(ctx context.Context, plan *ladder.Plan, hold *Hold) error {
	done, err := PartsDone(ctx, p.Store, plan)
	if err != nil {
		return err
	}
	names := plan.PartNames()
	for _, name := range names {
		if !done[name] {
			return nil
		}
	}
	began := time.Now()
	defer func() { p.Metrics.spent("publish", began) }()
	parts, err := p.loadParts(ctx, plan.Job, names)
	if err != nil {
		return err
	}
	presentation, err := ladder.Assemble(plan, parts)
	if err != nil {
		return permanent("parts_differ", err)
	}
	if err := presentation.Incomplete(); err != nil {
		return err
	}
	if err := p.areStored(ctx, plan, parts); err != nil {
		return err
	}
	if err := p.keepsTheRules(ctx, plan, presentation); err != nil {
		return err
	}
	if err := p.writePlaylists(ctx, plan, presentation); err != nil {
		return err
	}
	if err := hold.Prove(ctx); err != nil {
		return err
	}
	if err := p.point(ctx, plan, presentation); err != nil {
		return err
	}
	return p.askForQuality(ctx, plan)
}

func (p *Pipeline) loadParts(ctx context.Context, id string, names []string) ([]ladder.Part, error) {
	parts := make([]ladder.Part, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for i, name := range names {
		group.Go(func() error {
			_, err := loadJSON(ctx, p.Store, ladder.PartKey(id, name), &parts[i])
			return err
		})
	}
	return parts, group.Wait()
}

// writePlaylists stores the media playlists, and then the ladders' multivariant
// ones: what a playlist names is there before it.
func (p *Pipeline) writePlaylists(ctx context.Context, plan *ladder.Plan, presentation *ladder.Presentation) error {
	media := func(l, rendition string) error {
		body, err := presentation.MediaPlaylist(l, rendition)
		if err != nil {
			return permanent("parts_differ", err)
		}
		_, err = p.write(ctx, plan.Key(l, rendition, ladder.MediaPlaylistFile), body, "")
		return err
	}
	for _, l := range plan.Ladders {
		for _, r := range l.Renditions {
			if err := media(l.Name, r.Name); err != nil {
				return err
			}
		}
		if l.Frames != nil {
			if err := media(l.Name, ladder.FramesRendition); err != nil {
				return err
			}
		}
	}
	if plan.Audio != nil {
		for _, r := range plan.Audio.Renditions {
			if err := media(ladder.AudioLadder, r.Name); err != nil {
				return err
			}
		}
	}
	if plan.Storyboard != nil {
		if _, err := p.write(ctx, plan.Key(ladder.StoryboardFolder, ladder.StoryboardFile), presentation.StoryboardTrack(), ""); err != nil {
			return err
		}
	}
	for _, m := range presentation.Masters() {
		if _, err := p.write(ctx, plan.Key(m.Ladder, ladder.MasterFile), m.Body, ""); err != nil {
			return err
		}
	}
	return nil
}

// point makes the job the asset's, unless a job planned later already is.
func (p *Pipeline) point(ctx context.Context, plan *ladder.Plan, presentation *ladder.Presentation) error {
	for {
		var current ladder.Asset
		etag, err := loadJSON(ctx, p.Store, ladder.PointerKey(plan.Asset), &current)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if current.Job == plan.Job || current.Planned.After(plan.Created) {
			break
		}
		won, err := p.writeJSON(ctx, ladder.PointerKey(plan.Asset), presentation.Asset(), etag)
		if err != nil {
			return err
		}
		if won {
			p.Metrics.published.Inc()
			p.tellMissing(plan, presentation.Missing())
			p.Log.Info("asset published", zap.String("job", plan.Job), zap.String("asset", plan.Asset),
				zap.Duration("after", time.Since(plan.Created)))
			break
		}
	}
	return p.writeStableMaster(ctx, plan.Asset)
}

// tellMissing tells operators of what was published incomplete.
func (p *Pipeline) tellMissing(plan *ladder.Plan, all []ladder.Missing) {
	for _, m := range all {
		p.Metrics.missing.WithLabelValues(m.What).Inc()
		p.Log.Warn("asset lacks something of its recording", zap.String("job", plan.Job), zap.String("asset", plan.Asset),
			zap.String("what", m.What), zap.Float64("share", m.Share), zap.String("why", m.Why))
	}
}

// writeStableMaster makes the asset's own multivariant playlist that of the job
// at which the pointer points. It reads the pointer anew after every write:
// whoever writes last has seen the last pointer.
func (p *Pipeline) writeStableMaster(ctx context.Context, asset string) error {
	key := ladder.StableMasterKey(asset)
	for {
		var pointer ladder.Asset
		if _, err := loadJSON(ctx, p.Store, ladder.PointerKey(asset), &pointer); err != nil {
			return err
		}
		first := pointer.Ladders[0]
		master, _, err := p.Store.Load(ctx, path.Join("vod", asset, first.Master))
		if err != nil {
			return fmt.Errorf("load master of %s: %w", asset, err)
		}
		want := ladder.Rebase(master, pointer.Job)
		have, etag, err := p.Store.Load(ctx, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("load %s: %w", key, err)
		}
		if bytes.Equal(have, want) {
			return nil
		}
		if _, err := p.write(ctx, key, want, etag); err != nil {
			return err
		}
	}
}
