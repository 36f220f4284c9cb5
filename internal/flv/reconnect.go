package flv

import (
	"encoding/binary"
	"io"
	"math"
	"time"
)

// A publisher that loses its connection and comes back makes the recorder begin another file, whose timestamps begin
// at zero. It becomes part of the recording before it by having its tags put behind the others. In place of its
// header, a script tag says where that is, and for how long the publisher was away:
// players pass over it, and a scan begins a new epoch there, instead of guessing one from the timestamps.

// HeaderSize is how many bytes a file has before its first tag.
const HeaderSize = fileHeaderSize

const reconnected = "\x02\x00\x12afterliveReconnect\x00" // a name, and what kind of value follows: a number (AMF 0)

// ReconnectTag is the tag that stands for the header of a file that goes on with another one, whose publisher was away for so
// long. All such tags are of [ReconnectTagSize].
func ReconnectTag(away time.Duration) []byte {
	size := len(reconnected) + 8
	tag := append(appendTagHeader(nil, tagScript, size, 0), reconnected...)
	tag = binary.BigEndian.AppendUint64(tag, math.Float64bits(float64(max(0, away).Milliseconds())))
	return appendTrailer(tag, size)
}

// ReconnectTagSize is in bytes.
const ReconnectTagSize = tagHeaderSize + len(reconnected) + 8 + tagTrailerSize

// reconnect reads such a tag's body: for how many ms the publisher was away.
func reconnect(body []byte) (away int64, ok bool) {
	if len(body) != len(reconnected)+8 || string(body[:len(reconnected)]) != reconnected {
		return 0, false
	}
	value := math.Float64frombits(binary.BigEndian.Uint64(body[len(reconnected):]))
	if !(value >= 0 && value < float64(wrap)) {
		value = 0
	}
	return int64(value), true
}

// SaysGoodbye tells whether a recording's last tag is an end of sequence: an encoder sends it when it is told to stop, and cannot where it dies or
// loses its connection. Not all do. ffmpeg sends AVC's (AVCPacketType 2, annex E.4.3.1), OBS that of enhanced RTMP (SequenceEnd).
func SaysGoodbye(file io.ReaderAt, size int64) (bool, error) {
	const body = 5
	var last [tagHeaderSize + body + tagTrailerSize]byte
	if size < int64(len(last)) {
		return false, nil
	}
	if _, err := file.ReadAt(last[:], size-int64(len(last))); err != nil {
		return false, err
	}
	return last[0] == tagVideo && sizeOf(last[:]) == body && closed(last[:], body) && isEnd(last[tagHeaderSize:]), nil
}

// isEnd tells whether a video tag's body is an end of sequence.
func isEnd(body []byte) bool {
	const endOfSequence = 2
	if body[0]&exHeader != 0 {
		return body[0]&0x0f == endOfSequence
	}
	return body[0]&0x0f == codecAVC && body[1] == endOfSequence
}

// EndsWhole tells whether a recording ends behind a whole tag, by the size that it says behind it.
func EndsWhole(file io.ReaderAt, size int64) (bool, error) {
	var trailer [tagTrailerSize]byte
	var head [tagHeaderSize]byte
	if size <= fileHeaderSize {
		return size == fileHeaderSize, nil
	}
	if _, err := file.ReadAt(trailer[:], size-tagTrailerSize); err != nil {
		return false, err
	}
	length := int64(binary.BigEndian.Uint32(trailer[:]))
	at := size - tagTrailerSize - length
	if length < tagHeaderSize || at < fileHeaderSize {
		return false, nil
	}
	if _, err := file.ReadAt(head[:], at); err != nil {
		return false, err
	}
	return isTag(head[:]) && int64(sizeOf(head[:])) == length-tagHeaderSize, nil
}
