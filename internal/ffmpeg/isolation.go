package ffmpeg

import (
	"context"
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
	cmd.SysProcAttr = isolated(&syscall.SysProcAttr{})
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

// isolated asks for namespaces in which the user is who it was.
func isolated(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr.Cloneflags |= syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	return attr
}

// environment has nothing of the worker's: no credentials, no proxy settings.
func environment() []string { return []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")} }
