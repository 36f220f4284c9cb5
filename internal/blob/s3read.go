package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Read streams the bytes [from, to) of a version of an object. Where the
// connection breaks or falls silent, it goes on from there.
func (s *S3) Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error) {
	name, err := s.key("read", key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &rangeReader{ctx: ctx, close: cancel, s: s, name: *name, key: key, etag: etag, pos: from, end: to}
	if from < to {
		err := r.open() //nolint:contextcheck // r has ctx
		for errors.Is(err, errSilent) {
			if err = r.again(err); err != nil {
				break
			}
			err = r.open() //nolint:contextcheck // likewise
		}
		if err != nil {
			cancel()
			return nil, err
		}
	}
	return r, nil
}

const readTries = 6 // without a single byte in between

// rangeReader keeps the caller's context, as an io.Reader must.
type rangeReader struct {
	ctx    context.Context //nolint:containedctx // it lives for one Read call of the store
	close  context.CancelFunc
	s      *S3
	name   string // in the bucket
	key    string // as the caller knows it
	etag   string
	pos    int64
	end    int64
	body   io.ReadCloser
	conn   context.Context         //nolint:containedctx // of the connection behind body
	cancel context.CancelCauseFunc // of conn
	tries  int
}

func (r *rangeReader) open() error {
	ctx, cancel := context.WithCancelCause(r.ctx)
	quiet := r.silence(cancel)
	defer quiet.Stop()
	out, err := r.s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &r.s.bucket, Key: &r.name,
		IfMatch: aws.String(`"` + r.etag + `"`),
		Range:   aws.String(fmt.Sprintf("bytes=%d-%d", r.pos, r.end-1)),
	})
	if err != nil {
		err = orSilent(ctx, err)
		cancel(nil)
		return r.s.translate("read", r.key, err)
	}
	r.body, r.cancel, r.conn = out.Body, cancel, ctx
	return nil
}

// errSilent is of a kind that readers elsewhere know, who know nothing of S3.
var errSilent = fmt.Errorf("S3 sends nothing: %w", os.ErrDeadlineExceeded)

// silence gives up on a connection by which nothing comes for a while.
func (r *rangeReader) silence(cancel context.CancelCauseFunc) *time.Timer {
	return time.AfterFunc(r.s.idle, func() { cancel(errSilent) })
}

// orSilent is why a connection ended, if it was for its silence.
func orSilent(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}

func (r *rangeReader) Read(p []byte) (int, error) {
	for {
		if r.pos >= r.end {
			return 0, io.EOF
		}
		n, err := r.read(p[:min(int64(len(p)), r.end-r.pos)])
		if n > 0 {
			r.pos += int64(n)
			r.tries = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		if err := r.again(err); err != nil {
			return 0, err
		}
	}
}

// again waits before another try, or says why there is none.
func (r *rangeReader) again(err error) error {
	r.tries++
	if r.tries >= readTries || r.ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoBucket) {
		return fmt.Errorf("read %s at byte %d of %d: %w", r.key, r.pos, r.end, err)
	}
	r.hangUp()
	return wait(r.ctx, r.s.pause<<r.tries)
}

// read takes what comes next, or gives up on a silent connection. Time counts
// only while somebody waits for a byte: an encoder may take its time between.
func (r *rangeReader) read(p []byte) (int, error) {
	if r.body == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	quiet := r.silence(r.cancel)
	defer quiet.Stop()
	n, err := r.body.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // less came than was asked for
	}
	return n, orSilent(r.conn, err)
}

func (r *rangeReader) hangUp() {
	if r.body != nil {
		r.cancel(nil)
		r.body.Close() // its error says only what hanging up means
		r.body = nil
	}
}

// Close ends the connection, whatever is left unread. Somebody may be reading: all
// that it touches is the context.
func (r *rangeReader) Close() error {
	r.close()
	return nil
}
