package ladder

import (
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/h264"
)

// Where a recording is brought to one format, its largest form that lasts decides,
// not its first; and its colours are said even where it doesn't say them.
func TestVideoFormat(t *testing.T) {
	hd, sd := form(1920, 1080, time.Minute), form(640, 360, time.Minute)
	with := func(f flv.Form, change func(*flv.Form)) flv.Form { change(&f); return f }
	colour := func(primaries, transfer, matrix int) func(*flv.Form) {
		return func(f *flv.Form) {
			f.Colour = h264.Colour{Primaries: primaries, Transfer: transfer, Matrix: matrix}
		}
	}
	brief := with(form(3840, 2160, 0), func(f *flv.Form) { f.Time = time.Second })
	wide := with(sd, func(f *flv.Form) { f.SARNum, f.SARDen = 4, 3 })
	for _, tc := range []struct {
		name          string
		forms         []flv.Form
		width, height int
		colour        Colour
		filters       string // that are among them
		without       string
	}{
		{"HD that says nothing", []flv.Form{hd}, 1920, 1080, bt709, "scale=1920:1080,setparams=color_primaries=1:color_trc=1:colorspace=1", "pad"},
		{"SD that says nothing", []flv.Form{sd}, 640, 360, bt601A, "colorspace=6", "matrix"},
		{"PAL that says nothing", []flv.Form{form(720, 576, time.Minute)}, 720, 576, bt601E, "colorspace=5", "matrix"},
		{"what it says counts", []flv.Form{with(sd, colour(1, 1, 1))}, 640, 360, bt709, "colorspace=1", "matrix"},
		{"a matrix alone tells of the rest", []flv.Form{with(sd, colour(2, 2, 1))}, 640, 360, bt709, "", "matrix"},
		{"it grows", []flv.Form{sd, hd}, 1920, 1080, bt709, "pad=1920:1080", "matrix"},
		{"it shrinks", []flv.Form{hd, sd}, 1920, 1080, bt709, "pad=1920:1080", ""},
		{"large for a second", []flv.Form{brief, sd}, 640, 360, bt601A, "pad=640:360", ""},
		{"nothing lasts", []flv.Form{brief}, 3840, 2160, bt709, "", "pad"},
		{"pixels become wide", []flv.Form{sd, wide}, 640, 360, bt601A, "pad=640:360", ""},
		{"other colours on the way", []flv.Form{with(sd, colour(6, 6, 6)), with(sd, colour(1, 1, 1))}, 640, 360, bt601A, "out_color_matrix=bt601", "pad"},
		{"the two of BT.601 are alike", []flv.Form{with(sd, colour(6, 6, 6)), with(sd, colour(5, 6, 5))}, 640, 360, bt601A, "", "matrix"},
		{"RGB", []flv.Form{with(hd, colour(1, 13, 0))}, 1920, 1080, Colour{1, 13, 1}, "out_color_matrix=bt709", "pad"},
		{"HLG", []flv.Form{with(hd, colour(9, 18, 9))}, 1920, 1080, bt709, "tonemap", "pad"},
		{"PQ for a while", []flv.Form{hd, with(hd, colour(9, 16, 9))}, 1920, 1080, bt709, "tonemap", "pad"},
		{"fields", []flv.Form{with(hd, func(f *flv.Form) { f.Interlaced = true })}, 1920, 1080, bt709, "scale=1920:1080:interl=-1,bwdif=mode=send_frame", "pad"},
	} {
		p := newVideoFormat(&flv.Video{Forms: tc.forms}, Frames, false)
		width, height := p.size()
		if width != tc.width || height != tc.height || p.Colour != tc.colour {
			t.Errorf("%s: %dx%d, %+v", tc.name, width, height, p.Colour)
		}
		filters := p.filters()
		if !strings.HasPrefix(filters, "scale=") {
			t.Errorf("%s: the first filter must take frames of any size: %s", tc.name, filters)
		}
		if !strings.Contains(filters, tc.filters) || tc.without != "" && strings.Contains(filters, tc.without) {
			t.Errorf("%s: %s", tc.name, filters)
		}
	}
}

// A phone held upright is shown upright.
func TestRotation(t *testing.T) {
	for turn, want := range map[int]string{0: "1920x1080", 90: "1080x1920 transpose=cclock", 180: "1920x1080 hflip,vflip", 270: "1080x1920 transpose=clock"} {
		p := newVideoFormat(&flv.Video{Forms: []flv.Form{form(1920, 1080, time.Minute)}, Rotation: turn}, Frames, false)
		width, height := p.size()
		size, filter, _ := strings.Cut(want, " ")
		if got := form(width, height, 0).Size(); got != size || !strings.Contains(p.filters(), filter) {
			t.Errorf("%d degrees: %s, %s", turn, got, p.filters())
		}
	}
}

// What is missing is told, and too much of it refused, unless a profile accepts it.
func TestMissing(t *testing.T) {
	flat := profile(t, "flat")
	base := func() *flv.Index { return index(1280, 720, flv.Rate{Num: 30, Den: 1}, time.Minute, 2*time.Second) }
	for _, tc := range []struct {
		name   string
		change func(*flv.Index)
		accept string // without which it is refused
		what   string
	}{
		{"nothing", func(*flv.Index) {}, "", ""},
		{"the audio", func(x *flv.Index) {
			x.Audio, x.Missing = nil, []flv.Missing{{Track: flv.TrackAudio, Tags: 500, Of: 501, Why: "w"}}
		}, NoAudio, NoAudio},
		{"a stray audio tag", func(x *flv.Index) {
			x.Audio, x.Missing = nil, []flv.Missing{{Track: flv.TrackAudio, Tags: 1, Of: 1, Why: "w"}}
		}, "", LostAudio},
		{"some of the audio", func(x *flv.Index) { x.Missing = []flv.Missing{{Track: flv.TrackAudio, Tags: 4, Of: 100, Why: "w"}} }, "", LostAudio},
		{"much of the audio", func(x *flv.Index) { x.Missing = []flv.Missing{{Track: flv.TrackAudio, Tags: 6, Of: 100, Why: "w"}} }, LostAudio, LostAudio},
		{"some frames", func(x *flv.Index) { x.Video.Dropped = x.Video.Frames / 25 }, "", LostFrames},
		{"many frames", func(x *flv.Index) { x.Video.Dropped = x.Video.Frames / 10 }, LostFrames, LostFrames},
		{"every second, as they come too fast", func(x *flv.Index) { x.Video.Dropped, x.Video.Thinned = x.Video.Frames/2, 2 }, "", LostFrames},
		{"some bytes", func(x *flv.Index) { x.Damage = []flv.Range{{From: 20, To: 20 + x.End/20}} }, "", LostTime},
		{"many bytes", func(x *flv.Index) { x.Damage = []flv.Range{{From: 20, To: 20 + x.End/5}} }, LostTime, LostTime},
		{"promised video", func(x *flv.Index) { x.Video, x.Promised = nil, "1280x720" }, NoVideo, NoVideo},
		{"no video, and none was promised", func(x *flv.Index) { x.Video = nil }, "", ""},
	} {
		x := base()
		tc.change(x)
		p, err := New(x, flat, Trim{})
		if refused := err != nil; refused != (tc.accept != "") {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if tc.accept != "" {
			tolerant := flat
			tolerant.Accept = []string{tc.accept}
			if p, err = New(x, tolerant, Trim{}); err != nil {
				t.Errorf("%s, accepted: %v", tc.name, err)
				continue
			}
		}
		what := ""
		missing := divided(p, x).Missing
		for _, m := range missing {
			what += m.What
		}
		if what != tc.what {
			t.Errorf("%s: told to be missing: %+v", tc.name, missing)
		}
	}
}

// The profile for audio alone leaves video out.
func TestAudioAlone(t *testing.T) {
	p := plan(t, index(1280, 720, flv.Rate{Num: 30, Den: 1}, time.Minute, 2*time.Second), profile(t, "audio"))
	if len(p.Ladders) != 0 || len(p.Chunks) != 1 || p.Audio == nil || p.Duration != 60 {
		t.Errorf("%+v", p)
	}
	x := index(1280, 720, flv.Rate{Num: 30, Den: 1}, time.Minute, 2*time.Second)
	x.Audio = nil
	if _, err := New(x, profile(t, "audio"), Trim{}); err == nil {
		t.Error("a recording without audio has become one")
	}
}
