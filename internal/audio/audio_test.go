package audio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

const (
	rate    = 44100
	perTag  = 1024
	toneHz  = 997.0
	tagTime = float64(perTag) / rate
)

// wave is what an encoder heard at a sample of its own: the left channel counts samples (up
// to what a float holds), the right one is a tone.
func wave(n int) (left, right float32) {
	return float32(n) / (1 << 20), float32(0.5 * math.Sin(2*math.Pi*toneHz*float64(n)/rate))
}

// pcm is what decoding the tags [from, to) gives, without those that cannot be decoded.
func pcm(from, to int, lost ...int) (body []byte, frames []Frame) {
	for tag := from; tag < to; tag++ {
		if len(lost) > 0 && tag == lost[0] {
			continue
		}
		frames = append(frames, Frame{Tag: tag - from, Samples: perTag})
		for n := tag * perTag; n < (tag+1)*perTag; n++ {
			left, right := wave(n)
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(left))
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(right))
		}
	}
	return body, frames
}

// marks are every 100 tags, where the output's second is so many of the encoder's.
func marks(tags int, pace float64) (all []flv.Mark) {
	for tag := 0; ; tag = min(tag+100, tags) {
		all = append(all, flv.Mark{Tag: tag, At: time.Duration(float64(tag) * tagTime * pace * 1e9)})
		if tag == tags {
			return all
		}
	}
}

// sampleAt is the output's sample at a moment.
func sampleAt(t time.Duration, rate int) int64 { return int64(math.Round(t.Seconds() * float64(rate))) }

func placed(t *testing.T, p *Placed) (left, right []float32) {
	t.Helper()
	body, err := io.ReadAll(p)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+FrameBytes <= len(body); i += FrameBytes {
		left = append(left, math.Float32frombits(binary.LittleEndian.Uint32(body[i:])))
		right = append(right, math.Float32frombits(binary.LittleEndian.Uint32(body[i+4:])))
	}
	return left, right
}

// Where the clocks agree, no sample is lost, doubled or changed.
func TestEverySampleIsThere(t *testing.T) {
	all := marks(1000, 1)
	for _, cut := range []struct{ from, to int }{{0, 10}, {3, 7}, {9, 10}} {
		body, frames := pcm(cut.from*100, cut.to*100)
		first, last := int64(cut.from*100*perTag), int64(cut.to*100*perTag)
		left, _ := placed(t, Place(bytes.NewReader(body), rate, frames, all[cut.from:cut.to+1], rate, first, last))
		for i, got := range left {
			if want, _ := wave(int(first) + i); got != want {
				t.Fatalf("marks %v: sample %d is %g, want %g", cut, i, got, want)
			}
		}
		if len(left) != int(last-first) {
			t.Errorf("marks %v: %d samples", cut, len(left))
		}
	}
}

// Whoever decodes from whichever mark on finds the same samples at the same places, slowed or
// not, resampled or not.
func TestPlacesDoNotDependOnTheCut(t *testing.T) {
	for _, pace := range []float64{1, 1.0001, 0.995} {
		for _, out := range []int{44100, 48000} {
			t.Run(fmt.Sprintf("%g, %d Hz", pace, out), func(t *testing.T) {
				all := marks(1000, pace)
				body, frames := pcm(0, 1000)
				from := sampleAt(all[4].At, out)
				one, oneRight := placed(t, Place(bytes.NewReader(body), rate, frames, all, out, from, from+2000))
				body, frames = pcm(300, 700)
				other, otherRight := placed(t, Place(bytes.NewReader(body), rate, frames, all[3:8], out, from, from+2000))
				for i := range one {
					if math.Abs(float64(one[i]-other[i])) > 1e-6 || math.Abs(float64(oneRight[i]-otherRight[i])) > 1e-6 {
						t.Fatalf("sample %d: %g, %g and %g, %g", i, one[i], oneRight[i], other[i], otherRight[i])
					}
				}
			})
		}
	}
}

// Slowed, hurried and resampled audio is the same wave, at its new pace: what else there is
// lies 80 dB below.
func TestInterpolation(t *testing.T) {
	for _, pace := range []float64{1.0001, 0.995} {
		for _, out := range []int{44100, 48000, 32000} {
			all := marks(500, pace)
			body, frames := pcm(0, 500)
			_, right := placed(t, Place(bytes.NewReader(body), rate, frames, all, out, 1000, 100_000))
			sum := 0.0
			for i, got := range right {
				want := 0.5 * math.Sin(2*math.Pi*toneHz*float64(1000+i)/float64(out)/pace)
				sum += math.Pow(float64(got)-want, 2)
			}
			if noise := 10 * math.Log10(sum/float64(len(right))); noise > -80 {
				t.Errorf("%g, %d Hz: %.1f dBFS of noise", pace, out, noise)
			}
		}
	}
}

// Holes are silent, and as long as they were; what cannot be decoded leaves a hole of its own
// length; where there is more audio than time, the later is heard.
func TestHoles(t *testing.T) {
	body, frames := pcm(0, 300, 250)
	at := func(tag int, more time.Duration) time.Duration {
		return time.Duration(float64(tag)*tagTime*1e9) + more
	}
	all := []flv.Mark{
		{Tag: 0, At: 0}, {Tag: 100, At: at(100, 0)},
		{Tag: 100, At: at(100, time.Second), Run: at(100, time.Second)}, {Tag: 200, At: at(200, time.Second), Run: at(100, time.Second)},
		{Tag: 200, At: at(200, 0), Run: at(200, 0)}, {Tag: 300, At: at(300, 0), Run: at(200, 0)},
	}
	left, _ := placed(t, Place(bytes.NewReader(body), rate, frames, all, rate, 0, sampleAt(all[5].At, rate)+100))
	for _, tc := range []struct {
		what      string
		from, to  int // output samples
		first     int // that is heard there; -1: silence
		tolerance int
	}{
		{"before the hole", 0, 100 * perTag, 0, 0},
		{"the hole", 100 * perTag, 100*perTag + rate, -1, 0},
		{"behind it", 100*perTag + rate, 200 * perTag, 100 * perTag, 1},
		{"the later of two", 200 * perTag, 250 * perTag, 200 * perTag, 1},
		{"what cannot be decoded", 250*perTag + 1, 251*perTag - 1, -1, 0},
		{"behind that", 251*perTag + 1, 300*perTag - 1, 251*perTag + 1, 1},
		{"behind the end", 300*perTag + 1, 300*perTag + 99, -1, 0},
	} {
		for i := tc.from; i < tc.to; i++ {
			want := float32(0)
			if tc.first >= 0 {
				want, _ = wave(tc.first + i - tc.from)
			}
			if math.Abs(float64(left[i]-want)) > float64(tc.tolerance)/(1<<20)+1e-6 {
				t.Fatalf("%s: sample %d is %g, want %g", tc.what, i, left[i]*(1<<20), want*(1<<20))
			}
		}
	}
	if n := Missing(frames, all, 0, 100); n != 1 {
		t.Errorf("%d tags are missing, want 1", n)
	}
	if n := Missing(frames, all, 0, 4); n != 0 {
		t.Errorf("%d tags are missing of the first 4 s", n)
	}
}

// Audio of which nothing was decoded is silence.
func TestSilence(t *testing.T) {
	left, right := placed(t, Place(bytes.NewReader(nil), rate, nil, nil, rate, 5, 105))
	if len(left) != 100 || left[50] != 0 || right[99] != 0 {
		t.Errorf("%d samples", len(left))
	}
}

func BenchmarkPlace(b *testing.B) {
	body, frames := pcm(0, 430)
	for name, pace := range map[string]float64{"as it is": 1, "slowed": 1.0001} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, err := io.Copy(io.Discard, Place(bytes.NewReader(body), rate, frames, marks(430, pace), rate, 0, 10*rate)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(10*float64(b.N)/b.Elapsed().Seconds(), "x-realtime")
		})
	}
}

// Whatever marks and frames say, there is audio of the length that was asked for.
func TestStrangeMarks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	body, frames := pcm(0, 60)
	for n := range 3000 {
		var all []flv.Mark
		at := time.Duration(0)
		for tag := 0; tag <= 60; tag += random.IntN(9) {
			all = append(all, flv.Mark{Tag: tag, At: at, Run: at - time.Duration(random.IntN(1000))*time.Millisecond})
			at += time.Duration(random.IntN(600)-150) * time.Millisecond
		}
		from := int64(random.IntN(50_000))
		left, _ := placed(t, Place(bytes.NewReader(body), rate, frames, all, []int{44100, 48000}[n%2], from, from+9000))
		if len(left) != 9000 {
			t.Fatalf("%d samples, marks %v", len(left), all)
		}
	}
	never := []flv.Mark{{Tag: 0}, {Tag: 60, At: 1}, {Tag: 60, At: math.MaxInt64, Run: math.MinInt64}}
	if left, _ := placed(t, Place(bytes.NewReader(body), rate, frames, never, rate, 0, 100)); len(left) != 100 {
		t.Errorf("%d samples", len(left))
	}
}

// A tag may have several frames. One that is lost leaves a hole of all of them.
func TestTagsOfSeveralFrames(t *testing.T) {
	body, whole := pcm(0, 100, 50)
	var frames []Frame
	for _, f := range whole {
		frames = append(frames, Frame{Tag: f.Tag, Samples: perTag / 2}, Frame{Tag: f.Tag, Samples: perTag / 2})
	}
	left, _ := placed(t, Place(bytes.NewReader(body), rate, frames, marks(100, 1), rate, 0, 100*perTag))
	for _, tag := range []int{3, 49, 51, 99} {
		i := tag*perTag + 100
		if want, _ := wave(i); math.Abs(float64(left[i]-want)) > 1.5/(1<<20) {
			t.Errorf("tag %d: sample %d is %g, want %g", tag, i, left[i], want)
		}
	}
}
