package e2e

import (
	"net/http"
	"slices"
	"testing"

	"afterlive.alt/player"
)

// What the player keeps is bounded, whatever it plays and for how long; and it says who may
// do what on its page.
func playerBounds(t *testing.T, address string) {
	b := openBrowser(t)
	b.visit(address + "/player/?asset=world")
	got := evaluate[[]int](b, "(async () => { const { kept } = await import('"+address+"/player/pane.js'); return [kept(1, 3840, 1920), kept(3, 1920, 1080), kept(3, 3840, 1920), kept(3, 8192, 4096)] })()")
	if want := []int{1, 6, 4, 2}; !slices.Equal(got, want) {
		t.Errorf("keeps %v frames, want %v", got, want)
	}
	told := evaluate[int](b, `(() => {
		const [p] = player.stage.panes;
		for (let i = 0; i < 1000; i++) p.hls.trigger("hlsError", {type: "otherError", details: "no " + i, fatal: false});
		return p.faults.at(-1) === "otherError: no 999" ? p.faults.length : -1;
	})()`)
	if told != 100 {
		t.Errorf("%d complaints are kept", told)
	}
	for path, policy := range map[string]string{"/player/": player.Policy, "/vod/world/asset.json": "", "/healthz": ""} {
		resp, err := http.Get(address + path)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
}
