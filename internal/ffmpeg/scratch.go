package ffmpeg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Scratch is where ffmpeg writes: one folder a worker, below a directory that
// several workers may share.
type Scratch struct {
	folder string
	lock   *os.File // held while the worker lives
}

const scratchLock = "lock"

// NewScratch makes the worker's folder in dir, and removes those of workers that
// are no more.
func NewScratch(dir string) (*Scratch, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make scratch: %w", err)
	}
	comings, err := lockFile(filepath.Join(dir, scratchLock))
	if err != nil {
		return nil, err
	}
	defer comings.Close() // and so unlocked
	if err := sweep(dir); err != nil {
		return nil, fmt.Errorf("sweep scratch: %w", err)
	}
	folder, err := os.MkdirTemp(dir, "worker-")
	if err != nil {
		return nil, fmt.Errorf("make scratch: %w", err)
	}
	lock, err := lockFile(filepath.Join(folder, scratchLock))
	if err != nil {
		return nil, err
	}
	return &Scratch{folder: folder, lock: lock}, nil
}

// lockFile makes and locks a file, and waits for whoever holds it. In the shared
// directory, workers come and go one after the other: none may take a folder that
// is just being made, or removed, for a dead worker's.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock scratch: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock scratch: %w", err), f.Close())
	}
	return f, nil
}

// sweep removes the folders whose lock nobody holds.
func sweep(dir string) error {
	folders, err := filepath.Glob(filepath.Join(dir, "worker-*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		f, err := os.OpenFile(filepath.Join(folder, scratchLock), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			continue // its worker is just leaving
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = os.RemoveAll(folder)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Folder makes a new folder for a task.
func (s *Scratch) Folder(task string) (string, error) {
	folder, err := os.MkdirTemp(s.folder, task+"-")
	if err != nil {
		return "", fmt.Errorf("make scratch: %w", err)
	}
	return folder, nil
}

// Close removes the worker's folder.
func (s *Scratch) Close() error {
	goings, err := lockFile(filepath.Join(filepath.Dir(s.folder), scratchLock))
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(s.folder), s.lock.Close(), goings.Close())
}
