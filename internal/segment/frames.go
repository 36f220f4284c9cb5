package segment

import (
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/ladder"
)

// IFrames wants a chunk's I-frames for trick play, each at its place.
func IFrames(plan *ladder.Plan, c ladder.Chunk, l ladder.Ladder) *Output {
	first, step := c.From/plan.SegmentFrames, plan.IFrameStep()
	o := newOutput(plan, l.Name, ladder.IFramesRendition, first)
	tick := o.videoHeader(plan, l, *l.IFrames)
	o.check = func(n int, samples []sample) error {
		span := segmentOf(plan, c, n)
		from, to := span.From, span.To
		if want := (to - from + step - 1) / step; len(samples) != want {
			return fmt.Errorf("it has %d I-frames, the plan %d", len(samples), want)
		}
		for i, s := range samples {
			want := o.time(from+i*step, *tick)
			if i == 0 && n > first { // ffmpeg takes the one before for one frame long, and lets this begin where that ends
				want = s.shown
			}
			if !s.sync || s.shown != want || s.decode != want {
				return fmt.Errorf("frame %d: it is shown at %d, by the plan at %d (1/%d s); keyframe: %t", from+i*step, s.shown, want, o.Track.Timescale, s.sync)
			}
		}
		return nil
	}
	o.pack = func(n int, s Packed) ([]Packed, error) {
		span := segmentOf(plan, c, n)
		from, to := span.From, span.To
		s.Ticks = int64((to - from) * *tick)
		all, err := o.keyframes(s, o.time(from, *tick), step**tick)
		if err != nil {
			return nil, err
		}
		if plan.Container == ladder.TS {
			return o.splitPerSample(s, all, from/step)
		}
		return o.fragmentPerSample(s, all)
	}
	o.whole = o.allSegments(c, plan.IFrameSpan())
	return o
}

// time is when a frame of the output's grid is shown.
func (o *Output) time(frame, tick int) int64 {
	return int64(ladder.StartOffset*o.Track.Timescale + frame*tick)
}

// keyframes are those of a segment, the first at a time, the others one step after the
// other.
func (o *Output) keyframes(s Packed, at int64, step int) ([]mp4.FullSample, error) {
	all, err := o.fullSamples(s.File)
	for i := range all {
		all[i].DecodeTime, all[i].Dur = uint64(at)+uint64(i*step), uint32(step)
	}
	return all, err
}

// fragmentPerSample writes a segment anew, so that every frame is a fragment of its own: a player
// fetches one by its range, which must begin with its moof (HLS authoring rule 6.10).
func (o *Output) fragmentPerSample(s Packed, all []mp4.FullSample) (out []Packed, err error) {
	s.Frames, err = o.writeFragments(s.File, slices.Collect(slices.Chunk(all, 1)))
	s.Bytes = 0
	for _, r := range s.Frames {
		s.Bytes += r.Bytes
	}
	return []Packed{s}, err
}
