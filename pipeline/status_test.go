package pipeline

import (
	"bytes"
	"strings"
	"testing"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// A job that is refused at publishing is a failed one, of its own task; dropped, it is told
// so; sent again, it is at work again.
func TestRefusedPublication(t *testing.T) {
	p, store, last := allButLast(t)
	first := ladder.PartKey(last.Job, ladder.ChunkPart(0))
	good, _, err := store.Get(first)
	must(t, err)
	store.Put(first, bytes.ReplaceAll(good, []byte(`"init": "init-`), []byte(`"init": "other-`)))
	failed := givenUp(t, p, last, p.Do)

	is := func(want catalog.State, task string) catalog.Status {
		t.Helper()
		now, err := catalog.Look(t.Context(), store, last.Job)
		if err != nil || now.State != want || now.Task != task || now.Done != now.Parts {
			t.Errorf("%+v, %v, want %s", now, err, want)
		}
		return now
	}
	if now := is(catalog.Failed, "publish"); now.Reason != "parts_differ" || !strings.Contains(now.Detail, "publish: assemble job") {
		t.Errorf("%+v", now)
	}
	operator := operate.Operator{Failed: failed, Work: &testenv.Messages{}, Store: store}
	var found []operate.FailedTask
	drop := func(f operate.FailedTask) error { found = append(found, f); return operator.Drop(t.Context(), f) }
	for range 2 { // again: it is dropped already
		must(t, drop(inFailed(t, operator)[0]))
		is(catalog.Dropped, "publish")
	}
	if f := found[0]; f.Task != "publish" || f.Job != last.Job || f.Tasks[0] != last {
		t.Errorf("in the failed queue: %+v", f)
	}
	must(t, operator.Resume(t.Context(), last.Job, true))
	is(catalog.Working, "")
	store.Put(first, good)
	must(t, p.Do(t.Context(), last, nil))
	is(catalog.Published, "")
}

// A message may leave out bucket and version: its failure is noted with the job that it
// became all the same.
func TestFailureIsNotedWithItsJob(t *testing.T) {
	for name, task := range map[string]job.Task{
		"no version": {Kind: job.Recording, Key: smallTask.Key, Profile: "stitch"},
		"no bucket":  {Kind: job.Recording, Key: smallTask.Key, ETag: smallTask.Key + "#1", Profile: "stitch"},
	} {
		store := testenv.NewMemory()
		store.Put(smallTask.Key, []byte("Dear diary"))
		p := newPipeline(t, store, &testenv.Messages{}, "")
		p.Bucket = "recs"
		failed := givenUp(t, p, task, p.Do)
		id := job.ID("recs", task.Key, store.ETag(task.Key), "stitch")
		if s, err := catalog.Look(t.Context(), store, id); err != nil || s.State != catalog.Failed || s.Reason != "not_flv" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		f := inFailed(t, operate.Operator{Failed: failed, Store: store, Bucket: "recs"})[0]
		if f.Job != id || f.Task != "recording" {
			t.Errorf("%s: in the failed queue as %s of %s, want %s", name, f.Task, f.Job, id)
		}
	}
}

// What ffmpeg said is kept where it ended well, but its output is bad: it is the only
// witness.
func TestLastWordsOfBadOutput(t *testing.T) {
	for name, program := range map[string]string{
		"nothing is written":   `cat >/dev/null; echo "[error] no frame fits" >&2`,
		"a segment is garbage": `echo "[error] no frame fits" >&2; for f in */*/; do echo garbage >$f/init.mp4; done; cat >/dev/null`,
	} {
		p, _, queue := newSmall(t, smallRecording(t))
		must(t, p.Do(t.Context(), smallTask, nil))
		p.FFmpeg = script(t, program)
		for _, body := range queue.Bodies() {
			tasks, err := job.Parse([]byte(body))
			must(t, err)
			err = p.Do(t.Context(), tasks[0], nil)
			if reason, _ := job.Verdict(err); reason != "bad_output" || !strings.Contains(job.LastWords(err), "[error] no frame fits") {
				t.Errorf("%s: %s: %s, %v, ffmpeg said %q", name, tasks[0].Name(), reason, err, job.LastWords(err))
			}
		}
	}
}
