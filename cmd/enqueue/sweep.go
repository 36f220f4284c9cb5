package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/config"
)

type sweepCommand struct {
	Dir       string        `arg:"" help:"Folder that nginx records to."`
	App       string        `help:"The RTMP application whose folder it is." default:"live" placeholder:"APP"`
	Profile   string        `help:"As of send; for recordings that no hook has seen." default:"auto"`
	Spool     string        `help:"As of hook. Default: .spool in the folder." placeholder:"DIR"`
	Older     time.Duration `help:"Leave files that were written to within this time." default:"2m"`
	Reconnect time.Duration `help:"Let a recording go on with the next one of its stream, if the publisher was back within this time. For origins without follow and without a hook, which would take each by itself." default:"0s"`
	LogFile   string        `help:"Where to log." default:"stderr" placeholder:"FILE"`
}

// Help explains what --help has no place for.
func (*sweepCommand) Help() string {
	return `Run it every few minutes, as nginx's user (packaging/systemd has the timer). It finishes what hooks could not: recordings in the spool, because the store could not be reached or the machine went down, and recordings that nginx left without running a hook, because it was killed. Files that are being recorded to are left alone: nginx holds a lock on them (record_lock on).`
}

func (c *sweepCommand) Run(ctx context.Context, flags config.Flags) error {
	log, err := config.Logger("json", c.LogFile)
	if err != nil {
		return err
	}
	info, err := os.Stat(c.Dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", c.Dir)
	}
	if err != nil {
		return fmt.Errorf("%w (name the folder that nginx records to)", err)
	}
	s := spool{folder: cmp.Or(c.Spool, filepath.Join(c.Dir, ".spool"))}
	// What is wrong with one recording keeps no other from being swept.
	faults := c.collect(log, s)
	entries, err := s.entries()
	faults = append(faults, err)
	for _, e := range entries {
		t, err := e.enqueue(ctx, log, s, flags)
		switch {
		case errors.Is(err, errBusy):
		case errors.Is(err, blob.ErrChanged):
			log.Warn("recording is still being written to; the next sweep looks again", zap.Error(err))
		case err != nil:
			faults = append(faults, fmt.Errorf("%s: %w", s.flv(e.ID), err))
		default:
			log.Info("recording is enqueued", zap.String("path", e.Path), zap.String("key", t.Key), zap.String("job", t.JobID()))
		}
	}
	return errors.Join(faults...)
}

// collect moves recordings into the spool that nobody writes to any more, and that
// no hook has taken.
func (c *sweepCommand) collect(log *zap.Logger, s spool) (faults []error) {
	files, err := recordingsIn(c.Dir)
	faults = append(faults, err, c.finishContinuations(log, s, files))
	var wait map[string]bool
	if c.Reconnect > 0 {
		wait, err = c.join(log, s, files)
		faults = append(faults, err)
	}
	for _, file := range files {
		if wait[file] {
			continue
		}
		err := c.collectOne(log, s, file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errBusy) { // else its hook came by
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
	}
	return faults
}

func (c *sweepCommand) collectOne(log *zap.Logger, s spool, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || time.Since(info.ModTime()) < c.Older {
		return nil
	}
	if live, err := recording(file); err != nil || live {
		return err
	}
	if time.Since(info.ModTime()) < c.Reconnect { // its publisher may come back
		return nil
	}
	if _, err := s.take(entry{Path: file, App: c.App, Name: streamOf(file), Profile: c.Profile}, info); err != nil {
		return err
	}
	log.Warn("recording was left without a hook", zap.String("path", file), zap.Int64("bytes", info.Size()))
	return nil
}

var uniqueSuffix = regexp.MustCompile(`-\d{9,11}$`) // of record_unique: Unix seconds

// streamOf is the stream's name, from the file's, which nginx has escaped.
func streamOf(file string) string {
	name := uniqueSuffix.ReplaceAllString(withoutFLV(filepath.Base(file)), "")
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}
