package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"afterlive/internal/job"
	"afterlive/internal/wiring"
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
func (b box) run(args ...string) (string, error) {
	var out bytes.Buffer
	err := run(b.t.Context(), append([]string{"--data", b.data}, args...), &out)
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
	place, err := wiring.Flags{Data: b.data}.Open(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	defer place.Close()
	out := map[string]job.Task{}
	for {
		backlog, err := place.Queue.Backlog(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if backlog.Waiting == 0 {
			return out
		}
		d, err := place.Queue.Receive(b.t.Context(), time.Minute)
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
func (b box) left() []string {
	b.t.Helper()
	var names []string
	err := filepath.WalkDir(b.rec, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
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
	out := b.must("send", file, "--as", "live/talk", "--profile", "360")
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
	b.must("send", file, "--as", "live/talk", "--profile", "360") // the very same: fine
	if again := b.sent(); again[task.Key] != task {
		t.Errorf("sent again as %+v", again)
	}
	_, err := b.run("send", b.record("other.flv", "FLV two"), "--as", "live/talk")
	if !errors.Is(err, errTaken) || len(b.sent()) > 0 || b.stored(task.Key) != "FLV one" {
		t.Errorf("another recording under the same name: %v", err)
	}
}

func TestHook(t *testing.T) {
	b := newBox(t)
	path := b.record("talk-1764000000.flv", "FLV one")
	hook := []string{"hook", "--path=" + path, "--app=live", "--name=talk"}
	b.must(hook...)
	key := "recordings/live/talk/talk-1764000000.flv"
	if sent := b.sent(); len(sent) != 1 || sent[key].Profile != "auto" || b.stored(key) != "FLV one" {
		t.Errorf("sent %+v", sent)
	}
	if left := b.left(); len(left) > 0 {
		t.Errorf("left %v, though the store has it", left)
	}
	b.must(hook...) // nginx fires once more for the same path
	if sent := b.sent(); len(sent) > 0 {
		t.Errorf("sent %+v for nothing", sent)
	}
	// Two recordings of one stream within a second have the same name.
	b.record("talk-1764000000.flv", "FLV two")
	b.must(hook...)
	sent := b.sent()
	for k := range sent {
		if k == key || !strings.HasPrefix(k, strings.TrimSuffix(key, ".flv")+"-") || b.stored(k) != "FLV two" || b.stored(key) != "FLV one" {
			t.Errorf("the second one went to %s", k)
		}
	}
	if len(sent) != 1 || len(b.left()) > 0 {
		t.Errorf("sent %+v, left %v", sent, b.left())
	}
	b.record("empty.flv", "")
	b.must("hook", "--path="+filepath.Join(b.rec, "empty.flv"))
	if sent := b.sent(); len(sent) > 0 || len(b.left()) != 1 {
		t.Errorf("sent %+v for an empty file, left %v", sent, b.left())
	}
}

// Where the store cannot be reached, the recording waits in the spool, and the
// hook can be run again on it.
func TestHookKeepsWhatItCannotSend(t *testing.T) {
	b := newBox(t)
	path := b.record("talk-1.flv", "FLV one")
	good := b.data
	b.data = b.record("not-a-folder", "x")
	if _, err := b.run("hook", "--path="+path, "--app=live", "--name=talk"); err == nil || !strings.Contains(err.Error(), ".spool") {
		t.Fatalf("got %v, want a word on where the recording is", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the recording is where nginx could write over it")
	}
	spooled, err := filepath.Glob(filepath.Join(b.rec, ".spool", "*.flv"))
	if err != nil || len(spooled) != 1 {
		t.Fatalf("in the spool: %v, %v", spooled, err)
	}
	b.data = good
	b.must("hook", "--path="+spooled[0])
	key := "recordings/live/talk/talk-1.flv"
	if sent := b.sent(); sent[key].Key != key || b.stored(key) != "FLV one" || len(b.left()) != 1 {
		t.Errorf("sent %+v, left %v", sent, b.left())
	}
}

// A hook that dies at any point is made good by running it again on whatever path
// the recording has by then.
func TestHookDiesAndRunsAgain(t *testing.T) {
	for _, tc := range []struct {
		name string
		upTo func(ctx context.Context, s spool, e entry, info fs.FileInfo, place *wiring.Place) error
	}{
		{"before anything", func(context.Context, spool, entry, fs.FileInfo, *wiring.Place) error { return nil }},
		{"spooled", func(_ context.Context, s spool, e entry, info fs.FileInfo, _ *wiring.Place) error {
			_, err := s.take(e, info)
			return err
		}},
		{"uploaded", func(ctx context.Context, s spool, e entry, info fs.FileInfo, place *wiring.Place) error {
			e, err := s.take(e, info)
			if err != nil {
				return err
			}
			_, err = sender{place: place, profile: e.Profile}.file(ctx, s.flv(e.ID), e.key(""))
			return err
		}},
		{"sent", func(ctx context.Context, s spool, e entry, info fs.FileInfo, place *wiring.Place) error {
			e, err := s.take(e, info)
			if err != nil {
				return err
			}
			out := sender{place: place, profile: e.Profile}
			task, err := out.file(ctx, s.flv(e.ID), e.key(""))
			if err != nil {
				return err
			}
			return out.send(ctx, task)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBox(t)
			path := b.record("talk-1.flv", "FLV one")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			place, err := wiring.Flags{Data: b.data}.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer place.Close()
			s := spool{folder: filepath.Join(b.rec, ".spool")}
			if err := tc.upTo(t.Context(), s, entry{Path: path, App: "live", Name: "talk", Profile: "auto"}, info, place); err != nil {
				t.Fatal(err)
			}
			again := path
			if spooled, err := filepath.Glob(s.folder + "/*.flv"); err == nil && len(spooled) == 1 {
				again = spooled[0]
			}
			b.must("hook", "--path="+again, "--app=live", "--name=talk")
			key := "recordings/live/talk/talk-1.flv"
			if sent := b.sent(); len(sent) != 1 || sent[key].Key != key || b.stored(key) != "FLV one" || len(b.left()) > 0 {
				t.Errorf("sent %+v, left %v", sent, b.left())
			}
		})
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
	file := b.record("live-1764000000.flv", "FLV live")
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), lockVariable+"="+file)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) > 0 {
		t.Errorf("sent %+v", sent)
	}
	if err := errors.Join(in.Close(), holder.Wait()); err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) != 1 || len(b.left()) > 0 {
		t.Errorf("after the lock is gone: sent %+v, left %v", sent, b.left())
	}
}

func TestHookManyAtOnce(t *testing.T) {
	b := newBox(t)
	var wg sync.WaitGroup
	for i := range 20 {
		name := strings.Repeat("x", i+1)
		path := b.record(name+".flv", "FLV "+name)
		wg.Go(func() {
			if _, err := b.run("hook", "--path="+path, "--app=live", "--name="+name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sent := b.sent(); len(sent) != 20 || len(b.left()) > 0 {
		t.Errorf("%d sent, left %v", len(sent), b.left())
	}
}

// Publishers choose the stream's name; whatever it is, the recording arrives, and
// nothing is written elsewhere.
func TestHookHostileNames(t *testing.T) {
	for _, name := range []string{
		">>/tmp/x", "--help", "-rf", "../../etc/passwd", "..", ".hidden", "a b", `"'; id $(id) ` + "`id`", "señal ☃", "%2e%2e%2f", "a/b", strings.Repeat("x", 300), strings.Repeat("й", 100), "",
	} {
		b := newBox(t)
		file := "f-1.flv"
		if name != "" { // as nginx names it, but for its escapes
			file = strings.ReplaceAll(name[:min(len(name), 200)], "/", "%2f") + "-1764000000.flv"
		}
		path := b.record(file, "FLV "+name)
		b.must("hook", "--path="+path, "--app=live", "--name="+name)
		sent := b.sent()
		if len(sent) != 1 {
			t.Errorf("%q: sent %+v", name, sent)
		}
		b.record(file, "FLV again") // within the same second
		b.must("hook", "--path="+path, "--app=live", "--name="+name)
		if again := b.sent(); len(again) != 1 || len(b.left()) > 0 {
			t.Errorf("%q a second time: sent %+v, left %v", name, again, b.left())
		}
		for key := range sent {
			if !strings.HasPrefix(key, "recordings/live/") || !fs.ValidPath(key) || b.stored(key) != "FLV "+name {
				t.Errorf("%q became %q", name, key)
			}
		}
	}
}

// nginx starts hooks with nothing in their environment.
func TestHookConfiguredByFile(t *testing.T) {
	b := newBox(t)
	config := b.record("afterlive.yaml", "data: "+b.data+"\nprofile: \"360\"\nlog-file: "+filepath.Join(b.rec, "hook.log")+"\n")
	path := b.record("talk-1.flv", "FLV one")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--config=" + config, "hook", "--path=" + path, "--app=live", "--name=talk"}, &out); err != nil {
		t.Fatal(err)
	}
	if sent := b.sent(); sent["recordings/live/talk/talk-1.flv"].Profile != "360" {
		t.Errorf("sent %+v", sent)
	}
	if log, err := os.ReadFile(filepath.Join(b.rec, "hook.log")); err != nil || !strings.Contains(string(log), "recording is enqueued") {
		t.Errorf("log %q, %v", log, err)
	}
	t.Setenv("AFTERLIVE_DATA", b.data) // comes before the file
	if err := run(t.Context(), []string{"--config=" + b.record("good.yaml", "data: /nowhere/at/all\n"), "status"}, &out); err != nil {
		t.Error(err)
	}
	for name, body := range map[string]string{"broken": "{", "typo": "profil: flat\n"} {
		if err := run(t.Context(), []string{"--config=" + b.record("bad.yaml", body), "status", "--data", b.data}, &out); err == nil {
			t.Errorf("a config file that is %s passes", name)
		}
	}
}

func TestStatus(t *testing.T) {
	b := newBox(t)
	if out := b.must("status"); !strings.Contains(out, "no such job is planned yet") || !strings.Contains(out, "queue: 0 waiting") {
		t.Errorf("status of nothing:\n%s", out)
	}
	b.must("send", b.record("talk.flv", "FLV"))
	var r report
	if err := json.Unmarshal([]byte(b.must("status", "--json")), &r); err != nil || r.Queue.Waiting != 1 || len(r.Jobs) != 0 {
		t.Errorf("status %+v, %v", r, err)
	}
	if got := clock(3723.4); got != "1:02:03" {
		t.Errorf("clock %s", got)
	}
}
