package ffmpeg

import (
	"context"
	"errors"
	"syscall"
)

// Isolate says that macOS has no way to keep ffmpeg apart: workers are for Linux.
func (f Program) Isolate(context.Context) (Program, error) {
	return f, errors.New("keep ffmpeg apart: only Linux can")
}

// child is how ffmpeg is started.
func child(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// limitFiles does nothing: macOS limits no other process.
func limitFiles(int, uint64) error { return nil }
