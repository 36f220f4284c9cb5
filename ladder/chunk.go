package ladder

import (
	"time"

	"afterlive.alt/internal/flv"
)

// Chunk is everything between two moments, the frames [From, To) of the output's grid: what
// is seen and what is heard, and the bytes that hold it. From and To (but the last To) are
// multiples of the segment's length.
//
// Stored as jobs/<job>/chunks/<number>.json.
type Chunk struct {
	Version int `json:"v"`
	Number  int `json:"n"`
	Span
	Away     time.Duration `json:"away,omitempty"` // that the recording's clock is behind that on the wall at From, as nothing was recorded meanwhile
	PadStart bool          `json:"fill,omitempty"` // no frame yet at From: the first one is shown early
	PadEnd   bool          `json:"hold,omitempty"` // the video may end before To: the last frame is held
	Cut      flv.Cut       `json:"cut,omitzero"`   // of the video, if there is one
	Audio    flv.Cut       `json:"sound,omitzero"` // of the audio, if there is some here
}

// Span is the frames [From, To) of the output.
type Span struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Spans are those of chunks.
func Spans(chunks []Chunk) (all []Span) {
	for _, c := range chunks {
		all = append(all, c.Span)
	}
	return all
}

// Where a profile doesn't say how long chunks are, they last up to a minute. A short
// recording has 20 all the same, if they last 15 s at least: with few, workers would wait
// for the last one. For the same reason two of the last three are halved, and the last is
// quartered. What a chunk costs beside its own encoding stays below a hundredth
// (docs/performance.md).
const (
	maxChunk      = time.Minute
	minChunks     = 20
	shortestChunk = 15 * time.Second
)

// liveChunk is how long a chunk is while its recording grows and nobody watches. One task makes it in about as long
// (docs/capacity.md): so long, viewers wait at the end if all tasks are busy.
const liveChunk = 30 * time.Second

// ChunkEnds is where the chunks of a recording end, where its profile doesn't say, in
// parts of the whole, and how many of those there are: as near to this as segments allow.
func ChunkEnds(recording time.Duration) (ends []int, parts int) {
	n := int((recording + maxChunk - 1) / maxChunk)
	n = max(1, n, min(minChunks, int(recording/shortestChunk)))
	for k := range n {
		pieces := 1
		if recording/time.Duration(n) >= shortestChunk {
			pieces = [...]int{4, 2, 2, 1}[min(n-1-k, 3)]
		}
		for i := range pieces {
			ends = append(ends, 4*k+4*(i+1)/pieces)
		}
	}
	return ends, 4 * n
}

// Due are the chunks behind those that there are, as far as all that is theirs is in the
// index: of a recording that has ended, up to its end.
func (p *Plan) Due(x *flv.Index, have []Span) (all []Chunk) {
	x = p.timeline(x)
	from, frames := 0, p.frameCount(x)
	if len(have) > 0 {
		from = have[len(have)-1].To
	}
	for ends := p.ends(frames, x.Open); from < frames; {
		to := max(from+p.SegmentFrames, ends(from))
		for to < frames && p.wasteful(x, from, to) {
			to += p.SegmentFrames
		}
		switch {
		case x.Open && to > frames:
			return all
		case p.Grows:
			to = min(to, frames) // wherever the others end, they did so before the end was known
		case to+p.SegmentFrames > frames:
			to = frames // a last chunk below one segment isn't worth a task
		}
		all = append(all, p.chunk(x, len(have)+len(all), Span{from, to}))
		from = to
	}
	return all
}

// frameCount is how many of the output there are; of a recording that may still grow, how many of which
// all is known.
func (p *Plan) frameCount(x *flv.Index) int {
	if !x.Open {
		return max(1, p.Rate.Frame(x.Duration))
	}
	var seen, heard time.Duration
	video, audio := len(p.Ladders) > 0, p.Audio != nil && x.Audio != nil
	if video {
		seen = x.Video.Whole()
	}
	if audio {
		heard = x.Audio.End() - p.behind()
	}
	known := min(seen, heard)
	switch {
	case !audio:
		known = seen
	case !video:
		known = heard
	default: // the other has come to a halt
		known = max(known, max(seen, heard)-patience)
	}
	return max(0, p.Rate.Frame(known)-1)
}

// patience is for how long a frame may be waited for, or audio, while the other goes on. Behind that
// the last frame is held, or there is silence. It is longer than what a recording's clocks may be
// apart (flv.MaxApart): what is only late is not to be left out.
const patience = flv.MaxApart + time.Second

// ends returns where a chunk ends that begins at a frame: after the profile's length, or
// at the next of [ChunkEnds] that leaves it at least half of what it should have. While a
// recording grows, and behind what was made of it by then, it is one segment: at its end, the less is
// left to do the sooner it can be watched, and by the more workers at once. Only if nobody watches it
// while it grows, chunks are longer until its end.
func (p *Plan) ends(frames int, open bool) func(from int) int {
	switch {
	case p.Grows && open && p.LiveFrames > 0:
		return func(from int) int { return from + p.LiveFrames }
	case p.Grows:
		return func(from int) int { return from + p.SegmentFrames }
	}
	if p.ChunkFrames > 0 {
		return func(from int) int { return from + p.ChunkFrames }
	}
	ends, parts := ChunkEnds(p.Rate.Time(frames))
	segments := (frames + p.SegmentFrames - 1) / p.SegmentFrames
	return func(from int) int {
		last := 0
		for _, end := range ends {
			to := (end*segments + parts - 1) / parts * p.SegmentFrames // rounded up: the last one is the shortest
			if 2*(to-from)*parts >= (end-last)*segments*p.SegmentFrames {
				return to
			}
			last = end
		}
		return frames
	}
}

// EndChunk is a chunk of other frames than [Plan.Due] would choose: an end of a clip.
func (p *Plan) EndChunk(x *flv.Index, number int, s Span) Chunk {
	return p.chunk(p.timeline(x), number, s)
}

// chunk is everything between two moments, those before the first frame and behind the
// last like all others.
func (p *Plan) chunk(x *flv.Index, number int, s Span) Chunk {
	c := Chunk{Version: ChunkVersion, Number: number, Span: s}
	for _, g := range x.Gaps {
		if g.At < p.Rate.Time(s.From)+p.Rate.Time(1) {
			c.Away += g.Lost
		}
	}
	if len(p.Ladders) > 0 {
		c.PadStart = p.Rate.Frame(x.Video.First) > s.From
		c.PadEnd = p.Rate.Frame(x.Video.Last)+1 < s.To || !x.Open && s.To == p.frameCount(x)
		c.Cut = x.VideoCut(p.entry(s.From), p.Rate.Time(s.To))
	}
	if p.Audio != nil && x.Audio != nil {
		c.Audio = p.audioCut(x, s.From, s.To)
	}
	return c
}

// entry is the moment from which a chunk needs frames that begins at a frame: a
// deinterlacer looks at those before, too.
func (p *Plan) entry(frame int) time.Duration {
	t := nearly(p.Rate, frame)
	if p.Source.Video.Deinterlace != "" {
		t -= p.Rate.Time(framesBefore)
	}
	return t
}

const framesBefore = 3

// wasteful tells whether a chunk [from, to) is too short where keyframes are rarer than
// chunks: the next one would start at the same keyframe, so no frame would be decoded at
// most twice. A chunk before the first frame decodes that one alone; one behind the last
// decodes the last GOP, and is at least as long.
func (p *Plan) wasteful(x *flv.Index, from, to int) bool {
	if len(p.Ladders) == 0 || to <= p.Rate.Frame(x.Video.First) {
		return false
	}
	key := x.KeyframeBefore(p.entry(from))
	if key != x.KeyframeBefore(p.entry(to)) {
		return false
	}
	last := p.Rate.Frame(x.Video.Last)
	return to <= last || to-from <= last-p.Rate.Frame(x.Video.Keyframes[key].PTS)
}

// nearly is the moment up to which a timestamp falls on a frame of the grid: FLV's are
// rounded to milliseconds, and the frame-rate filter takes the nearest.
func nearly(rate flv.Rate, frame int) time.Duration { return rate.Time(frame) + rate.Time(1)/2 - 1 }
