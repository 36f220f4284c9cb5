package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"afterlive.alt/job"
)

// A bucket may tell of a recording before its sender does, and knows nothing of profile, title and trim. So the sender stores them beside the recording,
// before that: both messages then lead to the same job.
type wish struct {
	Version int      `json:"v"`
	Size    int64    `json:"size"` // of the recording: for another in its place, nobody has wished this
	Profile string   `json:"profile"`
	Title   string   `json:"title,omitempty"`
	Trim    job.Trim `json:"trim,omitzero"`
}

func wishKey(key string) string { return key + ".wish.json" }

// NoteWish stores how a recording of this size is wanted that is about to be uploaded.
func NoteWish(ctx context.Context, shelf ObjectWriter, t job.Task, size int64) error {
	body, err := json.Marshal(wish{job.Version, size, t.Profile, t.Title, t.Trim})
	if err != nil {
		return fmt.Errorf("note how %s is wanted: %w", t.Key, err)
	}
	_, etag, err := shelf.Stat(ctx, wishKey(t.Key)) // of an upload that was broken off
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = shelf.Write(ctx, wishKey(t.Key), body, etag)
	}
	if err != nil {
		return fmt.Errorf("note how %s is wanted: %w", t.Key, err)
	}
	return nil
}

// wished is what a bucket told of, as its sender wants it, if he has said so.
func (p *Pipeline) wished(ctx context.Context, t job.Task) (job.Task, error) {
	if !t.Notified {
		return t, nil
	}
	body, _, err := p.Recordings.Load(ctx, wishKey(t.Key))
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("load %s: %w", wishKey(t.Key), err)
	}
	var w wish
	if err := json.Unmarshal(body, &w); err != nil {
		return t, job.Permanent("bad_message", fmt.Errorf("read %s: %w", wishKey(t.Key), err))
	}
	size, _, err := p.Recordings.Stat(ctx, t.Key)
	if err == nil && size == w.Size {
		t.Profile, t.Title, t.Trim = w.Profile, w.Title, w.Trim
	}
	if errors.Is(err, fs.ErrNotExist) { // which look says better
		err = nil
	}
	return t, err
}
