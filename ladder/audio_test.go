package ladder

import (
	"math"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// Every packet is in one segment, whatever the rates, and none is heard more than its own
// length after its segment's time.
func TestPackets(t *testing.T) {
	for _, rate := range []flv.Rate{{Num: 25, Den: 1}, {Num: 30000, Den: 1001}, {Num: 12, Den: 1}} {
		for _, hz := range []int{44100, 48000} {
			for _, shift := range []int{0, 1, 500, PacketSamples - 1} {
				p := &Plan{Rate: rate, Audio: &Audio{Rate: hz, Copy: &CopiedAudio{Shift: shift}}}
				if p.Packet(0) != 0 || p.PacketTicks(0) != int64(StartOffset*hz-PacketSamples+shift) {
					t.Errorf("the first packet is %d, at %d", p.Packet(0), p.PacketTicks(0))
				}
				for frame := 1; frame < 1_000_000; frame += 997 {
					heard := float64(p.PacketTicks(p.Packet(frame)))/float64(hz) - StartOffset
					if late := heard - float64(frame)/rate.FPS(); late < -1e-9 || late >= float64(PacketSamples)/float64(hz) {
						t.Fatalf("%s fps, %d Hz, shifted by %d: the audio of frame %d begins %g s late", rate, hz, shift, frame, late)
					}
				}
			}
		}
	}
}

// The stretches of all chunks cover all packets once, and each is encoded from before it to
// behind it.
func TestStretches(t *testing.T) {
	own := profile(t, "flat")
	own.Chunk = 3 * time.Minute
	p := plan(t, index(1280, 720, flv.Rate{Num: 30000, Den: 1001}, 10*time.Minute+17*time.Second, 2*time.Second), own)
	next := 0
	for k, c := range p.Chunks {
		for _, s := range p.Stretches(c) {
			if s.From != next || s.To <= s.From || s.Priming != min(s.From, primingPackets) || s.First != int64(s.From-s.Priming)*PacketSamples || s.Last <= int64(s.To)*PacketSamples {
				t.Errorf("chunk %d: stretch %+v behind packet %d", k, s, next)
			}
			from, to := p.Heard(s)
			if cut := c.Audio.Narrow(from, to); len(cut.Marks) < 2 || cut.Marks[0].At > max(0, from) || k+1 < len(p.Chunks) && cut.Marks[len(cut.Marks)-1].At < to {
				t.Errorf("chunk %d: [%s, %s) is heard, and the cut has %+v", k, from, to, cut.Marks)
			}
			if to-from > 70*time.Second {
				t.Errorf("chunk %d: %s are decoded at once", k, to-from)
			}
			next = s.To
		}
	}
	if next != p.Packet(p.Frames) {
		t.Errorf("there are %d packets, the chunks have %d", p.Packet(p.Frames), next)
	}
}

// A last segment that is shorter than a packet has none, and is no stretch of its own.
func TestNoEmptyStretch(t *testing.T) {
	own := profile(t, "flat")
	own.Chunk = time.Hour
	empty := 0
	for n := range 120 {
		rate := []flv.Rate{{Num: 50, Den: 1}, {Num: 60, Den: 1}, {Num: 60000, Den: 1001}}[n%3]
		segments := 10 * (n/3 + 1)
		frames := segments*int(math.Round(2*rate.FPS()))*3 + 1
		p := plan(t, index(640, 360, rate, rate.Time(frames)+time.Millisecond, 2*time.Second), own)
		all := p.Stretches(p.Chunks[0])
		for _, s := range all {
			if s.From >= s.To {
				t.Errorf("%d frames: stretch %+v", p.Frames, s)
			}
		}
		if last := all[len(all)-1]; last.To != p.Packet(p.Frames) {
			t.Errorf("%d frames: the last stretch is %+v", p.Frames, last)
		}
		if len(all) == segments/10 {
			empty++
		}
	}
	if empty == 0 {
		t.Error("no last segment was shorter than a packet")
	}
}

// What ebur128 says, as ffmpeg 5.1 puts it.
const said = `frame:0    pts:0       pts_time:0
lavfi.r128.M=-120.691
lavfi.r128.true_peaks_ch0=0.044
lavfi.r128.true_peaks_ch1=0.5
frame:1    pts:4410    pts_time:0.1
lavfi.r128.M=-23.04
lavfi.r128.S=-23.04
frame:2    pts:8820    pts_time:0.2
lavfi.r128.M=-inf
frame:3    pts:13230   pts_time:0.3
lavfi.r128.M=-nan
`

func TestParseLoudness(t *testing.T) {
	l, err := ParseLoudness(strings.NewReader(said), 0.1, 1)
	if err != nil || l.Blocks[-230] != 1 || len(l.Blocks) != 1 || math.Abs(l.Peak - -6.02) > 0.01 {
		t.Errorf("got %+v, %v", l, err)
	}
	if _, err := ParseLoudness(strings.NewReader("frame:0 pts_time:x"), 0, 1); err == nil {
		t.Error("a time that is none is taken")
	}
}

// The gates of BS.1770: what is silent, or 10 LU below the rest, doesn't count.
func TestIntegratedLoudness(t *testing.T) {
	for _, tc := range []struct {
		name   string
		blocks map[int]int
		want   float64
		heard  bool
	}{
		{"nothing", nil, 0, false},
		{"silence", map[int]int{-1200: 50, -700: 3}, 0, false},
		{"steady", map[int]int{-230: 100}, -23, true},
		{"steady, and silence", map[int]int{-230: 100, -900: 1000}, -23, true},
		{"steady, and quiet", map[int]int{-230: 100, -400: 100}, -23, true},
		{"two in one", map[int]int{-200: 100, -230: 100}, -21.24, true},
	} {
		var l Loudness
		l.Add(Loudness{Blocks: tc.blocks, Peak: -3})
		if got, heard := l.Integrated(); heard != tc.heard || heard && math.Abs(got-tc.want) > 0.01 {
			t.Errorf("%s: %g LUFS, heard %t", tc.name, got, heard)
		}
	}
}

func TestGain(t *testing.T) {
	p := &Plan{Audio: &Audio{Loudness: -16}}
	for _, tc := range []struct {
		lufs int
		peak float64
		want string
	}{
		{-300, -20, "volume=14dB"},
		{-100, -0.1, "volume=-6dB"},
		{-300, -3, "volume=14dB,alimiter=limit=0.8414:attack=5:release=20:level=false:latency=true"},
		{-900, -80, ""},
	} {
		if got := p.Gain(&Loudness{Blocks: map[int]int{tc.lufs: 10}, Peak: tc.peak}); got != tc.want {
			t.Errorf("%d, %g: %q, want %q", tc.lufs, tc.peak, got, tc.want)
		}
	}
}
