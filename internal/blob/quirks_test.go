package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/testenv"
)

const probe = "jobs/conditions.json"

// What an S3 of others lacks is found before anything rests on it, and named.
func TestCheck(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "checked", false)
	proxy := cloud.Proxy(t)
	for _, tc := range []struct {
		name   string
		bucket string
		quirks testenv.Quirks
		script func(testenv.Call) testenv.Fault
		want   error
		says   string
	}{
		{name: "well", bucket: "checked"},
		{name: "weak ETags", bucket: "checked", quirks: testenv.Quirks{Weak: true}},
		{name: "no such bucket", bucket: "chekced", want: blob.ErrNoBucket, says: `"chekced"`},
		{name: "ignores If-None-Match", bucket: "checked", quirks: testenv.Quirks{Ignores: "If-None-Match"}, want: blob.ErrUnfit, says: "ignores If-None-Match: two workers could publish different results"},
		{name: "ignores If-Match", bucket: "checked", quirks: testenv.Quirks{Ignores: "If-Match"}, want: blob.ErrUnfit, says: "ignores If-Match"},
		{name: "refuses conditions", bucket: "checked", quirks: testenv.Quirks{Refuses: true}, want: blob.ErrUnfit, says: "refuses If-None-Match"},
		{name: "refuses checksums", bucket: "checked", quirks: testenv.Quirks{NoChecksums: true}, want: blob.ErrUnfit, says: "set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"},
		{name: "forbids what is not there", bucket: "checked", quirks: testenv.Quirks{Forbids: true}, want: blob.ErrUnfit, says: "s3:ListBucket"},
		{name: "may not be written to", bucket: "checked", script: first(99, "PUT", forbidden), want: blob.ErrUnfit, says: "AccessDenied"},
		{name: "is down", bucket: "checked", script: first(99, "GET", slowDown), want: errAny, says: "SlowDown"},
		{name: "breaks off", bucket: "checked", script: first(99, "GET", testenv.Fault{Half: true}), want: errAny},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := blob.NewS3(cloud.Config, tc.bucket, "")
			proxy.Script(tc.script)
			proxy.Quirks(tc.quirks)
			defer proxy.Quirks(testenv.Quirks{})
			err := s.CheckReads(t.Context(), "recordings/none")
			if err == nil {
				err = s.CheckWrites(t.Context(), probe)
			}
			unfit := errors.Is(err, blob.ErrUnfit) || errors.Is(err, blob.ErrNoBucket)
			if ok := errors.Is(err, tc.want) || (tc.want == errAny && err != nil && !unfit); !ok || (err != nil && !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("got %v, want %v that says %q", err, tc.want, tc.says)
			}
		})
	}
}

// A bucket that is not there is no object that is not there, whatever asks.
func TestNoSuchBucket(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	s := blob.NewS3(cloud.Config, "afterlive-vdo", "")
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("x"), 0o644))
	for name, do := range map[string]func() error{
		"stat":   func() error { _, _, err := s.Stat(t.Context(), "a"); return err },
		"load":   func() error { _, _, err := s.Load(t.Context(), "a"); return err },
		"read":   func() error { _, err := s.Read(t.Context(), "a", "e", 0, 1); return err },
		"write":  func() error { return s.Write(t.Context(), "a", []byte("x"), "") },
		"swap":   func() error { return s.Write(t.Context(), "a", []byte("x"), "e") },
		"upload": func() error { return s.Upload(t.Context(), "a", file) },
		"list":   func() error { _, err := s.List(t.Context(), "a/"); return err },
		"delete": func() error { return s.Delete(t.Context(), "a") },
	} {
		err := do()
		if !errors.Is(err, blob.ErrNoBucket) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "afterlive-vdo") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where an S3 takes no checksums and the SDK is told so, uploads in parts have none
// either.
func TestNoChecksums(t *testing.T) {
	t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
	cloud := testenv.Start(t)
	cloud.Bucket(t, "sums", false)
	proxy := cloud.Proxy(t)
	proxy.Quirks(testenv.Quirks{NoChecksums: true})
	s := blob.NewS3(cloud.Config, "sums", "")
	for name, size := range map[string]int{"small": 1000, "in parts": 12 << 20} {
		file := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(file, make([]byte, size), 0o644))
		if err := s.Upload(t.Context(), "up/"+name, file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A proxy that weakens ETags changes nothing: what is read and swapped is the version
// that S3 knows.
func TestWeakETags(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "weak", false)
	proxy := cloud.Proxy(t)
	s := blob.NewS3(cloud.Config, "weak", "")
	write(t, s, "pointer", "one", "")
	_, strong := load(t, s, "pointer")
	proxy.Quirks(testenv.Quirks{Weak: true})
	_, etag := load(t, s, "pointer")
	_, stat, err := s.Stat(t.Context(), "pointer")
	if err != nil || etag != strong || stat != strong {
		t.Errorf("%q and %q are %q, %v", etag, stat, strong, err)
	}
	r, err := s.Read(t.Context(), "pointer", etag, 0, 3)
	must(t, err)
	if body, err := io.ReadAll(r); err != nil || string(body) != "one" {
		t.Errorf("%q, %v", body, err)
	}
	must(t, r.Close())
	write(t, s, "pointer", "two", etag)
}

// A segment costs no second request where S3 has confirmed it by a checksum.
func TestUploadAsksForTheSizeOnlyWithoutChecksum(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "heads", false)
	proxy := cloud.Proxy(t)
	s := blob.NewS3(cloud.Config, "heads", "")
	for name, size := range map[string]int{"small": 1000, "parts": 12 << 20} {
		for _, sums := range []bool{true, false} {
			file := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(file, make([]byte, size), 0o644))
			proxy.Script(nil)
			proxy.Quirks(testenv.Quirks{NoSums: !sums})
			must(t, s.Upload(t.Context(), name+map[bool]string{true: "-sums"}[sums], file))
			asked := slices.ContainsFunc(proxy.Calls(), func(c testenv.Call) bool { return c.Op == http.MethodHead })
			if asked == sums {
				t.Errorf("%s, with a checksum in the answer: %t; asked for the size: %t", name, sums, asked)
			}
		}
	}
}

// S3 sends nothing for long: the reader says so, in a way that others understand.
func TestS3IsSilent(t *testing.T) {
	cloud := testenv.Start(t)
	cloud.Bucket(t, "silent", false)
	proxy := cloud.Proxy(t)
	s := blob.NewS3(cloud.Config, "silent", "").Impatient(50*time.Millisecond, time.Millisecond)
	body := bytes.Repeat([]byte("x"), 1000)
	write(t, s, "r.flv", string(body), "")
	_, etag := load(t, s, "r.flv")
	for name, n := range map[string]int{"for a while": 3, "for ever": 1000} {
		proxy.Script(first(n, "GET", testenv.Fault{Hang: true}))
		r, err := s.Read(t.Context(), "r.flv", etag, 0, 1000)
		if err == nil {
			var got []byte
			got, err = io.ReadAll(r)
			if n < 100 && !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes", name, len(got))
			}
			must(t, r.Close())
		}
		if silent := errors.Is(err, os.ErrDeadlineExceeded); silent != (n > 100) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
