package flv

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
	"time"
)

// plainAudio is a recording of AAC-LC at 44.1 kHz: so many tags, of which each has its number.
func plainAudio(tags int, size func(n int) int) *recording {
	r := newRecording()
	r.tag(tagVideo, 0, avc640x360)
	r.tag(tagAudio, 0, aacStereo44100)
	for n := range tags {
		at := int64(math.Round(float64(n) * aacFrame / 44.1))
		if n%43 == 0 {
			r.frame(at, true, 0, 200)
		}
		body := make([]byte, 2+size(n))
		body[0], body[1], body[2], body[3] = 0xaf, 1, byte(n>>8), byte(n)
		r.tag(tagAudio, at, body)
		if n%50 == 20 {
			r.tag(tagAudio, at, nil) // nobody counts those
			r.tag(tagAudio, at, aacStereo44100)
		}
	}
	return r
}

// A cut's packets are its tags', by number, whatever lies between them; one that is too large for ADTS is
// none.
func TestPackets(t *testing.T) {
	r := plainAudio(400, func(n int) int { return map[bool]int{false: 100, true: maxPacket + 1}[n == 300] })
	whole := r.Bytes()
	x := scan(t, whole)
	if !x.Audio.Plain() || !x.Audio.Steady() || x.Audio.Bytes != 399*102+maxPacket+3 {
		t.Fatalf("plain %t, steady %t, %d bytes", x.Audio.Plain(), x.Audio.Steady(), x.Audio.Bytes)
	}
	c := x.AudioCut(4*time.Second, 8*time.Second)
	const from, to = 60, 380
	all, err := c.Packets(bytes.NewReader(whole[c.From:c.To]), from, to)
	if err != nil || c.Marks[0].Tag < from || c.Marks[len(c.Marks)-1].Tag > to {
		t.Fatalf("the tags %d to %d: %v", c.Marks[0].Tag, c.Marks[len(c.Marks)-1].Tag, err)
	}
	for i, packet := range all {
		there := from+i >= c.Marks[0].Tag && from+i < c.Marks[len(c.Marks)-1].Tag && from+i != 300
		switch n := from + i; {
		case !there:
			if packet != nil {
				t.Errorf("packet %d has %d bytes", n, len(packet))
			}
		case len(packet) != 100 || int(packet[0])<<8|int(packet[1]) != n:
			t.Fatalf("packet %d is %x", n, packet)
		}
	}
	for _, n := range []int{5, 40, int(c.To-c.From) - 3} {
		if _, err := c.Packets(bytes.NewReader(whole[c.From:c.From+int64(n)]), 0, 1000); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the source ends after %d bytes: %v", n, err)
		}
	}
}

// A tag that is missing is a hole, if only of 23 ms.
func TestAudioIsSteady(t *testing.T) {
	usual := func(int) int { return 100 }
	whole := plainAudio(4000, usual).Bytes()
	if !scan(t, whole).Audio.Steady() {
		t.Error("what comes by the clock is not steady")
	}
	x := scan(t, whole)
	at := x.AudioCut(20*time.Second, 21*time.Second).From
	size := int64(tagHeaderSize + 102 + tagTrailerSize)
	if scan(t, append(bytes.Clone(whole[:at]), whole[at+size:]...)).Audio.Steady() {
		t.Error("a tag is missing, and the audio is steady")
	}
}
