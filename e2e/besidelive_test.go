package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// shades samples how bright the middle of each pane's video is, for some seconds, and on a busy machine for as many more as it takes. The
// event's is one of fourteen shades, and another each half second.
const shades = `(async () => {
	const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
	const shade = (video) => {
		context.drawImage(video, video.videoWidth * 0.4, video.videoHeight * 0.2, 2, 2, 0, 0, 1, 1);
		return Math.round((context.getImageData(0, 0, 1, 1).data[0] * 219 / 255) / 16);
	};
	const all = [];
	for (const end = performance.now() + 8000; performance.now() < end || all.length < 15 || new Set(all.map((s) => s[0])).size < 10;) {
		all.push(player.stage.panes.map((p) => shade(p.video)));
		await new Promise((done) => setTimeout(done, 40));
	}
	window.sampled = all;
})(); undefined`

// While an event is live, the player holds the origin's own live stream, a sphere in a rectangle, beside the cube that the workers make of it: at
// the same moment.
func TestLiveBesideItsCube(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data, address := folder(t), "127.0.0.1:"+testenv.FreePort(t)
	o := startOrigin(t, "data: "+data+"\nprofile: cube\n")
	startFollow(t, "--data", data, "--profile", "cube", "--every", "2s", o.dir+"/rec")
	startWorker(t, "--data", data, "--http", address, "--slots", "2")
	stream := exec.CommandContext(t.Context(), "ffmpeg", "-v", "quiet", "-nostdin", "-re",
		"-f", "lavfi", "-i", fmt.Sprintf(`nullsrc=s=256x128:r=%d,geq=lum='16+16*mod(floor(T*2)\,14)':cb=128:cr=128`, fps), "-f", "lavfi", "-i", "sine=r=44100", "-t", "600",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac", "-f", "flv", "rtmp://"+o.rtmp+"/live/globe")
	must(t, stream.Start())
	t.Cleanup(func() {
		_ = stream.Process.Kill() // it has not ended
		_ = stream.Wait()
	})
	var asset string
	eventually(t, patience, "it can be watched", func() bool {
		found, err := filepath.Glob(data + "/vod/live/globe/*/" + ladder.MasterFile)
		if err == nil && len(found) == 1 {
			asset = strings.TrimPrefix(filepath.Dir(found[0]), data+"/vod/")
		}
		return asset != ""
	})
	b := openBrowser(t)
	b.navigate("http://" + address + "/player/?asset=" + asset + "&src=http://" + o.http + "/hls/globe/index.m3u8&projection=equirectangular")
	b.wait("player.stage.panes.length === 2 && player.stage.panes.every(p => p.live && p.video.currentTime > 0 && !p.video.paused)")
	b.wait("player.stage.sync.followers.length === 1 && Math.abs(player.stage.panes[0].hls.playingDate - player.stage.panes[1].hls.playingDate) < 100")
	b.run(shades)
	b.wait("window.sampled")
	same, moved := 0, map[int]bool{}
	all := evaluate[[][]int](b, "sampled")
	for _, s := range all {
		moved[s[0]] = true
		if s[0] == s[1] {
			same++
		}
	}
	t.Logf("%d of %d samples are of the same half second; shades %v", same, len(all), moved)
	if same*4 < len(all)*3 { // a quarter of half a second is 125 ms
		t.Errorf("they are not at the same moment: %v", all)
	}
}
