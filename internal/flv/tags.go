package flv

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/avc"
)

// Codec numbers of annex E.4.2.1 and E.4.3.1, and of the "enhanced RTMP" that
// extends them.
const (
	codecAVC    = 7
	formatMP3   = 2
	formatAAC   = 10
	exHeader    = 0x80 // video: a FourCC follows instead of a codec number
	exAudio     = 9
	frameKey    = 1
	packetFrame = 1 // AVCPacketType: NAL units
	codecMP3    = "mp3"
)

var videoCodecs = map[byte]string{
	1: "JPEG", 2: "Sorenson H.263", 3: "Screen Video", 4: "VP6", 5: "VP6 with alpha", 6: "Screen Video 2", 12: "HEVC (codec id 12)",
}

var audioFormats = map[byte]string{
	0: "PCM", 1: "ADPCM", 3: "PCM", 4: "Nellymoser at 16 kHz", 5: "Nellymoser at 8 kHz", 6: "Nellymoser",
	7: "G.711 A-law", 8: "G.711 mu-law", exAudio: "enhanced-RTMP audio", 11: "Speex", 14: "MP3 at 8 kHz",
}

// videoTag takes in a whole video tag: the start of its body, and all of it
// where it is a codec header.
func (s *scanner) videoTag(offset int64, raw uint32, start, header []byte) error {
	if len(start) < 2 {
		return nil
	}
	s.codecSeen = true
	if !isOurs(tagVideo, start[0], codecAVC) {
		return s.foreign(tagVideo, unsupportedPicture(start))
	}
	s.strangers[tagVideo] = 0
	if header != nil {
		return s.videoHeader(offset, header)
	}
	if start[1] != packetFrame || len(start) < 5 || s.video == nil {
		return nil
	}
	key := start[0]>>4 == frameKey
	if s.video.Frames == 0 && !key {
		return nil
	}
	dts := s.clock.at(offset, raw, tagVideo)
	offsetMS, _ := composition(start)
	pts := dts + offsetMS
	s.steadiness.add(dts, offsetMS, key, s.idr)
	if s.video.Frames == 0 {
		s.firstVideo, s.lastVideo = pts, pts
	}
	s.video.Frames++
	s.video.End = s.pos
	s.firstVideo, s.lastVideo = min(s.firstVideo, pts), max(s.lastVideo, pts)
	s.cadence.add(dts)
	if len(s.video.Keyframes) > maxKeyframes || len(s.clock.epochs) > maxEpochs {
		return refuse(BadHeader, "it has more than %d keyframes, or its clock jumps more than %d times", maxKeyframes, maxEpochs)
	}
	if key {
		s.keyframe(Keyframe{Offset: offset, DTS: ms(dts), PTS: ms(pts)})
	}
	return nil
}

// isOurs tells by the first byte of a tag's body whether it is of a codec.
func isOurs(kind, first, codec byte) bool {
	if kind == tagVideo {
		return first&(exHeader|0x0f) == codec
	}
	return first>>4 == codec
}

func unsupportedPicture(start []byte) error {
	codec := start[0] & 0x0f
	if start[0]&exHeader != 0 && len(start) >= 5 {
		return refuse(UnsupportedCodec, "its video is enhanced-RTMP %q; only H.264 is supported", start[1:5])
	}
	return refuse(UnsupportedCodec, "its video is %s (codec %d); only H.264 is supported", cmp.Or(videoCodecs[codec], "unknown"), codec)
}

// foreign is a tag of a codec that isn't ours: a flipped bit, if it is not one of
// many in a row, and there is something else in the recording.
func (s *scanner) foreign(kind byte, why error) error {
	s.broken = cmp.Or(s.broken, why)
	s.strangers[kind]++
	if s.strangers[kind] > mostForeign {
		return why
	}
	return nil
}

// mostForeign is how many tags of another codec in a row are taken for damage.
const mostForeign = 10

// composition is by how many milliseconds a frame is shown after it is decoded,
// from the start of its tag's body. Where it is beyond all reordering (a flipped
// bit) it is taken for none, and bad is set.
func composition(start []byte) (ms int64, bad bool) {
	ms = int64(int32(uint32(start[2])<<24|uint32(start[3])<<16|uint32(start[4])<<8) >> 8)
	if ms < -1000 || ms > 5000 {
		return 0, true
	}
	return ms, false
}

func (s *scanner) keyframe(k Keyframe) {
	v := s.video
	if n := len(v.Keyframes); n > 0 && k.DTS < v.Keyframes[n-1].DTS+ms(keyframeSpacing) {
		return
	}
	v.Keyframes = append(v.Keyframes, k)
}

// maxKeyframes is a week's, at the closest spacing: a crafted file must not fill the
// memory.
const maxKeyframes = 7 * 24 * 3600 * 1000 / keyframeSpacing

func (s *scanner) videoHeader(offset int64, body []byte) error {
	if s.video != nil && bytes.Equal(body, s.video.Headers[len(s.video.Headers)-1].Body) {
		return nil // encoders repeat it
	}
	v, err := parseAVC(body)
	switch {
	case err != nil: // it costs its pictures, no more: no cut begins with it
		s.broken = cmp.Or(s.broken, err)
		return nil
	case s.video == nil:
		s.video, s.lengthSize = v, int(body[9]&3)+1
		v.Sizes = []Size{{v.Width, v.Height}}
	default:
		if size := (Size{v.Width, v.Height}); !slices.Contains(s.video.Sizes, size) {
			s.video.Sizes = append(s.video.Sizes, size)
		}
	}
	if len(s.video.Headers) == maxHeaders {
		return refuse(BadHeader, "its video configuration changes more than %d times", maxHeaders)
	}
	s.video.Headers = append(s.video.Headers, Header{Offset: offset, Body: body})
	return nil
}

// parseAVC reads an AVC sequence header: five bytes of FLV, then the
// AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
func parseAVC(body []byte) (*Video, error) {
	if len(body) < 5 {
		return nil, refuse(BadHeader, "its H.264 configuration is %d bytes long", len(body))
	}
	record, err := avc.DecodeAVCDecConfRec(body[5:])
	if err != nil {
		return nil, refuse(BadHeader, "its H.264 configuration: %v", err)
	}
	if len(record.SPSnalus) == 0 {
		return nil, refuse(BadHeader, "its H.264 configuration has no sequence parameter set")
	}
	sps, err := avc.ParseSPSNALUnit(record.SPSnalus[0], false)
	if err != nil {
		return nil, refuse(BadHeader, "its H.264 sequence parameter set: %v", err)
	}
	v := &Video{
		Width: int(sps.Width), Height: int(sps.Height), SARNum: 1, SARDen: 1,
		Profile: int(sps.Profile), Level: int(sps.Level),
		Plain: sps.FrameMbsOnlyFlag && sps.BitDepthLumaMinus8 == 0 && sps.BitDepthChromaMinus8 == 0 && sps.ChromaFormatIDC == 1,
	}
	if vui := sps.VUI; vui != nil && vui.SampleAspectRatioWidth > 0 && vui.SampleAspectRatioHeight > 0 {
		if num, den := int(vui.SampleAspectRatioWidth), int(vui.SampleAspectRatioHeight); num <= 4*den && den <= 4*num {
			v.SARNum, v.SARDen = num, den // beyond that it is nonsense
		}
	}
	if (Size{v.Width, v.Height}).absurd() {
		return nil, refuse(BadHeader, "its picture is said to be %dx%d", v.Width, v.Height)
	}
	return v, nil
}

const longestSide = 16384 // pixels; H.264 level 6.2 allows 16,888 in one direction

// audioTag takes in a whole audio tag, as videoTag does.
func (s *scanner) audioTag(offset int64, raw uint32, start, header []byte) error {
	if len(start) < 2 {
		return nil
	}
	format := start[0] >> 4
	switch {
	case s.audio != nil && format != s.audio.format():
		return s.foreign(tagAudio, refuse(UnsupportedCodec, "its sound changes from %s to %s", s.audio.Codec, cmp.Or(audioFormats[format], "AAC or MP3")))
	case format == formatAAC && header != nil:
		return s.audioHeader(offset, header)
	case format == formatAAC && s.audio == nil:
		return nil // before its configuration
	case format == formatMP3 && s.audio == nil:
		s.audio = &Audio{Codec: codecMP3, SampleRate: 5512 << (start[0] >> 2 & 3), Channels: int(start[0]&1) + 1}
	case s.audio == nil:
		return s.foreign(tagAudio, refuse(UnsupportedCodec, "its sound is %s (format %d); AAC and MP3 are supported", audioFormats[format], format))
	}
	s.strangers[tagAudio] = 0
	t := s.clock.at(offset, raw, tagAudio)
	if s.audio.Frames == 0 {
		s.firstAudio, s.lastAudio = t, t
		s.audio.Bytes.From = offset
	}
	if len(s.clock.epochs) > maxEpochs {
		return refuse(BadHeader, "its clock jumps more than %d times", maxEpochs)
	}
	s.audio.Frames++
	s.audio.Bytes.To = s.pos
	s.lastAudio = max(s.lastAudio, t)
	return nil
}

func (a *Audio) format() byte {
	if a.Codec == codecMP3 {
		return formatMP3
	}
	return formatAAC
}

func (s *scanner) audioHeader(offset int64, body []byte) error {
	if s.audio != nil && len(s.audio.Headers) > 0 && bytes.Equal(body, s.audio.Headers[len(s.audio.Headers)-1].Body) {
		return nil
	}
	config, err := aac.DecodeAudioSpecificConfig(bytes.NewReader(body[2:]))
	switch {
	case err != nil:
		s.broken = cmp.Or(s.broken, refuse(BadHeader, "its AAC configuration: %v", err))
		return nil
	case config.SamplingFrequency < 1000:
		s.broken = cmp.Or(s.broken, refuse(BadHeader, "its AAC sampling rate is said to be %d Hz", config.SamplingFrequency))
		return nil
	}
	if s.audio == nil {
		s.audio = &Audio{Codec: "aac", SampleRate: config.SamplingFrequency, Channels: int(config.ChannelConfiguration)}
	}
	if len(s.audio.Headers) == maxHeaders {
		return refuse(BadHeader, "its audio configuration changes more than %d times", maxHeaders)
	}
	s.audio.Headers = append(s.audio.Headers, Header{Offset: offset, Body: body})
	return nil
}
