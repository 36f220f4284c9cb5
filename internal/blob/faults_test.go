package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/testenv"
)

// first lets the first n requests of a kind fail.
func first(n int, op string, f testenv.Fault) func(testenv.Call) testenv.Fault {
	return func(c testenv.Call) testenv.Fault {
		if c.Op == op && n > 0 {
			n--
			return f
		}
		return testenv.Fault{}
	}
}

var (
	slowDown  = testenv.Fault{Code: "SlowDown", Status: http.StatusServiceUnavailable}
	internal  = testenv.Fault{Code: "InternalError", Status: http.StatusInternalServerError}
	ambiguous = testenv.Fault{Code: "InternalError", Status: http.StatusInternalServerError, After: true}
	forbidden = testenv.Fault{Code: "AccessDenied", Status: http.StatusForbidden}
	broken    = testenv.Fault{Break: true}
	lost      = testenv.Fault{Break: true, After: true}
	halfway   = testenv.Fault{Half: true}
)

// S3 fails in the ways in which it does, between us and a server that keeps S3's
// rules: what is read is whole and of the version asked for, what is written is
// there once, and an error says what it means.
func TestS3Faults(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "faults", false)
	proxy := cloud.Proxy(t)
	s := blob.NewS3(cloud.Config, "faults", "")
	big := bytes.Repeat([]byte("0123456789abcdef"), 12<<20/16) // in three parts
	small := []byte(strings.Repeat("x", 100_000))
	file := func(body []byte) string {
		name := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(name, body, 0o644))
		return name
	}
	must(t, s.Upload(t.Context(), "source", file(small)))
	_, etag, err := s.Stat(t.Context(), "source")
	must(t, err)
	readAll := func(etag string) error {
		r, err := s.Read(t.Context(), "source", etag, 10, int64(len(small)))
		if err != nil {
			return err
		}
		defer r.Close()
		body, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(body, small[10:]) {
			err = fmt.Errorf("%d bytes of %d", len(body), len(small)-10)
		}
		return err
	}
	for _, tc := range []struct {
		name  string
		fault func(testenv.Call) testenv.Fault
		do    func(key string) error
		want  error  // nil: none; errAny: any other than those of package fs
		has   []byte // what is at key then
	}{
		{"read: not found", first(9, "GET", testenv.Fault{Code: "NoSuchKey", Status: http.StatusNotFound}), func(string) error { return readAll(etag) }, fs.ErrNotExist, nil},
		{"read: forbidden", first(9, "GET", forbidden), func(string) error { return readAll(etag) }, errAny, nil},
		{"read: replaced since", nil, func(string) error { return readAll("0123") }, fs.ErrNotExist, nil},
		{"read: slow down", first(2, "GET", slowDown), func(string) error { return readAll(etag) }, nil, nil},
		{"read: reset halfway", first(1, "GET", halfway), func(string) error { return readAll(etag) }, nil, nil},
		{"read: reset halfway, again and again", first(4, "GET", halfway), func(string) error { return readAll(etag) }, nil, nil},
		{"write: slow down", first(2, "PUT", slowDown), func(key string) error { return s.Write(t.Context(), key, small, "") }, nil, small},
		{"write: connection breaks", first(1, "PUT", broken), func(key string) error { return s.Write(t.Context(), key, small, "") }, nil, small},
		{"write: two writers met", first(2, "PUT", testenv.Fault{Code: "ConditionalRequestConflict", Status: http.StatusConflict}), func(key string) error { return s.Write(t.Context(), key, small, "") }, nil, small},
		{"write: done, but the answer is an error", first(1, "PUT", ambiguous), func(key string) error { return s.Write(t.Context(), key, small, "") }, fs.ErrExist, small},
		{"write: done, but the answer is lost", first(1, "PUT", lost), func(key string) error { return s.Write(t.Context(), key, small, "") }, fs.ErrExist, small},
		{"write: forbidden", first(9, "PUT", forbidden), func(key string) error { return s.Write(t.Context(), key, small, "") }, errAny, nil},
		{"upload: slow down", first(2, "PUT", slowDown), func(key string) error { return s.Upload(t.Context(), key, file(small)) }, nil, small},
		{"upload: done, but the answer is lost", first(1, "PUT", lost), func(key string) error { return s.Upload(t.Context(), key, file(small)) }, fs.ErrExist, small},
		{"upload in parts: a part fails", first(2, "PUT uploadId", internal), func(key string) error { return s.Upload(t.Context(), key, file(big)) }, nil, big},
		{"upload in parts: 200, and an error in it", first(9, "POST uploadId", testenv.Fault{Code: "InternalError"}), func(key string) error { return s.Upload(t.Context(), key, file(big)) }, errAny, nil},
		{"upload in parts: cannot begin", first(9, "POST uploads", internal), func(key string) error { return s.Upload(t.Context(), key, file(big)) }, errAny, nil},
		{"list: fails once", first(1, "GET list-type", internal), func(string) error { _, err := s.List(t.Context(), "none/"); return err }, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key := "out/" + strings.Map(func(r rune) rune {
				if r == ' ' || r == ':' || r == ',' {
					return '-'
				}
				return r
			}, tc.name)
			proxy.Script(tc.fault)
			err := tc.do(key)
			proxy.Script(nil)
			known := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
			if ok := errors.Is(err, tc.want) || (tc.want == errAny && err != nil && !known); !ok {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			body, _, err := s.Load(t.Context(), key)
			if tc.has == nil && !errors.Is(err, fs.ErrNotExist) || tc.has != nil && !bytes.Equal(body, tc.has) {
				t.Errorf("%d bytes are there, want %d: %v", len(body), len(tc.has), err)
			}
		})
	}
}

var errAny = errors.New("an error")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What S3 has is not what was sent: the upload fails, and whoever waits for it does
// not commit. Without a checksum, the size is looked at.
func TestUploadIsConfirmed(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "faults", false)
	s := blob.NewS3(cloud.Config, "faults", "")
	name := filepath.Join(t.TempDir(), "segment")
	must(t, os.WriteFile(name, bytes.Repeat([]byte("x"), 1000), 0o644))
	proxy := cloud.Proxy(t)
	through := blob.NewS3(cloud.Config, "faults", "")
	proxy.Quirks(testenv.Quirks{Spoils: true})
	if err := through.Upload(t.Context(), "vod/s1.m4s", name); err == nil {
		t.Error("what was changed on its way is taken")
	}
	proxy.Quirks(testenv.Quirks{NoSums: true})
	proxy.Script(func(c testenv.Call) testenv.Fault {
		if c.Op == http.MethodHead { // somebody shortens it before we look
			must(t, s.Delete(context.WithoutCancel(t.Context()), "vod/s0.m4s"))
			must(t, s.Write(context.WithoutCancel(t.Context()), "vod/s0.m4s", make([]byte, 999), ""))
		}
		return testenv.Fault{}
	})
	if err := through.Upload(t.Context(), "vod/s0.m4s", name); err == nil || !strings.Contains(err.Error(), "999 bytes") {
		t.Errorf("got %v", err)
	}
}

// A recorder starts over in the file while its parts are uploaded: nothing is
// stored.
func TestFileChangesDuringUpload(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "changes", false)
	proxy := cloud.Proxy(t)
	s := blob.NewS3(cloud.Config, "changes", "")
	file := filepath.Join(t.TempDir(), "talk.flv")
	must(t, os.WriteFile(file, make([]byte, 64<<20), 0o644))
	proxy.Script(func(c testenv.Call) testenv.Fault {
		if c.Op == "POST uploads" {
			must(t, os.WriteFile(file, make([]byte, 64<<20), 0o644))
		}
		return testenv.Fault{}
	})
	if err := s.Upload(t.Context(), "recordings/talk.flv", file); !errors.Is(err, blob.ErrChanged) {
		t.Errorf("got %v", err)
	}
	if _, _, err := s.Stat(t.Context(), "recordings/talk.flv"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was stored: %v", err)
	}
}
