package e2e

import (
	"fmt"
	"image"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"afterlive.alt/internal/testenv"
)

// The player, in a real browser.
func TestPlayer(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data, address := published(t)
	t.Run("geometry", func(t *testing.T) { playerGeometry(t, data, address) })
	t.Run("playback", func(t *testing.T) { playerPlayback(t, address) })
	t.Run("compare", func(t *testing.T) { playerCompare(t, address) })
	t.Run("unequal", func(t *testing.T) { playerUnequal(t, address) })
	t.Run("controls", func(t *testing.T) { playerControls(t, address) })
	t.Run("bar", func(t *testing.T) { playerBar(t, address) })
	t.Run("embedded", func(t *testing.T) { playerEmbedded(t, address) })
	t.Run("plain", func(t *testing.T) { playerPlain(t, address) })
	t.Run("live", func(t *testing.T) { playerLive(t, address) })
	t.Run("headset", func(t *testing.T) { playerHeadset(t, address) })
	t.Run("states", func(t *testing.T) { playerStates(t, address) })
	t.Run("lost", func(t *testing.T) { playerLost(t, address) })
	t.Run("quality", func(t *testing.T) { playerQuality(t, data, address) })
	t.Run("bucket", func(t *testing.T) { playerInBucket(t, address) })
	t.Run("bounds", func(t *testing.T) { playerBounds(t, address) })
	t.Run("errors", func(t *testing.T) { playerErrors(t, address) })
	t.Run("schemas", func(t *testing.T) { keepSchemas(t, data) })
}

// Every ladder plays, also across the boundary of two chunks after a seek: one
// range of buffer, and no error of hls.js.
func playerPlayback(t *testing.T, address string) {
	b := openBrowser(t)
	for _, p := range projections {
		t.Run(p.ladder, func(t *testing.T) {
			b := browser{t, b.ctx}
			b.visit(address + "/player/?asset=world&ladder=" + p.ladder)
			b.run("player.stage.sync.seek(5)")
			b.wait("player.stage.panes[0].video.currentTime > 7")
			if ranges := evaluate[[][2]float64](b, "(v => Array.from({length: v.length}, (_, i) => [v.start(i), v.end(i)]))(player.stage.panes[0].video.buffered)"); len(ranges) != 1 || ranges[0][0] > 5 || ranges[0][1] < 7 {
				t.Errorf("buffered %v", ranges)
			}
			if faults := complaints(evaluate[[]string](b, "player.stage.panes[0].faults")); len(faults) > 0 {
				t.Errorf("hls.js complains: %v", faults)
			}
			b.run("const p = player.stage.panes[0], first = p.frames.at(-1).time; while (p.frames.at(-1).time < first + 0.8) await new Promise(requestAnimationFrame)") // they follow
		})
	}
}

// Three ladders side by side show the same moment, and their difference.
func playerCompare(t *testing.T, address string) {
	b := openBrowser(t)
	b.visit(address + "/player/?asset=world&compare=equirectangular,cubemap,eac&t=0:03")
	if times := evaluate[[]float64](b, "player.stage.panes.map(p => p.video.currentTime)"); slices.Min(times) < 3 {
		t.Errorf("the address says 3 s; it starts at %v", times)
	}
	b.wait("player.stage.panes.every(p => p.video.currentTime > 4)")
	// While they play over a chunk's boundary, again and again if there is no time for more
	// than a few drawings, every frame that is drawn is noted where a moment is kept of all
	// panes. A busy browser leaves out frames; of what it has, the same are shown.
	seen := evaluate[[][]float64](b, `(async () => {
		const { stage } = player, { panes } = stage, seen = [], moments = new Set();
		const common = (f) => panes.every(p => p.frames.some(g => Math.abs(g.time - f.time) < 0.001));
		for (let reached = 0; reached < 9 || moments.size < 10; reached = Math.max(reached, panes[0].video.currentTime)) {
			if (panes[0].frames.some(common)) {
				seen.push([...panes.map(p => p.shown.time), ...panes.map(p => p.video.currentTime)]);
				moments.add(panes[0].shown.time);
			}
			if (panes[0].video.currentTime > 13) stage.sync.seek(4);
			await new Promise(requestAnimationFrame);
		}
		return seen;
	})()`)
	worst, drift := 0.0, 0.0
	for _, s := range seen {
		worst, drift = max(worst, spread(s[:3])), max(drift, spread(s[3:]))
	}
	t.Logf("%d drawings; shown frames at most %.1f ms apart, clocks %.0f ms", len(seen), 1000*worst, 1000*drift)
	if worst > 1.001/10 {
		t.Errorf("the panes were up to %.1f ms apart", 1000*worst)
	}

	b.run("player.stage.sync.pause()")
	b.wait("player.stage.panes.every(p => !p.video.seeking) && new Set(player.stage.panes.map(p => Math.round(p.shown.time * 10))).size === 1")
	b.run("player.stage.sync.seek(8)") // a frame's own time
	b.wait("player.stage.panes.every(p => !p.video.seeking && Math.abs(p.shown.time - 8) < 0.001)")
	b.run("player.controls.difference()")
	b.look(20, 10, 75)
	checkDifference(b)
	captions := evaluate[[]string](b, "[...document.querySelectorAll('.caption')].map(e => e.textContent)")
	if len(captions) != 4 || !strings.Contains(captions[1], "cubemap · 768×512 · ") || !strings.Contains(captions[1], "Mbit/s · buffer") {
		t.Errorf("captions %q", captions)
	}
}

func spread(x []float64) float64 { return slices.Max(x) - slices.Min(x) }

// checkDifference finds the difference of two pictures of the same sphere dark, and
// that of two directions bright: what is shown is a difference, and it is one of
// pictures that are alike.
func checkDifference(b browser) {
	b.Helper()
	type rectangle struct{ X, Y, Width, Height int }
	place := evaluate[rectangle](b, "(r => ({X: r.x, Y: r.y, Width: r.width, Height: r.height}))(player.stage.places().at(-1))")
	bright := func(picture image.Image) float64 { // of the middle of the pane with the difference
		sum, n := 0.0, 0.0
		for y := place.Y + place.Height/4; y < place.Y+place.Height*3/4; y += 3 {
			for x := place.X + place.Width/4; x < place.X+place.Width*3/4; x += 3 {
				sum, n = sum+luma(picture, x, y), n+1
			}
		}
		return sum / n
	}
	same := bright(b.picture("player.stage.gain = 4"))
	other := bright(b.picture("player.stage.panes[1].frames.forEach(f => f.picture.geometry = {...f.picture.geometry, cells: f.picture.geometry.cells.toReversed()})"))
	b.Logf("difference x 4: %.1f of 255; with faces mixed up %.1f", same, other)
	if same > 30 || other < 2*same+20 {
		b.Errorf("the difference x 4 is %.1f of 255, and with faces mixed up %.1f", same, other)
	}
}

// Streams that end early, or never begin, leave the others alone.
func playerUnequal(t *testing.T, address string) {
	b := openBrowser(t)
	b.visit(address + "/player/?asset=world&ladder=cubemap&src=/vod/short/master.m3u8&t=4")
	b.wait("player.stage.panes[0].video.currentTime > 7 && player.stage.panes[1].video.ended")
	// One moment after the other is shown, and the one that has ended is left alone.
	b.run(`const [one, two] = player.stage.panes, seen = new Set();
		two.video.addEventListener("seeking", () => seen.clear());
		while (seen.size < 10) {
			if (one.video.currentTime > 12) one.video.currentTime = 7;
			seen.add(one.shown.time);
			await new Promise(requestAnimationFrame);
		}`)

	b.navigate(address + "/player/?asset=world&src=/vod/none/master.m3u8&projection=equirectangular&src=/vod/short/master.m3u8&projection=cubemap&order=lfrdbu&pad=8")
	b.wait("player.stage.panes[0].video.currentTime > 1 && player.stage.panes[2].video.currentTime > 1 && player.stage.panes[1].dead")
	if p := b.picture(""); luma(p, p.Bounds().Dx()/6, p.Bounds().Dy()/2) < 5 {
		t.Error("beside a stream that there is not, the picture is black")
	}
	if layouts := b.text("JSON.stringify(player.stage.panes.map(p => p.stream.layout))"); !strings.HasSuffix(layouts, `,{},{"order":"lfrdbu","pad":8}]`) {
		t.Errorf("layouts %s", layouts)
	}
}

// Keys, mouse and buttons do what they say.
func playerControls(t *testing.T, address string) {
	b := openBrowser(t)
	b.visit(address + "/player/?asset=world&yaw=30&pitch=-10&fov=60")
	look := func() [3]float64 {
		return evaluate[[3]float64](b, "(l => [l.yaw, l.pitch, l.fov])(player.looking.look)")
	}
	if got := look(); got != [3]float64{30, -10, 60} {
		t.Errorf("the address says where to look; it looks at %v", got)
	}
	for _, key := range []string{kb.ArrowRight, kb.ArrowRight, kb.ArrowUp, "-"} {
		must(t, chromedp.Do(b.ctx, chromedp.KeyEvent(key)))
	}
	if got := look(); got[0] != 40 || got[1] != -5 || math.Abs(got[2]-60/0.9) > 1e-6 {
		t.Errorf("after two steps right, one up and one back, it looks at %v", got)
	}
	// What was drawn survives the loss of the graphics context, also while paused.
	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent(" ")))
	b.run("const gl = player.stage.view.gl, lost = gl.getExtension('WEBGL_lose_context'), soon = () => new Promise(r => setTimeout(r, 20));" +
		"lost.loseContext(); do { await soon() } while (!gl.isContextLost());" +
		"do { lost.restoreContext(); await soon() } while (gl.isContextLost())")
	if p := b.picture(""); luma(p, p.Bounds().Dx()/2, p.Bounds().Dy()/2) < 5 {
		t.Error("after the graphics context was lost, the picture is black")
	}
	b.run("player.stage.sync.seek(0)")
	must(t, chromedp.Do(b.ctx, chromedp.Click(chromedp.ID("start")))) // once it is there
	b.wait("!player.stage.panes[0].video.paused && document.getElementById('start').hidden")

	// A drag of a quarter of the height turns by a quarter of the field of view, against the drag.
	height := evaluate[float64](b, "document.getElementById('stage').clientHeight")
	must(t, chromedp.Do(b.ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, 300, 100, chromedp.ButtonLeft),
		chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 300-height/4, 100, chromedp.ButtonLeft), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, 300-height/4, 100, chromedp.ButtonLeft)))
	if got := look(); math.Abs(got[0]-(40+60/0.9/4)) > 0.5 {
		t.Errorf("after a drag, it looks at %v", got)
	}
	b.run("document.getElementById('stage').dispatchEvent(new WheelEvent('wheel', {deltaY: -200, cancelable: true}))")
	if got := look(); got[2] >= 60 {
		t.Errorf("the wheel leaves the field of view at %v", got)
	}

	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent(" ")))
	b.wait("player.stage.panes[0].video.paused && document.getElementById('play').ariaLabel === 'Play'")
	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent("l")))
	b.wait("player.stage.panes[0].video.currentTime >= 10")
	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent("m")))
	b.wait("!player.stage.panes[0].video.muted")
	b.run("[...document.querySelectorAll('#ladders button')].find(x => x.textContent === 'eac').click()")
	b.wait("player.stage.panes.length === 2 && player.stage.panes[1].frames.length > 0 && !document.getElementById('difference').hidden")
	b.run("const q = document.getElementById('quality'); q.value = '512'; q.onchange()")
	if evaluate[bool](b, "player.stage.panes.some(p => p.hls.autoLevelEnabled)") {
		t.Error("a quality was chosen, but hls.js still chooses by itself")
	}
	playerKeys(b)
	if names := evaluate[[]string](b, "[...document.querySelectorAll('#bar button:not([hidden]), #bar input, #bar select')].filter(e => !(e.ariaLabel || e.title || e.labels?.length || e.textContent)).map(e => e.id)"); len(names) > 0 {
		t.Errorf("controls without a name: %v", names)
	}
}

// playerKeys tries the keys and buttons that viewers know from elsewhere.
func playerKeys(b browser) {
	b.Helper()
	key := func(keys ...string) {
		for _, k := range keys {
			must(b.T, chromedp.Do(b.ctx, chromedp.KeyEvent(k)))
		}
	}
	key("k")
	b.wait("!player.stage.panes[0].video.paused")
	key("k", "5")
	b.wait("player.stage.panes[0].video.paused && Math.abs(player.stage.panes[0].video.currentTime - 7) < 0.2")
	key(">", ">")
	b.wait("player.stage.sync.rate === 1.5 && document.getElementById('speed').value === '1.5'")
	key("<", "<", "?")
	b.wait("document.getElementById('keys').open && player.stage.sync.rate === 1")
	key(kb.Escape)
	b.run("document.getElementById('share').click()")
	b.wait("document.getElementById('shared').open")
	if at := b.text("document.getElementById('address').value"); !strings.Contains(at, "asset=world") || !strings.Contains(at, "t=7") || !strings.Contains(at, "yaw=") || !strings.Contains(at, "fov=") {
		b.Errorf("the address of this moment is %s", at)
	}
	key(kb.Escape)
	b.run("const v = document.getElementById('volume'); v.value = '0.5'; v.oninput()")
	if kept := b.text("localStorage.getItem('afterlive-player')"); kept != `{"height":512,"volume":0.5}` {
		b.Errorf("it remembers %s", kept)
	}
	if volumes := evaluate[[]float64](b, "player.stage.panes.map(p => p.video.volume)"); slices.Min(volumes) != 0.5 || slices.Max(volumes) != 0.5 {
		b.Errorf("volumes %v", volumes)
	}
	b.run("[...document.querySelectorAll('#ladders button')].find(x => x.textContent === 'eac').click()")
	b.wait("player.stage.panes.length === 1 && getComputedStyle(document.querySelector('.caption')).visibility === 'hidden'")
	key("i")
	b.wait("getComputedStyle(document.querySelector('.caption')).visibility === 'visible'")
}

// A live stream beside a recording: both play, each at its own time, in the same
// direction.
func playerLive(t *testing.T, address string) {
	o := startOrigin(t, "data: "+folder(t)+"\n")
	publish := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-re",
		"-f", "lavfi", "-i", "testsrc2=s=640x320:r=25", "-f", "lavfi", "-i", "sine=f=440:r=44100", "-t", "600",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac", "-f", "flv", "rtmp://"+o.rtmp+"/live/show")
	must(t, publish.Start())
	t.Cleanup(func() {
		_ = publish.Process.Kill() // it has mostly not ended
		_ = publish.Wait()
	})
	live := "http://" + o.http + "/hls/show/index.m3u8"
	eventually(t, patience, "the live stream plays", func() bool { body, _ := get(t, live); return strings.Count(body, ".ts") >= 3 })
	b := openBrowser(t)
	b.visit(address + "/player/?asset=world&ladder=cubemap&src=" + live + "&projection=equirectangular")
	b.wait("player.stage.panes.every(p => p.video.currentTime > 1 && !p.video.paused) && player.stage.panes[1].live && !player.stage.panes[0].live")
	// Where a seek leads can be read at once, before anything plays on.
	moved := evaluate[[]float64](b, "(([{video: recording}, {video: live}]) => { const at = live.currentTime; player.stage.sync.seek(9); return [recording.currentTime, at, live.currentTime] })(player.stage.panes)")
	if recording, before, after := moved[0], moved[1], moved[2]; math.Abs(recording-9) > 0.5 || math.Abs(after-before) > 0.5 {
		t.Errorf("a seek to 9 s took the recording to %f s, and the live stream from %f to %f s", recording, before, after)
	}
	b.wait(fmt.Sprintf("player.stage.panes[0].video.currentTime > 9.5 && player.stage.panes[1].video.currentTime > %f", moved[1]))
	b.look(40, 0, 75)
	b.wait("document.querySelectorAll('.caption')[1].textContent.includes('640×320') && document.querySelectorAll('.caption')[1].textContent.includes('live')")
	if faults := complaints(evaluate[[]string](b, "player.stage.panes.flatMap(p => p.faults.map(f => f + ', ' + p.stream.title))")); len(faults) > 0 {
		t.Errorf("hls.js complains: %v", faults)
	}
	// Alone, it has a button to its live edge.
	b.visit(address + "/player/?src=" + live + "&projection=equirectangular")
	b.wait("!document.getElementById('live').hidden")
}

// What was measured is printed, and drawn.
func playerQuality(t *testing.T, data, address string) {
	eventually(t, patience, "the quality is measured", func() bool {
		found, err := filepath.Glob(data + "/vod/world/*/quality.json")
		return err == nil && len(found) == 1
	})
	if out := enqueue(t, "quality", "--data", data, "world"); !strings.Contains(out, "1024x512") || !strings.Contains(out, "cubemap cannot be compared with equirectangular: a curve needs two points") {
		t.Errorf("quality says:\n%s", out)
	}
	b := openBrowser(t)
	b.visit(address + "/player/?asset=world")
	b.wait("!document.getElementById('curves').hidden")
	must(t, chromedp.Do(b.ctx, chromedp.KeyEvent("q")))
	if text := b.text("document.querySelector('#measured table').textContent"); !strings.Contains(text, "a curve needs two points") {
		t.Errorf("the table says %q", text)
	}
	if dots := evaluate[int](b, "document.querySelectorAll('#measured:not([hidden]) circle').length"); dots != 2*len(projections) {
		t.Errorf("%d points are drawn", dots)
	}
}

// The player works from a bucket too, with streams of another server.
func playerInBucket(t *testing.T, address string) {
	cloud := testenv.Start(t)
	cloud.Bucket(t, "vod", true)
	place := []string{"--queue", "http://unused", "--failed", "http://unused", "--recordings", "s3://unused", "--store", "s3://vod"}
	for range 2 { // the second replaces the first
		if out := enqueue(t, append([]string{"player"}, place...)...); !strings.Contains(out, "files are in player/") {
			t.Errorf("player says %q", out)
		}
	}
	b := openBrowser(t)
	b.visit(cloud.Endpoint + "/vod/player/index.html?src=" + address + "/vod/world/master.m3u8&projection=equirectangular")
	b.wait("player.stage.panes[0].video.currentTime > 1")
}

// What cannot be played says why, and what to do.
func playerErrors(t *testing.T, address string) {
	silent := httptest.NewServer(http.FileServer(http.Dir(t.TempDir()))) // sends no CORS headers
	t.Cleanup(silent.Close)
	b := openBrowser(t)
	said := func(b browser, query string) string {
		b.Helper()
		b.navigate(address + "/player/" + query)
		b.wait("!document.getElementById('error').hidden")
		return b.text("document.getElementById('error').textContent")
	}
	for query, want := range map[string]string{
		"?asset=none":                                "There is no recording “none”",
		"?asset=world&ladder=none":                   "It has equirectangular, cubemap, turned, eac",
		"?src=x.m3u8&projection=round":               "There is no projection “round”",
		"?src=/vod/none/master.m3u8":                 "there is no stream",
		"?src=" + silent.URL + "/a.m3u8":             "CORS",
		"?asset=" + silent.URL + "/vod/asset.json":   "CORS",
		"?asset=world&yaw=left":                      "yaw=left",
		"?src=" + "http://127.0.0.1:1/none/one.m3u8": "cannot be read",
	} {
		if got := said(b, query); !strings.Contains(got, want) {
			t.Errorf("%s: it says %q, want %q", query, got, want)
		}
	}
	if got := said(openBrowser(t, "disable-3d-apis"), "?asset=world"); !strings.Contains(got, "WebGL") {
		t.Errorf("without WebGL it says %q", got)
	}
	b.navigate(address + "/player/")
	b.wait("!document.getElementById('open').hidden")
}
