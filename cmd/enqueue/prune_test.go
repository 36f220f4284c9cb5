package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// How long something is kept may be said in days.
func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "0.5d": 12 * time.Hour, "36h": 36 * time.Hour, "0": 0, "-1d": -1, "-1h": -1, "d": -1, "week": -1, "1e9d": -1} {
		var a age
		err := a.UnmarshalText([]byte(text))
		if (err != nil) != (want < 0) || err == nil && time.Duration(a) != want {
			t.Errorf("%s is %s, %v", text, time.Duration(a), err)
		}
	}
}

// Nothing is pruned of which nothing is said.
func TestPruneSaysWhat(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("talk.flv", "FLV one"))
	if _, err := b.run("prune"); err == nil || !strings.Contains(err.Error(), "--keep-assets") {
		t.Errorf("got %v", err)
	}
	if out := b.must("prune", "--keep-recordings", "1d", "--keep-superseded", "1d", "--keep-assets", "90d"); !strings.HasPrefix(out, "0 removed") {
		t.Errorf("it says %s", out)
	}
}

// How long what is kept may be said in the config file.
func TestPruneByConfig(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("talk.flv", "FLV one"))
	file := filepath.Join(t.TempDir(), "afterlive.yaml")
	if err := os.WriteFile(file, []byte("keep-superseded: 1d\nkeep-assets: 90d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := b.must("prune", "--config", file); !strings.HasPrefix(out, "0 removed") {
		t.Errorf("it says %s", out)
	}
}

// Sizes are written as people do.
func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"20G": 20 << 30, "1.5g": 3 << 29, "500M": 500 << 20, "7": 7, "0": 0, "G": -1, "-1G": -1, "20GB": -1, "1e30": -1, "": -1} {
		var s size
		err := s.UnmarshalText([]byte(text))
		if (err != nil) != (want < 0) || err == nil && int64(s) != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
	}
}
