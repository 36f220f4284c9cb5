package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/internal/flv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// After the queue was lost, all that isn't done is sent again, as it was asked for, and nothing else.
func TestResume(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("waits.flv", "FLV waits"))
	b.must("send", "--force", b.record("odd name.flv", "FLV odd"))
	backend, err := config.Flags{Data: b.data}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, v any) {
		t.Helper()
		if err := backend.Store.Write(t.Context(), key, mustMarshal(t, v), ""); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]string{}
	for name, profile := range map[string]string{"auto": job.DefaultProfile, "chosen": "360", "done": job.DefaultProfile, "failed": job.DefaultProfile} {
		key := "recordings/" + name + ".flv"
		put(key, name)
		_, etag, err := backend.Recordings.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		id := job.ID("", key, etag, profile)
		ids[name] = id
		plan := ladder.Plan{Version: ladder.PlanVersion, Job: id, Asset: name, Profile: "360", Created: time.Now(), Rate: flv.Rate{Num: 25, Den: 1}}
		plan.Recording = ladder.Recording{Key: key, ETag: etag}
		put(ladder.PlanKey(id), plan)
		put(ladder.EndKey(id), ladder.End{Version: ladder.EndVersion, Frames: 10, Chunks: []ladder.Span{{From: 0, To: 10}}})
	}
	put(ladder.PartKey(ids["done"], ladder.ChunkPart(0)), ladder.Part{Version: ladder.PartVersion, Name: ladder.ChunkPart(0)})
	put(ladder.PointerKey("done"), ladder.Asset{Version: ladder.AssetVersion, Job: ids["done"]})
	task := job.Task{Kind: job.Chunk, Job: ids["failed"]}
	put(ladder.FailureKey(ids["failed"], task.Name(), time.Now()), job.Failure{Version: 1, Reason: "stalled", Job: ids["failed"], Task: task.Name(), Message: task.Body(), Time: time.Now()})
	bad := job.Task{Kind: job.Recording, Key: "recordings/bad.flv", ETag: "e", Profile: "mine", Failures: 4} // it could not even be planned
	put(bad.Key, "bad")
	put(ladder.FailureKey(bad.JobID(), bad.Name(), time.Now()), job.Failure{Version: 1, Reason: "no_profile", Job: bad.JobID(), Task: bad.Name(), Source: bad.Key, Message: bad.Body(), Time: time.Now()})
	if err := catalog.Reindex(t.Context(), backend.Store, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	if err := backend.Close(); err != nil {
		t.Fatal(err)
	}
	lose := func() {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(b.data, "queue.db*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%v, %v", files, err)
		}
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	lose()
	if out := b.must("resume", "--dry-run"); !strings.HasSuffix(out, "2 recordings have no job: they waited in the queue, or their assets were removed. --unplanned sends them too\n2 messages\n") || len(b.sent()) > 0 {
		t.Errorf("a dry run says %s", out)
	}
	b.must("resume", "--unplanned")
	sent := b.sent()
	for key, profile := range map[string]string{"auto": "auto", "chosen": "360", "waits": "auto", "odd name": "auto"} {
		if got := sent["recordings/"+key+".flv"]; got.Profile != profile || got.ETag == "" || ids[key] != "" && (got.JobID() != ids[key] || !got.Repair) {
			t.Errorf("%s is sent as %+v", key, got)
		}
	}
	if len(sent) != 4 {
		t.Errorf("sent %v", sent)
	}
	lose()
	b.must("resume", "--all")
	sent = b.sent()
	if len(sent) != 4 || sent["recordings/failed.flv"].JobID() != ids["failed"] {
		t.Errorf("with what had failed: %v", sent)
	}
	if got := sent["recordings/bad.flv"]; got.Profile != "mine" || got.ETag != "e" || got.Failures != 0 {
		t.Errorf("what could not be planned is sent as %+v", got)
	}
}
