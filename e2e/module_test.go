package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// integrator is another project's program, which puts a recording on the queue.
const integrator = `package main

import (
	"os"

	"afterlive.alt/job"
)

func main() {
	os.Stdout.Write(job.Task{Kind: job.Recording, Bucket: "recs", Key: "recordings/live/talk.flv"}.Body())
}
`

// A release has the Go module as a proxy serves it: other projects import package job from there.
func TestOthersImportJob(t *testing.T) {
	git(t, "rev-parse") // skips where there is no clone
	proxy, project, modules := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(version string) error {
		out, err := exec.CommandContext(t.Context(), filepath.Join(testenv.Root(), "tools", "module.sh"), version, proxy).CombinedOutput()
		if err != nil {
			return fmt.Errorf("module.sh %s: %w: %s", version, err, out)
		}
		return nil
	}
	for _, wrong := range []string{"v2.0.0", "v0.1.0-RC1", "latest"} { // Go would take none of them
		if write(wrong) == nil {
			t.Errorf("version %s is taken", wrong)
		}
	}
	const version = "v0.0.2"
	must(t, errors.Join(write("v0.0.1"), write(version)))
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(project, "main.go"), []byte(integrator), 0o600))
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Stderr = project, os.Stderr
		// Its own module cache, and the machine's as a proxy: nothing is asked of a network.
		cmd.Env = append(os.Environ(), "GOPROXY=file://"+proxy+",file://"+filepath.Join(strings.TrimSpace(string(cache)), "cache", "download"),
			"GOMODCACHE="+modules, "GOFLAGS=-modcacherw", "GONOSUMDB=*", "GOTOOLCHAIN=local")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	run("mod", "init", "example.org/integrator")
	run("get", "afterlive.alt/job@latest")
	if all := run("list", "-m", "-versions", "afterlive.alt"); !strings.Contains(all, "v0.0.1 v0.0.2") {
		t.Errorf("the proxy has %s", all)
	}
	if used := run("list", "-m", "afterlive.alt"); !strings.Contains(used, version) {
		t.Errorf("latest is %s", used)
	}
	if _, err := os.Stat(filepath.Join(modules, "afterlive.alt@"+version, "player", "web", "hls.mjs")); err != nil {
		t.Error("go install would build programs without the player")
	}
	tasks, err := job.Parse([]byte(run("run", ".")))
	if err != nil || len(tasks) != 1 || tasks[0].Kind != job.Recording || job.Asset(tasks[0].Key) != "live/talk" {
		t.Errorf("the project sends %+v, %v", tasks, err)
	}
}
