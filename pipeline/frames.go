package pipeline

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive/ladder"
)

// framesOutput wants a chunk's I-frames for trick play, each at its place.
func framesOutput(plan *ladder.Plan, c ladder.Chunk, l ladder.Ladder) *output {
	first, step := c.From/plan.SegmentFrames, plan.FrameStep()
	o := newOutput(plan, l.Name, ladder.FramesRendition, first)
	tick := o.pictureHeader(plan, l, *l.Frames)
	span := func(n int) (from, to int) {
		return n * plan.SegmentFrames, min((n+1)*plan.SegmentFrames, c.To)
	}
	o.check = func(n int, samples []sample) error {
		from, to := span(n)
		if want := (to - from + step - 1) / step; len(samples) != want {
			return fmt.Errorf("it has %d I-frames, the plan %d", len(samples), want)
		}
		for i, s := range samples {
			want := o.time(from+i*step, *tick)
			if i == 0 && n > first { // ffmpeg takes the one before for one frame long, and lets this begin where that ends
				want = s.shown
			}
			if !s.sync || s.shown != want || s.decode != want {
				return fmt.Errorf("picture %d: it is shown at %d, by the plan at %d (1/%d s); keyframe: %t", from+i*step, s.shown, want, o.track.Timescale, s.sync)
			}
		}
		return nil
	}
	o.pack = func(n int, s packed) ([]packed, error) {
		from, to := span(n)
		s.Ticks = int64((to - from) * *tick)
		all, err := o.pictures(s, o.time(from, *tick), step**tick)
		if err != nil {
			return nil, err
		}
		if plan.Container == ladder.TS {
			return o.alone(s, all, from/step)
		}
		return o.divided(s, all)
	}
	o.whole = o.allSegments(c, plan.PictureSpan())
	return o
}

// time is when a frame of the output's grid is shown.
func (o *output) time(frame, tick int) int64 {
	return int64(ladder.StartOffset*o.track.Timescale + frame*tick)
}

// pictures are those of a segment, the first at a time, the others one step after the
// other.
func (o *output) pictures(s packed, at int64, step int) ([]mp4.FullSample, error) {
	all, err := o.fullSamples(s.file)
	for i := range all {
		all[i].DecodeTime, all[i].Dur = uint64(at)+uint64(i*step), uint32(step)
	}
	return all, err
}

// divided writes a segment anew, so that every picture is a fragment of its own: a player
// fetches one by its range, which must begin with its moof (HLS authoring rule 6.10).
func (o *output) divided(s packed, all []mp4.FullSample) (out []packed, err error) {
	s.Frames, err = o.writeFragments(s.file, slices.Collect(slices.Chunk(all, 1)))
	s.Bytes = 0
	for _, r := range s.Frames {
		s.Bytes += r.Bytes
	}
	return []packed{s}, err
}

// fullSamples reads a segment's samples, with their data.
func (o *output) fullSamples(name string) (all []mp4.FullSample, err error) {
	body, err := os.ReadFile(filepath.Join(o.folder, name))
	if err != nil {
		return nil, err
	}
	whole, err := mp4.DecodeFile(bytes.NewReader(body))
	if err == nil {
		all, err = o.samplesOf(whole)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return all, nil
}

func (o *output) samplesOf(file *mp4.File) (all []mp4.FullSample, err error) {
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			samples, err := fragment.GetFullSamples(o.trex)
			if err != nil {
				return nil, err
			}
			all = append(all, samples...)
		}
	}
	return all, nil
}

// writeFragments makes a segment anew, of fragments of these samples, and tells where
// each is.
func (o *output) writeFragments(name string, groups [][]mp4.FullSample) (ranges []ladder.Range, err error) {
	var all bytes.Buffer
	for i, samples := range groups {
		fragment, err := mp4.CreateFragment(uint32(i+1), o.trex.TrackID)
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			fragment.AddFullSample(s)
		}
		before := int64(all.Len())
		if err := fragment.Encode(&all); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		ranges = append(ranges, ladder.Range{Offset: before, Bytes: int64(all.Len()) - before})
	}
	return ranges, os.WriteFile(filepath.Join(o.folder, name), all.Bytes(), 0o644)
}
