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
	"golang.org/x/sync/errgroup"

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
	r := known{Recording: ladder.Recording{Key: t.Key, ETag: etag}, size: size, promised: t.Promised}
	plan, err := LoadPlan(ctx, p.Store, id)
	if errors.Is(err, fs.ErrNotExist) {
		if err := p.makePlan(ctx, id, &r, profile); err != nil {
			return err
		}
		plan, err = LoadPlan(ctx, p.Store, id)
	}
	if err != nil {
		return err
	}
	whole, err := LoadJob(ctx, p.Store, plan)
	if errors.Is(err, fs.ErrNotExist) {
		if err := p.divide(ctx, plan, &r); err != nil {
			return err
		}
		whole, err = LoadJob(ctx, p.Store, plan)
	}
	if err != nil {
		return err
	}
	return p.announce(ctx, whole, t.Repair, hold)
}

// announce sends a job's tasks, those that were not sent yet, or all that are not done.
func (p *Pipeline) announce(ctx context.Context, whole *ladder.Job, repair bool, hold *Hold) error {
	var sent int
	var err error
	if repair {
		sent, err = p.repair(ctx, whole)
	} else {
		sent, err = p.dispatch(ctx, whole, len(whole.Chunks), hold)
	}
	if err != nil || sent > 0 {
		return err
	}
	hold.Duplicate()
	return p.goOn(ctx, whole.Plan, hold)
}

// known is a recording, and its index once somebody has asked for it.
type known struct {
	ladder.Recording

	size     int64
	promised string // the video that its stream had announced
	index    *flv.Index
	took     float64 // seconds, for the index
}

// indexed is what there is to know of a recording.
func (p *Pipeline) indexed(ctx context.Context, r *known) (*flv.Index, error) {
	if r.index != nil {
		return r.index, nil
	}
	began := time.Now()
	index, err := p.index(ctx, r)
	r.took = p.Metrics.spent("scan", began)
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", r.Key, err)
	}
	index.Promised = cmp.Or(index.Promised, r.promised)
	r.index = index
	return index, nil
}

// makePlan looks into a recording and stores its plan, unless there is one by then:
// somebody else's, or our own, if the answer to an earlier try got lost.
func (p *Pipeline) makePlan(ctx context.Context, id string, r *known, profile string) error {
	began := time.Now()
	if err := NameFree(ctx, p.Store, r.Key); err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	index, err := p.indexed(ctx, r)
	if err != nil {
		return err
	}
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
	plan.Job, plan.Asset, plan.Recording, plan.Created = id, job.Asset(r.Key), r.Recording, time.Now().UTC()
	plan.Scan = r.took
	if err := p.fit(ctx, plan, index); err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	won, err := p.writeJSON(ctx, ladder.PlanKey(id), plan, "")
	if err != nil || !won {
		return err
	}
	p.Log.Info("recording planned", zap.String("job", id), zap.String("asset", plan.Asset), zap.String("profile", plan.Profile),
		zap.Bool("indexed", r.Indexed), zap.Duration("took", time.Since(began)))
	return nil
}

// divide stores a job's chunks, and then that there are no more. Who comes after somebody who
// died over it finds some of them, and makes the same.
func (p *Pipeline) divide(ctx context.Context, plan *ladder.Plan, r *known) error {
	index, err := p.indexed(ctx, r)
	if err != nil {
		return err
	}
	chunks, end := plan.Divide(index)
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, c := range chunks {
		group.Go(func() error { return p.storeChunk(inGroup, plan, c) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	won, err := p.writeJSON(ctx, ladder.EndKey(plan.Job), end, "")
	if err != nil || !won {
		return err
	}
	p.Log.Info("recording divided", zap.String("job", plan.Job), zap.String("asset", plan.Asset), zap.Float64("duration_s", end.Duration),
		zap.Int("chunks", len(chunks)), zap.Int64("bytes", end.Size), zap.Int64("torn_bytes", end.Torn), zap.Int64("lost_bytes", end.Lost), zap.Int("epochs", end.Epochs))
	return nil
}

func (p *Pipeline) storeChunk(ctx context.Context, plan *ladder.Plan, c ladder.Chunk) error {
	won, err := p.writeJSON(ctx, ladder.ChunkKey(plan.Job, c.Number), c, "")
	if err != nil || won {
		return err
	}
	first, err := LoadChunk(ctx, p.Store, plan.Job, c.Number)
	if err == nil && first.Span != c.Span {
		err = permanent("old_plan", fmt.Errorf("chunk %d of job %s has frames %v, by this worker %v: it was made by another version", c.Number, plan.Job, first.Span, c.Span))
	}
	return err
}

func (p *Pipeline) scan(ctx context.Context, r *known) (*flv.Index, error) {
	body, err := p.Recordings.Read(ctx, r.Key, r.ETag, 0, r.size)
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
