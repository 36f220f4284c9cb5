package flv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"
)

// frameTimes walks an FLV and returns the times of its frames, and of what kind
// its tags are. It knows nothing of the package's own walking.
func frameTimes(t *testing.T, b []byte) (times []int64, kinds map[byte]int) {
	t.Helper()
	kinds = map[byte]int{}
	for p := 13; p < len(b); {
		size := int(b[p+1])<<16 | int(b[p+2])<<8 | int(b[p+3])
		at := int64(b[p+4])<<16 | int64(b[p+5])<<8 | int64(b[p+6]) | int64(b[p+7])<<24
		if got := binary.BigEndian.Uint32(b[p+11+size:]); got != uint32(11+size) {
			t.Fatalf("tag at %d: trailer says %d, the tag is %d long", p, got, 11+size)
		}
		kinds[b[p]]++
		if b[p+12] == 1 {
			times = append(times, at)
		}
		p += 15 + size
	}
	return times, kinds
}

func cutBytes(t *testing.T, whole []byte, c Cut) []byte {
	t.Helper()
	out, err := io.ReadAll(c.Reader(bytes.NewReader(whole[c.From:c.To])))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVideoCut(t *testing.T) {
	r := newRecording().headers()
	r.seconds(500, 60, 50) // a keyframe every 2 s, the clock starts at 500 ms
	whole := r.Bytes()
	x := scan(t, whole)
	for _, tc := range []struct {
		from, to    time.Duration
		first, last int64 // times of the first and last frame in it, in ms
	}{
		{0, 12 * time.Second, 0, 12_280},
		{12 * time.Second, 24 * time.Second, 12_000, 24_280},
		{11900 * time.Millisecond, 24 * time.Second, 10_000, 24_280},
		{48 * time.Second, 60 * time.Second, 48_000, 59_960},
		{58 * time.Second, 70 * time.Second, 58_000, 59_960},
	} {
		c := x.VideoCut(tc.from, tc.to)
		times, kinds := frameTimes(t, cutBytes(t, whole, c))
		lead := TimestampBias.Milliseconds()
		if times[0] != tc.first+lead || times[len(times)-1] != tc.last+lead {
			t.Errorf("[%s, %s): frames from %d to %d, want %d to %d", tc.from, tc.to, times[0]-lead, times[len(times)-1]-lead, tc.first, tc.last)
		}
		if want := int(tc.last-tc.first)/40 + 1; len(times) != want {
			t.Errorf("[%s, %s): %d frames, want %d", tc.from, tc.to, len(times), want)
		}
		if kinds[tagAudio] > 0 || kinds[tagVideo] != len(times)+1 { // and one header
			t.Errorf("[%s, %s): tags %v", tc.from, tc.to, kinds)
		}
		if _, err := io.Copy(io.Discard, c.Reader(bytes.NewReader(whole[c.From:max(c.LikelyEnd, c.From)]))); c.StopAt > 0 && err != nil {
			t.Errorf("[%s, %s): bytes up to %d are not enough: %v", tc.from, tc.to, c.LikelyEnd, err)
		}
		if size := c.To - c.From; tc.to < 60*time.Second && size > x.End*19/60 {
			t.Errorf("[%s, %s): %d bytes of %d", tc.from, tc.to, size, x.End)
		}
	}
}

// Behind the video, a cut is the last GOP: none of the audio that goes on is read.
func TestVideoCutBehindTheVideo(t *testing.T) {
	r := newRecording().headers()
	end := r.seconds(0, 10, 50)
	size := int64(r.Len()) // the last tags are audio
	for at := end; at < 10*end; at += 20 {
		r.audio(at, 100)
	}
	x := scan(t, r.Bytes())
	for _, to := range []time.Duration{12 * time.Second, 40 * time.Second, 100 * time.Second} {
		c := x.VideoCut(to-2*time.Second, to)
		times, _ := frameTimes(t, cutBytes(t, r.Bytes(), c))
		if c.To != x.Video.End || c.To >= size || len(times) != 50 || times[0] != (8*time.Second+TimestampBias).Milliseconds() {
			t.Errorf("up to %s: [%d, %d) of video of %d bytes, %d frames from %d on", to, c.From, c.To, size, len(times), times[0])
		}
	}
}

// Wherever a recording is cut, the cuts together show every frame in its place.
func TestCutsCoverEverything(t *testing.T) {
	r := newRecording().headers()
	at := r.seconds(0, 7, 200) // an 8 s GOP, then jumps
	at = r.seconds(at+3_600_000, 9, 50)
	r.seconds(at-200_000, 11, 25)
	whole := r.Bytes()
	x := scan(t, whole)
	all, _ := frameTimes(t, cutBytes(t, whole, x.VideoCut(0, x.Duration)))
	seen := map[int64]bool{}
	for from := time.Duration(0); from < x.Duration; from += 3 * time.Second {
		times, _ := frameTimes(t, cutBytes(t, whole, x.VideoCut(from, from+3*time.Second)))
		for _, at := range times {
			seen[at] = true
		}
		begin, end := (from + TimestampBias).Milliseconds(), (from + 3*time.Second + TimestampBias).Milliseconds()
		for _, at := range all {
			if at >= begin && at < end && !seen[at] {
				t.Fatalf("frame at %d is not in the cut from %s", at, from)
			}
		}
	}
	if len(seen) != len(all) || len(all) != 27*25 {
		t.Errorf("%d of %d frames seen", len(seen), len(all))
	}
}

func TestAudioCut(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 5, 50)
	r.seconds(1_000_000, 5, 50)
	whole := r.Bytes()
	times, kinds := frameTimes(t, cutBytes(t, whole, scan(t, whole).AudioCut(0, time.Hour)))
	if len(times) != 500 || kinds[tagVideo] > 0 || kinds[tagAudio] != 501 { // and one header
		t.Errorf("%d frames, tags %v", len(times), kinds)
	}
	for i, at := range times {
		if want := int64(i) * TagTime.Milliseconds(); at != want {
			t.Errorf("tag %d is at %d ms, not %d", i, at, want)
		}
	}
}

// A frame that starts late is in the cut of every chunk before it.
func TestVideoCutBeforeFirstFrame(t *testing.T) {
	r := newRecording()
	r.tag(tagAudio, 0, aacStereo44100)
	for i := range int64(400) {
		r.audio(i*25, 100)
	}
	r.tag(tagVideo, 10_000, avc640x360)
	r.seconds(10_000, 10, 50)
	whole := r.Bytes()
	times, _ := frameTimes(t, cutBytes(t, whole, scan(t, whole).VideoCut(0, 6*time.Second)))
	if first := times[0] - TimestampBias.Milliseconds(); first != 10_000 {
		t.Errorf("the first frame is at %d", first)
	}
}

// A codec header that is repeated near a cut's end does not pass for its last frame.
func TestVideoCutEndsWithFrame(t *testing.T) {
	r := newRecording().headers()
	at := r.seconds(0, 7, 25)
	r.tag(tagVideo, at, avc640x360)
	r.seconds(at, 7, 25)
	whole := r.Bytes()
	times, _ := frameTimes(t, cutBytes(t, whole, scan(t, whole).VideoCut(0, 6750*time.Millisecond)))
	if last := times[len(times)-1] - TimestampBias.Milliseconds(); last != 7000 {
		t.Errorf("the last frame is at %d", last)
	}
}

// A flipped bit in a composition time moves nothing by hours, in the index or in
// what ffmpeg gets to see.
func TestCompositionTimes(t *testing.T) {
	r := newRecording()
	r.tag(tagVideo, 0, avc640x360)
	for i := range int64(100) {
		offset := int32(80)
		if i == 70 {
			offset = 80 + 1<<22
		}
		r.frame(i*40, i%50 == 0, offset, 100)
	}
	whole := r.Bytes()
	x := scan(t, whole)
	if x.Duration > 4100*time.Millisecond {
		t.Errorf("duration %s", x.Duration)
	}
	again := scan(t, cutBytes(t, whole, x.VideoCut(0, x.Duration)))
	if again.Duration != x.Duration || again.Video.Frames != 100 {
		t.Errorf("cut out: %d frames, %s", again.Video.Frames, again.Duration)
	}
}

// Audio that ends long before the video is not looked for to the end.
func TestAudioCutIsNoLongerThanTheAudio(t *testing.T) {
	r := newRecording().headers()
	at := r.seconds(0, 5, 50)
	for i := range int64(1000) {
		r.frame(at+i*40, i%50 == 0, 0, 500)
	}
	if c := scan(t, r.Bytes()).AudioCut(0, time.Hour); c.To > int64(r.Len())/2 {
		t.Errorf("cut [%d, %d) of %d bytes", c.From, c.To, r.Len())
	}
}

func TestCutReaderBreaks(t *testing.T) {
	r := newRecording().headers()
	r.seconds(0, 20, 50)
	whole := r.Bytes()
	c := scan(t, whole).VideoCut(6*time.Second, 12*time.Second)
	part := whole[c.From:c.To]
	for _, n := range []int{0, 5, 11, 300, len(part) / 2} {
		if _, err := io.ReadAll(c.Reader(bytes.NewReader(part[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("source ends after %d bytes: %v", n, err)
		}
	}
	other := bytes.Repeat([]byte{0xee}, len(part))
	if _, err := io.ReadAll(c.Reader(bytes.NewReader(other))); err == nil {
		t.Error("bytes of another file were taken for the recording")
	}
}

func FuzzScan(f *testing.F) {
	small := func(header []byte, times ...int64) []byte { // small seeds mutate well
		r := newRecording()
		r.tag(tagVideo, 0, header)
		r.tag(tagAudio, 0, aacStereo44100)
		for i, at := range times {
			r.frame(at, i%3 == 0, 67, 3)
			r.audio(at, 3)
		}
		return r.Bytes()
	}
	f.Add(small(avc640x360, 0, 400, 800, 1200, 1600, 2000, 2400))
	f.Add(small(avc640x322, 0, 40, 500_000, 500_040, 500_080, 20, 60))
	torn := small(avc640x360, 0, 40, 80)
	f.Add(torn[:len(torn)-9])
	f.Add(newRecording().Bytes())
	hole := small(avc640x360, 0, 40, 80, 120, 160, 200)
	clear(hole[len(hole)/2 : len(hole)/2+20])
	f.Add(hole)
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Scan(bytes.NewReader(b))
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("an error that is no refusal: %v", err)
			}
			return
		}
		if x.End > x.Size || x.Size != int64(len(b)) || x.Duration < 0 {
			t.Fatalf("end %d, size %d of %d, duration %s", x.End, x.Size, len(b), x.Duration)
		}
		if x.Duration > 0 {
			body, err := x.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseIndex(body, x.Size); err != nil || !reflect.DeepEqual(again, x) {
				t.Fatalf("the index comes back as %+v, %v; it was %+v", again, err, x)
			}
		}
		var cuts []Cut
		if x.Video != nil {
			cuts = append(cuts, x.VideoCut(0, time.Second), x.VideoCut(x.Duration/2, x.Duration))
		}
		if x.Audio != nil {
			cuts = append(cuts, x.AudioCut(0, time.Hour))
		}
		for _, c := range cuts {
			out, err := io.ReadAll(c.Reader(bytes.NewReader(b[c.From:c.To])))
			if err != nil {
				t.Fatalf("cut %+v: %v", c, err)
			}
			frameTimes(t, out)
		}
	})
}
