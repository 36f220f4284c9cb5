package ladder

import (
	"fmt"

	"afterlive.alt/internal/flv"
)

// HLSLimits is the reason of a plan whose renditions no player needs to support.
const HLSLimits flv.Code = "hls_limits"

// What H.264 allows at level 5.2 (ITU-T H.264, table A-1), the highest of HLS authoring rule
// 1.3b: macroblocks are 16x16 pixels, rates in bits per second in profile High.
const (
	blocksPerFrame = 36_864
	blocksASecond  = 2_073_600
	blocksKept     = 184_320 // in the frames that a decoder keeps
	blocksASide    = 543     // the root of 8 times those of a frame
	maxBits        = 300_000_000
	maxRate        = 60.001 // frames a second (rule 1.19)
)

// kept is how many frames x264's presets have a decoder keep. It takes 4 for B-frames
// alone.
var kept = map[string]int{"slow": 5, "slower": 8, "veryslow": 16}

// foreseen refuses a plan that would break the rules by sizes and rates alone: its result
// would be refused after all of it was encoded.
func (p *Plan) foreseen() error {
	for _, l := range p.Ladders {
		for _, r := range l.Renditions {
			if fault := p.beyond(r); fault != "" && !r.Copy { // a copy has a level of its own
				return &flv.Error{Reason: HLSLimits, Detail: fmt.Sprintf("%s/%s, %dx%d with %.4g frames a second, is more than H.264's level 5.2, the highest that HLS allows: %s",
					l.Name, r.Name, r.Width, r.Height, p.Rate.FPS(), fault)}
			}
		}
	}
	return nil
}

// beyond is what a rendition has too much of.
func (p *Plan) beyond(r Rendition) string {
	wide, high := (r.Width+15)/16, (r.Height+15)/16
	blocks := wide * high
	frames := max(4, kept[r.Preset])
	switch second := float64(blocks) * p.Rate.FPS(); {
	case p.Rate.FPS() > maxRate:
		return "at most 60 frames a second are allowed"
	case max(wide, high) > blocksASide:
		return fmt.Sprintf("at most %d pixels a side are allowed", blocksASide*16)
	case blocks > blocksPerFrame:
		return fmt.Sprintf("at most %d pixels are allowed", blocksPerFrame*256)
	case second > blocksASecond:
		return fmt.Sprintf("it has %.0f pixels a second, at most %d are allowed", second*256, blocksASecond*256)
	case blocks*frames > blocksKept:
		return fmt.Sprintf("preset %s makes decoders keep %d frames, at most %d of this size are allowed", r.Preset, frames, blocksKept/blocks)
	case max(r.Maxrate, r.Bufsize) > maxBits:
		return fmt.Sprintf("maxrate and bufsize may be at most %dM", maxBits/1_000_000)
	}
	return ""
}
