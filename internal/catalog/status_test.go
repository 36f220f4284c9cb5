package catalog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// What is in the store of a job decides its state.
func TestStates(t *testing.T) {
	const id, other = "0123456789abcdef", "fedcba9876543210"
	at := time.Unix(1_800_000_000, 0).UTC()
	plan := &ladder.Plan{Version: 1, Job: id, Asset: "talk", Created: at, Rate: flv.Rate{Num: 25, Den: 1}, Audio: &ladder.Audio{Loudness: -16}}
	end := &ladder.End{Version: 1, Duration: 20, Chunks: []ladder.Span{{From: 0, To: 250}, {From: 250, To: 500}}}
	message := job.Task{Kind: job.Recording, Key: "recordings/talk.flv", Profile: "mine"}.Body()
	failed := func(task, reason string) ledger.Note {
		return ledger.Note{Failure: job.Failure{Job: id, Task: task, Reason: reason, Source: "recordings/talk.flv", Message: message, Time: at.Add(time.Minute)}}
	}
	dropped := func(task, reason string) ledger.Note {
		n := failed(task, reason)
		n.Dropped = at.Add(time.Hour)
		return n
	}
	all := []string{"chunk-00000", "chunk-00001", "audio-00000", "audio-00001"}
	for _, tc := range []struct {
		name    string
		parts   []string
		notes   []ledger.Note
		pointer ladder.Asset
		want    State
		reason  string // and the task
	}{
		{"planned", nil, nil, ladder.Asset{}, Working, ""},
		{"a part failed", all[:1], []ledger.Note{failed("audio-00001", "stalled")}, ladder.Asset{}, Failed, "audio-00001 stalled"},
		{"a part failed, and its copy was done", all[:2], []ledger.Note{failed("chunk-00000", "stalled")}, ladder.Asset{}, Working, ""},
		{"its recording failed while it was sent", all[:1], []ledger.Note{failed("recording", "error")}, ladder.Asset{}, Failed, "recording error"},
		{"that, and all came in all the same", all, []ledger.Note{failed("recording", "error")}, ladder.Asset{}, Working, ""},
		{"about to be published", all, nil, ladder.Asset{}, Working, ""},
		{"refused at publishing", all, []ledger.Note{failed("publish", "hls_rules")}, ladder.Asset{}, Failed, "publish hls_rules"},
		{"refused, and another job is the asset", all, []ledger.Note{failed("publish", "hls_rules")}, ladder.Asset{Job: other, Planned: at.Add(time.Hour)}, Failed, "publish hls_rules"},
		{"refused once, published since", all, []ledger.Note{failed("publish", "error")}, ladder.Asset{Job: id}, Published, ""},
		{"a part was dropped", all[:2], []ledger.Note{dropped("audio-00001", "stalled")}, ladder.Asset{}, Dropped, "audio-00001 stalled"},
		{"dropped, and failed again since", all[:2], []ledger.Note{dropped("audio-00001", "stalled"), func() ledger.Note {
			n := failed("audio-00001", "too_slow")
			n.Time = at.Add(2 * time.Hour)
			return n
		}()}, ladder.Asset{}, Failed, "audio-00001 too_slow"},
		{"one was dropped, another is to be replayed", all[:1], []ledger.Note{dropped("audio-00001", "stalled"), failed("chunk-00001", "too_slow")}, ladder.Asset{}, Failed, "chunk-00001 too_slow"},
		{"dropped, but made by a copy", all, []ledger.Note{dropped("audio-00001", "stalled")}, ladder.Asset{Job: id}, Published, ""},
		{"its publishing was dropped", all, []ledger.Note{dropped("publish", "parts_differ")}, ladder.Asset{}, Dropped, "publish parts_differ"},
		{"superseded", all, nil, ladder.Asset{Job: other, Planned: at.Add(time.Second)}, Superseded, ""},
		{"another was chosen", all, nil, ladder.Asset{Job: other, Planned: at.Add(-time.Hour), Chosen: at.Add(time.Hour)}, Superseded, ""},
		{"it will supersede", all, nil, ladder.Asset{Job: other, Planned: at.Add(-time.Hour), Chosen: at.Add(-time.Minute)}, Working, ""},
		{"it comes in late", all[:1], nil, ladder.Asset{Job: other, Planned: at.Add(time.Hour)}, Working, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := testenv.NewMemory()
			store.Put(ladder.PlanKey(id), mustJSON(plan))
			store.Put(ladder.EndKey(id), mustJSON(end))
			for _, name := range tc.parts {
				store.Put(ladder.PartKey(id, name), mustJSON(ladder.Part{Name: name}))
			}
			for _, n := range tc.notes {
				key := ladder.FailureKey(id, n.Task, n.Time)
				if !n.Dropped.IsZero() {
					key = ladder.DroppedKey(id, n.Task)
				}
				store.Put(key, mustJSON(n))
			}
			if tc.pointer.Job != "" {
				store.Put(ladder.PointerKey("talk"), mustJSON(tc.pointer))
			}
			s, err := Look(t.Context(), store, id)
			if got := strings.TrimSpace(s.Task + " " + s.Reason); err != nil || s.State != tc.want || got != tc.reason {
				t.Errorf("%s (%s), want %s (%s): %v", s.State, got, tc.want, tc.reason, err)
			}
			if s.Done != len(tc.parts) || s.Parts != 4 || s.Published != tc.pointer.Job {
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("never planned", func(t *testing.T) {
		store := testenv.NewMemory()
		for _, n := range []ledger.Note{failed("recording", "not_flv"), dropped("recording", "not_flv")} {
			key := map[State]string{Failed: ladder.FailureKey(id, n.Task, n.Time), Dropped: ladder.DroppedKey(id, n.Task)}[stateBy(n)]
			store.Put(key, mustJSON(n))
			s, err := Look(t.Context(), store, id)
			if err != nil || s.State != stateBy(n) || s.Asset != "talk" || s.Profile != "mine" || s.Reason != "not_flv" {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}

func mustJSON(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return body
}
