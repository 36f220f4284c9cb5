package ladder

import (
	"fmt"
	"math"
	"path"
	"slices"
	"time"
)

// Fold is what the first chunks of a job have become, one after the other: all that playlists are
// made from. While a recording grows it is stored as jobs/<job>/live.json, so that a part costs
// as much to publish when there are a thousand before it as when there are ten.
type Fold struct {
	Version int              `json:"v"`
	Chunks  []Span           `json:"chunks"`
	Gaps    []int            `json:"gaps,omitempty"` // chunks that were given up: what was made later of them is not in it
	Tracks  map[string]Track `json:"tracks"`         // by "<ladder>/<rendition>"
	Images  []Images         `json:"images"`         // by chunk
	Away    []Absence        `json:"away,omitempty"` // in their order
	Lost    Lost             `json:"lost,omitzero"`
	Effort  Total            `json:"effort"` // of the parts
	Ended   bool             `json:"ended,omitempty"`
}

// Absence is how much the time of day is ahead, from a frame on, as nothing was recorded for some time before it.
type Absence struct {
	From int           `json:"from"` // frames
	Away time.Duration `json:"away"` // in all
}

// AddChunk adds the part of the next chunk. It refuses one that doesn't fit those before: a piece of
// another container, or an init segment that is not the same.
func (f *Fold) AddChunk(p *Plan, c Span, part Part) error {
	if want := ChunkPart(len(f.Chunks)); part.Name != want {
		return fmt.Errorf("assemble job %s: part %q in the place of %q", p.Job, part.Name, want)
	}
	f.Chunks = append(f.Chunks, c)
	f.Images = append(f.Images, part.Images)
	if part.Away > f.away(c.From) {
		f.Away = append(f.Away, Absence{From: c.From, Away: part.Away})
	}
	return f.add(p, part)
}

// away is how much the time of day is ahead at a frame.
func (f *Fold) away(frame int) (all time.Duration) {
	for _, a := range f.Away {
		if a.From <= frame {
			all = a.Away
		}
	}
	return all
}

// AddAudio adds the part that has the audio of the n-th chunk.
func (f *Fold) AddAudio(p *Plan, n int, part Part) error {
	if want := AudioPart(n); part.Name != want {
		return fmt.Errorf("assemble job %s: part %q in the place of %q", p.Job, part.Name, want)
	}
	return f.add(p, part)
}

func (f *Fold) add(p *Plan, part Part) error {
	f.Lost.Frames += part.Lost.Frames
	f.Lost.Audio += part.Lost.Audio
	f.Effort.add(part)
	for _, t := range part.Tracks {
		if err := f.addTrack(p, t); err != nil {
			return fmt.Errorf("assemble job %s: part %s: %w", p.Job, part.Name, err)
		}
	}
	return nil
}

func (f *Fold) addTrack(p *Plan, t Track) error {
	id := t.Ladder + "/" + t.Rendition
	for _, s := range t.Segments {
		if path.Ext(s.URI) != p.Container.Extension() {
			return fmt.Errorf("%s: %s is not %s, as the plan wants: it was made by another version of the worker", id, s.URI, p.Container.Extension())
		}
	}
	whole, ok := f.Tracks[id]
	if !ok {
		if f.Tracks == nil {
			f.Tracks = map[string]Track{}
		}
		f.Tracks[id] = t
		return nil
	}
	if path.Base(whole.Init) != path.Base(t.Init) || whole.Timescale != t.Timescale { // named by their content
		return fmt.Errorf("%s: its init segment is %s and not %s: the chunks were encoded by different versions of ffmpeg or x264", id, t.Init, whole.Init)
	}
	whole.Segments = append(slices.Clip(whole.Segments), t.Segments...)
	f.Tracks[id] = whole
	return nil
}

// Leave leaves the next chunk out: it was given up. Until there is one before it, nothing can be left.
func (f *Fold) Leave(p *Plan, c Span) bool {
	if len(f.Chunks) == len(f.Gaps) {
		return false
	}
	n := len(f.Chunks)
	f.Gaps, f.Chunks, f.Images = append(f.Gaps, n), append(f.Chunks, c), append(f.Images, Images{})
	for id, t := range f.Tracks {
		for from := c.From; from < c.To; from += p.SegmentFrames {
			to := min(c.To, from+p.SegmentFrames)
			s := Segment{URI: fmt.Sprintf("gap-%05d%s", from/p.SegmentFrames, p.Container.Extension()), Gap: true}
			if t.Ladder == AudioLadder {
				s.Ticks = p.PacketTicks(p.Packet(to)) - p.PacketTicks(p.Packet(from))
			} else {
				s.Ticks = int64(t.Timescale) * int64(to-from) * int64(p.Rate.Den) / int64(p.Rate.Num)
			}
			if s.Ticks > 0 {
				t.Segments = append(slices.Clip(t.Segments), s)
			}
		}
		f.Tracks[id] = t
	}
	return true
}

// Part is all that is in it, as if one part had made it.
func (f *Fold) Part() (all Part) {
	for _, t := range f.Tracks {
		all.Tracks = append(all.Tracks, t)
	}
	for _, i := range f.Images {
		all.Images.Sheets = append(all.Images.Sheets, i.All()...)
	}
	return all
}

// minSegments is how many there are before a presentation is offered that grows (HLS authoring
// rule 8.11): players stay three behind its end.
const minSegments = 6

// Event is the presentation of what there is so far, while more is to come: its playlists only grow. nil:
// it is too little.
func (f *Fold) Event(p *Plan) *Presentation {
	so := p.SoFar(f.Chunks)
	if len(f.Tracks) == 0 || !f.Ended && so.Frames < minSegments*p.SegmentFrames {
		return nil
	}
	return &Presentation{plan: so, fold: f, event: true}
}

// eventTarget is the target duration of playlists that grow, which must not change: that of the longest
// segment that there can be. Audio ends up to a packet later.
func (p *Plan) eventTarget() int {
	longest := p.SegmentTime
	if p.Audio != nil {
		longest += PacketSamples / float64(p.Audio.Rate)
	}
	return max(1, int(math.Round(longest)))
}

// cap is what a rendition's bit rate cannot be above over a segment: while a presentation grows, nobody
// knows what it will be.
func (p *Plan) cap(r Rendition) int {
	return int(1.05 * (float64(r.Maxrate) + float64(r.Bufsize)/p.SegmentTime)) // and its container
}

// audioCap is that of an audio track.
func (r AudioRendition) audioCap() int { return int(r.Bitrate) * 5 / 4 }
