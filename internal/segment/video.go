package segment

import (
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive/ladder"
)

// Video wants a chunk's frames, each at its place.
func Video(plan *ladder.Plan, c ladder.Chunk, l ladder.Ladder, r ladder.Rendition) *Output {
	first := c.From / plan.SegmentFrames
	o := newOutput(plan, l.Name, r.Name, first)
	tick := o.pictureHeader(plan, l, r)
	o.check = func(n int, samples []sample) error {
		from := n * plan.SegmentFrames
		return checkFrames(samples, plan, from, min(from+plan.SegmentFrames, c.To), *tick, o.Track.Timescale)
	}
	if r.Copy {
		o.snap = func(n int) error { return o.snapped(plan, n, *tick) }
	}
	o.whole = o.allSegments(c, plan.SegmentFrames)
	return o
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

// pictureHeader wants an init segment of a rendition. A frame's length, in the track's
// timescale, is there once it was read.
func (o *Output) pictureHeader(plan *ladder.Plan, l ladder.Ladder, r ladder.Rendition) (tick *int) {
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
			return fmt.Errorf("a frame at %s fps is no whole number of 1/%d s", plan.Rate, o.Track.Timescale)
		}
		markSphere(entry, l)
		if c := plan.Source.Picture.Colour; r.Copy && plan.Copy.Untagged { // its stream doesn't say it, and players must not have to guess
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
		if key := (from+i)%plan.GOPFrames == 0; s.sync != key {
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
