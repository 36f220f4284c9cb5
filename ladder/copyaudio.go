package ladder

import (
	"fmt"
	"math"
	"strings"

	"afterlive.alt/internal/flv"
)

// AudioProfile is how a profile wants its audio: "128k", "copy", "encode 96k".
type AudioProfile struct {
	Bitrate Bitrate
	Mode    AudioMode
}

// AudioMode says whether the recording's own AAC is published, or encoded again.
type AudioMode string

// The modes of audio.
const (
	AudioAuto   AudioMode = "auto"   // copied where it fits, and has little more bits than wanted; else encoded
	AudioCopy   AudioMode = "copy"   // copied where it fits, however many bits it has
	AudioEncode AudioMode = "encode" // encoded
)

// UnmarshalYAML reads a bitrate, a mode, or both, in any order.
func (a *AudioProfile) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	for word := range strings.FieldsSeq(text) {
		switch mode := AudioMode(word); mode {
		case AudioAuto, AudioCopy, AudioEncode:
			a.Mode = mode
		default:
			if err := a.Bitrate.parse(word); err != nil {
				return fmt.Errorf("audio %q: write %s, %s or %s, a bitrate such as 128k, or both", text, AudioAuto, AudioCopy, AudioEncode)
			}
		}
	}
	return nil
}

// CopiedAudio says what became of the wish to copy the recording's audio.
type CopiedAudio struct {
	Fault string `json:"fault,omitempty"` // why it is encoded
	First int    `json:"first"`           // the packet that the recording's first audio tag is
	Shift int    `json:"shift"`           // samples by which packets are heard later than encoded ones would be, below PacketSamples
}

const (
	fewBitsMore = 1.25    // times the bitrate that is wanted: 160 kb/s, as many senders have it, for 128
	maxAudioBps = 320_000 // of a copy, whatever the profile says
)

// planAudio decides how a recording's audio is made.
func (p *Plan) planAudio(x *flv.Index, profile Profile) {
	a := x.Audio
	p.Source.Audio, p.Source.SampleRate, p.Source.Channels = a.Codec, a.SampleRate, a.Channels
	p.Audio = &Audio{Rate: outputRate(a.SampleRate), Loudness: profile.Loudness}
	if profile.Audio.Mode != AudioEncode {
		p.Audio.Copy = &CopiedAudio{Fault: p.copiedAudioFault(x, profile.Audio)}
	}
	own := p.Audio.Copy != nil && p.Audio.Copy.Fault == ""
	p.Audio.Renditions = audioRenditions(profile, p.Ladders, own)
	if !own {
		return
	}
	p.Version = max(p.Version, PlanGrown) // older workers would encode it
	first := int(math.Round(p.timeline(x).Audio.First().Seconds() * float64(p.Audio.Rate)))
	p.Audio.Copy.Shift = (first%PacketSamples + PacketSamples) % PacketSamples
	p.Audio.Copy.First = (first-p.Audio.Copy.Shift)/PacketSamples + 1
}

// copiedAudioFault is why a recording's audio cannot be copied.
func (p *Plan) copiedAudioFault(x *flv.Index, wanted AudioProfile) string {
	a := x.Audio
	limit := Bitrate(fewBitsMore * float64(wanted.Bitrate))
	if wanted.Mode == AudioCopy {
		limit = maxAudioBps
	}
	switch rate := Bitrate(float64(8*a.Bytes) / max(1e-3, (a.End()-a.First()).Seconds())); {
	case p.Trim != (Trim{}):
		return "the recording is trimmed, to the frame"
	case x.Open:
		return "the recording was still growing when it was planned: whether all of it can be copied was not known yet"
	case p.Audio.Loudness != 0:
		return "it is brought to another loudness"
	case !a.Plain():
		return "it is not AAC-LC in stereo, of one configuration"
	case a.SampleRate != p.Audio.Rate:
		return fmt.Sprintf("it has %d Hz; players expect %d", a.SampleRate, p.Audio.Rate)
	case !a.Steady():
		return "it has holes, or its clock drifts against its timestamps"
	case rate == 0:
		return "its index doesn't say how many bits it has"
	case rate > limit:
		return fmt.Sprintf("it has %d kb/s; at most %d are copied", rate/1000, limit/1000)
	}
	return ""
}

// shift is by how many samples packets are heard later than the first encoded one would be.
func (a *Audio) shift() int {
	if a.Copy == nil {
		return 0
	}
	return a.Copy.Shift
}

// Encodes tells whether any rendition of the audio is encoded.
func (a *Audio) Encodes() bool {
	return a.Loudness != 0 || !a.Renditions[0].Copy || len(a.Renditions) > 1
}
