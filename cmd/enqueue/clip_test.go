package main

import (
	"strings"
	"testing"
	"time"
)

// A time is written in many ways, and what is none is refused, however large.
func TestMoment(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"630": 630 * time.Second, "10:30": 630 * time.Second, "1:10:30.5": 70*time.Minute + 30500*time.Millisecond, "10m30s": 630 * time.Second,
		"1.001": 1001 * time.Millisecond, "0": 0, "90s": 90 * time.Second,
	} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil || time.Duration(m) != want {
			t.Errorf("%s: %s, %v", text, time.Duration(m), err)
		}
	}
	for _, text := range []string{"", "nan", "inf", "1e300", "99999999999", "9999999:00:00", "-0:-5", "-5", "-5s", "1:60", "1:2:3:4", "later"} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %s", text, time.Duration(m))
		}
	}
}

// Nothing is before zero: that is not the asset's end.
func TestClipUpToZero(t *testing.T) {
	b := newBox(t)
	if _, err := b.run("clip", "live/talk", "--from", "0", "--to", "0"); err == nil || !strings.Contains(err.Error(), "nothing is before") {
		t.Error(err)
	}
}
