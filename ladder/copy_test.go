package ladder

import (
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// A recording is copied if it is as small as the profile wants the rung to be that would
// take its place: in lines, and in bits, of which it may have a tenth more. Its audio
// doesn't count.
func TestCopyIsNoLargerThanItsRung(t *testing.T) {
	const audio = 128_000 // bit/s, about
	for _, tc := range []struct {
		name   string
		height int
		fps    int
		video  int // bit/s
		mute   bool
		want   string
	}{
		{"as much as allowed", 360, 30, 1_099_000, false, ""},
		{"too much", 360, 30, 1_101_000, false, "1101 kb/s, and a rung of its size at most 1000"},
		{"as much as allowed, without audio", 360, 30, 1_099_000, true, ""},
		{"too much, without audio", 360, 30, 1_101_000, true, "1101 kb/s"},
		{"the rung above is for more lines", 400, 30, 3_299_000, false, ""},
		{"too much for the rung above", 400, 30, 3_301_000, false, "a rung of its size at most 3000"},
		{"at 60 fps a rung has more", 360, 60, 1_539_000, false, ""},
		{"too much at 60 fps", 360, 60, 1_541_000, false, "a rung of its size at most 1400"},
		{"as many lines as allowed", 720, 30, 3_000_000, false, ""},
		{"too many lines", 722, 30, 1000, false, "its smaller side is 722 pixels, that of the profile's largest rung 720"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rate := flv.Rate{Num: tc.fps, Den: 1}
			x := index(2*tc.height, tc.height, rate, 100*time.Second, 2*time.Second)
			x.Video.Steady.GOP = 2 * tc.fps
			bits := tc.video + audio
			if tc.mute {
				x.Audio, bits = nil, tc.video
			}
			x.End = x.Video.Keyframes[0].Offset + int64(bits)*100/8
			rung := func(height int, maxrate Bitrate) Rung {
				return Rung{Height: height, CRF: 23, Maxrate: maxrate, Bufsize: 2 * maxrate, Preset: "fast"}
			}
			p := plan(t, x, Profile{
				Name: "copy", Source: SourceCopy, Segment: 6 * time.Second, GOP: 2 * time.Second,
				Ladders: []ProfileLadder{{Name: "flat", Projection: Flat, Rungs: []Rung{rung(720, 3_000_000), rung(360, 1_000_000), rung(180, 300_000)}}},
			})
			if top := p.Ladders[0].Renditions[0]; top.Copy != (tc.want == "") || (tc.want == "") != (p.Copy.Fault == "") || !strings.Contains(p.Copy.Fault, tc.want) {
				t.Errorf("%q, copied: %t, want %q", p.Copy.Fault, top.Copy, tc.want)
			}
		})
	}
}
