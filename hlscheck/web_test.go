package hlscheck

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// server serves files below /vod/, and counts what it is asked for.
type server struct {
	files files

	noHead   bool // HEAD is refused
	noRanges bool // and ranges are not understood
	noLength bool // no length is told
	token    string
	moved    map[string]string // paths that it redirects
	bytes    atomic.Int64      // of bodies
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if to, ok := s.moved[r.URL.Path]; ok {
		http.Redirect(w, r, to, http.StatusFound)
		return
	}
	body, ok := s.files[strings.TrimPrefix(r.URL.Path, "/vod/")]
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case s.noHead && r.Method == http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case s.token != "" && r.URL.Query().Get("token") != s.token:
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if s.noRanges {
		r.Header.Del("Range")
	}
	to := &counting{ResponseWriter: w, n: &s.bytes}
	if s.noLength {
		w.Header().Set("Content-Encoding", "identity") // the length isn't told then
	}
	http.ServeContent(to, r, path.Base(r.URL.Path), time.Time{}, bytes.NewReader(body))
}

type counting struct {
	http.ResponseWriter

	n *atomic.Int64
}

func (c *counting) Write(body []byte) (int, error) {
	c.n.Add(int64(len(body)))
	return c.ResponseWriter.Write(body)
}

// References of every form are followed, and servers of every kind asked.
func TestWeb(t *testing.T) {
	absolute := func(prefix string) func(s *server, host string) {
		return func(s *server, host string) {
			prefix := strings.ReplaceAll(prefix, "HOST", host)
			for name, body := range s.files {
				if !strings.HasSuffix(name, ".m3u8") {
					continue
				}
				folder := strings.TrimSuffix(path.Dir(name)+"/", "./")
				for _, before := range []string{"\ns0", `URI="init`, "\ntop/", "\nsame/", "\nlow/", `URI="audio/`, `URI="frames/`} {
					quote := strings.LastIndexAny(before, "\n\"") + 1
					body = bytes.ReplaceAll(body, []byte(before), []byte(before[:quote]+prefix+folder+before[quote:]))
				}
				s.files[name] = body
			}
		}
	}
	for name, tc := range map[string]struct {
		from    string // path and query of the multivariant playlist
		prepare func(s *server, host string)
	}{
		"relative":        {"/vod/master.m3u8", func(*server, string) {}},
		"absolute":        {"/vod/master.m3u8", absolute("http://HOST/vod/")},
		"root-relative":   {"/vod/master.m3u8", absolute("/vod/")},
		"scheme-relative": {"/vod/master.m3u8", absolute("//HOST/vod/")},
		"redirected": {"/talk", func(s *server, _ string) {
			s.moved = map[string]string{"/talk": "/vod/master.m3u8", "/vod/low/index.m3u8": "/vod/other/place.m3u8"}
			s.files["other/place.m3u8"] = bytes.ReplaceAll(bytes.ReplaceAll(s.files["low/index.m3u8"], []byte("\ns0"), []byte("\n../low/s0")), []byte(`"init`), []byte(`"../low/init`))
		}},
		"with a token": {"/vod/master.m3u8?token=a/b", func(s *server, _ string) {
			s.token = "a/b"
			for name, body := range s.files {
				for _, extension := range []string{".m3u8", ".m4s", ".mp4"} {
					if strings.HasSuffix(name, ".m3u8") {
						body = bytes.ReplaceAll(body, []byte(extension), []byte(extension+"?token=a/b"))
					}
				}
				s.files[name] = body
			}
		}},
		"without HEAD":   {"/vod/master.m3u8", func(s *server, _ string) { s.noHead = true }},
		"without ranges": {"/vod/master.m3u8", func(s *server, _ string) { s.noHead, s.noRanges = true, true }},
		"without lengths": {"/vod/master.m3u8", func(s *server, _ string) {
			s.noLength = true
		}},
		"ranges": {"/vod/master.m3u8", func(s *server, _ string) { s.files.ranged("top", ".m4s") }},
		"ranges that are not understood": {"/vod/master.m3u8", func(s *server, _ string) {
			s.files.ranged("top", ".m4s")
			s.noRanges = true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{files: good(t, "fmp4")}
			web := httptest.NewServer(s)
			defer web.Close()
			base, err := url.Parse(web.URL + tc.from)
			if err != nil {
				t.Fatal(err)
			}
			tc.prepare(s, base.Host)
			for _, depth := range []Depth{Playlists, Media} {
				r, err := Check(t.Context(), Web(base), base.String(), depth)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range r.Findings {
					if f.Rule != "10.1" && f.Rule != "10.4" { // TestDelivery's affair
						t.Errorf("depth %d: %s", depth, f)
					}
				}
				if len(r.Renditions) != 5 {
					t.Errorf("%d renditions", len(r.Renditions))
				}
			}
		})
	}
}

// Of one file with all segments in it, every byte is fetched once.
func TestRangesAreFetchedOnce(t *testing.T) {
	s := &server{files: good(t, "fmp4")}
	for _, r := range []string{"top", "same", "low", "audio"} {
		s.files.ranged(r, ".m4s")
	}
	web := httptest.NewServer(s)
	defer web.Close()
	base, err := url.Parse(web.URL + "/vod/master.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), Web(base), base.String(), Media); err != nil {
		t.Fatal(err)
	}
	most := int64(0)
	for name, body := range s.files {
		if path.Base(name) == "all.m4s" || path.Base(name) == "index.m3u8" || path.Dir(name) == "frames" || name == "master.m3u8" {
			most += int64(len(body))
		}
	}
	if got := s.bytes.Load(); got > most {
		t.Errorf("%d bytes were fetched, there are %d", got, most)
	}
}

// A server that is not there is no finding; what it doesn't have is.
func TestWebFails(t *testing.T) {
	web := httptest.NewServer(&server{files: files{"master.m3u8": []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/index.m3u8\n")}})
	base, err := url.Parse(web.URL + "/vod/master.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Check(t.Context(), Web(base), base.String(), Media)
	if err != nil || !strings.Contains(r.Err().Error(), "404") {
		t.Errorf("got %v, %v", r, err)
	}
	web.Close()
	if _, err := Check(t.Context(), Web(base), base.String(), Media); err == nil {
		t.Error("nothing was there, and nothing was said")
	}
}
