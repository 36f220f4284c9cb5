package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// publishEvent publishes what there is so far of a recording that grows: the parts from the first on
// without one missing. What a reader sees only gets longer, and names only what is there.
// It costs as many requests for the thousandth part as for the tenth.
func (p *Pipeline) publishEvent(ctx context.Context, plan *ladder.Plan, whole *ladder.Job) error {
	for {
		fold, etag, err := p.folded(ctx, plan)
		if err != nil {
			return err
		}
		had, ended := len(fold.Chunks), fold.Ended
		if err := p.unfold(ctx, plan, fold); err != nil {
			return err
		}
		fold.Ended = whole != nil && len(fold.Chunks) == len(whole.Chunks)
		if len(fold.Chunks) == had && fold.Ended == ended && !ended {
			return nil
		}
		if len(fold.Chunks) > had || fold.Ended != ended {
			won, err := ledger.Write(ctx, p.Store, ladder.LiveKey(plan.Job), fold, etag)
			if err != nil {
				return err
			}
			if !won { // somebody else has another part
				continue
			}
		}
		return p.writeEvent(ctx, plan, fold)
	}
}

// folded is what the parts so far of a recording that grows have become, and its version.
func (p *Pipeline) folded(ctx context.Context, plan *ladder.Plan) (*ladder.Fold, string, error) {
	fold := ladder.Fold{Version: ladder.FoldVersion}
	etag, err := ledger.Load(ctx, p.Store, ladder.LiveKey(plan.Job), &fold)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return &fold, etag, err
}

// unfold adds the next parts to a fold, up to the first that is still to come.
func (p *Pipeline) unfold(ctx context.Context, plan *ladder.Plan, fold *ladder.Fold) error {
	for {
		n := len(fold.Chunks)
		var part ladder.Part
		_, err := ledger.Load(ctx, p.Store, ladder.PartKey(plan.Job, ladder.ChunkPart(n)), &part)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			left, err := p.leave(ctx, plan, fold)
			if err != nil || !left {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if err := fold.AddChunk(plan, part.Span, part); err != nil {
			return job.Permanent("parts_differ", err)
		}
		if err := p.areThere(ctx, plan, part); err != nil {
			return err
		}
	}
}

// leave adds a gap for a chunk that was given up, and is not tried again so far. left is false if it wasn't. If it is
// replayed, it is in the video on demand all the same.
func (p *Pipeline) leave(ctx context.Context, plan *ladder.Plan, fold *ladder.Fold) (left bool, err error) {
	n := len(fold.Chunks)
	keys, err := p.Store.List(ctx, ladder.FailuresPrefix(plan.Job))
	if err != nil {
		return false, fmt.Errorf("list failures of job %s: %w", plan.Job, err)
	}
	given := ladder.FailurePrefix(plan.Job, ladder.ChunkPart(n))
	if !slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, given) }) {
		return false, nil
	}
	chunk, err := ledger.Chunk(ctx, p.Store, plan.Job, n)
	if err != nil {
		return false, err
	}
	return fold.Leave(plan, chunk.Span), nil
}

// publishTime is how long that may take before the message is settled.
const publishTime = 10 * time.Second

// goOnWithout publishes what comes behind a chunk that was given up.
func (p *Pipeline) goOnWithout(ctx context.Context, plan *ladder.Plan) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTime)
	defer cancel()
	whole, err := ledger.Job(ctx, p.Store, plan)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.publishEvent(ctx, plan, whole)
}

// writeEvent writes the playlists of an event, and then what leads to them.
func (p *Pipeline) writeEvent(ctx context.Context, plan *ladder.Plan, fold *ladder.Fold) error {
	event := fold.Event(plan)
	if event == nil {
		return nil
	}
	var current ladder.Asset
	_, err := ledger.Load(ctx, p.Store, ladder.PointerKey(plan.Asset), &current)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	offered := current.Job == plan.Job
	if fold.Ended && !offered { // nobody is watching it, and the whole comes next
		return nil
	}
	lists, err := playlists(plan, event)
	if err != nil {
		return err
	}
	for _, l := range lists {
		if err := p.lengthen(ctx, l.key, l.body); err != nil {
			return err
		}
	}
	asset := event.Asset()
	if !offered {
		if err := p.offer(ctx, plan, event); err != nil {
			return err
		}
		if asset.Waiting, err = p.waiting(ctx, plan); err != nil {
			return err
		}
	}
	if err := p.point(ctx, plan, asset); err != nil || offered {
		return err
	}
	if err := p.pointLatest(ctx, plan); err != nil {
		return err
	}
	return p.noteAll(ctx, plan.Job)
}

// waiting is until when a recording waits for its publisher. Looks tell when that changes, once there is an asset.
func (p *Pipeline) waiting(ctx context.Context, plan *ladder.Plan) (time.Time, error) {
	state, _, err := growing.Load(ctx, p.Recordings, plan.Recording.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return state.Waiting, nil
}

// offer writes an event's multivariant playlists: from now on it can be watched.
func (p *Pipeline) offer(ctx context.Context, plan *ladder.Plan, event *ladder.Presentation) error {
	if err := p.keepsTheRules(ctx, plan, event); err != nil {
		return err
	}
	for _, m := range event.Masters() {
		if _, err := ledger.Put(ctx, p.Store, plan.Key(m.Ladder, event.MasterFile()), m.Body, ""); err != nil {
			return err
		}
	}
	p.Log.Info("event can be watched", zap.String("job", plan.Job), zap.String("asset", plan.Asset), zap.Float64("duration_s", event.Asset().Duration))
	return nil
}

// lengthen writes something that only grows, unless a longer one is there.
func (p *Pipeline) lengthen(ctx context.Context, key string, body []byte) error {
	for {
		have, etag, err := p.Store.Load(ctx, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("load %s: %w", key, err)
		}
		if len(have) >= len(body) {
			return nil
		}
		if won, err := ledger.Put(ctx, p.Store, key, body, etag); err != nil || won {
			return err
		}
	}
}

// tellWaiting tells viewers and operators until when an event waits for its publisher; zero: it doesn't.
func (p *Pipeline) tellWaiting(ctx context.Context, plan *ladder.Plan, until time.Time) error {
	for {
		var current ladder.Asset
		etag, err := ledger.Load(ctx, p.Store, ladder.PointerKey(plan.Asset), &current)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || current.Job != plan.Job || !current.Live || current.Waiting.Equal(until) {
			return err
		}
		current.Waiting = until
		won, err := ledger.Write(ctx, p.Store, ladder.PointerKey(plan.Asset), current, etag)
		if err != nil {
			return err
		}
		if won {
			p.note(ctx, plan.Job)
			return nil
		}
	}
}
