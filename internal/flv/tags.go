package flv

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
)

// Tag is one tag of a file: what two recorders of one stream write alike, and what not.
type Tag struct {
	Offset int64
	Size   int64  // with its header, and what is behind it
	Kind   Kind   // of what is in it
	Time   int64  // ms, by the clock of this file
	Sum    uint64 // of its body; the same in this process only
	Key    bool   // decoding may start here
	Away   int64  // ms for which the publisher was away; of a Reconnect
}

// Kind is what a tag has.
type Kind byte

// Kinds of tag.
const (
	Other      Kind = iota // metadata, codec configuration, the publisher's goodbye
	VideoFrame             // a frame of video
	AudioFrame             // a packet of audio
	Config                 // of a codec
	Reconnect              // see [ReconnectTag]
)

// Tags reads the tags of a file that grows. Damage is passed over.
type Tags struct {
	file io.ReaderAt
	scan *Scanner
}

// ReadTags reads tags from an offset on, at which one begins; or the file, from its header on.
func ReadTags(file io.ReaderAt, from int64) *Tags {
	t := &Tags{file, NewScanner(&fileFrom{file, from})}
	t.scan.begun, t.scan.pos = from > 0, from
	return t
}

// fileFrom reads a file from an offset on, also what is written to it later.
type fileFrom struct {
	file io.ReaderAt
	at   int64
}

func (f *fileFrom) Read(b []byte) (int, error) {
	n, err := f.file.ReadAt(b, f.at)
	f.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Next is the next tag. [io.EOF]: there is no whole one yet.
func (t *Tags) Next() (Tag, error) {
	tag, err := t.next()
	if errors.Is(err, io.EOF) { // a torn tag may be cut off, and others put in its place
		t.scan.Again(&fileFrom{t.file, t.scan.pos})
	}
	return tag, err
}

func (t *Tags) next() (Tag, error) {
	s := t.scan
	if !s.begun {
		head, err := s.r.Peek(fileHeaderSize)
		if errors.Is(err, io.EOF) && len(head) < fileHeaderSize {
			return Tag{}, io.EOF
		}
		if err := s.fileHeader(); err != nil {
			return Tag{}, err
		}
		s.begun = true
	}
	whole, size, err := s.tag()
	for errors.Is(err, errDamaged) {
		if err := s.resync(); err != nil {
			return Tag{}, err
		}
		whole, size, err = s.tag()
	}
	if err != nil {
		return Tag{}, err
	}
	end := tagHeaderSize + size + tagTrailerSize
	tag := tagOf(whole[:end], s.pos)
	if _, err := s.r.Discard(end); err != nil {
		return Tag{}, s.readError(err)
	}
	s.pos += int64(end)
	return tag, nil
}

var sums = maphash.MakeSeed()

func tagOf(whole []byte, offset int64) Tag {
	body := whole[tagHeaderSize : len(whole)-tagTrailerSize]
	t := Tag{
		Offset: offset, Size: int64(len(whole)), Sum: maphash.Bytes(sums, body),
		Time: int64(whole[4])<<16 | int64(whole[5])<<8 | int64(whole[6]) | int64(whole[7])<<24,
	}
	switch kind := whole[0] & 0x1f; {
	case len(body) < 2:
	case isHeader(kind, body):
		t.Kind = Config
	case kind == tagVideo && !isEnd(body):
		t.Kind, t.Key = VideoFrame, body[0]>>4&7 == frameKey
	case kind == tagAudio:
		t.Kind = AudioFrame
	case kind == tagScript:
		if away, ok := reconnect(body); ok {
			t.Kind, t.Away = Reconnect, away
		}
	}
	return t
}

// Retime sets a whole tag's time, in ms.
func Retime(whole []byte, t int64) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(max(0, t)))
	whole[4], whole[5], whole[6], whole[7] = b[1], b[2], b[3], b[0]
}
