package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/job"
)

// joined makes one recording of the parts of a stream, and uploads that.
func (s sender) joined(ctx context.Context, stdout io.Writer, names []string, key string) (t job.Task, err error) {
	parts := make([]flv.Part, len(names))
	for i, name := range names {
		if stem := stemOf(name); !startOf(name).IsZero() && !startOf(names[0]).IsZero() && stem != stemOf(names[0]) {
			return t, fmt.Errorf("%s is of another stream than %s", name, names[0])
		}
		if parts[i], err = s.part(ctx, name); err != nil {
			return t, err
		}
	}
	whole, err := os.CreateTemp("", "afterlive-join-*.flv")
	if err != nil {
		return t, fmt.Errorf("join recordings: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(whole.Name())) }()
	notes, err := flv.Join(whole, parts)
	if err := errors.Join(err, whole.Close()); err != nil {
		return t, fmt.Errorf("join recordings: %w", err)
	}
	for _, note := range notes {
		fmt.Fprintln(stdout, "note:", note)
	}
	s.ours = true
	return s.file(ctx, whole.Name(), key)
}

// part is a file, or an object of the bucket, with when it began by its name.
func (s sender) part(ctx context.Context, name string) (flv.Part, error) {
	p := flv.Part{Name: name, Start: startOf(name), Open: func() (io.ReadCloser, error) { return os.Open(name) }}
	if !strings.HasPrefix(name, "s3://") {
		return p, nil
	}
	key, size, etag, err := s.object(ctx, name)
	p.Open = func() (io.ReadCloser, error) { return s.backend.Recordings.Read(ctx, key, etag, 0, size) }
	return p, err
}

// stemOf is a recording's name without when it began.
func stemOf(name string) string {
	return uniqueSuffix.ReplaceAllString(withoutFLV(path.Base(name)), "")
}

// startOf is when a recording began, from the Unix seconds that record_unique puts
// behind its name; zero where there are none.
func startOf(name string) time.Time {
	suffix := uniqueSuffix.FindString(withoutFLV(path.Base(name)))
	seconds, err := strconv.ParseInt(strings.TrimPrefix(suffix, "-"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
