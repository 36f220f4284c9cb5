package ladder

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"time"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

// Presentation is a job whose parts are all there, or those so far: what the playlists are made
// from.
type Presentation struct {
	plan  *Job
	fold  *Fold
	event bool // it may still grow
}

// Assemble joins the parts of a plan, given in the order of [Job.PartNames].
// It refuses parts that do not fit each other.
func Assemble(p *Job, parts []Part) (*Presentation, error) {
	if names := p.PartNames(); len(parts) != len(names) {
		return nil, fmt.Errorf("assemble job %s: %d parts of %d", p.Job, len(parts), len(names))
	}
	return (&Fold{}).Whole(p, parts)
}

// Whole is the presentation of all of a job, of which what is in the fold already needs no parts.
func (f *Fold) Whole(p *Job, rest []Part) (*Presentation, error) {
	if p.AudioApart() { // an event had it as it was
		maps.DeleteFunc(f.Tracks, func(_ string, t Track) bool { return t.Ladder == AudioLadder })
	}
	for i, part := range rest {
		var err error
		if n := len(f.Chunks); n < len(p.Chunks) {
			if p.AudioApart() {
				part.Tracks = slices.DeleteFunc(slices.Clone(part.Tracks), func(t Track) bool { return t.Ladder == AudioLadder })
			}
			err = f.AddChunk(p.Plan, p.Chunks[n], part)
		} else {
			err = f.AddAudio(p.Plan, i-len(rest)+len(p.Chunks), part)
		}
		if err != nil {
			return nil, err
		}
	}
	out := &Presentation{plan: p, fold: f}
	if err := out.complete(); err != nil {
		return nil, err
	}
	return out, nil
}

func (p *Presentation) complete() error {
	var faults []error
	segments := -1
	for _, l := range p.plan.Ladders {
		for _, r := range l.Renditions {
			t, ok := p.fold.Tracks[l.Name+"/"+r.Name]
			if segments < 0 {
				segments = len(t.Segments)
			}
			if !ok || len(t.Segments) != segments || segments == 0 {
				faults = append(faults, fmt.Errorf("assemble job %s: %s/%s has %d segments, the others %d", p.plan.Job, l.Name, r.Name, len(t.Segments), segments))
			}
		}
		t, want := p.fold.Tracks[l.Name+"/"+IFramesRendition], 0
		for _, c := range p.plan.Chunks {
			want += (c.To - c.From + p.plan.IFrameSpan() - 1) / p.plan.IFrameSpan()
		}
		if l.IFrames != nil && len(t.Segments) != want {
			faults = append(faults, fmt.Errorf("assemble job %s: %s/%s has %d segments, by the plan %d", p.plan.Job, l.Name, IFramesRendition, len(t.Segments), want))
		}
	}
	for _, r := range p.plan.audioRenditions() {
		if got, want := len(p.audio(r).Segments), p.plan.audioSegments(); got != want {
			faults = append(faults, fmt.Errorf("assemble job %s: the audio %s has %d segments, by the plan %d", p.plan.Job, r.Name, got, want))
		}
	}
	for k, c := range p.plan.Chunks {
		if have, want := len(p.fold.Images[k].Sheets), p.plan.sheets(c, p.fold.Images[k].Skip); have != want {
			faults = append(faults, fmt.Errorf("assemble job %s: part %s has %d sheets of the storyboard, by the plan %d", p.plan.Job, ChunkPart(k), have, want))
		}
	}
	return errors.Join(faults...)
}

// Track is a whole rendition.
func (p *Presentation) Track(ladder, rendition string) Track {
	return p.fold.Tracks[ladder+"/"+rendition]
}

// Sizes are the bytes of all segments, by "<ladder>/<rendition>/<file>".
func (p *Presentation) Sizes() map[string]int64 {
	all := map[string]int64{}
	for id, t := range p.fold.Tracks {
		for _, s := range t.Segments {
			all[path.Join(id, s.URI)] = s.Bytes
		}
	}
	return all
}

// seconds is how long a segment plays.
func (t Track) seconds(s Segment) float64 { return float64(s.Ticks) / float64(t.Timescale) }

// targetDuration is EXT-X-TARGETDURATION, one for all renditions (HLS authoring
// rule 8.2): the longest segment, rounded (RFC 8216, 4.3.3.1).
func (p *Presentation) targetDuration() int {
	if p.event {
		return p.plan.eventTarget()
	}
	longest := 1
	for _, t := range p.fold.Tracks {
		longest = max(longest, t.targetDuration())
	}
	return longest
}

// targetDuration is that of a track alone.
func (t Track) targetDuration() int {
	longest := 1.0
	for _, s := range t.Segments {
		longest = max(longest, math.Round(t.seconds(s)))
	}
	return int(longest)
}

// bandwidth measures a track in bits per second: the average, and the peak as
// RFC 8216 (4.1) defines it: the largest rate of any run of segments that lasts
// 0.5 to 1.5 times the target duration. A tail of one frame is never a peak.
func (p *Presentation) bandwidth(t Track) (average, peak int) {
	return bandwidth(t, p.targetDuration())
}

func bandwidth(t Track, targetDuration int) (average, peak int) {
	target := float64(targetDuration)
	var bits, total, top float64
	for i := range t.Segments {
		var runBits, runTime float64
		for _, s := range t.Segments[i:] {
			runBits += 8 * float64(s.Bytes)
			if runTime += t.seconds(s); runTime > 1.5*target {
				break
			}
			if runTime >= 0.5*target {
				top = max(top, runBits/runTime)
			}
		}
		bits += 8 * float64(t.Segments[i].Bytes)
		total += t.seconds(t.Segments[i])
	}
	if total == 0 {
		return 0, 0
	}
	mean := bits / total
	return int(math.Ceil(mean)), int(math.Ceil(max(top, mean)))
}

// MediaPlaylist is the playlist of one rendition.
func (p *Presentation) MediaPlaylist(ladder, rendition string) ([]byte, error) {
	if rendition == IFramesRendition {
		return p.framesPlaylist(ladder)
	}
	t := p.fold.Tracks[ladder+"/"+rendition]
	list, err := m3u8.NewMediaPlaylist(0, uint(len(t.Segments)))
	if err != nil {
		return nil, fmt.Errorf("make playlist of %s/%s: %w", ladder, rendition, err)
	}
	list.SetIndependentSegments(true)
	list.SetTargetDuration(uint(p.targetDuration()))
	if err := p.list(list, t); err != nil {
		return nil, fmt.Errorf("make playlist of %s/%s: %w", ladder, rendition, err)
	}
	return list.Encode().Bytes(), nil
}

// list fills a media playlist with a track.
func (p *Presentation) list(list *m3u8.MediaPlaylist, t Track) error {
	list.SetVersion(p.plan.Container.hlsVersion())
	list.SetWritePrecision(6)
	if p.plan.Container != TS {
		list.SetDefaultMap(escaped(t.Init), 0, 0)
	}
	list.MediaType = m3u8.VOD
	if p.event {
		list.MediaType = m3u8.EVENT
	}
	ticks := int64(0)
	if t.Ladder == AudioLadder {
		ticks = -PacketSamples // its first packet is heard before the first frame
	}
	for _, s := range t.Segments {
		err := list.Append(escaped(s.URI), t.seconds(s), "")
		if len(s.Frames) > 0 && err == nil {
			err = list.SetRange(s.Frames[0].Bytes, s.Frames[0].Offset)
		}
		if p.event && err == nil {
			at := time.Duration(float64(ticks) / float64(t.Timescale) * float64(time.Second))
			at += p.fold.away(p.plan.Rate.Frame(at))
			err = list.SetProgramDateTime(p.plan.Live.Add(p.plan.Begins + at).Round(time.Millisecond))
		}
		if s.Gap && err == nil {
			err = list.SetGap()
		}
		if err != nil {
			return err
		}
		ticks += s.Ticks
	}
	if !p.event || p.fold.Ended {
		list.Close()
	}
	return nil
}
