package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// maxTaken is how many workers may die over a task: as many as may receive its message.
const maxTaken = 3

// maxClaim is more than any worker asks for: what claims more was written by a clock that
// is wrong.
const maxClaim = 2 * time.Hour

// newClaimant is a name that nobody else has: two slots of one worker are two.
func (p *Pipeline) newClaimant() string { return p.Worker + " " + strings.ToLower(rand.Text()[:8]) }

// busyError is a task that somebody else is at. It comes again when their claim ends, in
// case they have died.
type busyError struct {
	what string
	ledger.Claim
	brief bool // they will be done long before
}

func (e *busyError) Error() string {
	return fmt.Sprintf("%s is with %s until %s", e.what, e.By, e.Until.UTC().Format(time.TimeOnly))
}

// brieflyBusy is how long to leave what takes no time, unless whoever is at it has died.
const brieflyBusy = 2 * time.Second

// LeaveFor is how long to leave a task to whoever has claimed it.
func (e *busyError) LeaveFor() time.Duration {
	const most = 15 * time.Minute // of SQS
	if e.brief {
		return brieflyBusy
	}
	return min(most, max(time.Second, time.Until(e.Until).Round(time.Second)))
}

// claimed is what there is of a claim, and its version.
func (p *Pipeline) claimed(ctx context.Context, key string) (c ledger.Claim, etag string, err error) {
	etag, err = ledger.Load(ctx, p.Store, key, &c)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return c, etag, err
}

// take makes a claim one's own. It cannot be had while somebody else holds it. From somebody who
// died it is taken over; a task that has killed so many is a crash loop: the queue doesn't
// see that, where its message was put back in between. Then the claim is given up: the caller stores that, so that a
// replay has as many tries again.
func take(c *ledger.Claim, what, by string, until time.Time) error {
	left := time.Until(c.Until)
	switch {
	case c.By != "" && c.By != by && left > 0 && left < maxClaim:
		return &busyError{what: what, Claim: *c}
	case c.By != "" && c.By != by && c.Taken+1 >= maxTaken:
		loop := fmt.Errorf("%s was begun by %d workers, and each of them died without saying why; the last was %s", what, c.Taken+1, c.By)
		giveUp(c)
		return job.Permanent(job.CrashLoop, loop)
	case c.By != "" && c.By != by:
		c.Taken++
	}
	c.By, c.Until = by, until.UTC()
	return nil
}

// giveUp is a claim that nobody holds any more.
func giveUp(c *ledger.Claim) { c.By, c.Until, c.Taken = "", time.Time{}, 0 }

// held is a claim that somebody holds and renews.
type held struct {
	p    *Pipeline
	key  string
	mine ledger.Claim
	etag string
}

// write stores the claim as it is now. Where an answer got lost, it is found to be there.
func (h *held) write(ctx context.Context) (won bool, err error) {
	won, err = ledger.Write(ctx, h.p.Store, h.key, h.mine, h.etag)
	if err != nil {
		return false, err
	}
	there, etag, err := h.p.claimed(ctx, h.key)
	if err == nil && there.By == h.mine.By {
		h.etag = etag
		return true, nil
	}
	return won, err
}

// whileClaimed makes a part under a claim, which is renewed like the message's lease. A copy of
// the message that comes meanwhile waits, and will find the part.
func (p *Pipeline) whileClaimed(ctx context.Context, plan *ladder.Plan, part string, lease *worker.Lease, do func() error) error {
	what := part + " of job " + plan.Job
	h := &held{p: p, key: ladder.ClaimKey(plan.Job, part)}
	var err error
	if h.mine, h.etag, err = p.claimed(ctx, h.key); err != nil {
		return err
	}
	if err := take(&h.mine, what, p.newClaimant(), time.Now().Add(lease.Length())); err != nil {
		p.forget(ctx, h.key, h.mine, h.etag, err)
		return err
	}
	if won, err := h.write(ctx); err != nil || !won {
		if err == nil { // another copy came in at the same moment
			err = &busyError{what: what, Claim: ledger.Claim{By: "another worker", Until: time.Now().Add(lease.Length())}}
		}
		return err
	}
	renewing, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(lease.Length() / 3)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
			}
			h.mine.Until = time.Now().Add(lease.Length()).UTC()
			if won, err := h.write(renewing); !won && renewing.Err() == nil {
				p.Log.Warn("claim cannot be renewed", zap.String("job", plan.Job), zap.String("task", part), zap.Error(err))
			}
		}
	}()
	err = do()
	stop()
	<-ended
	if err != nil { // so that nobody waits for it
		giveUp(&h.mine)
		p.writeBriefly(ctx, h.key, h.mine, h.etag)
	}
	return err
}

// forget stores a claim that was given up, as its task is in a crash loop.
func (p *Pipeline) forget(ctx context.Context, key string, v any, etag string, err error) {
	if reason, _ := job.Verdict(err); reason == job.CrashLoop {
		p.writeBriefly(ctx, key, v, etag)
	}
}

// briefly is how long a task that ends waits for a store that hangs.
const briefly = 3 * time.Second

// writeBriefly stores something that helps and isn't needed, though the task may have been told to end.
func (p *Pipeline) writeBriefly(ctx context.Context, key string, v any, etag string) {
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), briefly)
	defer cancel()
	_, _ = ledger.Write(brief, p.Store, key, v, etag) // else a claim ends by itself
}
