package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// script is a stand-in for ffmpeg: what it does when it behaves badly is what
// counts here, and the real one does so rarely.
func script(t *testing.T, body string) FFmpeg {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(file, []byte("#!/bin/bash\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return FFmpeg{Path: file, Stall: time.Minute, File: 1 << 20}
}

// gone waits until a process has ended.
func gone(t *testing.T, file string) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Second); ; {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d still lives: %s", pid, stat)
		}
		syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 10_000})
	}
}

func TestFFmpegEnds(t *testing.T) {
	errGone := errors.New("lease lost")
	broken := errors.New("connection reset by peer")
	for _, tc := range []struct {
		name   string
		script string
		input  io.Reader
		stall  time.Duration
		cancel bool
		is     error  // the error, or nothing
		reason string // of the error
		text   string // in the error
		atMost time.Duration
	}{
		{name: "well", script: "cat > out"},
		{name: "well, without reading all of its input", script: "head -c 10 > out", input: bytes.NewReader(make([]byte, 10<<20))},
		{name: "with an error", script: "for i in $(seq 100); do echo line $i >&2; done; exit 3", reason: "ffmpeg_failed", text: "exit status 3\nline 81\n"},
		{name: "with a crash", script: "kill -SEGV $$", reason: "ffmpeg_failed", text: "segmentation fault"},
		{name: "stopped", script: "echo $$ > pid; kill -STOP $$; sleep 60", stall: 300 * time.Millisecond, is: errStalled, reason: "stalled", atMost: hangsOn + 2*time.Second},
		{name: "with a file too large", script: "sleep 0.2; exec head -c 3000000 /dev/zero > big", reason: "scratch_full", text: "--max-scratch"},
		{name: "killed", script: "kill -9 $$", reason: "ffmpeg_failed", text: "signal: killed"},
		{name: "cancelled", script: "echo $$ > pid; exec sleep 60", cancel: true, is: errGone, atMost: time.Second},
		{name: "cancelled, deaf to SIGTERM", script: "trap '' TERM; echo $$ > pid; while true; do read -t 1 < /dev/zero; done", cancel: true, is: errGone, atMost: hangsOn + time.Second},
		{name: "cancelled, leaving a child behind", script: "sleep 60 & echo $! > pid; trap 'exit 0' TERM; wait", cancel: true, is: errGone, atMost: hangsOn + time.Second},
		{name: "no progress", script: "echo $$ > pid; exec sleep 60", stall: 300 * time.Millisecond, is: errStalled, reason: "stalled", atMost: 2 * time.Second},
		{name: "the same progress again and again", script: "echo $$ > pid; while true; do echo frame=7; echo out_time_us=100; sleep 0.05; done", stall: 300 * time.Millisecond, is: errStalled, reason: "stalled"},
		{name: "slow, but advancing", script: "for i in $(seq 12); do echo frame=$i; sleep 0.1; done", stall: 700 * time.Millisecond},
		{name: "nothing to encode yet, but the input comes", script: "cat > out", input: &trickle{left: 10}, stall: 250 * time.Millisecond},
		{name: "its input breaks", script: "cat > out; exit 0", input: io.MultiReader(strings.NewReader("FLV"), failing{broken}), is: broken},
		{name: "not installed", reason: "ffmpeg_missing", text: "start ffmpeg"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := script(t, tc.script)
			if tc.script == "" {
				f.Path = filepath.Join(t.TempDir(), "no-such-ffmpeg")
			}
			if tc.stall > 0 {
				f.Stall = tc.stall
			}
			if tc.input == nil {
				tc.input = strings.NewReader("")
			}
			folder := t.TempDir()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			began := time.Now()
			if tc.cancel {
				go func() {
					for { // until it runs
						if body, err := os.ReadFile(filepath.Join(folder, "pid")); err == nil && len(body) > 0 {
							break
						}
					}
					began = time.Now()
					cancel(errGone)
				}()
			}
			_, err := f.Run(ctx, folder, nil, tc.input, func(Progress) {})
			if tc.atMost > 0 && time.Since(began) > tc.atMost {
				t.Errorf("it took %s", time.Since(began))
			}
			if tc.is == nil && tc.reason == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || (tc.is != nil && !errors.Is(err, tc.is)) || !strings.Contains(err.Error()+"\n"+lastWords(err)+"\n", tc.text) {
				t.Errorf("got %v, want %v %q", err, tc.is, tc.text)
			}
			if reason, final := verdict(err); tc.reason != "" && reason != tc.reason || final {
				t.Errorf("reason %q, final %t, want %q", reason, final, tc.reason)
			}
			if strings.Contains(tc.script, "> pid") {
				gone(t, filepath.Join(folder, "pid"))
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// trickle is an input whose track begins late: reads that bring nothing, for a while.
type trickle struct{ left int }

func (r *trickle) Read([]byte) (int, error) {
	r.left--
	if r.left < 0 {
		return 0, io.EOF
	}
	syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 50_000})
	return 0, nil
}

// What runs on strangers' media must not see our credentials.
func TestFFmpegEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hush")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")
	t.Setenv("ECS_AGENT_URI", "http://169.254.170.2")
	folder := t.TempDir()
	if _, err := script(t, "env > env; cut -d\" \" -f5 /proc/$$/stat > pgid; echo $$ > pid").Run(t.Context(), folder, nil, strings.NewReader(""), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		body, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(body))
	}
	for _, word := range []string{"AWS", "ECS", "hush", "HOME"} {
		if env := read("env"); strings.Contains(env, word) {
			t.Errorf("%s is in its environment:\n%s", word, env)
		}
	}
	if read("pgid") != read("pid") {
		t.Error("it is not in a process group of its own")
	}
}

func TestFindFFmpeg(t *testing.T) {
	if file, version, err := FindFFmpeg(t.Context(), "ffmpeg"); err != nil || !filepath.IsAbs(file) || version == "" {
		t.Errorf("found %s, %v", file, err)
	}
	if _, _, err := FindFFmpeg(t.Context(), "/nowhere/ffmpeg"); err == nil || !strings.Contains(err.Error(), "--ffmpeg") {
		t.Errorf("not installed: %v", err)
	}
	if _, _, err := FindFFmpeg(t.Context(), script(t, `echo " A....D aac              AAC"`).Path); err == nil || !strings.Contains(err.Error(), "no encoder libx264") {
		t.Errorf("without x264: %v", err)
	}
}

func TestScratch(t *testing.T) {
	dir := t.TempDir()
	living, err := NewScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	left := filepath.Join(dir, "worker-dead")
	if err := errors.Join(os.MkdirAll(filepath.Join(left, "chunk-00001-x"), 0o755), os.WriteFile(filepath.Join(left, scratchLock), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	next, err := NewScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Error("what a dead worker left is still there")
	}
	if _, err := living.Folder("chunk-00002"); err != nil {
		t.Errorf("a living worker's scratch was swept: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(dir + "/worker-*"); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Workers that start together leave each other's folders alone.
func TestScratchManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			s, err := NewScratch(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.Folder("task"); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestProgress(t *testing.T) {
	var got []Progress
	advanced := 0
	p := progress{advanced: func() { advanced++ }, report: func(now Progress) { got = append(got, now) }}
	text := "frame=0\nout_time_us=N/A\nspeed=N/A\nprogress=continue\nframe=25\nout_time_us=11000000\nspeed=   2.5x\nprogress=continue\nframe=25\nout_time_us=11000000\nprogress=end\n"
	for i := range text { // in the smallest pieces
		if _, err := p.Write([]byte(text[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 3 || got[1] != (Progress{25, 11 * time.Second, "2.5x"}) || advanced != 2 {
		t.Errorf("%d reports %+v, advanced %d times", len(got), got, advanced)
	}
}

// The tail of a log is bounded, whatever is written to it.
func TestTail(t *testing.T) {
	var log tail
	for range 1000 {
		if _, err := log.Write([]byte(strings.Repeat("x", 5000) + "\nlast\n")); err != nil {
			t.Fatal(err)
		}
	}
	if s := log.String(); len(s) > tailLines*(tailLine+1) || !strings.HasSuffix(s, "last") {
		t.Errorf("%d bytes, ending in %q", len(s), s[max(0, len(s)-10):])
	}
}
