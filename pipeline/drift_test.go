package pipeline

import (
	"fmt"
	"math"
	"testing"

	"afterlive.alt/internal/testenv"
)

// Audio whose clock is not the video's stays with it, at every rate, and grows no holes.
// ffmpeg's resampler, made in the middle, once made 75 s of a minute.
func TestDrift(t *testing.T) {
	testenv.InTurn(t)
	mediaHeavy(t)
	for n, tc := range []struct {
		rate  string
		drift float64
	}{{"48000", 1.0001}, {"44100", 1.005}, {"48000", 0.995}} {
		if !chosen(n, 3) {
			continue
		}
		rate, drift := tc.rate, tc.drift
		t.Run(fmt.Sprintf("%s Hz, %g", rate, drift), func(t *testing.T) {
			t.Parallel()
			tags := split(source{size: "64x36", rate: "10", seconds: 30, audio: []string{"-c:a", "aac", "-ar", rate}}.make(t))
			for i, tag := range tags {
				if tag.kind() == 8 {
					tags[i] = tag.moved(uint32(math.Round(float64(tag.at()) * drift)))
				}
			}
			out, err := publish(t, joined(tags...), "")
			must(t, err)
			heard := beepTimes(t, out.file(t, "audio/aac"))
			if len(heard) < 15 {
				t.Fatalf("beeps at %v", heard)
			}
			for _, at := range heard[:len(heard)-1] { // the last is the end of the file
				want := (2*math.Round((at-11)/2/drift) + 1) * drift
				if off := at - 10 - want; math.Abs(off) > 0.06 {
					t.Errorf("a beep at %.3f s, by its timestamps at %.3f s", at-10, want)
				}
			}
		})
	}
}
