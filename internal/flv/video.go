package flv

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"afterlive.alt/internal/h264"
)

// Codec numbers of annex E.4.3.1, and of the "enhanced RTMP" that extends them.
const (
	codecAVC    = 7
	exHeader    = 0x80 // a FourCC follows instead of a codec number
	frameKey    = 1
	packetFrame = 1 // AVCPacketType: NAL units
)

var videoCodecs = map[byte]string{
	1: "JPEG", 2: "Sorenson H.263", 3: "Screen Video", 4: "VP6", 5: "VP6 with alpha", 6: "Screen Video 2", 12: "HEVC (codec id 12)",
}

// Form is a form of the frames, and how much of the recording has it.
type Form struct {
	h264.Form

	Frames int           `json:"frames"`
	Time   time.Duration `json:"time"`
}

// videoTag takes in a whole video tag: its body, and a copy of it where it is a codec header.
func (s *Scanner) videoTag(offset int64, raw uint32, body, header []byte) error {
	if len(body) < 2 {
		return nil
	}
	if isEnd(body) {
		return nil
	}
	s.codecSeen = true
	if !isOurs(tagVideo, body[0], codecAVC) {
		return s.unsupported(tagVideo, unsupportedVideo(body))
	}
	s.unsupportedRun[tagVideo] = 0
	if header != nil {
		return s.videoHeader(offset, header)
	}
	if body[1] != packetFrame || len(body) < 5 {
		return nil
	}
	if s.video == nil {
		s.broken[tagVideo] = cmp.Or(s.broken[tagVideo], refuse(NoKeyframe, "its frames come before any H.264 configuration"))
		s.unusable[tagVideo]++
		return nil
	}
	key := body[0]>>4 == frameKey
	if s.video.Frames == 0 && !key {
		s.early++
		return nil
	}
	dts := s.clock.at(offset, raw, tagVideo)
	shown := s.reach.composition(body, dts)
	p := s.stream.Read(body[5:])
	s.picture(p, dts, dts+shown)
	s.audioClock.seen(dts, s.audioEnd)
	s.steadiness.add(dts, shown, key, p.IDR)
	if len(s.video.Keyframes) > maxKeyframes || len(s.clock.epochs(tagVideo)) > maxEpochs {
		return refuse(BadHeader, "it has more than %d keyframes, or its clock jumps more than %d times", maxKeyframes, maxEpochs)
	}
	if key {
		s.keyframe(offset, dts, dts+shown, p)
	}
	s.recover(p, dts+shown)
	return nil
}

// picture counts a frame and its form.
func (s *Scanner) picture(p h264.Picture, dts, pts int64) {
	v := s.video
	if v.Frames == 0 {
		s.firstVideo, s.lastVideo, s.lastDTS = pts, pts, dts
		s.firstDTS = dts
		v.Rotation = max(0, p.Rotation)
	}
	i := slices.IndexFunc(v.Forms, func(f Form) bool { return f.Form == p.Form })
	if i < 0 && len(v.Forms) < maxForms {
		i = len(v.Forms)
		v.Forms = append(v.Forms, Form{Form: p.Form})
	}
	if i >= 0 {
		v.Forms[i].Frames++
		v.Forms[i].Time += ms(max(0, dts-s.lastDTS))
	}
	v.Oriented = v.Oriented || p.Rotation >= 0
	v.Frames++
	v.End = s.pos
	if p.Field {
		v.Fields++
	}
	v.Captions = v.Captions.Add(p.Captions)
	s.firstDTS, s.lastDTS = min(s.firstDTS, dts), max(s.lastDTS, dts)
	s.firstVideo, s.lastVideo = min(s.firstVideo, pts), max(s.lastVideo, pts)
	s.cadence.add(pts)
}

// maxForms is how many forms a recording may have; further ones are letterboxed like all
// the others, but not told of.
const maxForms = 1000

// isOurs tells by the first byte of a tag's body whether it is of a codec.
func isOurs(kind, first, codec byte) bool {
	if kind == tagVideo {
		return first&(exHeader|0x0f) == codec
	}
	return first>>4 == codec
}

func unsupportedVideo(body []byte) error {
	codec := body[0] & 0x0f
	if body[0]&exHeader == 0 || len(body) < 5 {
		return refuse(UnsupportedCodec, "its video is %s (codec %d); only H.264 is supported", cmp.Or(videoCodecs[codec], "unknown"), codec)
	}
	if fourCC := string(body[1:5]); fourCC != "avc1" {
		return refuse(UnsupportedCodec, "its video is %q by enhanced RTMP; only H.264 is supported", fourCC)
	}
	return refuse(UnsupportedCodec, "its video is H.264 by enhanced RTMP (a FourCC, avc1), which is not supported yet; let the encoder send plain RTMP")
}

// unsupported is a tag of a codec that isn't supported: a flipped bit, if it is not one of
// many in a row, and there is something else in the recording. Behind a reconnect it is missing: what came before is not to be lost for it.
func (s *Scanner) unsupported(kind byte, why error) error {
	s.broken[kind] = cmp.Or(s.broken[kind], why)
	s.unusable[kind]++
	s.unsupportedRun[kind]++
	if s.unsupportedRun[kind] > maxUnsupported && !s.reconnected {
		return why
	}
	return nil
}

// maxUnsupported is how many tags of another codec in a row are taken for damage.
const maxUnsupported = 10

// reach is by how much frames are shown after, or before, they are decoded.
type reach struct {
	n        int
	last     int64    // DTS
	steps    [8]int64 // the latest between DTS
	min, max int64    // ms, of those that were believed
}

// composition is by how many milliseconds a frame is shown after it is decoded, from its
// tag's body. Where it is beyond all reordering (a flipped bit) it is taken for none. How
// much that is depends on the distance of the frames: H.264 reorders 16 at most.
func (r *reach) composition(body []byte, dts int64) int64 {
	r.steps[r.n%len(r.steps)] = dts - r.last
	r.n++
	r.last = dts
	limit := int64(earlyReach)
	if r.n > len(r.steps) {
		limit = min(limit, max(minReach, maxReorder*slices.Max(r.steps[:])))
	}
	c := compositionOf(body)
	if c > limit || c < -limit {
		return 0
	}
	r.min, r.max = min(r.min, c), max(r.max, c)
	return c
}

const (
	minReach   = 5_000  // ms that is believed of any recording
	earlyReach = 30_000 // ms, as long as nobody knows how far apart frames are, and at most
	maxReorder = 16     // frames (ISO/IEC 14496-10, A.3.1)
)

// compositionOf is CompositionTime (annex E.4.3.2), 24 bits with a sign, in ms.
func compositionOf(body []byte) int64 {
	return int64(int32(uint32(body[2])<<24|uint32(body[3])<<16|uint32(body[4])<<8) >> 8)
}

// keyframe notes a place where decoding can start. Where it is no IDR, frames are whole
// only later, by what the recovery point says.
func (s *Scanner) keyframe(offset, dts, pts int64, p h264.Picture) {
	v := s.video
	k := Keyframe{Offset: offset, DTS: ms(dts), PTS: ms(pts), Whole: ms(pts)}
	if n := len(v.Keyframes); n > 0 {
		if k.DTS < v.Keyframes[n-1].DTS+ms(keyframeSpacing) {
			return
		}
	}
	v.Keyframes = append(v.Keyframes, k)
	if !p.IDR && p.Recovery > 0 {
		v.Keyframes[len(v.Keyframes)-1].Whole = never
		s.recovering = append(s.recovering, recovery{len(v.Keyframes) - 1, p.Recovery + 1})
	}
}

// recovery is a keyframe that is whole after some more reference frames.
type recovery struct{ keyframe, left int }

// never is after any frame.
const never = maxLength

// recover counts reference frames down to the one from which all are whole.
func (s *Scanner) recover(p h264.Picture, pts int64) {
	if !p.Reference {
		return
	}
	s.recovering = slices.DeleteFunc(s.recovering, func(r recovery) bool { return r.left <= 0 })
	for i := range s.recovering {
		r := &s.recovering[i]
		r.left--
		if r.left == 0 {
			s.video.Keyframes[r.keyframe].Whole = ms(pts)
		}
	}
}

// maxKeyframes is a week's, at the closest spacing: a crafted file must not fill the
// memory.
const maxKeyframes = 7 * 24 * 3600 * 1000 / keyframeSpacing

func (s *Scanner) videoHeader(offset int64, body []byte) error {
	if s.video != nil && bytes.Equal(body, s.video.Headers[len(s.video.Headers)-1].Body) {
		return nil // encoders repeat it
	}
	if _, err := s.stream.Configure(body[min(len(body), 5):]); err != nil { // it costs its frames, no more: no cut begins with it
		s.broken[tagVideo] = cmp.Or(s.broken[tagVideo], refuse(BadHeader, "its H.264 configuration: %v", err))
		return nil
	}
	if s.video == nil {
		s.video = &Video{}
	}
	if len(s.video.Headers) == maxHeaders {
		return refuse(BadHeader, "its video configuration changes more than %d times", maxHeaders)
	}
	s.video.Headers = append(s.video.Headers, Header{Offset: offset, Body: body})
	return nil
}

// LengthSize is how many bytes the lengths of NAL units have; 0: there is no telling.
func (v *Video) LengthSize() int {
	const lengthSizeMinusOne = 5 + 4 // behind FLV's five bytes
	body := v.Headers[0].Body
	if len(body) <= lengthSizeMinusOne {
		return 0
	}
	return int(body[lengthSizeMinusOne]&3) + 1
}

// Size is a frame's, in pixels.
func (f Form) Size() string { return fmt.Sprintf("%dx%d", f.Width, f.Height) }
