package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// ClipWish is a part of an asset that somebody wants as an asset of its own.
type ClipWish struct {
	Asset    string
	From, To time.Duration // of the asset; To 0: its end
	As       string        // its name; "": the asset's, and the times
	Segments bool          // both ends are moved outwards to where segments begin: nothing is encoded, and the recording isn't needed
	DryRun   bool          // only say what would be made
}

// Clipped is what becomes of a [ClipWish].
type Clipped struct {
	Job     string   `json:"job"`
	Asset   string   `json:"asset"`
	From    float64  `json:"from_s"` // of the asset
	To      float64  `json:"to_s"`
	Encodes int      `json:"encodes"`            // tasks for workers: 0 to 2
	Before  bool     `json:"before,omitempty"`   // the same was made before
	LeftOut []string `json:"left_out,omitempty"` // renditions that it lacks: the recording's own video, which isn't encoded
}

// Errors of a [ClipWish] that whoever made it can mend.
var (
	ErrNoAsset = errors.New("there is no such asset")
	ErrNoClip  = errors.New("it cannot be cut so")
)

// Clipper is what it takes to make clips.
type Clipper struct {
	Store      Store
	Recordings Recordings
	Queue      Queue
}

// Clip makes a part of an asset an asset of its own, to the frame: it names the segments that are whole within it, and has workers encode only what is
// between them and its ends. If the asset still grows, that is of what it has by now. Done again, it goes on where it was broken off.
func (c Clipper) Clip(ctx context.Context, w ClipWish) (*Clipped, error) {
	p := &Pipeline{Store: c.Store, Recordings: c.Recordings, Queue: c.Queue, Metrics: NewMetrics(nil), Log: zap.NewNop()}
	from, pointer, err := p.clippable(ctx, w.Asset)
	if err != nil {
		return nil, fmt.Errorf("clip %s: %w", w.Asset, err)
	}
	cut, err := w.span(from)
	if err != nil {
		return nil, fmt.Errorf("clip %s: %w", w.Asset, err)
	}
	if w.As == "" {
		w.As = w.Asset + "-clip-" + stamp(from, cut.From) + "-" + stamp(from, cut.To)
	}
	id := job.ClipID(from.Job, w.As, cut.From, cut.To)
	pieces := from.Pieces(cut)
	clip, err := p.planClip(ctx, from, pointer, cut, pieces)
	if err == nil {
		clip.Job, clip.Asset, clip.Created = id, w.As, time.Now().UTC()
		err = p.clipNameFree(ctx, clip.Plan)
	}
	if err != nil {
		return nil, fmt.Errorf("clip %s: %w", w.Asset, err)
	}
	out := &Clipped{Job: id, Asset: w.As, From: from.Rate.Time(cut.From).Seconds(), To: from.Rate.Time(cut.To).Seconds(), LeftOut: from.LeftOut(clip, pointer.Ladders)}
	for _, piece := range pieces {
		if piece.Of == ladder.Encoded {
			out.Encodes++
		}
	}
	if _, err := ledger.Plan(ctx, p.Store, id); err == nil {
		out.Before = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if w.DryRun {
		return out, nil
	}
	if err := p.makeClip(ctx, from, clip, pieces); err != nil {
		return nil, fmt.Errorf("clip %s: %w", w.Asset, err)
	}
	return out, nil
}

// span are those that are wanted of a job.
func (w ClipWish) span(from *ladder.Job) (ladder.Span, error) {
	s := ladder.Span{From: from.Rate.Frame(w.From), To: from.Rate.Frame(w.To)}
	if w.To == 0 {
		s.To = from.Frames
	}
	lasts := from.Rate.Time(from.Frames).Round(time.Millisecond)
	switch {
	case w.From < 0 || w.To < 0 || s.From >= from.Frames || s.To > from.Frames+1:
		return s, fmt.Errorf("%w: the asset has %s", ErrNoClip, lasts)
	case w.Segments:
		s = from.AtSegments(s)
	}
	s.To = min(s.To, from.Frames)
	if s.To <= s.From || from.Rate.Time(s.To-s.From) < ladder.ShortestClip {
		return s, fmt.Errorf("%w: a clip has at least %s, and ends behind its beginning", ErrNoClip, ladder.ShortestClip)
	}
	return s, nil
}

// stamp is a frame's time in a name.
func stamp(j *ladder.Job, frame int) string {
	t := j.Rate.Time(frame).Round(time.Millisecond)
	text := fmt.Sprintf("%dm%02ds", int(t.Minutes()), int(t.Seconds())%60)
	if ms := t.Milliseconds() % 1000; ms > 0 {
		text += fmt.Sprintf("%03d", ms)
	}
	return text
}

// clippable is what there is of an asset, to cut from.
func (p *Pipeline) clippable(ctx context.Context, asset string) (*ladder.Job, ladder.Asset, error) {
	var pointer ladder.Asset
	_, err := ledger.Load(ctx, p.Store, ladder.PointerKey(asset), &pointer)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, pointer, ErrNoAsset
	}
	if err != nil {
		return nil, pointer, err
	}
	if c := pointer.Clip; c != nil {
		return nil, pointer, fmt.Errorf("%w: it is a clip of %s, and begins there at %s: cut it from that", ErrNoClip, c.Asset, time.Duration(c.From*float64(time.Second)))
	}
	plan, err := ledger.Plan(ctx, p.Store, pointer.Job)
	if err != nil {
		return nil, pointer, err
	}
	if !pointer.Live {
		whole, err := ledger.Job(ctx, p.Store, plan)
		return whole, pointer, err
	}
	fold, _, err := p.folded(ctx, plan)
	return plan.SoFar(fold.Chunks), pointer, err
}

// planClip plans a clip of a job.
func (p *Pipeline) planClip(ctx context.Context, from *ladder.Job, pointer ladder.Asset, cut ladder.Span, pieces []ladder.Piece) (*ladder.Job, error) {
	gain := ""
	if from.AudioApart() && !pointer.Live {
		var loudness ladder.Loudness
		if _, err := ledger.Load(ctx, p.Store, ladder.LoudnessKey(from.Job), &loudness); err != nil {
			return nil, err
		}
		gain = from.Gain(&loudness)
	}
	clip, err := from.PlanClip(cut, pieces, pointer.Ladders, gain)
	if errors.Is(err, ladder.ErrTopIsCopy) {
		err = fmt.Errorf("%w: %w", ErrNoClip, err)
	}
	if err != nil {
		return nil, err
	}
	clip.Clip.Live = pointer.Live
	if pointer.Poster != "" && clip.Storyboard != nil {
		clip.Clip.Poster = path.Base(pointer.Poster)
	}
	return clip, nil
}

// clipNameFree refuses a name that is another asset's.
func (p *Pipeline) clipNameFree(ctx context.Context, clip *ladder.Plan) error {
	key := job.Prefix + clip.Asset + ".flv"
	if err := job.ValidKey(key); err != nil {
		return fmt.Errorf("%w: %w", ErrNoClip, err)
	}
	var pointer ladder.Asset
	if _, err := ledger.Load(ctx, p.Store, ladder.PointerKey(clip.Asset), &pointer); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := sameRecording(pointer, clip.Asset, clip.Recording.Key, clip.Clip); err != nil {
		return err
	}
	ids, err := catalog.IDs(ctx, p.Store, clip.Asset)
	if err != nil {
		return err
	}
	for _, id := range ids { // also what is not published yet
		other, err := ledger.Plan(ctx, p.Store, id)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || other.Clip == nil || other.Clip.Asset != clip.Clip.Asset {
			return nameTaken("job %s is to become the asset %q", id, clip.Asset)
		}
	}
	return placeFree(ctx, p.Store, clip.Asset)
}

// makeClip stores what says of what a clip consists, and has its ends encoded. What leads to the job that it is cut from comes first: as long as that
// is there, nobody removes what the clip needs. Done again, the plan that is stored counts: what it is cut from may have gone on since.
func (p *Pipeline) makeClip(ctx context.Context, from, clip *ladder.Job, pieces []ladder.Piece) error {
	ends, err := p.clipEnds(ctx, from, clip, pieces)
	if err != nil {
		return err
	}
	if _, err := p.borrowed(ctx, from, clip, pieces); err != nil { // before anything is stored
		return err
	}
	if err := p.mayStay(ctx, from, clip); err != nil {
		return err
	}
	if _, err := ledger.Write(ctx, p.Store, ladder.ClipKey(from.Job, clip.Job), map[string]string{"asset": clip.Asset}, ""); err != nil {
		return err
	}
	if _, err := ledger.Write(ctx, p.Store, ladder.PlanKey(clip.Job), clip.Plan, ""); err != nil {
		return err
	}
	if clip.Plan, err = ledger.Plan(ctx, p.Store, clip.Job); err != nil {
		return err
	}
	if _, err := catalog.Refresh(ctx, p.Store, clip.Job); err != nil { // what is in no list, nobody could remove
		return err
	}
	if err := p.mayStay(ctx, from, clip); err != nil {
		return err
	}
	if err := p.copyPoster(ctx, from.Plan, clip.Plan); err != nil {
		return err
	}
	parts, err := p.borrowed(ctx, from, clip, pieces)
	if err != nil {
		return err
	}
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, part := range parts {
		group.Go(func() error {
			_, err := ledger.Write(inGroup, p.Store, ladder.PartKey(clip.Job, part.Name), part, "")
			return err
		})
	}
	for _, end := range ends {
		group.Go(func() error {
			_, err := p.storeChunk(inGroup, clip.Plan, end)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if _, err := ledger.Write(ctx, p.Store, ladder.EndKey(clip.Job), clip.End, ""); err != nil {
		return err
	}
	return p.sendEnds(ctx, clip, ends)
}

// mayStay is an error if a clip, or what it is cut from, is being removed.
func (p *Pipeline) mayStay(ctx context.Context, from, clip *ladder.Job) error {
	for _, id := range []string{from.Job, clip.Job} {
		if _, _, err := p.Store.Load(ctx, ladder.RemovedKey(id)); !errors.Is(err, fs.ErrNotExist) {
			return cmp.Or(err, fmt.Errorf("%w: job %s is being removed", ErrNoClip, id))
		}
	}
	return nil
}

// sendEnds sends the tasks of a clip, once, and publishes it if there are none.
func (p *Pipeline) sendEnds(ctx context.Context, clip *ladder.Job, ends []ladder.Chunk) error {
	plan, err := ledger.Plan(ctx, p.Store, clip.Job) // the one that counts: it may have been made before
	if err != nil {
		return err
	}
	d, etag, err := ledger.Dispatched(ctx, p.Store, plan)
	if err != nil {
		return err
	}
	if !d.Ended {
		var bodies [][]byte
		for _, end := range ends {
			bodies = append(bodies, job.Task{Kind: job.Chunk, Job: clip.Job, Chunk: end.Number}.Body())
		}
		if len(bodies) > 0 {
			if err := p.Queue.SendAll(ctx, bodies); err != nil {
				return fmt.Errorf("send tasks of job %s: %w", clip.Job, err)
			}
		}
		d.Chunks, d.Ended, d.Sent = clip.Chunks, true, len(clip.Chunks)
		if _, err := ledger.Write(ctx, p.Store, ladder.DispatchKey(clip.Job), d, etag); err != nil {
			return err
		}
	}
	if err := p.goOn(ctx, plan, nil); err != nil {
		return err
	}
	s, err := catalog.Refresh(ctx, p.Store, clip.Job)
	if err != nil {
		return err
	}
	return catalog.RefreshOthers(ctx, p.Store, s)
}

// clipEnds are the chunks of a clip that are encoded.
func (p *Pipeline) clipEnds(ctx context.Context, from, clip *ladder.Job, pieces []ladder.Piece) (ends []ladder.Chunk, err error) {
	var r *known
	for n, piece := range pieces {
		if piece.Of != ladder.Encoded {
			continue
		}
		if r == nil {
			r, err = p.find(ctx, job.Task{Key: from.Recording.Key, ETag: from.Recording.ETag})
			if err == nil && r == nil || errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w: its recording is gone, so nothing can be encoded: cut it at segments", ErrNoClip)
			}
			if err != nil {
				return nil, err
			}
			if r.ETag != from.Recording.ETag { // it was planned anew as a whole, which had another zero
				r.ETag = from.Recording.ETag
				r.index, err = p.scan(ctx, r)
			} else {
				r.index, err = p.index(ctx, r)
			}
			if err != nil {
				return nil, err
			}
		}
		ends = append(ends, clip.EndChunk(r.index, n, piece.Span))
	}
	return ends, nil
}

// borrowed are the parts of a clip that are there already.
func (p *Pipeline) borrowed(ctx context.Context, from, clip *ladder.Job, pieces []ladder.Piece) ([]ladder.Part, error) {
	all := make([]ladder.Part, len(pieces))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for n, piece := range pieces {
		if piece.Of == ladder.Encoded {
			continue
		}
		names := []string{ladder.ChunkPart(piece.Of)}
		if from.AudioApart() && !clip.Clip.Live {
			names = append(names, ladder.AudioPart(piece.Of))
		}
		group.Go(func() error {
			parts, err := ledger.Parts(ctx, p.Store, from.Job, names)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: some of it was given up ("+job.CLI+" failed tells why): replay that first", ErrNoClip)
			}
			if err != nil {
				return err
			}
			all[n] = clip.Borrow(n, piece, from, parts...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []ladder.Part
	for _, part := range all {
		if part.Name != "" {
			out = append(out, part)
		}
	}
	return out, nil
}

// copyPoster gives a clip the asset's poster as its own.
func (p *Pipeline) copyPoster(ctx context.Context, from, clip *ladder.Plan) error {
	if clip.Clip.Poster == "" {
		return nil
	}
	body, _, err := p.Store.Load(ctx, from.Key(ladder.StoryboardFolder, clip.Clip.Poster))
	if err != nil {
		return fmt.Errorf("copy poster: %w", err)
	}
	_, err = ledger.Put(ctx, p.Store, clip.Key(ladder.StoryboardFolder, clip.Clip.Poster), body, "")
	return err
}
