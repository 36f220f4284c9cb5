package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The controls are out of the way while nobody needs them, and large enough for a finger on a phone, in one row below the seek bar.
func playerBar(t *testing.T, address string) {
	b := openBrowser(t)
	must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateTouch)))
	b.navigate(address + "/player/?asset=world&ladder=equirectangular&autoplay=0")
	b.wait("!document.getElementById('start').hidden && !document.getElementById('poster').hidden && document.getElementById('poster').naturalWidth > 0")
	if plays := evaluate[bool](b, "player.stage.sync.wanted"); plays {
		t.Error("it plays though it was told not to")
	}
	must(t, chromedp.Do(b.ctx, chromedp.Click(chromedp.ID("start"))))
	b.wait("player.stage.panes[0].video.currentTime > 0 && document.getElementById('poster').hidden")
	b.wait("document.getElementById('player').classList.contains('idle')")
	b.run("document.getElementById('stage').dispatchEvent(new PointerEvent('pointermove', { bubbles: true }))")
	b.wait("!document.getElementById('player').classList.contains('idle')")
	b.fits()
	const shown = `[...document.querySelectorAll("#bar button, #bar select, #corner button")].filter((e) => e.offsetParent && !e.closest("#menu")).map((e) => ({ id: e.id, r: e.getBoundingClientRect() }))`
	if small := evaluate[[]string](b, shown+`.filter(({ r }) => r.width < 43.5 || r.height < 43.5).map(({ id }) => id)`); len(small) > 0 {
		t.Errorf("too small for a finger: %v", small)
	}
	if rows := evaluate[int](b, `new Set(`+shown+`.filter(({ id }) => !["sound", "compass"].includes(id)).map(({ r }) => Math.round(r.top))).size`); rows != 1 {
		t.Errorf("the buttons are in %d rows", rows)
	}
	b.run("document.getElementById('more').click()") // not by its place: the bar may hide before that
	b.wait("document.getElementById('quality').offsetParent && document.getElementById('more').ariaExpanded === 'true'")
	b.fits()
	if small := evaluate[[]string](b, `[...document.querySelectorAll("#menu button, #menu select")].filter((e) => e.offsetParent && e.getBoundingClientRect().height < 43.5).map((e) => e.id)`); len(small) > 0 {
		t.Errorf("too small for a finger: %v", small)
	}
	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent(kb.Escape)))
	b.wait("!document.getElementById('quality').offsetParent && document.activeElement.id === 'more'")

	// A phone held upright sees as much across as the address says, and more above and below.
	b.run("player.looking.set({ yaw: 90, fov: 75 })")
	b.wait("document.querySelector('#compass svg').style.transform === 'rotate(90deg)'")
	b.run("document.getElementById('compass').click()")
	b.wait("player.looking.look.yaw === 0")
	b.wait("!document.getElementById('sound').hidden")
	b.run("document.getElementById('sound').click()")
	b.wait("!player.stage.panes[0].video.muted && document.getElementById('sound').hidden")

	// What a stream says in words is shown when it is wanted.
	b.run("player.stage.sync.seek(0); player.stage.sync.play()") // it may have ended by now
	b.run("const v = player.stage.panes[0].video, t = v.addTextTrack('captions'); t.mode = 'hidden'; t.addCue(new VTTCue(0, 1000, 'What is <b>said</b>'))")
	b.wait("!document.getElementById('words-on').hidden")
	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent("c")))
	b.wait("document.getElementById('words').textContent === 'What is said' && !document.getElementById('words').hidden")
	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent("c")))
	b.wait("document.getElementById('words').hidden")
}

// A page around the player controls it, and hears how it is.
func playerEmbedded(t *testing.T, address string) {
	b := openBrowser(t)
	b.navigate(address + "/player/embed.html?asset=world")
	b.wait("document.getElementById('state').textContent.startsWith('playing at')")
	if text := b.text("document.getElementById('snippet').textContent"); !strings.Contains(text, address+"/player/index.html?asset=live/talk") {
		t.Errorf("the snippet is %s", text)
	}
	for _, step := range [][2]string{{"pause", "startsWith('paused')"}, {"look", "endsWith('looking at 90°')"}, {"seek", "includes('at 0.0 of')"}, {"play", "startsWith('playing')"}} {
		must(t, chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(`button[data-do="`+step[0]+`"]`))))
		b.wait("document.getElementById('state').textContent." + step[1])
	}
	b.run(`for (const odd of [null, 1, "play", { afterlive: 1 }, { afterlive: 1, do: "seek", to: "x" }, { afterlive: 1, do: "look", yaw: NaN, pitch: 1e9 }, { afterlive: 2, do: "pause" }]) document.getElementById("frame").contentWindow.postMessage(odd, location.origin)`)
	b.wait("document.getElementById('state').textContent.startsWith('playing')")
}

// Without WebGL, a video is shown as it is; a sphere too, which is said.
func playerPlain(t *testing.T, address string) {
	b := openBrowser(t, "disable-3d-apis")
	b.navigate(address + "/player/?src=/vod/short/master.m3u8&projection=flat")
	b.wait("document.querySelector('#stage video').currentTime > 0.5 && document.getElementById('error').hidden && document.getElementById('compass').hidden")
	if wide := evaluate[float64](b, "document.querySelector('#stage video').getBoundingClientRect().width"); wide < 300 {
		t.Errorf("the video is %g pixels wide", wide)
	}
	b.navigate(address + "/player/?asset=world")
	b.wait("document.querySelector('#stage video').currentTime > 0.5 && document.getElementById('poster').hidden && document.getElementById('error').textContent.includes('as it is stored')")
}
