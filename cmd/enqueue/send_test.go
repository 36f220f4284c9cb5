package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// What is no recording is refused before anything is uploaded, with the reason; unless one insists.
func TestSendRefusesWhatIsNoRecording(t *testing.T) {
	b := newBox(t)
	for name, tc := range map[string]struct{ body, says string }{
		"a diary":        {"Dear diary, today I was streamed.", "an FLV"},
		"nothing":        {"", "the file is empty"},
		"an MP4":         {"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "an FLV"},
		"nothing to see": {"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00", "neither video nor audio"},
	} {
		t.Run(name, func(t *testing.T) {
			file := b.record("talk.flv", tc.body)
			_, err := b.run("send", file, "--as", "talk")
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "cannot be published") || !strings.Contains(err.Error(), "--force") {
				t.Errorf("it says %v", err)
			}
			if left, err := filepath.Glob(b.data + "/recordings/*"); err != nil || len(left) > 0 || len(b.sent()) > 0 {
				t.Errorf("uploaded: %v, %v", left, err)
			}
		})
	}
	file := b.record("talk.flv", "Dear diary")
	b.must("send", "--force", file, "--as", "talk")
	if _, err := os.Stat(b.data + "/recordings/talk.flv"); err != nil || len(b.sent()) != 1 {
		t.Errorf("not sent: %v", err)
	}
}

// Another recording takes the place of one whose jobs are done, and of no other. What was published stays until it is made.
func TestSendReplaces(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("one.flv", "FLV one"), "--as", "talk")
	first := b.sent()["recordings/talk.flv"]
	backend, err := config.Flags{Data: b.data}.Open(t.Context())
	must(t, err)
	defer backend.Close()
	plan := ladder.Plan{
		Version: ladder.PlanVersion, Job: first.JobID(), Asset: "talk", Profile: "flat", Created: time.Now().UTC(), Rate: flv.Rate{Num: 25, Den: 1},
		Recording: ladder.Recording{Key: first.Key, ETag: first.ETag},
	}
	write := func(key string, what any) {
		t.Helper()
		_, err := ledger.Write(t.Context(), backend.Store, key, what, "")
		must(t, err)
	}
	write(ladder.PlanKey(plan.Job), plan)
	_, err = catalog.Refresh(t.Context(), backend.Store, plan.Job)
	must(t, err)
	other := b.record("other.flv", "FLV two")
	if _, err := b.run("send", "--force", other, "--as", "talk", "--replace"); !errors.Is(err, operate.ErrAtWork) || b.stored(first.Key) != "FLV one" {
		t.Errorf("a recording that workers read: %v, %q", err, b.stored(first.Key))
	}
	write(ladder.EndKey(plan.Job), ladder.End{Version: ladder.EndVersion})
	write(ladder.PointerKey("talk"), ladder.Asset{Version: ladder.AssetVersion, Job: plan.Job, Planned: plan.Created, Recording: first.Key, Ladders: []ladder.AssetLadder{{}}})
	write("recordings/talk.flv2", "another's")
	_, err = catalog.Refresh(t.Context(), backend.Store, plan.Job)
	must(t, err)
	b.must("send", "--force", other, "--as", "talk", "--replace")
	sent := b.sent()[first.Key]
	if b.stored(first.Key) != "FLV two" || sent.ETag == first.ETag || sent.JobID() == first.JobID() {
		t.Errorf("stored %q, sent %+v", b.stored(first.Key), sent)
	}
	if s, err := catalog.Look(t.Context(), backend.Store, plan.Job); err != nil || s.Shown != catalog.Published || !s.Unrecorded {
		t.Errorf("the one before: %+v, %v", s, err)
	}
	if _, err := os.Stat(b.data + "/recordings/talk.flv2"); err != nil {
		t.Error(err)
	}
}

// Title and trims travel in the message. What would leave nothing is refused before anything is uploaded.
func TestSendTrimsAndTitles(t *testing.T) {
	b := newBox(t)
	file := b.record("talk.flv", "FLV one")
	b.must("send", "--force", file, "--title", "A talk", "--trim-start", "1:02.5", "--trim-end", "3s")
	if sent := b.sent()["recordings/talk.flv"]; sent.Title != "A talk" || sent.Trim != (job.Trim{Start: 62_500, End: 3000}) {
		t.Errorf("sent %+v", sent)
	}
	for _, args := range [][]string{{"--title", "two\nlines"}, {"--trim-start=-2s"}, {"--trim-end", "soon"}} {
		if _, err := b.run(append([]string{"send", "--force", file, "--as", "other"}, args...)...); err == nil || len(b.sent()) > 0 {
			t.Errorf("%v: %v", args, err)
		}
	}
	recording, err := streamed()
	must(t, err)
	talk := b.record("real.flv", string(recording))
	if _, err := b.run("send", talk, "--trim-start", "1h"); err == nil || !strings.Contains(err.Error(), "nothing is left") || len(b.sent()) > 0 {
		t.Errorf("all of it trimmed: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
