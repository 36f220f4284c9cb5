package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// slack is by how much a file may seem to begin before the one before it ends.
const slack = 2 * time.Second

// finishContinuations ends what a follow has left that was ended itself: it puts the rest of each file that nginx has closed behind the
// recording that goes on with it; or, where there is no such recording, back where nginx had written the file.
func (c *sweepCommand) finishContinuations(log *zap.Logger, s spool, files []string) error {
	ours, err := nextFolder(c.Dir)
	if err != nil {
		return err
	}
	folders, err := filepath.Glob(filepath.Join(s.folder, ours+"-*"))
	faults := []error{err}
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, "*"))
		faults = append(faults, err)
		if len(found) == 0 {
			faults = append(faults, removeEmpty(folder))
			continue
		}
		info, err := os.Stat(found[0])
		if err != nil || time.Since(info.ModTime()) < c.Older {
			continue // or follow has just finished it
		}
		if live, err := recording(found[0]); err != nil || live {
			continue
		}
		if err := c.finishContinuation(log, s, found[0], files); err != nil && !errors.Is(err, errBusy) && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, fmt.Errorf("%s: %w", found[0], err))
		}
	}
	return errors.Join(faults...)
}

func (c *sweepCommand) finishContinuation(log *zap.Logger, s spool, name string, files []string) error {
	for _, file := range files {
		done, err := c.complete(s, file, name)
		if err != nil || done {
			return err
		}
	}
	back := filepath.Join(c.Dir, filepath.Base(name))
	log.Warn("file was to be put behind a recording that is no longer there; it becomes a recording of its own", zap.String("path", back))
	if err := os.Link(name, back); err != nil { // not over another one
		return err
	}
	return errors.Join(os.Remove(name), removeEmpty(filepath.Dir(name)))
}

// complete puts the rest of a continuation behind its recording, if it is of that file.
func (c *sweepCommand) complete(s spool, file, name string) (done bool, err error) {
	recording, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer recording.Close()
	next, err := s.findContinuation(recording)
	if err != nil || next == nil {
		return false, err
	}
	if next.name != name {
		return false, next.close()
	}
	_, release, err := lockFile(file) // follow has it
	if err != nil {
		return false, errors.Join(err, next.close())
	}
	defer func() { err = errors.Join(err, release()) }()
	return true, next.finish()
}

// finish takes over all that there is.
func (c *continuation) finish() error {
	info, err := c.from.Stat()
	if err == nil {
		err = c.copy()
	}
	if err == nil { // the recording is as old as what it ends with
		err = os.Chtimes(c.into.Name(), time.Time{}, info.ModTime())
	}
	if err != nil {
		return errors.Join(err, c.close())
	}
	return c.done()
}

// join lets recordings go on with the next one of their stream, where the publisher was back in time. It returns those that
// are to be left alone, as the next one is still being recorded.
func (c *sweepCommand) join(log *zap.Logger, s spool, files []string) (wait map[string]bool, err error) {
	var faults []error
	wait = map[string]bool{}
	before := map[string]string{} // by stream
	for _, file := range files {
		stream := streamOf(file)
		first := before[stream]
		before[stream] = file
		if first == "" {
			continue
		}
		joined, live, err := c.joinOne(log, s, first, file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errBusy) {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
		if wait[first] = live; joined {
			before[stream] = first
		}
	}
	return wait, errors.Join(faults...)
}

func (c *sweepCommand) joinOne(log *zap.Logger, s spool, before, file string) (joined, live bool, err error) {
	if live, err := recording(before); err != nil || live {
		return false, false, err
	}
	first, release, err := lockFile(before)
	if err != nil {
		return false, false, err
	}
	defer func() { err = errors.Join(err, release()) }()
	began := startOf(file)
	away := began.Sub(first.ModTime())
	if began.IsZero() || away > c.Reconnect || away < -slack {
		return false, false, nil
	}
	recorded, err := os.Open(before)
	if err != nil {
		return false, false, err
	}
	defer recorded.Close()
	if bye, err := saysGoodbye(recorded); err != nil || bye {
		return false, false, err
	}
	if live, err = recording(file); err != nil || live {
		return false, live, err
	}
	next, err := s.beginContinuation(recorded, file)
	if err != nil {
		return false, false, err
	}
	next.away = max(0, away) // the file may have been copied here, and be younger than its name
	log.Info("publisher was back; its recording goes on", zap.String("path", before), zap.String("with", file), zap.Duration("away", next.away))
	return true, false, next.finish()
}
