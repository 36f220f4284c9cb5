package ladder

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	ffmpeg "github.com/u2takey/ffmpeg-go"

	"afterlive.alt/internal/flv"
)

// Audio is the audio, shared by all ladders. Each chunk has its share of it, in packets of
// AAC: [Plan.Packet].
type Audio struct {
	Renditions []AudioRendition `json:"renditions"`         // the usual one first
	Rate       int              `json:"rate"`               // Hz, of the output
	Copy       *CopiedAudio     `json:"copy,omitempty"`     // of the recording's own AAC; none: nobody wanted it
	Loudness   float64          `json:"loudness,omitempty"` // LUFS to which it is brought; 0: as it is
	Filter     string           `json:"filter,omitempty"`   // ffmpeg's, that brings a clip's to what its asset has
}

// AudioRendition is one encoding of the audio: stereo AAC.
type AudioRendition struct {
	Name    string  `json:"name"`
	Bitrate Bitrate `json:"bitrate"`        // that is wanted
	Copy    bool    `json:"copy,omitempty"` // it is the recording's own
}

// audioRenditions are the usual one, which may be the recording's own, and one for every
// other bitrate that a rendition wants.
func audioRenditions(p Profile, ladders []Ladder, own bool) []AudioRendition {
	all := []AudioRendition{{Name: "aac", Bitrate: p.Audio.Bitrate, Copy: own}}
	for _, l := range ladders {
		for _, r := range l.Renditions {
			if r.Audio != 0 && !slices.ContainsFunc(all, r.wantsAudio) {
				all = append(all, AudioRendition{Name: fmt.Sprintf("aac-%dk", r.Audio/1000), Bitrate: r.Audio})
			}
		}
	}
	return all
}

// wantsAudio tells whether an audio rendition is what a rendition of the video wants: nobody knows how many bits a copy has.
func (r Rendition) wantsAudio(a AudioRendition) bool { return a.Bitrate == r.Audio && !a.Copy }

// audioFor is the audio that goes with a rendition of the video.
func (p *Plan) audioFor(r Rendition) AudioRendition {
	return p.Audio.Renditions[max(0, slices.IndexFunc(p.Audio.Renditions, r.wantsAudio))]
}

// outputRate is the output's sampling rate for a recording's: audio is resampled only where
// players expect another (HLS authoring rule 2.12 takes 44.1 and 48 kHz alike). HE-AAC says the rate
// of its core, which is half.
func outputRate(source int) int {
	if source > 0 && 44100%source == 0 {
		return 44100
	}
	return 48000
}

// Chunks of audio join without a seam, since each is encoded from some audio before it,
// which lets the encoder find its pace, to a little behind it: AAC's packets overlap, and
// which are good is known by count. What is encoded ahead, and behind, is left out.
const (
	PacketSamples  = 1024 // of AAC-LC
	primingPackets = 256  // 5 to 6 s: with fewer, tones have more noise for seconds
	packetsBehind  = 4
)

// Packet is the first audio packet that belongs to the segment that begins at a frame:
// the first one that is heard at its time or later. Packet 0 is heard before the first
// frame: encoders begin with one of silence.
func (p *Plan) Packet(frame int) int {
	if frame == 0 {
		return 0
	}
	samples := int64(frame)*int64(p.Rate.Den)*int64(p.Audio.Rate) - int64(p.Audio.shift())*int64(p.Rate.Num)
	per := int64(p.Rate.Num) * PacketSamples
	return int((samples+per-1)/per) + 1
}

// PacketTicks is when a packet is decoded, in the output's samples.
func (p *Plan) PacketTicks(packet int) int64 {
	return int64(StartOffset*p.Audio.Rate) + int64(packet-1)*PacketSamples + int64(p.Audio.shift())
}

// audioSegments is how many audio segments there are. One that would be shorter than a packet, at an end, is none.
func (p *Job) audioSegments() int {
	n := 0
	for _, c := range p.Chunks {
		for from := c.From; from < c.To; from += p.SegmentFrames {
			if p.Packet(from) < p.Packet(min(c.To, from+p.SegmentFrames)) {
				n++
			}
		}
	}
	return n
}

// Stretch is a part of a chunk's audio that is encoded in one go: the packets [From, To).
type Stretch struct {
	From, To    int   // packets that are kept
	Priming     int   // packets that are encoded before them, and left out
	First, Last int64 // samples that are encoded: [First, Last) of the output
}

// maxSegments is how many audio segments are encoded in one go: decoded, a minute is 23 MB.
const maxSegments = 10

// Stretches divide the audio of a chunk.
func (p *Plan) Stretches(c Chunk) (all []Stretch) {
	for from := c.From; from < c.To; {
		to := min(c.To, from+maxSegments*p.SegmentFrames)
		if s := p.stretch(from, to); s.From < s.To { // what is shorter than a packet has none
			all = append(all, s)
		}
		from = to
	}
	return all
}

func (p *Plan) stretch(from, to int) Stretch {
	s := Stretch{From: p.Packet(from), To: p.Packet(to)}
	s.Priming = min(s.From, primingPackets)
	s.First = int64(s.From-s.Priming)*PacketSamples + int64(p.Audio.shift())
	s.Last = int64(s.To+packetsBehind)*PacketSamples + int64(p.Audio.shift())
	return s
}

// Heard is the time of a stretch on the recording's timeline, with what is encoded around it.
func (p *Plan) Heard(s Stretch) (from, to time.Duration) {
	at := func(sample int64) time.Duration {
		return time.Duration(float64(sample) / float64(p.Audio.Rate) * float64(time.Second))
	}
	return at(s.First), at(s.Last)
}

// behind is how much audio behind a chunk it takes to encode that of the chunk.
func (p *Plan) behind() time.Duration {
	return time.Duration(float64((packetsBehind+2)*PacketSamples) / float64(p.Audio.Rate) * float64(time.Second))
}

// audioCut is the recording's audio for the frames [from, to).
func (p *Plan) audioCut(x *flv.Index, from, to int) flv.Cut {
	begin, end := p.Heard(p.stretch(from, to))
	return x.AudioCut(begin, end)
}

// Names in a task's scratch folder: what is decoded of the audio, which frames that are, and
// a rendition of it, encoded.
const (
	DecodedFile = "audio.pcm"
	DecodedList = "audio.txt"
	EncodedFile = "encoded.mp4"
)

// DecodeArgs is the ffmpeg command line that decodes an audio cut, given on standard
// input: a line for every frame into one file and, where any of it is encoded again, all samples
// into another, as 32-bit floats in stereo at their own rate.
func (p *Plan) DecodeArgs(c flv.Cut) []string {
	args := input(c.AudioDecoders(), c)
	add := func(format, file string) {
		args = append(args, "-map", "0:a:0", "-c:a", "pcm_f32le", "-ac", "2", "-f", format, file)
	}
	if p.Audio.Encodes() {
		add(samples, DecodedFile)
	}
	add("framecrc", DecodedList)
	return args
}

// samples is ffmpeg's name of 32-bit floats without anything around them.
const samples = "f32le"

// samplesInput reads the output's samples from standard input.
func (p *Plan) samplesInput() []string {
	return []string{"-f", samples, "-ar", strconv.Itoa(p.Audio.Rate), "-ac", "2", "-i", "pipe:0"}
}

// EncodeArgs is the ffmpeg command line that encodes an audio stretch, given on standard
// input as 32-bit floats in stereo, into a file for every rendition; "": behind no filter.
func (p *Plan) EncodeArgs(filter string) []string {
	args := p.samplesInput()
	for _, r := range p.Audio.Renditions {
		if r.Copy {
			continue
		}
		options := ffmpeg.KwArgs{
			"map": "0:a", "c:a": "aac", "b:a": int(r.Bitrate), "ac": 2,
			"format": "mp4", "movflags": "+empty_moov+default_base_moof", "frag_duration": 1_000_000, "use_editlist": 0,
		}
		if filter != "" {
			options["af"] = filter
		}
		args = append(args, ffmpeg.Input("x").Output(path.Join(AudioLadder, r.Name, EncodedFile), options).GetArgs()[2:]...)
	}
	return args
}

// AudioName is the name of the audio that goes with a rendition, "<ladder>/<rendition>", or the usual one; "": there is none.
func (p *Plan) AudioName(name string) string {
	if p.Audio == nil {
		return ""
	}
	for _, l := range p.Ladders {
		for _, r := range l.Renditions {
			if l.Name+"/"+r.Name == name {
				return p.audioFor(r).Name
			}
		}
	}
	return p.Audio.Renditions[0].Name
}
