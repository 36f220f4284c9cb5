package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// row is the numbers at the end of the last row of a lab's tables that begins like that.
func row(t *testing.T, out, begins string, count int) []float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^   \| `+regexp.QuoteMeta(begins)+` \| (.*) \|$`).FindAllStringSubmatch(out, -1)
	if len(found) == 0 {
		t.Fatalf("no row begins with %q:\n%s", begins, out)
	}
	var numbers []float64
	for cell := range strings.SplitSeq(found[len(found)-1][1], " | ") {
		n, err := strconv.ParseFloat(strings.TrimSuffix(cell, " s"), 64)
		must(t, err)
		numbers = append(numbers, n)
	}
	if len(numbers) != count {
		t.Fatalf("%d numbers in the row that begins with %q, not %d:\n%s", len(numbers), begins, count, out)
	}
	return numbers
}

// The workshop's labs do what its text says that one will see.
func TestLabs(t *testing.T) {
	alongside(t)
	lab := func(t *testing.T, name string) string {
		cmd := exec.CommandContext(t.Context(), filepath.Join(testenv.Root(), "tools", name+".sh"))
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.Env = append(testenv.Environ(t), "CI=1", "BIN="+bin, "LAB_DATA="+folder(t))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return string(out)
	}
	t.Run("latency", func(t *testing.T) {
		testenv.InTurn(t)
		out := lab(t, "lab1")
		if n := len(regexp.MustCompile(`(?m)^ {3}\w+: 640x360, 30 frames/s, H264, [1-9]\d+ bit/s$`).FindAllString(out, -1)); n != 4 {
			t.Errorf("%d streams are in /stat, of 4", n)
		}
		latency := func(begins string) float64 { return row(t, out, begins, 1)[0] }
		six, three, one := latency("6 s | 2 s | 3 before the end"), latency("2 s | 2 s | 3 before the end"), latency("2 s | 2 s | 1 before the end")
		mixed, short := latency("1 s wanted | 2 s | 1 before the end"), latency("1 s | 1 s | 1 before the end")
		if six < three+6 || three < one+2 || short > mixed || short > one { // and each encoder may lag a little
			t.Errorf("latency: %g, %g, %g, %g, %g s", six, three, one, mixed, short)
		}
	})
	t.Run("cache", func(t *testing.T) {
		testenv.InTurn(t)
		out := lab(t, "lab2")
		right, uncached := row(t, out, "playlists 1 s, segments 20 s", 5), row(t, out, "playlists never", 5)
		through, old := row(t, out, "segments never", 5), row(t, out, "playlists 30 s", 5)
		if viewers, origin := right[0], right[3]; viewers != 1000 || right[1] < 50*origin {
			t.Errorf("1,000 viewers: %v", right)
		}
		if uncached[3] < 20 || through[3] < 20 || old[4] < 90 {
			t.Errorf("wrong rules: %v, %v, %v", uncached, through, old)
		}
	})
	t.Run("fleet", func(t *testing.T) {
		testenv.InTurn(t)
		out := lab(t, "lab3")
		for _, want := range []string{", one is killed", " was done by a second worker", "(no_recording) replayed", "lab/lost  published"} {
			if !strings.Contains(out, want) {
				t.Errorf("nothing says %q:\n%s", want, out)
			}
		}
	})
}
