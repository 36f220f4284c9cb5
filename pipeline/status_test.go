package pipeline

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"afterlive/internal/flv"
	"afterlive/internal/job"
	"afterlive/ladder"
)

// What is in the store of a job decides its state.
func TestStates(t *testing.T) {
	const id, other = "0123456789abcdef", "fedcba9876543210"
	at := time.Unix(1_800_000_000, 0).UTC()
	plan := &ladder.Plan{Version: 1, Job: id, Asset: "talk", Created: at, Rate: flv.Rate{Num: 25, Den: 1}, Audio: &ladder.Audio{Loudness: -16}}
	end := &ladder.End{Version: 1, Duration: 20, Chunks: []ladder.Span{{From: 0, To: 250}, {From: 250, To: 500}}}
	message := job.Task{Kind: job.Recording, Key: "recordings/talk.flv", Profile: "mine"}.Body()
	failed := func(task, reason string) note {
		return note{Failure: job.Failure{Job: id, Task: task, Reason: reason, Source: "recordings/talk.flv", Message: message, Time: at.Add(time.Minute)}}
	}
	dropped := func(task, reason string) note {
		n := failed(task, reason)
		n.Dropped = at.Add(time.Hour)
		return n
	}
	all := []string{"chunk-00000", "chunk-00001", "audio-00000", "audio-00001"}
	for _, tc := range []struct {
		name    string
		parts   []string
		notes   []note
		pointer ladder.Asset
		want    State
		reason  string // and the task
	}{
		{"planned", nil, nil, ladder.Asset{}, Working, ""},
		{"a part failed", all[:1], []note{failed("audio-00001", "stalled")}, ladder.Asset{}, Failed, "audio-00001 stalled"},
		{"a part failed, and its copy was done", all[:2], []note{failed("chunk-00000", "stalled")}, ladder.Asset{}, Working, ""},
		{"its recording failed while it was sent", all[:1], []note{failed("recording", "error")}, ladder.Asset{}, Failed, "recording error"},
		{"that, and all came in all the same", all, []note{failed("recording", "error")}, ladder.Asset{}, Working, ""},
		{"about to be published", all, nil, ladder.Asset{}, Working, ""},
		{"refused at publishing", all, []note{failed("publish", "hls_rules")}, ladder.Asset{}, Failed, "publish hls_rules"},
		{"refused, and another job is the asset", all, []note{failed("publish", "hls_rules")}, ladder.Asset{Job: other, Planned: at.Add(time.Hour)}, Failed, "publish hls_rules"},
		{"refused once, published since", all, []note{failed("publish", "error")}, ladder.Asset{Job: id}, Published, ""},
		{"a part was dropped", all[:2], []note{dropped("audio-00001", "stalled")}, ladder.Asset{}, Dropped, "audio-00001 stalled"},
		{"dropped, and failed again since", all[:2], []note{dropped("audio-00001", "stalled"), func() note {
			n := failed("audio-00001", "too_slow")
			n.Time = at.Add(2 * time.Hour)
			return n
		}()}, ladder.Asset{}, Failed, "audio-00001 too_slow"},
		{"one was dropped, another is to be replayed", all[:1], []note{dropped("audio-00001", "stalled"), failed("chunk-00001", "too_slow")}, ladder.Asset{}, Failed, "chunk-00001 too_slow"},
		{"dropped, but made by a copy", all, []note{dropped("audio-00001", "stalled")}, ladder.Asset{Job: id}, Published, ""},
		{"its publishing was dropped", all, []note{dropped("publish", "parts_differ")}, ladder.Asset{}, Dropped, "publish parts_differ"},
		{"superseded", all, nil, ladder.Asset{Job: other, Planned: at.Add(time.Second)}, Superseded, ""},
		{"another was chosen", all, nil, ladder.Asset{Job: other, Planned: at.Add(-time.Hour), Chosen: at.Add(time.Hour)}, Superseded, ""},
		{"it will supersede", all, nil, ladder.Asset{Job: other, Planned: at.Add(-time.Hour), Chosen: at.Add(-time.Minute)}, Working, ""},
		{"it comes in late", all[:1], nil, ladder.Asset{Job: other, Planned: at.Add(time.Hour)}, Working, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := newMemory()
			store.put(ladder.PlanKey(id), mustJSON(plan))
			store.put(ladder.EndKey(id), mustJSON(end))
			for _, name := range tc.parts {
				store.put(ladder.PartKey(id, name), mustJSON(ladder.Part{Name: name}))
			}
			for _, n := range tc.notes {
				key := ladder.FailureKey(id, n.Task, n.Time)
				if !n.Dropped.IsZero() {
					key = ladder.DroppedKey(id, n.Task)
				}
				store.put(key, mustJSON(n))
			}
			if tc.pointer.Job != "" {
				store.put(ladder.PointerKey("talk"), mustJSON(tc.pointer))
			}
			s, err := JobStatus(t.Context(), store, id)
			if got := strings.TrimSpace(s.Task + " " + s.Reason); err != nil || s.State != tc.want || got != tc.reason {
				t.Errorf("%s (%s), want %s (%s): %v", s.State, got, tc.want, tc.reason, err)
			}
			if s.Done != len(tc.parts) || s.Parts != 4 || s.Published != tc.pointer.Job {
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("never planned", func(t *testing.T) {
		store := newMemory()
		for _, n := range []note{failed("recording", "not_flv"), dropped("recording", "not_flv")} {
			key := map[State]string{Failed: ladder.FailureKey(id, n.Task, n.Time), Dropped: ladder.DroppedKey(id, n.Task)}[n.state()]
			store.put(key, mustJSON(n))
			s, err := JobStatus(t.Context(), store, id)
			if err != nil || s.State != n.state() || s.Asset != "talk" || s.Profile != "mine" || s.Reason != "not_flv" {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}

// A job that is refused at publishing is a failed one, of its own task; dropped, it is told
// so; sent again, it is at work again.
func TestRefusedPublication(t *testing.T) {
	p, store, last := allButLast(t)
	first := ladder.PartKey(last.Job, ladder.ChunkPart(0))
	good, _, err := store.get(first)
	must(t, err)
	store.put(first, bytes.ReplaceAll(good, []byte(`"init": "init-`), []byte(`"init": "other-`)))
	failed := &messages{}
	w := &Worker{Queue: &messages{}, Failed: failed, Note: p.NoteFailure, Metrics: p.Metrics, Log: p.Log}
	err = p.Do(t.Context(), last, nil)
	w.settle(t.Context(), settlement{d: &job.Delivery{Body: last.Body()}, tasks: []job.Task{last}, hold: &Hold{}, err: err})

	is := func(want State, task string) Status {
		t.Helper()
		now, err := JobStatus(t.Context(), store, last.Job)
		if err != nil || now.State != want || now.Task != task || now.Done != now.Parts {
			t.Errorf("%+v, %v, want %s", now, err, want)
		}
		return now
	}
	if now := is(Failed, "publish"); now.Reason != "parts_differ" || !strings.Contains(now.Detail, "publish: assemble job") {
		t.Errorf("%+v", now)
	}
	operator := Operator{Failed: failed, Work: &messages{}, Store: store}
	var found []FailedTask
	drop := func(f FailedTask) error { found = append(found, f); return operator.Drop(t.Context(), f) }
	for range 2 { // again: it is dropped already
		f := operator.read(t.Context(), []byte(failed.bodies()[0]))
		must(t, drop(f))
		is(Dropped, "publish")
	}
	if f := found[0]; f.Task != "publish" || f.Job != last.Job || f.Tasks[0] != last {
		t.Errorf("in the failed queue: %+v", f)
	}
	must(t, operator.Resume(t.Context(), last.Job, true))
	is(Working, "")
	store.put(first, good)
	must(t, p.Do(t.Context(), last, nil))
	is(Published, "")
}

// A message may leave out bucket and version: its failure is noted with the job that it
// became all the same.
func TestFailureIsNotedWithItsJob(t *testing.T) {
	for name, task := range map[string]job.Task{
		"no version": {Kind: job.Recording, Key: smallTask.Key, Profile: "stitch"},
		"no bucket":  {Kind: job.Recording, Key: smallTask.Key, ETag: smallTask.Key + "#1", Profile: "stitch"},
	} {
		store, failed := newMemory(), &messages{}
		store.put(smallTask.Key, []byte("Dear diary"))
		p := newPipeline(t, store, &messages{}, "")
		p.Bucket = "recs"
		w := &Worker{Queue: &messages{}, Failed: failed, Note: p.NoteFailure, Metrics: p.Metrics, Log: p.Log}
		hold := &Hold{}
		err := p.Do(t.Context(), task, hold)
		w.settle(t.Context(), settlement{d: &job.Delivery{Body: task.Body()}, tasks: []job.Task{task}, hold: hold, err: err})
		id := job.ID("recs", task.Key, store.etag(task.Key), "stitch")
		if s, err := JobStatus(t.Context(), store, id); err != nil || s.State != Failed || s.Reason != "not_flv" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		f := Operator{Failed: failed, Store: store, Bucket: "recs"}.read(t.Context(), []byte(failed.bodies()[0]))
		if f.Job != id || f.Task != "recording" {
			t.Errorf("%s: in the failed queue as %s of %s, want %s", name, f.Task, f.Job, id)
		}
	}
}

// What ffmpeg said is kept where it ended well, but its output is bad: it is the only
// witness.
func TestLastWordsOfBadOutput(t *testing.T) {
	for name, program := range map[string]string{
		"nothing is written":   `cat >/dev/null; echo "[error] no picture fits" >&2`,
		"a segment is garbage": `echo "[error] no picture fits" >&2; for f in */*/; do echo garbage >$f/init.mp4; done; cat >/dev/null`,
	} {
		p, _, queue := newSmall(t, smallRecording(t))
		must(t, p.Do(t.Context(), smallTask, nil))
		p.FFmpeg = script(t, program)
		for _, body := range queue.bodies() {
			tasks, err := job.Parse([]byte(body))
			must(t, err)
			err = p.Do(t.Context(), tasks[0], nil)
			if reason, _ := job.Verdict(err); reason != "bad_output" || !strings.Contains(job.LastWords(err), "[error] no picture fits") {
				t.Errorf("%s: %s: %s, %v, ffmpeg said %q", name, tasks[0].Name(), reason, err, job.LastWords(err))
			}
		}
	}
}
