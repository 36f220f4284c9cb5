package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"afterlive/internal/flv"
	"afterlive/internal/job"
	"afterlive/ladder"
)

// plan scans a recording, stores what is to be done, and sends it out, once. A plan that is
// there already is never changed.
func (p *Pipeline) plan(ctx context.Context, t job.Task, hold *Hold) error {
	bucket := cmp.Or(t.Bucket, p.Bucket)
	if bucket != p.Bucket {
		return permanent("wrong_bucket", fmt.Errorf("the recording is in bucket %q, this worker reads %q", bucket, p.Bucket))
	}
	profile := cmp.Or(t.Profile, job.DefaultProfile)
	if t.ETag != "" {
		hold.Belongs(job.ID(bucket, t.Key, t.ETag, profile))
	}
	size, etag, err := p.Recordings.Stat(ctx, t.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return permanent("no_recording", err)
	}
	if err != nil {
		return err
	}
	if t.ETag != "" && t.ETag != etag {
		p.Log.Info("recording was replaced; its newer version has a message of its own", zap.String("key", t.Key))
		hold.Duplicate()
		return nil
	}
	id := job.ID(bucket, t.Key, etag, profile)
	hold.Belongs(id)
	plan, err := LoadPlan(ctx, p.Store, id)
	if errors.Is(err, fs.ErrNotExist) {
		recording := ladder.Recording{Key: t.Key, ETag: etag, Size: size}
		if err := p.makePlan(ctx, id, recording, profile, t.Promised); err != nil {
			return err
		}
		plan, err = LoadPlan(ctx, p.Store, id)
	}
	if err != nil {
		return err
	}
	var sent int
	if t.Repair {
		sent, err = p.repair(ctx, plan)
	} else {
		sent, err = p.dispatch(ctx, plan, len(plan.Chunks), hold)
	}
	if err != nil || sent > 0 {
		return err
	}
	hold.Duplicate()
	return p.goOn(ctx, plan, hold)
}

// makePlan scans a recording and stores its plan, unless there is one by then:
// somebody else's, or our own, if the answer to an earlier try got lost. promised is the
// video that its stream had announced.
func (p *Pipeline) makePlan(ctx context.Context, id string, r ladder.Recording, profile, promised string) error {
	began := time.Now()
	if err := NameFree(ctx, p.Store, r.Key); err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	index, err := p.index(ctx, &r)
	took := p.Metrics.spent("scan", began)
	if err != nil {
		return fmt.Errorf("scan %s: %w", r.Key, err)
	}
	index.Promised = cmp.Or(index.Promised, promised)
	if err := p.Limits.check(index); err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	chosen, err := p.Profiles.Choose(profile, index)
	if err != nil {
		return permanent("no_profile", err)
	}
	plan, err := ladder.New(index, chosen)
	if err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	r.Torn = index.Size - index.End
	for _, d := range index.Damage {
		r.Lost += d.To - d.From
	}
	plan.Job, plan.Asset, plan.Recording, plan.Created = id, job.Asset(r.Key), r, time.Now().UTC()
	plan.Scan = took
	if err := p.fit(ctx, plan, index); err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	won, err := p.writeJSON(ctx, ladder.PlanKey(id), plan, "")
	if err != nil || !won {
		return err
	}
	p.Log.Info("recording planned", zap.String("job", id), zap.String("asset", plan.Asset), zap.String("profile", plan.Profile),
		zap.Float64("duration_s", plan.Duration), zap.Int("chunks", len(plan.Chunks)), zap.Int64("bytes", r.Size),
		zap.Int64("torn_bytes", r.Torn), zap.Int64("lost_bytes", r.Lost), zap.Int("epochs", plan.Source.Epochs), zap.Bool("indexed", r.Indexed), zap.Duration("took", time.Since(began)))
	return nil
}

func (p *Pipeline) scan(ctx context.Context, r ladder.Recording) (*flv.Index, error) {
	body, err := p.Recordings.Read(ctx, r.Key, r.ETag, 0, r.Size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return flv.Scan(whileRunning{ctx, p.counted(body, new(atomic.Int64))})
}

// whileRunning is a reader that ends with its task: a scan of a local file asks nobody
// else.
type whileRunning struct {
	ctx context.Context //nolint:containedctx // it lives for one scan
	io.Reader
}

func (r whileRunning) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
