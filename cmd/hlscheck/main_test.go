package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is a presentation that breaks a rule: its segment is encrypted as a whole, so that
// any byte will do.
var sample = map[string]string{
	"master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=8,CODECS=\"mp4a.40.2\"\nmedia.m3u8?key=a/b\n",
	"media.m3u8":  "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:6,\n../100%25%20sure/s%3F0.ts\n#EXT-X-ENDLIST\n",
	"s?0.ts":      "......",
}

func wantSample(t *testing.T, name string) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), []string{name}, &out)
	if err == nil || !strings.Contains(err.Error(), "1 MUST") || !strings.Contains(out.String(), "9.14") {
		t.Errorf("%s: got %v\n%s", name, err, out.String())
	}
	for _, want := range []string{"media.m3u8?key=a/b", "1 segments", "6.000 s", "encrypted by AES-128"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: no %q in\n%s", name, want, out.String())
		}
	}
}

// Names of files mean what they say, whatever they would mean in a URL.
func TestFilesOfAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "100% sure")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, body := range sample {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantSample(t, dir)
	wantSample(t, filepath.Join(dir, "master.m3u8"))
}

// A URL is asked for as it is given, query and all.
func TestURLs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/100% sure/")
		body, ok := sample[name]
		switch {
		case !ok:
			http.NotFound(w, r)
		case strings.HasSuffix(name, ".m3u8") && r.URL.Query().Get("key") != "a/b":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.Header().Set("Content-Encoding", "identity")
			_, _ = w.Write([]byte(body))
		}
	}))
	defer server.Close()
	var out strings.Builder
	err := run(t.Context(), []string{server.URL + "/100%25%20sure/master.m3u8?key=a/b"}, &out)
	if err == nil || !strings.Contains(out.String(), "media.m3u8?key=a/b  1 segments") {
		t.Errorf("got %v\n%s", err, out.String())
	}
}
