package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/job"
)

// Limits are what a recording may be, and what it may cost: a few bytes can claim
// a frame or a length that no worker could bear. Zero: anything.
type Limits struct {
	Pixels   int // of a frame
	Duration time.Duration
	Scratch  int64   // bytes that ffmpeg may have on disk for one task
	Slowness float64 // times its own length that ffmpeg may take over a task; and slowStart
}

// slowStart is what any task may take, however short: ffmpeg has to start, and read
// up to where the task begins.
const slowStart = 10 * time.Minute

// patience is ctx for as long as encoding a length of media may take.
func (l Limits) patience(ctx context.Context, length time.Duration) (context.Context, context.CancelFunc) {
	if l.Slowness == 0 {
		return ctx, func() {}
	}
	most := slowStart + time.Duration(l.Slowness*float64(length))
	return context.WithTimeoutCause(ctx, most, job.Transient("too_slow", fmt.Errorf("ffmpeg was not done with %s after %s", length, most)))
}

// check refuses what is beyond the limits.
func (l Limits) check(x *flv.Index) error {
	if x.Video != nil && l.Pixels > 0 {
		for _, f := range x.Video.Forms {
			if f.Width*f.Height > l.Pixels {
				return job.Permanent("too_large", fmt.Errorf("its video is %s; at most %d pixels are allowed here (--max-pixels)", f.Size(), l.Pixels))
			}
		}
	}
	if l.Duration > 0 && x.Duration > l.Duration {
		return job.Permanent("too_long", fmt.Errorf("it lasts %s; at most %s is allowed here (--max-duration)", x.Duration, l.Duration))
	}
	return nil
}

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

// scratchFull gives an error its reason that is of a full disk under folder; the store may be
// full too, which is another matter.
func scratchFull(err error, folder string) error {
	at, ok := errors.AsType[*fs.PathError](err)
	if ok && strings.HasPrefix(at.Path, folder) && (errors.Is(at.Err, syscall.ENOSPC) || errors.Is(at.Err, syscall.EDQUOT)) {
		return job.Transient("scratch_full", err)
	}
	return err
}
