package pipeline

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/ladder"
)

// What people really record, and what became of it once: each is of a kind that was lost,
// or came out wrong. A row says what is right.
func TestWhatPeopleRecord(t *testing.T) {
	small := []string{"-tune", "zerolatency"}
	x264 := func(params string, more ...string) []string { return append([]string{"-x264-params", params}, more...) }
	hd := source{size: "1280x720", rate: "10", seconds: 4}
	for n, tc := range []struct {
		name    string
		make    func(t *testing.T) []byte
		profile string
		fps     string
		frames  int
		size    string
		reason  string // for which it is refused
		missing string // what is told to be missing
	}{
		{name: "size changes between frames", fps: "25", frames: 200, size: "320x180", make: func(t *testing.T) []byte {
			return inBand(source{seconds: 4, video: small}.make(t), source{size: "240x240", seconds: 4, video: small}.make(t), 4000)
		}},
		{name: "it grows on the way", fps: "25", frames: 200, size: "320x180", make: func(t *testing.T) []byte {
			return inBand(source{size: "160x90", seconds: 4, video: small}.make(t), source{seconds: 4, video: small}.make(t), 4000)
		}},
		{name: "pixels change their shape", fps: "25", frames: 200, size: "320x240", make: func(t *testing.T) []byte {
			return inBand(source{size: "320x240", seconds: 5, video: small}.make(t), source{size: "320x240", seconds: 3, filter: ",setsar=4/3", video: small}.make(t), 5000)
		}},
		{name: "interlaced, a frame for two fields", fps: "25", frames: 200, size: "320x180", make: func(t *testing.T) []byte {
			return source{rate: "50", filter: ",tinterlace=interleave_top,fieldorder=tff", video: x264("tff=1", "-flags", "+ilme+ildct")}.make(t)
		}},
		{name: "interlaced, a frame for each field", profile: "fields", fps: "50", frames: 400, size: "320x180", make: func(t *testing.T) []byte {
			return source{rate: "50", filter: ",tinterlace=interleave_bottom,fieldorder=bff", video: x264("bff=1", "-flags", "+ilme+ildct")}.make(t)
		}},
		{name: "intra refresh", fps: "25", frames: 500, size: "320x180", make: func(t *testing.T) []byte {
			return source{seconds: 20, video: x264("intra-refresh=1:keyint=50:bframes=0")}.make(t)
		}},
		{name: "intra refresh after one keyframe", fps: "25", frames: 200, size: "320x180", make: source{video: x264("intra-refresh=1:keyint=1000:bframes=0")}.make},
		{name: "open GOPs that say nothing of where to recover", fps: "25", frames: 350, size: "320x180", make: source{
			seconds: 14, video: x264("open-gop=1:keyint=50:bframes=3:b-adapt=0:scenecut=0", "-bsf:v", "filter_units=remove_types=6"),
		}.make},
		{name: "telecine", fps: "30000/1001", frames: 239, size: "320x180", make: source{
			rate: "24000/1001", filter: ",telecine=pattern=23", video: x264("tff=1", "-flags", "+ilme+ildct"),
		}.make},
		{name: "held upright", fps: "25", frames: 100, size: "180x320", make: source{
			seconds: 4, video: []string{"-bsf:v", "h264_metadata=display_orientation=insert:rotate=90"},
		}.make},
		{name: "open GOPs, as a guard", fps: "25", frames: 350, size: "320x180", make: func(t *testing.T) []byte {
			return source{seconds: 14, video: x264("open-gop=1:keyint=50:bframes=3:b-adapt=0:scenecut=0")}.make(t)
		}},
		{name: "upright", fps: "25", frames: 100, size: "180x320", make: source{size: "180x320", seconds: 4}.make},
		{name: "10 bits, HLG", fps: "10", frames: 40, size: "1280x720", make: source{
			size: "1280x720", rate: "10", seconds: 4, video: []string{"-vf", "format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"},
		}.make},
		{name: "10 bits, PQ", fps: "10", frames: 40, size: "320x180", make: source{
			rate: "10", seconds: 4, video: []string{"-vf", "format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"},
		}.make},
		{name: "untagged HD", fps: "10", frames: 40, size: "1280x720", make: hd.make},

		{name: "12.5 fps", fps: "25/2", frames: 100, make: source{rate: "12.5"}.make},
		{name: "27 fps", fps: "27", frames: 216, make: source{rate: "27"}.make},
		{name: "100 fps", fps: "50", frames: 400, missing: ladder.LostFrames, make: source{rate: "100"}.make},
		{name: "120 fps", fps: "60", frames: 240, missing: ladder.LostFrames, make: source{rate: "120", seconds: 4}.make},
		{name: "1 fps, reordered", fps: "1", frames: 20, make: source{rate: "1", seconds: 20, video: []string{"-preset", "veryfast", "-bf", "2", "-b_strategy", "0", "-g", "5"}}.make},
		{name: "2 fps, reordered, as x264 likes it", fps: "2", frames: 60, make: source{rate: "2", seconds: 30, video: []string{"-preset", "veryfast"}}.make},
		{name: "a frame every 4 s", fps: "1", frames: 40, make: source{rate: "1/4", seconds: 40, video: []string{"-g", "1"}}.make},
		{name: "a frame every 5 s", fps: "1", frames: 120, make: source{rate: "1/5", seconds: 120, video: []string{"-g", "1"}}.make},
		{name: "slides, then motion", fps: "30", frames: 1350, make: source{
			size: "160x90", rate: "30", seconds: 45, filter: ",select='gte(t,40)+not(mod(n,6))'", video: []string{"-fps_mode", "vfr", "-g", "60"},
		}.make},
		{name: "a still, then motion at 60 fps", fps: "60", frames: 1440, make: source{
			size: "160x90", rate: "60", seconds: 24, filter: ",select='gte(t,20)+not(mod(n,60))'", video: []string{"-fps_mode", "vfr", "-g", "60"},
		}.make},
		{name: "shown before it is decoded", fps: "25", frames: 350, make: source{seconds: 14, alter: func(b []byte) []byte {
			tags := split(b)
			for i, tag := range tags {
				if body := bytes.Clone(tag.body()); tag.kind() == 9 && body[1] == 1 {
					copy(body[2:5], []byte{0xff, 0xfe, 0x70}) // -400 ms
					tags[i] = newTag(9, tag.at()+400, body)
				}
			}
			return joined(tags...)
		}}.make},
		{name: "decode times in pairs", fps: "30", frames: 301, make: func(t *testing.T) []byte {
			return restamped(t, source{rate: "30", seconds: 10, video: []string{"-preset", "veryfast", "-bf", "1", "-b_strategy", "0", "-sc_threshold", "0", "-g", "1000"}}.make(t),
				"setts=pts='if(N,if(mod(N,2),N+1,N-1),0)*1000/30':dts='if(N,2*ceil(N/2)-1,0)*1000/30'")
		}},
		{name: "one frame", fps: "30", frames: 90, make: func(t *testing.T) []byte {
			only := 0
			return without(source{seconds: 3, audio: aacAudio, video: []string{"-profile:v", "baseline", "-bsf:v", "h264_metadata=tick_rate=0"}}.make(t), func(f flvTag) bool {
				if f.kind() == 9 && f.body()[1] == 1 {
					only++
				}
				return f.kind() == 9 && only > 1
			})
		}},
		{name: "one frame alone", fps: "30", frames: 1, make: func(t *testing.T) []byte {
			only := 0
			return without(source{seconds: 1}.make(t), func(f flvTag) bool {
				if f.kind() == 9 && f.body()[1] == 1 {
					only++
				}
				return f.kind() == 9 && only > 1
			})
		}},
		{name: "lengths of 2 bytes", fps: "25", frames: 100, make: source{seconds: 4, alter: func(b []byte) []byte { return replacedAVC(b, 2) }}.make},
		{name: "lengths of 1 byte", fps: "25", frames: 25, size: "64x36", make: source{
			size: "64x36", seconds: 1, filter: ",lutyuv=y=val/4:u=128:v=128", video: []string{"-crf", "51", "-bsf:v", "filter_units=remove_types=6"}, alter: func(b []byte) []byte { return replacedAVC(b, 1) },
		}.make},

		{name: "audio in AAC Main", frames: 100, make: source{seconds: 4, audio: []string{"-c:a", "aac", "-profile:a", "aac_main"}}.make},
		{name: "audio in AAC LTP", frames: 100, make: source{seconds: 4, audio: []string{"-strict", "-2", "-c:a", "aac", "-profile:a", "aac_ltp"}}.make},
		{name: "Speex", frames: 100, make: source{seconds: 4, audio: []string{"-c:a", "libspeex", "-ar", "16000"}}.make},
		{name: "G.711, A-law", frames: 100, make: source{seconds: 4, audio: []string{"-c:a", "pcm_alaw", "-ar", "8000"}}.make},
		{name: "G.711, mu-law", frames: 100, make: source{seconds: 4, audio: []string{"-c:a", "pcm_mulaw", "-ar", "8000"}}.make},
		{name: "ADPCM of Flash", frames: 100, make: source{seconds: 4, audio: []string{"-c:a", "adpcm_swf", "-ar", "44100"}}.make},
		{name: "Nellymoser", frames: 100, make: source{seconds: 4, audio: []string{"-c:a", "nellymoser", "-ar", "44100"}}.make},
		{name: "MP3", frames: 100, make: source{seconds: 4, audio: []string{"-c:a", "libmp3lame", "-ar", "44100"}}.make},
		{name: "AAC without configuration", reason: "no_sound", make: source{seconds: 4, audio: aacAudio, alter: mute}.make},
		{name: "AAC without configuration, where that will do", profile: "tolerant", frames: 100, missing: ladder.NoAudio, make: source{seconds: 4, audio: aacAudio, alter: mute}.make},
		{name: "video was promised", reason: "no_picture", make: source{seconds: 4, audio: aacAudio, alter: func(b []byte) []byte {
			return without(b, func(f flvTag) bool { return f.kind() == 9 })
		}}.make},
		{name: "louder than full scale", profile: "loud", frames: 150, make: source{seconds: 6, audio: []string{"-af", "volume=40dB,aresample=44100", "-ac", "2", "-c:a", "aac", "-b:a", "256k"}}.make},
	} {
		if tc.reason == "" && !chosen(n, 6) { // what is refused costs little
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			recording := tc.make(t)
			out, err := publish(t, recording, tc.profile)
			if got := reasonOf(err); got != tc.reason {
				t.Fatalf("refused for %q, want %q: %v", got, tc.reason, err)
			}
			if err != nil {
				return
			}
			if fps := out.plan.Rate.String(); tc.fps != "" && fps != tc.fps {
				t.Errorf("%s fps, want %s", fps, tc.fps)
			}
			if off := out.plan.Frames - tc.frames; off < 0 || off > 2 {
				t.Errorf("%d frames, want %d", out.plan.Frames, tc.frames)
			}
			r := out.plan.Ladders[0].Renditions[0]
			if size := fmt.Sprintf("%dx%d", r.Width, r.Height); tc.size != "" && size != tc.size {
				t.Errorf("%s, want %s", size, tc.size)
			}
			var told []string
			for _, m := range out.asset.Missing {
				told = append(told, m.What)
			}
			if got := strings.Join(told, " "); got != tc.missing {
				t.Errorf("told to be missing: %+v, want %q", out.asset.Missing, tc.missing)
			}
			like(t, out, recording)
		})
	}
}

// restamped is a recording whose frames have other times.
func restamped(t *testing.T, b []byte, filter string) []byte {
	t.Helper()
	from, to := filepath.Join(t.TempDir(), "a.flv"), filepath.Join(t.TempDir(), "b.flv")
	must(t, os.WriteFile(from, b, 0o644))
	runFFmpeg(t, "-v", "error", "-nostdin", "-y", "-i", from, "-c", "copy", "-bsf:v", filter, "-f", "flv", to)
	out, err := os.ReadFile(to)
	must(t, err)
	return out
}

// mute takes the configuration of AAC away.
func mute(b []byte) []byte {
	return without(b, func(f flvTag) bool { return f.kind() == 8 && f.body()[1] == 0 })
}

// like holds what was published against what plain ffmpeg decodes of a recording: colours
// at five moments, and the audio against the video.
func like(t *testing.T, out outcome, recording []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recording.flv")
	must(t, os.WriteFile(file, recording, 0o644))
	untagged := "smpte170m"
	if max(out.plan.Source.Width, out.plan.Source.Height) >= 1280 {
		untagged = "bt709"
	}
	want, _, _ := frames(t, file, untagged)
	top := out.top(t)
	got, width, height := frames(t, top, "fcc") // which nobody has: what is published must say it
	r := out.plan.Ladders[0].Renditions[0]
	if width != r.Width || height != r.Height || len(got) != out.plan.Frames {
		t.Errorf("decoded: %d frames of %dx%d, by the plan %d of %dx%d", len(got), width, height, out.plan.Frames, r.Width, r.Height)
	}
	if len(want) == 0 || len(got) == 0 {
		t.Fatalf("plain ffmpeg decodes %d frames, of what was published %d", len(want), len(got))
	}
	if !out.plan.Source.Video.HDR && !out.plan.Source.Video.Mixed {
		sameColours(t, want, got)
	}
	if out.plan.Audio == nil || out.plan.Rate.FPS() < 5 {
		return
	}
	before, ok1 := offset(flashes(want), beepTimes(t, file))
	after, ok2 := offset(flashes(got), beepTimes(t, out.file(t, "audio/aac")))
	if frame := 1 / out.plan.Rate.FPS(); ok1 && (!ok2 || math.Abs(after-before) > 0.02+frame) {
		t.Errorf("the audio comes %.3f s after the video, in the recording %.3f s", after, before)
	}
}

// sameColours looks at five moments, none of them white.
func sameColours(t *testing.T, want, got []frame) {
	t.Helper()
	at := func(all []frame, t float64) frame {
		last := all[0]
		for _, p := range all {
			if p.at-all[0].at <= t+1e-3 {
				last = p
			}
		}
		return last
	}
	length := want[len(want)-1].at - want[0].at
	for i := range 5 {
		when := length * (float64(i) + 0.5) / 5
		a, b := at(want, when), at(got, when)
		if a.bright() > 230 || b.bright() > 230 {
			continue
		}
		if d := max(math.Abs(a.red-b.red), math.Abs(a.green-b.green), math.Abs(a.blue-b.blue)); d > 7 {
			t.Errorf("at %.2f s: red %.0f green %.0f blue %.0f, in the recording %.0f %.0f %.0f", when, b.red, b.green, b.blue, a.red, a.green, a.blue)
		}
	}
}
