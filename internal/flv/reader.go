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
	"sync/atomic"
	"time"

	"afterlive.alt/internal/h264"
)

// Reader is what [Cut.Reader] makes.
type Reader struct {
	cut     Cut
	src     *bufio.Reader
	kind    byte
	codec   byte
	pos     int64 // in the recording, of the next tag
	skip    []Range
	epoch   int           // of the next frame
	audio   *AudioSidecar // gets the audio too, if it is set
	done    bool          // no more frames are wanted
	mark    int           // behind the next audio tag
	tag     int           // its number
	pending []byte        // to hand out before anything else
	body    int           // bytes of the tag's body still to hand out
	size    int           // of that body
	last    bool          // the tag at hand is the last
	frames  atomic.Int64
}

// Reader turns src, which must deliver the bytes [From, To) of the recording,
// into a standalone FLV of one track: frames on the repaired timeline plus [TimestampBias] and the
// cut's own; of audio, tag n of the recording at (n - the first mark's) * [TagTime]. It
// reads no more of src than it needs. A src that ends early gives io.ErrUnexpectedEOF.
func (c Cut) Reader(src io.Reader) *Reader {
	r := &Reader{cut: c, src: bufio.NewReaderSize(src, 64<<10), pos: c.From, skip: c.Skip, kind: tagVideo, codec: codecAVC}
	flags := byte(1)
	if c.Audio {
		r.kind, r.codec, flags = tagAudio, c.audioFormat(), 4
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

// ReaderBeside is a reader of frames from src, which must deliver the bytes of [Span], that
// has the audio on its way extracted.
func (c Cut) ReaderBeside(src io.Reader, audio *AudioSidecar) *Reader {
	r := c.Reader(src)
	r.pos, r.audio = min(c.From, audio.from.From), audio
	r.skip = slices.Concat(c.Skip, audio.from.Skip)
	slices.SortFunc(r.skip, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	r.skip = slices.Compact(r.skip)
	return r
}

// Rest extracts what there is of the audio behind the last frame.
func (r *Reader) Rest() error {
	if r.body > 0 { // of a frame that nobody wants any more
		if _, err := r.src.Discard(r.body + tagTrailerSize); err != nil {
			return torn(err)
		}
	}
	r.done, r.body = true, 0
	for r.audio != nil && r.pos < r.audio.from.To {
		if err := r.next(); err != nil {
			return err
		}
	}
	if r.audio != nil {
		r.audio.done = true
	}
	return nil
}

// metadata is an onMetaData (annex E.5) that tells of the frame rate, as an array of AMF 0.
// Without it, ffmpeg leaves out a frame that no other follows, if the stream itself
// doesn't say how long one lasts.
func metadata(r Rate) []byte {
	b := []byte("\x02\x00\x0aonMetaData\x08\x00\x00\x00\x01\x00\x09framerate\x00")
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(r.FPS()))
	return append(b, 0, 0, 9)
}

// maxSkip is how many bytes of the other track, or of damage, one Read may pass
// over.
const maxSkip = 16 << 20

// FrameCount is how many frames of a cut were handed out so far that must be decoded. It may be asked
// while the reader is read.
func (r *Reader) FrameCount() int { return int(r.frames.Load()) }

func (r *Reader) Read(p []byte) (int, error) {
	for began := r.pos; len(r.pending) == 0 && r.body == 0; {
		if r.last || r.pos >= r.cut.To {
			return 0, io.EOF
		}
		if r.pos-began > maxSkip {
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
		n := min(maxSkip, r.skip[0].To-r.pos)
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
	if kind == tagAudio && r.audio != nil {
		return r.audio.take(offset, head[:], r.src, size)
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
	r.pending = appendTagHeader(r.pending[:0], r.kind, size, max(0, t+TimestampBias.Milliseconds()+r.cut.Bias))
	if size >= 5 {
		return r.frame(t)
	}
	return nil
}

// TagTime is by how much audio tags in a cut are apart: whoever decodes them sees by a
// frame's time which tag it is from. None lasts as long.
const TagTime = 4 * time.Second

// number gives an audio tag its number for a time. Codec configurations have none.
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
	r.last = r.cut.StopAt > 0 && t >= r.cut.StopAt
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

// forgetOrientation changes the frame at hand while it is still in the buffer.
func (r *Reader) forgetOrientation() error {
	const lengthSizeMinusOne, most = 5 + 4, 4 << 10 // such messages come before the frame's slices
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
