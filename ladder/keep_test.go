package ladder

import (
	"strings"
	"testing"
	"time"
)

// How long something is kept may be said in days.
func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "0.5d": 12 * time.Hour, "36h": 36 * time.Hour, "0": 0, "-1d": -1, "-1h": -1, "d": -1, "week": -1, "1e9d": -1} {
		var a Age
		err := a.UnmarshalText([]byte(text))
		if (err != nil) != (want < 0) || err == nil && time.Duration(a) != want {
			t.Errorf("%s is %s, %v", text, time.Duration(a), err)
		}
	}
}

// A profile says for how long what is made is kept.
func TestKeepInProfile(t *testing.T) {
	const own = `
- name: short
  keep: {recordings: %, superseded: 12h, assets: 30d}
  ladders: [{name: flat, projection: flat, rungs: [{height: 360, crf: 24, maxrate: 800k, bufsize: 1200k, preset: veryfast}]}]
`
	got, err := ParseProfiles([]byte(strings.ReplaceAll(own, "%", "7d")))
	if want := (Keep{Age(7 * 24 * time.Hour), Age(12 * time.Hour), Age(30 * 24 * time.Hour)}); err != nil || got["short"].Keep != want {
		t.Errorf("%+v, %v", got["short"].Keep, err)
	}
	for _, wrong := range []string{"40d", "-1h", "soon"} {
		if _, err := ParseProfiles([]byte(strings.ReplaceAll(own, "%", wrong))); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}
