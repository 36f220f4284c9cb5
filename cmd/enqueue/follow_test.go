package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/growing"
)

// grown writes a recording of 14 s to the box, of which the first 95 % are shipped to the store already.
func grown(t *testing.T, b box, name string) (path, version string) {
	t.Helper()
	whole := filepath.Join(t.TempDir(), "whole.flv")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=10:d=14", "-f", "lavfi", "-i", "sine=d=14",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-c:a", "aac", whole).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	path = b.record(name, string(body[:len(body)*19/20]))
	store, err := blob.NewDir(b.data)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := growing.Open(t.Context(), store, "recordings/live/talk/"+name, file, time.Now(), "")
	if err == nil {
		err = s.Ship(t.Context(), false)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.record(name, string(body))
	return path, s.Shipped().ID
}

// What follow has begun, and did not live to end, the hook ends: both arrive at the same version, and the recording is
// one object.
func TestHookEndsWhatFollowHasBegun(t *testing.T) {
	b := newBox(t)
	path, version := grown(t, b, "talk-1764000000.flv")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.must("hook", "--path="+path, "--app=live", "--name=talk")
	const key = "recordings/live/talk/talk-1764000000.flv"
	if sent := b.sent(); len(sent) != 1 || sent[key].ETag != version || len(b.left()) > 0 {
		t.Errorf("sent %+v, want version %s; left %v", sent, version, b.left())
	}
	if got, err := os.ReadFile(filepath.Join(b.data, key)); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("%d bytes in the store, of %d: %v", len(got), len(whole), err)
	}
	if extents, err := filepath.Glob(filepath.Join(b.data, key+".growing", "0*")); err != nil || len(extents) > 0 {
		t.Errorf("left: %v, %v", extents, err)
	}
}

// Another recording of a name under which one grows is not taken for its end.
func TestAnotherUnderTheNameOfOneThatGrows(t *testing.T) {
	b := newBox(t)
	path, version := grown(t, b, "talk-1764000000.flv")
	other := filepath.Join(t.TempDir(), "other.flv")
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	if err := os.WriteFile(other, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := b.run("send", "--force", "--as", "live/talk/talk-1764000000", other); err == nil || !strings.Contains(err.Error(), "the name is taken") {
		t.Errorf("it was sent: %v: %s", err, out)
	}
	store, err := blob.NewDir(b.data)
	if err != nil {
		t.Fatal(err)
	}
	state, _, err := growing.Load(t.Context(), store, "recordings/live/talk/talk-1764000000.flv")
	if err != nil || state.Ended || state.ID != version {
		t.Errorf("%+v, %v", state, err)
	}
	if _, _, err := store.Stat(t.Context(), "recordings/live/talk/talk-1764000000.flv"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an object is there: %v", err)
	}
	// The hook stores it under a name of its own.
	moved := b.record("talk-1764000000.flv", string(body))
	b.must("hook", "--path="+moved, "--app=live", "--name=talk")
	for key, task := range b.sent() {
		if key == "recordings/live/talk/talk-1764000000.flv" || growing.IsVersion(task.ETag) {
			t.Errorf("sent %+v", task)
		}
	}
}

// All that is wrong with the flags is told together.
func TestFollowFlags(t *testing.T) {
	b := newBox(t)
	_, err := b.run("follow", "--every", "1ms", "--tell", "2m", "/nowhere", b.rec)
	if err == nil || !strings.Contains(err.Error(), "/nowhere is not a folder") || !strings.Contains(err.Error(), "--every is 1ms") || !strings.Contains(err.Error(), "--tell is 2m") {
		t.Errorf("got %v", err)
	}
}

// A recording that was followed makes way for another when it has ended, and not before.
func TestSendReplacesWhatWasFollowed(t *testing.T) {
	b := newBox(t)
	path, _ := grown(t, b, "talk-1764000000.flv")
	recording, err := streamed()
	must(t, err)
	other := b.record("other.flv", string(recording))
	again := []string{"send", other, "--as", "live/talk/talk-1764000000", "--replace"}
	if _, err := b.run(again...); err == nil || !strings.Contains(err.Error(), "still grows") {
		t.Errorf("while it grows: %v", err)
	}
	b.must("hook", "--path="+path, "--app=live", "--name=talk")
	b.must(again...)
	if got := b.stored("recordings/live/talk/talk-1764000000.flv"); got != string(recording) {
		t.Errorf("stored are %d bytes, not %d", len(got), len(recording))
	}
}
