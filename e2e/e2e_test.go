// Package e2e runs the built binaries: against a real nginx-rtmp, an SQS and an S3
// that we didn't write, and in a folder alone.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
)

// bin is where the binaries are.
var bin string

// patience bounds a wait for what comes when it comes: it ends a test that hangs, and
// promises nothing, on a machine that does other things too.
const patience = 5 * time.Minute

// atOnce is how many tests run at once, where they may: they wait for most of their time.
const atOnce = "4"

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	var err error
	if bin, err = os.MkdirTemp("", "afterlive-bin-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(bin)
	if err := os.Chmod(bin, 0o755); err != nil { // nginx's user runs enqueue
		return 0, err
	}
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/...", "./tools/viewers")
	build.Dir = testenv.Root()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build: %w\n%s", err, out)
	}
	if err := flag.Set("test.parallel", atOnce); err != nil { // -parallel comes later
		return 0, err
	}
	code := m.Run()
	closeChromium() // what it is now: a test may have opened one
	return code, nil
}

// alongside lets a test run beside others, with an environment of its own.
func alongside(t *testing.T) {
	t.Helper()
	testenv.Apart(t)
	t.Parallel()
}

// profiles are small and quick, and have more than one chunk in 7 s.
const profiles = `
- name: quick
  chunk: 6s
  ladders:
    - &quick
      name: flat
      projection: flat
      rungs:
        - {height: 180, crf: 28, maxrate: 500k, bufsize: 750k, preset: ultrafast}
        - {height: 90, crf: 28, maxrate: 200k, bufsize: 300k, preset: ultrafast}
- name: transport
  container: ts
  chunk: 6s
  ladders: [*quick]
- name: sphere
  chunk: 6s
  quality: 4
  ladders:
    - {name: equirectangular, projection: equirectangular, rungs: [&one {height: 512, crf: 14, maxrate: 9000k, bufsize: 9000k, preset: ultrafast}]}
    - {name: cubemap, projection: cubemap, rungs: [&face {face: 256, crf: 14, maxrate: 9000k, bufsize: 9000k, preset: ultrafast}]}
    - {name: turned, projection: cubemap, layout: {order: lfrdbu, rotation: "000313", pad: 8}, rungs: [*face]}
    - {name: eac, projection: eac, rungs: [*face]}
- name: cube
  ladders:
    - {name: cubemap, projection: cubemap, rungs: [{face: 64, crf: 14, maxrate: 2000k, bufsize: 2000k, preset: ultrafast}]}
- name: long
  chunk: 24s
  ladders: [*quick]
- name: slow
  chunk: 60s
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 360, crf: 18, maxrate: 5000k, bufsize: 7500k, preset: veryslow}
`

// folder is a temporary folder that nginx's user can read.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeFile(t *testing.T, name, body string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// enqueue runs enqueue to its end.
func enqueue(t *testing.T, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "enqueue"), args...)
	cmd.Env = testenv.Environ(t)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("enqueue %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// worker is a running worker.
type worker struct {
	*exec.Cmd
	scratch string
	log     *os.File
	ended   chan error
}

// startWorker starts a worker on its own scratch folder, and ends it, and all that it
// has started, with the test: they write to folders that are removed then.
func startWorker(t *testing.T, args ...string) *worker {
	t.Helper()
	return startWorkerIn(t, nil, args...)
}

// startWorkerIn starts one in a network namespace, or here.
func startWorkerIn(t *testing.T, home *netns, args ...string) *worker {
	t.Helper()
	w := &worker{scratch: t.TempDir(), ended: make(chan error, 1)}
	var err error
	if w.log, err = os.Create(filepath.Join(t.TempDir(), "worker.log")); err != nil {
		t.Fatal(err)
	}
	own := w.scratch
	file := writeFile(t, filepath.Join(t.TempDir(), "profiles.yaml"), profiles)
	w.Cmd = exec.Command(filepath.Join(bin, "worker"), append([]string{"--scratch", own, "--profiles", file}, args...)...)
	w.Env = append(testenv.Environ(t), "AFTERLIVE_SLOTS=1") // unless args say otherwise: one task after the other
	w.Stderr = w.log
	home.inside(w.Cmd)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	waited := make(chan struct{})
	go func() {
		w.ended <- w.Wait()
		close(waited)
	}()
	t.Cleanup(func() {
		_ = w.Process.Kill() // it has mostly ended
		<-waited
		settle(func() bool { return len(encoders(own)) == 0 })
		if t.Failed() {
			t.Logf("worker:\n%s", w.output(t))
		}
		_ = w.log.Close()
	})
	return w
}

func (w *worker) output(t *testing.T) string {
	t.Helper()
	body, err := os.ReadFile(w.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// finish waits until the worker has ended, and fails if it ended badly.
func (w *worker) finish(t *testing.T) {
	t.Helper()
	select {
	case err := <-w.ended:
		if err != nil {
			t.Errorf("worker: %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("the worker still runs after %s", patience)
	}
}

func (w *worker) encoders() []int { return encoders(w.scratch) }

// encoders are the processes whose working folder is in a worker's scratch.
func encoders(scratch string) []int {
	return processes("cwd", func(pid string) bool {
		dir, err := os.Readlink("/proc/" + pid + "/cwd")
		return err == nil && strings.HasPrefix(dir, scratch+"/")
	})
}

// processes are those of which something is true. What that is must be in their folders
// of /proc.
func processes(what string, so func(pid string) bool) (found []int) {
	files, err := filepath.Glob("/proc/[0-9]*/" + what)
	if err != nil {
		panic(err) // the pattern is good
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		if pid, err := strconv.Atoi(name); err == nil && so(name) {
			found = append(found, pid)
		}
	}
	return found
}

// eventually tries until it is so, and fails after within.
func eventually(t *testing.T, within time.Duration, what string, so func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if !await(ctx, so) {
		t.Fatalf("not within %s: %s", within, what)
	}
	return time.Since(began)
}

// settle waits until it is so, when the test has ended.
func settle(so func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	await(ctx, so)
}

// await tries until it is so, or the context ends.
func await(ctx context.Context, so func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// source makes a recording: moving bars and a tone.
func source(t *testing.T, size string, fps, seconds int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "source.flv")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-y",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=%s:r=%d:d=%d", size, fps, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=f=440:r=44100:d=%d", seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", fmt.Sprint(2*fps), "-c:a", "aac", "-f", "flv", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make source: %v\n%s", err, out)
	}
	return file
}

// report is what "enqueue status --json" prints.
type report struct {
	Jobs []struct {
		Job      string  `json:"job"`
		Asset    string  `json:"asset"`
		State    string  `json:"state"`
		Reason   string  `json:"reason"`
		Parts    int     `json:"parts"`
		Duration float64 `json:"duration_s"`
	} `json:"jobs"`
	Queue struct {
		Waiting  int `json:"waiting"`
		InFlight int `json:"in_flight"`
	} `json:"queue"`
	Failed int `json:"failed"`
}

func status(t *testing.T, args ...string) report {
	t.Helper()
	var r report
	if err := json.Unmarshal([]byte(enqueue(t, append([]string{"status", "--json"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// parts are the parts in a folder's store, and what they say.
func parts(t *testing.T, data string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(data + "/jobs/*/parts/*.json")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(body)
	}
	return out
}

func terminate(t *testing.T, w *worker, s syscall.Signal) {
	t.Helper()
	if err := w.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// commandError runs a binary and returns what it says, and how it ended.
func commandError(ctx context.Context, t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Env = testenv.Environ(t)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
