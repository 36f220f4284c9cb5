package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"

	"afterlive/internal/standin"
)

// git asks the repository, and skips where there is none.
func git(t *testing.T, args ...string) []string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir, cmd.Stderr = standin.Root(), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("this is no clone, or git is not here: git %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
}

// What is installed or built is nobody's to commit: "make clean" removes it, and git has
// nothing to tell of afterwards.
func TestNothingInstalledIsTracked(t *testing.T) {
	tracked := git(t, "ls-files", "-z")
	for _, file := range tracked {
		if strings.Contains("/"+file, "/node_modules/") {
			t.Errorf("%s is tracked", file)
		}
	}
	makefile, err := os.ReadFile(standin.Root() + "/Makefile")
	must(t, err)
	recipe := regexp.MustCompile(`(?m)^clean:.*\n\trm -rf (.*)$`).FindSubmatch(makefile)
	if recipe == nil {
		t.Fatal("make clean no longer removes what it names in one line")
	}
	for name := range strings.FieldsSeq(string(recipe[1])) {
		for _, file := range tracked {
			if file == name || strings.HasPrefix(file, name+"/") {
				t.Errorf("make clean removes %s, which is tracked", file)
			}
		}
		inside := name // a folder that is not there is told by what would be in it
		if path.Ext(name) != ".mjs" {
			inside += "/file"
		}
		if exec.CommandContext(t.Context(), "git", "-C", standin.Root(), "check-ignore", "-q", "--no-index", inside).Run() != nil {
			t.Errorf("make clean removes %s, which git does not ignore", name)
		}
	}
}
