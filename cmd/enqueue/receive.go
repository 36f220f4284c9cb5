package main

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/flv"
	"afterlive.alt/job"
	"afterlive.alt/pipeline"
	"afterlive.alt/site"
)

// receiver sends what was uploaded as send does.
type receiver struct {
	backend *config.Backend
	log     *zap.Logger
}

func (r receiver) sender(u site.Upload) (s sender, key string) {
	note := func(err error) {
		r.log.Warn("a recording is sent all the same", zap.String("asset", u.Name), zap.Error(err))
	}
	return sender{backend: r.backend, profile: u.Profile, title: u.Title, trim: u.Trim, note: note}, job.Prefix + withoutFLV(u.Name) + ".flv"
}

// Check refuses a name that is taken, a profile that no worker knows, and what would be no message.
func (r receiver) Check(ctx context.Context, u site.Upload) error {
	s, key := r.sender(u)
	if err := s.known(ctx); err != nil {
		return fmt.Errorf("%w: %w", site.ErrRefused, err)
	}
	if size, _, err := r.backend.Recordings.Stat(ctx, key); err == nil && size != u.Size { // better now than when all of it has come
		return fmt.Errorf("%w: %s: %w", site.ErrRefused, key, errTaken)
	}
	return r.free(ctx, u)
}

// free refuses what will never be taken, whatever workers there are.
func (r receiver) free(ctx context.Context, u site.Upload) error {
	s, key := r.sender(u)
	if _, err := job.Parse(s.task(key, "").Body()); err != nil {
		return fmt.Errorf("%w: %w", site.ErrRefused, err)
	}
	err := pipeline.NameFree(ctx, r.backend.Store, key)
	if errors.Is(err, pipeline.ErrNameTaken) {
		return fmt.Errorf("%w: %w", site.ErrRefused, err)
	}
	return err
}

// Take uploads a file into the store, and sends its message.
func (r receiver) Take(ctx context.Context, file string, u site.Upload) (job.Task, error) {
	if err := r.free(ctx, u); err != nil {
		return job.Task{}, err
	}
	s, key := r.sender(u)
	t, err := s.file(ctx, file, key)
	if _, wrong := errors.AsType[*flv.Error](err); wrong || errors.Is(err, errTaken) {
		return t, fmt.Errorf("%w: %w", site.ErrRefused, err)
	}
	if err != nil {
		return t, err
	}
	if err := s.operator().Resume(ctx, t.JobID(), false); err != nil {
		s.note(err)
	}
	return t, s.send(ctx, t)
}
