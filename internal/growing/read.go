package growing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// Recordings reads recordings by offset, whether they are an object or grow.
type Recordings struct{ Store Objects }

// Objects are what a store has.
type Objects interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
	Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error)
	Write(ctx context.Context, key string, body []byte, etag string) error
}

// Stat tells an object's size and version.
func (r Recordings) Stat(ctx context.Context, key string) (size int64, etag string, err error) {
	return r.Store.Stat(ctx, key)
}

// Load reads a small object whole.
func (r Recordings) Load(ctx context.Context, key string) (body []byte, etag string, err error) {
	return r.Store.Load(ctx, key)
}

// Write writes a small object, if it is still of that version.
func (r Recordings) Write(ctx context.Context, key string, body []byte, etag string) error {
	return r.Store.Write(ctx, key, body, etag)
}

// Read streams the bytes [from, to) of a version of a recording. [fs.ErrNotExist]: there is no such version.
func (r Recordings) Read(ctx context.Context, key, version string, from, to int64) (io.ReadCloser, error) {
	if !IsVersion(version) {
		return r.Store.Read(ctx, key, version, from, to)
	}
	ctx, cancel := context.WithCancel(ctx)
	out := &reader{ctx: ctx, cancel: cancel, store: r.Store, key: key, version: version, pos: from, end: to}
	if err := out.look(); err != nil {
		cancel()
		return nil, err
	}
	return out, nil
}

// reader goes from extent to extent; and on in the whole object, where they have gone meanwhile.
// It keeps the caller's context, as an io.Reader must.
type reader struct {
	ctx     context.Context //nolint:containedctx // it lives for one Read call of the store
	cancel  context.CancelFunc
	store   Objects
	key     string
	version string
	pos     int64
	end     int64
	state   *State

	mu     sync.Mutex // of what follows: it may be closed while it is read
	now    io.ReadCloser
	closed bool
}

// look finds out which objects there are.
func (r *reader) look() error {
	s, _, err := Load(r.ctx, r.store, r.key)
	if err != nil {
		return err
	}
	if s.ID != original(r.version) {
		return fmt.Errorf("read %s: it is no longer version %s: %w", r.key, r.version, fs.ErrNotExist)
	}
	if r.end > s.End {
		return fmt.Errorf("read %s: bytes up to %d are wanted, %d are there", r.key, r.end, s.End)
	}
	r.state = s
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	for r.pos < r.end {
		now, err := r.source()
		if err != nil {
			return 0, err
		}
		n, err := now.Read(p[:min(int64(len(p)), r.end-r.pos)])
		r.pos += int64(n)
		if n > 0 || err == nil {
			return n, nil
		}
		if !errors.Is(err, io.EOF) {
			return 0, err
		}
		if err := r.replace(nil); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

// source is what is read at the moment.
func (r *reader) source() (io.ReadCloser, error) {
	r.mu.Lock()
	now := r.now
	r.mu.Unlock()
	if now != nil {
		return now, nil
	}
	next, err := r.open()
	if errors.Is(err, fs.ErrNotExist) && r.state.Object == "" { // the extents may just have gone
		if err := r.look(); err != nil {
			return nil, err
		}
		next, err = r.open()
	}
	if err != nil {
		return nil, err
	}
	return next, r.replace(next)
}

// open opens what has the next byte.
func (r *reader) open() (io.ReadCloser, error) {
	if r.state.Object != "" {
		return r.store.Read(r.ctx, r.key, r.state.Object, r.pos, r.end)
	}
	at, ok := r.state.extent(r.pos)
	if !ok {
		return nil, fmt.Errorf("read %s: no extent has byte %d", r.key, r.pos)
	}
	size, etag, err := r.store.Stat(r.ctx, extentKey(r.key, at))
	if err != nil {
		return nil, err
	}
	if r.pos >= at+size {
		return nil, fmt.Errorf("read %s: the extent at %d has %d bytes, byte %d is wanted", r.key, at, size, r.pos)
	}
	return r.store.Read(r.ctx, extentKey(r.key, at), etag, r.pos-at, min(size, r.end-at))
}

// replace ends what was read, and goes on with what comes next.
func (r *reader) replace(next io.ReadCloser) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != nil {
		_ = r.now.Close() // all that was wanted of it has come
	}
	r.now = next
	if r.closed {
		if next != nil {
			_ = next.Close()
		}
		return fs.ErrClosed
	}
	return nil
}

// Close ends it, whatever is left unread. Somebody may be reading.
func (r *reader) Close() error {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.now == nil {
		return nil
	}
	return r.now.Close()
}
