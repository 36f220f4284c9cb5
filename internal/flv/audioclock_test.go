package flv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// tagsAt are AAC's at 44.1 kHz, n of them, whose timestamps are made of the time in ms at
// which each truly begins.
func tagsAt(n int, stamp func(i int, t float64) float64) *audioClock {
	c := &audioClock{}
	for i := range n {
		c.add(int64(100+i), int64(math.Round(stamp(i, float64(i)*1024/44.1))), 1024, 44100)
	}
	c.marks = c.known(true, int64(100+n))
	return c
}

// place is when a tag is heard, by the marks.
func place(marks []Mark, tag int) time.Duration {
	for i, b := range marks[1:] {
		if a := marks[i]; a.Tag <= tag && tag < b.Tag {
			return a.At + (b.At-a.At)*time.Duration(tag-a.Tag)/time.Duration(b.Tag-a.Tag)
		}
	}
	return marks[len(marks)-1].At
}

func TestAudioClock(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	noise := func(ms float64) float64 { return (random.Float64()*2 - 1) * ms }
	for _, tc := range []struct {
		name  string
		stamp func(i int, t float64) float64
		want  func(i int, t float64) float64 // ms; nil: what counting gives, exactly
		off   float64                        // ms
	}{
		{name: "whole milliseconds", stamp: func(_ int, t float64) float64 { return t }},
		{name: "jitter", stamp: func(_ int, t float64) float64 { return t + 20 + noise(20) }, want: func(_ int, t float64) float64 { return t + 20 }, off: 8},
		{name: "eight at once", stamp: func(_ int, t float64) float64 { return math.Floor(t/186) * 186 }, want: func(_ int, t float64) float64 { return t - 93 }, off: 30},
		{name: "100 ppm slow", stamp: func(_ int, t float64) float64 { return t * 1.0001 }, want: func(_ int, t float64) float64 { return t * 1.0001 }, off: 7},
		{name: "5000 ppm fast", stamp: func(_ int, t float64) float64 { return t * 0.995 }, want: func(_ int, t float64) float64 { return t * 0.995 }, off: 30},
		{name: "a hole", stamp: func(i int, t float64) float64 { return t + float64(i/4000)*700 }, want: func(i int, t float64) float64 { return t + float64(i/4000)*700 }, off: 1},
		{name: "more audio than time", stamp: func(i int, t float64) float64 { return t - float64(i/4000)*300 }, want: func(i int, t float64) float64 { return t - float64(i/4000)*300 }, off: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const n = 8000 // 3 minutes
			c := tagsAt(n, tc.stamp)
			if last := c.marks[len(c.marks)-1]; last.Tag != n || last.Offset != 100+n {
				t.Fatalf("it ends with %+v", last)
			}
			for i := range n {
				truly := float64(i) * 1024 / 44.1
				got := float64(place(c.marks, i)) / 1e6
				want, off := truly, 1e-3
				if tc.want != nil {
					want, off = tc.want(i, truly), tc.off
				}
				if math.Abs(got-want) > off {
					t.Fatalf("tag %d is heard at %.4f ms, it should be at %.4f", i, got, want)
				}
			}
		})
	}
}

// Which tags came before doesn't move those that have a place: an index only grows.
func TestAudioClockOnlyGrows(t *testing.T) {
	stamp := func(i int, t float64) float64 { return t*1.001 + float64(i/1000)*400 }
	whole := fmt.Sprint(tagsAt(6000, stamp).marks)
	for _, n := range []int{500, 1000, 1010, 3333} {
		marks := tagsAt(n, stamp).marks
		for _, m := range marks[:max(0, len(marks)-4)] { // those of the last second are of what is still to come, too
			if at := fmt.Sprint(m); !strings.Contains(whole, at) {
				t.Errorf("of %d tags: %s is not a mark of the whole", n, at)
			}
		}
	}
}

// Audio whose tags don't say how long they are is followed by their times.
func TestAudioClockOfUnknownLength(t *testing.T) {
	c := &audioClock{}
	for i := range 3000 {
		c.add(int64(i), int64(i)*20+int64(i%3), 0, 8000)
	}
	c.marks = c.known(true, 3000)
	for i := range 3000 {
		if got := place(c.marks, i); (got - time.Duration(i)*20*time.Millisecond - time.Millisecond).Abs() > 5*time.Millisecond {
			t.Fatalf("tag %d is heard at %s", i, got)
		}
	}
}

// Over two hours at 100 ppm, audio stays where it belongs.
func TestAudioClockForHours(t *testing.T) {
	const hours = 2 * 3600 * 44100 / 1024
	for _, pace := range []float64{1.0001, 0.9999} {
		c := tagsAt(hours, func(_ int, t float64) float64 { return t * pace })
		for i := 0; i < hours; i += 100 {
			if off := float64(place(c.marks, i))/1e6 - float64(i)*1024/44.1*pace; math.Abs(off) > 10 {
				t.Fatalf("%g: tag %d is %.1f ms off", pace, i, off)
			}
		}
	}
}
