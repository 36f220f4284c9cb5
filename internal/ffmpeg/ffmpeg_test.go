package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// script is a stand-in for ffmpeg: what it does when it behaves badly is what
// counts here, and the real one does so rarely.
func script(t *testing.T, body string) Program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(file, []byte("#!/bin/bash\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Program{Path: file, Stall: time.Minute, File: 1 << 20}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("of untrusted data") }

// A process that is not ended as it should be sleeps for an hour: no clock says so.
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
	}{
		{name: "well", script: "cat > out"},
		{name: "well, without reading all of its input", script: "head -c 10 > out", input: bytes.NewReader(make([]byte, 10<<20))},
		{name: "with an error", script: "for i in $(seq 100); do echo line $i >&2; done; exit 3", reason: "ffmpeg_failed", text: "exit status 3\nline 81\n"},
		{name: "with a crash", script: "kill -SEGV $$", reason: "ffmpeg_failed", text: "segmentation fault"},
		{name: "stopped", script: "echo $$ > pid; kill -STOP $$; sleep 3600", stall: 300 * time.Millisecond, is: errStalled, reason: "stalled"},
		{name: "with a file too large", script: "while [ $(ulimit -f) = unlimited ]; do :; done; exec head -c 3000000 /dev/zero > big", reason: "scratch_full", text: "--max-scratch"},
		{name: "killed", script: "kill -9 $$", reason: "ffmpeg_failed", text: "signal: killed"},
		{name: "cancelled", script: "echo $$ > pid; exec sleep 3600", cancel: true, is: errGone},
		{name: "cancelled, deaf to SIGTERM", script: "trap '' TERM; echo $$ > pid; while true; do read -t 1 < /dev/zero; done", cancel: true, is: errGone},
		{name: "cancelled, leaving a child behind", script: "sleep 3600 & echo $! > pid; trap 'exit 0' TERM; wait", cancel: true, is: errGone},
		{name: "no progress", script: "echo $$ > pid; exec sleep 3600", stall: 300 * time.Millisecond, is: errStalled, reason: "stalled"},
		{name: "the same progress again and again", script: "echo $$ > pid; while true; do echo frame=7; echo out_time_us=100; sleep 0.05; done", stall: 300 * time.Millisecond, is: errStalled, reason: "stalled"},
		{name: "slow, but advancing", script: "for i in $(seq 45); do echo frame=$i; sleep 0.1; done", stall: 4 * time.Second},
		{name: "nothing to encode yet, but the input comes", script: "cat > out", input: &trickle{left: 45}, stall: 4 * time.Second},
		{name: "its input breaks", script: "cat > out; exit 0", input: io.MultiReader(strings.NewReader("FLV"), failing{broken}), is: broken},
		{name: "with a panic in what it reads", script: "cat > out", input: panicking{}, reason: "panic", text: "panic: of untrusted data"},
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
			if tc.cancel {
				go func() {
					for { // until it runs
						if body, err := os.ReadFile(filepath.Join(folder, "pid")); err == nil && len(body) > 0 {
							break
						}
					}
					cancel(errGone)
				}()
			}
			_, err := f.Run(ctx, folder, nil, tc.input, func(Progress) {})
			if tc.is == nil && tc.reason == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || (tc.is != nil && !errors.Is(err, tc.is)) || !strings.Contains(err.Error()+"\n"+job.LastWords(err)+"\n", tc.text) {
				t.Errorf("got %v, want %v %q", err, tc.is, tc.text)
			}
			if reason, final := job.Verdict(err); tc.reason != "" && reason != tc.reason || final {
				t.Errorf("reason %q, final %t, want %q", reason, final, tc.reason)
			}
			if strings.Contains(tc.script, "> pid") {
				must(t, testenv.Gone(filepath.Join(folder, "pid")))
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// trickle is an input whose track begins late: ten times a second, a read brings nothing.
type trickle struct {
	left int
	tick <-chan time.Time
}

func (r *trickle) Read([]byte) (int, error) {
	r.left--
	if r.left < 0 {
		return 0, io.EOF
	}
	if r.tick == nil {
		r.tick = time.Tick(100 * time.Millisecond)
	}
	<-r.tick
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

func TestFind(t *testing.T) {
	if file, version, err := Find(t.Context(), "ffmpeg"); err != nil || !filepath.IsAbs(file) || version == "" {
		t.Errorf("found %s, %v", file, err)
	}
	if _, _, err := Find(t.Context(), "/nowhere/ffmpeg"); err == nil || !strings.Contains(err.Error(), "--ffmpeg") {
		t.Errorf("not installed: %v", err)
	}
	if _, _, err := Find(t.Context(), script(t, `echo " A....D aac              AAC"`).Path); err == nil || !strings.Contains(err.Error(), "no encoder libx264") {
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

// What is kept of ffmpeg's log are its warnings; what it counts is read from the rest.
func TestLogTail(t *testing.T) {
	var log tail
	for _, piece := range []string{
		"[verbose] Input file #0 (pipe:0):\n[verbose]   Input stream #0:0 (video): 216 packets re",
		"ad (713154 bytes); 216 frames decoded; \n[h264 @ 0x1] [error] error while decoding MB 3 4\n",
		"[Parsed_fps_2 @ 0x2] [verbose] 215 frames in, 200 frames out; 16 frames dropped, 0 frames duplicated.\n",
		"[libx264 @ 0x3] [info] using cpu capabilities\n",
	} {
		if n, err := log.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "[h264 @ 0x1] [error] error while decoding MB 3 4"; log.String() != want || log.frames != 215 {
		t.Errorf("kept %q, %d on the grid", log.String(), log.frames)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
