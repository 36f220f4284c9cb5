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
// wait for the last one. For the same reason the last ones are halved, where that leaves as
// much. What a chunk costs beside its own encoding stays below a hundredth,
// and what is read twice below a tenth (docs/performance.md).
const (
	longestChunk  = time.Minute
	fewestChunks  = 20
	shortestChunk = 15 * time.Second
	halvedChunks  = fewestChunks / 4
)

// ChunkEnds is where the chunks of a recording end, where its profile doesn't say: as
// near to this as segments allow.
func ChunkEnds(recording time.Duration) (ends []time.Duration) {
	n := int((recording + longestChunk - 1) / longestChunk)
	n = max(1, n, min(fewestChunks, int(recording/shortestChunk)))
	at := func(halves int) time.Duration { return recording * time.Duration(halves) / time.Duration(2*n) }
	for k := range n {
		if k >= n-halvedChunks && at(1) >= shortestChunk {
			ends = append(ends, at(2*k+1))
		}
		ends = append(ends, at(2*k+2))
	}
	return ends
}

// ends returns where a chunk ends that begins at a frame: after the profile's length, or
// at the next of [ChunkEnds] that leaves it at least half of what it should have.
func (p *Plan) ends(profile Profile) func(from int) int {
	if profile.Chunk > 0 {
		return func(from int) int { return from + p.SegmentFrames*int(profile.Chunk/profile.Segment) }
	}
	wanted := ChunkEnds(p.Rate.Time(p.Frames))
	segments := (p.Frames + p.SegmentFrames - 1) / p.SegmentFrames
	frame := func(t time.Duration) int {
		return int(float64(segments)*float64(t)/float64(wanted[len(wanted)-1])) * p.SegmentFrames
	}
	return func(from int) int {
		last := time.Duration(0)
		for _, end := range wanted {
			if 2*(frame(end)-from) >= p.Rate.Frame(end-last) {
				return frame(end)
			}
			last = end
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
