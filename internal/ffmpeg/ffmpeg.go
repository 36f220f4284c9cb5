// Package ffmpeg runs ffmpeg for a task: limited in memory, disk and time, killed when it stalls (watchdog.go), isolated where
// the kernel allows it (isolation_linux.go), in a folder that is emptied afterwards (scratch.go). Start at [Program.Run].
package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"afterlive.alt/job"
)

// Progress is how far an encoder is, about once a second.
type Progress struct {
	Frame int           // of the video
	Time  time.Duration // of the output, on its own clock
	Speed string        // as ffmpeg puts it: "2.5x"
}

// Program is an ffmpeg that runs encoders. This is the only file that starts processes.
type Program struct {
	Path     string        // of the binary, absolute
	Threads  int           // x264's, per rendition; 0: it chooses
	Pixels   int           // of a frame that it may decode, should it grow on the way; 0: any
	Alloc    int64         // bytes that it may ask for at once; 0: its own limit
	File     int64         // bytes of a file that it may write; 0: any
	Stall    time.Duration // without progress, after which an encoder is killed
	Seccomp  bool          // it reaches neither the network nor other processes: see [Program.Isolate]
	Landlock bool          // it reaches no files but its own
}

// Ran is what is to be said of an encoder that has ended.
type Ran struct {
	CPU    time.Duration // that it had on all cores
	Log    string        // the end of it
	Frames int           // that came to the output's grid, if it has one
}

// hangsOn is how long what ffmpeg has started may keep our end of a pipe open.
const hangsOn = 2 * time.Second

var versionLine = regexp.MustCompile(`(?m)^ffmpeg version (\S+)`)

// Find returns the absolute path of a binary, since it will be run in other
// folders, and its version, or says what is wrong with the ffmpeg that is there.
func Find(ctx context.Context, name string) (file, version string, err error) {
	const hint = "(install ffmpeg 5.1 or later, or say where it is with --ffmpeg)"
	if file, err = exec.LookPath(name); err == nil {
		file, err = filepath.Abs(file)
	}
	if err != nil {
		return "", "", fmt.Errorf("find %s: %w %s", name, err, hint)
	}
	out, err := exec.CommandContext(ctx, file, "-encoders").CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("run %s: %w %s", file, err, hint)
	}
	for _, encoder := range []string{"libx264", "aac"} {
		if !regexp.MustCompile(`(?m)^ [VA]\S+ ` + encoder + ` `).Match(out) {
			return "", "", fmt.Errorf("%s has no encoder %s; it was built without it", file, encoder)
		}
	}
	if m := versionLine.FindSubmatch(out); m != nil {
		version = string(m[1])
	}
	return file, version, nil
}

// Run runs ffmpeg in folder with the input on its standard input, until it ends
// or ctx does, and reports how far it is. It ends well only if the input was read without error, ffmpeg
// exited with 0, and ctx was not cancelled; what it wrote must be verified all
// the same, since ffmpeg exits with 0 after much that is not well.
//
// ffmpeg gets a process group of its own, dies with the worker, and sees nothing
// of the worker's environment.
func (f Program) Run(ctx context.Context, folder string, args []string, input io.Reader, report func(Progress)) (ran Ran, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := newWatchdog(f.Stall, cancel)
	defer watchdog.end()

	var log tail
	globals := []string{"-hide_banner", "-nostdin", "-y", "-loglevel", "level+verbose", "-nostats", "-stats_period", "1", "-progress", "pipe:1",
		"-max_error_rate", "1"} // what cannot be decoded is counted, and told of
	if f.Pixels > 0 {
		globals = append(globals, "-max_pixels", strconv.Itoa(f.Pixels)) // of the first input's decoder, as it comes before it
	}
	if f.Alloc > 0 {
		globals = append(globals, "-max_alloc", strconv.FormatInt(f.Alloc, 10))
	}
	cmd := exec.CommandContext(ctx, f.Path, append(globals, args...)...)
	cmd.Dir = folder
	cmd.Env = environment()
	cmd.Stdin = &feed{input, cancel, watchdog}
	cmd.Stdout = &progress{advanced: watchdog.advanced, report: report}
	cmd.Stderr = &log
	cmd.SysProcAttr = child()
	// Not SIGTERM: nobody wants what it would still write, and some inputs make it deaf.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = hangsOn

	wait, err := f.start(cmd, folder)
	if err != nil {
		return ran, job.Transient("ffmpeg_missing", fmt.Errorf("start ffmpeg: %w", err))
	}
	if f.File > 0 { // a full disk is silent, this is not: ffmpeg dies of SIGXFSZ
		if err := limitFiles(cmd.Process.Pid, uint64(f.File)); err != nil {
			cancel(fmt.Errorf("limit ffmpeg's files: %w", err))
		}
	}
	err = wait()
	ran = Ran{CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), Log: log.String(), Frames: log.frames}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whatever it left behind; mostly nothing, an error
	switch {
	case ctx.Err() != nil:
		return ran, context.Cause(ctx)
	case diedOf(cmd.ProcessState, syscall.SIGXFSZ):
		return ran, job.Transient("scratch_full", fmt.Errorf("ffmpeg wrote a file of more than %d bytes (--max-scratch)", f.File))
	case err != nil:
		return ran, &job.TaskError{Reason: "ffmpeg_failed", Err: fmt.Errorf("run ffmpeg: %w", err), Log: ran.Log}
	}
	return ran, nil
}

func diedOf(state *os.ProcessState, s syscall.Signal) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == s
}

// feed passes input on. If the input breaks, ffmpeg must not take that for its
// end: it would finish a short file and call it good.
type feed struct {
	input    io.Reader
	cancel   context.CancelCauseFunc
	watchdog *watchdog
}

func (f *feed) Read(p []byte) (n int, err error) {
	defer func() { // it is not the task's own goroutine: nobody else would catch it
		if r := recover(); r != nil {
			err = job.Transient("panic", fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
			f.cancel(err)
		}
	}()
	f.watchdog.asks()
	n, err = f.input.Read(p)
	f.watchdog.answered()
	if err != nil && !errors.Is(err, io.EOF) {
		f.cancel(fmt.Errorf("read recording: %w", err))
	}
	return n, err
}

// progress reads what ffmpeg's -progress prints: blocks of key=value, ended by one
// named progress.
type progress struct {
	advanced func() // it got further
	report   func(Progress)
	line     []byte
	now      Progress
}

// longest is a line that ffmpeg may print of its progress, in bytes.
const longest = 8 << 10

func (p *progress) Write(b []byte) (int, error) {
	p.line = append(p.line, b...)
	for {
		line, rest, found := bytes.Cut(p.line, []byte("\n"))
		if !found {
			if len(p.line) > longest { // it is no ffmpeg's, and must not take our memory
				p.line = nil
			}
			return len(b), nil
		}
		p.take(string(line))
		p.line = rest
	}
}

func (p *progress) take(line string) {
	key, value, _ := strings.Cut(line, "=")
	value = strings.TrimSpace(value)
	before := p.now
	switch key {
	case "frame":
		p.now.Frame, _ = strconv.Atoi(value) // what is no number is no progress
	case "out_time_us":
		us, _ := strconv.ParseInt(value, 10, 64) // N/A at first
		p.now.Time = time.Duration(us) * time.Microsecond
	case "speed":
		p.now.Speed = value
	case "progress":
		p.report(p.now)
	}
	if p.now.Frame != before.Frame || p.now.Time != before.Time {
		p.advanced()
	}
}

// tail keeps the end of a log, and what ffmpeg counts in it.
type tail struct {
	lines   []string
	partial string // a line whose end is still to come
	frames  int
}

const tailLines, tailLine = 20, 300

// What ffmpeg says, in versions 5 to 7, of the filter that puts frames on the grid.
var (
	gridCount = regexp.MustCompile(`\] (\d+) frames in, \d+ frames out; `)
	chatter   = regexp.MustCompile(`\[(info|verbose)\]`)
)

func (t *tail) Write(b []byte) (int, error) {
	text := t.partial + string(b)
	for {
		line, rest, found := strings.Cut(text, "\n")
		if !found {
			t.partial = line[:min(len(line), 8<<10)] // no line of ffmpeg's is longer
			return len(b), nil
		}
		t.take(line)
		text = rest
	}
}

func (t *tail) take(line string) {
	if m := gridCount.FindStringSubmatch(line); m != nil {
		t.frames, _ = strconv.Atoi(m[1]) // digits
	}
	if chatter.MatchString(line) || strings.TrimSpace(line) == "" {
		return
	}
	t.lines = append(t.lines, line[:min(len(line), tailLine)])
	if extra := len(t.lines) - tailLines; extra > 0 {
		t.lines = append(t.lines[:0], t.lines[extra:]...)
	}
}

func (t *tail) String() string { return strings.Join(t.lines, "\n") }

// environment has nothing of the worker's: no credentials, no proxy settings.
func environment() []string { return []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")} }
