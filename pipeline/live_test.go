package pipeline

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// Nobody watches before the recording has ended, if its profile says so. Chunks are longer meanwhile, and each costs few requests. What is
// left at the end is cut into segments, so that several workers make it.
func TestOnlyOnDemand(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "recorded", strings.Replace(recordedProfile, "  chunk: 6s\n", "  live: vod\n", 1))
	var documents, uploads, reads atomic.Int64 // written by workers, and read by them
	shipped := false
	f.store.Before = func(op, key string) error {
		switch {
		case shipped:
		case op != "write":
			reads.Add(1)
		case strings.HasPrefix(key, "vod/") && !strings.HasSuffix(key, ".m3u8") && !strings.HasSuffix(key, ".json"):
			uploads.Add(1)
		default:
			documents.Add(1)
		}
		return nil
	}
	for piece := range slices.Chunk(growsFor(t, 70), 5) { // as follow ships it
		shipped = true
		f.grow(t, slices.Concat(piece...), false)
		shipped = false
		f.work(t, 100)
		for key := range f.store.Objects {
			if strings.HasSuffix(key, ".m3u8") || strings.HasSuffix(key, "asset.json") || strings.HasSuffix(key, "live.json") {
				t.Fatalf("%s, while it grows", key)
			}
		}
	}
	t.Logf("for 2 chunks: %d documents, %d files, %d reads", documents.Load(), uploads.Load(), reads.Load())
	if n := documents.Load(); n == 0 || n > 2*6+4 { // docs/capacity.md reckons with 6 each; and the plan, the index, how it stands
		t.Errorf("workers wrote %d documents for two chunks", n)
	}
	f.store.Before = nil
	whole := f.end(t)
	want := []ladder.Span{{From: 0, To: 750}, {From: 750, To: 1500}, {From: 1500, To: 1650}, {From: 1650, To: 1750}}
	if !slices.Equal(whole.Chunks, want) || whole.Frames != 1750 {
		t.Errorf("%d frames in %v, want %v", whole.Frames, whole.Chunks, want)
	}
	checkRules(t, f.store, false)
}
