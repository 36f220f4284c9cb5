package ladder

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// Sizes and rates, and whether x264 makes more than level 5.2 of them: it was asked.
func TestForeseen(t *testing.T) {
	for _, tc := range []struct {
		width, height int
		fps           int
		preset        string
		maxrate       Bitrate
		fault         string // "": it is within the rules
	}{
		{4096, 2304, 50, "veryfast", 14e6, ""},
		{4096, 2304, 60, "veryfast", 14e6, "pixels a second"},
		{3840, 2160, 60, "veryfast", 14e6, ""},
		{3840, 1920, 60, "veryfast", 14e6, ""},
		{5760, 2880, 10, "veryfast", 14e6, "pixels are allowed"},
		{8704, 256, 10, "veryfast", 9e6, "pixels a side"},
		{8672, 256, 10, "veryfast", 9e6, ""},
		{256, 8704, 10, "veryfast", 9e6, "pixels a side"},
		{4096, 2304, 10, "slow", 9e6, ""},
		{4096, 2304, 10, "slower", 9e6, "keep 8 frames, at most 5"},
		{2048, 2304, 10, "slower", 9e6, ""},
		{1920, 1080, 30, "veryfast", 290e6, ""},
		{1920, 1080, 30, "veryfast", 310e6, "at most 300M"},
	} {
		t.Run(fmt.Sprintf("%dx%d@%d %s %d", tc.width, tc.height, tc.fps, tc.preset, tc.maxrate), func(t *testing.T) {
			own := profile(t, "flat")
			own.Ladders = []ProfileLadder{{Name: "own", Projection: Flat, Rungs: []Rung{{Height: tc.height, CRF: 22, Maxrate: tc.maxrate, Bufsize: tc.maxrate, Preset: tc.preset}}}}
			if tc.fps > 30 { // the plan's cap is 1.4 times the profile's then
				own.Ladders[0].Rungs[0].Maxrate = tc.maxrate * 10 / 14
			}
			_, err := New(index(tc.width, tc.height, flv.Rate{Num: tc.fps, Den: 1}, 10*time.Second, 2*time.Second), own, Trim{})
			if tc.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*flv.Error](err)
			if !ok || e.Reason != HLSLimits || !strings.Contains(e.Detail, tc.fault) || !strings.HasPrefix(e.Detail, "own/") {
				t.Errorf("got %v, want a word on %s", err, tc.fault)
			}
		})
	}
}
