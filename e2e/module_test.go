package e2e

import (
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
	"encoding/json"
	"os"

	"afterlive.alt/job"
)

func main() {
	task := job.Task{Version: job.Version, Kind: job.Recording, Bucket: "recs", Key: "recordings/live/talk.flv"}
	if err := job.ValidKey(task.Key); err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(task); err != nil {
		panic(err)
	}
}
`

// A release has the Go module as a proxy serves it: other projects import package job from there.
func TestOthersImportJob(t *testing.T) {
	git(t, "rev-parse") // skips where there is no clone
	proxy, project := t.TempDir(), t.TempDir()
	const version = "v0.0.1-test"
	if out, err := exec.CommandContext(t.Context(), filepath.Join(testenv.Root(), "tools", "module.sh"), version, proxy).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(project, "main.go"), []byte(integrator), 0o600))
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Stderr = project, os.Stderr
		// Its own module cache, and the machine's as a proxy: nothing is asked of a network.
		cmd.Env = append(os.Environ(), "GOPROXY=file://"+proxy+",file://"+filepath.Join(strings.TrimSpace(string(cache)), "cache", "download"),
			"GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw", "GONOSUMDB=*", "GOTOOLCHAIN=local")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	run("mod", "init", "example.org/integrator")
	run("get", "afterlive.alt/job@"+version)
	tasks, err := job.Parse([]byte(run("run", ".")))
	if err != nil || len(tasks) != 1 || tasks[0].Kind != job.Recording || job.Asset(tasks[0].Key) != "live/talk" {
		t.Errorf("the project sends %+v, %v", tasks, err)
	}
}
