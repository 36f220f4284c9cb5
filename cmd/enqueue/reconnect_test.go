package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// cutOff is a recording of so many seconds whose publisher has lost its connection: it doesn't say goodbye.
func cutOff(t *testing.T, seconds int) []byte {
	t.Helper()
	whole := filepath.Join(t.TempDir(), "whole.flv")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=160x90:r=10:d=%d", seconds), "-f", "lavfi", "-i", fmt.Sprintf("sine=d=%d", seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-c:a", "aac", whole).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	const goodbye = 20
	if bye, err := flv.SaysGoodbye(bytes.NewReader(body), int64(len(body))); err != nil || !bye {
		t.Fatalf("ffmpeg says no goodbye: %v", err)
	}
	return body[:len(body)-goodbye]
}

// at writes a recording that ended at a moment.
func (b box) at(name string, body []byte, ended time.Time) {
	b.t.Helper()
	if err := os.Chtimes(b.record(name, string(body)), ended, ended); err != nil {
		b.t.Fatal(err)
	}
}

// only is the only recording in the store.
func (b box) only() []byte {
	b.t.Helper()
	found, err := filepath.Glob(b.data + "/recordings/*/*/*.flv")
	if err != nil || len(found) != 1 {
		b.t.Fatalf("stored: %v, %v", found, err)
	}
	body, err := os.ReadFile(found[0])
	if err != nil {
		b.t.Fatal(err)
	}
	return body
}

// A sweep puts recordings together whose publisher was back in time, and no others; and leaves the last alone while its publisher may come back.
func TestSweepJoinsReconnects(t *testing.T) {
	b := newBox(t)
	first, second, third := cutOff(t, 4), cutOff(t, 3), cutOff(t, 2)
	began := time.Unix(1764000000, 0)
	b.at("talk-1764000000.flv", first, began.Add(4*time.Second))
	b.at("other-1764000006.flv", third, began.Add(8*time.Second))
	b.at("talk-1764000010.flv", second, began.Add(13*time.Second)) // 6 s later
	b.at("talk-1764000060.flv", third, began.Add(62*time.Second))  // 47 s later
	b.at("talk-1764000070.flv", third, time.Now().Add(-5*time.Second))
	b.must("sweep", "--older=0s", "--reconnect=30s", b.rec)
	sent := b.sent()
	if len(sent) != 2 || len(b.left()) != 1 || !strings.HasSuffix(b.left()[0], "talk-1764000060.flv") {
		t.Fatalf("sent %+v, left %v", sent, b.left())
	}
	body, err := os.ReadFile(b.data + "/recordings/live/talk/talk-1764000000.flv")
	if err != nil {
		t.Fatal(err)
	}
	want := append(append(bytes.Clone(first), flv.ReconnectTag(6*time.Second)...), second[flv.HeaderSize:]...)
	if !bytes.Equal(body, want) {
		t.Errorf("%d bytes, want %d", len(body), len(want))
	}
}

// One that has said goodbye is not gone on with.
func TestSweepKeepsApartWhatHasEnded(t *testing.T) {
	b := newBox(t)
	first := cutOff(t, 2)
	began := time.Unix(1764000000, 0)
	b.at("talk-1764000000.flv", append(bytes.Clone(first), "\x09\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x17\x02\x00\x00\x00\x00\x00\x00\x10"...), began.Add(2*time.Second))
	b.at("talk-1764000005.flv", first, began.Add(7*time.Second))
	b.must("sweep", "--older=0s", "--reconnect=30s", b.rec)
	if sent := b.sent(); len(sent) != 2 {
		t.Errorf("sent %+v", sent)
	}
}

// What a follow had begun to put behind a recording, and did not live to, the sweep does, wherever it had stopped; a torn tag before it
// is left out.
func TestSweepFinishesContinuations(t *testing.T) {
	first, second := cutOff(t, 3), cutOff(t, 2)
	want := append(append(bytes.Clone(first), flv.ReconnectTag(0)...), second[flv.HeaderSize:]...)
	for _, copied := range []int{0, 5, flv.ReconnectTagSize, flv.ReconnectTagSize + 1000, len(want) - len(first)} {
		for _, torn := range []int{0, 7} {
			t.Run(fmt.Sprint(copied, " bytes, ", torn, " torn"), func(t *testing.T) {
				b := newBox(t)
				path := b.record("talk-1764000000.flv", string(first)+string(second[flv.HeaderSize:flv.HeaderSize+torn]))
				next := b.record("talk-1764000010.flv", string(second))
				recording, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				c, err := spool{folder: filepath.Join(b.rec, ".spool")}.beginContinuation(recording, next)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.into.WriteAt(want[len(first):len(first)+copied], c.at); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(c.close(), recording.Close()); err != nil {
					t.Fatal(err)
				}
				b.must("sweep", "--older=1h", b.rec) // it may still be written
				if len(b.sent()) > 0 {
					t.Fatal("it was sent")
				}
				b.must("sweep", "--older=0s", b.rec)
				got := b.only()
				if len(got) != len(want) || !bytes.Equal(got[:len(first)], first) || !bytes.Equal(got[len(first)+flv.ReconnectTagSize:], want[len(first)+flv.ReconnectTagSize:]) {
					t.Errorf("%d bytes, want %d", len(got), len(want))
				}
				if len(b.sent()) != 1 || len(b.left()) > 0 {
					t.Errorf("sent %+v, left %v", b.sent(), b.left())
				}
			})
		}
	}
}

// Where the recording is gone that was to go on, what was to follow is a recording of its own.
func TestSweepPutsContinuationsBack(t *testing.T) {
	b := newBox(t)
	first, second := cutOff(t, 3), cutOff(t, 2)
	path, next := b.record("talk-1764000000.flv", string(first)), b.record("talk-1764000010.flv", string(second))
	recording, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := spool{folder: filepath.Join(b.rec, ".spool")}.beginContinuation(recording, next)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.close(), recording.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", b.rec)
	b.must("sweep", "--older=0s", b.rec)
	if got := b.only(); !bytes.Equal(got, second) || len(b.left()) > 0 {
		t.Errorf("%d bytes of %d; left %v", len(got), len(second), b.left())
	}
}

// A recording that goes on in a file that nginx still writes is left alone, by hooks and sweeps; and another one that gets its inode, or is
// called as it was, has nothing to do with it.
func TestContinuedRecordingsStay(t *testing.T) {
	b := newBox(t)
	first, second := cutOff(t, 3), cutOff(t, 2)
	path, next := b.record("talk-1764000000.flv", string(first)), b.record("talk-1764000010.flv", string(second))
	recording, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := spool{folder: filepath.Join(b.rec, ".spool")}.beginContinuation(recording, next)
	if err != nil {
		t.Fatal(err)
	}
	moved := c.name
	if err := errors.Join(c.close(), recording.Close()); err != nil {
		t.Fatal(err)
	}
	unlock := b.lock(moved)
	b.must("sweep", "--older=0s", b.rec)
	b.must("hook", "--path="+path, "--app=live", "--name=talk")
	if sent := b.sent(); len(sent) > 0 || len(b.left()) != 2 {
		t.Fatalf("sent %+v, left %v", sent, b.left())
	}
	if err := os.Rename(path, filepath.Join(b.rec, "other-1764000020.flv")); err != nil { // as if it had the inode alone
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", b.rec)
	if got := b.only(); !bytes.Equal(got, first) {
		t.Errorf("%d bytes, want %d", len(got), len(first))
	}
	b.record("talk-1764000000.flv", string(first)+string(first))
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) != 2 {
		t.Errorf("sent %+v", sent)
	}
	unlock()
	if _, err := os.Stat(moved); err != nil {
		t.Error(err)
	}
	b.must("sweep", "--older=0s", b.rec)
	b.must("sweep", "--older=0s", b.rec)
	if sent := b.sent(); len(sent) != 1 || len(b.left()) > 0 {
		t.Errorf("sent %+v, left %v", sent, b.left())
	}
}

// Another folder's sweep, with the same spool, leaves continuations alone.
func TestSweepOfAnotherFolder(t *testing.T) {
	b, other := newBox(t), newBox(t)
	s := spool{folder: t.TempDir()}
	path, next := b.record("talk-1764000000.flv", string(cutOff(t, 2))), b.record("talk-1764000010.flv", string(cutOff(t, 2)))
	recording, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.beginContinuation(recording, next)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.close(), recording.Close()); err != nil {
		t.Fatal(err)
	}
	other.must("sweep", "--older=0s", "--spool="+s.folder, other.rec)
	if _, err := os.Stat(c.name); err != nil || len(other.left()) > 0 {
		t.Errorf("%v; left %v", err, other.left())
	}
}

// While the next file of a stream is recorded whose publisher was back in time, the sweep that joins them waits for it.
func TestSweepWaitsForTheNext(t *testing.T) {
	b := newBox(t)
	first := cutOff(t, 2)
	b.at("talk-1764000000.flv", first, time.Unix(1764000002, 0))
	live := b.record("talk-1764000007.flv", string(first))
	unlock := b.lock(live)
	b.must("sweep", "--older=0s", "--reconnect=30s", b.rec)
	if sent := b.sent(); len(sent) > 0 {
		t.Fatalf("sent %+v", sent)
	}
	unlock()
	if err := os.Chtimes(live, time.Time{}, time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.must("sweep", "--older=0s", "--reconnect=30s", b.rec)
	if sent := b.sent(); len(sent) != 1 || len(b.left()) > 0 {
		t.Errorf("sent %+v, left %v", sent, b.left())
	}
}
