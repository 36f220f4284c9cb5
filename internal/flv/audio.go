package flv

import (
	"bytes"
	"cmp"

	"github.com/Eyevinn/mp4ff/aac"
)

// Formats of audio (annex E.4.2.1) that have a rule of their own.
const (
	formatMP3 = 2
	formatAAC = 10
	exAudio   = 9 // enhanced RTMP: a FourCC follows
)

const (
	codecAAC        = "aac"
	codecMP3        = "mp3"
	codecNellymoser = "nellymoser"
)

// AudioFormat is a format of audio that can be decoded.
type AudioFormat struct {
	Codec    string
	Decoders string // ffmpeg's, comma-separated
	rate     int    // Hz; 0: the tag says it
}

// audioFormats are those that ffmpeg decodes, by their number in a tag.
var audioFormats = map[byte]AudioFormat{
	0:         {Codec: "pcm", Decoders: "pcm_u8,pcm_s16be,pcm_s16le"},
	1:         {Codec: "adpcm", Decoders: "adpcm_swf"},
	formatMP3: {Codec: codecMP3, Decoders: "mp3,mp3float"},
	3:         {Codec: "pcm", Decoders: "pcm_u8,pcm_s16le"},
	4:         {Codec: codecNellymoser, Decoders: codecNellymoser, rate: 16000},
	5:         {Codec: codecNellymoser, Decoders: codecNellymoser, rate: 8000},
	6:         {Codec: codecNellymoser, Decoders: codecNellymoser},
	7:         {Codec: "pcm_alaw", Decoders: "pcm_alaw", rate: 8000},
	8:         {Codec: "pcm_mulaw", Decoders: "pcm_mulaw", rate: 8000},
	formatAAC: {Codec: codecAAC, Decoders: "aac"},
	11:        {Codec: "speex", Decoders: "speex,libspeex", rate: 16000},
	14:        {Codec: codecMP3, Decoders: "mp3,mp3float", rate: 8000},
}

// AudioDecoders are ffmpeg's for a cut's audio.
func (c Cut) AudioDecoders() string { return audioFormats[c.audioFormat()].Decoders }

func (c Cut) audioFormat() byte {
	switch {
	case c.Format != nil:
		return *c.Format
	case c.Header != nil:
		return formatAAC
	}
	return formatMP3
}

// unsupportedAudio says why a format is refused.
func unsupportedAudio(body []byte) error {
	format := body[0] >> 4
	if format == exAudio && len(body) >= 5 {
		return refuse(UnsupportedCodec, "its audio is %q by enhanced RTMP; AAC, MP3, Speex, G.711 and Flash's older formats are supported", body[1:5])
	}
	return refuse(UnsupportedCodec, "its audio has format %d, which is none; AAC, MP3, Speex, G.711 and Flash's older formats are supported", format)
}

// audioTag takes in a whole audio tag, as videoTag does.
func (s *Scanner) audioTag(offset int64, raw uint32, body, header []byte) error {
	if len(body) < 2 {
		return nil
	}
	number := body[0] >> 4
	format, known := audioFormats[number]
	switch {
	case !known:
		return s.unsupported(tagAudio, unsupportedAudio(body))
	case s.audio.stray() && number != s.audio.Format: // what came before was a flipped bit
		s.unusable[tagAudio] += s.audio.Frames
		s.audio, s.audioClock = nil, audioClock{}
		return s.audioTag(offset, raw, body, header)
	case s.audio != nil && number != s.audio.Format:
		return s.unsupported(tagAudio, refuse(UnsupportedCodec, "its audio changes from %s to %s", s.audio.Codec, format.Codec))
	case number == formatAAC && header != nil:
		return s.audioHeader(offset, header)
	case number == formatAAC && s.audio == nil:
		s.broken[tagAudio] = cmp.Or(s.broken[tagAudio], refuse(BadHeader, "its AAC has no configuration, without which nothing can decode it"))
		s.unusable[tagAudio]++
		return nil
	case s.audio == nil:
		s.audio = &Audio{
			Codec: format.Codec, Format: number, SampleRate: cmp.Or(format.rate, 44100>>(3-body[0]>>2&3)), Channels: int(body[0]&1) + 1,
		}
		s.tagSamples = 0 // how many there are is known to the decoder alone
	}
	s.unsupportedRun[tagAudio] = 0
	s.audioClock.add(offset, s.clock.at(offset, raw, tagAudio), s.tagSamples, cmp.Or(s.tagRate, s.audio.SampleRate))
	if len(s.clock.epochs(tagAudio)) > maxEpochs || s.audioClock.jumps > maxEpochs || len(s.audioClock.marks) > maxMarks {
		return refuse(BadHeader, "its audio lasts more than a week, or its clock jumps more than %d times", maxEpochs)
	}
	s.audio.Frames++
	s.audio.Bytes += int64(len(body))
	s.audioEnd = s.pos
	return nil
}

// stray tells whether a track is so short that it may be tags with a flipped bit: AAC has a
// configuration.
func (a *Audio) stray() bool {
	return a != nil && a.Format != formatAAC && a.Frames <= maxUnsupported
}

func (s *Scanner) audioHeader(offset int64, body []byte) error {
	if s.audio != nil && len(s.audio.Headers) > 0 && bytes.Equal(body, s.audio.Headers[len(s.audio.Headers)-1].Body) {
		return nil
	}
	config, err := aac.DecodeAudioSpecificConfigHeader(bytes.NewReader(body[2:]))
	var bad error
	switch {
	case err != nil:
		bad = refuse(BadHeader, "its AAC configuration: %v", err)
	case config.SamplingFrequency < 1000 || config.SamplingFrequency > maxSampleRate:
		bad = refuse(BadHeader, "its AAC sampling rate is said to be %d Hz", config.SamplingFrequency)
	case !decodable[config.ObjectType]:
		bad = refuse(UnsupportedCodec, "its AAC is of object type %d (ISO/IEC 14496-3, table 1.17), which ffmpeg cannot decode", config.ObjectType)
	}
	if bad != nil {
		s.broken[tagAudio] = cmp.Or(s.broken[tagAudio], bad)
		return nil
	}
	if s.audio == nil {
		s.audio = &Audio{Codec: codecAAC, Format: formatAAC, SampleRate: config.SamplingFrequency, Channels: int(config.ChannelConfiguration)}
	}
	if len(s.audio.Headers) == maxHeaders {
		return refuse(BadHeader, "its audio configuration changes more than %d times", maxHeaders)
	}
	s.audio.Headers = append(s.audio.Headers, Header{Offset: offset, Body: body})
	s.tagSamples, s.tagRate = 0, config.SamplingFrequency
	shorter := config.ObjectType == aacLD || config.ObjectType == aacELD || config.ObjectType < 5 && config.SamplingFrequency <= 96000 && body[2]&7 != 7 && body[3]&frameLengthFlag != 0
	if !shorter {
		s.tagSamples = aacFrame
	}
	return nil
}

// decodable are the object types that ffmpeg's decoder knows (libavcodec/aacdec): Main,
// LC, LTP, SBR, the error resilient LC and LTP, LD, PS, ELD.
var decodable = map[byte]bool{1: true, 2: true, 4: true, 5: true, 17: true, 19: true, 23: true, 29: true, 39: true}

// Object types of AAC (ISO/IEC 14496-3, table 1.17) with shorter frames than the others.
const (
	aacLD  = 23
	aacELD = 39
)

const (
	maxSampleRate   = 192_000 // Hz
	aacFrame        = 1024    // samples, at the rate of the core
	frameLengthFlag = 4       // in the second byte of a configuration: frames have 960 (ISO/IEC 14496-3, 4.4.1)
)
