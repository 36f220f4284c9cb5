package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// git asks the repository, and skips where there is none.
func git(t *testing.T, args ...string) []string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir, cmd.Stderr = testenv.Root(), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("this is not a clone, or git is not here: git %s: %v: %s", strings.Join(args, " "), err, stderr.String())
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
	makefile, err := os.ReadFile(testenv.Root() + "/Makefile")
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
		if exec.CommandContext(t.Context(), "git", "-C", testenv.Root(), "check-ignore", "-q", "--no-index", inside).Run() != nil {
			t.Errorf("make clean removes %s, which git does not ignore", name)
		}
	}
}

// An image is built from what .dockerignore lets through: every package of its programs is to be there, and every file that a stage copies.
func TestImagesAreSentWhatTheyBuild(t *testing.T) {
	ignore, err := os.ReadFile(testenv.Root() + "/.dockerignore")
	must(t, err)
	sent := func(name string) bool {
		for line := range strings.Lines(string(ignore)) {
			if allowed, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok && (name == allowed || strings.HasPrefix(name, allowed+"/")) {
				return true
			}
		}
		return false
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}", "./cmd/worker", "./cmd/enqueue")
	list.Dir = testenv.Root()
	packages, err := list.Output()
	must(t, err)
	wanted := strings.Fields(string(packages))
	if len(wanted) < 20 {
		t.Fatalf("the programs consist of %d packages", len(wanted))
	}
	for i, dir := range wanted {
		if wanted[i], err = filepath.Rel(testenv.Root(), dir); err != nil {
			t.Fatal(err)
		}
	}
	dockerfile, err := os.ReadFile(testenv.Root() + "/Dockerfile")
	must(t, err)
	for _, copied := range regexp.MustCompile(`(?m)^COPY ([^-\n].*) \S+$`).FindAllSubmatch(dockerfile, -1) {
		wanted = append(wanted, strings.Fields(string(copied[1]))...)
	}
	for _, name := range wanted {
		if name != "." && !sent(name) {
			t.Errorf("the Dockerfile needs %s, which .dockerignore keeps from it", name)
		}
	}
}
