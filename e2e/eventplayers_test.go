package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// eventPages are players of an event from its start, with what they complain of.
var eventPages = map[string]string{
	"hlsjs": `<!doctype html><meta charset="utf-8"><p id="error"></p><video id="video" muted></video><script type="module">
import Hls from "/player/hls.mjs";
window.video = document.getElementById("video");
video.addEventListener("playing", () => { window.first ??= video.currentTime });
window.faults = [];
const hls = new Hls({ startPosition: 0 });
hls.on(Hls.Events.ERROR, (_, e) => faults.push([e.type, e.details, e.reason ?? e.error?.message, "at", video.currentTime].join(" ")));
// Not to where a segment begins: there, its audio begins up to a packet later, and hls.js tells of a hole that it seeks over.
window.toEdge = () => { video.currentTime = Math.floor(hls.liveSyncPosition / 6) * 6 + 1 };
window.live = () => hls.levels[hls.currentLevel].details.live;
hls.loadSource("/vod/%[1]s/master.m3u8");
hls.attachMedia(video);
hls.once(Hls.Events.MANIFEST_PARSED, () => video.play());
</script>`,
	"shaka": `<!doctype html><meta charset="utf-8"><p id="error"></p><video id="video" muted></video><script src="/shaka.js"></script><script>
shaka.polyfill.installAll();
const video = document.getElementById("video"), faults = [];
video.addEventListener("playing", () => { window.first ??= video.currentTime });
const shakaPlayer = new shaka.Player();
shakaPlayer.addEventListener("error", (e) => faults.push(e.detail.code + " " + e.detail.data));
const toEdge = () => shakaPlayer.goToLive(), live = () => shakaPlayer.isLive() || shakaPlayer.isInProgress();
shakaPlayer.attach(video).then(() => shakaPlayer.load("/vod/%[1]s/master.m3u8", 0)).then(() => video.play()).catch((e) => faults.push(String(e.code ?? e)));
</script>`,
}

// Two players that others wrote open an event a minute after its start, play it from there, seek to its edge, and stay
// on it through its end without an error.
func TestPlayersOfAnEvent(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data, address := folder(t), "127.0.0.1:"+testenv.FreePort(t)
	o := startOrigin(t, "data: "+data+"\nprofile: quick\n")
	startFollow(t, "--data", data, "--profile", "quick", "--every", "2s", o.dir+"/rec")
	startWorker(t, "--data", data, "--http", address, "--slots", "2")
	const opened = time.Minute
	stream := publish(t, o, "talk", 900) // or until it is told to end
	began := time.Now()
	var asset string
	eventually(t, patience, "it can be watched", func() bool {
		found, err := filepath.Glob(data + "/vod/live/talk/*/" + ladder.MasterFile)
		if err == nil && len(found) == 1 {
			asset = strings.TrimPrefix(filepath.Dir(found[0]), data+"/vod/")
		}
		return asset != ""
	})
	server := eventServer(t, "http://"+address, asset)
	time.Sleep(time.Until(began.Add(opened))) //nolint:forbidigo // viewers who come late
	var players []viewing
	for name := range eventPages {
		v := viewing{openBrowser(t), name}
		v.navigate(server + "/" + name)
		players = append(players, v)
	}
	for _, v := range players {
		v.toItsEdge()
	}
	own := openBrowser(t)
	own.navigate(server + "/player/?asset=" + asset + "&t=0")
	own.fromStartToEdge()
	must(t, stream.Process.Signal(syscall.SIGTERM))
	_ = stream.Wait() // ffmpeg says that it was told to end
	var whole ladder.Asset
	eventually(t, patience, "it is on demand", func() (ok bool) {
		whole, ok = onDemand(t, server+"/vod/"+asset+"/")
		return ok
	})
	for _, v := range players {
		v.throughItsEnd(whole.Duration)
	}
	own.wait("document.getElementById('live').hidden && document.getElementById('clock').textContent.includes(' / ') && document.getElementById('captions').textContent.includes('has ended')")
	if quiet := evaluate[bool](own, "document.getElementById('error').hidden"); !quiet {
		t.Errorf("the player says: %s", evaluate[string](own, "document.getElementById('error').textContent"))
	}
}

// fromStartToEdge plays an event in our own player: from its start, at its edge, back and forth; its button says where one is.
func (b browser) fromStartToEdge() {
	b.Helper()
	const live, restart = "document.getElementById('live')", "document.getElementById('restart')"
	b.wait("player.stage.panes[0].live && player.stage.panes[0].video.currentTime > 1 && " + live + ".textContent.startsWith('LIVE −')")
	if at := evaluate[float64](b, "player.stage.panes[0].video.currentTime"); at > 30 {
		b.Errorf("it begins at %g s", at)
	}
	b.run(live + ".click()")
	b.wait("player.stage.panes[0].video.currentTime > 30 && " + live + ".textContent === '● LIVE' && !" + restart + ".hidden")
	b.run(restart + ".click()")
	b.wait("player.stage.panes[0].video.currentTime < 10 && " + live + ".textContent.startsWith('LIVE −')")
	b.run("document.getElementById('seek').dispatchEvent(new PointerEvent('pointermove', { clientX: document.getElementById('seek').getBoundingClientRect().right - 1 }))")
	b.wait("!document.getElementById('preview').hidden && document.querySelector('#preview div').style.backgroundImage.includes('url')")
}

// viewing is a player of an event.
type viewing struct {
	browser

	name string
}

// toItsEdge plays the event from its start, and then seeks to where it is live.
func (v viewing) toItsEdge() {
	v.Helper()
	v.wait("video.currentTime > 1 && !video.paused")
	if first := evaluate[float64](v.browser, "first"); first > 1 {
		v.Errorf("%s begins at %g s", v.name, first)
	}
	v.run("toEdge()")
	v.wait("video.currentTime > 30 && !video.seeking && video.readyState >= 3")
	at := evaluate[float64](v.browser, "video.currentTime")
	v.wait(fmt.Sprintf("video.currentTime > %g", at+5))
	if !evaluate[bool](v.browser, "live()") {
		v.Errorf("%s: at %g s it has ended already", v.name, at)
	}
}

// throughItsEnd stays with the event until it has ended, after so many seconds.
func (v viewing) throughItsEnd(seconds float64) {
	v.Helper()
	v.wait("!live()")
	v.wait(fmt.Sprintf("Math.abs(video.duration - %g) < 0.5 && video.ended", seconds))
	faults := evaluate[[]string](v.browser, "faults")
	v.Logf("%s says: %q", v.name, faults)
	if faults = complaints(faults); len(faults) > 0 {
		v.Errorf("%s complains: %v", v.name, faults)
	}
}

// eventServer serves the pages beside what the worker serves.
func eventServer(t *testing.T, worker, asset string) string {
	t.Helper()
	backend, err := url.Parse(worker)
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(backend))
	mux.HandleFunc("/shaka.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, testenv.Root()+"/player/node_modules/shaka-player/dist/shaka-player.compiled-es2021.js")
	})
	for name, page := range eventPages {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprintf(w, page, asset) // the browser may have gone
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
