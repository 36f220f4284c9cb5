package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// batchSize is how many messages SQS takes at once.
const batchSize = 10

// dispatch stores the chunks of a recording that are due and not there yet, and sends their tasks.
func (p *Pipeline) dispatch(ctx context.Context, plan *ladder.Plan, r *known, lease *worker.Lease) (sent int, err error) {
	for mine := p.newClaimant(); ; {
		d, etag, err := ledger.Dispatched(ctx, p.Store, plan)
		if err != nil {
			return sent, err
		}
		var due []ladder.Chunk
		var index *flv.Index
		if !d.Ended {
			if index, err = p.indexed(ctx, r); err != nil {
				return sent, err
			}
			if due = plan.Due(index, d.Chunks); plan.Grows {
				due = due[:min(len(due), chunksAStep)]
			}
		}
		ends := !d.Ended && !index.Open
		if len(due) == 0 && !ends && d.Sent >= len(d.Chunks) {
			return sent, nil
		}
		err = p.step(ctx, plan, &d, etag, mine, lease, func() error {
			if err := p.storeChunks(ctx, plan, &d, due); err != nil {
				return err
			}
			if ends {
				if err := p.storeEnd(ctx, plan, &d, r, index); err != nil {
					return err
				}
			}
			n, err := p.sendNext(ctx, plan, &d, len(d.Chunks))
			sent += n
			return err
		})
		if err != nil {
			return sent, err
		}
	}
}

// stepTime is more than a step takes: while a recording grows, nobody is to wait long for one who died.
const stepTime = 15 * time.Second

// chunksAStep is how many chunks are stored one after the other before that is noted.
const chunksAStep = 20

// step does a part of a dispatch, and notes it; at first, only that nobody else is to do it.
func (p *Pipeline) step(ctx context.Context, plan *ladder.Plan, d *ledger.Dispatch, etag, mine string, lease *worker.Lease, do func() error) error {
	key, begun := ladder.DispatchKey(plan.Job), d.By == mine
	if err := take(&d.Claim, "dispatch of job "+plan.Job, mine, time.Now().Add(min(stepTime, lease.Length()))); err != nil {
		if busy, ok := errors.AsType[*busyError](err); ok {
			busy.brief = true
		}
		p.forget(ctx, key, d, etag, err)
		return err
	}
	if begun {
		if err := do(); err != nil {
			giveUp(&d.Claim)
			p.writeBriefly(ctx, key, d, etag)
			return err
		}
	}
	_, err := ledger.Write(ctx, p.Store, key, d, etag)
	return err
}

// sendNext sends the next batch of a job's tasks, up to the n-th.
func (p *Pipeline) sendNext(ctx context.Context, plan *ladder.Plan, d *ledger.Dispatch, n int) (sent int, err error) {
	to := min(n, d.Sent+batchSize)
	var bodies [][]byte
	for i := d.Sent; i < to; i++ {
		bodies = append(bodies, taskOf(plan, len(d.Chunks), i).Body())
	}
	if len(bodies) > 0 {
		if err := p.Queue.SendAll(ctx, bodies); err != nil {
			return 0, fmt.Errorf("send tasks %d to %d of job %s: %w", d.Sent, to-1, plan.Job, err)
		}
	}
	if d.Sent = to; to == n {
		giveUp(&d.Claim)
	}
	return len(bodies), nil
}

// taskOf is the n-th of a job's tasks, in the order of its parts.
func taskOf(plan *ladder.Plan, chunks, n int) job.Task {
	if n < chunks {
		return job.Task{Kind: job.Chunk, Job: plan.Job, Chunk: n}
	}
	return job.Task{Kind: job.Audio, Job: plan.Job, Chunk: n - chunks}
}

// storeChunks stores chunks behind those that there are. Who comes after somebody who died over it finds
// some of them: while a recording grows, those count, since what was known of it was less.
func (p *Pipeline) storeChunks(ctx context.Context, plan *ladder.Plan, d *ledger.Dispatch, due []ladder.Chunk) error {
	if plan.Grows {
		for _, c := range due {
			there, err := p.storeChunk(ctx, plan, c)
			if err != nil {
				return err
			}
			if d.Chunks = append(d.Chunks, there); there != c.Span {
				return nil // the next ones begin elsewhere
			}
		}
		return nil
	}
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, c := range due {
		group.Go(func() error {
			there, err := p.storeChunk(inGroup, plan, c)
			if err == nil && there != c.Span {
				err = job.Permanent("old_plan", fmt.Errorf("chunk %d of job %s has frames %v, by this worker %v: it was made by another version", c.Number, plan.Job, there, c.Span))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil { // what isn't stored must not be noted as if it were
		return err
	}
	d.Chunks = append(d.Chunks, ladder.Spans(due)...)
	return nil
}

// storeChunk stores a chunk, unless there is one, and returns which frames that has.
func (p *Pipeline) storeChunk(ctx context.Context, plan *ladder.Plan, c ladder.Chunk) (ladder.Span, error) {
	won, err := ledger.Write(ctx, p.Store, ladder.ChunkKey(plan.Job, c.Number), c, "")
	if err != nil || won {
		return c.Span, err
	}
	first, err := ledger.Chunk(ctx, p.Store, plan.Job, c.Number)
	if err != nil {
		return c.Span, err
	}
	if first.From != c.From {
		return c.Span, job.Permanent("old_plan", fmt.Errorf("chunk %d of job %s begins at frame %d, by this worker at %d: it was made by another version", c.Number, plan.Job, first.From, c.From))
	}
	return first.Span, nil
}

// storeEnd notes that there are no more chunks, if they reach to the recording's end.
func (p *Pipeline) storeEnd(ctx context.Context, plan *ladder.Plan, d *ledger.Dispatch, r *known, index *flv.Index) error {
	if len(plan.Due(index, d.Chunks)) > 0 {
		return nil
	}
	end := plan.End(index, d.Chunks)
	if r.state != nil {
		end.Abandoned, end.Origins = r.state.Abandoned, origins(r.state.Turns, index)
	}
	if profile, err := p.Profiles.Choose(cmp.Or(r.profile, job.DefaultProfile), index); err == nil {
		end.Replan = plan.Misled(index, profile)
	}
	won, err := ledger.Write(ctx, p.Store, ladder.EndKey(plan.Job), end, "")
	if err != nil {
		return err
	}
	if d.Ended = true; !won {
		return nil
	}
	if end.Replan != "" {
		p.Log.Warn("recording is planned again: its beginning was not like the rest", zap.String("job", plan.Job), zap.String("asset", plan.Asset), zap.String("why", end.Replan))
	}
	p.Log.Info("recording divided", zap.String("job", plan.Job), zap.String("asset", plan.Asset), zap.Float64("duration_s", end.Duration),
		zap.Int("chunks", len(d.Chunks)), zap.Int64("bytes", end.Size), zap.Int64("torn_bytes", end.Torn), zap.Int64("lost_bytes", end.Lost), zap.Int("epochs", end.Epochs))
	return nil
}

// origins are those that recorded it, by the keyframes before which they took turns.
func origins(turns []growing.Turn, index *flv.Index) (all []ladder.Origin) {
	for _, turn := range turns {
		name, _, _ := strings.Cut(turn.Origin, ":") // the file's name follows
		o := ladder.Origin{Name: name}
		if v := index.Video; v != nil {
			i, found := slices.BinarySearchFunc(v.Keyframes, turn.From, func(k flv.Keyframe, at int64) int { return cmp.Compare(k.Offset, at) })
			if !found {
				i = max(0, i-1)
			}
			o.From = v.Keyframes[i].PTS.Seconds()
		}
		all = append(all, o)
	}
	return all
}

// repair sends every task of a job whose part doesn't exist, whatever was sent before: its message
// may have been lost, or its part removed.
func (p *Pipeline) repair(ctx context.Context, plan *ladder.Plan) (sent int, err error) {
	d, _, err := ledger.Dispatched(ctx, p.Store, plan)
	if err != nil {
		return 0, err
	}
	done, err := ledger.Done(ctx, p.Store, plan)
	if err != nil {
		return 0, err
	}
	whole := &ladder.Job{Plan: plan, End: &ladder.End{Chunks: d.Chunks}}
	names := whole.ChunkNames()
	if plan.AudioApart() && d.Ended { // it comes when the chunks are there
		all, err := ledger.Complete(ctx, p.Store, plan, names)
		if err == nil && all {
			names = whole.PartNames()
			err = p.measureAll(ctx, whole)
		}
		if err != nil {
			return 0, err
		}
	}
	var missing [][]byte
	for n, name := range names {
		if !done[name] {
			missing = append(missing, taskOf(plan, len(d.Chunks), n).Body())
		}
	}
	for sent < len(missing) {
		to := min(len(missing), sent+batchSize)
		if err := p.Queue.SendAll(ctx, missing[sent:to]); err != nil {
			return sent, fmt.Errorf("send %d missing tasks of job %s: %w", len(missing), plan.Job, err)
		}
		sent = to
	}
	return sent, nil
}
