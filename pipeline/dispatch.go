package pipeline

import (
	"context"
	"fmt"
	"time"

	"afterlive/internal/job"
	"afterlive/ladder"
)

// batchSize is how many messages SQS takes at once.
const batchSize = 10

// dispatch sends a job's first n tasks, in the order of its parts, but for those that were sent
// before: once, however many ask for it (the hook, the bucket's notification, a redelivery, a
// resend). Who sends claims that first, and notes after each batch how far it came; if it
// dies, whoever comes next goes on from there, and sends one batch again at most.
func (p *Pipeline) dispatch(ctx context.Context, plan *ladder.Job, n int, hold *Hold) (sent int, err error) {
	key, mine := ladder.DispatchKey(plan.Job), p.newClaimant()
	for {
		c, etag, err := p.dispatched(ctx, plan.Plan)
		if err != nil || c.Sent >= n {
			return sent, err
		}
		begun := c.By == mine
		if err := c.take("sending of job "+plan.Job, mine, time.Now().Add(hold.Lease())); err != nil {
			return sent, err
		}
		if begun { // else say so first
			to := min(n, c.Sent+batchSize)
			if err := p.Queue.SendAll(ctx, bodies(plan, c.Sent, to)); err != nil {
				p.giveUp(ctx, key, c, etag)
				return sent, fmt.Errorf("send tasks %d to %d of job %s: %w", c.Sent, to-1, plan.Job, err)
			}
			sent += to - c.Sent
			if c.Sent = to; to == n {
				c.giveUp()
			}
		}
		if _, err := p.writeJSON(ctx, key, c, etag); err != nil {
			return sent, err
		}
	}
}

// dispatched is what was sent of a plan, and by whom. A plan that was removed, and is made
// anew, has sent nothing.
func (p *Pipeline) dispatched(ctx context.Context, plan *ladder.Plan) (c claim, etag string, err error) {
	c, etag, err = p.claimed(ctx, ladder.DispatchKey(plan.Job))
	if !c.Plan.Equal(plan.Created) {
		c = claim{Plan: plan.Created}
	}
	return c, etag, err
}

// bodies are the messages of a job's tasks [from, to).
func bodies(plan *ladder.Job, from, to int) (all [][]byte) {
	for n := from; n < to; n++ {
		all = append(all, taskOf(plan, n).Body())
	}
	return all
}

// taskOf is the n-th of a job's tasks, in the order of its parts.
func taskOf(plan *ladder.Job, n int) job.Task {
	if n < len(plan.Chunks) {
		return job.Task{Kind: job.Chunk, Job: plan.Job, Chunk: n}
	}
	return job.Task{Kind: job.Audio, Job: plan.Job, Chunk: n - len(plan.Chunks)}
}

// repair sends every task of a job whose part doesn't exist, whatever was sent before: its message
// may have been lost, or its part removed.
func (p *Pipeline) repair(ctx context.Context, plan *ladder.Job) (sent int, err error) {
	done, err := PartsDone(ctx, p.Store, plan.Plan)
	if err != nil {
		return 0, err
	}
	names := plan.ChunkNames()
	if plan.SoundApart() { // it comes when the chunks are there
		all, err := p.complete(ctx, plan.Plan, names)
		if err == nil && all {
			names = plan.PartNames()
			err = p.measureAll(ctx, plan)
		}
		if err != nil {
			return 0, err
		}
	}
	var missing [][]byte
	for n, name := range names {
		if !done[name] {
			missing = append(missing, taskOf(plan, n).Body())
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
