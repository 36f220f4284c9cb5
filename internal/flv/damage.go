package flv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Range is the bytes [From, To) of a recording.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// A tag says how long it is, twice: before its body and behind it. Where the two
// differ and no tag follows either, bytes were lost, zeroed or flipped.
var errDamaged = errors.New("this is not a tag")

const (
	maxTag    = 1<<24 - 1 + tagHeaderSize + tagTrailerSize // a size has 24 bits
	maxDamage = 10_000
)

// tag looks at the tag at hand, without taking it: whole starts with it and, where
// there is more, the header behind it. io.EOF: nothing is left.
func (s *Scanner) tag() (whole []byte, size int, err error) {
	head, err := s.peek(tagHeaderSize)
	if len(head) < tagHeaderSize {
		return nil, 0, s.readError(err)
	}
	if !isKind(head[0] & 0x1f) {
		return nil, 0, errDamaged
	}
	size = sizeOf(head)
	end := tagHeaderSize + size + tagTrailerSize
	whole, err = s.peek(end + tagHeaderSize)
	if err != nil && err != io.EOF { //nolint:errorlint // see readError
		return nil, 0, s.readError(err)
	}
	if len(whole) < end && !s.ended { // it is being written
		return nil, 0, io.EOF
	}
	if len(whole) < end { // torn, or its size is a lie
		return nil, 0, errDamaged
	}
	next := whole[end:]
	if closed(whole, size) || (len(next) == tagHeaderSize && isTag(next)) {
		return whole, size, nil
	}
	return nil, 0, errDamaged
}

// peek is the reader's, with a larger buffer from the first tag on that needs it, though not for the
// largest that there can be: many recordings may be scanned at once.
func (s *Scanner) peek(n int) ([]byte, error) {
	if n > s.r.Size() {
		s.r = bufio.NewReaderSize(s.r, min(maxTag+tagHeaderSize, max(n, 4*s.r.Size())))
	}
	return s.r.Peek(n)
}

func isKind(kind byte) bool { return kind == tagAudio || kind == tagVideo || kind == tagScript }

func sizeOf(head []byte) int { return int(head[1])<<16 | int(head[2])<<8 | int(head[3]) }

// isTag tells whether a tag's header can start here: its stream's number is zero.
func isTag(head []byte) bool {
	return isKind(head[0]) && head[8] == 0 && head[9] == 0 && head[10] == 0
}

// closed tells whether the size behind a tag is that before it.
func closed(whole []byte, size int) bool {
	return binary.BigEndian.Uint32(whole[tagHeaderSize+size:]) == uint32(tagHeaderSize+size)
}

// resync goes on to the next whole tag behind what is none. io.EOF: there is none,
// so the rest is a torn tail.
func (s *Scanner) resync() error {
	if len(s.damage) == maxDamage {
		return refuse(BadHeader, "its bytes are damaged in more than %d places", maxDamage)
	}
	s.r = bufio.NewReaderSize(s.r, maxTag+tagHeaderSize)
	passed := int64(0)
	for from := 1; ; from = 0 {
		window, err := s.r.Peek(s.r.Size())
		if err != nil && err != io.EOF { //nolint:errorlint // see readError
			return s.readError(err)
		}
		if at := firstTag(window, from); at >= 0 {
			if _, err := s.r.Discard(at); err != nil {
				return s.readError(err)
			}
			s.pass(passed + int64(at))
			return nil
		}
		if err != nil && !s.ended { // what there is may be passed for good, and the next tag may come
			s.pass(passed)
			return io.EOF
		}
		if err != nil {
			s.partial = passed
			return io.EOF
		}
		n, err := s.r.Discard(len(window) / 2) // a tag may end behind the window
		passed += int64(n)
		if err != nil {
			return s.readError(err)
		}
	}
}

// pass leaves out n bytes.
func (s *Scanner) pass(n int64) {
	to := s.pos + n
	switch last := len(s.damage) - 1; {
	case n == 0:
	case last >= 0 && s.damage[last].To == s.pos:
		s.damage[last].To = to
	default:
		s.damage = append(s.damage, Range{s.pos, to})
	}
	s.pos = to
}

// firstTag finds a whole tag in b, at from or behind; -1: there is none.
func firstTag(b []byte, from int) int {
	for at := from; at+tagHeaderSize+tagTrailerSize <= len(b); at++ {
		if !isTag(b[at:]) {
			continue
		}
		size := sizeOf(b[at:])
		if size > 0 && at+tagHeaderSize+size+tagTrailerSize <= len(b) && closed(b[at:], size) {
			return at
		}
	}
	return -1
}
