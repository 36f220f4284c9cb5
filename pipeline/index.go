package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.uber.org/zap"

	"afterlive/internal/flv"
	"afterlive/ladder"
)

// Beside a recording may lie what its uploader knows of it, since the file went through
// its hands anyway: the index, and the sound alone. Then nobody reads all of the
// recording again to find them. Both are named after the version that they are of.
func indexKey(key, etag string) string { return key + "." + etag + ".index.json" }
func soundKey(key, etag string) string { return key + "." + etag + ".sound" }

// Shelf is where [StoreIndex] puts things: see [Store].
type Shelf interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Write(ctx context.Context, key string, body []byte, etag string) error
	Upload(ctx context.Context, key, file string) error
}

// StoreIndex puts beside a recording what saves workers from reading all of it, from the
// file that was uploaded under that key and version. The sound goes first: an index
// means that both are there. Of a recording that is to be refused, nothing is stored.
func StoreIndex(ctx context.Context, shelf Shelf, key, etag, file, promised string) error {
	_, _, err := shelf.Stat(ctx, indexKey(key, etag))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	recording, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("index recording: %w", err)
	}
	defer recording.Close()
	before, err := recording.Stat()
	if err != nil {
		return fmt.Errorf("index recording: %w", err)
	}
	index, err := flv.Scan(whileRunning{ctx, recording})
	if _, refused := errors.AsType[*flv.Error](err); refused {
		return nil // a worker will find the same, and say so where operators look
	}
	if err != nil {
		return fmt.Errorf("index recording: %w", err)
	}
	if index.Audio != nil {
		if err := storeSound(ctx, shelf, soundKey(key, etag), index, recording); err != nil {
			return err
		}
	}
	after, err := os.Stat(file)
	if err == nil && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
		err = errors.New("it changed meanwhile")
	}
	if err != nil {
		return fmt.Errorf("index recording: %w", err)
	}
	index.Promised = cmp.Or(index.Promised, promised)
	body, err := index.Marshal()
	if err != nil {
		return fmt.Errorf("index recording: %w", err)
	}
	return unlessThere(shelf.Write(ctx, indexKey(key, etag), body, ""))
}

// storeSound copies a recording's sound aside, as ffmpeg is to be given it, and uploads
// that.
func storeSound(ctx context.Context, shelf Shelf, key string, index *flv.Index, recording io.ReaderAt) (err error) {
	aside, err := os.CreateTemp("", "afterlive-sound-")
	if err != nil {
		return fmt.Errorf("copy sound: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(aside.Name())) }()
	cut := index.AudioCut()
	_, err = io.Copy(aside, whileRunning{ctx, cut.Reader(io.NewSectionReader(recording, cut.From, cut.To-cut.From))})
	if err := errors.Join(err, aside.Close()); err != nil {
		return fmt.Errorf("copy sound: %w", err)
	}
	return unlessThere(shelf.Upload(ctx, key, aside.Name()))
}

func unlessThere(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// index is what there is to know of a recording: what lies beside it, or what a scan
// finds.
func (p *Pipeline) index(ctx context.Context, r *ladder.Recording) (*flv.Index, error) {
	body, _, err := p.Recordings.Load(ctx, indexKey(r.Key, r.ETag))
	if err == nil {
		var index *flv.Index
		if index, err = flv.ParseIndex(body, r.Size); err == nil {
			r.Indexed = true
			return index, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		p.Log.Warn("the recording's index is of no use, so it is read", zap.String("key", r.Key), zap.Error(err))
	}
	return p.scan(ctx, *r)
}

// findSound lets a plan's sound be read from what lies beside the recording, if it does.
func (p *Pipeline) findSound(ctx context.Context, plan *ladder.Plan) error {
	if plan.Audio == nil || !plan.Recording.Indexed {
		return nil
	}
	key := soundKey(plan.Recording.Key, plan.Recording.ETag)
	size, etag, err := p.Recordings.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	plan.Audio.Extract = &ladder.Extract{Key: key, ETag: etag, Size: size}
	return err
}
