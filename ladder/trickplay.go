package ladder

import (
	"fmt"
	"math"

	ffmpeg "github.com/u2takey/ffmpeg-go"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

// IFramesRendition is the name of a ladder's I-frames, for fast forward and for looking
// where to seek: frames of their own, one a second, of a middle size.
const IFramesRendition = "iframes"

// Range is a part of a file.
type Range struct {
	Offset int64 `json:"offset"`
	Bytes  int64 `json:"bytes"`
}

// IFrameStep is how many frames of the output are from one I-frame of the trick play
// rendition to the next: a second, or a GOP that cannot be halved. Segments are
// multiples of it.
func (p *Plan) IFrameStep() int {
	for n := max(1, int(p.seconds(p.GOPFrames)+0.5)); n > 1; n-- {
		if p.GOPFrames%n == 0 {
			return p.GOPFrames / n
		}
	}
	return p.GOPFrames
}

// iframeRendition is the rendition of I-frames that goes with others: of the size of the
// smallest that is not below 240 lines, at less quality, since each is looked at briefly.
func iframeRendition(all []Rendition) *Rendition {
	if len(all) == 0 {
		return nil
	}
	r := all[len(all)-1]
	for _, other := range all {
		if other.Height >= 240 {
			r = other
		}
	}
	r.Copy = false
	r.Name, r.CRF, r.Preset = IFramesRendition, min(51, r.CRF+4), "veryfast"
	return &r
}

// iframesFilter picks the frames that become I-frames.
func (p *Plan) iframesFilter() string { return fmt.Sprintf(`select=not(mod(n\,%d))`, p.IFrameStep()) }

// iframesArgs encodes I-frames alone. Their rate is low, and their size what it must be.
func (p *Plan) iframesArgs(r Rendition) ffmpeg.KwArgs {
	args := p.h264(r.CRF, r.Preset)
	args["g"], args["bf"] = 1, 0
	return args
}

// iframeTrack is a track of I-frames with each frame as a segment of its own, which lasts
// until the next.
func (p *Presentation) iframeTrack(t Track) Track {
	if p.plan.Container == TS {
		return t
	}
	tick := int64(t.Timescale) * int64(p.plan.Rate.Den) / int64(p.plan.Rate.Num)
	step := tick * int64(p.plan.IFrameStep())
	out := t
	out.Segments = nil
	for _, s := range t.Segments {
		for left := s.Ticks; s.Gap && left > 0; left -= step {
			out.Segments = append(out.Segments, Segment{URI: s.URI, Ticks: min(step, left), Gap: true})
		}
		for i, r := range s.Frames {
			out.Segments = append(out.Segments, Segment{URI: s.URI, Bytes: r.Bytes, Ticks: min(step, s.Ticks-int64(i)*step), Frames: []Range{r}})
		}
	}
	return out
}

// framesPlaylist is a ladder's I-frame playlist.
func (p *Presentation) framesPlaylist(ladder string) ([]byte, error) {
	t := p.iframeTrack(p.fold.Tracks[ladder+"/"+IFramesRendition])
	list, err := m3u8.NewMediaPlaylist(0, uint(len(t.Segments)))
	if err != nil {
		return nil, fmt.Errorf("make playlist of %s/%s: %w", ladder, IFramesRendition, err)
	}
	list.SetIframeOnly()
	list.SetTargetDuration(uint(p.framesTarget(t)))
	if err := p.list(list, t); err != nil {
		return nil, fmt.Errorf("make playlist of %s/%s: %w", ladder, IFramesRendition, err)
	}
	return list.Encode().Bytes(), nil
}

// framesTarget is the target duration of an I-frame playlist.
func (p *Presentation) framesTarget(t Track) int {
	switch {
	case p.event && p.plan.Container == TS:
		return p.plan.eventTarget()
	case p.event:
		return max(1, int(math.Round(p.plan.seconds(p.plan.IFrameStep()))))
	}
	return t.targetDuration()
}

// iframesVariant is what a multivariant playlist says of a ladder's I-frames.
func (p *Presentation) iframesVariant(l Ladder) m3u8.VariantParams {
	t := p.iframeTrack(p.fold.Tracks[l.Name+"/"+IFramesRendition])
	average, peak := bandwidth(t, t.targetDuration())
	if p.event {
		average, peak = int(l.IFrames.Maxrate), p.plan.cap(*l.IFrames)
	}
	return m3u8.VariantParams{
		Iframe: true, Bandwidth: uint32(peak), AverageBandwidth: uint32(average), Codecs: t.Codecs,
		Resolution: fmt.Sprintf("%dx%d", l.IFrames.Width, l.IFrames.Height),
	}
}
