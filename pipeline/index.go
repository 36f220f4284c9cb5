package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"

	"afterlive/internal/flv"
)

// Beside a recording may lie its index, from its uploader: the file went through their hands
// anyway. Then no worker has to read all of the recording to plan it. It is named after the
// version that it is of.
func indexKey(key, etag string) string { return key + "." + etag + ".index.json" }

// ObjectWriter is where [StoreIndex] puts it: see [Store].
type ObjectWriter interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Write(ctx context.Context, key string, body []byte, etag string) error
}

// StoreIndex puts the index beside a recording, made from the file that was uploaded under
// that key and version. Of a recording that is to be refused, nothing is stored.
func StoreIndex(ctx context.Context, shelf ObjectWriter, key, etag, file, promised string) error {
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
	if err := shelf.Write(ctx, indexKey(key, etag), body, ""); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// index is what there is to know of a recording: what lies beside it, or what a scan
// finds.
func (p *Pipeline) index(ctx context.Context, r *known) (*flv.Index, error) {
	if r.state != nil {
		index, err := r.state.ReadIndex()
		if err == nil && index != nil {
			r.Indexed = true
			return index, nil
		}
		if !r.ended() { // nobody can scan what has not come yet
			return nil, cmp.Or(err, flv.ErrForeignIndex)
		}
		return p.scan(ctx, r)
	}
	body, _, err := p.Recordings.Load(ctx, indexKey(r.Key, r.ETag))
	if err == nil {
		var index *flv.Index
		if index, err = flv.ParseIndex(body, r.size); err == nil {
			r.Indexed = true
			return index, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		p.Log.Warn("the recording's index is of no use, so it is read", zap.String("key", r.Key), zap.Error(err))
	}
	return p.scan(ctx, r)
}
