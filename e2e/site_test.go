package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/internal/webhook"
	"afterlive.alt/ladder"
)

// hostile is a name that would be more than a name if a page took it for HTML, and is as long as a name may be.
var hostile = "live/" + `<img src=x onerror=alert(1)>"'&` + "\u202e" + strings.Repeat("ü", 60)

const operatorToken = "an operator's token"

// The pages, in a real browser: what there is to watch; and, for who logs in, what is at work and what has failed, and what to do about
// it. By the keyboard alone, on a desktop and on a phone.
func TestPages(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data, address := t.TempDir(), "127.0.0.1:"+testenv.FreePort(t)
	recording := source(t, "320x180", 25, 7)
	for _, name := range []string{"live/talk", hostile} {
		enqueue(t, "send", "--data", data, "--as", name, "--profile", "quick", recording)
	}
	text := filepath.Join(t.TempDir(), "text.flv")
	writeFile(t, text, "no recording")
	for _, name := range []string{"bad/one", "bad/two", hostile + "2"} {
		enqueue(t, "send", "--data", data, "--as", name, "--profile", "quick", "--force", text)
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	writeFile(t, tokens, operatorToken+"\n")
	events := filepath.Join(t.TempDir(), "events")
	startWorker(t, "--data", data, "--http", address, "--token-file", tokens, "--media", "http://"+address, "--on-event", "cat >>"+events)
	_, _ = commandError(t.Context(), t, "enqueue", "status", "--watch", "--timeout", patience.String(), "--data", data) // it tells of those that failed
	eventually(t, patience, "who wants to know is told", func() bool {
		told, _ := os.ReadFile(events)
		return strings.Count(string(told), `"type":"recording.ready"`) == 2 && strings.Count(string(told), `"type":"recording.failed"`) == 3 &&
			strings.Contains(string(told), `"url":"http://`+address+`/vod/live/talk/master.m3u8"`)
	})
	axe, err := os.ReadFile(testenv.Root() + "/player/node_modules/axe-core/axe.min.js")
	must(t, err)
	for _, size := range [][2]int64{{1280, 720}, {390, 844}} {
		t.Run(fmt.Sprintf("%d pixels", size[0]), func(t *testing.T) {
			p := page{openBrowser(t), axe}
			must(t, chromedp.Do(p.ctx, chromedp.EmulateViewport(size[0], size[1])))
			p.watches("http://" + address)
			p.logsIn()
			p.operates(map[bool]string{true: "bad/one", false: "bad/two"}[size[0] > 500])
		})
	}
	t.Run("serve", func(t *testing.T) { servedApart(t, data, tokens) })
	t.Run("mp4", func(t *testing.T) { downloaded(t, data, address) })
	t.Run("title", func(t *testing.T) { page{openBrowser(t), axe}.entitles("http://" + address) })
	t.Run("clip", func(t *testing.T) { page{openBrowser(t), axe}.clips("http://"+address, data) })
	t.Run("schemas", func(t *testing.T) {
		keepSchemas(t, data)
		told, err := os.ReadFile(events)
		must(t, err)
		schema := compiled(t, webhook.Event{})
		for line := range strings.Lines(string(told)) {
			fits(t, schema, "event", []byte(line))
		}
	})
}

// page is a browser that shows the site.
type page struct {
	browser

	axe []byte
}

// good wants a page to show something, to be of use to all, and to have run nothing but its own script.
func (p page) good(shows string) {
	p.Helper()
	p.wait("document.getElementById('fault').hidden && document.querySelector('main h1') && document.querySelector('main').textContent.includes(" + quoted(shows) + ")")
	if wide := evaluate[bool](p.browser, "document.documentElement.scrollWidth > innerWidth"); wide {
		p.Errorf("the page that shows %q is wider than the window", shows)
	}
	if foreign := evaluate[int](p.browser, "document.querySelectorAll('main img[onerror], main script').length + (window.alerted ? 1 : 0)"); foreign > 0 {
		p.Errorf("the page that shows %q has run a name", shows)
	}
	p.accessible(p.axe)
}

func quoted(text string) string {
	return "decodeURIComponent('" + strings.ReplaceAll(url.PathEscape(text), "'", "%27") + "')"
}

// press sends a key to what has the focus.
func (p page) press(keys ...string) {
	p.Helper()
	for _, key := range keys {
		if err := chromedp.Do(p.ctx, chromedp.KeyEvent(key)); err != nil {
			p.Fatal(err)
		}
	}
}

// tabTo presses Tab until what a JavaScript expression of the focused element, e, describes has the focus.
func (p page) tabTo(is string) {
	p.Helper()
	for range 80 {
		p.press(kb.Tab)
		if evaluate[bool](p.browser, "(e => !!("+is+"))(document.activeElement)") {
			return
		}
	}
	p.Fatalf("Tab does not lead to %s", is)
}

// watches finds a recording and watches it.
func (p page) watches(address string) {
	p.Helper()
	p.navigate(address + "/")
	p.run("window.alert = () => { window.alerted = true }")
	p.good("live/talk")
	p.good(hostile)
	p.wait("document.querySelectorAll('.gallery img').length === 2 && [...document.querySelectorAll('.gallery img')].some((i) => i.naturalWidth > 0)")
	p.tabTo("e.name === 'q'")
	p.press("t", "a", "L", "k", kb.Enter)
	p.wait("document.querySelectorAll('.gallery a').length === 1")
	p.tabTo("e.getAttribute('href') === '/recordings/live/talk'")
	p.press(kb.Enter)
	p.good("/vod/live/talk/master.m3u8")
	p.wait("document.querySelector('iframe').contentWindow.player?.stage.panes[0]?.video.currentTime > 0")
	p.navigate(address + "/recordings/" + url.PathEscape(hostile))
	p.good(hostile)
	for _, path := range []string{"/work", "/failures"} {
		p.navigate(address + path)
		p.good("For operators")
	}
	p.navigate(address + "/player/?asset=live") // the stream's latest
	p.wait("player.stage.panes[0].video.currentTime > 0")
	p.navigate(address + "/recordings/live/nobody")
	p.wait("document.getElementById('fault').textContent.includes('there is no recording')")
	p.accessible(p.axe)
	p.navigate(address + "/")
	p.good("live/talk")
}

func (p page) logsIn() {
	p.Helper()
	for _, try := range []string{"wrong", operatorToken} {
		p.tabTo("e.id === 'login' || e.name === 'token'")
		if try == "wrong" {
			p.press(kb.Enter)
			p.wait("document.querySelector('dialog').open")
			p.accessible(p.axe)
		}
		p.run("document.querySelector('dialog input').value = ''; document.querySelector('dialog input').focus()")
		p.press(strings.Split(try, "")...)
		p.press(kb.Enter)
		if try == "wrong" {
			p.wait("document.querySelector('dialog [role=alert]').textContent.includes('not an operator')")
		}
	}
	p.wait("!document.querySelector('dialog').open && !document.querySelector('nav .operators').hidden && !document.getElementById('failed').hidden")
}

// operates looks at what is at work, and deals with what has failed.
func (p page) operates(failed string) {
	p.Helper()
	p.tabTo("e.getAttribute('href') === '/work'")
	p.press(kb.Enter)
	p.good("live/talk")
	p.tabTo("e.getAttribute('href') === '/failures'")
	p.press(kb.Enter)
	p.good("not_flv")
	before := evaluate[int](p.browser, "Number(document.getElementById('failed').textContent)")
	p.tabTo("e.ariaLabel === 'Replay " + failed + "'")
	p.press(kb.Enter)
	p.wait("document.querySelector('dialog').open && document.querySelector('dialog').textContent.includes('1 task will be sent')")
	p.accessible(p.axe)
	p.press(kb.Escape)
	p.wait("!document.querySelector('dialog').open && document.activeElement.ariaLabel === 'Replay " + failed + "'")
	p.tabTo("e.getAttribute('href')?.startsWith('/jobs/') && e.closest('tr').textContent.includes('" + failed + "')")
	p.press(kb.Enter)
	p.good("What to do:")
	p.tabTo("e.ariaLabel === 'Drop " + failed + "'")
	p.press(kb.Enter)
	p.wait("document.querySelector('dialog').open")
	p.tabTo("e.textContent === 'Drop'")
	p.press(kb.Enter)
	p.good("dropped")
	p.wait(fmt.Sprintf("document.getElementById('failed').hidden || Number(document.getElementById('failed').textContent) === %d", before-1))
	p.navigate(strings.SplitN(p.text("location.href"), "/jobs/", 2)[0] + "/recordings/live/talk")
	p.good("Renditions")
	p.tabTo("e.getAttribute('href')?.startsWith('/jobs/')")
	p.press(kb.Enter)
	p.good("chunk-00000")
	p.wait("document.querySelectorAll('svg.line rect').length === 1")
}

// downloaded is an MP4, which the API makes as the command line does.
func downloaded(t *testing.T, data, address string) {
	t.Helper()
	made := filepath.Join(t.TempDir(), "talk.mp4")
	enqueue(t, "mp4", "--data", data, "live/talk", "-o", made)
	want, err := os.ReadFile(made)
	must(t, err)
	for query, status := range map[string]int{"": http.StatusOK, "?rendition=none": http.StatusConflict} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/mp4/live/talk"+query, http.NoBody)
		must(t, err)
		request.Header.Set("Authorization", "Bearer "+operatorToken)
		resp, err := http.DefaultClient.Do(request)
		must(t, err)
		got, err := io.ReadAll(resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if resp.StatusCode != status || status == http.StatusOK && (!bytes.Equal(got, want) || resp.Header.Get("Content-Disposition") != "attachment; filename=talk.mp4") {
			t.Errorf("%q: %s, %d bytes, not %d, %v", query, resp.Status, len(got), len(want), resp.Header)
		}
	}
}

// entitles gives a recording a title that would be more than a title if a page took it for HTML, on its page.
func (p page) entitles(address string) {
	p.Helper()
	title := `<img src=x onerror=alert(1)> "Keynote" ` + "\u05e9\u05dc\u05d5\u05dd"
	p.navigate(address + "/")
	p.run("window.alert = () => { window.alerted = true }; sessionStorage.setItem('afterlive-token', " + quoted(operatorToken) + ")")
	p.navigate(address + "/recordings/live/talk")
	p.good("live/talk")
	p.tabTo("e.id === 'title'")
	p.press(strings.Split(title, "")...)
	p.tabTo("e.id === 'save-title'")
	p.press(kb.Enter)
	p.wait("document.querySelector('h1').textContent === " + quoted(title) + " && document.title.startsWith(" + quoted(title) + ")")
	p.good(title)
	p.navigate(address + "/?q=keynote")
	p.good(title)
	p.wait("document.querySelectorAll('.gallery a').length === 1")
	p.run("while (!(await (await fetch('/vod/live/talk/asset.json')).json()).title) await new Promise(r => setTimeout(r, 200))") // it is cached for 5 s
	p.navigate(address + "/player/?asset=live/talk")
	p.wait("document.title.startsWith(" + quoted(title) + ")")
}

// clips makes a clip on a recording's page, one of its ends taken from the player.
func (p page) clips(address, data string) {
	p.Helper()
	p.navigate(address + "/")
	p.run("sessionStorage.setItem('afterlive-token', " + quoted(operatorToken) + ")")
	p.navigate(address + "/recordings/live/talk")
	p.good("Clip")
	p.wait("document.querySelector('iframe').contentWindow.player?.stage.panes[0]?.video.currentTime > 0")
	p.tabTo("e.ariaLabel === 'To: now, where the player is'")
	p.press(kb.Enter)
	p.wait("Number(document.getElementById('clip-To').value) > 0")
	p.run("document.getElementById('clip-To').value = ''")
	p.tabTo("e.id === 'clip-From'")
	p.press("1", ".", "2")
	p.tabTo("e.id === 'clip-To'")
	p.press("0", ":", "0", "4")
	p.tabTo("e.id === 'clip-name'")
	p.press("c", "u", "t")
	p.tabTo("e.id === 'clip'")
	p.press(kb.Enter)
	p.wait("document.querySelector('dialog').open && document.querySelector('dialog').textContent.includes('1 segment will be encoded')")
	p.accessible(p.axe)
	p.tabTo("e.textContent === 'Make it'")
	p.press(kb.Enter)
	p.wait("location.pathname === '/recordings/cut'")
	eventually(p.T, patience, "the clip is published", func() bool {
		_, err := os.Stat(filepath.Join(data, ladder.PointerKey("cut")))
		return err == nil
	})
	p.navigate(address + "/recordings/cut")
	p.good("A part of live/talk, from 0:01 to 0:04.")
	p.wait("Math.abs(document.querySelector('iframe').contentWindow.player?.stage.panes[0]?.video.duration - 2.8) < 0.15")
}

// servedApart are the pages by a program of their own: an asset is removed in them, and nothing else is.
func servedApart(t *testing.T, data, tokens string) {
	t.Helper()
	address := "127.0.0.1:" + testenv.FreePort(t)
	serve := exec.Command(filepath.Join(bin, "enqueue"), "serve", "--listen", address, "--data", data, "--token-file", tokens)
	serve.Env = testenv.Environ(t)
	must(t, serve.Start())
	t.Cleanup(func() {
		must(t, serve.Process.Signal(syscall.SIGTERM))
		if err := serve.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	})
	eventually(t, patience, "it serves", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	p := page{openBrowser(t), nil}
	p.navigate("http://" + address + "/")
	p.run("sessionStorage.setItem('afterlive-token', " + quoted(operatorToken) + ")")
	p.navigate("http://" + address + "/recordings/" + url.PathEscape(hostile))
	p.wait("document.querySelector('iframe').contentWindow.player?.stage.panes[0]?.video.currentTime > 0")
	p.tabTo("e.textContent === 'Remove…'")
	p.press(kb.Enter)
	p.wait("document.querySelector('dialog').open")
	p.tabTo("e.textContent === 'Remove'")
	p.press(kb.Enter)
	p.wait("location.pathname === '/' && document.querySelectorAll('.gallery a').length === 1")
	if left, err := filepath.Glob(data + "/vod/live/*/" + ladder.PointerFile); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(data + "/recordings/" + hostile + ".flv"); err != nil {
		t.Errorf("its recording: %v", err)
	}
}
