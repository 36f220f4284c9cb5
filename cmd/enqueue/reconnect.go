package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"afterlive/internal/flv"
)

// claim takes a recording for this process, so that no hook does when nginx has closed its file. ours is false where there is
// nothing to follow, or somebody else does. starting: this process has just begun to look, and may find what another had followed.
func (s *stream) claim(live, starting bool) (ours bool, err error) {
	if s.next, err = s.spool.goesOn(s.file); err != nil {
		return false, err
	}
	if !live && s.next == nil {
		bye, err := saysGoodbye(s.file)
		s.until = s.info.ModTime().Add(s.Reconnect)
		if err != nil || bye || !starting || time.Now().After(s.until) {
			return false, err
		}
	}
	err = syscall.Flock(int(s.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return true, nil
	}
	if s.next != nil {
		err = errors.Join(err, s.next.close())
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = nil
	}
	return false, err
}

// isLive tells whether nginx writes the recording, or what it goes on with, and takes over what has come of that. When
// nginx has closed it, a publisher may come back until the time is over. Then, ending is set.
func (s *stream) isLive() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false, nil
	}
	live, err := isWritten(s.written())
	if err != nil {
		return false, err
	}
	if s.next != nil {
		if err := s.next.copy(); err != nil {
			return false, err
		}
	}
	if live {
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

// written is the file that nginx writes.
func (s *stream) written() *os.File {
	if s.next != nil {
		return s.next.from
	}
	return s.file
}

// over tells whether nobody waits for the publisher (any more).
func (s *stream) over() (bool, error) {
	if s.Reconnect == 0 {
		return true, nil
	}
	now, err := os.Stat(s.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, s.info) { // a hook, or a sweep, has it
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if s.until.IsZero() {
		bye, err := saysGoodbye(s.file)
		if err != nil || bye {
			return bye, err
		}
		s.until = time.Now().Add(s.Reconnect)
		s.log.Info("publisher is gone, and may come back", zap.Time("until", s.until))
	}
	if s.offered == "" && time.Now().After(s.until) {
		s.log.Info("publisher has not come back")
		return true, nil
	}
	return s.closing, nil
}

// offer lets the recording go on with a file that nginx writes, unless its own goes on. false: it doesn't want to.
func (s *stream) offer(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending || s.Reconnect == 0 {
		return false
	}
	if s.offered == name {
		return true
	}
	if live, err := isWritten(s.written()); err != nil || live {
		return false
	}
	s.offered = name
	select {
	case s.woken <- struct{}{}:
	default:
	}
	return true
}

// resume goes on with what was offered. That may be gone by now: then it is a recording of its own.
func (s *stream) resume() (bool, error) {
	name := s.offered
	s.offered = ""
	next, err := s.spool.goOn(s.file, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil { // nothing can be put behind this file
		s.ending = true
		return false, err
	}
	s.log.Info("publisher has come back; its recording goes on", zap.String("with", name), zap.Duration("away", next.away))
	s.next, s.until = next, time.Time{}
	return true, next.copy()
}

// wait tells the store, and workers, that the publisher may come back, and until when; and looks whether somebody has ended the wait.
func (s *stream) wait(ctx context.Context) error {
	if s.shipper == nil || s.until.IsZero() {
		return nil
	}
	if err := s.shipper.Wait(ctx, s.until); err != nil {
		return err
	}
	if state := s.shipper.Shipped(); state.Index != nil && !s.toldWait.Equal(s.until) {
		out := sender{place: s.place, profile: s.Profile}
		if err := out.send(ctx, out.task(s.key(""), state.ID)); err != nil {
			return err
		}
		s.toldWait = s.until
	}
	closing, err := s.shipper.Closing(ctx)
	s.closing = s.closing || closing
	return err
}

// end keeps other files from being offered.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
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
