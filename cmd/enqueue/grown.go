package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/job"
)

// existing is the task for an object that is in the bucket already; or for a recording that was followed, and whose
// recorder is gone: it ends with what is there.
func (s sender) existing(ctx context.Context, uri string) (job.Task, error) {
	key, size, etag, err := s.object(ctx, uri)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return job.Task{}, err
	}
	state, _, fault := growing.Load(ctx, s.backend.Recordings, key)
	switch {
	case fault == nil && gone && time.Since(state.Told) < restless:
		return job.Task{}, fmt.Errorf("%s grows: something came %s ago; once its recorder is gone for good, this ends it with what is there", uri, time.Since(state.Told).Round(time.Second))
	case fault == nil && gone:
		if state, err = growing.EndAsItIs(ctx, s.backend.Recordings, key, state.End); err != nil {
			return job.Task{}, err
		}
		return s.task(key, state.ID), nil
	case fault == nil && (state.Object == etag || state.IsWhole(size)):
		return s.task(key, state.ID), nil
	case fault != nil && !errors.Is(fault, fs.ErrNotExist):
		return job.Task{}, fault
	}
	return s.task(key, etag), err
}

// restless is for how long nothing must have come of a recording before it may be ended without its recorder: three times as long as follow
// may take (--every).
const restless = 3 * time.Minute

// finish brings a recording that was followed to its end in the store, and returns its version: workers
// are at it already. "": it was not followed.
func (s sender) finish(ctx context.Context, name, key string) (version string, err error) {
	if _, _, err := growing.Load(ctx, s.backend.Recordings, key); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return "", err
	}
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if live, err := isWritten(file); err != nil || live {
		return "", cmp.Or(err, fmt.Errorf("%s: %w", name, errLive))
	}
	shipper, err := growing.Open(ctx, s.backend.Recordings, key, file, time.Time{}, "")
	if err == nil {
		err = shipper.Ship(ctx, true)
	}
	if _, unfit := errors.AsType[*flv.Error](err); unfit { // a worker will say so
		return "", growing.Abandon(ctx, s.backend.Recordings, key)
	}
	if errors.Is(err, growing.ErrAnother) {
		return "", fmt.Errorf("%s: %w; choose another with --as", key, errTaken)
	}
	if err != nil {
		return "", err
	}
	return shipper.Shipped().ID, nil
}
