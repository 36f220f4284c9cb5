package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/job"
)

const lockVariable = "AFTERLIVE_TEST_LOCK"

// TestMain is also the program that holds a lock, as nginx does.
func TestMain(m *testing.M) {
	if file := os.Getenv(lockVariable); file != "" {
		if err := holdLock(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// holdLock locks a file, says so, and holds on until its standard input ends.
func holdLock(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close() // or the garbage collector would, and with it goes the lock
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// box is a folder for everything, and one that nginx records to.
type box struct {
	t         *testing.T
	data, rec string
}

func newBox(t *testing.T) box { return box{t, t.TempDir(), t.TempDir()} }

// run runs a command of enqueue.
func (b box) run(args ...string) (string, error) { return b.runAt([]string{"--data", b.data}, args...) }

// runAt runs a command with another place than the box.
func (b box) runAt(place []string, args ...string) (string, error) {
	var out bytes.Buffer
	err := run(b.t.Context(), append(slices.Clip(place), args...), &out)
	return out.String(), err
}

func (b box) must(args ...string) string {
	b.t.Helper()
	out, err := b.run(args...)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b box) record(name, body string) string {
	b.t.Helper()
	file := filepath.Join(b.rec, name)
	if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return file
}

// sent takes all tasks from the queue, by key.
func (b box) sent() map[string]job.Task {
	b.t.Helper()
	backend, err := config.Flags{Data: b.data}.Open(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	defer backend.Close()
	out := map[string]job.Task{}
	for {
		backlog, err := backend.Queue.Backlog(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if backlog.Waiting == 0 {
			return out
		}
		d, err := backend.Queue.Receive(b.t.Context(), time.Minute)
		if err != nil {
			b.t.Fatal(err)
		}
		tasks, err := job.Parse(d.Body)
		if err != nil {
			b.t.Fatal(err)
		}
		out[tasks[0].Key] = tasks[0]
	}
}

// stored is a recording in the store.
func (b box) stored(key string) string {
	b.t.Helper()
	body, err := os.ReadFile(filepath.Join(b.data, key))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(body)
}

// left are the files in the recordings folder and its spool.
// lock lets another process lock a file, as nginx does while it records.
func (b box) lock(file string) (unlock func()) {
	b.t.Helper()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), lockVariable+"="+file)
	in, err := holder.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		b.t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		b.t.Helper()
		if err := errors.Join(in.Close(), holder.Wait()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b box) left() []string {
	b.t.Helper()
	var names []string
	err := filepath.WalkDir(b.rec, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".upload-") {
			names = append(names, strings.TrimPrefix(name, b.rec+"/"))
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return names
}

func TestSend(t *testing.T) {
	b := newBox(t)
	file := b.record("talk.flv", "FLV one")
	out := b.must("send", "--force", file, "--as", "live/talk", "--profile", "360")
	sent := b.sent()
	task := sent["recordings/live/talk.flv"]
	if len(sent) != 1 || task.Kind != job.Recording || task.Profile != "360" || task.ETag == "" {
		t.Errorf("sent %+v", sent)
	}
	if id := job.ID("", task.Key, task.ETag, "360"); !strings.Contains(out, id) {
		t.Errorf("no word of job %s in:\n%s", id, out)
	}
	if b.stored(task.Key) != "FLV one" || len(b.left()) != 1 {
		t.Errorf("stored %q, left %v: send keeps the file", b.stored(task.Key), b.left())
	}
	b.must("send", "--force", file, "--as", "live/talk", "--profile", "360") // the very same: fine
	if again := b.sent(); again[task.Key] != task {
		t.Errorf("sent again as %+v", again)
	}
	_, err := b.run("send", "--force", b.record("other.flv", "FLV two"), "--as", "live/talk")
	if !errors.Is(err, errTaken) || len(b.sent()) > 0 || b.stored(task.Key) != "FLV one" {
		t.Errorf("another recording under the same name: %v", err)
	}
}

// Whatever a hook could not finish, or nginx not begin, a sweep makes good.
func TestSweep(t *testing.T) {
	b := newBox(t)
	failing := b
	failing.data = b.record("not-a-folder", "x")
	for _, name := range []string{"one", "two"} {
		if _, err := failing.run("hook", "--path="+b.record(name+"-1764000000.flv", "FLV "+name), "--app=live", "--name="+name); err == nil {
			t.Fatal("the hook reached a store that isn't there")
		}
	}
	old := time.Now().Add(-time.Hour)
	left := func(name string) { // by an nginx that was killed an hour ago
		if err := os.Chtimes(b.record(name, "FLV "+name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	left("a%20b-1764000001.flv")
	left(".hidden-1764000002.flv")
	b.record("fresh-1764000003.flv", "FLV fresh")
	b.record("empty-1764000004.flv", "")
	must := func(dir string) map[string]job.Task {
		b.must("sweep", dir)
		return b.sent()
	}
	sent := must(b.rec)
	for _, key := range []string{"one/one-1764000000", "two/two-1764000000", "a_b/a_20b-1764000001", "_hidden/_hidden-1764000002"} {
		if sent["recordings/live/"+key+".flv"].Key == "" {
			t.Errorf("%s is not among %+v", key, sent)
		}
	}
	if len(sent) != 4 {
		t.Errorf("sent %+v", sent)
	}
	if again := must(b.rec); len(again) > 0 {
		t.Errorf("sent again: %+v", again)
	}
	if got := strings.Join(b.left(), " "); got != "empty-1764000004.flv fresh-1764000003.flv not-a-folder" {
		t.Errorf("left %s", got)
	}
}

// What nginx holds a lock on is still being recorded, however long ago it was
// written to: the lock is another process's, here this test's program once more.
func TestSweepLeavesLiveRecordingsAlone(t *testing.T) {
	b := newBox(t)
	unlock := b.lock(b.record("live-1764000000.flv", "FLV live"))
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) > 0 {
		t.Errorf("sent %+v", sent)
	}
	unlock()
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) != 1 || len(b.left()) > 0 {
		t.Errorf("after the lock is gone: sent %+v, left %v", sent, b.left())
	}
}

// How long a job will take follows from how it went while it was watched.
func TestPace(t *testing.T) {
	at := time.Unix(1000, 0)
	one := catalog.Status{Job: "j", State: catalog.Working, Planned: at, Duration: 600}
	p := pace{}
	for _, tc := range []struct {
		after   time.Duration // since it was planned
		encoded float64
		left    float64
	}{
		{30 * time.Second, 0, 0}, // who knows?
		{60 * time.Second, 60, 270},
		{70 * time.Second, 60, 260}, // no part came, and time went by
		{90 * time.Second, 180, 140},
		{300 * time.Second, 180, 1}, // it takes longer than it should
		{310 * time.Second, 600, 1},
	} {
		one.Encoded = tc.encoded
		if got := p.left(one, at.Add(tc.after)); math.Abs(got-tc.left) > 0.5 {
			t.Errorf("after %s with %g s done: %g s left, want %g", tc.after, tc.encoded, got, tc.left)
		}
	}
	other := catalog.Status{Job: "k", State: catalog.Working, Planned: at, Duration: 600, Encoded: 60}
	if got := p.left(other, at.Add(time.Minute)); got != 540 { // seen for the first time
		t.Errorf("%g s left, want 540", got)
	}
}

func TestStatus(t *testing.T) {
	b := newBox(t)
	if out := b.must("status"); !strings.Contains(out, "no recording was planned in the last 168 hours") || !strings.Contains(out, "queue: 0 waiting") {
		t.Errorf("status of nothing:\n%s", out)
	}
	b.must("send", "--force", b.record("talk.flv", "FLV"))
	var r report
	if err := json.Unmarshal([]byte(b.must("status", "--json")), &r); err != nil || r.Queue.Waiting != 1 || len(r.Jobs) != 0 {
		t.Errorf("status %+v, %v", r, err)
	}
	if got := clock(3723.4); got != "1:02:03" {
		t.Errorf("clock %s", got)
	}
}
