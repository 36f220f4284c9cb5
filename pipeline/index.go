package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"

	"afterlive.alt/internal/flv"
	"afterlive.alt/job"
)

// Beside a recording may lie its index, from its uploader: the file went through their hands
// anyway. Then no worker has to read all of the recording to plan it. It is named after the
// version that it is of.
func indexKey(key, etag string) string { return key + "." + etag + ".index.json" }

// ObjectWriter is where [Scanned.Store] puts it: see [Store].
type ObjectWriter interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Write(ctx context.Context, key string, body []byte, etag string) error
}

// Scanned is a file's index, and what the file was when that was made.
type Scanned struct {
	index *flv.Index
	file  string
	info  os.FileInfo
}

// ScanFile indexes a recording. An error of type [*flv.Error]: it is none, or none that can be published.
func ScanFile(ctx context.Context, file string) (*Scanned, error) {
	recording, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("index recording: %w", err)
	}
	defer recording.Close()
	info, err := recording.Stat()
	if err != nil {
		return nil, fmt.Errorf("index recording: %w", err)
	}
	index, err := flv.Scan(whileRunning{ctx, recording})
	if err != nil {
		return nil, fmt.Errorf("index recording: %w", err)
	}
	return &Scanned{index, file, info}, nil
}

// Trims is an error of type [*flv.Error] if nothing is left of the recording without that.
func (s *Scanned) Trims(t job.Trim) error {
	if t == (job.Trim{}) {
		return nil
	}
	_, err := s.index.Trimmed(milliseconds(t.Start), milliseconds(t.End))
	return err
}

// Store puts the index beside the recording, which was uploaded under that key and version. promised is the video that the stream has announced.
func (s *Scanned) Store(ctx context.Context, shelf ObjectWriter, key, etag, promised string) error {
	if _, _, err := shelf.Stat(ctx, indexKey(key, etag)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, err := os.Stat(s.file)
	if err == nil && (now.Size() != s.info.Size() || !now.ModTime().Equal(s.info.ModTime())) {
		err = errors.New("it changed meanwhile")
	}
	if err != nil {
		return fmt.Errorf("index recording: %w", err)
	}
	s.index.Promised = cmp.Or(s.index.Promised, promised)
	body, err := s.index.Marshal()
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
		p.Log.Warn("the recording's index cannot be used; the recording is scanned instead", zap.String("key", r.Key), zap.Error(err))
	}
	return p.scan(ctx, r)
}
