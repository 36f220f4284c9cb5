package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
)

// claim locks a recording for this process, so that no hook takes it when nginx closes the file. ours is false if there is nothing
// to follow, or if another process has the lock. starting: follow was just started, and also takes files that nginx has closed:
// an earlier follow had locked them, and their hooks are over.
func (s *stream) claim(live, starting bool) (ours bool, err error) {
	if !live && !starting { // the hook's, or the sweep's
		return false, nil
	}
	err = syscall.Flock(int(s.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err == nil {
		s.next, err = s.spool.findContinuation(s.file)
	}
	if !live {
		s.until = s.info.ModTime().Add(s.Reconnect)
	}
	return err == nil, err
}

// recall reads from the store whether an operator had ended the wait before this process was started.
func (s *stream) recall(ctx context.Context) {
	if s.until.IsZero() {
		return
	}
	state, _, err := growing.Load(ctx, s.backend.Recordings, s.recording())
	s.closing = err == nil && (state.Closing || state.Ended) // if the store is away, the wait ends by itself
}

// isLive tells whether nginx still writes the recording, or its continuation, and appends what has come of that. When nginx has
// closed the file, the publisher may come back until the wait is over. Then it sets ending.
func (s *stream) isLive() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false, nil
	}
	live, err := s.isWritten()
	if err != nil {
		return false, err
	}
	if s.next != nil {
		if err := s.next.copy(); err != nil {
			return false, err
		}
	}
	if live {
		s.until = time.Time{}
		return true, nil
	}
	if s.next != nil {
		if err := s.next.done(); err != nil {
			return false, err
		}
		s.next = nil
	}
	s.ending, err = s.over()
	if err != nil || s.ending || s.offered == "" {
		return false, err
	}
	return s.resume()
}

// isWritten tells whether nginx writes the recording, or what it goes on with.
func (s *stream) isWritten() (bool, error) {
	switch {
	case s.next != nil:
		return isWritten(s.next.from)
	case !s.until.IsZero(): // other writers were looked for before the wait began
		return isLocked(s.file)
	}
	return isWritten(s.file)
}

// over tells whether the recording has ended: without a wait, or because the wait is over.
func (s *stream) over() (bool, error) {
	if s.Reconnect == 0 || s.closing || startOf(s.Path).IsZero() { // without a time in its name, nginx would overwrite the file
		return true, nil
	}
	now, err := os.Stat(s.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, s.info) { // a hook, or a sweep, has it
		return true, nil
	}
	if err != nil {
		return false, err
	}
	bye, err := saysGoodbye(s.file)
	if err != nil || bye {
		return bye, err
	}
	if s.until.IsZero() {
		s.until = time.Now().Add(s.Reconnect)
		s.log.Info("publisher is gone, and may come back", zap.Time("until", s.until))
	}
	if s.offered == "" && time.Now().After(s.until) {
		s.log.Info("publisher has not come back")
		return true, nil
	}
	return false, nil
}

// offer proposes a new file of the same stream as the continuation. It returns false if the new file is a recording of its own.
func (s *stream) offer(name string) bool {
	if !s.mu.TryLock() { // run is busy; the next look offers the file again
		return true
	}
	defer s.mu.Unlock()
	if s.ending || s.Reconnect == 0 {
		return false
	}
	if s.offered == name {
		return true
	}
	if live, err := s.isWritten(); err != nil || live {
		return false
	}
	s.offered = name
	select {
	case s.woken <- struct{}{}:
	default:
	}
	return true
}

// resume begins the continuation that was offered. If the file is gone by now, or another process has it, the wait goes on.
func (s *stream) resume() (bool, error) {
	next, err := s.spool.beginContinuation(s.file, s.offered)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errBusy):
		s.offered = ""
		return false, nil
	case err != nil && time.Now().After(s.until): // nothing can be put behind this file
		s.ending = true
		return false, err
	case err != nil: // it is tried again
		return false, err
	}
	s.log.Info("publisher has come back; its recording goes on", zap.String("with", s.offered), zap.Duration("away", next.away))
	s.next, s.until, s.offered = next, time.Time{}, ""
	return true, next.copy()
}

// wait tells the store, and workers, that the publisher may come back, and until when; and looks whether somebody has ended the wait.
func (s *stream) wait(ctx context.Context) error {
	if s.shipper == nil || s.until.IsZero() {
		return nil
	}
	if err := s.shipper.Wait(ctx, s.until); errors.Is(err, growing.ErrTaken) { // another origin goes on, and needn't wait
		return nil
	} else if err != nil {
		return err
	}
	if !s.toldWait.Equal(s.until) {
		if err := s.tellWaiting(ctx); err != nil {
			return err
		}
		s.toldWait = s.until
	}
	closing, err := s.shipper.Closing(ctx)
	s.closing = s.closing || closing
	return err
}

// tellWaiting has workers look whether the recording waits for its publisher: they tell viewers.
func (s *stream) tellWaiting(ctx context.Context) error {
	state := s.shipper.Shipped()
	if state.Index == nil { // there are none yet
		return nil
	}
	out := sender{backend: s.backend, profile: s.Profile}
	return out.send(ctx, out.task(s.recording(), state.ID))
}

// end keeps other files from being offered.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	if s.shared != nil {
		if err := s.shared.close(); err != nil {
			s.log.Warn("copy of a recording cannot be removed", zap.Error(err))
		}
	}
	if s.next != nil {
		if err := s.next.close(); err != nil {
			s.log.Warn("file cannot be closed", zap.Error(err))
		}
	}
}

// saysGoodbye tells whether the publisher has said that it stops.
func saysGoodbye(recording *os.File) (bool, error) {
	info, err := recording.Stat()
	if err != nil {
		return false, err
	}
	return flv.SaysGoodbye(recording, info.Size())
}
