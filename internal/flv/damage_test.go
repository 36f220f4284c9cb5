package flv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// offsets are where an audio recording's tags start.
func offsets(b []byte) (all []int) {
	for at := fileHeaderSize; at < len(b); at += tagHeaderSize + sizeOf(b[at:]) + tagTrailerSize {
		all = append(all, at)
	}
	return all
}

// Damage costs what it hits, and nothing behind it.
func TestScanDamage(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 20, 50)
	good := scan(t, r.Bytes())
	tags := offsets(r.Bytes())
	middle := tags[len(tags)/2]
	for _, tc := range []struct {
		name   string
		damage func(b []byte) []byte
		places int
		lost   int // frames, at most
		torn   bool
	}{
		{"20 KiB of zeros", func(b []byte) []byte { clear(b[middle+5 : middle+5+20<<10]); return b }, 1, 30, false},
		{"20 KiB are missing", func(b []byte) []byte { return append(b[:middle+5], b[middle+5+20<<10:]...) }, 1, 30, false},
		{"a hole in the first tags", func(b []byte) []byte { clear(b[tags[3] : tags[3]+2000]); return b }, 1, 50, false},
		{"a tag says that it is empty", func(b []byte) []byte { clear(b[middle+1 : middle+4]); return b }, 1, 1, false},
		{"a tag says that it has 16 MB", func(b []byte) []byte { copy(b[middle+1:], "\xff\xff\xff"); return b }, 1, 1, false},
		{"a tag is of no kind", func(b []byte) []byte { b[middle] = 0x7e; return b }, 1, 1, false},
		{"all sizes behind tags are wrong", func(b []byte) []byte {
			for _, at := range tags[:len(tags)-1] {
				binary.BigEndian.PutUint32(b[at+tagHeaderSize+sizeOf(b[at:]):], 7)
			}
			return b
		}, 0, 0, false},
		{"hundreds of places", func(b []byte) []byte {
			for i := 10; i < len(tags); i++ {
				if i%3 == 0 && i < 3010 {
					b[tags[i]] = 0x7e
				}
			}
			return b
		}, 500, 250, false},
		{"rubbish at the end", func(b []byte) []byte { return append(b, bytes.Repeat([]byte{8, 0, 1}, 100_000)...) }, 0, 0, true},
		{"zeros at the end", func(b []byte) []byte { return append(b, make([]byte, 20<<20)...) }, 0, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := tc.damage(bytes.Clone(r.Bytes()))
			x := scan(t, b)
			if lost := good.Video.Frames - x.Video.Frames; lost > tc.lost {
				t.Errorf("%d frames are lost", lost)
			}
			if n := len(x.Damage); n < min(1, tc.places) || n > tc.places {
				t.Errorf("damaged in %d places", n)
			}
			if off := (good.Duration - x.Duration).Abs(); off > 100*time.Millisecond {
				t.Errorf("it lasts %s, %s when whole", x.Duration, good.Duration)
			}
			if x.Size != int64(len(b)) || (x.Size > x.End) != tc.torn {
				t.Errorf("size %d of %d, end %d", x.Size, len(b), x.End)
			}
			cut := x.VideoCut(0, x.Duration)
			times, _ := frameTimes(t, cutBytes(t, b, cut))
			if len(times) != x.Video.Frames {
				t.Errorf("the cut has %d frames, the scan found %d", len(times), x.Video.Frames)
			}
			if a := x.AudioCut(0, time.Hour); len(cutBytes(t, b, a)) == 0 {
				t.Error("no audio")
			}
		})
	}
}

// Bits that flip anywhere never break the scan, and cost little.
func TestScanBitFlips(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 60, 50)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		b := bytes.Clone(r.Bytes())
		for range 200 { // as 2,000 in 8 MB
			b[500+random.IntN(len(b)-500)] ^= 1 << random.IntN(8)
		}
		x, err := Scan(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if x.Video.Frames < 1450 || (x.Duration-time.Minute).Abs() > 3*time.Second {
			t.Errorf("seed %d: %d frames of 1500, %s, %d epochs, damaged in %d places", seed, x.Video.Frames, x.Duration, x.Epochs(), len(x.Damage))
		}
		cutBytes(t, b, x.VideoCut(0, x.Duration))
	}
}

// One bad tag refuses nothing, wherever it is: of no track, of another codec, or a
// header that cannot be read.
func TestScanOneBadTag(t *testing.T) {
	for name, bad := range map[string]func(r *recording, at int64){
		"audio where there is none": func(r *recording, at int64) { r.tag(tagAudio, at, []byte{0x17, 1, 0, 0, 0, 9}) },
		"another codec":             func(r *recording, at int64) { r.tag(tagVideo, at, []byte{0x14, 1, 2, 3, 4, 5}) },
		"enhanced":                  func(r *recording, at int64) { r.tag(tagVideo, at, []byte("\x90hvc1\x00")) },
		"an empty header":           func(r *recording, at int64) { r.tag(tagVideo, at, []byte{0x17, 0, 0, 0, 0}) },
		"an info frame":             func(r *recording, at int64) { r.tag(tagVideo, at, []byte{0x57, 0}) },
		"an empty AAC header":       func(r *recording, at int64) { r.tag(tagAudio, at, []byte{0xaf, 0}) },
	} {
		for _, first := range []bool{true, false} {
			r := newRecording()
			if first {
				bad(r, 0)
			}
			r.tag(tagVideo, 0, avc640x360)
			for i := range int64(50) {
				r.frame(i*40, i%25 == 0, 0, 100)
				if i == 20 && !first {
					bad(r, i*40)
				}
			}
			x, err := Scan(bytes.NewReader(r.Bytes()))
			if err != nil || x.Video.Frames != 50 || x.Audio != nil {
				t.Errorf("%s, first %t: %+v, %v", name, first, x, err)
				continue
			}
			if cut := x.VideoCut(time.Second, 2*time.Second); !bytes.Equal(cut.Header, avc640x360) {
				t.Errorf("%s: a cut begins with the header %x", name, cut.Header)
			}
		}
	}
}

// A crafted file doesn't fill the memory.
func TestScanBoundsItsIndex(t *testing.T) {
	r := newRecording().headers()
	for i := range int64(maxEpochs + 100) {
		r.frame(i%2*1_000_000, true, 0, 1)
	}
	var refused *Error
	if _, err := Scan(bytes.NewReader(r.Bytes())); !errors.As(err, &refused) || refused.Reason != BadHeader {
		t.Errorf("got %v", err)
	}
}

// The video's size changes on the way: all sizes are known.
func TestScanSizes(t *testing.T) {
	r := newRecording().headers()
	at := r.seconds(0, 2, 50)
	r.tag(tagVideo, at, avc640x322)
	at = r.seconds(at, 2, 50)
	r.tag(tagVideo, at, []byte{0x17, 0, 0, 0, 0, 1, 66, 0, 30, 0xff, 0xe0, 0}) // no SPS in it
	r.seconds(at, 2, 50)
	x := scan(t, r.Bytes())
	if v := x.Video; len(v.Forms) != 2 || v.Forms[0].Size() != "640x360" || v.Forms[1].Size() != "640x322" || v.Forms[0].Frames != 50 || v.Frames != 150 {
		t.Errorf("forms %+v, %d frames", v.Forms, v.Frames)
	}
}
