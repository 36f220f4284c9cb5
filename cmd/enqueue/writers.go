package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// recording tells whether somebody is writing to a file: nginx holds a lock on it
// while it records (record_lock on), and anybody of ours that writes to it has it
// open.
func recording(file string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return isWritten(f)
}

// isWritten is [recording] of an open file, whatever it is called by now.
func isWritten(f *os.File) (bool, error) {
	if locked, err := isLocked(f); err != nil || locked {
		return locked, err
	}
	info, err := f.Stat()
	return err == nil && opened(info), err
}

// isLocked tells whether nginx records to an open file, or another process that locks what it writes.
func isLocked(f *os.File) (bool, error) {
	lock := syscall.Flock_t{Type: syscall.F_RDLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil {
		return false, fmt.Errorf("look for a lock on %s: %w", f.Name(), err)
	}
	return lock.Type != syscall.F_UNLCK, nil
}

// opened tells whether a process that we may look at has a file open for writing.
// Linux keeps from us what other users have open, so this may miss some: the lock is
// the better sign.
func opened(file os.FileInfo) bool {
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return false
	}
	for _, link := range open {
		info, err := os.Stat(link)
		if err != nil || !os.SameFile(info, file) {
			continue
		}
		process, fd := filepath.Split(link)
		about, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(process)), "fdinfo", fd))
		if err == nil && writes(string(about)) {
			return true
		}
	}
	return false
}

// writes reads a descriptor's flags, as /proc/PID/fdinfo/FD has them.
func writes(about string) bool {
	for line := range strings.Lines(about) {
		if octal, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(octal), 8, 64)
			return err == nil && flags&syscall.O_ACCMODE != syscall.O_RDONLY
		}
	}
	return false
}
