package flv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestScan(t *testing.T) {
	r := newRecording().headers()
	r.seconds(1000, 10, 50)
	x := scan(t, r.Bytes())
	v, a := x.Video, x.Audio
	if f := v.Forms[0]; len(v.Forms) != 1 || f.Size() != "640x360" || f.SARNum != 1 || f.SARDen != 1 || f.Frames != 250 || f.Time != 9960*time.Millisecond {
		t.Errorf("forms %+v", v.Forms)
	}
	if v.Rate != (Rate{25, 1}) || v.Frames != 250 || len(v.Keyframes) != 5 {
		t.Errorf("rate %s, %d frames, %d keyframes", v.Rate, v.Frames, len(v.Keyframes))
	}
	if a.Codec != "aac" || a.SampleRate != 51200 || a.Channels != 2 || a.Frames != 500 {
		t.Errorf("audio %+v", a)
	}
	if v.First != 0 || v.Last != 9960*time.Millisecond || x.Duration < 10*time.Second || x.Duration > 10010*time.Millisecond {
		t.Errorf("first %s, last %s, duration %s", v.First, v.Last, x.Duration)
	}
	if x.End != int64(r.Len()) || x.Size != x.End || x.Epochs() != 1 {
		t.Errorf("end %d, size %d of %d, epochs %v", x.End, x.Size, r.Len(), x.Epochs())
	}
	if k := v.Keyframes[1]; k.PTS != 2*time.Second || r.Bytes()[k.Offset] != tagVideo {
		t.Errorf("second keyframe %+v", k)
	}
}

func TestScanKinds(t *testing.T) {
	for _, tc := range []struct {
		name         string
		make         func(*recording)
		video, audio bool
		duration     time.Duration
	}{
		{"audio only", func(r *recording) {
			r.tag(tagAudio, 0, aacStereo44100)
			for i := range int64(100) {
				r.audio(i*23, 100)
			}
		}, false, true, 2300 * time.Millisecond},
		{"video only", func(r *recording) {
			r.tag(tagVideo, 0, avc640x360)
			for i := range int64(50) {
				r.frame(i*40, i == 0, 0, 100)
			}
		}, true, false, 2 * time.Second},
		{"video starts late", func(r *recording) {
			r.tag(tagAudio, 0, aacStereo44100)
			for i := range int64(100) {
				r.audio(i*23, 100)
			}
			r.tag(tagVideo, 2300, avc640x360)
			for i := range int64(50) {
				r.frame(2300+i*40, i == 0, 0, 100)
			}
		}, true, true, 4300 * time.Millisecond},
		{"frames before the first keyframe", func(r *recording) {
			r.tag(tagVideo, 0, avc640x360)
			for i := range int64(100) {
				r.frame(i*40, i == 50, 0, 100)
			}
		}, true, false, 2 * time.Second},
		{"metadata and unknown packet types", func(r *recording) {
			r.tag(tagScript, 0, []byte("\x02\x00\x0aonMetaData\x05"))
			r.headers()
			r.seconds(0, 2, 50)
			r.tag(tagVideo, 2000, []byte{0x17, 2, 0, 0, 0}) // end of sequence
			r.tag(tagVideo, 2000, []byte{0x57, 0})          // info frame
		}, true, true, 2 * time.Second},
		{"B-frames", func(r *recording) {
			r.tag(tagVideo, 0, avc640x360)
			for i := range int64(50) {
				r.frame(i*40, i == 0, 80, 100)
			}
		}, true, false, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRecording()
			tc.make(r)
			x := scan(t, r.Bytes())
			if (x.Video != nil) != tc.video || (x.Audio != nil) != tc.audio {
				t.Errorf("video %v, audio %v", x.Video, x.Audio)
			}
			if off := x.Duration - tc.duration; off < -time.Millisecond || off > 25*time.Millisecond {
				t.Errorf("duration %s, want %s", x.Duration, tc.duration)
			}
			if x.Video != nil && x.Audio == nil && x.Video.First != 0 {
				t.Errorf("first frame at %s", x.Video.First)
			}
		})
	}
}

func TestScanRefuses(t *testing.T) {
	with := func(bodies ...[]byte) []byte {
		r := newRecording()
		for i, body := range bodies {
			kind := byte(tagVideo)
			if body[0] == 0xaf || body[0] == 0xc2 || body[0] == 0x92 {
				kind = tagAudio
			}
			r.tag(kind, int64(i)*40, body)
		}
		return r.Bytes()
	}
	for _, tc := range []struct {
		name   string
		input  []byte
		reason Code
	}{
		{"empty", nil, NotFLV},
		{"text", []byte("once upon a time there was a stream"), NotFLV},
		{"MP4", []byte("\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"), NotFLV},
		{"HLS playlist", []byte("#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n"), NotFLV},
		{"short header", []byte("FLV\x01\x05\x00"), NotFLV},
		{"header only", newRecording().Bytes(), ZeroDuration},
		{"headers only", newRecording().headers().Bytes(), NoKeyframe},
		{"AAC header only", with(aacStereo44100), ZeroDuration},
		{"no keyframe", with(avc640x360, []byte{0x27, 1, 0, 0, 0, 1}), NoKeyframe},
		{"keyframe without configuration", with([]byte{0x17, 1, 0, 0, 0, 1}), NoKeyframe},
		{"Sorenson", with([]byte{0x22, 0, 0, 0, 0}), UnsupportedCodec},
		{"enhanced HEVC", with([]byte{0x90, 'h', 'v', 'c', '1', 0}), UnsupportedCodec},
		{"enhanced AV1", with([]byte{0x90, 'a', 'v', '0', '1', 0}), UnsupportedCodec},
		{"H.264, then HEVC", with(append([][]byte{avc640x360, {0x17, 1, 0, 0, 0, 1}}, slices.Repeat([][]byte{{0x90, 'h', 'v', 'c', '1', 0}}, 20)...)...), UnsupportedCodec},
		{"audio of no format", with([]byte{0xc2, 0, 0}), UnsupportedCodec},
		{"AAC without configuration", with([]byte{0xaf, 1, 9, 9}), BadHeader},
		{"AAC of a scalable kind", with([]byte{0xaf, 0, 0x32, 0x10}), UnsupportedCodec},
		{"enhanced audio", with([]byte{0x92, 'O', 'p', 'u', 's'}), UnsupportedCodec},
		{"H.264 configuration without SPS", with([]byte{0x17, 0, 0, 0, 0, 1, 66, 0, 30, 0xff, 0xe0, 0}), BadHeader},
		{"H.264 configuration cut short", with([]byte{0x17, 0, 0, 0, 0, 1}), BadHeader},
		{"AAC at no rate", with([]byte{0xaf, 0, 0x17, 0x80, 0, 0, 0, 0}), BadHeader},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Scan(bytes.NewReader(tc.input))
			var refused *Error
			if !errors.As(err, &refused) || refused.Reason != tc.reason {
				t.Fatalf("got %v, want reason %s", err, tc.reason)
			}
			if refused.Detail == "" {
				t.Error("no detail for people")
			}
		})
	}
}

// A recorder that is killed leaves a torn tag, at any byte.
func TestScanTornTail(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 1, 25)
	whole := r.Bytes()
	frames := scan(t, whole).Video.Frames
	for cut := len(whole) - 700; cut <= len(whole); cut++ {
		x := scan(t, whole[:cut])
		if x.End > int64(cut) || x.Size != int64(cut) {
			t.Fatalf("cut at %d: end %d, size %d", cut, x.End, x.Size)
		}
		if x.Video.Frames < frames-1 {
			t.Fatalf("cut at %d: %d frames of %d", cut, x.Video.Frames, frames)
		}
		if again := scan(t, whole[:x.End]); again.Video.Frames != x.Video.Frames || again.Size != again.End {
			t.Fatalf("cut at %d: what is kept is torn itself", cut)
		}
	}
}

func TestScanReadError(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 1, 25)
	for _, broken := range []error{errors.New("connection reset"), fmt.Errorf("gave up: %w", io.EOF), fmt.Errorf("gave up: %w", io.ErrUnexpectedEOF)} {
		for _, cut := range []int{r.Len(), r.Len() - 5, r.Len() / 2} {
			_, err := Scan(io.MultiReader(bytes.NewReader(r.Bytes()[:cut]), errReader{broken}))
			if !errors.Is(err, broken) {
				t.Errorf("got %v: %v must not look like the end", err, broken)
			}
		}
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestClockRepair(t *testing.T) {
	for _, tc := range []struct {
		name   string
		second int64 // raw time at which the second 10 s start
		epochs int
		total  time.Duration
	}{
		{"goes on", 10_000, 1, 20 * time.Second},
		{"a second's pause", 11_000, 1, 21 * time.Second},
		{"an hour ahead", 3_610_000, 2, 20 * time.Second},
		{"a day ahead", 86_410_000, 2, 20 * time.Second},
		{"15 s back", 0, 2, 20 * time.Second},
		{"reset to zero", 0, 2, 20 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRecording().headers()
			r.seconds(0, 10, 50)
			r.seconds(tc.second, 10, 50)
			x := scan(t, r.Bytes())
			if x.Epochs() != tc.epochs {
				t.Errorf("epochs %v", x.Epochs())
			}
			if off := (x.Duration - tc.total).Abs(); off > 60*time.Millisecond {
				t.Errorf("duration %s, want %s", x.Duration, tc.total)
			}
			if x.Video.Frames != 500 || x.Video.Rate != (Rate{25, 1}) {
				t.Errorf("%d frames at %s", x.Video.Frames, x.Video.Rate)
			}
		})
	}
	t.Run("wraps at 2^32", func(t *testing.T) {
		r := newRecording().headers()
		r.seconds(int64(1)<<32-5000, 10, 50)
		x := scan(t, r.Bytes())
		if off := x.Duration - 10*time.Second; x.Epochs() != 2 || off < 0 || off > 10*time.Millisecond {
			t.Errorf("epochs %v, duration %s: a wrap is no jump", x.Epochs(), x.Duration)
		}
	})
	t.Run("tags of both kinds straddle the wrap", func(t *testing.T) {
		r := newRecording().headers()
		begin := int64(1)<<32 - 5000
		for i := range int64(250) {
			r.frame(begin+i*40, i%50 == 0, 0, 500)
			r.audio(begin+i*40-30, 100) // it comes a little late
		}
		if x := scan(t, r.Bytes()); len(x.Gaps) > 0 || x.Duration.Round(100*time.Millisecond) != 10*time.Second {
			t.Errorf("gaps %v, duration %s", x.Gaps, x.Duration)
		}
	})
	t.Run("audio begins behind a burst of frames", func(t *testing.T) {
		r := newRecording().headers()
		for i := range int64(100) { // a relay hands out its last GOP first
			r.frame(i*40, i%50 == 0, 0, 500)
		}
		for i := range int64(250) {
			r.audio(i*20, 100)
		}
		if x := scan(t, r.Bytes()); x.Epochs() != 1 || len(x.Gaps) > 0 || x.Audio.First() != 0 {
			t.Errorf("epochs %v, gaps %v, audio from %s", x.Epochs(), x.Gaps, x.Audio.First())
		}
	})
	t.Run("the tracks have no common zero", func(t *testing.T) {
		r := newRecording().headers()
		for i := range int64(250 * 24) { // 4 minutes
			r.frame(36_000_000+i*40, i%50 == 0, 0, 500)
			r.audio(i*40, 100)
			r.audio(i*40+20, 100)
		}
		x := scan(t, r.Bytes())
		if x.Epochs() != 1 || x.Video.Rate != (Rate{25, 1}) || x.Duration.Round(100*time.Millisecond) != 4*time.Minute || x.Audio.First().Abs() > 50*time.Millisecond {
			t.Errorf("%d epochs, %s fps, %s, audio from %s", x.Epochs(), x.Video.Rate, x.Duration, x.Audio.First())
		}
	})
	for name, back := range map[string]int64{"the video starts anew 47 s before the audio": 47_000, "3 s before": 3000, "an hour before": 3_600_000} {
		t.Run(name, func(t *testing.T) {
			r := newRecording().headers()
			for i := range int64(250 * 24) {
				at := 4_000_000 + i*40
				if i >= 1175 {
					at -= back
				}
				r.frame(at, i%50 == 0, 0, 500)
				r.audio(4_000_000+i*40, 100)
				r.audio(4_000_000+i*40+20, 100)
			}
			x := scan(t, r.Bytes())
			if x.Epochs() != 2 || len(x.Audio.Marks) > 130 || x.Video.Frames != 6000 || x.Duration.Round(100*time.Millisecond) != 4*time.Minute {
				t.Errorf("%d epochs, %d marks, %s", x.Epochs(), len(x.Audio.Marks), x.Duration)
			}
			if last := x.Video.Keyframes[len(x.Video.Keyframes)-1]; (last.PTS - 238*time.Second).Abs() > 50*time.Millisecond {
				t.Errorf("the last keyframe is shown at %s", last.PTS)
			}
			if place := place(x.Audio.Marks, 11900); (place - 238*time.Second).Abs() > 50*time.Millisecond {
				t.Errorf("the audio beside it is heard at %s", place)
			}
		})
	}
	t.Run("both start anew, the video first", func(t *testing.T) {
		r := newRecording().headers()
		r.seconds(500_000, 10, 50)
		r.frame(0, true, 0, 500)
		r.audio(80, 100) // audio is 80 ms behind from then on
		for i := int64(1); i < 250; i++ {
			r.frame(i*40, i%50 == 0, 0, 500)
			r.audio(i*40+60, 100)
			r.audio(i*40+80, 100)
		}
		x := scan(t, r.Bytes())
		frame, audio := x.Video.Keyframes[9].PTS, place(x.Audio.Marks, 500+2*200)
		if d := audio - frame; d < 40*time.Millisecond || d > 120*time.Millisecond {
			t.Errorf("the frame is shown at %s, its audio heard at %s", frame, audio)
		}
	})
	t.Run("a frame every 5 s, and no audio", func(t *testing.T) {
		r := newRecording().headers()
		for i := range int64(10) {
			r.frame(i*5000, true, 0, 500)
		}
		x := scan(t, r.Bytes())
		if x.Epochs() != 1 || x.Duration != 50*time.Second || x.Video.Rate != (Rate{1, 1}) {
			t.Errorf("epochs %v, duration %s, %s fps", x.Epochs(), x.Duration, x.Video.Rate)
		}
	})
	t.Run("video pauses, audio goes on", func(t *testing.T) {
		r := newRecording().headers()
		r.seconds(0, 4, 50)
		for i := range int64(500) {
			r.audio(4000+i*20, 100)
		}
		r.seconds(14_000, 4, 50)
		if x := scan(t, r.Bytes()); x.Epochs() != 1 || x.Duration.Round(time.Second) != 18*time.Second {
			t.Errorf("epochs %v, duration %s", x.Epochs(), x.Duration)
		}
	})
}

func TestRate(t *testing.T) {
	for _, want := range gridRates {
		for _, drop := range []int{0, 50, 7} {
			c := &cadence{}
			for n := range 600 {
				if drop > 0 && n%drop == 3 {
					continue
				}
				jitter := int64(n*7%3) - 1
				c.add(int64(float64(n)*1000/want.FPS()+0.5) + jitter)
			}
			if got, _, _ := c.rate(); got != want {
				t.Errorf("%s fps, one of %d frames dropped: got %s", want, drop, got)
			}
		}
	}
	if got, _, _ := (&cadence{}).rate(); got != (Rate{30, 1}) {
		t.Errorf("no frames: %s", got)
	}
}

func TestRateFrame(t *testing.T) {
	if got := (Rate{Num: 25, Den: 1}).Frame(math.MinInt64); got >= 0 {
		t.Errorf("the least time is at frame %d", got)
	}
	for _, r := range gridRates {
		week := int(r.FPS() * 7 * 24 * 3600)
		for n := 0; n < week; n += 1 + n/1000 {
			if got := r.Frame(r.Time(n)); got != n {
				t.Fatalf("%s fps: frame %d starts at %s, which is frame %d", r, n, r.Time(n), got)
			}
		}
		if got := r.Time(week).Round(time.Second); got != 7*24*time.Hour {
			t.Errorf("%s fps: a week of frames lasts %s", r, got)
		}
	}
}

// The scan holds one buffer: its memory does not grow with the recording.
func TestScanMemory(t *testing.T) {
	grown := func(seconds int64) uint64 {
		var before, after runtime.MemStats
		source := newEndless(seconds)
		runtime.GC()
		runtime.ReadMemStats(&before)
		x, err := Scan(source)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if x.Duration.Round(time.Second) != time.Duration(seconds)*time.Second {
			t.Fatalf("scanned %s of %d s", x.Duration, seconds)
		}
		runtime.KeepAlive(x)
		return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
	}
	short, long := grown(10), grown(7200)
	t.Logf("heap after 10 s: %d bytes, after 2 h: %d bytes", short, long)
	if perHour := int64(long-short) / 2; perHour > 200<<10 { // 1,800 keyframes an hour, 24 bytes each, and room to append
		t.Errorf("the index of an hour takes %d bytes", perHour)
	}
}

func BenchmarkScan(b *testing.B) {
	// A stream of 6 Mbit/s: 25 frames of 30 kB a second, and audio.
	r := newRecording().headers()
	for i := range int64(50 * 25) {
		r.frame(i*40, i%50 == 0, 0, 30_000)
		r.audio(i*40, 180)
		r.audio(i*40+20, 180)
	}
	b.SetBytes(int64(r.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Scan(bytes.NewReader(r.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
