package ffmpeg

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// misbehaves is what a broken decoder might do: each line of "did" is something that it could.
const misbehaves = `#!/bin/bash
try() { "${@:2}" 2>>refused >/dev/null && echo "$1" >>did; }
try environ cat /proc/$PPID/environ
try memory head -c 1 /proc/$PPID/mem
try processes ls /proc/$PPID
try signal kill -0 $PPID
try network bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT'
try accounts cat /etc/passwd
try secret cat OUTSIDE/secret
try outside bash -c 'echo x > OUTSIDE/written'
try limits prlimit --pid $PPID --core=0
try namespace unshare --user true
try priority renice -n 19 -p $PPID
try affinity taskset -p 1 $PPID
try owner perl -e 'use Fcntl; pipe(R, W); fcntl(R, 8, getppid()) or exit 1'
try clone perl -e 'syscall(CLONE, 0x10000000 | 17, 0, 0, 0, 0) < 0 and exit 1'
cat > out
`

// isolated runs the program above in ffmpeg's place, and returns what it could do.
func isolated(t *testing.T, f Program) []string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	body := strings.NewReplacer("PORT", port, "CLONE", strconv.Itoa(unix.SYS_CLONE), "OUTSIDE", outside).Replace(misbehaves)
	f.Path, f.Stall = filepath.Join(t.TempDir(), "ffmpeg"), time.Minute
	for name, body := range map[string]string{f.Path: body, filepath.Join(outside, "secret"): "secret"} {
		if err := os.WriteFile(name, []byte(body), 0o755); err != nil { //nolint:gosec // one is a program
			t.Fatal(err)
		}
	}
	folder := t.TempDir()
	if _, err := f.Run(t.Context(), folder, nil, strings.NewReader("FLV"), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(folder, "out")); err != nil || string(got) != "FLV" {
		t.Errorf("its input came as %q, %v", got, err)
	}
	did, err := os.ReadFile(filepath.Join(folder, "did"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(did))
}

func place(t *testing.T) *Scratch {
	t.Helper()
	s, err := NewScratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// What runs in ffmpeg's place, should a decoder be broken, reaches no network, no other process, and no files but its own: where
// the worker says so.
func TestIsolate(t *testing.T) {
	if did := isolated(t, Program{}); len(did) < 13 && os.Getuid() == 0 {
		t.Errorf("not isolated, it could only %q: the test shows nothing", did)
	}
	f, err := script(t, `exit 0`).Isolate(t.Context(), place(t))
	if err != nil {
		t.Skipf("this kernel, or this container, does not allow all of it: %v", err)
	}
	if did := isolated(t, f); len(did) > 0 {
		t.Errorf("it could %q", did)
	}
	for _, did := range isolated(t, Program{Seccomp: true}) {
		if !slices.Contains([]string{"environ", "memory", "processes", "accounts", "secret", "outside"}, did) {
			t.Errorf("by seccomp alone, it could %q", did)
		}
	}
	for _, did := range isolated(t, Program{Landlock: true}) {
		if slices.Contains([]string{"environ", "memory", "processes", "accounts", "secret", "outside"}, did) {
			t.Errorf("by Landlock alone, it could %q", did)
		}
	}
}

// Where neither can be had, the worker still keeps its own environment from ffmpeg. It does so for good, and therefore in a process of
// its own here.
func TestNotIsolated(t *testing.T) {
	const marker = "AFTERLIVE_TEST_UNDUMPABLE"
	if os.Getenv(marker) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNotIsolated$")
		cmd.Env = append(os.Environ(), marker+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	f := script(t, `exit 1 # as if it could not be started`)
	f, err := f.Isolate(t.Context(), place(t))
	if err == nil || f.Seccomp || f.Landlock {
		t.Errorf("%+v, %v", f, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
	if did := strings.Join(isolated(t, f), " "); os.Getuid() != 0 && (strings.Contains(did, "environ") || strings.Contains(did, "memory")) {
		t.Errorf("it could %q", did)
	}
}
