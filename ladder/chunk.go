package ladder

import (
	"time"

	"afterlive/internal/flv"
)

// Chunk is the frames [From, To) of the output's grid, and the bytes that hold
// them. From and To (but the last To) are multiples of the segment's length.
type Chunk struct {
	From int     `json:"from"`
	To   int     `json:"to"`
	Fill bool    `json:"fill,omitempty"` // no picture yet at From: the first one is shown early
	Hold bool    `json:"hold,omitempty"` // the picture may end before To: the last one is held
	Cut  flv.Cut `json:"cut"`
}

// Where a profile doesn't say how long chunks are, they last up to a minute. A short
// recording has this many all the same, of at least a quarter of it: with few, workers would
// wait for the last one. What a chunk costs beside its own encoding stays below a
// hundredth, and what is read twice below a tenth (docs/performance.md).
const (
	longestChunk  = time.Minute
	fewestChunks  = 20
	shortestChunk = 15 * time.Second
)

// ChunkCount is how many chunks a recording has, where its profile doesn't say.
func ChunkCount(recording time.Duration) int {
	n := int((recording + longestChunk - 1) / longestChunk)
	return max(1, n, min(fewestChunks, int(recording/shortestChunk)))
}

// ends returns where a chunk ends that begins at a frame: after the profile's length, or
// so that all have the same number of segments, or one more.
func (p *Plan) ends(profile Profile) func(from int) int {
	if profile.Chunk > 0 {
		return func(from int) int { return from + p.SegmentFrames*int(profile.Chunk/profile.Segment) }
	}
	n := ChunkCount(p.Rate.Time(p.Frames))
	segments := (p.Frames + p.SegmentFrames - 1) / p.SegmentFrames
	return func(from int) int {
		for k := 1; k <= n; k++ {
			if end := k * segments / n * p.SegmentFrames; 2*(end-from)*n >= segments*p.SegmentFrames { // half of what is usual
				return end
			}
		}
		return p.Frames
	}
}

// chunk divides the output's frames. Where keyframes are rarer than chunks, a
// chunk grows until the next one can start at a later keyframe: no keyframe's
// pictures are decoded more than twice.
func (p *Plan) chunk(x *flv.Index, ends func(from int) int) {
	first, last := p.Rate.Frame(x.Video.First), p.Rate.Frame(x.Video.Last)
	for from := 0; from < p.Frames; {
		to := max(from+p.SegmentFrames, ends(from))
		for to < p.Frames && x.KeyframeBefore(p.Rate.Time(to)) == x.KeyframeBefore(p.Rate.Time(from)) && to <= last {
			to += p.SegmentFrames
		}
		if to+p.SegmentFrames > p.Frames || to > last {
			to = p.Frames // a last chunk below one segment isn't worth a task
		}
		begin := p.Rate.Time(from)
		if p.Copy != nil && p.Copy.Fault == "" {
			begin = nearly(p.Rate, from) // with this very keyframe
		}
		p.Chunks = append(p.Chunks, Chunk{
			From: from, To: to,
			Fill: first > from,
			Hold: to == p.Frames || last+1 < to,
			Cut:  x.VideoCut(begin, p.Rate.Time(to)),
		})
		from = to
	}
}
