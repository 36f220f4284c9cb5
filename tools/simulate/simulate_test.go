package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// What docs/capacity.md says is what the template does today: whoever changes one
// runs "make simulate".
func TestDocumentIsCurrent(t *testing.T) {
	docs := t.TempDir()
	before, err := os.ReadFile("../../docs/capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(docs, "capacity.md"), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := simulate(docs, io.Discard); err != nil {
		t.Fatal(err)
	}
	pictures, err := filepath.Glob("../../docs/capacity/*.svg")
	if err != nil || len(pictures) == 0 {
		t.Fatalf("no pictures: %v", err)
	}
	for _, name := range append(pictures, "../../docs/capacity.md") {
		kept, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel("../../docs", name)
		if err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(filepath.Join(docs, relative))
		if err != nil || !bytes.Equal(kept, made) {
			t.Errorf("%s is not what the simulation makes: run make simulate (%v)", relative, err)
		}
	}
}
