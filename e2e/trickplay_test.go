package e2e

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"afterlive.alt/internal/testenv"
)

// What is made for finding one's way is used by players: I-frames for trick play, and
// the storyboard. hls.js is ours; Shaka Player is a second one that nobody of us wrote.
func TestTrickPlay(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	recording := source(t, "640x360", 25, 20)
	for _, profile := range []string{"quick", "transport"} {
		data, address := t.TempDir(), "127.0.0.1:"+testenv.FreePort(t)
		enqueue(t, "send", "--data", data, "--as", "talk", "--profile", profile, recording)
		startWorker(t, "--data", data, "--http", address)
		enqueue(t, "status", "--watch", "--timeout", patience.String(), "--data", data)
		t.Run(profile+"/hls.js", func(t *testing.T) { trickHLSJS(t, "http://"+address, profile == "transport") })
		t.Run(profile+"/seek bar", func(t *testing.T) { seekBar(t, "http://"+address) })
		t.Run(profile+"/Shaka Player", func(t *testing.T) { shaka(t, "http://"+address, data) })
	}
}

// hls.js shows I-frames in a second element, as seek previews do.
func trickHLSJS(t *testing.T, address string, transport bool) {
	b := openBrowser(t)
	b.visit(address + "/player/?asset=talk")
	b.run(`const { hls } = player.stage.panes[0];
		window.small = document.body.appendChild(document.createElement("video"));
		window.trick = hls.createIFramePlayer();
		window.complaints = [];
		trick.on("hlsError", (_, e) => complaints.push(e.type + " " + e.details + " " + (e.reason ?? e.error?.message)));
		const attached = new Promise((resolve) => trick.once("hlsMediaAttached", resolve));
		trick.attachMedia(small);
		await attached`)
	moments := []float64{14.3, 5.5, 6.2, 18.7, 0.4} // here and there, on both sides of a chunk's boundary
	if transport {
		slices.Sort(moments) // going back, hls.js 1.7.4 shows nothing of transport streams, ffmpeg's own included
	}
	for _, at := range moments {
		b.run(fmt.Sprintf("trick.loadMediaAt(%g)", at))
		b.wait(fmt.Sprintf("small.readyState >= 2 && !small.seeking && Math.abs(small.currentTime - %g) < 1.01", at))
		brightness := evaluate[float64](b, `(() => {
			const c = new OffscreenCanvas(16, 9).getContext("2d");
			c.drawImage(small, 0, 0, 16, 9);
			return c.getImageData(0, 0, 16, 9).data.reduce((a, x) => a + x, 0) / (16 * 9 * 4);
		})()`)
		if brightness < 100 { // 64 is black: a quarter is alpha
			t.Errorf("at %g s it shows a picture of brightness %f", at, brightness)
		}
	}
	loaded := evaluate[[]string](b, "performance.getEntriesByType('resource').map(r => r.name).filter(n => n.includes('/iframes/'))")
	if len(loaded) < 4 {
		t.Errorf("of the I-frames, it loaded %q", loaded)
	}
	faults := evaluate[[]string](b, "[...complaints, ...player.stage.panes[0].faults]")
	// Where a rendition takes another's place, hls.js 1.7.4 takes for a hole by how much a
	// transport stream's first picture is shown after it is decoded, if that is more than 50 ms.
	faults = slices.DeleteFunc(complaints(faults), func(f string) bool { return transport && strings.Contains(f, "bufferAppendNoProgress") })
	if len(faults) > 0 {
		t.Errorf("hls.js complains: %v", faults)
	}
}

// The player shows the storyboard where somebody points at its seek bar.
func seekBar(t *testing.T, address string) {
	b := openBrowser(t)
	b.visit(address + "/player/?asset=talk")
	b.wait("document.querySelector('#preview > div')")
	type box struct{ Left, Top, Width, Height float64 }
	bar := evaluate[box](b, "(r => ({Left: r.left, Top: r.top, Width: r.width, Height: r.height}))(document.getElementById('seek').getBoundingClientRect())")
	for _, share := range []float64{0.02, 0.37, 0.5, 0.98} {
		must(t, chromedp.Do(b.ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, bar.Left+share*bar.Width, bar.Top+bar.Height/2)))
		b.wait("!document.getElementById('preview').hidden")
		at := share * 20.0
		type seen struct {
			Time        string
			X, Y        float64
			Sheet       float64 // its width, once it is loaded
			Left, Right float64
		}
		got := evaluate[seen](b, `(async () => {
			const preview = document.getElementById("preview"), style = preview.firstChild.style, sheet = new Image();
			sheet.src = style.backgroundImage.slice(5, -2);
			await sheet.decode();
			const [x, y] = style.backgroundPosition.split(" ").map(p => -parseFloat(p));
			const r = preview.getBoundingClientRect();
			return {Time: preview.textContent, X: x, Y: y, Sheet: sheet.naturalWidth, Left: r.left, Right: r.right};
		})()`)
		// A chunk of 6 s has three pictures on its sheet, one every 2 s; the last one is longer.
		tile := math.Floor((at - min(12, 6*math.Floor(at/6))) / 2)
		if got.X != tile*240 || got.Y != 0 || got.Sheet != 5*240 || !strings.HasPrefix(got.Time, "0:") {
			t.Errorf("at %g s it shows %+v, want picture %g of its sheet", at, got, tile)
		}
		if got.Left < 0 || got.Right > evaluate[float64](b, "innerWidth") {
			t.Errorf("at %g s it is beyond the window: %+v", at, got)
		}
	}
	must(t, chromedp.Do(b.ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 300, 100)))
	b.wait("document.getElementById('preview').hidden")
}

const shakaPage = `<!doctype html><meta charset="utf-8"><p id="error"></p><video id="video" muted></video><script src="/shaka.js"></script><script>
shaka.polyfill.installAll();
const video = document.getElementById("video"), faults = [], urls = [];
const shakaPlayer = new shaka.Player();
shakaPlayer.configure({ streaming: { bufferingGoal: 3, rebufferingGoal: 1, bufferBehind: 2 } }); // or all would be there before it plays fast
shakaPlayer.addEventListener("error", (e) => faults.push(e.detail.code + " " + e.detail.data));
shakaPlayer.getNetworkingEngine().registerRequestFilter((_, request) => { urls.push(request.uris[0]) });
const ready = shakaPlayer.attach(video).then(() => shakaPlayer.load("/vod/talk/master.m3u8")).then(() => video.play());
ready.catch((e) => faults.push(String(e.code ?? e)));
</script>`

// Shaka Player plays, also after seeks over boundaries of chunks, plays I-frames when it
// plays fast, and knows the storyboard.
func shaka(t *testing.T, address, data string) {
	backend, err := url.Parse(address)
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(backend))
	mux.HandleFunc("/shaka.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, testenv.Root()+"/player/node_modules/shaka-player/dist/shaka-player.compiled-es2021.js")
	})
	mux.HandleFunc("/shaka.html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, shakaPage) // the browser may have gone
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	b := openBrowser(t)
	b.navigate(server.URL + "/shaka.html")
	b.wait("video.currentTime > 0.5")
	b.run("shakaPlayer.trickPlay(4, true)") // before seeks: after one that goes back, Shaka 5.2.12 shows no I-frames of transport streams
	b.wait("urls.some(u => /iframes\\/s/.test(u)) && video.currentTime > 9")
	b.run("shakaPlayer.cancelTrickPlay()")
	b.wait("video.playbackRate === 1")
	for _, at := range []float64{5, 11, 17} {
		b.run(fmt.Sprintf("video.currentTime = %g", at))
		b.wait(fmt.Sprintf("video.currentTime > %g && !video.seeking", at+1.5))
	}
	if got := evaluate[[2]float64](b, "(r => [r.start, r.end])(shakaPlayer.seekRange())"); math.Abs(got[0]) > 0.1 || math.Abs(got[1]-20) > 0.2 {
		t.Errorf("it can be sought in %v", got)
	}

	type thumbnail struct {
		URL                         string
		X, Y, Width, Height, Starts float64
	}
	asset := assetOf(t, data)
	got := evaluate[thumbnail](b, fmt.Sprintf(`(async () => {
		const track = await shakaPlayer.addThumbnailsTrack(location.origin + "/vod/talk/%s", "text/vtt");
		const t = await shakaPlayer.getThumbnails(track.id, 9);
		const sheet = new Image();
		sheet.src = t.uris[0];
		await sheet.decode();
		return {URL: t.uris[0], X: t.positionX, Y: t.positionY, Width: t.width, Height: t.height, Starts: t.startTime};
	})()`, asset.Storyboard))
	if got.X != 240 || got.Y != 0 || got.Width != 240 || got.Height != 136 || got.Starts != 8 || !strings.Contains(got.URL, "chunk-00001-sheet-00000") {
		t.Errorf("at 9 s, the storyboard has %+v", got)
	}
	if faults := evaluate[[]string](b, "faults"); len(faults) > 0 {
		t.Errorf("Shaka complains: %v", faults)
	}
}
