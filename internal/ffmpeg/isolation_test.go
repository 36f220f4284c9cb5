package ffmpeg

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What runs in ffmpeg's place, should a decoder be broken, finds no network, and neither
// the environment nor the memory of its worker.
func TestIsolate(t *testing.T) {
	f := script(t, `[ "$1" = -version ] && exit
cut -d: -f1 /proc/net/dev | tail -n +3 > interfaces
cat /proc/$PPID/environ > environ 2> refused
head -c 1 /proc/$PPID/mem > mem 2>> refused
ls /proc/$PPID/root/ > root 2>> refused
cat > out`)
	f, err := f.Isolate(t.Context())
	if err != nil {
		t.Skipf("this kernel, or this container, allows no namespaces: %v", err)
	}
	folder := t.TempDir()
	if _, err := f.Run(t.Context(), folder, nil, strings.NewReader("FLV"), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		body, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(body))
	}
	if got := read("interfaces"); got != "lo" {
		t.Errorf("it has the network %q", got)
	}
	for _, of := range []string{"environ", "mem", "root"} {
		if got := read(of); got != "" {
			t.Errorf("it reads /proc/%s of its worker: %q", of, got)
		}
	}
	if refused := read("refused"); strings.Count(refused, "ermission denied") < 2 {
		t.Errorf("it was not refused: %s", refused)
	}
	if got := read("out"); got != "FLV" {
		t.Errorf("its input came as %q", got)
	}
}

// Where there are no namespaces, the worker still keeps its own environment from ffmpeg.
// It does so for good, and therefore in a process of its own here.
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
	if apart, err := f.Isolate(t.Context()); err == nil || apart.Apart {
		t.Errorf("apart: %t, %v", apart.Apart, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
	f = script(t, `cat /proc/$PPID/environ > environ 2> refused; exit 0`)
	folder := t.TempDir()
	if _, err := f.Run(t.Context(), folder, nil, strings.NewReader(""), func(Progress) {}); err != nil {
		t.Error(err)
	}
	body, err := os.ReadFile(filepath.Join(folder, "environ"))
	if os.Getuid() != 0 && (err != nil || len(body) > 0) {
		t.Errorf("it has %d bytes of its worker's environment, %v", len(body), err)
	}
}
