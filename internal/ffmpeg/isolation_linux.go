package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Isolate finds out how well ffmpeg can be kept apart from its worker, and returns one that is.
// Best is a user and a network namespace of its own: then it has no network, and may
// not look into its worker's memory or environment, though both have the same user. Where
// the kernel, or a container's seccomp profile, does not allow that, the error says so,
// and the worker alone makes itself one into which no process of its user may look.
func (f Program) Isolate(ctx context.Context) (Program, error) {
	cmd := exec.CommandContext(ctx, f.Path, "-version")
	cmd.Env = environment()
	cmd.SysProcAttr = child(true)
	err := cmd.Run()
	if err == nil {
		f.Apart = true
		return f, nil
	}
	// Not besides: an undumpable process cannot give namespaces to its children.
	if failed := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); failed != nil {
		return f, fmt.Errorf("keep ffmpeg apart: %w; %w", err, failed)
	}
	return f, fmt.Errorf("keep ffmpeg apart: %w", err)
}

// child is how ffmpeg is started: it ends with the thread that starts it; apart, it has namespaces in which the user is who it was.
func child(apart bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if !apart {
		return attr
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	return attr
}

// limitFiles ends a process that writes a file of more than so many bytes.
func limitFiles(pid int, bytes uint64) error {
	err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: bytes}, nil)
	if errors.Is(err, unix.ESRCH) { // it has ended
		return nil
	}
	return err
}
