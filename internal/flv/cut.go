package flv

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"afterlive/internal/h264"
)

// Cut names the part of a recording that one task reads, and all that is needed
// to turn those bytes into a standalone FLV. It travels in the plan.
type Cut struct {
	Audio  bool    `json:"audio,omitempty"`  // the sound; else the picture
	From   int64   `json:"from"`             // first byte
	To     int64   `json:"to"`               // behind the last byte
	Until  int64   `json:"until,omitempty"`  // ms; the first tag at or after it is the last; 0: none is
	Enough int64   `json:"enough,omitempty"` // by which byte that tag has come, most likely; 0: nobody knows
	Header []byte  `json:"header,omitempty"`
	Format *byte   `json:"format,omitempty"` // of sound that is neither AAC, which has a header, nor MP3 (annex E.4.2.1)
	Epochs []Epoch `json:"epochs,omitempty"` // of pictures
	Skip   []Range `json:"skip,omitempty"`   // damage

	Marks   []Mark   `json:"marks,omitempty"`   // of sound, the first at From and the last at To
	Changes []Header `json:"changes,omitempty"` // of the sound's header, later on

	Rate  Rate  `json:"rate,omitzero"`   // of pictures, for who must know how long the last one lasts
	Lead  int64 `json:"lead,omitempty"`  // ms that are added to timestamps beyond [Lead]
	Whole int64 `json:"whole,omitempty"` // ms; pictures shown from then on must be decoded; where 0, from the first on
	End   int64 `json:"end,omitempty"`   // ms; and before then; 0: up to the last

	// Pictures say how they are to be turned, which is done once for all and not left to ffmpeg.
	Oriented bool `json:"oriented,omitempty"`

	// By how many ms pictures are shown after they are decoded, at least and at most.
	MinComposition int64 `json:"min_composition,omitempty"`
	MaxComposition int64 `json:"max_composition,omitempty"`
}

// VideoCut covers the pictures shown in [from, to): from the last keyframe from which
// they are whole (the first keyframe, where there is none) to the first frame that
// follows to by a margin or more. That covers pictures that are shown before they are
// decoded, and lets the frame-rate filter see what follows.
func (x *Index) VideoCut(from, to time.Duration) Cut {
	v := x.Video
	margin := max(250*time.Millisecond, -v.MinComposition)
	keys := v.Keyframes
	start := x.KeyframeBefore(from)
	c := Cut{
		From: keys[start].Offset, To: v.End, Rate: v.Rate, Whole: keys[start].Whole.Milliseconds(),
		Oriented: v.Oriented, MinComposition: v.MinComposition.Milliseconds(), MaxComposition: v.MaxComposition.Milliseconds(),
	}
	if to < v.Last {
		c.Until = (max(to, keys[start].PTS) + margin).Milliseconds()
		c.End = to.Milliseconds()
		for i := start + 1; i+1 < len(keys); i++ {
			if keys[i].DTS.Milliseconds() >= c.Until {
				c.To = keys[i+1].Offset
				break
			}
		}
		c.Enough = min(c.To, x.enough(time.Duration(c.Until)*time.Millisecond))
	}
	return x.finish(c)
}

// lead is what must be added to timestamps beyond [Lead], in ms: all of pictures whose
// decoding begins long before they are shown.
func (x *Index) lead() int64 {
	if x.Video == nil {
		return 0
	}
	return max(0, -x.Video.FirstDTS.Milliseconds())
}

// FromFirstPicture is the index with the first picture at zero, however much sound comes
// before it.
func (x *Index) FromFirstPicture() *Index {
	d := x.Video.First.Milliseconds()
	if d == 0 {
		return x
	}
	y, v := *x, *x.Video
	y.Video = &v
	y.Duration -= ms(d)
	v.First, v.Last, v.FirstDTS = v.First-ms(d), v.Last-ms(d), v.FirstDTS-ms(d)
	v.Keyframes = slices.Clone(v.Keyframes)
	for i := range v.Keyframes {
		v.Keyframes[i] = v.Keyframes[i].moved(-ms(d))
	}
	v.Epochs = shifted(v.Epochs, -d)
	y.Gaps = slices.Clone(x.Gaps)
	for i := range y.Gaps {
		y.Gaps[i].At -= ms(d)
	}
	if x.Audio != nil {
		a := *x.Audio
		a.Marks, a.Epochs = moved(a.Marks, -ms(d)), shifted(a.Epochs, -d)
		y.Audio = &a
	}
	return &y
}

// enough is where the first tag at or after t has most likely passed: between two
// keyframes, with an allowance for the size of the first.
func (x *Index) enough(t time.Duration) int64 {
	keys := x.Video.Keyframes
	k := x.KeyframeBefore(t)
	if k+1 == len(keys) {
		return x.Video.End
	}
	share := float64(t-keys[k].DTS)/float64(max(1, keys[k+1].DTS-keys[k].DTS))*1.1 + 0.2
	return keys[k].Offset + int64(min(1, max(0, share))*float64(keys[k+1].Offset-keys[k].Offset))
}

// KeyframeBefore is the number of the keyframe at which a cut starts that shows
// pictures from t on, whole. What is shown at t is never before it: the keyframe itself
// would be shown instead.
func (x *Index) KeyframeBefore(t time.Duration) int {
	keys := x.Video.Keyframes
	i := sort.Search(len(keys), func(i int) bool { return keys[i].PTS > t }) - 1
	for i > 0 && keys[i].Whole > t {
		i--
	}
	return max(0, i)
}

// decoderRunIn is how much sound before what is wanted a decoder is given: frames overlap.
const decoderRunIn = 250 * time.Millisecond

// AudioCut covers the sound heard in [from, to), from a mark to a mark. Where none is, it
// is empty.
func (x *Index) AudioCut(from, to time.Duration) Cut {
	a := x.Audio
	c := Cut{Audio: true, Marks: a.Marks, From: a.Marks[0].Offset, To: a.Marks[len(a.Marks)-1].Offset}
	if f := a.Format; f != formatAAC && f != formatMP3 {
		c.Format = &f
	}
	for _, h := range a.Headers {
		if c.Header == nil {
			c.Header = h.Body
			continue
		}
		c.Changes = append(c.Changes, h)
	}
	c.Skip = x.Damage
	return c.Narrow(from, to)
}

// Narrow is the part of a cut of sound that is heard in [from, to).
func (c Cut) Narrow(from, to time.Duration) Cut {
	first := -1
	last := 0
	for i := range c.Marks[:max(0, len(c.Marks)-1)] {
		// Time may run back from one mark to the next.
		if a, b := c.Marks[i], c.Marks[i+1]; b.Tag > a.Tag && b.At > from-decoderRunIn && a.At < to {
			if first < 0 {
				first = i
			}
			last = i + 1
		}
	}
	if first < 0 {
		return Cut{Audio: true}
	}
	c.Marks = c.Marks[first : last+1]
	c.From, c.To = c.Marks[0].Offset, c.Marks[len(c.Marks)-1].Offset
	changes := c.Changes
	c.Changes = nil
	for _, h := range changes {
		switch {
		case h.Offset < c.From:
			c.Header = h.Body
		case h.Offset < c.To:
			c.Changes = append(c.Changes, h)
		}
	}
	c.Skip = slices.DeleteFunc(slices.Clone(c.Skip), func(d Range) bool { return d.To <= c.From || d.From >= c.To })
	return c
}

// finish adds what is in force in a cut of pictures: the codec's header and the epochs.
func (x *Index) finish(c Cut) Cut {
	c.Lead = x.lead()
	for _, h := range x.Video.Headers {
		if h.Offset > c.From && c.Header != nil {
			break
		}
		c.Header = h.Body
	}
	for _, d := range x.Damage {
		if d.From >= c.From && d.To <= c.To {
			c.Skip = append(c.Skip, d)
		}
	}
	for _, e := range x.Video.Epochs {
		switch {
		case e.Offset <= c.From || len(c.Epochs) == 0:
			c.Epochs = []Epoch{e}
		case e.Offset < c.To:
			c.Epochs = append(c.Epochs, e)
		}
	}
	return c
}

// Reader turns src, which must deliver the bytes [From, To) of the recording,
// into a standalone FLV of one track: pictures on the repaired timeline plus [Lead] and the
// cut's own; of sound, tag n of the recording at (n - the first mark's) * [TagTime]. It
// reads no more of src than it needs. A src that ends early gives io.ErrUnexpectedEOF.
func (c Cut) Reader(src io.Reader) *Reader {
	r := &Reader{cut: c, src: bufio.NewReaderSize(src, 64<<10), pos: c.From, skip: c.Skip, kind: tagVideo, codec: codecAVC}
	flags := byte(1)
	if c.Audio {
		r.kind, r.codec, flags = tagAudio, c.soundFormat(), 4
	}
	r.pending = append(r.pending, 'F', 'L', 'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0)
	if c.Rate.Num > 0 {
		script := metadata(c.Rate)
		r.pending = appendTagHeader(r.pending, tagScript, len(script), 0)
		r.pending = append(r.pending, script...)
		r.pending = appendTrailer(r.pending, len(script))
	}
	if c.Header != nil {
		r.pending = appendTagHeader(r.pending, r.kind, len(c.Header), 0)
		r.pending = append(r.pending, c.Header...)
		r.pending = appendTrailer(r.pending, len(c.Header))
	}
	return r
}

// ReaderBeside is a reader of pictures from src, which must deliver the bytes of [Span], that
// has the sound on its way extracted.
func (c Cut) ReaderBeside(src io.Reader, sound *Extract) *Reader {
	r := c.Reader(src)
	r.pos, r.sound = min(c.From, sound.from.From), sound
	r.skip = slices.Concat(c.Skip, sound.from.Skip)
	slices.SortFunc(r.skip, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	r.skip = slices.Compact(r.skip)
	return r
}

// Span is what must be read for pictures and sound together; ok is false where that would be
// more than to read them apart.
func (c Cut) Span(sound Cut) (from, likely, to int64, ok bool) {
	from, likely, to = min(c.From, sound.From), max(c.Likely(), sound.To), max(c.To, sound.To)
	return from, likely, to, likely-from < c.Likely()-c.From+sound.To-sound.From
}

// Likely is where as much was read as a cut most likely needs.
func (c Cut) Likely() int64 { return cmp.Or(c.Enough, c.To) }

// Rest extracts what there is of the sound behind the last picture.
func (r *Reader) Rest() error {
	if r.body > 0 { // of a picture that nobody wants any more
		if _, err := r.src.Discard(r.body + tagTrailerSize); err != nil {
			return torn(err)
		}
	}
	r.done, r.body = true, 0
	for r.sound != nil && r.pos < r.sound.from.To {
		if err := r.next(); err != nil {
			return err
		}
	}
	if r.sound != nil {
		r.sound.done = true
	}
	return nil
}

// metadata is an onMetaData (annex E.5) that tells of the frame rate, as an array of AMF 0.
// Without it, ffmpeg leaves out a picture that no other follows, if the stream itself
// doesn't say how long one lasts.
func metadata(r Rate) []byte {
	b := []byte("\x02\x00\x0aonMetaData\x08\x00\x00\x00\x01\x00\x09framerate\x00")
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(r.FPS()))
	return append(b, 0, 0, 9)
}

// longestSkip is how many bytes of the other track, or of damage, one Read may pass
// over.
const longestSkip = 16 << 20

// Reader is what [Cut.Reader] makes.
type Reader struct {
	cut     Cut
	src     *bufio.Reader
	kind    byte
	codec   byte
	pos     int64 // in the recording, of the next tag
	skip    []Range
	epoch   int      // of the next picture
	sound   *Extract // takes the sound, if anybody does
	done    bool     // with pictures
	mark    int      // behind the next tag of sound
	tag     int      // its number
	pending []byte   // to hand out before anything else
	body    int      // bytes of the tag's body still to hand out
	size    int      // of that body
	last    bool     // the tag at hand is the last
	frames  atomic.Int64
}

// Frames is how many pictures of a cut were handed out so far that must be decoded. It may be asked
// while the reader is read.
func (r *Reader) Frames() int { return int(r.frames.Load()) }

func (r *Reader) Read(p []byte) (int, error) {
	for began := r.pos; len(r.pending) == 0 && r.body == 0; {
		if r.last || r.pos >= r.cut.To {
			return 0, io.EOF
		}
		if r.pos-began > longestSkip {
			return 0, nil // let the caller know that we are alive
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	if len(r.pending) > 0 {
		n := copy(p, r.pending)
		r.pending = r.pending[n:]
		return n, nil
	}
	n, err := r.src.Read(p[:min(len(p), r.body)])
	r.body -= n
	if r.body == 0 {
		r.pending = appendTrailer(r.pending[:0], r.size)
		_, err = r.src.Discard(tagTrailerSize)
	}
	return n, torn(err)
}

// next reads a tag's header, and skips the tag if it is of another kind.
func (r *Reader) next() error {
	for len(r.skip) > 0 && r.skip[0].To <= r.pos {
		r.skip = r.skip[1:]
	}
	if len(r.skip) > 0 && r.pos >= r.skip[0].From {
		n := min(longestSkip, r.skip[0].To-r.pos)
		r.pos += n
		_, err := io.CopyN(io.Discard, r.src, n)
		return torn(err)
	}
	var head [tagHeaderSize]byte
	if _, err := io.ReadFull(r.src, head[:]); err != nil {
		return torn(err)
	}
	offset := r.pos
	size := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	r.pos += int64(tagHeaderSize + size + tagTrailerSize)
	kind := head[0] & 0x1f
	if kind == tagAudio && r.sound != nil {
		return r.sound.take(offset, head[:], r.src, size)
	}
	if kind != r.kind || size == 0 || r.done || offset < r.cut.From {
		if kind != tagAudio && kind != tagVideo && kind != tagScript {
			return fmt.Errorf("read tag at %d: type %d is none: the recording is not the one that was planned", offset, kind)
		}
		_, err := r.src.Discard(size + tagTrailerSize)
		return torn(err)
	}
	first, err := r.src.Peek(1)
	if err != nil {
		return torn(err)
	}
	if !isOurs(r.kind, first[0], r.codec) { // as the scan did
		_, err := r.src.Discard(size + tagTrailerSize)
		return torn(err)
	}
	r.size, r.body = size, size
	if r.kind == tagAudio {
		return r.number(offset)
	}
	for r.epoch+1 < len(r.cut.Epochs) && r.cut.Epochs[r.epoch+1].Offset <= offset {
		r.epoch++
	}
	raw := int64(head[4])<<16 | int64(head[5])<<8 | int64(head[6]) | int64(head[7])<<24
	t := raw + r.cut.Epochs[r.epoch].Shift
	r.pending = appendTagHeader(r.pending[:0], r.kind, size, max(0, t+Lead.Milliseconds()+r.cut.Lead))
	if size >= 5 {
		return r.frame(t)
	}
	return nil
}

// TagTime is by how much tags of sound in a cut are apart: whoever decodes them sees by a
// frame's time which tag it is from. None lasts as long.
const TagTime = 4 * time.Second

// number gives a tag of sound its number for a time. Codec configurations have none.
func (r *Reader) number(offset int64) error {
	start, err := r.src.Peek(min(2, r.size))
	if err != nil {
		return torn(err)
	}
	for r.mark < len(r.cut.Marks) && r.cut.Marks[r.mark].Offset <= offset {
		r.tag = r.cut.Marks[r.mark].Tag - r.cut.Marks[0].Tag
		r.mark++
	}
	r.pending = appendTagHeader(r.pending[:0], r.kind, r.size, int64(r.tag)*TagTime.Milliseconds())
	if len(start) == 2 && !isHeader(r.kind, start) {
		r.tag++
	}
	return nil
}

// frame looks into a video tag at repaired time t: whether it is the last that is
// wanted, and whether its composition time must be mended.
func (r *Reader) frame(t int64) error {
	start, err := r.src.Peek(5)
	if err != nil {
		return torn(err)
	}
	if start[1] != packetFrame { // a codec header is not a frame
		return nil
	}
	start = slices.Clone(start) // what is peeked again may lie elsewhere
	r.last = r.cut.Until > 0 && t >= r.cut.Until
	if r.cut.Oriented {
		if err := r.forgetOrientation(); err != nil {
			return torn(err)
		}
	}
	c := compositionOf(start)
	if c < r.cut.MinComposition || c > r.cut.MaxComposition { // as the scan did
		c = 0
		r.pending = append(r.pending, start[0], start[1], 0, 0, 0)
		r.body -= 5
		_, err = r.src.Discard(5)
		if r.body == 0 && err == nil {
			r.pending = appendTrailer(r.pending, r.size)
			_, err = r.src.Discard(tagTrailerSize)
		}
	}
	if shown := t + c; (r.cut.Whole == 0 || shown >= r.cut.Whole) && (r.cut.End == 0 || shown < r.cut.End) {
		r.frames.Add(1)
	}
	return torn(err)
}

// forgetOrientation changes the picture at hand while it is still in the buffer.
func (r *Reader) forgetOrientation() error {
	const lengthSizeMinusOne, most = 5 + 4, 4 << 10 // such messages come before the picture itself
	body, err := r.src.Peek(min(r.body, most))
	if err == nil && len(r.cut.Header) > lengthSizeMinusOne {
		h264.ForgetOrientation(body[5:], int(r.cut.Header[lengthSizeMinusOne]&3)+1)
	}
	return err
}

func torn(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func appendTagHeader(b []byte, kind byte, size int, t int64) []byte {
	return append(b, kind, byte(size>>16), byte(size>>8), byte(size),
		byte(t>>16), byte(t>>8), byte(t), byte(t>>24), 0, 0, 0)
}

func appendTrailer(b []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(tagHeaderSize+size))
}
