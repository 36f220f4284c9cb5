package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"afterlive/internal/standin"
)

var link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

// What the documents link to is there, and what they tell people to run exists.
func TestDocs(t *testing.T) {
	root := standin.Root()
	docs, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(docs) < 3 {
		t.Fatalf("docs %v, %v", docs, err)
	}
	makefile, err := os.ReadFile(root + "/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(docs, root+"/README.md") {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(body), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", filepath.Base(file), m[1], err)
			}
		}
		for _, m := range regexp.MustCompile("(?m)^make (\\w+)|`make (\\w+)").FindAllStringSubmatch(string(body), -1) {
			if target := m[1] + m[2]; !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("%s says make %s, which there is not", filepath.Base(file), target)
			}
		}
	}
}
