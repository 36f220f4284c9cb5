package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"afterlive.alt/internal/config"
)

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
		upTo func(ctx context.Context, s spool, e entry, info fs.FileInfo, backend *config.Backend) error
	}{
		{"before anything", func(context.Context, spool, entry, fs.FileInfo, *config.Backend) error { return nil }},
		{"spooled", func(_ context.Context, s spool, e entry, info fs.FileInfo, _ *config.Backend) error {
			_, err := s.take(e, info)
			return err
		}},
		{"uploaded", func(ctx context.Context, s spool, e entry, info fs.FileInfo, backend *config.Backend) error {
			e, err := s.take(e, info)
			if err != nil {
				return err
			}
			_, err = sender{backend: backend, profile: e.Profile, force: true, note: func(err error) { t.Error(err) }}.file(ctx, s.flv(e.ID), e.key(""))
			return err
		}},
		{"sent", func(ctx context.Context, s spool, e entry, info fs.FileInfo, backend *config.Backend) error {
			e, err := s.take(e, info)
			if err != nil {
				return err
			}
			out := sender{backend: backend, profile: e.Profile, force: true, note: func(err error) { t.Error(err) }}
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
			backend, err := config.Flags{Data: b.data}.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer backend.Close()
			s := spool{folder: filepath.Join(b.rec, ".spool")}
			if err := tc.upTo(t.Context(), s, entry{Path: path, App: "live", Name: "talk", Profile: "auto"}, info, backend); err != nil {
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
	file := b.record("afterlive.yaml", "data: "+b.data+"\nprofile: \"360\"\nlog-file: "+filepath.Join(b.rec, "hook.log")+"\n")
	path := b.record("talk-1.flv", "FLV one")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--config=" + file, "hook", "--path=" + path, "--app=live", "--name=talk"}, &out); err != nil {
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
