package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// since is how long after a moment a file was made.
func since(t time.Time, file *os.File) (time.Duration, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return 0, fmt.Errorf("look when %s was made: %w", file.Name(), err)
	}
	return max(0, time.Unix(stat.Btim.Unix()).Sub(t)), nil
}
