package flv

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"afterlive.alt/internal/h264"
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
	s := NewScanner(r)
	s.ended = true
	if err := s.More(); err != nil {
		return nil, err
	}
	return s.End()
}

// Scanner indexes a recording while it grows. It goes on where it stopped.
type Scanner struct {
	r       *bufio.Reader
	ended   bool  // nothing more will come
	begun   bool  // the file's header was read
	pos     int64 // of the next tag
	partial int64 // bytes read behind it, in vain
	zero    *zero // of the timeline, once somebody was told of it
	damage  []Range
	clock   clock
	cadence cadence

	stream     h264.Stream
	reach      reach
	steadiness steadiness
	recovering []recovery

	video                 *Video
	audio                 *Audio
	firstVideo, lastVideo int64 // PTS, ms
	firstDTS, lastDTS     int64
	audioClock            audioClock
	tagSamples, tagRate   int    // of an audio tag, and their rate in Hz; 0: not known
	audioEnd              int64  // offset behind the last audio tag
	early                 int    // frames before the first keyframe
	promised              string // the video that its metadata speaks of
	reconnected           bool   // its publisher was away, and came back
	codecSeen             bool   // a video codec was checked, though nothing may be decodable

	// By kind of tag.
	tags           [256]int   // how many there are
	unusable       [256]int   // of them
	unsupportedRun [256]int   // tags of other codecs in a row
	broken         [256]error // why the first thing was skipped that could not be used
}

// zero is what all times of an index are counted by, so it may not change once one is known.
type zero struct {
	origin int64 // ms, of the repaired timeline
	rate   Rate
}

// NewScanner indexes what r has. At r's end more may come later.
func NewScanner(r io.Reader) *Scanner { return &Scanner{r: bufio.NewReaderSize(r, 256<<10)} }

// Again goes on with another reader, which begins at [Scanner.Offset]: what comes behind the last whole tag may have been cut off since, and
// written anew.
func (s *Scanner) Again(r io.Reader) { s.r.Reset(r) }

// More takes in all whole tags that there are by now. Errors are those of [Scan].
func (s *Scanner) More() error {
	if !s.begun {
		head, err := s.r.Peek(fileHeaderSize)
		if err == io.EOF && len(head) < fileHeaderSize && !s.ended { //nolint:errorlint // see readError
			return nil
		}
		if err := s.fileHeader(); err != nil {
			return err
		}
		s.begun = true
	}
	for {
		err := s.next()
		if err == io.EOF { //nolint:errorlint // a reader that gave up may have wrapped one
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// End is the index of the whole recording, when no more will come.
func (s *Scanner) End() (*Index, error) {
	if !s.ended {
		s.ended = true
		if err := s.More(); err != nil { // what was waited for is damage, or torn
			return nil, err
		}
	}
	rest, err := io.Copy(io.Discard, s.r)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	return s.index(rest)
}

// Index is the index of what was read so far: what it says stays so, and later ones say more.
// An error of type [*Error]: there is nothing to be seen or heard yet, or ever.
func (s *Scanner) Index() (*Index, error) { return s.index(0) }

// Offset is behind the last whole tag that was read.
func (s *Scanner) Offset() int64 { return s.pos }

// Lasts is how much there is to be seen or heard so far. Unlike [Scanner.Index], it decides nothing.
func (s *Scanner) Lasts() time.Duration {
	var d time.Duration
	if s.video != nil {
		d = ms(s.lastVideo - s.firstVideo)
	}
	if m := s.audioClock.marks; len(m) > 0 {
		d = max(d, m[len(m)-1].At-m[0].At)
	}
	return d
}

// formats are what people take for an FLV, by how they begin.
var formats = []struct {
	at     int // byte
	begins string
	is     string
	remux  bool // ffmpeg makes an FLV of it without encoding
}{
	{4, "ftyp", "an MP4 or MOV", true}, {0, "\x1aE\xdf\xa3", "a Matroska or WebM file", true}, {0, "G@", "an MPEG transport stream", true}, {0, "\x00\x00\x01\xba", "an MPEG program stream", true},
	{0, "RIFF", "an AVI or WAV file", false}, {0, "#EXTM3U", "an HLS playlist", false}, {0, "<", "an HTML or XML page", false}, {0, "\xff\xd8\xff", "a JPEG", false}, {0, "\x89PNG", "a PNG", false},
	{0, "\x1f\x8b", "compressed by gzip", false}, {0, "PK\x03\x04", "a ZIP archive", false},
}

// instead says what the file is that is no FLV, as far as its first bytes tell.
func (s *Scanner) instead() string {
	head, _ := s.r.Peek(16) // a short file has less
	for _, f := range formats {
		if len(head) < f.at || !bytes.HasPrefix(head[f.at:], []byte(f.begins)) {
			continue
		}
		if f.remux {
			return fmt.Sprintf("it is %s: \"ffmpeg -i FILE -c copy FILE.flv\" makes an FLV of it if it has H.264 and AAC", f.is)
		}
		return "it is " + f.is
	}
	return fmt.Sprintf("the file starts with %q, an FLV with \"FLV\\x01\"", head[:min(4, len(head))])
}

func (s *Scanner) fileHeader() error {
	head, err := s.r.Peek(fileHeaderSize)
	if err != nil && err != io.EOF { //nolint:errorlint // see readError
		return fmt.Errorf("read recording: %w", err)
	}
	switch {
	case len(head) == 0:
		return refuse(NotFLV, "the file is empty")
	case !bytes.HasPrefix(head, []byte("FLV\x01")):
		return refuse(NotFLV, "%s", s.instead())
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
func (s *Scanner) next() error {
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
	var header []byte
	if isHeader(kind, body) && size <= maxHeaderBody {
		header = bytes.Clone(body)
	}
	offset := s.pos
	s.pos += int64(tagHeaderSize + size + tagTrailerSize)
	switch kind {
	case tagVideo:
		s.tags[kind]++
		err = s.videoTag(offset, raw, body, header)
	case tagAudio:
		s.tags[kind]++
		err = s.audioTag(offset, raw, body, header)
	case tagScript:
		if away, ok := reconnect(body); ok {
			s.reconnected = true
			s.clock.reconnect(away)
			s.audioClock.reconnect(s.audioEnd)
			break
		}
		s.promised = cmp.Or(s.promised, promisedVideo(body))
	}
	if err != nil {
		return err
	}
	if _, err := s.r.Discard(tagHeaderSize + size + tagTrailerSize); err != nil {
		return s.readError(err)
	}
	return nil
}

// readError is what a failed read means: the end, if the reader says so in just these
// words. One that gives up may wrap an io.EOF of its own; that is no end.
func (s *Scanner) readError(err error) error {
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

// index is a copy of what is known; the scan may go on.
func (s *Scanner) index(rest int64) (*Index, error) {
	video, audio, missing := s.tracks()
	if err := s.nothing(video, audio); err != nil {
		return nil, err
	}
	x := &Index{
		Open: !s.ended,
		Size: s.pos + s.partial + rest, End: s.pos, Damage: slices.Clone(s.damage), Video: video, Audio: audio,
		Gaps: slices.Clone(s.clock.gaps), Missing: missing, Promised: s.promised,
	}
	cadence := s.cadence.clone()
	rate, dropped, thinned := cadence.rate()
	z := s.zero
	if z == nil {
		z = &zero{s.origin(video, audio, rate), rate}
	}
	if !s.ended { // from now on others count by it
		s.zero = z
	}
	origin := z.origin
	for i := range x.Gaps {
		x.Gaps[i].At -= ms(origin)
	}
	if v := x.Video; v != nil {
		v.Rate, v.Dropped, v.Thinned, v.Steady = rate, dropped, thinned, s.steadiness.steady(rate)
		v.Tail = max(v.Rate.Time(1), ms(min(cadence.median(), cadence.step)))
		v.MinComposition, v.MaxComposition = ms(s.reach.min), ms(s.reach.max)
		v.Epochs = shifted(s.clock.epochs(tagVideo), -origin)
		v.First, v.Last, v.FirstDTS = ms(s.firstVideo-origin), ms(s.lastVideo-origin), ms(s.firstDTS-origin)
		for i := range v.Keyframes {
			v.Keyframes[i] = v.Keyframes[i].moved(-ms(origin))
		}
		x.Duration = v.Last + v.Tail
		if audio != nil {
			x.Duration = v.Last + rate.Time(1) // while there is audio, the last frame is shown; behind that, nobody waits for it
		}
		if v.Frames > 100 && v.Last-v.First < ms(int64(v.Frames)/2) {
			return nil, refuse(ZeroDuration, "its clock stands still: %d frames within %s", v.Frames, v.Last-v.First)
		}
	}
	if a := x.Audio; a != nil {
		a.Epochs, a.Marks = shifted(s.clock.epochs(tagAudio), -origin), moved(a.Marks, -ms(origin))
		x.Duration = max(x.Duration, a.End())
	}
	return x, nil
}

// tracks are copies of those that have something, and what cannot be decoded.
func (s *Scanner) tracks() (video *Video, audio *Audio, gone []Missing) {
	unusable, broken := s.unusable, s.broken
	if s.video != nil && s.video.Frames > 0 {
		v := *s.video
		v.Forms, v.Keyframes, v.Headers = slices.Clone(v.Forms), slices.Clone(v.Keyframes), slices.Clone(v.Headers)
		video = &v
	}
	switch {
	case s.audio == nil || s.audio.Frames == 0:
	case video != nil && s.audio.stray() && video.Frames > 4*s.audio.Frames:
		unusable[tagAudio] += s.audio.Frames
		broken[tagAudio] = cmp.Or(broken[tagAudio], refuse(UnsupportedCodec, "%d audio tags (%s) in all: damage", s.audio.Frames, s.audio.Codec))
	default:
		a := *s.audio
		a.Headers, a.Marks = slices.Clone(a.Headers), s.audioClock.known(s.ended, s.audioEnd)
		if len(a.Marks) > 1 { // else it has only begun
			audio = &a
		}
	}
	return video, audio, s.missing(unusable, broken)
}

// shifted are epochs on a timeline that begins earlier by d, in ms.
func shifted(all []Epoch, d int64) []Epoch {
	all = slices.Clone(all)
	for i := range all {
		all[i].Shift += d
	}
	return all
}

// nothing is why a recording is refused of which nothing can be decoded, or no video
// though it has some.
func (s *Scanner) nothing(video *Video, audio *Audio) error {
	switch {
	case video == nil && s.broken[tagVideo] != nil:
		return s.broken[tagVideo]
	case video == nil && s.codecSeen:
		return refuse(NoKeyframe, "it has video, but no keyframe from which to decode")
	case video == nil && audio == nil && s.broken[tagAudio] != nil:
		return s.broken[tagAudio]
	case video == nil && audio == nil:
		return refuse(ZeroDuration, "there is neither video nor audio in it")
	}
	return nil
}

// missing tells of tags that cannot be decoded.
func (s *Scanner) missing(unusable [256]int, broken [256]error) (all []Missing) {
	for kind, track := range map[byte]string{tagVideo: TrackVideo, tagAudio: TrackAudio} {
		if n := unusable[kind]; n > 0 {
			m := Missing{Track: track, Tags: n, Of: s.tags[kind], Why: fmt.Sprint(broken[kind])}
			if refused, ok := errors.AsType[*Error](broken[kind]); ok {
				m.Why = refused.Detail
			}
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b Missing) int { return strings.Compare(b.Track, a.Track) })
	return all
}

// promisedVideo is the video that a recording's metadata speaks of (onMetaData, annex
// E.5): in AMF 0, a name, and a number that is not zero.
func promisedVideo(script []byte) string {
	number := func(name string) float64 {
		key := append([]byte{0, byte(len(name))}, name+"\x00"...)
		if _, value, found := bytes.Cut(script, key); found && len(value) >= 8 {
			return math.Float64frombits(binary.BigEndian.Uint64(value))
		}
		return 0
	}
	width, height, codec := number("width"), number("height"), number("videocodecid")
	switch {
	case width >= 1 && height >= 1:
		return fmt.Sprintf("%.0fx%.0f", width, height)
	case codec >= 1:
		return fmt.Sprintf("codec %.0f", codec)
	}
	return ""
}

// origin is the zero of the repaired timeline: the first moment that can be shown
// or heard. Where audio comes first it is up to a frame earlier, a whole number
// of frames before the first frame: then frames fall on the output's grid,
// and not between its points, where a millisecond of jitter would drop some and
// double others, and all would move against the audio by up to half a frame.
func (s *Scanner) origin(video *Video, audio *Audio, rate Rate) int64 {
	firstAudio := int64(0)
	if audio != nil {
		firstAudio = audio.First().Milliseconds()
	}
	switch {
	case video == nil:
		return firstAudio
	case audio == nil || s.firstVideo <= firstAudio:
		return s.firstVideo
	}
	frame := 1000 / rate.FPS()
	if ahead := s.firstVideo - firstAudio; frame > longFrame && ahead <= longFrame {
		return s.firstVideo // so little audio is left out: a still of a second before it would be worse
	}
	frames := math.Ceil(float64(s.firstVideo-firstAudio) / frame)
	return s.firstVideo - int64(math.Round(frames*frame))
}

// longFrame, in ms: where frames are longer, none is put before the first frame for the
// sake of audio that begins up to so much before it.
const longFrame = 100
