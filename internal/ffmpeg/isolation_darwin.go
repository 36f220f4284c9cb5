package ffmpeg

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
)

// Isolate says that macOS has no way to keep ffmpeg apart: workers are for Linux.
func (f Program) Isolate(context.Context, *Scratch) (Program, error) {
	return f, errors.New("keep ffmpeg apart: only Linux can")
}

// child is how ffmpeg is started.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// start starts a command, and returns what waits for its end.
func (f Program) start(cmd *exec.Cmd, _ string) (wait func() error, err error) {
	return cmd.Wait, cmd.Start()
}

// limitFiles does nothing: macOS limits no other process.
func limitFiles(int, uint64) error { return nil }
