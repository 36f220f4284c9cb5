package flv

import (
	"bufio"
	"io"
	"slices"
)

// AudioSidecar copies the tags of an audio cut aside, so that a recording is read once for
// video and audio.
type AudioSidecar struct {
	from Cut // the recording
	to   Cut // what was copied: as from, but for offsets
	out  io.Writer
	done bool

	mark, change int // behind those that are placed
}

// NewAudioSidecar is one of an audio cut, to be written to out.
func NewAudioSidecar(c Cut, out io.Writer) *AudioSidecar {
	e := &AudioSidecar{from: c, to: c, out: out}
	e.to.From, e.to.To, e.to.Skip = 0, 0, nil
	e.to.Marks, e.to.Changes = slices.Clone(c.Marks), slices.Clone(c.Changes)
	return e
}

// Cut is the cut of what was copied, when all was.
func (e *AudioSidecar) Cut() Cut {
	e.place(e.from.To) // what is behind the last tag
	return e.to
}

// Done tells whether all of it was copied.
func (e *AudioSidecar) Done() bool { return e.done }

// From copies the audio of src, which must deliver the bytes of the cut.
func (e *AudioSidecar) From(src io.Reader) error {
	r := &Reader{cut: Cut{From: e.from.To}, src: bufio.NewReaderSize(src, 64<<10), pos: e.from.From, skip: e.from.Skip, kind: tagVideo, audio: e}
	return r.Rest()
}

// take copies a tag of size bytes, whose header was read, if it is in the cut.
func (e *AudioSidecar) take(offset int64, head []byte, body *bufio.Reader, size int) error {
	if offset < e.from.From || offset >= e.from.To {
		_, err := body.Discard(size + tagTrailerSize)
		return torn(err)
	}
	e.place(offset)
	if _, err := e.out.Write(head); err != nil {
		return err
	}
	if _, err := io.CopyN(e.out, body, int64(size+tagTrailerSize)); err != nil {
		return torn(err)
	}
	e.to.To += int64(len(head) + size + tagTrailerSize)
	return nil
}

// place notes where the marks and headers up to an offset of the recording are copied to.
func (e *AudioSidecar) place(upTo int64) {
	for ; e.mark < len(e.from.Marks) && e.from.Marks[e.mark].Offset <= upTo; e.mark++ {
		e.to.Marks[e.mark].Offset = e.to.To
	}
	for ; e.change < len(e.from.Changes) && e.from.Changes[e.change].Offset <= upTo; e.change++ {
		e.to.Changes[e.change].Offset = e.to.To
	}
}
