package ladder

import "fmt"

// Container is what segments are: one of two that Apple's rules allow (1.2).
type Container string

// FMP4 is fragmented MP4: smaller, and with init segments that can say what a sphere is.
// TS is the MPEG transport stream (ISO/IEC 13818-1), for players that know nothing else.
const (
	FMP4 Container = "fmp4"
	TS   Container = "ts"
)

// SegmentFile is the name of segment n.
func (c Container) SegmentFile(n int) string { return fmt.Sprintf(segmentPattern, n) + c.Extension() }

// Extension is that of a segment's file.
func (c Container) Extension() string {
	if c == TS {
		return ".ts"
	}
	return ".m4s"
}

// format is ffmpeg's name of what segments are, behind their init segment.
func (c Container) format() string {
	if c == TS {
		return "mpegts"
	}
	return "mov"
}

// hlsVersion is that of playlists: what I-frames-only needs (RFC 8216, section 7), and of
// fMP4 what players expect with CMAF.
func (c Container) hlsVersion() uint8 {
	if c == TS {
		return 4
	}
	return 7
}

// IFrameSpan is how many of the output's frames a file of I-frames covers. In a transport
// stream each I-frame has its own: a range may not hold the tables without which it cannot be
// read (RFC 8216, 4.3.3.6).
func (p *Plan) IFrameSpan() int {
	if p.Container == TS {
		return p.IFrameStep()
	}
	return p.SegmentFrames
}
