package pipeline

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
	if err := sweep(dir); err != nil {
		return nil, fmt.Errorf("sweep scratch: %w", err)
	}
	folder, err := os.MkdirTemp(dir, "worker-")
	if err != nil {
		return nil, fmt.Errorf("make scratch: %w", err)
	}
	lock, err := os.Create(filepath.Join(folder, scratchLock))
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, fmt.Errorf("lock scratch: %w", err)
	}
	return &Scratch{folder: folder, lock: lock}, nil
}

// sweep removes the folders whose lock nobody holds.
func sweep(dir string) error {
	locks, err := filepath.Glob(filepath.Join(dir, "worker-*", scratchLock))
	if err != nil {
		return err
	}
	for _, name := range locks {
		f, err := os.Open(name)
		if err != nil {
			continue // its worker is just leaving
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = os.RemoveAll(filepath.Dir(name))
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
	return errors.Join(os.RemoveAll(s.folder), s.lock.Close())
}
