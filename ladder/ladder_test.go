package ladder

import (
	"flag"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/h264"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run with -update to accept):\n%s", file, diff)
	}
}

// form is progressive H.264 that says nothing of its colours.
func form(width, height int, length time.Duration) flv.Form {
	unsaid := h264.Colour{Primaries: 2, Transfer: 2, Matrix: 2}
	return flv.Form{Form: h264.Form{Width: width, Height: height, SARNum: 1, SARDen: 1, Profile: 100, Level: 40, Chroma: 1, Depth: 8, Colour: unsaid}, Time: length}
}

// index is a recording with a keyframe every gop.
func index(width, height int, rate flv.Rate, length, gop time.Duration) *flv.Index {
	v := &flv.Video{Rate: rate, Frames: rate.Frame(length), Last: length - rate.Time(1), Tail: rate.Time(1)}
	v.Forms = []flv.Form{form(width, height, length)}
	for t := time.Duration(0); t < length; t += gop {
		v.Keyframes = append(v.Keyframes, flv.Keyframe{Offset: 13 + int64(t/time.Millisecond)*100, DTS: t, PTS: t, Whole: t})
	}
	v.Headers = []flv.Header{{Offset: 13, Body: []byte{0x17, 0, 0, 0, 0, 1, 100, 0, 40, 0xff}}}
	v.End = 13 + int64(length/time.Millisecond)*100
	v.Epochs = []flv.Epoch{{Offset: 13}}
	a := &flv.Audio{
		Codec: "aac", SampleRate: 44100, Channels: 2, Format: 10, Frames: int(length/time.Second) * 43,
		Headers: []flv.Header{{Offset: 13, Body: []byte{0xaf, 0}}}, Epochs: v.Epochs,
	}
	for t := time.Duration(0); t < length; t += 10 * time.Second {
		a.Marks = append(a.Marks, flv.Mark{Offset: 13 + int64(t/time.Millisecond)*100, Tag: int(t/time.Second) * 43, At: t})
	}
	a.Marks = append(a.Marks, flv.Mark{Offset: v.End, Tag: a.Frames, At: length})
	return &flv.Index{End: v.End, Duration: length, Video: v, Audio: a}
}

func profile(t *testing.T, name string) Profile {
	t.Helper()
	all, err := ParseProfiles(nil)
	if err != nil {
		t.Fatal(err)
	}
	return all[name]
}

// planned is a plan with all that follows from it.
type planned struct {
	*Job
	Chunks []Chunk
}

func divided(p *Plan, x *flv.Index) *planned {
	chunks := p.Due(x, nil)
	return &planned{&Job{p, p.End(x, Spans(chunks))}, chunks}
}

// plan has chunks of a minute, whatever the recording's length.
func plan(t *testing.T, x *flv.Index, p Profile) *planned {
	t.Helper()
	if p.Chunk == 0 {
		p.Chunk = time.Minute
	}
	out, err := New(x, p, Trim{})
	if err != nil {
		t.Fatal(err)
	}
	out.Job, out.Asset = "0123456789abcdef", "live/talk"
	return divided(out, x)
}

func TestRenditions(t *testing.T) {
	for _, tc := range []struct {
		name            string
		width, height   int
		sarNum, sarDen  int
		profile, expect string
	}{
		{"1080p", 1920, 1080, 1, 1, "flat", "1920x1080 1280x720 960x540 768x432 640x360 416x234"},
		{"720p is not upscaled", 1280, 720, 1, 1, "flat", "1280x720 960x540 768x432 640x360 416x234"},
		{"between rungs", 1100, 620, 1, 1, "flat", "1100x620 958x540 766x432 638x360 416x234"},
		{"below all rungs", 320, 180, 1, 1, "flat", "320x180"},
		{"between the last two: its own size, and the one for slow networks", 480, 270, 1, 1, "flat", "480x270 416x234"},
		{"odd size below all rungs", 321, 181, 1, 1, "flat", "320x180"},
		{"4:3", 1440, 1080, 1, 1, "flat", "1440x1080 960x720 720x540 576x432 480x360 312x234"},
		{"anamorphic: shown as 16:9", 1440, 1080, 4, 3, "flat", "1920x1080 1280x720 960x540 768x432 640x360 416x234"},
		{"portrait", 1080, 1920, 1, 1, "flat", "1080x1920 720x1280 540x960 432x768 360x640 234x416"},
		{"wide SD: its own size instead of 432p", 854, 480, 1, 1, "flat", "854x480 640x360 416x234"},
		{"VGA", 640, 480, 1, 1, "flat", "640x480 480x360 312x234"},
		{"PAL", 720, 576, 1, 1, "flat", "720x576 540x432 450x360 292x234"},
		{"upright SD", 480, 854, 1, 1, "flat", "480x854 360x640 234x416"},
		{"nearly a rung", 1920, 1088, 1, 1, "flat", "1906x1080 1270x720 952x540 762x432 636x360 412x234"},
		{"larger than all rungs", 2560, 1440, 1, 1, "flat", "1920x1080 1280x720 960x540 768x432 640x360 416x234"},
		{"a sphere between rungs", 3008, 1504, 1, 1, "360", "3008x1504 2560x1280 1920x960 1280x640 960x480 640x320"},
		{"tiny", 2, 2, 1, 1, "flat", "2x2"},
		{"360 at 4K", 3840, 1920, 1, 1, "360", "3840x1920 2560x1280 1920x960 1280x640 960x480 640x320"},
		{"360 whose pixels aren't square", 640, 322, 161, 160, "360", "640x320"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := index(tc.width, tc.height, flv.Rate{Num: 30, Den: 1}, time.Minute, 2*time.Second)
			x.Video.Forms[0].SARNum, x.Video.Forms[0].SARDen = tc.sarNum, tc.sarDen
			p := plan(t, x, profile(t, tc.profile))
			var got []string
			aspect := float64(p.Source.Width) / float64(p.Source.Height)
			for _, r := range p.Ladders[0].Renditions {
				got = append(got, fmt.Sprintf("%dx%d", r.Width, r.Height))
				if r.Width > p.Source.Width || r.Height > p.Source.Height {
					t.Errorf("%dx%d is larger than the source", r.Width, r.Height)
				}
				if off := float64(r.Width) - aspect*float64(r.Height); tc.height%2 == 0 && (off > 1 || off < -1) {
					t.Errorf("%dx%d has another aspect: %.1f pixels off", r.Width, r.Height, off)
				}
			}
			if s := strings.Join(got, " "); s != tc.expect {
				t.Errorf("got  %s\nwant %s", s, tc.expect)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	all, err := ParseProfiles([]byte(`[{name: mine, ladders: [{name: a, projection: flat, rungs: [{height: 90, crf: 30, maxrate: 100k, bufsize: 150k, preset: ultrafast}]}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	rate := flv.Rate{Num: 30, Den: 1}
	for _, tc := range []struct {
		name          string
		width, height int
		want          string
	}{
		{Auto, 3840, 1920, "360"}, {"", 3840, 1920, "360"}, {Auto, 1920, 1080, "flat"}, {Auto, 3840, 1918, "flat"},
		{"flat", 3840, 1920, "flat"}, {"360", 1920, 1080, "360"}, {"mine", 1920, 1080, "mine"},
	} {
		p, err := all.Choose(tc.name, index(tc.width, tc.height, rate, time.Minute, time.Second))
		if err != nil || p.Name != tc.want {
			t.Errorf("%q for %dx%d: %q, %v", tc.name, tc.width, tc.height, p.Name, err)
		}
	}
	if p, err := all.Choose(Auto, &flv.Index{Audio: &flv.Audio{}}); err != nil || p.Name != "flat" {
		t.Errorf("audio only: %q, %v", p.Name, err)
	}
	if _, err := all.Choose("nope", index(2, 2, rate, time.Second, time.Second)); err == nil || !strings.Contains(err.Error(), "360, audio, compare, cubemap, eac, flat, mine and auto") {
		t.Errorf("unknown profile: %v", err)
	}
}

func TestParseProfilesReportsAllFaults(t *testing.T) {
	_, err := ParseProfiles([]byte(`
- name: Auto
  segment: 5s
  audio: 1k
  live: later
  ladders:
    - {name: audio, projection: cube, rungs: [{height: 91, crf: 60, maxrate: 1k, bufsize: 1M, preset: warp}]}
`))
	for _, want := range []string{"the name must be", "segment is 5s", "audio is 1000", "live is \"later\"", "ladder \"audio\": the name", "projection is \"cube\"", "height is 91", "crf is 60", "maxrate is 1000", "bufsize is", "preset is \"warp\""} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in: %v", want, err)
		}
	}
	if _, err := ParseProfiles([]byte("- {name: a, crf: 3}")); err == nil {
		t.Error("an unknown field passes")
	}
	if _, err := ParseProfiles([]byte("- {name: a, audio: loud}")); err == nil {
		t.Error("a bitrate of \"loud\" passes")
	}
}

// A channel that is recorded for days is planned as long as it is.
func TestDaysLongRecordings(t *testing.T) {
	for _, rate := range []flv.Rate{{Num: 24000, Den: 1001}, {Num: 30000, Den: 1001}, {Num: 60000, Den: 1001}, {Num: 60, Den: 1}} {
		const length = 100 * time.Hour
		p := plan(t, index(640, 360, rate, length, time.Minute), profile(t, "flat"))
		if off := p.Duration - length.Seconds(); off < -1 || off > 1 {
			t.Errorf("%s fps: 100 h are planned as %f s", rate, p.Duration)
		}
	}
}

func TestCapsFollowFrameRate(t *testing.T) {
	at := func(fps int) Rendition {
		return plan(t, index(1920, 1080, flv.Rate{Num: fps, Den: 1}, time.Minute, time.Second), profile(t, "flat")).Ladders[0].Renditions[0]
	}
	if a, b := at(30), at(60); a.Maxrate != 6_000_000 || b.Maxrate != 8_400_000 || b.Bufsize != 12_600_000 {
		t.Errorf("maxrate at 30 fps %d, at 60 fps %d", a.Maxrate, b.Maxrate)
	}
}

func TestArgs(t *testing.T) {
	lines := func(args []string) string { return strings.Join(args, "\n") + "\n" }
	ntsc := plan(t, index(1280, 720, flv.Rate{Num: 30000, Den: 1001}, 180180*time.Millisecond, 2*time.Second), profile(t, "flat"))
	golden(t, "args-flat-first.txt", lines(ntsc.ChunkArgs(ntsc.Chunks[0], 0)))
	golden(t, "args-flat-middle.txt", lines(ntsc.ChunkArgs(ntsc.Chunks[1], 2)))
	golden(t, "args-flat-last.txt", lines(ntsc.ChunkArgs(ntsc.Chunks[2], 0)))
	golden(t, "args-audio-decode.txt", lines(ntsc.DecodeArgs(ntsc.Chunks[1].Audio)))
	golden(t, "args-audio-encode.txt", lines(ntsc.EncodeArgs("")))

	late := index(3840, 1920, flv.Rate{Num: 60, Den: 1}, 3*time.Minute, 2*time.Second)
	late.Video.First = 70 * time.Second
	late.Video.Keyframes = late.Video.Keyframes[35:]
	p := plan(t, late, profile(t, "360"))
	if !p.Chunks[0].PadStart || !p.Chunks[1].PadStart || p.Chunks[2].PadStart {
		t.Errorf("the video starts at 70 s: %+v", p.Chunks)
	}
	golden(t, "args-360-late.txt", lines(p.ChunkArgs(p.Chunks[1], 0)))
}

// Rungs a line apart make ffmpeg-go's own graphs collide; ours must not care.
func TestArgsOfCloseRungs(t *testing.T) {
	p := plan(t, index(1280, 720, flv.Rate{Num: 30, Den: 1}, time.Minute, time.Second), profile(t, "flat"))
	r := p.Ladders[0].Renditions[0]
	p.Ladders[0].Renditions = nil
	for h := 98; h <= 104; h += 2 {
		r.Name, r.Height, r.Width = fmt.Sprintf("%dp", h), h, h*2
		p.Ladders[0].Renditions = append(p.Ladders[0].Renditions, r)
	}
	first := p.ChunkArgs(p.Chunks[0], 0)
	for range 100 {
		if !slices.Equal(first, p.ChunkArgs(p.Chunks[0], 0)) {
			t.Fatal("the same plan gives different command lines")
		}
	}
	outputs := 0
	for _, a := range first {
		if strings.HasSuffix(a, "/index.m3u8") {
			outputs++
		}
	}
	if outputs != 5 {
		t.Errorf("%d outputs for 4 rungs and I-frames", outputs)
	}
}

// The package is pure: nothing in it can reach a file, a network or a clock.
func TestImports(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.Imports {
		for _, barred := range []string{"os", "context", "net", "syscall", "math/rand"} {
			if (name == barred || strings.HasPrefix(name, barred+"/")) && name != "net/url" { // which only writes
				t.Errorf("ladder imports %s", name)
			}
		}
	}
}
