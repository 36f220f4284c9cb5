package ladder

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

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
			p.addAudio(&v, p.plan.audioFor(r))
		}
		p.declareCaptions(&v)
		list.Append(toJob+l.Name+"/"+r.Name+"/"+p.MediaFile(), nil, v)
	}
	if l.IFrames != nil {
		list.Append(toJob+l.Name+"/"+IFramesRendition+"/"+p.MediaFile(), nil, p.iframesVariant(l))
	}
	return list.Encode().Bytes()
}

// addAudio puts a variant's audio beside its video.
func (p *Presentation) addAudio(v *m3u8.VariantParams, r AudioRendition) {
	t := p.audio(r)
	average, peak := p.audioBandwidth(r)
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

// audioBandwidth is that of an audio track, as measured or as it can be.
func (p *Presentation) audioBandwidth(r AudioRendition) (average, peak int) {
	if p.event {
		return int(r.Bitrate), r.audioCap()
	}
	return p.bandwidth(p.audio(r))
}

func (p *Presentation) audio(r AudioRendition) Track { return p.fold.Tracks[AudioLadder+"/"+r.Name] }

// audioRenditions are those of a plan's audio, if it has any.
func (p *Plan) audioRenditions() []AudioRendition {
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
			audio, _ := p.audioBandwidth(p.plan.audioFor(r))
			average += audio
		}
		if far := math.Abs(float64(average) - 2e6); far < least {
			nearest, least = i, far
		}
	}
	return slices.Concat(all[nearest:nearest+1], all[:nearest], all[nearest+1:])
}

// audioMaster is the multivariant playlist of a recording without video.
func (p *Presentation) audioMaster() []byte {
	list := m3u8.NewMasterPlaylist()
	list.SetVersion(p.plan.Container.hlsVersion())
	list.SetIndependentSegments(true)
	for _, r := range p.plan.audioRenditions() {
		t := p.audio(r)
		average, peak := p.audioBandwidth(r)
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
		return []Master{{Ladder: AudioLadder, Body: p.audioMaster()}}
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
