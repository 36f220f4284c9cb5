package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nothing is pruned of which nothing is said.
func TestPruneSaysWhat(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("talk.flv", "FLV one"))
	if out := b.must("prune"); !strings.HasPrefix(out, "0 removed") {
		t.Errorf("it says %s", out)
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
