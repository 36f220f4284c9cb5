package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"go.uber.org/zap"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/remux"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// Rendition is one of a published asset, with the audio that goes with it.
type Rendition struct {
	Name   string // <ladder>/<rendition>
	Begins float64
	Tracks []ladder.Track // the video's, if there is one, and the audio's
	Plan   *ladder.Plan
}

// ErrNoMP4 is an error of [FindRendition] that whoever asks can mend.
var ErrNoMP4 = errors.New("no MP4 can be made of it")

// WriteMP4 writes the packets of a rendition as one MP4, its index first. Until all of them were read they are in the scratch, which must be empty.
func (r *Rendition) WriteMP4(ctx context.Context, store Store, w io.Writer, scratch io.ReadWriteSeeker) error {
	load := func(ctx context.Context, key string) ([]byte, error) {
		body, _, err := store.Load(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", key, err)
		}
		return body, nil
	}
	var all []remux.Track
	for _, t := range r.Tracks {
		one := remux.Track{Init: r.Plan.Key(t.Ladder, t.Rendition, t.Init)}
		for _, s := range t.Segments {
			one.Segments = append(one.Segments, r.Plan.Key(t.Ladder, t.Rendition, s.URI))
		}
		all = append(all, one)
	}
	return remux.Write(ctx, w, scratch, load, all, r.Begins)
}

// FindRendition finds a rendition of a published asset, by its name or that of its ladder and its own; "": the largest of the first ladder. Of one
// that grows, that is what there is by now.
func FindRendition(ctx context.Context, store Store, asset, name string) (*Rendition, error) {
	p := &Pipeline{Store: store, Metrics: NewMetrics(nil), Log: zap.NewNop()}
	var pointer ladder.Asset
	_, err := ledger.Load(ctx, store, ladder.PointerKey(asset), &pointer)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, ErrNoAsset
	}
	if err != nil {
		return nil, err
	}
	plan, err := ledger.Plan(ctx, store, pointer.Job)
	if err != nil {
		return nil, err
	}
	fold, first, err := p.presented(ctx, plan, pointer.Live)
	if err != nil {
		return nil, err
	}
	r := &Rendition{Begins: ladder.StartOffset + plan.Rate.Time(first).Seconds(), Plan: plan}
	var names []string
	for _, l := range pointer.Ladders {
		for _, one := range l.Renditions {
			full := l.Name + "/" + one.Name
			if names = append(names, full); r.Name == "" && (name == "" || name == full || name == one.Name) {
				r.Name = full
				r.Tracks = append(r.Tracks, fold.Tracks[full])
			}
		}
	}
	if plan.Container == ladder.TS {
		return nil, fmt.Errorf("%w: its segments are transport streams: replay it with a profile without container: ts", ErrNoMP4)
	}
	if r.Name == "" && (name != "" || len(names) > 0) {
		return nil, fmt.Errorf("%w: %s has no rendition %q: it has %s", ErrNoMP4, asset, name, strings.Join(names, ", "))
	}
	if audio := plan.AudioName(r.Name); audio != "" {
		r.Tracks = append(r.Tracks, fold.Tracks[ladder.AudioLadder+"/"+audio])
	}
	r.Tracks = slices.DeleteFunc(r.Tracks, func(t ladder.Track) bool { return len(t.Segments) == 0 })
	if slices.ContainsFunc(r.Tracks, func(t ladder.Track) bool {
		return slices.ContainsFunc(t.Segments, func(s ladder.Segment) bool { return s.Gap })
	}) {
		return nil, fmt.Errorf("%w: some of %s was given up ("+job.CLI+" failed tells why): replay that first", ErrNoMP4, asset)
	}
	return r, nil
}

// presented is what is published of a job, and the frame with which it begins.
func (p *Pipeline) presented(ctx context.Context, plan *ladder.Plan, live bool) (*ladder.Fold, int, error) {
	if live {
		fold, _, err := p.folded(ctx, plan)
		return fold, 0, err
	}
	whole, err := ledger.Job(ctx, p.Store, plan)
	if err != nil {
		return nil, 0, err
	}
	parts, err := ledger.Parts(ctx, p.Store, plan.Job, whole.PartNames())
	if err != nil {
		return nil, 0, err
	}
	fold := &ladder.Fold{}
	_, err = fold.Whole(whole, parts)
	return fold, whole.First(), err
}
