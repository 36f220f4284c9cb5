package segment

import (
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/ladder"
)

// Video wants a chunk's frames, each at its place.
func Video(plan *ladder.Plan, c ladder.Chunk, l ladder.Ladder, r ladder.Rendition) *Output {
	first := c.From / plan.SegmentFrames
	o := newOutput(plan, l.Name, r.Name, first)
	tick := o.videoHeader(plan, l, r)
	o.check = func(n int, samples []sample) error {
		s := segmentOf(plan, c, n)
		return checkFrames(samples, plan, s.From, s.To, *tick, o.Track.Timescale)
	}
	switch {
	case r.Copy:
		o.snap = func(n int) error { return o.retimed(plan, n, *tick) }
	case c.To-c.From <= plan.Reordered():
		o.snap = func(n int) error { return o.delayed(n, c.From-plan.Reordered(), *tick) }
	}
	o.whole = o.allSegments(c, plan.SegmentFrames)
	return o
}

// segmentOf are the frames of segment n of a chunk. A clip's first chunk may begin within a segment of its asset.
func segmentOf(plan *ladder.Plan, c ladder.Chunk, n int) ladder.Span {
	return ladder.Span{From: max(c.From, n*plan.SegmentFrames), To: min((n+1)*plan.SegmentFrames, c.To)}
}

// delayed gives the frames of a chunk that is shorter than x264's delay the decode times that they have in a longer one: x264 takes its delay from
// the frames that it gets. Else its segment would begin too late for the one before, or end too late for the next.
func (o *Output) delayed(n, first, tick int) error {
	name := ladder.SegmentFile(n)
	samples, err := o.fullSamples(name)
	if err != nil {
		return err
	}
	for i := range samples {
		s := &samples[i]
		shown := s.PresentationTime()
		s.DecodeTime, s.Dur = uint64(o.time(first+i, tick)), uint32(tick) //nolint:gosec // presentation starts at 10 s
		s.CompositionTimeOffset = int32(shown - int64(s.DecodeTime))      //nolint:gosec // a few frames
	}
	_, err = o.writeFragments(name, [][]mp4.FullSample{samples})
	return err
}

// allSegments wants as many segments as a chunk has, of so many frames each.
func (o *Output) allSegments(c ladder.Chunk, span int) func() error {
	return func() error {
		want := (c.To - c.From + span - 1) / span
		if got := len(o.Track.Segments); got != want {
			return fmt.Errorf("it has %d segments, the plan %d", got, want)
		}
		return nil
	}
}

// videoHeader wants an init segment of a rendition. A frame's length, in the track's
// timescale, is there once it was read.
func (o *Output) videoHeader(plan *ladder.Plan, l ladder.Ladder, r ladder.Rendition) (tick *int) {
	tick = new(int)
	o.header = func(trak *mp4.TrakBox) error {
		entry := trak.Mdia.Minf.Stbl.Stsd.AvcX
		if entry == nil || int(entry.Width) != r.Width || int(entry.Height) != r.Height {
			return fmt.Errorf("the init segment doesn't say H.264 of %dx%d", r.Width, r.Height)
		}
		avc := entry.AvcC.DecConfRec
		o.Track.Codecs = fmt.Sprintf("avc1.%02x%02x%02x", avc.AVCProfileIndication, avc.ProfileCompatibility, avc.AVCLevelIndication)
		*tick = o.Track.Timescale * plan.Rate.Den / plan.Rate.Num
		if *tick*plan.Rate.Num != o.Track.Timescale*plan.Rate.Den {
			return fmt.Errorf("a frame at %s fps is not a whole number of 1/%d s", plan.Rate, o.Track.Timescale)
		}
		markSphere(entry, l)
		if c := plan.Source.Video.Colour; r.Copy && plan.Copy.Untagged { // its stream doesn't say it, and players must not have to guess
			entry.AddChild(&mp4.ColrBox{
				ColorType: "nclx", ColorPrimaries: uint16(c.Primaries), TransferCharacteristics: uint16(c.Transfer), MatrixCoefficients: uint16(c.Matrix),
			})
		}
		return nil
	}
	return tick
}

// checkFrames wants the frames [from, to), each shown at its place on the grid
// and for one tick, with a keyframe every GOPFrames and nowhere else.
func checkFrames(samples []sample, plan *ladder.Plan, from, to, tick, timescale int) error {
	if len(samples) != to-from {
		return fmt.Errorf("it has %d frames, the plan %d", len(samples), to-from)
	}
	for i, s := range samples {
		if key := i%plan.GOPFrames == 0; s.sync != key { // a segment begins with one
			return fmt.Errorf("frame %d: keyframe is %t, by the plan %t", from+i, s.sync, key)
		}
		if s.duration != int64(tick) || (i > 0 && s.decode != samples[i-1].decode+int64(tick)) {
			return fmt.Errorf("frame %d: it lasts %d ticks and is decoded at %d, a frame is %d", from+i, s.duration, s.decode, tick)
		}
	}
	shown := slices.Clone(samples)
	slices.SortFunc(shown, func(a, b sample) int { return int(a.shown - b.shown) })
	for i, s := range shown {
		if at := int64(ladder.StartOffset*timescale + (from+i)*tick); s.shown != at {
			return fmt.Errorf("frame %d: it is shown at %d, by the plan at %d (1/%d s)", from+i, s.shown, at, timescale)
		}
	}
	return nil
}
