package pipeline

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterlive/hlscheck"
	"afterlive/internal/job"
	"afterlive/ladder"
)

// What every built-in profile publishes keeps all rules that MUST be kept, in every
// segment, and most of those that should.
func TestPresentationsKeepTheRules(t *testing.T) {
	sphere, flat := movie(t, "-s", "512x256"), movie(t)
	tall := movie(t, "-s", "180x320", "-an")
	for name, recording := range map[string][]byte{"flat": flat, "360": sphere, "cubemap": sphere, "eac": sphere, "compare": sphere, "auto": tall} {
		t.Run(name, func(t *testing.T) {
			store, queue := newMemory(), &messages{}
			store.put(smallTask.Key, recording)
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
func allButLast(t *testing.T) (*Pipeline, *memory, job.Task) {
	t.Helper()
	p, store, queue := newSmall(t, movie(t))
	must(t, p.Do(t.Context(), smallTask, nil))
	last := queue.all[len(queue.all)-1]
	queue.all = queue.all[:len(queue.all)-1]
	drain(t, p, queue)
	tasks, err := job.Parse(last.body)
	must(t, err)
	return p, store, tasks[0]
}

// A presentation that breaks a MUST is a failed job: nothing of it can be seen.
func TestWhatBreaksARuleIsNotPublished(t *testing.T) {
	p, store, last := allButLast(t)
	// The level that init segments tell is made one beyond what there is.
	broken := 0
	for key, body := range store.objects {
		if i := bytes.Index(body, []byte("avcC\x01")); strings.Contains(key, "/init-") && i > 0 {
			store.objects[key] = slices.Concat(body[:i+7], []byte{62}, body[i+8:])
			broken++
		}
	}
	before := maps.Clone(store.objects)
	err := p.Do(t.Context(), last, nil)
	if reason, final := verdict(err); broken == 0 || reason != "hls_rules" || !final || !strings.Contains(err.Error(), "1.11") {
		t.Errorf("of %d init segments: %v", broken, err)
	}
	for key := range store.objects {
		if _, ok := before[key]; !ok && strings.HasSuffix(key, ".m3u8") {
			t.Errorf("%s was published", key)
		}
	}
	if _, ok := store.objects["vod/live/talk/asset.json"]; ok {
		t.Error("the asset was published")
	}
}

// What cannot be read at the moment breaks no rule: another attempt may read it.
func TestRulesWaitForTheStore(t *testing.T) {
	p, store, last := allButLast(t)
	store.before = func(op, key string) error {
		if op == "load" && strings.Contains(key, "/init-") {
			return errors.New("unexpected EOF")
		}
		return nil
	}
	if err := p.Do(t.Context(), last, nil); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("got %v", err)
	} else if _, final := verdict(err); final {
		t.Errorf("final: %v", err)
	}
	store.before = nil
	must(t, p.Do(t.Context(), last, nil))
	checkPublished(t, store)
}
