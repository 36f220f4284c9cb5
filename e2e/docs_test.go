package e2e

import (
	"fmt"
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

// Every fault of the list has a row, and every test that a row names exists.
func TestFaultsAreShown(t *testing.T) {
	page, err := os.ReadFile(standin.Root() + "/docs/reliability.md")
	must(t, err)
	tests := map[string]bool{}
	for _, pattern := range []string{"/*/*_test.go", "/*/*/*_test.go"} {
		files, err := filepath.Glob(standin.Root() + pattern)
		must(t, err)
		for _, name := range files {
			source, err := os.ReadFile(name)
			must(t, err)
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t `).FindAllSubmatch(source, -1) {
				tests[string(m[1])] = true
			}
		}
	}
	next := 1
	for line := range strings.Lines(string(page)) {
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(line, -1)
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("there is no %s: %s", m[1], line)
			}
		}
		if strings.HasPrefix(line, fmt.Sprintf("| %d |", next)) {
			if len(named) == 0 {
				t.Errorf("no test: %s", line)
			}
			next++
		}
	}
	if next < 57 {
		t.Errorf("the list ends before fault %d", next)
	}
}
