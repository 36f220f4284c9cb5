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

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// look plans a recording, stores the chunks that can be made of it by now, and sends out their tasks,
// once. Of a recording that grows, that is some of them; it is looked at again when there is more.
func (p *Pipeline) look(ctx context.Context, t job.Task, lease *worker.Lease) error {
	bucket := cmp.Or(t.Bucket, p.Bucket)
	if bucket != p.Bucket {
		return job.Permanent("wrong_bucket", fmt.Errorf("the recording is in bucket %q, this worker reads %q", bucket, p.Bucket))
	}
	t, err := p.wished(ctx, t.In(bucket))
	if err != nil {
		return err
	}
	if t.ETag != "" {
		lease.Belongs(t.JobID())
	}
	for sent, seen := 0, int64(-1); ; {
		r, err := p.find(ctx, t)
		switch {
		case err != nil:
			return err
		case r == nil:
			return p.replaced(ctx, t, lease)
		case !r.ended() && t.Trim != (job.Trim{}): // nobody knows yet where its end is
			return job.Permanent("bad_message", errors.New("the recording still grows, and cannot be trimmed: replay this when it has ended"))
		case r.size == seen && !r.ended(): // nothing came meanwhile
			return nil
		}
		seen = r.size
		plan, err := p.planned(ctx, t, r, lease)
		if err == nil && plan == nil {
			return nil
		}
		n := 0
		if err == nil {
			n, err = p.dispatch(ctx, plan, r, lease)
		}
		if _, final := job.Verdict(err); err != nil && !r.ended() && (final || errors.Is(err, flv.ErrForeignIndex)) {
			p.Log.Warn("what has been recorded so far cannot be planned; this is tried again when the recording has ended", zap.String("key", t.Key), zap.Error(err))
			return nil
		}
		if err == nil && t.Repair && n == 0 {
			n, err = p.repair(ctx, plan)
		}
		if sent += n; err != nil {
			return err
		}
		if !r.ended() {
			if err := p.tellWaiting(ctx, plan, r.state.Waiting); err != nil {
				return err
			}
			continue
		}
		n, plan, err = p.replan(ctx, plan, r, t, lease)
		if sent += n; err != nil || sent > 0 {
			return err
		}
		lease.Duplicate()
		return p.goOn(ctx, plan, lease)
	}
}

// replaced is what becomes of a message whose recording is no longer there, but another version. A bucket tells of that one
// itself; nobody else may, so the message then fails, unless all tasks of its job were sent in time: those tell themselves.
func (p *Pipeline) replaced(ctx context.Context, t job.Task, lease *worker.Lease) error {
	sent := false
	plan, err := ledger.Plan(ctx, p.Store, t.JobID())
	if err == nil {
		var d ledger.Dispatch
		d, _, err = ledger.Dispatched(ctx, p.Store, plan)
		sent = d.Ended && d.Sent >= len(d.Chunks)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case sent && !t.Repair, t.Notified, !t.Watch.Since.IsZero():
		p.Log.Info("recording was replaced", zap.String("key", t.Key))
		lease.Duplicate()
		return nil
	}
	return job.Permanent("no_recording", fmt.Errorf("another version of %s is in its place since this was sent: \""+job.CLI+" send\" sends what is there now", t.Key))
}

// replan plans a recording that has ended anew where its head had misled, and sends out those tasks. It returns
// the plan that counts.
func (p *Pipeline) replan(ctx context.Context, plan *ladder.Plan, r *known, t job.Task, lease *worker.Lease) (sent int, _ *ladder.Plan, err error) {
	if !plan.Grows {
		return 0, plan, nil
	}
	whole, err := ledger.Job(ctx, p.Store, plan)
	if err != nil || whole.Replan == "" {
		return 0, plan, err
	}
	r.ETag = growing.Replanned(r.ETag)
	if r.index, err = p.scan(ctx, r); err != nil { // what was known of the head decided on its zero, too
		return 0, plan, err
	}
	r.index.Promised = cmp.Or(r.index.Promised, r.promised)
	anew, err := p.planned(ctx, t, r, lease)
	if err != nil {
		return 0, plan, err
	}
	sent, err = p.dispatch(ctx, anew, r, lease)
	if err == nil && t.Repair && sent == 0 {
		sent, err = p.repair(ctx, anew)
	}
	return sent, anew, err
}

// known is a recording, and its index once somebody has asked for it.
type known struct {
	ladder.Recording

	size     int64
	profile  string         // that its message wants
	promised string         // the video that its stream had announced
	state    *growing.State // of one that grows, or did
	index    *flv.Index
	took     float64 // seconds, for the index
}

func (r *known) ended() bool { return r.state == nil || r.state.Ended }

// find is the recording of a message; nil: another version is in its place by now. The object that
// has all of a recording that grew is that recording.
func (p *Pipeline) find(ctx context.Context, t job.Task) (*known, error) {
	state, _, err := growing.Load(ctx, p.Recordings, t.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		state = nil
	case err != nil:
		return nil, err
	case t.ETag == "" || state.Has(t.ETag):
		return grown(t, state), nil
	}
	size, etag, err := p.Recordings.Stat(ctx, t.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, job.Permanent("no_recording", err)
	}
	if err != nil {
		return nil, err
	}
	if t.ETag != "" && t.ETag != etag {
		return nil, nil //nolint:nilnil // see above
	}
	if state != nil && state.IsWhole(size) {
		return grown(t, state), nil
	}
	return &known{Recording: ladder.Recording{Key: t.Key, ETag: etag}, size: size, profile: t.Profile, promised: t.Promised}, nil
}

// grown is a recording that grows, or did.
func grown(t job.Task, state *growing.State) *known {
	return &known{
		Recording: ladder.Recording{Key: t.Key, ETag: state.ID}, size: state.End, profile: t.Profile,
		promised: cmp.Or(t.Promised, state.Promised), state: state,
	}
}

// planned is the plan that a task asks for of a recording, made if there is none; nil: too little of it is there.
func (p *Pipeline) planned(ctx context.Context, t job.Task, r *known, lease *worker.Lease) (*ladder.Plan, error) {
	id := t.JobOf(r.ETag)
	lease.Belongs(id)
	plan, err := ledger.Plan(ctx, p.Store, id)
	if errors.Is(err, fs.ErrNotExist) {
		if r.state != nil && r.state.Index == nil {
			return nil, nil //nolint:nilnil // see above
		}
		if err := p.makePlan(ctx, t, r); err != nil {
			return nil, err
		}
		plan, err = ledger.Plan(ctx, p.Store, id)
	}
	if err == nil && t.Title != "" {
		err = p.entitle(ctx, plan, t.Title)
	}
	return plan, err
}

// indexed is what there is to know of a recording.
func (p *Pipeline) indexed(ctx context.Context, r *known) (*flv.Index, error) {
	if r.index != nil {
		return r.index, nil
	}
	began := time.Now()
	index, err := p.index(ctx, r)
	r.took = p.Metrics.spent(ctx, "scan", began)
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", r.Key, err)
	}
	index.Promised = cmp.Or(index.Promised, r.promised)
	if err := p.Limits.check(index); err != nil {
		return nil, fmt.Errorf("plan %s: %w", r.Key, err)
	}
	r.index = index
	return index, nil
}

// makePlan looks into a recording and stores its plan, unless there is one by then:
// somebody else's, or our own, if the answer to an earlier try got lost.
func (p *Pipeline) makePlan(ctx context.Context, t job.Task, r *known) error {
	began := time.Now()
	id, trim := t.JobOf(r.ETag), ladder.Trim{Start: milliseconds(t.Trim.Start), End: milliseconds(t.Trim.End)}
	if err := NameFree(ctx, p.Store, r.Key); err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	index, err := p.indexed(ctx, r)
	if err != nil {
		return err
	}
	chosen, err := p.Profiles.Choose(cmp.Or(t.Profile, job.DefaultProfile), index)
	if err != nil {
		return job.Permanent("no_profile", err)
	}
	plan, err := ladder.New(index, chosen, trim)
	if err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	plan.Job, plan.Asset, plan.Recording, plan.Created = id, job.Asset(r.Key), r.Recording, time.Now().UTC()
	plan.Scan = r.took
	if r.state != nil { // older workers don't know where such a recording's bytes are
		plan.Version = max(plan.Version, ladder.PlanGrown)
		if plan.Live = r.state.Began; !plan.Live.IsZero() {
			plan.Live = plan.Live.Add(trim.Start)
		}
	}
	if err := p.fit(ctx, plan, index); err != nil {
		return fmt.Errorf("plan %s: %w", r.Key, err)
	}
	won, err := ledger.Write(ctx, p.Store, ladder.PlanKey(id), plan, "")
	if err != nil || !won {
		return err
	}
	p.Log.Info("recording planned", zap.String("job", id), zap.String("asset", plan.Asset), zap.String("profile", plan.Profile),
		zap.Bool("indexed", r.Indexed), zap.Duration("took", time.Since(began)))
	p.note(ctx, id)
	return nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

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
