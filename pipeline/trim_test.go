package pipeline

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// A trimmed recording has exactly the frames that are left, from the one that is shown at its new beginning, and the audio of their time.
func TestTrim(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	for _, tc := range []struct {
		spec
		start, end time.Duration
	}{
		{spec{rate: flv.Rate{Num: 25, Den: 1}, seconds: 20, gop: 2, bframes: 2}, 7400 * time.Millisecond, 3200 * time.Millisecond},
		{spec{rate: flv.Rate{Num: 30000, Den: 1001}, seconds: 16, gop: 3}, 5017 * time.Millisecond, 0}, // between two frames
		{spec{rate: flv.Rate{Num: 25, Den: 1}, seconds: 16, gop: 2, bframes: 2, open: true, jitter: true}, 0, 4 * time.Second},
		{spec{rate: flv.Rate{Num: 25, Den: 1}, seconds: 16, gop: 8, bframes: 2, late: 2}, 6 * time.Second, 5 * time.Second},
	} {
		t.Run(fmt.Sprint(tc.spec, tc.start, tc.end), func(t *testing.T) {
			recording, err := os.ReadFile(tc.make(t, 1))
			must(t, err)
			c := toClip(t, smallTask.Key, recording, fmt.Sprintf(stitchProfile, 6), "stitch")
			_, address := c.check(t, c.job)
			whole := numbers(t, address+"/flat/"+c.job.Ladders[0].Renditions[0].Name+"/index.m3u8")
			heard := beeps(t, address+"/audio/aac/index.m3u8", packets(t, address+"/audio/aac/index.m3u8", "a")[0].PTS)
			task := job.Task{Kind: job.Recording, Key: smallTask.Key, ETag: c.store.ETag(smallTask.Key), Profile: "stitch", Trim: job.Trim{Start: tc.start.Milliseconds(), End: tc.end.Milliseconds()}}
			must(t, c.Do(t.Context(), task, nil))
			drain(t, c.Pipeline, c.queue)
			got := c.published(t, c.asset)
			if got.Job != task.JobID() {
				t.Errorf("the job is %s, its task says %s", got.Job, task.JobID())
			}
			_, address = c.check(t, got)
			list := address + "/flat/" + got.Ladders[0].Renditions[0].Name + "/index.m3u8"
			checkTrack(t, got, packets(t, list, "v"))
			all := numbers(t, list)
			first := got.Rate.Frame(tc.start)
			if want := len(whole) - first - got.Rate.Frame(tc.end); len(all) < want-1 || len(all) > want+1 { // ends are rounded to frames
				t.Errorf("%d frames, not %d", len(all), want)
			}
			if !slices.Equal(all, whole[first:min(len(whole), first+len(all))]) {
				t.Errorf("its frames are the recording's %v, the whole has %v", all, whole[first:])
			}
			audio := address + "/audio/aac/index.m3u8"
			later := got.Rate.Time(first).Seconds()
			for _, at := range beeps(t, audio, packets(t, audio, "a")[0].PTS) {
				if !slices.ContainsFunc(heard, func(s float64) bool { return math.Abs(s-at-later) < 0.005 }) && at > ladder.StartOffset+0.1 {
					t.Errorf("a beep comes at %f, in the whole they are at %v", at+later, heard)
				}
			}
			var asset ladder.Asset
			_, err = ledger.Load(t.Context(), c.store, ladder.PointerKey(c.asset), &asset)
			must(t, err)
			if len(asset.Missing) > 0 || asset.Trimmed == nil || asset.Trimmed.Start != tc.start.Seconds() || asset.Trimmed.End != tc.end.Seconds() {
				t.Errorf("missing %+v, trimmed %+v", asset.Missing, asset.Trimmed)
			}
			c.job = got
			_, clip := c.clip(t, ClipWish{From: 2 * time.Second, To: 5 * time.Second, As: "clip"})
			_, address = c.check(t, clip)
			part := numbers(t, address+"/flat/"+got.Ladders[0].Renditions[0].Name+"/index.m3u8")
			if from := got.Rate.Frame(2 * time.Second); !slices.Equal(part, all[from:from+len(part)]) {
				t.Errorf("a clip of it has frames %v", part)
			}
		})
	}
}

// What cannot be trimmed so is refused in plain words. Nothing of what was published before is touched.
func TestTrimRefused(t *testing.T) {
	recording := streamed(t, "25", 4, 0)
	for name, trim := range map[string]job.Trim{"nothing is left": {Start: 3000, End: 2000}, "negative": {Start: -1}} {
		t.Run(name, func(t *testing.T) {
			store, queue := testenv.NewMemory(), &testenv.Messages{}
			store.Put(smallTask.Key, recording)
			p := newPipeline(t, store, queue, recordedProfile)
			task := job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: "recorded", Trim: trim}
			if trim.Start < 0 {
				if _, err := job.Parse(task.Body()); err == nil {
					t.Error("it is a message")
				}
				return
			}
			if reason, final := job.Verdict(p.Do(t.Context(), task, nil)); reason != string(flv.ZeroDuration) || !final {
				t.Errorf("reason %s, final %t", reason, final)
			}
		})
	}
	f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
	for _, piece := range growsFor(t, 8)[:1] {
		f.grow(t, piece, false)
	}
	p := newPipeline(t, f.store, f.queue, recordedProfile)
	task := job.Task{Kind: job.Recording, Key: "recordings/live/talk.flv", Profile: "recorded", Trim: job.Trim{Start: 1000}}
	if reason, _ := job.Verdict(p.Do(t.Context(), task, nil)); reason != "bad_message" {
		t.Errorf("a recording that grows: %s", reason)
	}
}

// A title comes with the recording's message, or from an operator, and stays when another job takes the place of what was published.
func TestTitleStays(t *testing.T) {
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(smallTask.Key, streamed(t, "25", 4, 0))
	p := newPipeline(t, store, queue, recordedProfile)
	for n, tc := range []struct{ sent, operator, want string }{
		{"", "", ""},
		{"A talk", "", "A talk"},
		{"", "", "A talk"},
		{"", "The talk", "The talk"},
		{"", "", "The talk"},
		{"again", "", "The talk"}, // what was published before, with its own title, is published again
		{"Another", "", "Another"},
		{"", "none", ""},
		{"", "", ""},
	} {
		switch {
		case tc.operator != "":
			must(t, operate.Operator{Store: store}.Entitle(t.Context(), job.Asset(smallTask.Key), strings.TrimSuffix(tc.operator, "none")))
		case tc.sent == "again":
			task := job.Task{Kind: job.Recording, Key: smallTask.Key, ETag: store.ETag(smallTask.Key), Profile: "recorded", Trim: job.Trim{Start: 40}}
			_, _, err := PublishAgain(t.Context(), store, task.JobID())
			must(t, err)
		default: // another trim is another job
			task := job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: "recorded", Title: tc.sent, Trim: job.Trim{Start: int64(40 * n)}}
			must(t, p.Do(t.Context(), task, nil))
			drain(t, p, queue)
		}
		var asset ladder.Asset
		_, err := ledger.Load(t.Context(), store, ladder.PointerKey(job.Asset(smallTask.Key)), &asset)
		must(t, err)
		if asset.Title != tc.want {
			t.Errorf("%d: its title is %q, not %q", n, asset.Title, tc.want)
		}
	}
}

// A title also comes to a job that was planned, or published, before it: by the bucket's own notification, say. Once.
func TestTitleComesLater(t *testing.T) {
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(smallTask.Key, streamed(t, "25", 4, 0))
	p := newPipeline(t, store, queue, recordedProfile)
	task := job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: "recorded"}
	title := func(want string) {
		t.Helper()
		must(t, p.Do(t.Context(), task, nil))
		drain(t, p, queue)
		var asset ladder.Asset
		_, err := ledger.Load(t.Context(), store, ladder.PointerKey(job.Asset(smallTask.Key)), &asset)
		must(t, err)
		if asset.Title != want {
			t.Errorf("its title is %q, not %q", asset.Title, want)
		}
	}
	title("")
	task.Title = "A talk"
	title("A talk")
	must(t, operate.Operator{Store: store}.Entitle(t.Context(), job.Asset(smallTask.Key), "The talk"))
	title("The talk") // the message comes again
	task.Title = "Another"
	title("Another")
}

// What a bucket tells of is made as its sender wants it, whichever message comes first; another recording in its place is not.
func TestBucketTellsFirst(t *testing.T) {
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	recording := streamed(t, "25", 4, 0)
	sent := job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: "recorded", Title: "A talk", Trim: job.Trim{Start: 1000}}
	must(t, NoteWish(t.Context(), store, sent, int64(len(recording)+1))) // of an upload that was broken off
	must(t, NoteWish(t.Context(), store, sent, int64(len(recording))))
	store.Put(smallTask.Key, recording)
	sent.ETag = store.ETag(smallTask.Key)
	p := newPipeline(t, store, queue, recordedProfile)
	told := job.Task{Kind: job.Recording, Key: smallTask.Key, ETag: sent.ETag, Notified: true}
	must(t, p.Do(t.Context(), told, nil))
	if plan := onlyPlan(t, store); plan.Job != sent.JobID() || plan.Profile != "recorded" || plan.Trim.Start != time.Second {
		t.Errorf("planned %+v", plan.Plan)
	}
	if done, err := p.Done(t.Context(), told); err != nil || !done {
		t.Errorf("its task is done: %t, %v", done, err)
	}
	must(t, p.Do(t.Context(), sent, nil))
	drain(t, p, queue)
	var asset ladder.Asset
	_, err := ledger.Load(t.Context(), store, ladder.PointerKey(job.Asset(smallTask.Key)), &asset)
	must(t, err)
	if jobs, err := catalog.Of(t.Context(), store, job.Asset(smallTask.Key)); err != nil || len(jobs) != 1 || asset.Title != "A talk" || asset.Trimmed == nil {
		t.Errorf("%d jobs, %v; published %+v", len(jobs), err, asset)
	}
	if w, err := p.wished(t.Context(), told); err != nil || w.Trim != sent.Trim {
		t.Errorf("%+v, %v", w, err)
	}
	store.Put(smallTask.Key, append(recording, 0))
	if w, err := p.wished(t.Context(), told); err != nil || w != told {
		t.Errorf("for another recording: %+v, %v", w, err)
	}
}

// Damage that is trimmed away is none.
func TestDamageIsTrimmedAway(t *testing.T) {
	recording := source{seconds: 40, audio: aacAudio, size: "160x90"}.make(t)
	for i := len(recording) / 20; i < len(recording)/5; i++ {
		recording[i] = 0xff
	}
	for _, tc := range []struct {
		trim   job.Trim
		reason string
	}{
		{job.Trim{}, string(ladder.ReasonTime)},
		{job.Trim{End: 2000}, string(ladder.ReasonTime)},
		{job.Trim{Start: 25_000}, ""},
	} {
		store, queue := testenv.NewMemory(), &testenv.Messages{}
		store.Put(smallTask.Key, recording)
		p := newPipeline(t, store, queue, recordedProfile)
		err := p.Do(t.Context(), job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: "recorded", Trim: tc.trim}, nil)
		if reason, _ := job.Verdict(err); err != nil && reason != tc.reason || err == nil && tc.reason != "" {
			t.Errorf("%+v: %v, want %q", tc.trim, err, tc.reason)
		}
		if err != nil {
			continue
		}
		drain(t, p, queue)
		var asset ladder.Asset
		_, err = ledger.Load(t.Context(), store, ladder.PointerKey(job.Asset(smallTask.Key)), &asset)
		must(t, err)
		if len(asset.Missing) > 0 || asset.Duration < 5 { // where it was damaged, the timeline is closed up
			t.Errorf("missing %+v, %f s", asset.Missing, asset.Duration)
		}
	}
}
