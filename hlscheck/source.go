package hlscheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
)

// Object is a file of a presentation, and what a server said of it.
type Object struct {
	Body     []byte // decoded
	Type     string // its MIME type; empty: there is no server
	Encoding string // of the transfer: packed, or empty
	Moved    string // its URL, if the server redirected to another
}

// packed is the Content-Encoding that playlists must have (rule 10.1).
const packed = "gzip"

// Source is where a presentation is. Names are references as playlists have them: URLs,
// or relative to the presentation's root. Both methods return [fs.ErrNotExist] where
// nothing is.
type Source interface {
	// Read reads a file, or a part of it.
	Read(ctx context.Context, name string, part Range) (Object, error)
	// Size is a file's length in bytes.
	Size(ctx context.Context, name string) (int64, error)
}

// Range is a part of a file. Where its length is 0, it is the whole file.
type Range struct{ Offset, Length int64 }

// End is where it ends.
func (r Range) End() int64 { return r.Offset + r.Length }

// of is the part of a body, or an error where the body ends before it.
func (r Range) of(body []byte) ([]byte, error) {
	if r.Length == 0 {
		return body, nil
	}
	if r.End() > int64(len(body)) {
		return nil, r.beyond(int64(len(body)))
	}
	return body[r.Offset:r.End()], nil
}

func (r Range) beyond(size int64) error {
	return fmt.Errorf("it has %d bytes, the range ends at %d", size, r.End())
}

// resolve is what a reference means that a file at base has.
func resolve(base, reference string) string {
	r, err := url.Parse(reference)
	if err != nil {
		return reference // the source will say so
	}
	b, err := url.Parse(base)
	if err == nil && (b.Host != "" || strings.HasPrefix(b.Path, "/")) {
		return b.ResolveReference(r).String()
	}
	if r.IsAbs() || r.Host != "" || strings.HasPrefix(reference, "/") {
		return reference
	}
	folder, _, _ := strings.Cut(base, "?")
	file, query, asks := strings.Cut(reference, "?")
	name := path.Join(path.Dir(folder), file)
	if asks {
		name += "?" + query
	}
	return name
}

// errElsewhere is a reference that leads out of a folder.
var errElsewhere = errors.New("it is not in this folder but on a server: check the presentation by its URL")

// Dir is a presentation in files.
func Dir(root fs.FS) Source { return dir{root} }

type dir struct{ root fs.FS }

// file is the name of a reference's file.
func (d dir) file(reference string) (string, error) {
	u, err := url.Parse(reference)
	if err != nil {
		return "", err
	}
	if u.IsAbs() || u.Host != "" || strings.HasPrefix(u.Path, "/") {
		return "", fmt.Errorf("read %s: %w", reference, errElsewhere)
	}
	return u.Path, nil
}

func (d dir) Read(_ context.Context, name string, part Range) (Object, error) {
	name, err := d.file(name)
	if err != nil {
		return Object{}, err
	}
	if part.Length == 0 {
		body, err := fs.ReadFile(d.root, name)
		return Object{Body: body}, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return Object{}, err
	}
	body, err := readPart(f, part)
	return Object{Body: body}, errors.Join(err, f.Close())
}

func readPart(f fs.File, part Range) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if part.End() > info.Size() {
		return nil, part.beyond(info.Size())
	}
	if s, ok := f.(io.Seeker); ok {
		_, err = s.Seek(part.Offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, part.Offset)
	}
	if err != nil {
		return nil, err
	}
	body := make([]byte, part.Length)
	_, err = io.ReadFull(f, body)
	return body, err
}

func (d dir) Size(_ context.Context, name string) (int64, error) {
	name, err := d.file(name)
	if err != nil {
		return 0, err
	}
	info, err := fs.Stat(d.root, name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
