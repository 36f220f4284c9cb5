package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

func TestFolder(t *testing.T) {
	alongside(t)
	data := t.TempDir()
	recording := source(t, "320x180", 25, 14)
	out := enqueue(t, "send", "--data", data, "--as", "live/talk", "--profile", "quick", recording)
	if !strings.Contains(out, "asset live/talk;") {
		t.Errorf("send says:\n%s", out)
	}
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	r := status(t, "--data", data, "live/talk")
	if len(r.Jobs) != 1 || r.Jobs[0].State != "published" {
		t.Fatalf("status %+v", r)
	}
	checkHLS(t, data+"/vod/live/talk/master.m3u8", r.Jobs[0].Duration, []string{"320x180", "160x90"})

	// A second send of the same file is a no-op.
	before := files(t, data+"/vod")
	enqueue(t, "send", "--data", data, "--as", "live/talk", "--profile", "quick", recording)
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	if after := files(t, data+"/vod"); !maps.Equal(before, after) {
		t.Errorf("sending it again changed the result:\n%v\n%v", before, after)
	}
}

// files are the files below dir, with their times.
func files(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	out := map[string]time.Time{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		out[name] = info.ModTime()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHTTP(t *testing.T) {
	alongside(t)
	data := t.TempDir()
	enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "quick", source(t, "320x180", 25, 3))
	addr := "127.0.0.1:" + testenv.FreePort(t)
	startWorker(t, "--data", data, "--http", addr)
	enqueue(t, "status", "--watch", "--timeout", patience.String(), "--data", data)
	checkHLS(t, "http://"+addr+"/vod/talk/master.m3u8", 3, []string{"320x180", "160x90"})
	if body, _ := get(t, "http://"+addr+"/healthz"); body != "ok\n" {
		t.Errorf("/healthz says %q", body)
	}
	if _, header := get(t, "http://"+addr+"/vod/talk/master.m3u8"); header.Get("Access-Control-Allow-Origin") != "*" || header.Get("Cache-Control") == "" {
		t.Errorf("headers %v", header)
	}
	for _, path := range []string{"/vod/", "/vod/talk/", "/vod/../queue.db", "/queue.db", "/jobs/", "/vod/../recordings/talk.flv", "/vod/%2e%2e/queue.db"} {
		if body, _ := get(t, "http://"+addr+path); body != "" && !strings.HasPrefix(body, "<!doctype html>") { // a page for it, perhaps
			t.Errorf("%s is served", path)
		}
	}
}

// A worker that is killed at any moment costs the chunk at hand, and nothing else.
func TestKilledWorker(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	recording := source(t, "320x180", 25, 36)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	rounds := 1
	if *soak {
		rounds = 5
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			data := t.TempDir()
			enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "quick", recording)
			killed := startWorker(t, "--data", data, "--lease", "8s")
			wanted := random.IntN(4)
			eventually(t, patience, "some parts are done", func() bool { return len(parts(t, data)) >= wanted })
			time.AfterFunc(time.Duration(random.IntN(400))*time.Millisecond, func() {
				for _, pid := range killed.encoders() {
					_ = syscall.Kill(pid, syscall.SIGSTOP) // or it might end by itself, unnoticed
				}
				_ = killed.Process.Kill()
			})
			<-killed.ended
			eventually(t, patience, "no encoder outlives its worker", func() bool { return len(killed.encoders()) == 0 })
			before := parts(t, data)

			next := startWorker(t, "--data", data, "--lease", "8s", "--exit-when-idle")
			next.finish(t)
			after := parts(t, data)
			for name, body := range before {
				if after[name] != body {
					t.Errorf("%s was made again", name)
				}
			}
			r := status(t, "--data", data)
			if len(r.Jobs) != 1 || r.Jobs[0].State != "published" || len(after) != r.Jobs[0].Parts {
				t.Fatalf("status %+v", r)
			}
			if made := strings.Count(next.output(t), `"msg":"part done"`); made != len(after)-len(before) {
				t.Errorf("%d of %d parts were there; %d were made", len(before), len(after), made)
			}
			checkHLS(t, data+"/vod/talk/master.m3u8", r.Jobs[0].Duration, []string{"320x180", "160x90"})
			t.Logf("killed with %d of %d parts done", len(before), len(after))
		})
	}
}

// SIGTERM: another worker can have the task, of which much is left to do, long before its
// lease ends, and the worker is gone with its encoder.
func TestTerminatedWorker(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data := t.TempDir()
	enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "slow", source(t, "640x360", 25, 60))
	w := startWorker(t, "--data", data, "--lease", "1h")
	eventually(t, patience, "a chunk is being encoded", func() bool {
		busy, err := filepath.Glob(w.scratch + "/worker-*/chunk-*/flat/360p/*.m4s")
		return err == nil && len(busy) > 0
	})
	terminate(t, w, syscall.SIGTERM)
	handedBack := eventually(t, patience, "the task is visible again", func() bool { return status(t, "--data", data).Queue.Waiting == 1 })
	w.finish(t)
	if left := w.encoders(); len(left) > 0 {
		t.Errorf("encoders left: %v", left)
	}
	if left, err := filepath.Glob(w.scratch + "/worker-*"); err != nil || len(left) > 0 {
		t.Errorf("scratch left: %v, %v", left, err)
	}
	if _, done := parts(t, data)["chunk-00000.json"]; done || !strings.Contains(w.output(t), `"outcome":"interrupted"`) {
		t.Errorf("the task was not handed back; done: %t", done)
	}
	t.Logf("handed back after %s", handedBack)
}

// Bad input: a clear error where operators look, nothing published, and nothing
// else disturbed.
func TestBadRecordings(t *testing.T) {
	alongside(t)
	data, dir := t.TempDir(), t.TempDir()
	good := source(t, "320x180", 25, 3)
	film := filepath.Join(dir, "film.flv")
	if err := os.WriteFile(film, []byte("\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"+strings.Repeat("\x00", 5000)), 0o644); err != nil {
		t.Fatal(err)
	}
	inputs := map[string]string{
		writeFile(t, filepath.Join(dir, "empty.flv"), ""):                                         "the file is empty",
		writeFile(t, filepath.Join(dir, "text.flv"), "Dear diary,\ntoday I was streamed.\n"):      `starts with "Dear"`,
		writeFile(t, filepath.Join(dir, "garbage.flv"), strings.Repeat("\x9e\x00\x7f\xff", 5000)): "not_flv",
		film: "not_flv",
	}
	for name := range inputs {
		enqueue(t, "send", "--force", "--data", data, name)
	}
	enqueue(t, "send", "--data", data, "--as", "good", "--profile", "quick", good)
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)

	r := status(t, "--data", data)
	if r.Failed != len(inputs) || len(r.Jobs) != len(inputs)+1 {
		t.Errorf("status %+v", r)
	}
	for _, j := range r.Jobs {
		if good := j.Asset == "good"; good != (j.State == "published") || good == (j.State == "failed" && j.Reason == "not_flv") {
			t.Errorf("job %+v", j)
		}
	}
	said, err := commandError(t.Context(), t, "enqueue", "status", "--data", data, "--watch", "text")
	if err == nil || !strings.Contains(said, `starts with "Dear"`) {
		t.Errorf("watching what has failed: %v\n%s", err, said)
	}
	said, err = commandError(t.Context(), t, "enqueue", "status", "--data", data, "--watch", "nobody")
	if err == nil || !strings.Contains(said, "4 tasks are in the failed queue") {
		t.Errorf("watching what will never be: %v\n%s", err, said)
	}
	if entries, err := os.ReadDir(data + "/vod"); err != nil || len(entries) != 1 {
		t.Errorf("published: %v, %v", entries, err)
	}
	db, err := queue.OpenDB(t.Context(), filepath.Join(data, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	failed := queue.NewSQLite(db, "failed", 0)
	for range inputs {
		d, err := failed.Receive(t.Context(), time.Minute)
		if err != nil || d == nil {
			t.Fatalf("failed queue: %v, %v", d, err)
		}
		var f job.Failure
		var task job.Task
		if err := json.Unmarshal(d.Body, &f); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(f.Message, &task); err != nil {
			t.Fatal(err)
		}
		want := inputs[filepath.Join(dir, filepath.Base(task.Key))]
		if f.Class != "permanent" || f.Reason != "not_flv" || want == "" || !strings.Contains(f.Reason+": "+f.Detail, want) {
			t.Errorf("%s: %+v, want %q", task.Key, f, want)
		}
	}
}

// The worker's memory and its scratch do not grow with the recording.
func TestFlatMemoryAndScratch(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	type peak struct{ memory, scratch int64 }
	measure := func(seconds int) peak {
		data := t.TempDir()
		enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "long", source(t, "64x36", 10, seconds))
		w := startWorker(t, "--data", data, "--exit-when-idle", "--slots", "1", "--threads", "1")
		var p peak
		eventually(t, patience, "the worker is done", func() bool {
			p.memory = max(p.memory, highWater(w.Process.Pid))
			p.scratch = max(p.scratch, size(w.scratch))
			select {
			case err := <-w.ended:
				if err != nil {
					t.Fatalf("worker: %v", err)
				}
				return true
			default:
				return false
			}
		})
		if r := status(t, "--data", data); r.Jobs[0].State != "published" {
			t.Fatalf("status %+v", r)
		}
		return p
	}
	short, long := measure(24), measure(360) // one chunk, and 15
	t.Logf("24 s: %d KiB of memory, %d KiB of scratch; 6 min: %d KiB, %d KiB", short.memory>>10, short.scratch>>10, long.memory>>10, long.scratch>>10)
	if long.memory > short.memory+16<<20 {
		t.Errorf("memory grew from %d to %d bytes", short.memory, long.memory)
	}
	// The audio, one task, is encoded some hundred times as fast as it plays: what
	// it writes in the second between two collections is all that lies about.
	if long.scratch > short.scratch+6<<20 {
		t.Errorf("scratch grew from %d to %d bytes", short.scratch, long.scratch)
	}
}

// highWater is the most memory that a process has had, in bytes.
func highWater(pid int) int64 {
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// size of all files below a folder that changes meanwhile.
func size(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil // what is gone again has no size
	})
	return total
}

func TestBadFlags(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"worker", []string{"--slots=-1", "--lease", "1s", "--queue", "x", "--store", "file:///x"}, []string{"--slots", "--lease", "--queue", "--failed", "--recordings", "--store"}},
		{"worker", []string{"--ffmpeg", "/nowhere", "--data", t.TempDir(), "--exit-when-idle"}, []string{"--ffmpeg"}},
		{"worker", []string{"--profiles", "/nowhere", "--data", t.TempDir()}, []string{"profiles"}},
		{"enqueue", []string{"send", "/nowhere.flv", "--data", t.TempDir()}, []string{"/nowhere.flv"}},
		{"enqueue", []string{"send", "--as", "../x", source(t, "64x36", 10, 1), "--data", t.TempDir()}, []string{"recordings/../x.flv"}},
		{"enqueue", []string{"status", "--watch", "--timeout", "1s", "--data", t.TempDir()}, []string{"not done after 1s"}},
		{"enqueue", nil, []string{"send", "--help"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := commandError(ctx, t, tc.name, tc.args...)
		cancel()
		if err == nil {
			t.Errorf("%s %v: no error", tc.name, tc.args)
		}
		missing := slices.DeleteFunc(slices.Clone(tc.want), func(w string) bool { return strings.Contains(out, w) })
		if len(missing) > 0 || strings.Contains(out, "panic") {
			t.Errorf("%s %v says nothing of %v:\n%s", tc.name, tc.args, missing, out)
		}
	}
}
