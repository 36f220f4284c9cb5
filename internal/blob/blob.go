// Package blob keeps recordings, plans, parts and published files: in S3, or in
// a directory. Both behave alike:
//
//   - an object is whole or absent, never half written;
//   - [fs.ErrNotExist] means that there is no such object, or that a recording is
//     no longer the version asked for;
//   - [fs.ErrExist] means that a conditional write lost: the object is there
//     already, or is no longer the version that the writer had read.
//
// An ETag is an opaque word for one version of one object, without quotes.
package blob

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Immutable is the Cache-Control of what never changes under its name; Changing
// is that of an asset's pointer, of multivariant playlists, and of the player; Growing that of
// what gets longer every few seconds.
const (
	Immutable = "public, max-age=31536000, immutable"
	Changing  = "public, max-age=5"
	Growing   = "public, max-age=2"
)

// Headers are the Content-Type and Cache-Control of an object, by its key (HLS
// authoring rule 10.4).
func Headers(key string) (contentType, cacheControl string) {
	contentType, cacheControl = "application/octet-stream", Immutable
	switch strings.ToLower(path.Ext(key)) { // a recorder may write .FLV
	case ".m3u8":
		contentType = "application/vnd.apple.mpegurl"
	case ".mp4":
		contentType = "video/mp4"
	case ".m4s":
		contentType = "video/iso.segment"
	case ".ts":
		contentType = "video/mp2t"
	case ".jpg":
		contentType = "image/jpeg"
	case ".vtt":
		contentType = "text/vtt; charset=utf-8"
	case ".json":
		contentType = "application/json"
	case ".flv":
		contentType = "video/x-flv"
	case ".html":
		return "text/html; charset=utf-8", Changing
	case ".css":
		return "text/css; charset=utf-8", Changing
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8", Changing
	}
	if name := path.Base(key); name == "event.m3u8" || name == "event.vtt" {
		cacheControl = Growing
	}
	// The stable playlist cannot be told from its jobs' by name; all are small.
	if name := path.Base(key); name == "asset.json" || name == "master.m3u8" || name == "latest.json" || name == "latest.m3u8" {
		cacheControl = Changing
	}
	return contentType, cacheControl
}

const packed = "gzip"

// Packed tells whether an object is to be delivered gzipped, by its key: playlists
// are (HLS authoring rule 10.1). S3 holds them so, a directory doesn't.
func Packed(key string) bool { return path.Ext(key) == ".m3u8" }

// Pack gzips a small object. Equal ones are equal afterwards.
func Pack(body []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(body); err != nil {
		panic(err) // a buffer takes all
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func unpack(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func invalid(op, key string) error {
	return &fs.PathError{Op: op, Path: key, Err: fs.ErrInvalid}
}
