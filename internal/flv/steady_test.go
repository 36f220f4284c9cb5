package flv

import (
	"strings"
	"testing"
)

func TestSteady(t *testing.T) {
	make30 := func(change func(n int, dts, composition int64, key, idr bool) (int64, int64, bool, bool)) Steady {
		var s steadiness
		for n := range 300 {
			dts, composition, key, idr := change(n, int64(n*1000/30), 67, n%60 == 0, n%60 == 0)
			if dts >= 0 {
				s.add(dts, composition, key, idr)
			}
		}
		return s.steady(Rate{30, 1})
	}
	for _, tc := range []struct {
		name, fault string
		change      func(n int, dts, composition int64, key, idr bool) (int64, int64, bool, bool)
	}{
		{"as it should be", "", func(_ int, d, c int64, k, i bool) (int64, int64, bool, bool) { return d, c, k, i }},
		{"a frame is missing", "frames after the one before", func(n int, d, c int64, k, i bool) (int64, int64, bool, bool) {
			if n == 200 {
				d = -1
			}
			return d, c, k, i
		}},
		{"a clock that runs away", "off their places", func(n int, d, c int64, k, i bool) (int64, int64, bool, bool) { return d + int64(n/50), c, k, i }},
		{"shown between the grid's points", "off their places", func(n int, d, c int64, k, i bool) (int64, int64, bool, bool) {
			if n == 7 {
				c = 50
			}
			return d, c, k, i
		}},
		{"a keyframe that is none", "GOP is open", func(n int, d, c int64, k, i bool) (int64, int64, bool, bool) { return d, c, k, i && n != 120 }},
		{"a keyframe too many", "frames after the one before", func(n int, d, c int64, k, i bool) (int64, int64, bool, bool) {
			return d, c, k || n == 100, i || n == 100
		}},
		{"a keyframe that is shown late", "after decoding", func(n int, d, c int64, k, i bool) (int64, int64, bool, bool) {
			if n == 120 {
				c = 100
			}
			return d, c, k, i
		}},
		{"one keyframe", "one keyframe", func(n int, d, c int64, k, i bool) (int64, int64, bool, bool) { return d, c, n == 0, i }},
	} {
		got := make30(tc.change)
		if want := (Steady{GOP: 60, Reorder: 2}); tc.fault == "" && got != want {
			t.Errorf("%s: %+v", tc.name, got)
		}
		if tc.fault != "" && (got.GOP != 0 || !strings.Contains(got.Fault, tc.fault)) {
			t.Errorf("%s: %+v, want %q", tc.name, got, tc.fault)
		}
	}
}
