package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// What docs/capacity.md says is what the template does today: whoever changes one runs "make simulate". The short traces tell.
func TestDocumentIsCurrent(t *testing.T) {
	document, err := os.ReadFile("../../docs/capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy()
	if err != nil {
		t.Fatal(err)
	}
	var c prices
	if err := yaml.Unmarshal(priceList, &c); err != nil {
		t.Fatal(err)
	}
	for _, trace := range traces() {
		if len(trace.Recordings) > 50 || trace.Name == "storm" {
			continue
		}
		made, err := rows(trace, p, c)
		if err != nil || !strings.Contains(string(document), made) {
			t.Errorf("docs/capacity.md is not what the simulation makes: run make simulate (%v)\n%s", err, made)
		}
	}
	folder := t.TempDir()
	if err := draw(traces()[:2], p, folder); err != nil {
		t.Fatal(err)
	}
	pictures, err := filepath.Glob(folder + "/*.svg")
	if err != nil || len(pictures) != 3 {
		t.Fatalf("pictures %q, %v", pictures, err)
	}
	for _, name := range pictures {
		made, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join("..", "..", "docs", "capacity", filepath.Base(name)))
		if err != nil || !bytes.Equal(kept, made) {
			t.Errorf("docs/capacity/%s is not what the simulation draws: run make simulate (%v)", filepath.Base(name), err)
		}
	}
}
