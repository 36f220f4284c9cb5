package flv

import (
	"bytes"
	"encoding/hex"
	"io"
	"testing"
)

// Codec headers as encoders send them.
var (
	avc640x360      = unhex("17000000000142c01effe100196742c01ed890280bfe5c0440000003004000000c83c58b898001000568c888cb20")
	avc640x322      = unhex("17000000000164001effe1001e6764001eacd940a02bf88ffc0284028040000003004000000f03c58b658001000568ebecb22cfcf8f800") // SAR 161:160
	aacStereo44100  = unhex("af001210")
	aacStereo51200  = unhex("af001780640010") // whose frames last 20 ms, whole ones
	keyframeStart   = []byte{0x17, 1}
	interFrameStart = []byte{0x27, 1}
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// recording builds FLV bytes tag by tag.
type recording struct{ bytes.Buffer }

func newRecording() *recording {
	r := &recording{}
	r.WriteString("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
	return r
}

func (r *recording) tag(kind byte, t int64, body []byte) {
	r.Write(appendTagHeader(nil, kind, len(body), t))
	r.Write(body)
	r.Write(appendTrailer(nil, len(body)))
}

func (r *recording) headers() *recording {
	r.tag(tagVideo, 0, avc640x360)
	r.tag(tagAudio, 0, aacStereo51200)
	return r
}

// frame adds a video frame of n bytes, shown composition ms after t.
func (r *recording) frame(t int64, key bool, composition int32, n int) {
	start := interFrameStart
	if key {
		start = keyframeStart
	}
	body := append(bytes.Clone(start), byte(composition>>16), byte(composition>>8), byte(composition))
	r.tag(tagVideo, t, append(body, make([]byte, n)...))
}

func (r *recording) audio(t int64, n int) {
	r.tag(tagAudio, t, append([]byte{0xaf, 1}, make([]byte, n)...))
}

// seconds adds s seconds of 25 fps video with a keyframe every gop frames, and
// audio, from time t on. It returns the time behind.
func (r *recording) seconds(t int64, s, gop int) int64 {
	for i := range s * 25 {
		at := t + int64(i)*40
		r.frame(at, i%gop == 0, 0, 500)
		r.audio(at, 100)
		r.audio(at+20, 100)
	}
	return t + int64(s)*1000
}

func scan(t *testing.T, b []byte) *Index {
	t.Helper()
	x, err := Scan(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// endless is a recording that is made as it is read: header once, then the same
// seconds again and again, with timestamps that go on.
type endless struct {
	buf   bytes.Buffer
	made  int64
	until int64 // seconds
}

func newEndless(seconds int64) *endless {
	e := &endless{until: seconds}
	e.buf.Write(newRecording().headers().Bytes())
	return e
}

func (e *endless) Read(p []byte) (int, error) {
	for e.buf.Len() == 0 {
		if e.made == e.until {
			return 0, io.EOF
		}
		r := recording{}
		r.seconds(e.made*1000, 1, 50)
		e.buf.Write(r.Bytes())
		e.made++
	}
	return e.buf.Read(p)
}
