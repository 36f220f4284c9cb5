package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// since is how long after a moment a file was made.
func since(t time.Time, file *os.File) (time.Duration, error) {
	var stat unix.Statx_t
	if err := unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &stat); err != nil {
		return 0, fmt.Errorf("look when %s was made: %w", file.Name(), err)
	}
	if stat.Mask&unix.STATX_BTIME == 0 { // its file system doesn't know
		return max(0, time.Since(t)), nil
	}
	return max(0, time.Unix(stat.Btime.Sec, int64(stat.Btime.Nsec)).Sub(t)), nil
}
