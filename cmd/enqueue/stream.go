package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/job"
)

// stream is one recording that is followed.
type stream struct {
	*follower
	entry

	spool   spool
	file    *os.File
	info    fs.FileInfo
	began   time.Time // when it was first seen
	woken   chan struct{}
	log     *zap.Logger
	shared  *shared // with other origins; nil: with none
	shipper *growing.Shipper
	shipped time.Time     // when that came off last
	watched time.Time     // when a watch was asked for
	told    time.Duration // how much there was when workers were told of it last
	failed  time.Time     // since when nothing comes off; zero: it does

	toldWait time.Time // the until that workers know of
	closing  bool      // an operator has ended the wait
	unfit    bool      // nothing of it is shipped any more: it is sent when it has ended

	mu      sync.Mutex
	next    *continuation // that it goes on with; nil: it is written itself, or its publisher is gone
	offered string        // a file that it may go on with
	until   time.Time     // the end of the wait for its publisher; zero: there is no wait
	ending  bool          // it goes on with nothing more
}

// run follows the recording to its end. ended is false where another process is to go on with it.
func (s *stream) run(ctx context.Context) (ended bool) {
	defer s.file.Close()
	defer s.end()
	s.log.Info("recording is followed", zap.String("key", s.key("")))
	s.recall(ctx)
	tick := time.NewTicker(lookEvery / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done(): // the next start continues from the state in the store
			return false
		case <-tick.C:
		case <-s.woken:
		}
		live, err := s.isLive()
		if err != nil {
			s.fault(err)
			continue
		}
		if live && !s.due() {
			continue
		}
		if s.shared != nil {
			err = s.shared.ship(ctx)
		} else {
			err = s.ship(ctx, s.ending)
		}
		if err == nil && !live && !s.ending {
			err = s.wait(ctx)
		}
		s.fault(err)
		switch {
		case err != nil || !s.ending:
		case s.shared == nil:
			s.hand(ctx)
			return true
		case s.shared.done:
			return true
		}
	}
}

// due tells whether there is something to do.
func (s *stream) due() bool {
	if s.shared != nil {
		return s.shared.due()
	}
	return s.pendingIsDue()
}

// pendingIsDue tells whether what has come is to be shipped.
func (s *stream) pendingIsDue() bool {
	if time.Since(s.shipped) >= s.Every && time.Since(s.began) >= s.Every {
		return true
	}
	if s.shipper == nil {
		return false
	}
	pending, err := s.shipper.Pending()
	return err == nil && pending >= growing.LongestExtent
}

// ship brings what has come into the store, and tells workers to look at it once enough has come since.
func (s *stream) ship(ctx context.Context, ended bool) error {
	if s.unfit || s.shipper == nil && ended { // it is sent as a whole
		return nil
	}
	if s.shipper == nil {
		shipper, err := growing.Open(ctx, s.backend.Recordings, s.key(""), s.file, s.beginning(), s.announced())
		if err != nil {
			return s.refused(ctx, err)
		}
		s.shipper = shipper
	}
	if err := s.bring(ctx, s.shipper, ended); err != nil {
		return s.refused(ctx, err)
	}
	return nil
}

// bring ships, and has workers look at it.
func (s *stream) bring(ctx context.Context, shipper *growing.Shipper, ended bool) error {
	unwatched := s.watch(ctx) // what has come is shipped all the same
	if err := shipper.Ship(ctx, ended); err != nil {
		return err
	}
	if unwatched != nil && !ended {
		return unwatched
	}
	s.shipped = time.Now()
	if !s.toldWait.IsZero() && s.until.IsZero() { // the publisher is back
		if err := s.tellWaiting(ctx); err != nil {
			return err
		}
		s.toldWait = time.Time{}
	}
	state := shipper.Shipped()
	if lasts := shipper.Lasts(); ended || state.Index != nil && lasts-s.told >= s.Tell {
		out := sender{backend: s.backend, profile: s.Profile}
		t := out.task(s.recording(), state.ID)
		t.Promised = cmp.Or(state.Promised, s.announced()) // it may have been announced since
		if err := out.send(ctx, t); err != nil {
			return err
		}
		if s.told = lasts; ended {
			s.log.Info("recording has ended, and is in the store", zap.String("job", t.JobID()), zap.Int64("bytes", state.End), zap.Int("extents", len(state.Extents)))
		}
	}
	return nil
}

// recording is the key of the one that the file is shipped to.
func (s *stream) recording() string {
	if s.shared != nil {
		return s.shared.key
	}
	return s.key("")
}

// announced is the video that the publisher has announced.
func (s *stream) announced() string { return s.spool.promised(s.App, streamOf(s.Path)) }

// watch asks the workers to watch the recording, the first time before anything of it is in the store: should this machine be gone
// in the next moment, they end it with what is there. They ask each other from then on; should that have got lost, they are asked again.
func (s *stream) watch(ctx context.Context) error {
	if !s.watched.IsZero() && time.Since(s.watched) < watchAgain {
		return nil
	}
	out := sender{backend: s.backend, profile: s.Profile}
	t := out.task(s.recording(), "")
	t.Promised = s.announced()
	t.Watch = job.Watch{Every: int(s.Every.Seconds()), Since: time.Now().UTC()}
	if err := out.backend.Queue.Send(ctx, t.Body(), firstWatch); err != nil {
		return err
	}
	s.watched = time.Now()
	return nil
}

const (
	firstWatch = 20 * time.Second // when workers look at a recording for the first time, if nothing else has them look before
	watchAgain = 10 * time.Minute // when they are asked again
)

// refused tells what cannot be shipped, and why, from what comes off later.
func (s *stream) refused(ctx context.Context, err error) error {
	_, unfit := errors.AsType[*flv.Error](err)
	if !unfit && !errors.Is(err, growing.ErrAnother) {
		return err
	}
	s.log.Warn("recording cannot be followed; it will be sent when it has ended", zap.Error(err))
	if unfit && (s.shipper == nil || s.shipper.Shipped().Head == 0) { // else workers are at it
		if err := growing.Abandon(ctx, s.backend.Recordings, s.key("")); err != nil {
			return err
		}
	}
	s.unfit, s.shipper = true, nil
	return nil
}

// beginning is when the recording began: by its name, if that tells.
func (s *stream) beginning() time.Time {
	if at := startOf(s.Path); !at.IsZero() {
		return at
	}
	return s.began
}

// fault logs that something does not come off, once until it does again.
func (s *stream) fault(err error) {
	switch {
	case err == nil && !s.failed.IsZero():
		s.log.Info("recording is followed again", zap.Duration("after", time.Since(s.failed)))
		s.failed = time.Time{}
	case err != nil && s.failed.IsZero() && !errors.Is(err, context.Canceled):
		s.failed = time.Now()
		s.log.Error("recording cannot be followed for now; the file stays, and this will be tried again", zap.Error(err))
	}
}

// hand makes one object of a recording that has ended, as a hook does, unless one is at it.
func (s *stream) hand(ctx context.Context) {
	t, err := s.handed(ctx)
	switch {
	case err == nil:
		s.log.Info("recording is handed over", zap.String("key", t.Key))
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errBusy): // else a hook is
		s.log.Error("recording is left to the sweep", zap.Error(err))
	}
}

func (s *stream) handed(ctx context.Context) (t job.Task, err error) {
	if err := syscall.Flock(int(s.file.Fd()), syscall.LOCK_UN); err != nil { // see claim
		return t, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return t, err
	}
	s.Video = s.announced()
	e, err := s.spool.take(s.entry, info)
	if err != nil {
		return t, err
	}
	return e.enqueue(ctx, s.log, s.spool, s.flags)
}
