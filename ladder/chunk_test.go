package ladder

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

func TestChunks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		rate   flv.Rate
		length time.Duration
		gop    time.Duration
		want   string // frames at which chunks end
	}{
		{"three minutes and a bit", flv.Rate{Num: 30, Den: 1}, 190 * time.Second, 2 * time.Second, "1800 3600 5400 5700"},
		{"a tail below a segment joins the last chunk", flv.Rate{Num: 30, Den: 1}, 183 * time.Second, 2 * time.Second, "1800 3600 5490"},
		{"exact", flv.Rate{Num: 25, Den: 1}, 120 * time.Second, 2 * time.Second, "1500 3000"},
		{"29.97: chunks of 60.06 s", flv.Rate{Num: 30000, Den: 1001}, 120120 * time.Millisecond, 2002 * time.Millisecond, "1800 3600"},
		{"short", flv.Rate{Num: 30, Den: 1}, time.Second, time.Second, "30"},
		{"one frame", flv.Rate{Num: 30, Den: 1}, 33 * time.Millisecond, time.Second, "1"},
		{"keyframes rarer than chunks", flv.Rate{Num: 30, Den: 1}, 400 * time.Second, 100 * time.Second, "3060 6120 9000 12000"},
		{"a single keyframe", flv.Rate{Num: 30, Den: 1}, 400 * time.Second, time.Hour, "12000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := plan(t, index(640, 360, tc.rate, tc.length, tc.gop), profile(t, "flat"))
			var ends []string
			from := 0
			for _, c := range p.Chunks {
				ends = append(ends, fmt.Sprint(c.To))
				if c.From != from || c.From%p.SegmentFrames != 0 || c.To <= c.From {
					t.Errorf("chunk [%d, %d) behind %d", c.From, c.To, from)
				}
				from = c.To
			}
			if got := strings.Join(ends, " "); got != tc.want {
				t.Errorf("chunks end at %s, want %s", got, tc.want)
			}
			if last := p.Chunks[len(p.Chunks)-1]; !last.PadEnd || last.To != p.Frames {
				t.Errorf("last chunk %+v of %d frames", last, p.Frames)
			}
		})
	}
}

// Where audio begins before the video, or outlives it, chunks are as long as elsewhere,
// and read no more than they need.
func TestChunksBesideTheVideo(t *testing.T) {
	for _, tc := range []struct {
		name        string
		first, last time.Duration // of the video, in ten minutes
		gop         time.Duration
		chunks      int
		longest     time.Duration
	}{
		{"ends early", 0, 90 * time.Second, 2 * time.Second, 10, time.Minute},
		{"begins late", 500 * time.Second, 10 * time.Minute, 2 * time.Second, 10, time.Minute},
		{"in the middle", 290 * time.Second, 310 * time.Second, 2 * time.Second, 10, time.Minute},
		{"a single frame, long before the end", 0, time.Second / 30, time.Hour, 10, time.Minute},
		{"a single frame, at the end", 10*time.Minute - time.Second/30, 10 * time.Minute, time.Hour, 10, time.Minute},
		{"ends early, in a GOP of three chunks", 0, 190 * time.Second, time.Hour, 4, 192 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := index(640, 360, flv.Rate{Num: 30, Den: 1}, tc.last, time.Second)
			x.Video.First, x.Video.Keyframes = tc.first, nil
			for at := tc.first; at < tc.last; at += tc.gop {
				x.Video.Keyframes = append(x.Video.Keyframes, flv.Keyframe{Offset: 13 + at.Milliseconds()*100, DTS: at, PTS: at})
			}
			x.Duration, x.End = 10*time.Minute, 13+10*60*1000*100
			p := plan(t, x, profile(t, "flat"))
			if len(p.Chunks) != tc.chunks || p.Frames != 18000 || p.Chunks[len(p.Chunks)-1].To != 18000 {
				t.Errorf("%d frames, %d chunks", p.Frames, len(p.Chunks))
			}
			for _, c := range p.Chunks {
				from, to := p.Rate.Time(c.From), p.Rate.Time(c.To)
				if to-from > tc.longest || c.PadStart != (from < tc.first) || c.PadEnd != (to > tc.last || c.To == p.Frames) {
					t.Errorf("of %s to %s: %+v", tc.first, tc.last, c)
				}
				if most := (tc.longest + 2*tc.gop).Milliseconds() * 100; c.Cut.To > x.Video.End || c.Cut.To-c.Cut.From > most {
					t.Errorf("[%s, %s) reads %d bytes", from, to, c.Cut.To-c.Cut.From)
				}
			}
		})
	}
}

func TestChunkEnds(t *testing.T) {
	for _, tc := range []struct {
		recording time.Duration
		chunks    int
	}{
		{5 * time.Second, 1},
		{14 * time.Second, 1},
		{15 * time.Second, 2},
		{30 * time.Second, 4},
		{time.Minute, 7},
		{4 * time.Minute, 19},
		{10*time.Minute - time.Second, 24},
		{3595 * time.Second, 65},
		{10 * time.Minute, 25},
		{20 * time.Minute, 25},
		{20*time.Minute + time.Second, 26},
		{10 * time.Hour, 605},
		{200 * time.Hour, 12005},
	} {
		x := index(320, 180, flv.Rate{Num: 10, Den: 1}, tc.recording, time.Second)
		out, err := New(x, profile(t, "flat"), Trim{})
		if err != nil {
			t.Fatal(err)
		}
		p := divided(out, x)
		if len(p.Chunks) != tc.chunks {
			t.Errorf("%s has %d chunks, want %d", tc.recording, len(p.Chunks), tc.chunks)
		}
		least, most, next := p.Frames, 0, 0 // least: of chunks that are no pieces
		for _, c := range p.Chunks {
			if c.From != next || c.To != p.Frames && c.To%p.SegmentFrames != 0 {
				t.Errorf("%s: a chunk is [%d, %d), the one before ended at %d", tc.recording, c.From, c.To, next)
			}
			if p.Frames-c.From > 3*most+p.SegmentFrames {
				least = min(least, c.To-c.From)
			} else if c.To == p.Frames && most > 2*p.SegmentFrames && 4*(c.To-c.From) > most+6*p.SegmentFrames {
				t.Errorf("%s: the last one is [%d, %d), others have %d frames", tc.recording, c.From, c.To, most)
			}
			most, next = max(most, c.To-c.From), c.To
		}
		if next != p.Frames || most-least > 2*p.SegmentFrames {
			t.Errorf("%s: chunks of %d to %d frames, of %d in all", tc.recording, least, most, p.Frames)
		}
	}
}

// A recording that grows is divided as if it had been there as a whole: each chunk is due once all
// that is its own is there, and none waits for long.
func TestDueWhileItGrows(t *testing.T) {
	rate := flv.Rate{Num: 30000, Den: 1001}
	const whole, step = 95 * time.Second, 700 * time.Millisecond
	for _, tc := range []struct {
		name    string
		gop     time.Duration
		slowest time.Duration // from when a chunk's last moment was recorded to when it is due
		audio   func(now time.Duration) time.Duration
		holds   int
	}{
		{"usual", 2 * time.Second, 2 * time.Second, func(now time.Duration) time.Duration { return now }, 1},
		{"keyframes are rarer than segments", 10 * time.Second, 9 * time.Second, func(now time.Duration) time.Duration { return now }, 1},
		{"the audio comes late", 2 * time.Second, 6 * time.Second, func(now time.Duration) time.Duration { return max(0, now-4*time.Second) }, 1},
		{"the audio ends", 2 * time.Second, patience + 2*time.Second, func(now time.Duration) time.Duration { return min(now, 30*time.Second) }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			at := func(now time.Duration, open bool) *flv.Index {
				x := index(640, 360, rate, now, tc.gop)
				x.Open = open
				x.Audio.Marks = []flv.Mark{{Offset: 13}}
				heard := tc.audio(now)
				if !open {
					heard = tc.audio(whole + 4*time.Second)
				}
				for m := 2 * time.Second; m < heard; m += 2 * time.Second {
					x.Audio.Marks = append(x.Audio.Marks, flv.Mark{Offset: 13 + m.Milliseconds()*100, Tag: int(m.Seconds()) * 43, At: m})
				}
				if !open || now-heard > 5*time.Second { // the scan has found that it has come to a halt
					x.Audio.Marks = append(x.Audio.Marks, flv.Mark{Offset: 13 + heard.Milliseconds()*100, Tag: 99999, At: heard})
				}
				return x
			}
			p, err := New(at(12*time.Second, true), profile(t, "flat"), Trim{})
			if err != nil || !p.Grows {
				t.Fatal(p, err)
			}
			var have []Span
			var chunks []Chunk
			for now := 12 * time.Second; now < whole; now += step {
				for _, c := range p.Due(at(now, true), have) {
					if late := now - max(12*time.Second, p.Rate.Time(c.To)); late > tc.slowest+step {
						t.Errorf("chunk %v is due at %s only", c.Span, now)
					}
					chunks, have = append(chunks, c), append(have, c.Span)
				}
			}
			if len(chunks) < 7 {
				t.Errorf("%d chunks while it grew", len(chunks))
			}
			x := at(whole, false)
			chunks = append(chunks, p.Due(x, have)...)
			want := p.Due(x, nil)
			if len(chunks) != len(want) {
				t.Fatalf("%d chunks, if it had been whole %d", len(chunks), len(want))
			}
			holds := 0
			for i, c := range chunks {
				w := want[i]
				if c.PadEnd {
					holds++
				}
				if c.Number != i || c.Span != w.Span || c.PadStart != w.PadStart || c.PadEnd != w.PadEnd || c.Cut.From != w.Cut.From || c.Cut.StopAt != w.Cut.StopAt ||
					c.Audio.From != w.Audio.From || c.Audio.To != w.Audio.To || len(c.Audio.Marks) != len(w.Audio.Marks) {
					t.Errorf("%+v, if it had been whole %+v", c, w)
				}
			}
			if holds != tc.holds {
				t.Errorf("%d chunks hold their last frame", holds)
			}
			if end := p.End(x, Spans(chunks)); end.Frames != chunks[len(chunks)-1].To {
				t.Errorf("%d frames, the chunks end at %d", end.Frames, chunks[len(chunks)-1].To)
			}
		})
	}
}

// A chunk reads more than its own time: from the keyframe before it, and the audio from 6 s before it on. In an hour, whose chunks are long, that
// is little; in a few minutes, which are divided into many, it is much.
func TestBytesRead(t *testing.T) {
	for _, tc := range []struct {
		length time.Duration
		most   float64 // of the recording's bytes
	}{{4 * time.Minute, 1.75}, {time.Hour, 1.2}} {
		x := index(1280, 720, flv.Rate{Num: 30, Den: 1}, tc.length, 2*time.Second)
		x.Audio.Marks = nil
		for at := time.Duration(0); at <= tc.length; at += time.Second {
			x.Audio.Marks = append(x.Audio.Marks, flv.Mark{Offset: 13 + int64(at/time.Millisecond)*100, Tag: int(at/time.Second) * 43, At: at})
		}
		read := int64(0)
		p, err := New(x, profile(t, "flat"), Trim{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Due(x, nil) {
			from, likely, _, together := c.Cut.Span(c.Audio)
			if !together {
				t.Fatalf("%s: the chunk from frame %d reads video and audio apart", tc.length, c.From)
			}
			read += likely - from
		}
		ratio := float64(read) / float64(x.End)
		t.Logf("%s: %.2f", tc.length, ratio)
		if ratio < 1 || ratio > tc.most {
			t.Errorf("of a recording of %s, %.2f of its bytes are read, at most %.2f are wanted", tc.length, ratio, tc.most)
		}
	}
}
