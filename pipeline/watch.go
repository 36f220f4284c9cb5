package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// Recorders die, and disks with them, without a word. So a recording that grows is watched: workers send each other a
// message about it until it has ended. Whoever receives that looks at the recording as always. Where nothing has come for
// too long, it ends the recording with what is there.
//
// Messages are delivered twice, or come back though they were replaced. The store notes the number of the last look
// (jobs/<job>/watch.json): an earlier one is not followed by another. A watch that got lost is begun anew by enqueue
// follow, which asks for one now and then.

const (
	looksADelay = 3                // looks in the time after which a recording is abandoned
	seldom      = 10 * time.Minute // between looks, at most
	intervals   = 3                // of its recorder, that a recording may be silent at least
	neverCame   = 15 * time.Minute // that is waited for a recording of which follow could store nothing yet
	overdue     = 2 * time.Minute  // by which a look is late that got lost
)

// watched is what is noted of a recording's last look.
type watched struct {
	Next int       `json:"next"` // the number of the look that comes next
	Due  time.Time `json:"due"`  // when
}

// watch looks at a recording; and, if its message is a watch, sees to it that this happens again, or ends the recording.
func (p *Pipeline) watch(ctx context.Context, t job.Task, lease *worker.Lease) error {
	err := p.look(ctx, t, lease)
	if t.Watch.Since.IsZero() {
		return err
	}
	state, _, unknown := growing.Load(ctx, p.Recordings, t.Key)
	reason, final := job.Verdict(err)
	never := errors.Is(unknown, fs.ErrNotExist)
	switch {
	case never && err != nil && reason == "no_recording" && time.Since(t.Watch.Since) < neverCame:
		return p.lookAgain(ctx, t, time.Minute)
	case never && reason == "no_recording":
		p.Log.Warn("recording has stopped growing", zap.String("key", t.Key))
		return nil
	case never: // it is no longer one that grows
		return err
	case unknown != nil:
		return unknown
	case err != nil && state.Ended && final && !state.Abandoned:
		return nil // the message of its end fails for the same reason, and is the one to replay
	case state.Ended:
		return err
	case err != nil: // it is watched all the same
		p.Log.Warn("growing recording cannot be read for now", zap.String("key", t.Key), zap.Error(err))
	}
	return p.watchOn(ctx, t, state, lease)
}

// watchOn decides what comes after a look at a recording that has not ended: another one, or its end.
func (p *Pipeline) watchOn(ctx context.Context, t job.Task, state *growing.State, lease *worker.Lease) error {
	enough := max(p.Abandon, time.Duration(intervals*t.Watch.Every)*time.Second)
	since := t.Watch.Since
	if state.Waiting.After(since) && !state.Closing { // so long, its recorder waits for the publisher
		since = state.Waiting
	}
	silent := time.Since(since)
	switch {
	case p.Abandon == 0:
		return nil
	case state.End == t.Watch.Seen && silent >= enough:
		_, err := growing.EndAsItIs(ctx, p.Recordings, t.Key, state.End)
		if err == nil {
			p.Log.Warn("recording is abandoned: nothing of it has come for too long", zap.String("key", t.Key), zap.Int64("bytes", state.End), zap.Duration("silent", silent))
			return p.look(ctx, t, lease)
		}
		if !errors.Is(err, growing.ErrGrows) {
			return fmt.Errorf("abandon %s: %w", t.Key, err)
		}
		fallthrough // its recorder has come back at this very moment
	case state.End != t.Watch.Seen:
		t.Watch.Seen, t.Watch.Since = state.End, time.Now().UTC()
	}
	key := ladder.WatchKey(t.In(p.Bucket).JobOf(state.ID))
	var last watched
	etag, err := ledger.Load(ctx, p.Store, key, &last)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if t.Watch.Look < last.Next {
		if time.Since(last.Due) < overdue {
			return nil // another message goes on with it
		}
		t.Watch.Look = last.Next
	}
	t.Watch.Look++
	pause := min(seldom, max(time.Second, enough/looksADelay))
	if err := p.lookAgain(ctx, t, pause); err != nil {
		return err
	}
	_, err = ledger.Write(ctx, p.Store, key, watched{Next: t.Watch.Look, Due: time.Now().Add(pause).UTC()}, etag) // not won: a copy was first
	return err
}

// lookAgain sends the next look, after about that time: two that came in at once don't stay together.
func (p *Pipeline) lookAgain(ctx context.Context, t job.Task, pause time.Duration) error {
	t.Failures = 0 // of this look: the next one is another
	return p.Queue.Send(ctx, t.Body(), pause-pause/8+rand.N(pause/4+1))
}
