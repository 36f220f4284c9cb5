package e2e

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"afterlive.alt/ladder"
)

// assetOf is the published "talk" of a folder.
func assetOf(t *testing.T, data string) (asset ladder.Asset) {
	t.Helper()
	body, err := os.ReadFile(data + "/vod/talk/asset.json")
	must(t, err)
	must(t, json.Unmarshal(body, &asset))
	return asset
}

// What a recording took, on what, and for how much, is with its parts, with the asset,
// and in the status.
func TestEffortIsTold(t *testing.T) {
	task := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"LaunchType":"FARGATE","Limits":{"CPU":4,"Memory":8192}}`)
	}))
	defer task.Close()
	t.Setenv("ECS_CONTAINER_METADATA_URI_V4", task.URL)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	data, recording := t.TempDir(), source(t, "320x180", fps, 15)
	enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "quick", recording)
	began := time.Now()
	w := startWorker(t, "--data", data, "--exit-when-idle", "--price", "0.72", "--slots", "2")
	w.finish(t)
	most := 2 * time.Since(began).Seconds()

	asset := assetOf(t, data)
	info, err := os.Stat(recording)
	must(t, err)
	e := asset.Effort
	if e.CPU <= 0 || e.Scan <= 0 || e.Encode <= 0 || e.Slot < e.Scan+e.Encode || e.Slot > most {
		t.Errorf("times %+v, of at most %.1f s", e, most)
	}
	if e.Read < info.Size()*9/10 || e.Written < 10_000 {
		t.Errorf("bytes %+v, of a recording of %d", e, info.Size())
	}
	if usd := e.Slot / 3600 * 0.36; math.Abs(e.USD-usd) > 1e-9 || math.Abs(e.PerMinute-usd/asset.Duration*60) > 1e-9 {
		t.Errorf("costs %+v, want %v USD", e, usd)
	}
	want := ladder.HostParts{Host: ladder.Host{CPUs: 4, Memory: 8192, Capacity: "FARGATE", Slots: 2, USD: 0.72}, Parts: 2}
	if len(e.Hosts) != 1 || e.Hosts[0] != want {
		t.Errorf("hosts %+v", e.Hosts)
	}
	for name, body := range parts(t, data) {
		var p ladder.Part
		must(t, json.Unmarshal([]byte(body), &p))
		if p.CPU <= 0 || p.Slot < p.Encode || p.Encode <= 0 || p.Read <= 0 || p.Written <= 0 || p.USD <= 0 || p.Host != want.Host {
			t.Errorf("%s: %+v on %+v", name, p.Effort, p.Host)
		}
	}
	if out := enqueue(t, "status", "--data", data); !strings.Contains(out, " of work (") || !strings.Contains(out, " USD (0.") {
		t.Errorf("status says:\n%s", out)
	}
}
