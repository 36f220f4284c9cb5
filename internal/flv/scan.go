package flv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

const (
	keyframeSpacing = 250 // ms, see [Keyframe]
	maxHeaderBody   = 64 << 10
	maxHeaders      = 1000
)

// Scan reads a recording to its end and indexes it. It holds one buffer,
// whatever the recording's length. An error of type [*Error] means that the
// recording is refused; any other comes from r.
//
// A last tag that is cut short (the recorder was killed) is left out of the
// index. Damage in the middle costs the tags that it hit: the scan goes on with the
// next whole one (see damage.go).
func Scan(r io.Reader) (*Index, error) {
	s := scanner{r: bufio.NewReaderSize(r, 256<<10)}
	if err := s.fileHeader(); err != nil {
		return nil, err
	}
	for {
		err := s.next()
		if err == io.EOF { //nolint:errorlint // a reader that gave up may have wrapped one
			break
		}
		if err != nil {
			return nil, err
		}
	}
	rest, err := io.Copy(io.Discard, s.r)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	return s.index(rest)
}

type scanner struct {
	r       *bufio.Reader
	pos     int64 // of the next tag
	partial int64 // bytes read behind it, in vain
	damage  []Range
	clock   clock
	cadence cadence

	steadiness steadiness
	lengthSize int  // bytes of a NAL unit's length
	idr        bool // whether the picture at hand holds an IDR

	video                 *Video
	audio                 *Audio
	firstVideo, lastVideo int64 // PTS, ms
	firstAudio, lastAudio int64
	codecSeen             bool     // a video codec was checked, though nothing may be decodable
	strangers             [256]int // tags of other codecs in a row, by kind
	broken                error    // why the first thing was skipped that could not be used
}

func (s *scanner) fileHeader() error {
	head, err := s.r.Peek(fileHeaderSize)
	if err != nil && err != io.EOF { //nolint:errorlint // see readError
		return fmt.Errorf("read recording: %w", err)
	}
	switch {
	case len(head) == 0:
		return refuse(NotFLV, "the file is empty")
	case !bytes.HasPrefix(head, []byte("FLV\x01")):
		return refuse(NotFLV, "the file starts with %q, an FLV with \"FLV\\x01\"", head[:min(4, len(head))])
	case len(head) < fileHeaderSize:
		return refuse(NotFLV, "the file ends inside its header")
	}
	size := int64(head[5])<<24 | int64(head[6])<<16 | int64(head[7])<<8 | int64(head[8])
	if size != 9 {
		return refuse(NotFLV, "the header says that it is %d bytes long, an FLV's is 9", size)
	}
	s.pos = fileHeaderSize
	_, err = s.r.Discard(fileHeaderSize)
	return err
}

// next takes in one tag, or what is to be skipped before there is one. io.EOF: there
// is no further whole tag.
func (s *scanner) next() error {
	whole, size, err := s.tag()
	if errors.Is(err, errDamaged) {
		return s.resync()
	}
	if err != nil {
		return err
	}
	kind := whole[0] & 0x1f
	raw := uint32(whole[4])<<16 | uint32(whole[5])<<8 | uint32(whole[6]) | uint32(whole[7])<<24
	body := whole[tagHeaderSize : tagHeaderSize+size]
	start := bytes.Clone(body[:min(8, size)])
	var header []byte
	if isHeader(kind, start) && size <= maxHeaderBody {
		header = bytes.Clone(body)
	}
	s.idr = kind == tagVideo && len(start) > 5 && start[0]>>4 == frameKey && holdsIDR(body[5:], s.lengthSize)
	skipped, err := s.r.Discard(tagHeaderSize + size + tagTrailerSize)
	if err != nil {
		return s.readError(err)
	}
	offset := s.pos
	s.pos += int64(skipped)
	switch kind {
	case tagVideo:
		return s.videoTag(offset, raw, start, header)
	case tagAudio:
		return s.audioTag(offset, raw, start, header)
	}
	return nil
}

// readError is what a failed read means: the end, if the reader says so in just these
// words. One that gives up may wrap an io.EOF of its own; that is no end.
func (s *scanner) readError(err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF || errors.Is(err, bufio.ErrBufferFull) { //nolint:errorlint // see above
		return io.EOF
	}
	return fmt.Errorf("read recording: %w", err)
}

// isHeader tells a codec configuration by the start of a tag's body.
func isHeader(kind byte, start []byte) bool {
	if len(start) < 2 {
		return false
	}
	switch kind {
	case tagVideo:
		return start[0]&0x8f == codecAVC && start[1] == 0
	case tagAudio:
		return start[0]>>4 == formatAAC && start[1] == 0
	}
	return false
}

func (s *scanner) index(rest int64) (*Index, error) {
	if s.audio != nil && s.audio.Frames == 0 {
		s.audio = nil
	}
	if s.broken != nil && (s.codecSeen || s.audio == nil) && s.video == nil {
		return nil, s.broken
	}
	if s.codecSeen && (s.video == nil || s.video.Frames == 0) {
		return nil, refuse(NoKeyframe, "it has video, but no keyframe from which to decode")
	}
	if s.video == nil && s.audio == nil {
		return nil, refuse(ZeroDuration, "there is neither picture nor sound in it")
	}
	x := &Index{Size: s.pos + s.partial + rest, End: s.pos, Damage: s.damage, Video: s.video, Audio: s.audio, Epochs: s.clock.epochs, Gaps: s.clock.gaps}
	rate := s.cadence.rate()
	origin := s.origin(rate)
	for i := range x.Epochs {
		x.Epochs[i].Shift -= origin
	}
	for i := range x.Gaps {
		x.Gaps[i].At -= ms(origin)
	}
	if v := x.Video; v != nil {
		v.Rate, v.Steady = rate, s.steadiness.steady(rate)
		v.First, v.Last = ms(s.firstVideo-origin), ms(s.lastVideo-origin)
		for i := range v.Keyframes {
			v.Keyframes[i].DTS -= ms(origin)
			v.Keyframes[i].PTS -= ms(origin)
		}
		x.Duration = v.Last + v.Rate.Time(1)
		if v.Frames > 100 && v.Last-v.First < ms(int64(v.Frames)/2) {
			return nil, refuse(ZeroDuration, "its clock stands still: %d pictures within %s", v.Frames, v.Last-v.First)
		}
	}
	if a := x.Audio; a != nil {
		a.First, a.Last = ms(s.firstAudio-origin), ms(s.lastAudio-origin)
		x.Duration = max(x.Duration, a.Last+a.frameTime())
	}
	return x, nil
}

// origin is the zero of the repaired timeline: the first moment that can be shown
// or heard. Where sound comes first it is up to a frame earlier, a whole number
// of frames before the first picture: then pictures fall on the output's grid,
// and not between its points, where a millisecond of jitter would drop some and
// double others, and all would move against the sound by up to half a frame.
func (s *scanner) origin(rate Rate) int64 {
	switch {
	case s.video == nil:
		return s.firstAudio
	case s.audio == nil || s.firstVideo <= s.firstAudio:
		return s.firstVideo
	}
	frame := 1000 / rate.FPS()
	frames := math.Ceil(float64(s.firstVideo-s.firstAudio) / frame)
	return s.firstVideo - int64(math.Round(frames*frame))
}

func (a *Audio) frameTime() time.Duration {
	samples := 1024
	if a.format() == formatMP3 {
		samples = 1152
	}
	return time.Duration(samples) * time.Second / time.Duration(a.SampleRate)
}
