package segment

import (
	"math"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/ladder"
)

// retimed puts the frames of a copied segment on the grid: FLV counts milliseconds, and
// ffmpeg cannot do better than that. That they belong there, in this order, is what the
// plan has found out; the check that follows would see if it were not so.
func (o *Output) retimed(plan *ladder.Plan, n, tick int) error {
	name := ladder.SegmentFile(n)
	samples, err := o.fullSamples(name)
	if err != nil {
		return err
	}
	first := o.time(n*plan.SegmentFrames-plan.Copy.Reorder, tick)
	for i := range samples {
		s := &samples[i]
		s.DecodeTime, s.Dur = uint64(first)+uint64(i*tick), uint32(tick)
		s.CompositionTimeOffset = int32(math.Round(float64(s.CompositionTimeOffset)/float64(tick))) * int32(tick)
	}
	_, err = o.writeFragments(name, [][]mp4.FullSample{samples})
	return err
}
