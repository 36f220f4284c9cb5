package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
)

// A publisher comes back before the hook of its first recording runs, and nginx
// writes to the same file again: the hook leaves it alone, and the next one takes it.
func TestHookLeavesLiveRecordingsAlone(t *testing.T) {
	b := newBox(t)
	path := b.record("talk.flv", "FLV one")
	hook := []string{"hook", "--path=" + path, "--app=live", "--name=talk"}
	unlock := b.lock(path)
	b.must(hook...)
	if sent := b.sent(); len(sent) > 0 || len(b.left()) != 1 {
		t.Errorf("sent %+v, left %v", sent, b.left())
	}
	unlock()
	b.must(hook...)
	if sent := b.sent(); len(sent) != 1 || len(b.left()) > 0 {
		t.Errorf("sent %+v, left %v", sent, b.left())
	}
}

// Without a lock, whoever has the file open for writing shows that it goes on.
func TestSweepSeesWriters(t *testing.T) {
	b := newBox(t)
	path := b.record("talk-1764000000.flv", "FLV one")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) > 0 {
		t.Errorf("sent %+v", sent)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) != 1 {
		t.Errorf("sent %+v", sent)
	}
}

// What is wrong with one file keeps no other from being swept.
func TestSweepGoesOn(t *testing.T) {
	b := newBox(t)
	loop := filepath.Join(b.rec, "loop.flv")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	b.record("talk-1764000000.flv", "FLV one")
	if _, err := b.run("sweep", "--older=0s", b.rec); err == nil || !strings.Contains(err.Error(), "loop.flv") {
		t.Errorf("got %v", err)
	}
	if sent := b.sent(); len(sent) != 1 {
		t.Errorf("sent %+v", sent)
	}
	b.record("two.flv", "FLV two")
	b.record("broken.flv", "x")
	spooled := filepath.Join(b.rec, ".spool")
	for name, body := range map[string]string{"bad.json": "{", "bad.flv": "FLV"} {
		if err := os.WriteFile(filepath.Join(spooled, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.run("sweep", "--older=0s", b.rec); err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("got %v", err)
	}
	if sent := b.sent(); len(sent) != 2 {
		t.Errorf("sent %+v", sent)
	}
	if _, err := b.run("sweep", filepath.Join(b.rec, "nowhere")); err == nil {
		t.Error("a folder that isn't there is swept")
	}
}

// A publisher came back just as its recording was moved, and goes on writing: it
// stays in the spool until it is at rest.
func TestSpoolLeavesWritersAlone(t *testing.T) {
	b := newBox(t)
	path := b.record("talk-1764000000.flv", "FLV one")
	failing := b
	failing.data = b.record("not-a-folder", "x")
	if _, err := failing.run("hook", "--path="+path, "--app=live", "--name=talk"); err == nil {
		t.Fatal("the hook reached a store that isn't there")
	}
	spooled, err := filepath.Glob(filepath.Join(b.rec, ".spool", "*.flv"))
	if err != nil || len(spooled) != 1 {
		t.Fatalf("%v, %v", spooled, err)
	}
	unlock := b.lock(spooled[0])
	b.must("sweep", b.rec)
	if sent := b.sent(); len(sent) > 0 {
		t.Errorf("sent %+v", sent)
	}
	unlock()
	b.must("sweep", b.rec)
	if sent := b.sent(); len(sent) != 1 {
		t.Errorf("sent %+v", sent)
	}
}

// cloudBox is a box whose queue and store are SQS by the rules and an S3 behind a
// proxy, both of which can fail.
func cloudBox(t *testing.T) (b box, strict *testenv.Strict, proxy *testenv.Proxy, run func(args ...string) error) {
	b, strict = newBox(t), testenv.NewStrict()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", false)
	proxy = cloud.Proxy(t)
	url := strict.Serve(t)
	place := []string{"--queue", strict.AddQueue(url, "tasks", "", 0), "--failed", strict.AddQueue(url, "failed", "", 0), "--recordings", "s3://recs", "--store", "s3://vod"}
	return b, strict, proxy, func(args ...string) error {
		_, err := b.runAt(place, args...)
		return err
	}
}

// S3 hangs: the recording is safe in the spool before S3 is asked for anything, and
// arrives when S3 is back. Nothing is sent twice.
func TestHookWithoutS3(t *testing.T) {
	b, strict, proxy, run := cloudBox(t)
	path := b.record("talk-1764000000.flv", "FLV one")
	var first sync.Once
	proxy.Script(func(testenv.Call) testenv.Fault {
		first.Do(func() {
			if spooled, err := filepath.Glob(filepath.Join(b.rec, ".spool", "*.flv")); err != nil || len(spooled) != 1 {
				t.Errorf("in the spool: %v, %v", spooled, err)
			}
		})
		return testenv.Fault{Break: true, Delay: 300 * time.Millisecond}
	})
	if err := run("hook", "--path="+path, "--app=live", "--name=talk"); err == nil || !strings.Contains(err.Error(), "enqueue sweep") {
		t.Errorf("got %v", err)
	}
	if err := run("sweep", b.rec); err == nil {
		t.Error("a sweep had no fault to tell of")
	}
	proxy.Script(nil)
	for range 2 {
		if err := run("sweep", b.rec); err != nil {
			t.Error(err)
		}
	}
	if sent := strict.Bodies("tasks"); len(sent) != 1 || len(b.left()) > 0 {
		t.Errorf("sent %q, left %v", sent, b.left())
	}
}

// SQS is down after the upload, and answers late or not at all: the task is sent when
// it is back. Where only the answer was lost, it is sent twice, as the same job.
func TestHookWithoutSQS(t *testing.T) {
	for name, fault := range map[string]testenv.Fault{
		"down":               {Code: "InternalError", Status: 500},
		"the answer is lost": {Code: "InternalError", Status: 500, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			b, strict, _, run := cloudBox(t)
			strict.Script(func(c testenv.Call) testenv.Fault {
				if c.Op == "SendMessage" {
					return fault
				}
				return testenv.Fault{}
			})
			path := b.record("talk-1764000000.flv", "FLV one")
			if err := run("hook", "--path="+path, "--app=live", "--name=talk"); err == nil {
				t.Error("the hook thinks that it was sent")
			}
			if len(b.left()) != 2 {
				t.Errorf("left %v", b.left())
			}
			strict.Script(nil)
			if err := run("sweep", b.rec); err != nil {
				t.Error(err)
			}
			bodies := map[string]bool{}
			for _, body := range strict.Bodies("tasks") {
				bodies[body] = true
			}
			if len(bodies) != 1 || len(b.left()) > 0 {
				t.Errorf("sent %v, left %v", bodies, b.left())
			}
		})
	}
}

// Fifty streams end at once: one job each, and no more than so many uploads at a
// time.
func TestFiftyHooks(t *testing.T) {
	b, strict, proxy, run := cloudBox(t)
	var mu sync.Mutex
	now, most := 0, 0
	proxy.Script(func(c testenv.Call) testenv.Fault {
		if c.Op != "PUT" {
			return testenv.Fault{}
		}
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(20 * time.Millisecond) // so long does an upload take, at least
		mu.Lock()
		now--
		mu.Unlock()
		return testenv.Fault{}
	})
	var hooks sync.WaitGroup
	for n := range 50 {
		path := b.record(fmt.Sprintf("talk%d-1764000000.flv", n), fmt.Sprintf("FLV %d", n))
		for range 1 + n%2 { // some are fired twice
			hooks.Go(func() {
				if err := run("hook", "--path="+path, "--app=live", "--name=talk"+fmt.Sprint(n)); err != nil && !strings.Contains(err.Error(), "sweep") {
					t.Error(err)
				}
			})
		}
	}
	hooks.Wait()
	if err := run("sweep", b.rec); err != nil {
		t.Error(err)
	}
	if sent := strict.Bodies("tasks"); len(sent) != 50 || len(b.left()) > 0 || most > uploads || most < 2 {
		t.Errorf("%d sent, left %v, %d uploads at once", len(sent), b.left(), most)
	}
}

// nginx runs hooks with nothing at all: no environment, no standard files, a working
// folder that is gone, as many descriptors as there can be.
func TestHookInAVoid(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "enqueue")
	build := exec.Command("go", "build", "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, prelude := range map[string]string{
		"closed descriptors": "exec <&- >&- 2>&-",
		"no folder":          "mkdir gone; cd gone; rmdir ../gone",
		"many descriptors":   "ulimit -n 1048576 || true",
		"read-only HOME":     "export HOME=/proc",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			path := b.record("talk-1764000000.flv", "FLV one")
			config := b.record("afterlive.yaml", "data: "+b.data+"\nlog-file: "+filepath.Join(b.rec, "hook.log")+"\n")
			command := exec.Command("/bin/bash", "-c", prelude+"; exec "+bin+" --config="+config+" hook --path="+path+" --app=live --name=talk")
			command.Env, command.Dir = []string{}, t.TempDir()
			if err := command.Run(); err != nil {
				t.Error(err)
			}
			if sent := b.sent(); len(sent) != 1 {
				t.Errorf("sent %+v", sent)
			}
		})
	}
}

// Parts of one stream become one asset.
func TestSendJoined(t *testing.T) {
	b := newBox(t)
	one, two := b.record("talk-1764000000.flv", "FLV"), b.record("talk-1764000600.flv", "FLV")
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{one, two}, "--join"},
		{[]string{"--join", one, two}, "--as"},
		{[]string{"--join", "--as=talk", one, two}, "talk-1764000000.flv"}, // no FLVs
		{[]string{"--join", "--as=talk", one, b.record("other-1764000600.flv", "FLV")}, "another stream"},
	} {
		if _, err := b.run(append([]string{"send", "--force"}, tc.args...)...); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: %v", tc.args, err)
		}
	}
	if sent := b.sent(); len(sent) > 0 {
		t.Errorf("sent %+v", sent)
	}
}

// Hook and sweep come to one recording at once: one of them takes it, with its own note,
// and the other leaves it alone.
func TestHookAndSweepAtOnce(t *testing.T) {
	b := newBox(t)
	path := b.record("talk-1764000000.flv", "FLV one")
	s := spool{folder: filepath.Join(b.rec, ".spool")}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	_, release, err := lockFile(path) // the hook is about to move it
	if err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", "--app=other", b.rec)
	b.must("hook", "--path="+path, "--app=other", "--name=talk")
	if sent := b.sent(); len(sent) > 0 || len(b.left()) != 1 {
		t.Errorf("sent %+v, left %v, though another is at it", sent, b.left())
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	e, err := s.take(entry{Path: path, App: "live", Name: "talk", Profile: "auto"}, info)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.take(entry{Path: path, App: "other", Name: "talk"}, info); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("taken twice: %v", err)
	}
	if release, err = s.lock(e); err != nil { // the hook uploads it
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", "--app=other", b.rec)
	if sent := b.sent(); len(sent) > 0 {
		t.Errorf("sent %+v, though another uploads it", sent)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", "--app=other", b.rec)
	if sent := b.sent(); sent["recordings/live/talk/talk-1764000000.flv"].Profile != "auto" || len(b.left()) > 0 {
		t.Errorf("sent %+v, left %v", sent, b.left())
	}
}

// A recording that took the place of another is not taken for it.
func TestTakeLooksAgain(t *testing.T) {
	b := newBox(t)
	path := b.record("talk.flv", "FLV one")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.record("new.flv", "FLV two"), path); err != nil {
		t.Fatal(err)
	}
	if _, err := (spool{folder: filepath.Join(b.rec, ".spool")}).take(entry{Path: path}, info); !errors.Is(err, fs.ErrNotExist) || len(b.left()) != 1 {
		t.Errorf("got %v, left %v", err, b.left())
	}
}

// Notes that hooks had not written to the end are removed once no hook can be at them.
func TestSweepRemovesHalfNotes(t *testing.T) {
	b := newBox(t)
	folder := filepath.Join(b.rec, ".spool")
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{noteTemp + "123", noteTemp + "456"} {
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, name), []byte(`{"id":`), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(folder, noteTemp+"123"), old, old); err != nil {
		t.Fatal(err)
	}
	b.must("sweep", b.rec)
	if left := strings.Join(b.left(), " "); left != ".spool/"+noteTemp+"456" {
		t.Errorf("left %s", left)
	}
}
