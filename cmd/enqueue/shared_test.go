package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
)

// streamed is what an encoder sends in 30 s.
var streamed = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=30", "-f", "lavfi", "-i", "sine=b=4:r=44100:d=30",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1").Output()
})

// flaky is a store of which one operation fails: the n-th.
type flaky struct {
	config.Bucket

	n    int // operations so far
	fail int // 0: none
}

var errFlaky = errors.New("the store is away")

func (f *flaky) fault() error {
	f.n++
	if f.n == f.fail {
		return errFlaky
	}
	return nil
}

func (f *flaky) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := f.fault(); err != nil {
		return nil, "", err
	}
	return f.Bucket.Load(ctx, key)
}

func (f *flaky) Write(ctx context.Context, key string, body []byte, etag string) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Bucket.Write(ctx, key, body, etag)
}

// event is a stream that several origins record.
type event struct {
	*testing.T

	backend *config.Backend
	store   *flaky
}

func newEvent(t *testing.T) *event {
	t.Helper()
	backend, err := config.Flags{Data: t.TempDir()}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := backend.Close(); err != nil {
			t.Error(err)
		}
	})
	store := &flaky{Bucket: backend.Recordings}
	backend.Recordings = store
	return &event{t, backend, store}
}

// recorder is one of them. nginx writes its file until stops is called.
type recorder struct {
	*stream

	t    *testing.T
	path string
	file *os.File
}

func (e *event) origin(name string, body []byte) *recorder {
	e.Helper()
	path := filepath.Join(e.TempDir(), "talk-1764000000.flv")
	writer, err := os.Create(path)
	if err == nil {
		_, err = writer.Write(body)
	}
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = writer.Close() }) // it may be closed
	r := &recorder{t: e.T, path: path, file: writer}
	r.stream = e.follow(name, path)
	return r
}

// follow is a process that begins to follow a file.
func (e *event) follow(name, path string) *stream {
	e.Helper()
	file, err := os.Open(path)
	if err != nil {
		e.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		e.Fatal(err)
	}
	f := &follower{followCommand: &followCommand{App: "live", Profile: "auto", Every: time.Second, Tell: 5 * time.Second, Origin: name}, backend: e.backend, log: zap.NewNop(), streams: map[string]*stream{}}
	s := &stream{
		follower: f, entry: entry{Path: path, App: "live", Name: "talk", Profile: "auto"}, spool: spool{folder: filepath.Join(filepath.Dir(path), ".spool")},
		file: file, info: info, began: time.Now(), woken: make(chan struct{}, 1), log: f.log,
	}
	s.shared = &shared{stream: s, live: true, member: name + ":" + filepath.Base(path)}
	e.Cleanup(func() {
		if s.shared != nil {
			_ = s.shared.close()
		}
		_ = file.Close()
	})
	return s
}

// step does what follow does at each look.
func (e *event) step(s *stream, n int) (err error) {
	for range n {
		if s.shared == nil || s.shared.done {
			return nil
		}
		err = s.shared.ship(e.Context())
	}
	return err
}

// stops is where nginx closes the file, and nobody waits for the publisher.
func (r *recorder) stops() {
	r.t.Helper()
	if err := r.file.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.ending = true
}

func (r *recorder) writes(body []byte) {
	r.t.Helper()
	if _, err := r.file.Write(body); err != nil {
		r.t.Fatal(err)
	}
}

func (e *event) state(key string) *growing.State {
	e.Helper()
	s, _, err := growing.Load(e.Context(), e.store.Bucket, key)
	if err != nil {
		e.Fatal(err)
	}
	return s
}

func shot(t *testing.T) []byte {
	t.Helper()
	body, err := streamed()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Whatever operation of the store fails, the recording is there in the end, once, and the file goes.
func TestSharedInSpiteOfTheStore(t *testing.T) {
	body := shot(t)
	for fail := range 25 {
		e := newEvent(t)
		e.store.fail = fail
		r := e.origin("a", body)
		_ = e.step(r.stream, 4)
		r.stops()
		if err := e.step(r.stream, 6); err != nil {
			t.Fatalf("operation %d: %v", fail, err)
		}
		state := e.state("recordings/live/talk/talk-1764000000-a.flv")
		if !state.Ended || state.Object == "" || len(state.Turns) != 1 || !r.shared.done {
			t.Errorf("operation %d: %+v, done %v", fail, state, r.shared.done)
		}
		if _, err := os.Stat(r.path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("operation %d: the file is still there: %v", fail, err)
		}
		if left, err := filepath.Glob(filepath.Dir(r.path) + "/.spool/shared-*"); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

// Workers end a recording while its stream goes on: it is begun anew, whole. Two origins begin one.
func TestSharedWasEnded(t *testing.T) {
	body := shot(t)
	e := newEvent(t)
	half := ends(t, body)[700]
	a, b := e.origin("a", body[:half]), e.origin("b", body[:half])
	for range 3 {
		if err := errors.Join(e.step(a.stream, 1), e.step(b.stream, 1)); err != nil {
			t.Fatal(err)
		}
	}
	first := a.shared.key
	if _, err := growing.EndAsItIs(t.Context(), e.store, first, e.state(first).End); err != nil {
		t.Fatal(err)
	}
	a.writes(body[half:])
	b.writes(body[half:])
	for range 6 {
		if err := errors.Join(e.step(a.stream, 1), e.step(b.stream, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if a.shared.key == first || a.shared.key != b.shared.key || len(e.state(a.shared.key).Origins) != 2 {
		t.Fatalf("%s and %s: %+v", a.shared.key, b.shared.key, e.state(a.shared.key))
	}
	a.stops()
	b.stops()
	for range 6 {
		if err := errors.Join(e.step(a.stream, 1), e.step(b.stream, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if state := e.state(a.shared.key); !state.Ended || state.Object == "" || !a.shared.done || !b.shared.done {
		t.Errorf("%+v", state)
	}
}

// ends are where a recording's tags end.
func ends(t *testing.T, body []byte) (all []int64) {
	t.Helper()
	for tags := flv.ReadTags(bytes.NewReader(body), 0); ; {
		x, err := tags.Next()
		if err != nil {
			return all
		}
		all = append(all, x.Offset+x.Size)
	}
}

// follow is killed when all has been shipped, and the end was not told; meanwhile another stream has begun. The next follow ends the recording, and not as another's.
func TestSharedRestartAtItsEnd(t *testing.T) {
	body := shot(t)
	e := newEvent(t)
	r := e.origin("a", body)
	if err := e.step(r.stream, 3); err != nil {
		t.Fatal(err)
	}
	key := r.shared.key
	r.stops()
	if _, err := growing.Begin(t.Context(), e.store, "recordings/live/talk/another.flv", key); err != nil {
		t.Fatal(err)
	}
	again := e.follow("a", r.path)
	again.shared.live, again.ending = false, true
	if err := e.step(again, 6); err != nil {
		t.Fatal(err)
	}
	if state := e.state(key); !state.Ended || state.Object == "" || !again.shared.done {
		t.Errorf("%+v", state)
	}
}

// What is at the file's path by then is not removed if it is another file; and a hook leaves a file alone that is part of a shared recording.
func TestSharedRemovesNothingElse(t *testing.T) {
	body := shot(t)
	e := newEvent(t)
	r := e.origin("a", body)
	if err := e.step(r.stream, 3); err != nil {
		t.Fatal(err)
	}
	r.stops()
	info, err := os.Stat(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.spool.take(entry{Path: r.path, App: "live", Name: "talk"}, info); !errors.Is(err, errBusy) {
		t.Errorf("a hook takes it: %v", err)
	}
	if err := errors.Join(os.Remove(r.path), os.WriteFile(r.path, []byte("another recording"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := e.step(r.stream, 6); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadFile(r.path); err != nil || string(left) != "another recording" || !r.shared.done {
		t.Errorf("%q, %v", left, err)
	}
}

// One origin's publisher stops, while the other has a hole there, and goes on: so does the recording.
func TestSharedGoesOnBehindAHole(t *testing.T) {
	body := shot(t)
	all := ends(t, body)
	e := newEvent(t)
	a := e.origin("a", body[:all[900]])
	b := e.origin("b", append(bytes.Clone(body[:all[880]]), body[all[940]:]...))
	for range 3 {
		if err := errors.Join(e.step(a.stream, 1), e.step(b.stream, 1)); err != nil {
			t.Fatal(err)
		}
	}
	a.stops()
	key := a.shared.key
	for until := time.Now().Add(time.Minute); len(e.state(key).Turns) < 2; {
		if err := errors.Join(e.step(a.stream, 1), e.step(b.stream, 1)); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(until) {
			t.Fatalf("%+v", e.state(key))
		}
	}
	b.stops()
	for range 6 {
		if err := errors.Join(e.step(a.stream, 1), e.step(b.stream, 1)); err != nil {
			t.Fatal(err)
		}
	}
	state := e.state(key)
	if !state.Ended || !a.shared.done || !b.shared.done || !strings.HasPrefix(state.Writer(), "b:") {
		t.Fatalf("%+v", state)
	}
	index, err := state.ReadIndex()
	if err != nil || index.Duration < 29*time.Second {
		t.Errorf("%+v, %v", index, err)
	}
}

// What cannot be understood does not stand in the way of the stream's next recording.
func TestSharedIsNoRecording(t *testing.T) {
	e := newEvent(t)
	body := shot(t)
	r := e.origin("a", body[:ends(t, body)[2]]) // configurations, no video
	if err := e.step(r.stream, 3); err != nil {
		t.Fatal(err)
	}
	r.stops()
	if err := e.step(r.stream, 6); err != nil || r.shared != nil {
		t.Errorf("%v", err)
	}
	next := e.origin("b", body)
	if err := e.step(next.stream, 4); err != nil || next.shared.ships == nil {
		t.Errorf("%v", err)
	}
}

// Workers are told when so much has come as --tell says.
func TestTell(t *testing.T) {
	body := shot(t)
	half := body[:ends(t, body)[1200]] // about 17 s
	for tell, want := range map[time.Duration]int{5 * time.Second: 1, 30 * time.Second: 0} {
		e := newEvent(t)
		r := e.origin("a", half)
		r.Tell = tell
		if err := e.step(r.stream, 2); err != nil {
			t.Fatal(err)
		}
		b, err := e.backend.Queue.Backlog(t.Context())
		if err != nil || b.Waiting != want {
			t.Errorf("--tell %s: %+v, %v; want %d that workers see", tell, b, err, want)
		}
	}
}
