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
	"strconv"
	"strings"
	"time"
)

// Web is a presentation behind a URL, to which names are relative.
func Web(base *url.URL) Source { return web{base, &http.Client{Timeout: time.Minute}} }

type web struct {
	base   *url.URL
	client *http.Client
}

// largest is what is read of one file: more would be no segment.
const largest = 1 << 30

// asked is how a file is asked for: in gzip, as players ask, or a part as it is.
type asked struct {
	method, name string
	part         string // Range
}

func (w web) ask(ctx context.Context, a asked) (*http.Response, error) {
	ref, err := url.Parse(a.name)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, a.method, w.base.ResolveReference(ref).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if a.method == http.MethodGet && a.part == "" {
		req.Header.Set("Accept-Encoding", packed) // Go leaves it to us then
	}
	if a.part != "" {
		req.Header.Set("Range", a.part)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return resp, nil
	case http.StatusNotFound, http.StatusGone:
		err = fmt.Errorf("%s %s: %s: %w", a.method, a.name, resp.Status, fs.ErrNotExist)
	default:
		err = fmt.Errorf("%s %s: %s", a.method, a.name, resp.Status)
	}
	return nil, errors.Join(err, resp.Body.Close())
}

func (w web) Read(ctx context.Context, name string, part Range) (Object, error) {
	a := asked{method: http.MethodGet, name: name}
	if part.Length > 0 {
		a.part = fmt.Sprintf("bytes=%d-%d", part.Offset, part.End()-1)
	}
	resp, err := w.ask(ctx, a)
	if err != nil {
		return Object{}, err
	}
	o := Object{Type: resp.Header.Get("Content-Type"), Encoding: resp.Header.Get("Content-Encoding")}
	if first := resp.Request.Response; first != nil { // which redirected
		o.Moved = resp.Request.URL.String()
	}
	o.Body, err = body(resp)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return Object{}, fmt.Errorf("read %s: %w", name, err)
	}
	if resp.StatusCode == http.StatusPartialContent {
		part.Offset = 0
	}
	o.Body, err = part.of(o.Body)
	return o, err
}

// body reads an answer, unpacked.
func body(resp *http.Response) ([]byte, error) {
	var from io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == packed {
		plain, err := gzip.NewReader(from)
		if err != nil {
			return nil, err
		}
		from = plain
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(from, largest+1))
	if n > largest {
		return nil, fmt.Errorf("it has more than %d bytes", largest)
	}
	return b.Bytes(), err
}

// Size asks for the head, or where a server doesn't tell a length there, for one byte.
func (w web) Size(ctx context.Context, name string) (int64, error) {
	resp, err := w.ask(ctx, asked{method: http.MethodHead, name: name})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if err == nil {
		if err := resp.Body.Close(); err != nil {
			return 0, err
		}
		if resp.ContentLength >= 0 {
			return resp.ContentLength, nil
		}
	}
	resp, err = w.ask(ctx, asked{method: http.MethodGet, name: name, part: "bytes=0-0"})
	if err != nil {
		return 0, err
	}
	if err := resp.Body.Close(); err != nil {
		return 0, err
	}
	if _, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
		if size, err := strconv.ParseInt(total, 10, 64); err == nil {
			return size, nil
		}
	}
	if resp.StatusCode == http.StatusOK && resp.ContentLength >= 0 {
		return resp.ContentLength, nil
	}
	return 0, fmt.Errorf("HEAD %s: the server tells no length", name)
}
