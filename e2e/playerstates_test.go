package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"afterlive.alt/internal/testenv"
)

// stages serves a recording as the event that it might have been: what its asset.json says is set by the test.
type stages struct {
	*httptest.Server

	says atomic.Pointer[map[string]any]
	down atomic.Bool // from each rendition's second segment on
	none atomic.Bool // no asset is there yet
}

func newStages(t *testing.T, worker string) *stages {
	t.Helper()
	backend, err := url.Parse(worker)
	must(t, err)
	s := &stages{}
	s.set(map[string]any{})
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(backend)
		r.Out.Header.Set("Accept-Encoding", "identity")
		r.Out.Header.Del("If-None-Match") // what the worker has doesn't change
		r.Out.Header.Del("If-Modified-Since")
	}}
	proxy.ModifyResponse = func(r *http.Response) error {
		says := *s.says.Load()
		var change func(body []byte) ([]byte, error)
		switch name := r.Request.URL.Path; {
		case strings.HasSuffix(name, "/asset.json"):
			change = func(body []byte) ([]byte, error) {
				var asset map[string]any
				if err := json.Unmarshal(body, &asset); err != nil {
					return nil, err
				}
				maps.Copy(asset, says)
				return json.Marshal(asset)
			}
		case strings.HasSuffix(name, "/index.m3u8") && says["live"] == true:
			change = func(body []byte) ([]byte, error) {
				text := strings.Replace(string(body), "#EXT-X-ENDLIST\n", "", 1)
				return []byte(strings.Replace(text, "TYPE:VOD", "TYPE:EVENT", 1)), nil
			}
		default:
			return nil
		}
		return rewrite(r, change)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() && !strings.Contains(r.URL.Path, "/s00000-") && strings.HasSuffix(r.URL.Path, ".m4s") {
			panic(http.ErrAbortHandler)
		}
		if s.none.Load() && strings.HasSuffix(r.URL.Path, "/asset.json") {
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *stages) set(says map[string]any) { s.says.Store(&says) }

// In each state that an event may be in, the player says so, has the buttons for it, and can be used by all: on a desktop and on a phone.
func playerStates(t *testing.T, address string) {
	s := newStages(t, address)
	axe, err := os.ReadFile(testenv.Root() + "/player/node_modules/axe-core/axe.min.js")
	must(t, err)
	const said, live = "document.getElementById('event')", "document.getElementById('live')"
	soon := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for _, size := range [][2]int64{{1280, 720}, {390, 844}} {
		for _, tc := range []struct {
			name string
			says map[string]any
			want string // that becomes true
		}{
			{"live", map[string]any{"live": true}, "!" + live + ".hidden && " + said + ".hidden"},
			{"waiting", map[string]any{"live": true, "waiting": soon(10 * time.Minute)}, "!" + live + ".hidden && " + said + ".textContent.startsWith('The stream has been interrupted. It may go on within ')"},
			{"about to end", map[string]any{"live": true, "waiting": soon(-time.Minute)}, said + ".textContent.endsWith('is about to end.')"},
			{"on demand", map[string]any{}, live + ".hidden && " + said + ".hidden"},
			{"cut off", map[string]any{"abandoned": true}, live + ".hidden && " + said + ".textContent.startsWith('The stream was cut off')"},
		} {
			if small := size[0] < 500; !*soak && small == (tc.name == "cut off" || tc.name == "on demand") {
				continue // "make soak" has all
			}
			t.Run(fmt.Sprintf("%s, %d pixels", tc.name, size[0]), func(t *testing.T) {
				s.set(tc.says)
				b := openBrowser(t)
				must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(size[0], size[1])))
				b.visit(s.URL + "/player/?asset=world&ladder=equirectangular&t=0")
				b.wait(tc.want)
				b.fits()
				b.accessible(axe)
			})
		}
	}
	t.Run("not yet there", func(t *testing.T) {
		s.set(map[string]any{})
		s.none.Store(true)
		b := openBrowser(t)
		b.navigate(s.URL + "/player/?asset=world")
		b.wait("document.getElementById('error').textContent.startsWith('There is no recording “world”, or not yet')")
		b.accessible(axe)
		s.none.Store(false)
		b.wait("player.stage.panes[0].video.currentTime > 0 && document.getElementById('error').hidden")
	})
	t.Run("through its end", func(t *testing.T) {
		s.set(map[string]any{"live": true, "waiting": soon(10 * time.Minute)})
		b := openBrowser(t)
		b.visit(s.URL + "/player/?asset=world&ladder=equirectangular&t=0")
		b.wait("!" + said + ".hidden")
		s.set(map[string]any{"live": true})
		b.wait(said + ".hidden")
		s.set(map[string]any{})
		b.wait(said + ".textContent.startsWith('The event has ended')")
	})
}

// The server is gone for a while, and the buffer runs out: the player says so, and when it is back it plays on by itself.
func playerLost(t *testing.T, address string) {
	s := newStages(t, address)
	s.down.Store(true)
	b := openBrowser(t)
	b.visit(s.URL + "/player/?asset=world&ladder=cubemap&t=0")
	b.wait("!document.getElementById('network').hidden && player.stage.panes[0].buffer < 0.2 && player.stage.panes[0].video.currentTime > 4")
	at := evaluate[float64](b, "player.stage.panes[0].video.currentTime")
	if stuck := evaluate[bool](b, "player.stage.panes[0].dead || !document.getElementById('error').hidden"); stuck {
		t.Errorf("it has given up: %s", b.text("document.getElementById('error').textContent"))
	}
	s.down.Store(false)
	back := time.Now()
	b.wait(fmt.Sprintf("document.getElementById('network').hidden && player.stage.panes[0].video.currentTime > %g", at+0.5))
	t.Logf("it played on %.1f s after the server was back", time.Since(back).Seconds()-0.5)
}

// fits wants nothing of the page to be out of sight to the side, and all buttons large enough for a finger on a phone.
func (b browser) fits() {
	b.Helper()
	if wide := evaluate[bool](b, "document.documentElement.scrollWidth > innerWidth"); wide {
		b.Errorf("the page is wider than the window")
	}
	if out := evaluate[[]string](b, `[...document.querySelectorAll("#bar > :not([hidden])")].filter((e) => { const r = e.getBoundingClientRect(); return r.left < 0 || r.right > innerWidth || r.bottom > innerHeight }).map((e) => e.id || e.tagName)`); len(out) > 0 {
		b.Errorf("out of sight: %v", out)
	}
}

// accessible wants axe-core to find nothing serious.
func (b browser) accessible(axe []byte) {
	b.Helper()
	evaluate[bool](b, string(axe)+"; true")
	found := evaluate[[]string](b, `axe.run().then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" ")))`)
	if len(found) > 0 {
		b.Errorf("axe-core finds: %s", strings.Join(found, "\n"))
	}
}

// rewrite changes what is answered.
func rewrite(r *http.Response, change func([]byte) ([]byte, error)) error {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode == http.StatusOK {
		if body, err = change(body); err != nil {
			return err
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}
