package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/testenv"
)

// contract is what both stores offer.
type contract interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error)
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
	Write(ctx context.Context, key string, body []byte, etag string) error
	Upload(ctx context.Context, key, file string) error
	Copy(ctx context.Context, key, file string) error
	List(ctx context.Context, prefix string) ([]string, error)
	ListFrom(ctx context.Context, prefix, after string, n int) ([]string, error)
	Delete(ctx context.Context, key string) error
}

// TestConformance holds every implementation to the package's promises.
func TestConformance(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	t.Run("directory", func(t *testing.T) {
		conform(t, func(t *testing.T, _ string) contract {
			d, err := blob.NewDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return d
		})
	})
	t.Run("directory without hard links", func(t *testing.T) {
		conform(t, func(t *testing.T, _ string) contract { return blob.DirWithoutLinks(t) })
	})
	t.Run("S3", func(t *testing.T) {
		cloud := testenv.Start(t)
		conform(t, func(t *testing.T, name string) contract {
			cloud.Bucket(t, name, false)
			return blob.NewS3(cloud.Config, name, "")
		})
	})
	t.Run("S3 below a prefix", func(t *testing.T) {
		cloud := testenv.Start(t)
		conform(t, func(t *testing.T, name string) contract {
			cloud.Bucket(t, name, false)
			return blob.NewS3(cloud.Config, name, "some/where")
		})
	})
}

func conform(t *testing.T, open func(t *testing.T, name string) contract) {
	for name, test := range map[string]func(*testing.T, contract){
		"absent":    testAbsent,
		"write":     testWrite,
		"race":      testRace,
		"upload":    testUpload,
		"read":      testRead,
		"list":      testList,
		"delete":    testDelete,
		"odd-keys":  testOddKeys,
		"bad-keys":  testBadKeys,
		"cancelled": testCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, name)) })
	}
}

func write(t *testing.T, s contract, key, body, etag string) {
	t.Helper()
	if err := s.Write(t.Context(), key, []byte(body), etag); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, s contract, key string) (string, string) {
	t.Helper()
	body, etag, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), etag
}

func testAbsent(t *testing.T, s contract) {
	if _, _, err := s.Stat(t.Context(), "no/body"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: %v", err)
	}
	if _, _, err := s.Load(t.Context(), "no/body"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load: %v", err)
	}
	if _, err := s.Read(t.Context(), "no/body", "e", 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if err := s.Write(t.Context(), "no/body", nil, "e"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("write in place of what isn't there: %v", err)
	}
	if keys, err := s.List(t.Context(), "no/"); err != nil || len(keys) > 0 {
		t.Errorf("list: %v, %v", keys, err)
	}
	if err := s.Upload(t.Context(), "no/body", "/no/file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("upload of no file: %v", err)
	}
}

func testWrite(t *testing.T, s contract) {
	write(t, s, "a/b.json", "one", "")
	body, first := load(t, s, "a/b.json")
	if body != "one" {
		t.Errorf("body %q", body)
	}
	if err := s.Write(t.Context(), "a/b.json", []byte("two"), ""); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create a second time: %v", err)
	}
	write(t, s, "a/b.json", "two", first)
	if err := s.Write(t.Context(), "a/b.json", []byte("three"), first); !errors.Is(err, fs.ErrExist) {
		t.Errorf("swap of an old version: %v", err)
	}
	body, second := load(t, s, "a/b.json")
	if body != "two" || second == first {
		t.Errorf("body %q, etag %q after %q", body, second, first)
	}
	size, etag, err := s.Stat(t.Context(), "a/b.json")
	if err != nil || size != 3 || etag != second {
		t.Errorf("stat: %d bytes, etag %q (load says %q), %v", size, etag, second, err)
	}
}

// Of many who write at once, one wins, and is told so.
func testRace(t *testing.T, s contract) {
	race := func(key, etag string) {
		var wins atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				body := fmt.Sprintf("writer %d after %q", i, etag) // an ETag may be a hash: the same body would be the same version
				switch err := s.Write(t.Context(), key, []byte(body), etag); {
				case err == nil:
					wins.Add(1)
					winner.Store(body)
				case !errors.Is(err, fs.ErrExist):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if body, _ := load(t, s, key); wins.Load() != 1 || body != winner.Load() {
			t.Errorf("etag %q: %d writers won; the object says %q", etag, wins.Load(), body)
		}
	}
	race("pointer", "")
	_, etag := load(t, s, "pointer")
	race("pointer", etag)
}

func testUpload(t *testing.T, s contract) {
	for _, size := range []int{0, 1000, 12 << 20} { // the last one in parts
		body := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, body, 0o644); err != nil {
			t.Fatal(err)
		}
		copied := fmt.Sprintf("copied/%d.flv", size)
		if err := s.Copy(t.Context(), copied, file); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("up/%d.flv", size)
		if err := s.Upload(t.Context(), key, file); err != nil {
			t.Fatal(err)
		}
		if err := s.Copy(t.Context(), key, file); !errors.Is(err, fs.ErrExist) {
			t.Errorf("copy of %d bytes to a name that is taken: %v", size, err)
		}
		if got, _ := load(t, s, key); got != string(body) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
		if err := s.Upload(t.Context(), key, file); !errors.Is(err, fs.ErrExist) {
			t.Errorf("upload of %d bytes a second time: %v", size, err)
		}
		if err := os.Truncate(file, 0); err != nil { // the caller's, where it was copied
			t.Fatal(err)
		}
		if got, _ := load(t, s, copied); got != string(body) {
			t.Errorf("the copy of %d bytes has %d", size, len(got))
		}
	}
}

func testRead(t *testing.T, s contract) {
	write(t, s, "r.flv", "0123456789", "")
	_, etag := load(t, s, "r.flv")
	for _, tc := range []struct {
		from, to int64
		want     string
	}{{0, 10, "0123456789"}, {3, 7, "3456"}, {9, 10, "9"}, {4, 4, ""}} {
		r, err := s.Read(t.Context(), "r.flv", etag, tc.from, tc.to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != tc.want {
			t.Errorf("[%d, %d): %q, %v", tc.from, tc.to, got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	write(t, s, "r.flv", "another recording", etag)
	if _, err := s.Read(t.Context(), "r.flv", etag, 0, 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a version that was replaced: %v", err)
	}
}

func testList(t *testing.T, s contract) {
	want := []string{"jobs/a/parts/1.json", "jobs/a/parts/2.json", "jobs/a/plan.json"}
	for _, key := range append(want, "jobs/ab/plan.json", "other/a") {
		write(t, s, key, "x", "")
	}
	if got, err := s.List(t.Context(), "jobs/a/"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := s.List(t.Context(), "jobs/a"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("what is no folder: %v, %v", got, err)
	}
	for n := range 7 {
		write(t, s, fmt.Sprintf("index/jobs/%d-x", n), "x", "")
	}
	var all []string
	for after := ""; ; {
		page, err := s.ListFrom(t.Context(), "index/jobs/", after, 3)
		if err != nil || len(page) > 3 {
			t.Fatalf("%v, %v", page, err)
		}
		if len(page) == 0 {
			break
		}
		all, after = append(all, page...), page[len(page)-1]
	}
	if len(all) != 7 || !slices.IsSorted(all) || all[0] != "index/jobs/0-x" || all[6] != "index/jobs/6-x" {
		t.Errorf("by pages: %v", all)
	}
	if page, err := s.ListFrom(t.Context(), "index/none/", "", 3); err != nil || len(page) > 0 {
		t.Errorf("of nothing: %v, %v", page, err)
	}
}

func testDelete(t *testing.T, s contract) {
	write(t, s, "jobs/a/plan.json", "x", "")
	write(t, s, "jobs/a/other.json", "x", "")
	for range 2 { // the second time there is nothing
		if err := s.Delete(t.Context(), "jobs/a/plan.json"); err != nil {
			t.Error(err)
		}
	}
	if got, err := s.List(t.Context(), "jobs/a/"); err != nil || !slices.Equal(got, []string{"jobs/a/other.json"}) {
		t.Errorf("left: %v, %v", got, err)
	}
	if _, _, err := s.Load(t.Context(), "jobs/a/plan.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loaded what was deleted: %v", err)
	}
}

func testOddKeys(t *testing.T, s contract) {
	for _, key := range []string{"a b+c%20d&e=f.flv", "señal/☃.flv", "%2e%2e/x", "-rf", "a;b'c\"d"} {
		write(t, s, key, key, "")
		if body, _ := load(t, s, key); body != key {
			t.Errorf("%q came back as %q", key, body)
		}
	}
}

func testBadKeys(t *testing.T, s contract) {
	for _, key := range []string{"", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/"} {
		if err := s.Write(t.Context(), key, []byte("x"), ""); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("write to %q: %v", key, err)
		}
		if _, _, err := s.Load(t.Context(), key); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("load %q: %v", key, err)
		}
	}
}

func testCancelled(t *testing.T, s contract) {
	if _, ok := s.(*blob.Dir); ok {
		return // a local file doesn't wait for anybody
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, "late", []byte("x"), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What a killed process left half written is removed, what is being written is not.
func TestDirRemovesWhatIsHalfWritten(t *testing.T) {
	root := t.TempDir()
	if _, err := blob.NewDir(root); err != nil {
		t.Fatal(err)
	}
	old, fresh := filepath.Join(root, ".tmp", "put-1"), filepath.Join(root, ".tmp", "put-2")
	for _, name := range []string{old, fresh} {
		must(t, os.WriteFile(name, []byte("half"), 0o644))
	}
	must(t, os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)))
	if _, err := blob.NewDir(root); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(root, ".tmp", "put-*")); err != nil || len(left) != 1 || left[0] != fresh {
		t.Errorf("left %v, %v", left, err)
	}
}

// Where a file is given away on the same file system, nothing is copied.
func TestDirTakesTheFileItself(t *testing.T) {
	root := t.TempDir()
	d, err := blob.NewDir(filepath.Join(root, "store"))
	must(t, err)
	file := filepath.Join(root, "segment")
	must(t, os.WriteFile(file, make([]byte, 1000), 0o600))
	must(t, d.Upload(t.Context(), "vod/s.m4s", file))
	before, err := os.Stat(file)
	must(t, err)
	after, err := os.Stat(filepath.Join(root, "store", "vod", "s.m4s"))
	must(t, err)
	if !os.SameFile(before, after) || after.Mode().Perm() != 0o644 {
		t.Errorf("it was copied, or has mode %s", after.Mode())
	}
}

func TestHeaders(t *testing.T) {
	for key, want := range map[string][2]string{
		"vod/live/talk/master.m3u8":                             {"application/vnd.apple.mpegurl", blob.Changing},
		"vod/live/talk/asset.json":                              {"application/json", blob.Changing},
		"vod/live/talk/0123456789abcdef/flat/720p/event.m3u8":   {"application/vnd.apple.mpegurl", blob.Growing},
		"vod/live/talk/0123456789abcdef/flat/master.m3u8":       {"application/vnd.apple.mpegurl", blob.Changing},
		"vod/live/talk/0123456789abcdef/flat/720p/index.m3u8":   {"application/vnd.apple.mpegurl", blob.Immutable},
		"vod/live/talk/0123456789abcdef/flat/720p/s00001-a.m4s": {"video/iso.segment", blob.Immutable},
		"vod/live/talk/0123456789abcdef/flat/720p/init-0.mp4":   {"video/mp4", blob.Immutable},
	} {
		if a, b := blob.Headers(key); a != want[0] || b != want[1] {
			t.Errorf("%s: %s, %s", key, a, b)
		}
	}
}

// S3 keeps the headers with which a CDN will answer.
func TestS3Headers(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "vod", true)
	store := blob.NewS3(cloud.Config, "vod", "")
	file := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(file, []byte("segment"), 0o644); err != nil {
		t.Fatal(err)
	}
	key := "vod/a/0123456789abcdef/flat/720p/s00000-x.m4s"
	if err := store.Upload(t.Context(), key, file); err != nil {
		t.Fatal(err)
	}
	write(t, store, "vod/a/master.m3u8", "#EXTM3U", "")
	for key, want := range map[string][2]string{
		key:                 {"video/iso.segment", blob.Immutable},
		"vod/a/master.m3u8": {"application/vnd.apple.mpegurl", blob.Changing},
	} {
		out, err := cloud.S3().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("vod"), Key: &key})
		if err != nil || aws.ToString(out.ContentType) != want[0] || aws.ToString(out.CacheControl) != want[1] || aws.ToString(out.ContentEncoding) == "gzip" != blob.Packed(key) {
			t.Errorf("%s: %v %+v", key, err, out)
		}
	}
}

// A connection that breaks is taken up again where it broke, for as long as
// something comes.
func TestS3ReadGoesOn(t *testing.T) {
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	origin, err := url.Parse(cloud.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var requests, torn atomic.Int32
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(origin); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			requests.Add(1)
			if r.Request.Method == http.MethodGet && torn.Load() != 0 {
				torn.Add(-1)
				r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 100_000), reset{})) // Content-Length still says all
			}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	cfg := cloud.Config.Copy()
	cfg.BaseEndpoint = &server.URL
	store := blob.NewS3(cfg, "recs", "")
	write(t, store, "r.flv", string(body), "")
	_, etag := load(t, store, "r.flv")

	torn.Store(7)
	r, err := store.Read(t.Context(), "r.flv", etag, 16, int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, body[16:]) {
		t.Errorf("%d bytes of %d, %v", len(got), len(body)-16, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if torn.Load() != 0 {
		t.Errorf("%d breaks left", torn.Load())
	}
}

// A reader that is closed while somebody reads lets go of its connection, and opens
// no other.
func TestS3ReadClosedMeanwhile(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	store := blob.NewS3(cloud.Config, "recs", "")
	write(t, store, "r.flv", string(make([]byte, 8<<20)), "")
	_, etag := load(t, store, "r.flv")
	r, err := store.Read(t.Context(), "r.flv", etag, 0, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan error)
	go func() {
		buffer := make([]byte, 1000)
		if _, err := r.Read(buffer); err != nil {
			t.Error(err)
		}
		close(started)
		_, err := io.Copy(io.Discard, r)
		ended <- err
	}()
	<-started
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("it reads on after it was closed")
	}
}

type reset struct{}

func (reset) Read([]byte) (int, error) { panic(http.ErrAbortHandler) }
