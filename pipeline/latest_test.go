package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// In whatever order the recordings of a stream come in, its latest is the one that began last, and its playlist leads there.
func TestLatest(t *testing.T) {
	store := testenv.NewMemory()
	p := &Pipeline{Store: store}
	seconds := []int{1764000200, 1764000900, 1764000500}
	best := 0
	for n, s := range seconds {
		plan := &ladder.Plan{Job: fmt.Sprintf("%016x", n), Asset: fmt.Sprintf("live/talk/talk-%d", s), Created: time.Unix(int64(1_800_000_000+n), 0)}
		asset := ladder.Asset{Version: ladder.AssetVersion, Job: plan.Job, Planned: plan.Created, Live: true}
		for range 2 { // while it is live, and in the end
			if _, err := ledger.Write(t.Context(), store, ladder.PointerKey(plan.Asset), asset, etagOf(store, ladder.PointerKey(plan.Asset))); err != nil {
				t.Fatal(err)
			}
			store.Put(ladder.StableMasterKey(plan.Asset), []byte(fmt.Sprintf("#EXTM3U\n%s/%t\n", plan.Job, asset.Live)))
			if err := p.pointLatest(t.Context(), plan); err != nil {
				t.Fatal(err)
			}
			asset.Live = false
		}
		best = max(best, s)
		var latest ladder.Latest
		if _, err := ledger.Load(t.Context(), store, ladder.LatestKey("live/talk"), &latest); err != nil || latest.Asset != fmt.Sprintf("live/talk/talk-%d", best) || latest.Live {
			t.Errorf("after %d: %+v, %v", s, latest, err)
		}
		if master, _, err := store.Get(ladder.LatestMasterKey("live/talk")); err != nil || !strings.Contains(string(master), fmt.Sprintf("\ntalk-%d/", best)) || !strings.HasSuffix(string(master), "/false\n") {
			t.Errorf("after %d: %s, %v", s, master, err)
		}
	}
	if err := p.pointLatest(t.Context(), &ladder.Plan{Asset: "talk"}); err != nil || store.Writes[ladder.LatestKey(".")] > 0 {
		t.Errorf("an asset of no stream: %v", err)
	}
}

func etagOf(store *testenv.Memory, key string) string {
	_, etag, err := store.Get(key)
	if err != nil {
		return ""
	}
	return etag
}
