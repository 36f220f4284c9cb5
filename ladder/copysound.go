package ladder

import (
	"fmt"
	"math"
	"strings"

	"afterlive/internal/flv"
)

// Sound is how a profile wants its sound: "128k", "copy", "encode 96k".
type Sound struct {
	Bitrate Bitrate
	Mode    SoundMode
}

// SoundMode says whether the recording's own AAC is published, or encoded again.
type SoundMode string

// The modes of sound.
const (
	SoundAuto   SoundMode = "auto"   // copied where it fits, and has little more bits than wanted; else encoded
	SoundCopy   SoundMode = "copy"   // copied where it fits, however many bits it has
	SoundEncode SoundMode = "encode" // encoded
)

// UnmarshalYAML reads a bitrate, a mode, or both, in any order.
func (s *Sound) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	for word := range strings.FieldsSeq(text) {
		switch mode := SoundMode(word); mode {
		case SoundAuto, SoundCopy, SoundEncode:
			s.Mode = mode
		default:
			if err := s.Bitrate.parse(word); err != nil {
				return fmt.Errorf("audio %q: write %s, %s or %s, a bitrate such as 128k, or both", text, SoundAuto, SoundCopy, SoundEncode)
			}
		}
	}
	return nil
}

// CopiedSound says what became of the wish to copy the recording's sound.
type CopiedSound struct {
	Fault string `json:"fault,omitempty"` // why it is encoded
	First int    `json:"first"`           // the packet that the recording's first tag of sound is
	Shift int    `json:"shift"`           // samples by which packets are heard later than encoded ones would be, below PacketSamples
}

const (
	fewBitsMore = 1.25    // times the bitrate that is wanted: 160 kb/s, as many senders have it, for 128
	maxSoundBps = 320_000 // of a copy, whatever the profile says
)

// planSound decides how a recording's sound is made.
func (p *Plan) planSound(x *flv.Index, profile Profile) {
	a := x.Audio
	p.Source.Audio, p.Source.SampleRate, p.Source.Channels = a.Codec, a.SampleRate, a.Channels
	p.Audio = &Audio{Rate: outputRate(a.SampleRate), Loudness: profile.Loudness}
	if profile.Audio.Mode != SoundEncode {
		p.Audio.Copy = &CopiedSound{Fault: p.copiedSoundFault(x, profile.Audio)}
	}
	own := p.Audio.Copy != nil && p.Audio.Copy.Fault == ""
	p.Audio.Renditions = soundRenditions(profile, p.Ladders, own)
	if !own {
		return
	}
	p.Version = max(p.Version, PlanGrown) // older workers would encode it
	first := int(math.Round(p.timeline(x).Audio.First().Seconds() * float64(p.Audio.Rate)))
	p.Audio.Copy.Shift = (first%PacketSamples + PacketSamples) % PacketSamples
	p.Audio.Copy.First = (first-p.Audio.Copy.Shift)/PacketSamples + 1
}

// copiedSoundFault is why a recording's sound cannot be copied.
func (p *Plan) copiedSoundFault(x *flv.Index, wanted Sound) string {
	a := x.Audio
	limit := Bitrate(fewBitsMore * float64(wanted.Bitrate))
	if wanted.Mode == SoundCopy {
		limit = maxSoundBps
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

// Encodes tells whether any rendition of the sound is encoded.
func (a *Audio) Encodes() bool {
	return a.Loudness != 0 || !a.Renditions[0].Copy || len(a.Renditions) > 1
}
