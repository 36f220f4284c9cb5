package pipeline

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"afterlive.alt/hlscheck"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// What every built-in profile publishes keeps all rules that MUST be kept, in every
// segment, and most of those that should.
func TestPresentationsKeepTheRules(t *testing.T) {
	testenv.InTurn(t)
	sphere, flat := movie(t, "-s", "512x256"), movie(t)
	tall := movie(t, "-s", "180x320", "-an")
	for n, tc := range []struct {
		name      string
		recording []byte
	}{{"flat", flat}, {"360", sphere}, {"cubemap", sphere}, {"eac", sphere}, {"auto", tall}, {"compare", sphere}} {
		if !chosen(n, 3) {
			continue
		}
		name, recording := tc.name, tc.recording
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, queue := testenv.NewMemory(), &testenv.Messages{}
			store.Put(smallTask.Key, recording)
			p := newPipeline(t, store, queue, "")
			var err error
			p.Profiles, err = ladder.ParseProfiles(nil)
			must(t, err)
			task := smallTask
			task.Profile = name
			must(t, p.Do(t.Context(), task, nil))
			drain(t, p, queue)
			dir := export(t, store, "vod/live/talk/")
			masters, err := filepath.Glob(dir + "/*/*/master.m3u8")
			if err != nil || len(masters) == 0 {
				t.Fatalf("masters %v, %v", masters, err)
			}
			for _, master := range append(masters, dir+"/master.m3u8") {
				name := strings.TrimPrefix(strings.TrimPrefix(master, dir), "/")
				report, err := hlscheck.Check(t.Context(), hlscheck.Dir(os.DirFS(dir)), name, hlscheck.Media)
				must(t, err)
				if err := report.Err(); err != nil {
					t.Error(err)
				}
				// Of a recording this small there is one rendition, of few bits.
				expected := map[string]bool{"9.10": true, "9.21": true}
				for _, f := range report.Broken(hlscheck.Should) {
					if !expected[f.Rule] {
						t.Error(f)
					}
				}
				for _, m := range report.Renditions {
					if m.Duration == 0 || m.Segments == 0 {
						t.Errorf("%+v", m)
					}
				}
			}
		})
	}
}

// allButLast does all tasks of a small recording but the one after which it would be
// published.
func allButLast(t *testing.T) (*Pipeline, *testenv.Memory, job.Task) {
	t.Helper()
	p, store, queue := newSmall(t, movie(t))
	must(t, p.Do(t.Context(), smallTask, nil))
	last := queue.RemoveLast()
	drain(t, p, queue)
	tasks, err := job.Parse([]byte(last))
	must(t, err)
	return p, store, tasks[0]
}

// A presentation that breaks a MUST is a failed job: nothing of it can be seen.
func TestWhatBreaksARuleIsNotPublished(t *testing.T) {
	p, store, last := allButLast(t)
	// The level that init segments tell is made one beyond what there is.
	broken := 0
	for key, body := range store.Objects {
		if i := bytes.Index(body, []byte("avcC\x01")); strings.Contains(key, "/init-") && i > 0 {
			store.Objects[key] = slices.Concat(body[:i+7], []byte{62}, body[i+8:])
			broken++
		}
	}
	before := maps.Clone(store.Objects)
	err := p.Do(t.Context(), last, nil)
	if reason, final := job.Verdict(err); broken == 0 || reason != "hls_rules" || !final || !strings.Contains(err.Error(), "1.11") {
		t.Errorf("of %d init segments: %v", broken, err)
	}
	for key := range store.Objects {
		if _, ok := before[key]; !ok && strings.HasSuffix(key, ".m3u8") {
			t.Errorf("%s was published", key)
		}
	}
	if _, ok := store.Objects["vod/live/talk/asset.json"]; ok {
		t.Error("the asset was published")
	}
}

// What cannot be read at the moment breaks no rule: another attempt may read it.
func TestRulesWaitForTheStore(t *testing.T) {
	p, store, last := allButLast(t)
	store.Before = func(op, key string) error {
		if op == "load" && strings.Contains(key, "/init-") {
			return errors.New("unexpected EOF")
		}
		return nil
	}
	if err := p.Do(t.Context(), last, nil); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("got %v", err)
	} else if _, final := job.Verdict(err); final {
		t.Errorf("final: %v", err)
	}
	store.Before = nil
	must(t, p.Do(t.Context(), last, nil))
	checkPublished(t, store)
}

// segmentOf is the key of a segment of the first chunk: its first, or its last.
func segmentOf(t *testing.T, store *testenv.Memory, last bool) string {
	t.Helper()
	plan := onlyPlan(t, store)
	var part ladder.Part
	_, err := ledger.Load(t.Context(), store, ladder.PartKey(plan.Job, ladder.ChunkPart(0)), &part)
	must(t, err)
	track := part.Tracks[0]
	s := track.Segments[0]
	if last {
		s = track.Segments[len(track.Segments)-1]
	}
	return plan.Key(track.Ladder, track.Rendition, s.URI)
}

// A segment that the store has lost, or has in another size, is not published. It may
// come; else its part is made again.
func TestMissingSegmentIsNotPublished(t *testing.T) {
	testenv.InTurn(t)
	for name, tc := range map[string]struct {
		last  bool
		spoil func(body []byte) []byte
		want  string
	}{
		"the first is gone":   {false, nil, "is not in the store"},
		"the last is gone":    {true, nil, "is not in the store"},
		"the last is shorter": {true, func(body []byte) []byte { return body[:len(body)-1] }, "and should have"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, store, last := allButLast(t)
			key := segmentOf(t, store, tc.last)
			whole := store.Objects[key]
			delete(store.Objects, key)
			if tc.spoil != nil {
				store.Objects[key] = tc.spoil(whole)
			}
			err := p.Do(t.Context(), last, nil)
			reason, final := job.Verdict(err)
			if err == nil || reason != "segment_missing" || final || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "part chunk-00000: "+key) {
				t.Fatalf("got %q, final %t: %v", reason, final, err)
			}
			for key := range store.Objects {
				if strings.HasSuffix(key, ".m3u8") || strings.HasSuffix(key, "asset.json") {
					t.Errorf("%s was published", key)
				}
			}
			store.Objects[key] = whole
			must(t, p.Do(t.Context(), last, nil))
			checkPublished(t, store)
		})
	}
}

// What the advice says of a missing segment helps: the part alone is made again.
func TestMissingSegmentIsMadeAgain(t *testing.T) {
	p, store, last := allButLast(t)
	key, queue := segmentOf(t, store, false), &testenv.Messages{}
	delete(store.Objects, key)
	if reason, _ := job.Verdict(p.Do(t.Context(), last, nil)); reason != "segment_missing" {
		t.Fatalf("got %q", reason)
	}
	part := ladder.PartKey(last.Job, ladder.ChunkPart(0))
	delete(store.Objects, part)
	delete(store.Writes, part) // it may be written again
	p.Queue = queue
	repair := smallTask
	repair.Repair = true
	must(t, p.Do(t.Context(), repair, nil))
	if n := len(queue.Bodies()); n != 1 {
		t.Errorf("%d messages were sent, want 1", n)
	}
	expire(t, store)
	drain(t, p, queue)
	checkPublished(t, store)
}

// A store whose lists lag is asked by name; one that answers nothing is asked again.
func TestStoreIsAskedByName(t *testing.T) {
	p, store, last := allButLast(t)
	key := segmentOf(t, store, false)
	store.Unlisted = map[string]bool{key: true}
	var asked atomic.Bool
	store.Before = func(op, k string) error {
		if op == "stat" && k == key {
			asked.Store(true)
			return errors.New("unexpected EOF")
		}
		return nil
	}
	err := p.Do(t.Context(), last, nil)
	if _, final := job.Verdict(err); !asked.Load() || err == nil || final || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Fatalf("asked %t, final %t: %v", asked.Load(), final, err)
	}
	store.Before = nil
	must(t, p.Do(t.Context(), last, nil))
	store.Unlisted = nil
	checkPublished(t, store)
}

// Publishing asks for one segment of each rendition and part, whatever there is.
func TestPublishingAsksForFew(t *testing.T) {
	p, store, last := allButLast(t)
	var asked atomic.Int64
	store.Before = func(op, key string) error {
		if op == "stat" && strings.HasPrefix(key, "vod/") {
			asked.Add(1)
		}
		return nil
	}
	must(t, p.Do(t.Context(), last, nil))
	plan, want := onlyPlan(t, store), 0
	for _, name := range plan.PartNames() {
		var part ladder.Part
		_, err := ledger.Load(t.Context(), store, ladder.PartKey(plan.Job, name), &part)
		must(t, err)
		want += len(part.Tracks)
	}
	if int(asked.Load()) != want || want == 0 {
		t.Errorf("%d segments were asked for, want %d", asked.Load(), want)
	}
}
