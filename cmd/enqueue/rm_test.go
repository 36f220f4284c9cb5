package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/flv"
	"afterlive.alt/ladder"
)

// An asset is removed with all that belongs to it, and its recording only if that is asked for; a name that is not there is an error of its own.
func TestRm(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("talk.flv", "FLV one"))
	backend, err := config.Flags{Data: b.data}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const id = "0123456789abcdef"
	plan := ladder.Plan{Version: ladder.PlanVersion, Job: id, Asset: "talk", Rate: flv.Rate{Num: 25, Den: 1}}
	plan.Recording.Key = "recordings/talk.flv"
	for key, v := range map[string]any{
		ladder.PlanKey(id): plan, ladder.EndKey(id): ladder.End{Version: ladder.EndVersion}, ladder.PointerKey("talk"): ladder.Asset{Version: ladder.AssetVersion, Job: id},
		plan.Key("flat", "s00000-x.m4s"): "x", "recordings/talk.flv.x.index.json": "x", "recordings/talk.flv.growing/index.json": "x", "recordings/talk.flv2": "x",
	} {
		if err := backend.Store.Write(t.Context(), key, mustMarshal(t, v), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := backend.Close(); err != nil {
		t.Fatal(err)
	}
	there := func() (all []string) {
		for _, pattern := range []string{"vod/talk/*", "jobs/" + id + "/*", "recordings/talk.flv*"} {
			found, err := filepath.Glob(filepath.Join(b.data, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range found {
				if info, err := os.Stat(name); err == nil && (!info.IsDir() || !empty(t, name)) {
					all = append(all, strings.TrimPrefix(name, b.data+"/"))
				}
			}
		}
		return all
	}
	all := len(there())
	if out := b.must("rm", "--recording", "--dry-run", "talk"); !strings.Contains(out, "1 jobs, 2 segments and playlists, 2 documents, 3 objects of recordings would be removed") || len(there()) != all {
		t.Errorf("it says %s; there are %v", out, there())
	}
	b.must("rm", "talk")
	if left := there(); len(left) != 4 || left[0] != "recordings/talk.flv" {
		t.Errorf("left %v", left)
	}
	b.must("rm", "--recording", "talk")
	if left := there(); len(left) != 1 || left[0] != "recordings/talk.flv2" {
		t.Errorf("left %v", left)
	}
	if _, err := b.run("rm", "talk"); err == nil || exitCode(err) != 3 {
		t.Errorf("again: %v", err)
	}
}

func empty(t *testing.T, folder string) bool {
	t.Helper()
	is := true
	err := filepath.WalkDir(folder, func(_ string, entry os.DirEntry, err error) error {
		is = is && (err != nil || entry.IsDir())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return is
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
