package ladder

import (
	"fmt"
	"math"

	"afterlive.alt/internal/flv"
)

// rateTolerance is by how much the rate of a whole recording may be another than that of its head: so
// many frames are dropped, or doubled.
const rateTolerance = 0.01

// Misled says why a plan that was made from the head of a recording is none for the whole of it; "": it
// is one. profile is the one that the whole has.
func (p *Plan) Misled(x *flv.Index, profile Profile) string {
	if !p.Grows || x.Open {
		return ""
	}
	whole, err := New(x, profile, Trim{})
	if err != nil {
		return "" // too much of it is missing, which publishing will find, too
	}
	a, b := p.Source.Video, whole.Source.Video
	switch {
	case p.Profile != whole.Profile:
		return fmt.Sprintf("by its head it is for profile %s, as a whole for %s", p.Profile, whole.Profile)
	case len(p.Ladders) != len(whole.Ladders):
		return "its head has no video, or nothing else has"
	case (p.Audio == nil) != (whole.Audio == nil):
		return "its head has no audio, or nothing else has"
	case math.Abs(whole.Rate.FPS()/p.Rate.FPS()-1) > rateTolerance:
		return fmt.Sprintf("its head has %.4g frames a second, the whole %.4g", p.Rate.FPS(), whole.Rate.FPS())
	case p.Source.Width/2 != whole.Source.Width/2 || p.Source.Height/2 != whole.Source.Height/2: // mixed ones are even
		return fmt.Sprintf("its head is %dx%d, the whole %dx%d", p.Source.Width, p.Source.Height, whole.Source.Width, whole.Source.Height)
	case a.Rotation != b.Rotation || a.Deinterlace != b.Deinterlace || a.FieldPairs != b.FieldPairs:
		return "its head is interlaced, or turned, and the whole otherwise"
	case a.HDR != b.HDR || a.Colour != b.Colour:
		return fmt.Sprintf("its head has colours %+v, the whole %+v", a.Colour, b.Colour)
	}
	return ""
}
