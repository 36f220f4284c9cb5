package config

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type program struct {
	Flags

	Send struct {
		File  string `arg:"" help:"A file."`
		Force bool   `help:"Whatever it is."`
	} `cmd:"" help:"Send a file. It stays."`
	Status struct {
		Watch bool `help:"Again and again." short:"w"`
	} `cmd:"" help:"Show how things are."`
}

// parse parses a command line, and returns what it prints.
func parse(t *testing.T, args ...string) string {
	t.Helper()
	var p program
	var out bytes.Buffer
	ended := false
	parser, err := kong.New(&p, kong.Name("prog"), kong.Description("Does things. Many.\n\n  prog send x\n\nAnd more."), kong.Writers(&out, &out),
		kong.Exit(func(int) { ended = true }), kong.Vars{"version": "1"}, kong.ExplicitGroups(Groups()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); !ended {
		t.Fatalf("it goes on: %v", err)
	}
	return out.String()
}

// The manual page has all commands and flags, and no line that roff would take for a request of its own.
func TestManual(t *testing.T) {
	page := parse(t, "--man")
	for _, want := range []string{".TH PROG 1", "prog \\- Does things", ".SS send", ".SS status", `\-\-force`, `\-\-watch`, `\-\-data`, "AFTERLIVE_DATA", ".nf\n  prog send x\n.PP\n.fi\nAnd more."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".TH ") && !strings.HasPrefix(line, ".SH ") && !strings.HasPrefix(line, ".SS ") && !strings.HasPrefix(line, ".B ") &&
			line != ".TP\n" && line != ".PP\n" && line != ".nf\n" && line != ".fi\n" {
			t.Errorf("an odd request: %s", line)
		}
	}
}

// bash completes commands, and the flags of the one that is there.
func TestCompletion(t *testing.T) {
	script := parse(t, "--completion")
	for line, want := range map[string]string{"prog st": "status", "prog send --fo": "--force", "prog status --wa": "--watch", "prog --da": "--data", "prog status --fo": ""} {
		words := strings.Fields(line)
		ask := script + "\nCOMP_WORDS=(" + line + "); COMP_CWORD=" + string(rune('0'+len(words)-1)) + "; _prog; echo \"${COMPREPLY[@]}\""
		out, err := exec.CommandContext(t.Context(), "bash", "-c", ask).Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
}
