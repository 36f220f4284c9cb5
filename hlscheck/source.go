package hlscheck

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"
)

// Object is a file of a presentation, and what a server said of it.
type Object struct {
	Body     []byte // decoded
	Type     string // its MIME type; empty: there is no server
	Encoding string // of the transfer: packed, or empty
}

// packed is the Content-Encoding that playlists must have (rule 10.1).
const packed = "gzip"

// Source is where a presentation is. Names are relative to its root, with slashes.
type Source interface {
	Read(ctx context.Context, name string) (Object, error)
	// Size is a file's length in bytes.
	Size(ctx context.Context, name string) (int64, error)
}

// Dir is a presentation in files.
func Dir(root fs.FS) Source { return dir{root} }

type dir struct{ root fs.FS }

func (d dir) Read(_ context.Context, name string) (Object, error) {
	body, err := fs.ReadFile(d.root, name)
	return Object{Body: body}, err
}

func (d dir) Size(_ context.Context, name string) (int64, error) {
	info, err := fs.Stat(d.root, name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Web is a presentation behind a URL, to which names are relative.
func Web(base *url.URL) Source { return web{base, &http.Client{Timeout: time.Minute}} }

type web struct {
	base   *url.URL
	client *http.Client
}

func (w web) ask(ctx context.Context, method, name string) (*http.Response, error) {
	ref, err := url.Parse(name)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, w.base.ResolveReference(ref).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", packed) // as a player does; and Go leaves it to us then
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s %s: %s", method, name, resp.Status), resp.Body.Close())
	}
	return resp, nil
}

func (w web) Read(ctx context.Context, name string) (Object, error) {
	resp, err := w.ask(ctx, http.MethodGet, name)
	if err != nil {
		return Object{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return Object{}, fmt.Errorf("read %s: %w", name, err)
	}
	o := Object{Body: body, Type: resp.Header.Get("Content-Type"), Encoding: resp.Header.Get("Content-Encoding")}
	if o.Encoding == packed {
		plain, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return Object{}, fmt.Errorf("read %s: %w", name, err)
		}
		if o.Body, err = io.ReadAll(plain); err != nil {
			return Object{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return o, nil
}

func (w web) Size(ctx context.Context, name string) (int64, error) {
	resp, err := w.ask(ctx, http.MethodHead, name)
	if err != nil {
		return 0, err
	}
	if err := resp.Body.Close(); err != nil {
		return 0, err
	}
	if resp.ContentLength < 0 {
		return 0, fmt.Errorf("HEAD %s: the server tells no length", name)
	}
	return resp.ContentLength, nil
}
