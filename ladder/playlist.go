package ladder

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
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
	if p.SoundApart() { // an event had it as it was
		maps.DeleteFunc(f.Tracks, func(_ string, t Track) bool { return t.Ladder == AudioLadder })
	}
	for i, part := range rest {
		var err error
		if n := len(f.Chunks); n < len(p.Chunks) {
			if p.SoundApart() {
				part.Tracks = slices.DeleteFunc(slices.Clone(part.Tracks), func(t Track) bool { return t.Ladder == AudioLadder })
			}
			err = f.AddChunk(p.Plan, p.Chunks[n], part)
		} else {
			err = f.AddSound(p.Plan, i-len(rest)+len(p.Chunks), part)
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
		t, want := p.fold.Tracks[l.Name+"/"+FramesRendition], (p.plan.Frames+p.plan.PictureSpan()-1)/p.plan.PictureSpan()
		if l.Frames != nil && len(t.Segments) != want {
			faults = append(faults, fmt.Errorf("assemble job %s: %s/%s has %d segments, by the plan %d", p.plan.Job, l.Name, FramesRendition, len(t.Segments), want))
		}
	}
	for _, r := range p.plan.sounds() {
		if got, want := len(p.sound(r).Segments), p.plan.soundSegments(); got != want {
			faults = append(faults, fmt.Errorf("assemble job %s: the sound %s has %d segments, by the plan %d", p.plan.Job, r.Name, got, want))
		}
	}
	for k, c := range p.plan.Chunks {
		if have, want := len(p.fold.Images[k].Sheets), len(p.plan.Sheets(c)); have != want {
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
			all[id+"/"+s.URI] = s.Bytes
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
	if rendition == FramesRendition {
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
		list.SetDefaultMap(t.Init, 0, 0)
	}
	list.MediaType = m3u8.VOD
	if p.event {
		list.MediaType = m3u8.EVENT
	}
	ticks := int64(0)
	for _, s := range t.Segments {
		err := list.Append(s.URI, t.seconds(s), "")
		if len(s.Frames) > 0 && err == nil {
			err = list.SetRange(s.Frames[0].Bytes, s.Frames[0].Offset)
		}
		if p.event && err == nil {
			at := time.Duration(float64(ticks) / float64(t.Timescale) * float64(time.Second))
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

// projectionDataID names the EXT-X-SESSION-DATA that tells players how to show a
// sphere. HLS has no tag for H.264 cubes: REQ-VIDEO-LAYOUT knows none, and asks for
// HEVC with a vexu box.
const projectionDataID = "afterlive.projection"

// master is the multivariant playlist of one ladder, with bandwidths as measured.
func (p *Presentation) master(l Ladder) []byte {
	list := m3u8.NewMasterPlaylist()
	list.SetVersion(p.plan.Container.hlsVersion())
	list.SetIndependentSegments(true)
	if l.Projection != Flat {
		list.SessionDatas = []*m3u8.SessionData{{DataId: projectionDataID, Value: l.signal(), Format: "JSON"}} // the default, which isn't written
	}
	renditions, _ := p.renditions(slices.IndexFunc(p.plan.Ladders, func(other Ladder) bool { return other.Name == l.Name }))
	for _, r := range p.listed(l, renditions) {
		t := p.fold.Tracks[l.Name+"/"+r.Name]
		average, peak := p.bandwidth(t)
		if p.event {
			average, peak = int(r.Maxrate), p.plan.cap(r)
		}
		v := m3u8.VariantParams{
			Bandwidth: uint32(peak), AverageBandwidth: uint32(average),
			Codecs: t.Codecs, Resolution: fmt.Sprintf("%dx%d", r.Width, r.Height), FrameRate: p.plan.Rate.FPS(),
		}
		if p.plan.Audio != nil {
			p.addSound(&v, p.plan.soundOf(r))
		}
		p.declareCaptions(&v)
		list.Append(toJob+l.Name+"/"+r.Name+"/"+p.MediaFile(), nil, v)
	}
	if l.Frames != nil {
		list.Append(toJob+l.Name+"/"+FramesRendition+"/"+p.MediaFile(), nil, p.framesVariant(l))
	}
	return list.Encode().Bytes()
}

// addSound puts a variant's sound beside its picture.
func (p *Presentation) addSound(v *m3u8.VariantParams, r AudioRendition) {
	t := p.sound(r)
	average, peak := p.soundBandwidth(r)
	v.Bandwidth += uint32(peak)
	v.AverageBandwidth += uint32(average)
	v.Codecs += "," + t.Codecs
	v.Audio = r.Name
	v.Alternatives = []*m3u8.Alternative{{
		Type: "AUDIO", GroupId: r.Name, Name: "Audio", Language: undetermined,
		Default: true, Autoselect: true, Channels: &m3u8.Channels{Amount: 2},
		URI: toJob + AudioLadder + "/" + r.Name + "/" + p.MediaFile(),
	}}
}

// soundBandwidth is that of a sound, as measured or as it can be.
func (p *Presentation) soundBandwidth(r AudioRendition) (average, peak int) {
	if p.event {
		return int(r.Bitrate), r.soundCap()
	}
	return p.bandwidth(p.sound(r))
}

func (p *Presentation) sound(r AudioRendition) Track { return p.fold.Tracks[AudioLadder+"/"+r.Name] }

// sounds are the renditions of a plan's sound, if it has any.
func (p *Plan) sounds() []AudioRendition {
	if p.Audio == nil {
		return nil
	}
	return p.Audio.Renditions
}

// listed is the order of a ladder's renditions in its playlist: with what many players
// begin comes first, the one nearest to 2 Mb/s (HLS authoring rule 1.32).
func (p *Presentation) listed(l Ladder, all []Rendition) []Rendition {
	nearest, least := 0, math.Inf(1)
	for i, r := range all {
		average, _ := p.bandwidth(p.fold.Tracks[l.Name+"/"+r.Name])
		if p.event {
			average = int(r.Maxrate)
		}
		if p.plan.Audio != nil {
			sound, _ := p.soundBandwidth(p.plan.soundOf(r))
			average += sound
		}
		if far := math.Abs(float64(average) - 2e6); far < least {
			nearest, least = i, far
		}
	}
	return slices.Concat(all[nearest:nearest+1], all[:nearest], all[nearest+1:])
}

// soundMaster is the multivariant playlist of a recording without picture.
func (p *Presentation) soundMaster() []byte {
	list := m3u8.NewMasterPlaylist()
	list.SetVersion(p.plan.Container.hlsVersion())
	list.SetIndependentSegments(true)
	for _, r := range p.plan.sounds() {
		t := p.sound(r)
		average, peak := p.soundBandwidth(r)
		list.Append(toJob+AudioLadder+"/"+r.Name+"/"+p.MediaFile(), nil, m3u8.VariantParams{
			Bandwidth: uint32(peak), AverageBandwidth: uint32(average), Codecs: t.Codecs,
		})
	}
	return list.Encode().Bytes()
}

// Master is a multivariant playlist and the ladder that it belongs to.
type Master struct {
	Ladder string
	Body   []byte
}

// Masters are the multivariant playlists to publish; the first is the asset's
// default.
func (p *Presentation) Masters() []Master {
	if len(p.plan.Ladders) == 0 {
		return []Master{{Ladder: AudioLadder, Body: p.soundMaster()}}
	}
	var out []Master
	for _, l := range p.plan.Ladders {
		out = append(out, Master{Ladder: l.Name, Body: p.master(l)})
	}
	return out
}

// Renditions are those that are published, by ladder.
func (p *Presentation) Renditions() map[string][]Rendition {
	all := map[string][]Rendition{}
	for i, l := range p.plan.Ladders {
		all[l.Name], _ = p.renditions(i)
	}
	return all
}

// MediaFile is the name of media playlists in their renditions' folders. Those that grow have another:
// what is finished is cached for ever.
func (p *Presentation) MediaFile() string {
	if p.event {
		return EventPlaylistFile
	}
	return MediaPlaylistFile
}

// MasterFile is the name of multivariant playlists in their ladders' folders.
func (p *Presentation) MasterFile() string {
	if p.event {
		return EventMasterFile
	}
	return MasterFile
}

// StoryboardFile is the name of the track of thumbnails.
func (p *Presentation) StoryboardFile() string {
	if p.event {
		return EventStoryboardFile
	}
	return StoryboardFile
}

// toJob leads from a ladder's folder, where its master is, to its job's.
const toJob = "../"

// Rebase turns a ladder's master into one for the asset's folder, above the job's.
func Rebase(master []byte, job string) []byte {
	return bytes.ReplaceAll(master, []byte(toJob), []byte(job+"/"))
}
