package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"afterlive.alt/internal/testenv"
)

var (
	link       = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)]+))?\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.+)$`)
	makeTarget = regexp.MustCompile("(?m)^make ([\\w-]+)|`make ([\\w-]+)")
	runnable   = regexp.MustCompile("(?ms)^```bash run\n(.*?)\n```$")
)

// documents are all that people read here, by their path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(testenv.Root(), pattern))
		must(t, err)
		for _, file := range files {
			body, err := os.ReadFile(file)
			must(t, err)
			name, err := filepath.Rel(testenv.Root(), file)
			must(t, err)
			all[name] = string(body)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents", len(all))
	}
	return all
}

// anchor is a heading's address on a page, as GitHub and GitLab make it.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}

// Each link leads to a file that is there, and to a heading that it has; each document can be reached from the README; and
// "make" is only told to do what it can.
func TestDocs(t *testing.T) {
	docs := documents(t)
	makefile, err := os.ReadFile(testenv.Root() + "/Makefile")
	must(t, err)
	reached := map[string]bool{"README.md": true}
	for name, body := range docs {
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			if strings.Contains(m[1], ":") { // another site
				continue
			}
			to := name
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(name), m[1])
			}
			if _, err := os.Stat(filepath.Join(testenv.Root(), to)); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
			if to != name {
				reached[to] = true
			}
			if m[2] == "" {
				continue
			}
			there := slices.ContainsFunc(heading.FindAllStringSubmatch(docs[to], -1), func(h []string) bool { return anchor(h[1]) == m[2] })
			if !there {
				t.Errorf("%s links to a heading that %s lacks: %s", name, to, m[2])
			}
		}
		for _, m := range makeTarget.FindAllStringSubmatch(body, -1) {
			if target := m[1] + m[2]; !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("%s says make %s, which there is not", name, target)
			}
		}
	}
	for name := range docs {
		if !reached[name] {
			t.Errorf("no document links to %s", name)
		}
	}
}

// Prose is wrapped; what cannot be, rows of tables and what is quoted, may be longer.
func TestProseIsWrapped(t *testing.T) {
	for name, body := range documents(t) {
		quoted := false
		n := 0
		for line := range strings.Lines(body) {
			n++
			if strings.HasPrefix(line, "```") {
				quoted = !quoted
			}
			if length := len([]rune(strings.TrimRight(line, "\n"))); length > 160 && !quoted && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d has %d characters", name, n, length)
			}
		}
	}
}

// What documents mark as runnable runs as it stands, in a folder that has but the programs in bin/.
func TestDocumentedCommands(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	blocks := 0
	for name, body := range documents(t) {
		dir := folder(t)
		must(t, os.Symlink(bin, filepath.Join(dir, "bin")))
		for _, m := range runnable.FindAllStringSubmatch(body, -1) {
			blocks++
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", m[1])
			cmd.Dir, cmd.Env = dir, testenv.Environ(t)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s\n%s", name, err, m[1], out)
			}
		}
	}
	if blocks == 0 {
		t.Error("no document has a block that is marked as \"bash run\"")
	}
}

// Every fault of the list has a row, and every test that a row names exists.
func TestFaultsAreShown(t *testing.T) {
	page, err := os.ReadFile(testenv.Root() + "/docs/reliability.md")
	must(t, err)
	tests := map[string]bool{}
	for _, pattern := range []string{"/*/*_test.go", "/*/*/*_test.go"} {
		files, err := filepath.Glob(testenv.Root() + pattern)
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
