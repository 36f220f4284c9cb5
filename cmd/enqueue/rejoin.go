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

// finishContinuations ends what a follow has begun that is gone: it puts the rest of a file behind the recording that goes on with it;
// or, where that is gone too, back where nginx had written it.
func (c *sweepCommand) finishContinuations(log *zap.Logger, s spool, files []string) error {
	folders, err := filepath.Glob(filepath.Join(s.folder, nextPrefix+"*"))
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
			continue // or it has just gone
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
	log.Warn("recording was to go on with this, and is gone; so this is a recording of its own", zap.String("path", back))
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
	next, err := s.goesOn(recording)
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

// join lets recordings go on with the next one of their stream, where the publisher was back in time.
func (c *sweepCommand) join(log *zap.Logger, s spool, files []string) error {
	var faults []error
	before := map[string]string{} // by stream
	for _, file := range files {
		stream := streamOf(file)
		joined, err := c.joinOne(log, s, before[stream], file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errBusy) {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
		if !joined {
			before[stream] = file
		}
	}
	return errors.Join(faults...)
}

func (c *sweepCommand) joinOne(log *zap.Logger, s spool, before, file string) (joined bool, err error) {
	for _, name := range []string{before, file} {
		if name == "" {
			return false, nil
		}
		if live, err := recording(name); err != nil || live {
			return false, err
		}
	}
	first, release, err := lockFile(before)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, release()) }()
	began := startOf(file)
	away := began.Sub(first.ModTime())
	if began.IsZero() || away > c.Reconnect || away < -slack {
		return false, nil
	}
	_, releaseNext, err := lockFile(file)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, releaseNext()) }()
	recording, err := os.Open(before)
	if err != nil {
		return false, err
	}
	defer recording.Close()
	if bye, err := saysGoodbye(recording); err != nil || bye {
		return false, err
	}
	next, err := s.goOn(recording, file)
	if err != nil {
		return false, err
	}
	next.away = max(0, away)
	log.Info("publisher was back; its recording goes on", zap.String("path", before), zap.String("with", file), zap.Duration("away", next.away))
	return true, next.finish()
}
