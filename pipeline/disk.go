package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"afterlive/internal/job"
)

// room refuses a folder that has grown beyond what a task may write.
func (l Limits) room(folder string) error {
	if l.Scratch == 0 {
		return nil
	}
	var total int64
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // ffmpeg renames as it goes
		return fmt.Errorf("measure scratch: %w", err)
	}
	if total > l.Scratch {
		return job.Transient("scratch_full", fmt.Errorf("ffmpeg wrote %d bytes to its scratch folder, %d are allowed (--max-scratch)", total, l.Scratch))
	}
	return nil
}

// fault is what is wrong with an output. ffmpeg says nothing of a disk that is
// full: it exits with 0 and leaves files short.
func (o *output) fault(err error) error {
	var disk syscall.Statfs_t
	reason := "bad_output"
	if syscall.Statfs(o.folder, &disk) == nil && disk.Bavail*uint64(disk.Bsize) < fullDisk {
		reason, err = "scratch_full", fmt.Errorf("the disk is full: %w", err)
	}
	return job.Transient(reason, fmt.Errorf("verify %s/%s: %w", o.track.Ladder, o.track.Rendition, err))
}

const fullDisk = 64 << 10 // bytes left

// scratchFull gives an error its reason that is of a full disk under folder; the store may be
// full too, which is another matter.
func scratchFull(err error, folder string) error {
	at, ok := errors.AsType[*fs.PathError](err)
	if ok && strings.HasPrefix(at.Path, folder) && (errors.Is(at.Err, syscall.ENOSPC) || errors.Is(at.Err, syscall.EDQUOT)) {
		return job.Transient("scratch_full", err)
	}
	return err
}
