package flv

import (
	"bytes"
	"testing"
	"time"
)

// goOn puts another file's tags behind the recording's, as follow does.
func (r *recording) goOn(other *recording, away time.Duration) {
	r.Write(ReconnectTag(away))
	r.Write(other.Bytes()[HeaderSize:])
}

// A publisher that comes back is on the same timeline, closed up, with audio and video as far apart as its own clock
// has them, whatever that is.
func TestReconnect(t *testing.T) {
	for name, tc := range map[string]struct {
		from   int64 // ms, of the second file's clock
		audio  int64 // ms, by which its audio is behind its video
		first  int   // seconds of the first file
		silent bool  // that has no audio
		late   int   // frames of the second file before its audio comes, of the same time
	}{
		"from zero":                     {first: 10},
		"audio first":                   {audio: -60, first: 10},
		"video first":                   {audio: 90, first: 10},
		"a first file of half a second": {first: 0},
		"audio comes late in the file":  {first: 10, audio: 0, late: 3 * 25},
		"a clock that went on":          {from: 25_000, first: 10},
		"a clock a day ahead":           {from: 86_400_000, first: 10},
		"audio comes with the second":   {first: 10, silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecording().headers()
			if tc.silent {
				r = newRecording()
				r.tag(tagVideo, 0, avc640x360)
			}
			for i := range max(12, tc.first*25) {
				at := int64(i) * 40
				r.frame(at, i%50 == 0, 0, 500)
				if !tc.silent {
					r.audio(at, 100)
					r.audio(at+20, 100)
				}
			}
			second := newRecording().headers()
			from := tc.from + max(0, -tc.audio)
			for i := range 250 {
				at := from + int64(i)*40
				if tc.audio < 0 {
					second.audio(at+tc.audio, 100)
					second.audio(at+tc.audio+20, 100)
				}
				second.frame(at, i%50 == 0, 0, 500)
				if at := from + int64(i-tc.late)*40; tc.audio >= 0 && i >= tc.late {
					second.audio(at+tc.audio, 100)
					second.audio(at+tc.audio+20, 100)
				}
			}
			behind := int64(r.Len())
			r.goOn(second, 7*time.Second)
			x := scan(t, r.Bytes())
			if len(x.Gaps) != 1 || !x.Gaps[0].Reconnect || x.Gaps[0].Lost != 7*time.Second {
				t.Fatalf("gaps %+v", x.Gaps)
			}
			frames := max(12, tc.first*25)
			want := time.Duration(frames+250) * 40 * time.Millisecond
			if d := x.Duration - want; d < -100*time.Millisecond || d > 250*time.Millisecond || x.Video.Dropped > 0 || x.Video.Frames != frames+250 {
				t.Errorf("%s of %s, %d frames, %d dropped", x.Duration, want, x.Video.Frames, x.Video.Dropped)
			}
			var key Keyframe
			for _, k := range x.Video.Keyframes {
				if k.Offset > behind {
					key = k
					break
				}
			}
			var heard time.Duration
			for _, m := range x.Audio.Marks { // the last of one tag is where it begins
				if m.Offset >= behind && (heard == 0 || m.Tag == frames*2 && !tc.silent) {
					heard = m.At
				}
			}
			if apart := heard - key.PTS - time.Duration(tc.audio)*time.Millisecond; apart.Abs() > time.Millisecond {
				t.Errorf("audio from %s, video from %s: %s more than they were apart; marks %v", heard, key.PTS, apart, x.Audio.Marks)
			}
		})
	}
}

// A publisher that comes back with codecs that cannot be decoded costs what it sends then, and not what was there before.
func TestReconnectWithOtherCodecs(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 10, 50)
	want := scan(t, r.Bytes())
	second := newRecording()
	for i := range int64(100) {
		second.tag(tagVideo, i*40, []byte{0x1c, 1, 0, 0, 0, 1, 2, 3}) // HEVC
		second.tag(tagAudio, i*40, []byte{0x2f, 1, 2, 3})             // MP3
	}
	r.goOn(second, time.Second)
	x := scan(t, r.Bytes())
	if x.Video.Frames != want.Video.Frames || x.Audio.Frames != want.Audio.Frames || len(x.Missing) != 2 || x.Missing[0].Tags != 100 || x.Missing[1].Tags != 100 {
		t.Errorf("%d and %d frames of %d and %d; missing %+v", x.Video.Frames, x.Audio.Frames, want.Video.Frames, want.Audio.Frames, x.Missing)
	}
}

// The tag is one that a reader of FLV passes over, and a scan that finds the same many times doesn't grow with them.
func TestReconnectTag(t *testing.T) {
	tag := ReconnectTag(90 * time.Second)
	if len(tag) != ReconnectTagSize || !closed(tag, sizeOf(tag)) || !isTag(tag) {
		t.Errorf("%d bytes, want %d: % x", len(tag), ReconnectTagSize, tag)
	}
	if away, ok := reconnect(tag[tagHeaderSize : len(tag)-tagTrailerSize]); !ok || away != 90_000 {
		t.Errorf("away %d ms, %v", away, ok)
	}
	r := newRecording().headers()
	r.seconds(0, 10, 50)
	want := scan(t, r.Bytes()).Duration
	for range 3000 {
		r.Write(tag)
	}
	if x := scan(t, r.Bytes()); x.Duration != want || len(x.Gaps) > 1 || x.Epochs() != 1 {
		t.Errorf("%s of %s, gaps %d, epochs %d", x.Duration, want, len(x.Gaps), x.Epochs())
	}
}

func TestGoodbye(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 1, 50)
	for _, tc := range []struct {
		name           string
		last           []byte
		goodbye, whole bool
	}{
		{"a frame", nil, false, true},
		{"an end of sequence", []byte{9, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0x17, 2, 0, 0, 0, 0, 0, 0, 16}, true, true},
		{"an end of sequence by enhanced RTMP", []byte{9, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0xa2, 'a', 'v', 'c', '1', 0, 0, 0, 16}, true, true},
		{"an empty frame", []byte{9, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0x17, 1, 0, 0, 0, 0, 0, 0, 16}, false, true},
		{"a torn tag", []byte{9, 0, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0x17, 2, 0, 0}, false, false},
		{"zeros", make([]byte, 64), false, false},
	} {
		body := append(bytes.Clone(r.Bytes()), tc.last...)
		goodbye, err := SaysGoodbye(bytes.NewReader(body), int64(len(body)))
		if err != nil || goodbye != tc.goodbye {
			t.Errorf("%s: goodbye %v, %v", tc.name, goodbye, err)
		}
		if x := scan(t, body); len(x.Missing) > 0 {
			t.Errorf("%s: missing %+v", tc.name, x.Missing)
		}
		if whole, err := EndsWhole(bytes.NewReader(body), int64(len(body))); err != nil || whole != tc.whole {
			t.Errorf("%s: whole %v, %v", tc.name, whole, err)
		}
	}
	for n := range 40 { // whatever a file of a few bytes has
		if bye, err := SaysGoodbye(bytes.NewReader(r.Bytes()[:n]), int64(n)); bye || err != nil {
			t.Errorf("%d bytes: %v, %v", n, bye, err)
		}
		if _, err := EndsWhole(bytes.NewReader(r.Bytes()[:n]), int64(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
