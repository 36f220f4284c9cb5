package pipeline

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive/ladder"
)

// framesOutput wants a chunk's I-frames for trick play, each at its place.
func framesOutput(plan *ladder.Plan, c ladder.Chunk, l ladder.Ladder) *output {
	first, step := c.From/plan.SegmentFrames, plan.FrameStep()
	o := &output{track: ladder.Track{Ladder: l.Name, Rendition: ladder.FramesRendition}, next: first}
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
	o.divide = func(n int) (ladder.Segment, error) {
		from, to := span(n)
		s, err := o.divided(ladder.SegmentFile(n), o.time(from, *tick), step**tick)
		s.Ticks = int64((to - from) * *tick)
		return s, err
	}
	o.whole = o.allSegments(plan, c)
	return o
}

// time is when a frame of the output's grid is shown.
func (o *output) time(frame, tick int) int64 {
	return int64(ladder.StartOffset*o.track.Timescale + frame*tick)
}

// divided rewrites a segment so that every picture is a fragment of its own, the first
// at a time, the others one step after the other: a player fetches one by its range,
// which must begin with its moof (HLS authoring rule 6.10).
func (o *output) divided(name string, at int64, step int) (out ladder.Segment, err error) {
	samples, err := o.fullSamples(name)
	if err != nil {
		return out, err
	}
	var groups [][]mp4.FullSample
	for i, s := range samples {
		s.DecodeTime, s.Dur = uint64(at)+uint64(i*step), uint32(step)
		groups = append(groups, []mp4.FullSample{s})
	}
	out.Frames, err = o.writeFragments(name, groups)
	for _, r := range out.Frames {
		out.Bytes += r.Bytes
	}
	return out, err
}

// fullSamples reads a segment's samples, with their data.
func (o *output) fullSamples(name string) (all []mp4.FullSample, err error) {
	body, err := os.ReadFile(filepath.Join(o.folder, name))
	if err != nil {
		return nil, err
	}
	whole, err := mp4.DecodeFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	for _, segment := range whole.Segments {
		for _, fragment := range segment.Fragments {
			samples, err := fragment.GetFullSamples(o.trex)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
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
