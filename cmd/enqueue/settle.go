package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/twin"
)

// settle makes one object of a recording that has ended, unless another origin does; and ends what this one has to do with it.
func (h *shared) settle(ctx context.Context) error {
	if h.over.IsZero() {
		h.over = time.Now()
	}
	state := h.mirror.State()
	if state.Object == "" && state.Writer() != h.member && time.Since(h.over) < forgotten {
		return nil
	}
	if err := h.complete(ctx, state); err != nil {
		return err
	}
	if state.Object == "" { // who told that it has ended may not have lived to tell workers
		out := sender{backend: h.backend, profile: h.Profile}
		if err := out.send(ctx, out.task(h.key, state.ID)); err != nil {
			return err
		}
	}
	return h.leave(ctx)
}

// complete makes one object of the recording, unless there is one.
func (h *shared) complete(ctx context.Context, state *growing.State) error {
	if state.Object != "" {
		return nil
	}
	store := h.backend.Recordings
	if err := store.Copy(ctx, h.key, h.mirror.File().Name()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	size, etag, err := store.Stat(ctx, h.key)
	if err != nil {
		return err
	}
	if size != state.End {
		h.log.Error("another object has the recording's name; its extents stay", zap.String("key", h.key), zap.Int64("bytes", size), zap.Int64("want", state.End))
		return nil
	}
	return growing.Complete(ctx, store, h.key, etag)
}

// oneAtATime bounds what it takes to compare files: 50 streams may end with one event.
var oneAtATime = make(chan struct{}, 1)

// leave removes the file, unless it has what the recording has not.
func (h *shared) leave(ctx context.Context) error {
	select {
	case oneAtATime <- struct{}{}:
		defer func() { <-oneAtATime }()
	case <-ctx.Done():
		return ctx.Err()
	}
	before, err := h.file.Stat()
	if err != nil {
		return err
	}
	if live, err := isWritten(h.file); err != nil || live {
		return errors.Join(err, fmt.Errorf("%s goes on: %w", h.Path, errLive))
	}
	video, audio, err := twin.Lacks(h.mirror.File(), h.file)
	if err != nil {
		return h.failed(ctx, err)
	}
	if max(video.Lasts, audio.Lasts) > tooMuch {
		return h.apart(ctx, fmt.Sprintf("it has %d frames and %d audio packets that the recording of all origins has not", video.Frames, audio.Frames))
	}
	if err := h.remove(before); err != nil {
		return err
	}
	h.done = true
	h.log.Info("recording of all origins has what this one has", zap.String("key", h.key), zap.Int("frames_lost", video.Frames), zap.Int("audio_lost", audio.Frames))
	return h.unnote()
}

// remove removes the file, if it is still what it was: a publisher may be back.
func (h *shared) remove(before fs.FileInfo) error {
	now, err := os.Stat(h.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, before) { // another has it
		return nil
	}
	if err != nil {
		return err
	}
	live, err := isWritten(h.file)
	if err != nil || live || now.Size() != before.Size() {
		return errors.Join(err, fmt.Errorf("%s goes on: %w", h.Path, errLive))
	}
	return os.Remove(h.Path)
}

// apart makes the file a recording of its own.
func (h *shared) apart(ctx context.Context, why string) error {
	h.log.Warn("recording is kept apart", zap.String("why", why), zap.String("from", h.key))
	if err := growing.Leave(ctx, h.backend.Recordings, h.key, h.member); err != nil {
		return err
	}
	err := h.forget()
	h.shared = nil
	return err
}

// close removes the copy.
func (h *shared) close() error {
	if h.mirror == nil {
		return nil
	}
	return h.mirror.Close()
}

// The recording that a file is part of is noted in the spool, so that another process goes on with that one, and hook and sweep leave
// the file alone.

// sharedNote is where that is noted of a file.
func (s spool) sharedNote(file *os.File) (string, error) {
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	name, err := nextName(file, info)
	return filepath.Join(s.folder, "shared-"+name), err
}

func (h *shared) noted() (string, error) {
	name, err := h.spool.sharedNote(h.file)
	if err != nil {
		return "", err
	}
	body, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(body), err
}

func (h *shared) note() error {
	name, err := h.spool.sharedNote(h.file)
	if err != nil {
		return err
	}
	return writeDurably(name, []byte(h.key))
}

func (h *shared) unnote() error {
	name, err := h.spool.sharedNote(h.file)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
