package ladder

import (
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// fitPlan is a plan of the built-in profile, to be fitted.
func fitPlan(t *testing.T, name string, width, height int) (*planned, *flv.Index) {
	t.Helper()
	x := index(width, height, flv.Rate{Num: 30, Den: 1}, 10*time.Minute, 2*time.Second)
	return plan(t, x, profile(t, name)), x
}

func TestFit(t *testing.T) {
	for _, tc := range []struct {
		name, profile string
		width, height int
		rates         []Bitrate // that the samples ask for, from the top
		want          string    // renditions that are left
	}{
		{"hard: all are at their caps", "flat", 1920, 1080, []Bitrate{20e6, 10e6, 6e6, 4e6, 3e6, 1e6},
			"1080p, 720p, 540p, 432p, 360p, 234p"},
		{"usual: each needs half of the one above", "flat", 1920, 1080, []Bitrate{4e6, 2e6, 1.2e6, 8e5, 5e5, 1e5},
			"1080p, 720p, 540p, 432p, 360p, 234p"},
		{"easy: every other is enough", "flat", 1920, 1080, []Bitrate{400e3, 300e3, 200e3, 150e3, 110e3, 60e3},
			"1080p, 540p, 360p, 234p"},
		{"nothing moves: the top, and those for slow networks", "flat", 1920, 1080, []Bitrate{50e3, 45e3, 42e3, 40e3, 38e3, 30e3},
			"1080p, 360p, 234p"},
		{"small: one rung and that for slow networks", "flat", 640, 360, []Bitrate{100e3, 99e3}, "360p, 234p"},
		{"a sphere", "360", 3840, 1920, []Bitrate{9e6, 7e6, 4e6, 2e6, 1.1e6, 5e5},
			"1920p, 960p, 640p, 480p, 320p"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, x := fitPlan(t, tc.profile, tc.width, tc.height)
			samples := p.Samples(x)
			if len(samples) != 2 {
				t.Fatalf("%d samples of ten minutes", len(samples))
			}
			var bytes []int64
			for _, r := range tc.rates {
				bytes = append(bytes, int64(r)*2*2/8) // two samples of two seconds
			}
			before := len(p.Ladders[0].Renditions)
			p.FitTo(samples, bytes)
			var got []string
			for _, r := range p.Ladders[0].Renditions {
				got = append(got, r.Name)
			}
			if s := strings.Join(got, ", "); s != tc.want {
				t.Errorf("left: %s\nwant:  %s\n%+v", s, tc.want, p.Fit.Rungs)
			}
			if len(p.Fit.Rungs) != before || len(p.Fit.Samples) != 2 {
				t.Errorf("decided of %d rungs of %d, by samples at %v", len(p.Fit.Rungs), before, p.Fit.Samples)
			}
			for _, r := range p.Fit.Rungs {
				if r.Why == "" || r.Rate <= 0 {
					t.Errorf("nobody says why: %+v", r)
				}
			}
		})
	}
}

// Beside a copy, its own rate counts, whatever samples would say of its size; and where it has
// fewer bits than the rungs below it, these help nobody.
func TestFitBesideACopy(t *testing.T) {
	for _, tc := range []struct {
		name  string
		own   Bitrate   // of the recording
		rates []Bitrate // that the samples ask for, from 720p down
		want  string
	}{
		{"a wasteful encoder", 5_800e3, []Bitrate{1.5e6, 1.1e6, 8e5, 5e5, 1e5}, "1080p, 720p, 432p, 360p, 234p"},
		{"one like ours", 2e6, []Bitrate{1.5e6, 1.1e6, 8e5, 5e5, 1e5}, "1080p, 540p, 360p, 234p"},
		{"a better one", 2e6, []Bitrate{3e6, 1.9e6, 1.1e6, 6e5, 1e5}, "1080p, 432p, 360p, 234p"},
		{"bits below those of every rung", 3e5, []Bitrate{3e6, 1.9e6, 1.1e6, 6e5, 1e5}, "1080p, 234p"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := index(1920, 1080, flv.Rate{Num: 30, Den: 1}, 10*time.Minute, 2*time.Second)
			x.Audio = nil
			x.End = x.Video.Keyframes[0].Offset + int64(tc.own)/8*600
			x.Video.Steady.GOP = 60
			own := profile(t, "flat")
			own.Source = SourceCopy
			p := plan(t, x, own)
			if p.Copy.Fault != "" || p.Copy.Rate != tc.own {
				t.Fatalf("%+v", p.Copy)
			}
			samples := p.Samples(x)
			if files := p.SampleFiles(); len(files) != len(tc.rates) || strings.Contains(strings.Join(p.SampleArgs(samples[0]), " "), "-1080p") {
				t.Fatalf("sampled: %v", files)
			}
			var bytes []int64
			for _, r := range tc.rates {
				bytes = append(bytes, int64(r)*2*int64(len(samples))/8)
			}
			p.FitTo(samples, bytes)
			var got []string
			for _, r := range p.Ladders[0].Renditions {
				got = append(got, r.Name)
			}
			if s := strings.Join(got, ", "); s != tc.want || p.Fit.Rungs[0].Rate != tc.own || !p.Ladders[0].Renditions[0].Copy {
				t.Errorf("left: %s\nwant:  %s\n%+v", s, tc.want, p.Fit.Rungs)
			}
		})
	}
}

// Samples are few, apart from each other, and begin where a keyframe is.
func TestSamples(t *testing.T) {
	for _, tc := range []struct {
		length, gop time.Duration
		samples     int
	}{
		{3 * time.Second, 2 * time.Second, 1},
		{4 * time.Minute, 2 * time.Second, 1},
		{3 * time.Hour, 2 * time.Second, 6},
		{30 * time.Minute, 12 * time.Minute, 3}, // keyframes are rare
	} {
		x := index(1280, 720, flv.Rate{Num: 30, Den: 1}, tc.length, tc.gop)
		p := plan(t, x, profile(t, "flat"))
		samples := p.Samples(x)
		if len(samples) != tc.samples {
			t.Errorf("%s with a keyframe every %s: %d samples, want %d", tc.length, tc.gop, len(samples), tc.samples)
		}
		for _, s := range samples {
			if at := p.Rate.Time(s.From); at%tc.gop != 0 || at >= tc.length {
				t.Errorf("%s: a sample at %s", tc.length, at)
			}
		}
	}
	p, x := fitPlan(t, "flat", 1280, 720)
	golden(t, "args-sample.txt", strings.Join(p.SampleArgs(p.Samples(x)[1]), "\n")+"\n")
	if p, x := fitPlan(t, "compare", 3840, 1920); p.Fit != nil || len(p.Samples(x)) > 0 {
		t.Error("ladders that are there to be compared are fitted")
	}
}
