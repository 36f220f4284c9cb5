package ladder

import (
	"fmt"
	"math"
	"time"

	ffmpeg "github.com/u2takey/ffmpeg-go"

	"afterlive.alt/internal/flv"
)

// SourceCopy is the option by which the top rendition is the recording's own video, not
// encoded again.
const SourceCopy = "copy"

// Copy says what became of the wish to copy the recording's video.
type Copy struct {
	Reorder int     `json:"reorder,omitempty"` // frames by which keyframes are shown after they are decoded
	Rate    Bitrate `json:"rate,omitempty"`    // that the recording's video has
	Fault   string  `json:"fault,omitempty"`   // why it is encoded like the others

	Untagged bool `json:"untagged,omitempty"` // its stream doesn't say its colours
}

const (
	maxGOP      = 2 * time.Second        // HLS authoring rule 1.13
	audioAhead  = 500 * time.Millisecond // before the first frame, which is given up for a copy
	maxLevel    = 52                     // HLS authoring rule 1.3b: 5.2
	capExceeded = 1.1                    // times the cap of its size that a recording may need: encoders of live streams miss theirs
)

var copiedProfiles = map[int]bool{66: true, 77: true, 100: true} // Baseline, Main, High (rule 1.4)

// planCopy decides whether a recording's video can be copied. If so, the grid of all
// renditions is the recording's own.
func (p *Plan) planCopy(x *flv.Index, profile Profile) {
	p.Copy = &Copy{}
	if p.Copy.Fault = p.copyFault(x, profile); p.Copy.Fault != "" {
		return
	}
	p.Copy.Reorder, p.Copy.Rate = x.Video.Steady.Reorder, videoRate(x)
	p.Copy.Untagged = colourOf(x.Video.Forms[0]) != p.Source.Video.Colour
	p.GOPFrames = x.Video.Steady.GOP
	gop := float64(p.GOPFrames) / x.Video.Rate.FPS()
	p.SegmentFrames = p.GOPFrames * max(1, int(math.Round(profile.Segment.Seconds()/gop)))
}

// copies tells whether the top rendition is a copy.
func (p *Plan) copies() bool { return p.Copy != nil && p.Copy.Fault == "" }

// videoAlone is the index from the first frame to the end of the last: there is
// nothing to copy before, or behind.
func (p *Plan) videoAlone(x *flv.Index) *flv.Index {
	y := *x.From(x.Video.First)
	y.Duration = y.Video.Last + y.Video.Rate.Time(1)
	return &y
}

// keyframeAt tells whether a keyframe falls on a frame of the grid.
func keyframeAt(x *flv.Index, frame int) bool {
	rate := x.Video.Rate
	return rate.Frame(x.Video.Keyframes[x.KeyframeBefore(nearly(rate, frame))].PTS) == frame
}

// copyFault is why a recording's video cannot be copied.
func (p *Plan) copyFault(x *flv.Index, profile Profile) string {
	v, f := x.Video, x.Video.Forms[0]
	switch gop := v.Rate.Time(v.Steady.GOP); {
	case p.Trim != (Trim{}):
		return "the recording is trimmed, to the frame"
	case profile.Ladders[0].Projection.cube():
		return "the first ladder is a cubemap, which the recording's video is not"
	case x.Epochs() > 1 || len(x.Damage) > 0:
		return "its clock jumps, or bytes of it are damaged"
	case len(v.Forms) > 1 || len(v.Headers) > 1:
		return "its encoder's settings change on the way"
	case !f.Plain() || !copiedProfiles[f.Profile] || f.SARNum != f.SARDen || v.Rotation != 0:
		return fmt.Sprintf("profile %d, or video that is interlaced, turned, has no square pixels, or not 4:2:0 of 8 bits: not all players show that", f.Profile)
	case f.Colour.Full || colourOf(f).or(p.Source.Video.Untagged) != p.Source.Video.Colour:
		return "its colours are of full range, or must be converted: the other renditions would look different"
	case v.LengthSize() != 4:
		return fmt.Sprintf("its NAL units have lengths of %d bytes; segments have 4", v.LengthSize())
	case f.Level > maxLevel:
		return fmt.Sprintf("level %.1f; at most %.1f is allowed", float64(f.Level)/10, float64(maxLevel)/10)
	case f.Width%2 != 0 || f.Height%2 != 0:
		return fmt.Sprintf("%dx%d is odd", f.Width, f.Height)
	case v.Steady.Fault != "":
		return v.Steady.Fault
	case gop > maxGOP:
		return fmt.Sprintf("keyframes are %s apart; at most %s is allowed", gop, maxGOP)
	case v.First > audioAhead:
		return fmt.Sprintf("the video begins %s after the audio", v.First)
	case x.Audio != nil && x.Audio.End()-v.Last > audioAhead:
		return fmt.Sprintf("the video ends %s before the audio", x.Audio.End()-v.Last)
	}
	y := p.videoAlone(x)
	if n := v.Rate.Frame(y.Duration); n != v.Frames {
		return fmt.Sprintf("it has %d frames in the time of %d", v.Frames, n)
	}
	for frame := 0; frame < v.Frames; frame += v.Steady.GOP {
		if !keyframeAt(y, frame) {
			return fmt.Sprintf("there is no keyframe at frame %d", frame)
		}
	}
	return p.tooLarge(x, profile)
}

// videoRate is the average rate of a recording's video.
func videoRate(x *flv.Index) Bitrate {
	bytes := x.End - x.Video.Keyframes[0].Offset
	if a := x.Audio; a != nil {
		bytes -= int64(x.Duration.Seconds() * 16e3) // its audio, about
	}
	return max(1, Bitrate(float64(8*bytes)/x.Duration.Seconds()))
}

// tooLarge is why a recording is more than a profile allows.
func (p *Plan) tooLarge(x *flv.Index, profile Profile) string {
	rate := videoRate(x)
	var limit Bitrate
	side := min(p.Source.Width, p.Source.Height)
	for _, r := range profile.Ladders[0].Rungs {
		if r.Height >= side {
			limit = p.rendition(r, p.Source.Width, p.Source.Height).Maxrate
		}
	}
	switch {
	case limit == 0:
		return fmt.Sprintf("its smaller side is %d pixels, that of the profile's largest rung %d", side, profile.Ladders[0].Rungs[0].Height)
	case float64(rate) > capExceeded*float64(limit):
		return fmt.Sprintf("it has %d kb/s, and a rung of its size at most %d", rate/1000, limit/1000)
	}
	return ""
}

// withCopy puts the recording's own video in place of a ladder's top rendition of that
// size, or above it.
func (p *Plan) withCopy(all []Rendition) []Rendition {
	if !p.copies() {
		return all
	}
	top := all[0]
	top.Name, top.Width, top.Height, top.Copy = sizeName(p.Source.Width, p.Source.Height), p.Source.Width, p.Source.Height, true
	if all[0].Height == p.Source.Height {
		all = all[1:]
	}
	return append([]Rendition{top}, all...)
}

// copyArgs takes a chunk's packets as they are. A GOP is closed, so they follow each other
// in the order of decoding. Their times are FLV's, in whole milliseconds, and the worker
// puts them on the grid: ffmpeg's setts cannot, in all its versions.
func (p *Plan) copyArgs(c Chunk) ffmpeg.KwArgs {
	args := p.hls(c.From / p.SegmentFrames)
	args["map"], args["c:v"], args["frames:v"] = "0:v:0", "copy", c.To-c.From
	args["hls_time"] = decimal(p.SegmentTime - early) // a keyframe that comes a little early ends a segment too
	args["hls_segment_options"] = fmt.Sprintf("%s:video_track_timescale=%d", args["hls_segment_options"], p.timescale())
	return args
}

const early = 0.005 // seconds

// timescale is that of the video's tracks, in units a second: as ffmpeg chooses it.
func (p *Plan) timescale() int {
	scale := p.Rate.Num
	for scale < 10000 {
		scale *= 2
	}
	return scale
}
