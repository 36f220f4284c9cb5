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

	"afterlive/ladder"
)

// claim says in the store who is at something, and until when others leave it to them. It
// saves work and decides nothing: what is written in the end is conditional all the same.
type claim struct {
	By    string    `json:"by"`
	Until time.Time `json:"until"`

	// Of a job's messages:
	Sent int       `json:"sent,omitempty"`
	Plan time.Time `json:"plan,omitzero"` // when the plan was made that they are of
}

// newClaimant is a name that nobody else has: two slots of one worker are two.
func (p *Pipeline) newClaimant() string { return p.Worker + " " + strings.ToLower(rand.Text()[:8]) }

// busyError is a task that somebody else is at. It comes again when their claim ends, in
// case they have died.
type busyError struct {
	what string
	claim
}

func (e *busyError) Error() string {
	return fmt.Sprintf("%s is with %s until %s", e.what, e.By, e.Until.UTC().Format(time.TimeOnly))
}

// pause is how long to leave a task to whoever has claimed it.
func (e *busyError) pause() time.Duration {
	const most = 15 * time.Minute // of SQS
	return min(most, max(time.Second, time.Until(e.Until).Round(time.Second)))
}

// claimed is what there is of a claim, and its version.
func (p *Pipeline) claimed(ctx context.Context, key string) (c claim, etag string, err error) {
	etag, err = loadJSON(ctx, p.Store, key, &c)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return c, etag, err
}

// free tells whether others may take what a claim is of.
func (c claim) free() bool { return c.By == "" || !time.Now().Before(c.Until) }

// whileClaimed makes a part under a claim, which is renewed like the message's lease. A copy of
// the message that comes meanwhile waits, and will find the part.
func (p *Pipeline) whileClaimed(ctx context.Context, plan *ladder.Plan, part string, hold *Hold, do func() error) error {
	key, mine := ladder.ClaimKey(plan.Job, part), p.newClaimant()
	c, etag, err := p.claimed(ctx, key)
	if err != nil {
		return err
	}
	if !c.free() {
		return &busyError{part + " of job " + plan.Job, c}
	}
	renew := func(ctx context.Context, until time.Time) (won bool, err error) {
		if won, err = p.writeJSON(ctx, key, claim{By: mine, Until: until.UTC()}, etag); won {
			_, etag, err = p.claimed(ctx, key)
		}
		return won, err
	}
	if won, err := renew(ctx, time.Now().Add(hold.Lease())); err != nil || !won {
		if err == nil { // another copy came in at the same moment
			err = &busyError{part + " of job " + plan.Job, claim{By: "another worker", Until: time.Now().Add(hold.Lease())}}
		}
		return err
	}
	renewing, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for sleep(renewing, hold.Lease()/3) {
			if _, err := renew(renewing, time.Now().Add(hold.Lease())); err != nil {
				p.Log.Warn("claim cannot be renewed", zap.String("job", plan.Job), zap.String("task", part), zap.Error(err))
			}
		}
	}()
	err = do()
	stop()
	<-ended
	if err != nil { // so that nobody waits for it
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
		defer cancel()
		_, _ = renew(brief, time.Now()) // else it ends by itself
	}
	return err
}
