package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// goOn is what every part ends with: whoever finds the last one there, publishes. Several
// may at once; all write the same bytes. Where the audio is made when all chunks were
// measured, whoever finds the last chunk there sends that out.
//
// A reader sees nothing of it before the last two writes, and the whole of it
// after the first of them: everything else is under the job's own folder.
func (p *Pipeline) goOn(ctx context.Context, plan *ladder.Plan, lease *worker.Lease) error {
	whole, err := ledger.Job(ctx, p.Store, plan)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if plan.IsEvent() {
		err := p.publishEvent(ctx, plan, whole)
		if _, final := job.Verdict(err); err != nil && whole != nil && !final {
			return job.Of(ladder.PublishTask, err)
		}
		if err != nil { // the part is there all the same: another will publish it, or the whole
			p.Log.Error("event cannot be published", zap.String("job", plan.Job), zap.String("asset", plan.Asset), zap.Error(err))
		}
	}
	if whole == nil || whole.Replan != "" {
		return nil // chunks are still to come, or another job's
	}
	if all, err := ledger.Complete(ctx, p.Store, plan, whole.ChunkNames()); err != nil || !all {
		return err
	}
	if plan.AudioApart() {
		if all, err := ledger.Complete(ctx, p.Store, plan, whole.PartNames()); err != nil || !all {
			if err == nil {
				err = p.sendAudio(ctx, whole, lease)
			}
			return err
		}
	}
	began := time.Now()
	defer func() { p.Metrics.spent(ctx, "publish", began) }()
	if err := p.publish(ctx, whole, lease); err != nil {
		return job.Of(ladder.PublishTask, err)
	}
	if err := p.askForQuality(ctx, plan); err != nil {
		return err
	}
	return p.noteAll(ctx, plan.Job)
}

func (p *Pipeline) publish(ctx context.Context, plan *ladder.Job, lease *worker.Lease) error {
	presentation, err := p.present(ctx, plan)
	if err != nil {
		return err
	}
	if err := lease.Prove(ctx); err != nil {
		return err
	}
	if err := p.point(ctx, plan.Plan, presentation.Asset()); err != nil {
		return err
	}
	return p.pointLatest(ctx, plan.Plan)
}

// present makes the playlists of a job whose parts are all there, if they keep the rules.
func (p *Pipeline) present(ctx context.Context, plan *ladder.Job) (*ladder.Presentation, error) {
	fold, err := p.checkpoint(ctx, plan)
	if err != nil {
		return nil, err
	}
	before := fold.Part()
	parts, err := ledger.Parts(ctx, p.Store, plan.Job, plan.PartNames()[len(fold.Chunks):])
	if err != nil {
		return nil, err
	}
	presentation, err := fold.Whole(plan, parts)
	if err != nil {
		if plan.Clip != nil {
			err = fmt.Errorf("%w; cut it where segments begin ("+job.CLI+" clip --at-segments), or replay the asset and cut that", err)
		}
		return nil, job.Permanent("parts_differ", err)
	}
	if err := presentation.Incomplete(); err != nil {
		return nil, err
	}
	if err := p.areStored(ctx, plan.Plan, before, parts); err != nil {
		return nil, err
	}
	if err := p.keepsTheRules(ctx, plan.Plan, presentation); err != nil {
		return nil, err
	}
	return presentation, p.writePlaylists(ctx, plan.Plan, presentation)
}

// checkpoint is what was published of a job while its recording grew, if nothing was left out.
func (p *Pipeline) checkpoint(ctx context.Context, plan *ladder.Job) (*ladder.Fold, error) {
	if plan.IsEvent() {
		fold, _, err := p.folded(ctx, plan.Plan)
		if err != nil || len(fold.Gaps) == 0 {
			return fold, err
		}
	}
	return &ladder.Fold{}, nil
}

// point makes the job the asset's, unless a job that was planned later, or chosen by an
// operator since this one was planned, already is. What an operator chooses always is.
func (p *Pipeline) point(ctx context.Context, plan *ladder.Plan, asset ladder.Asset) error {
	for {
		var current ladder.Asset
		etag, err := ledger.Load(ctx, p.Store, ladder.PointerKey(plan.Asset), &current)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := sameRecording(current, plan.Asset, plan.Recording.Key, plan.Clip); err != nil {
			return err
		}
		if asset.Chosen.IsZero() && (current.Job == plan.Job && !asset.Succeeds(current) || current.Outranks(plan)) {
			if current.Job != plan.Job {
				p.Log.Info("job is superseded", zap.String("job", plan.Job), zap.String("asset", plan.Asset), zap.String("by", current.Job))
			}
			break
		}
		if asset.Live && current.Job == plan.Job {
			asset.Waiting = current.Waiting // until a look finds that it isn't so any more
		}
		if err := p.called(ctx, &asset, current); err != nil {
			return err
		}
		won, err := ledger.Write(ctx, p.Store, ladder.PointerKey(plan.Asset), asset, etag)
		if err != nil {
			return err
		}
		if won && asset.Live {
			break
		}
		if won {
			p.Metrics.published.Inc()
			p.tellMissing(plan, asset.Missing)
			began := plan.Live
			if began.IsZero() {
				began = plan.Created
			}
			p.Tracer.Published(ctx, plan.Job, plan.Asset, began)
			p.Log.Info("asset published", zap.String("job", plan.Job), zap.String("asset", plan.Asset),
				zap.Duration("after", time.Since(plan.Created)))
			break
		}
	}
	return p.writeStableMaster(ctx, plan.Asset)
}

// called gives an asset the title that it is to have in the place of what was published before: the one that was given last.
func (p *Pipeline) called(ctx context.Context, asset *ladder.Asset, before ladder.Asset) error {
	asset.Title, asset.Titled = before.Title, before.Titled
	if before.Job == asset.Job {
		return nil
	}
	sent, _, err := ledger.TitleOf(ctx, p.Store, asset.Job)
	if err == nil && sent.At.After(asset.Titled) {
		asset.Title, asset.Titled = sent.Text, sent.At
	}
	return err
}

// entitle notes the title with which a job's recording was sent, also if the job is published already. The same message again changes nothing.
func (p *Pipeline) entitle(ctx context.Context, plan *ladder.Plan, text string) error {
	title, etag, err := ledger.TitleOf(ctx, p.Store, plan.Job)
	if err != nil || title.Text == text {
		return err
	}
	title = ladder.Title{Text: text, At: time.Now().UTC()}
	if _, err := ledger.Write(ctx, p.Store, ladder.TitleKey(plan.Job), title, etag); err != nil { // who was first has noted one, too
		return err
	}
	if _, err := ledger.Entitle(ctx, p.Store, plan.Asset, plan.Job, title); err != nil {
		if errors.Is(err, fs.ErrNotExist) { // who publishes it will
			return nil
		}
		return err
	}
	p.note(ctx, plan.Job)
	return nil
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
// at which the pointer points.
func (p *Pipeline) writeStableMaster(ctx context.Context, asset string) error {
	return p.keep(ctx, ladder.StableMasterKey(asset), func() ([]byte, error) {
		var pointer ladder.Asset
		if _, err := ledger.Load(ctx, p.Store, ladder.PointerKey(asset), &pointer); err != nil {
			return nil, err
		}
		master, _, err := p.Store.Load(ctx, path.Join("vod", asset, pointer.Ladders[0].Master))
		if err != nil {
			return nil, fmt.Errorf("load master of %s: %w", asset, err)
		}
		return ladder.Rebase(master, pointer.Job), nil
	})
}

// keep makes an object what follows from others. They are read anew after every write: whoever writes last has seen the last of them.
func (p *Pipeline) keep(ctx context.Context, key string, follows func() ([]byte, error)) error {
	for {
		want, err := follows()
		if err != nil {
			return err
		}
		have, etag, err := p.Store.Load(ctx, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("load %s: %w", key, err)
		}
		if bytes.Equal(have, want) {
			return nil
		}
		if _, err := ledger.Put(ctx, p.Store, key, want, etag); err != nil {
			return err
		}
	}
}

// PublishAgain makes a finished job the asset's, though another that was planned later is it
// now. It stays so until a job is planned after this.
func PublishAgain(ctx context.Context, store Store, id string) (name string, asset ladder.Asset, err error) {
	plan, err := ledger.Plan(ctx, store, id)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return "", asset, fmt.Errorf("there is no job %q ("+job.CLI+" status lists them)", id)
	}
	if err != nil {
		return "", asset, err
	}
	done, err := ledger.Done(ctx, store, plan)
	if err != nil {
		return "", asset, err
	}
	whole, err := ledger.Job(ctx, store, plan)
	if errors.Is(err, fs.ErrNotExist) {
		return "", asset, fmt.Errorf("job %s is not complete: its recording is not divided yet", id)
	}
	if err != nil {
		return "", asset, err
	}
	if missing := len(whole.PartNames()) - len(done); missing > 0 {
		return "", asset, fmt.Errorf("job %s is not complete: %d of its %d parts are missing", id, missing, len(whole.PartNames()))
	}
	if _, _, err := store.Load(ctx, ladder.RemovedKey(id)); !errors.Is(err, fs.ErrNotExist) {
		return "", asset, cmp.Or(err, fmt.Errorf("job %s is being removed", id))
	}
	p := &Pipeline{Store: store, Metrics: NewMetrics(nil), Log: zap.NewNop()}
	presentation, err := p.present(ctx, whole)
	if err != nil {
		return "", asset, err
	}
	asset = presentation.Asset()
	asset.Chosen = time.Now().UTC()
	if err := p.point(ctx, plan, asset); err != nil {
		return plan.Asset, asset, err
	}
	if err := p.pointLatest(ctx, plan); err != nil {
		return plan.Asset, asset, err
	}
	s, err := catalog.Refresh(ctx, store, id)
	if err != nil {
		return plan.Asset, asset, err
	}
	return plan.Asset, asset, catalog.RefreshOthers(ctx, store, s)
}
