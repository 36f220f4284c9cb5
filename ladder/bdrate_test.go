package ladder

import (
	"math"
	"strings"
	"testing"
)

// The points and results are JCTVC-E137's, as the VMAF project publishes them with
// its own calculator (python/test/bd_rate_calculator_test.py).
func TestBDRate(t *testing.T) {
	for name, tc := range map[string]struct {
		anchor, test []RatePoint
		want         float64 // percent
	}{
		"first": {
			[]RatePoint{{108048.8736, 43.6471}, {61279.976, 40.3953}, {33905.6656, 37.247}, {18883.6928, 34.2911}},
			[]RatePoint{{108061.2784, 43.6768}, {61299.9936, 40.4232}, {33928.7472, 37.2761}, {18910.912, 34.3147}},
			-0.465215420752807,
		},
		"second": {
			[]RatePoint{{40433.8848, 37.5761}, {7622.7456, 35.3756}, {2394.488, 33.8977}, {1017.6184, 32.0603}},
			[]RatePoint{{40370.12, 37.5982}, {7587.0024, 35.4025}, {2390.0944, 33.9194}, {1017.0984, 32.0822}},
			-1.8779823450567612,
		},
		"half the bits":            {[]RatePoint{{100, 30}, {200, 33}, {400, 36}, {800, 39}}, []RatePoint{{50, 30}, {100, 33}, {200, 36}, {400, 39}}, -50},
		"half the bits, in part":   {[]RatePoint{{100, 30}, {200, 33}, {400, 36}, {800, 39}}, []RatePoint{{100, 33}, {200, 36}}, -50},
		"the same, in other order": {[]RatePoint{{100, 30}, {200, 33}}, []RatePoint{{200, 33}, {100, 30}}, 0},
	} {
		got, err := BDRate(tc.anchor, tc.test)
		if err != nil || math.Abs(got-tc.want) > 1e-3 {
			t.Errorf("%s: %f %%, %v; want %f %%", name, got, err, tc.want)
		}
	}
	for want, test := range map[string][]RatePoint{
		"two points":               {{100, 30}},
		"no quality in common":     {{100, 10}, {200, 12}},
		"don't give more quality":  {{100, 30}, {200, 29}},
		"don't give more quality ": {{100, 30}, {200, 30}},
	} {
		if _, err := BDRate([]RatePoint{{100, 30}, {200, 33}}, test); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v: %v, want %s", test, err, want)
		}
	}
}
