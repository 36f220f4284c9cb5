package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// aged puts a job into a store that was planned some time ago: published, failed, working, or superseded by one that was planned a moment later.
func aged(t *testing.T, store *testenv.Memory, n int, days float64, state catalog.State) {
	t.Helper()
	put := func(key string, v any) {
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		store.Put(key, body)
	}
	asset := fmt.Sprintf("live/%s-%d", state, n)
	at := time.Now().Add(-time.Duration(days * 24 * float64(time.Hour))).UTC()
	add := func(id string, at time.Time, done bool) {
		plan := &ladder.Plan{Version: ladder.PlanVersion, Job: id, Asset: asset, Created: at, Rate: flv.Rate{Num: 25, Den: 1}}
		plan.Recording.Key = job.Prefix + asset + ".flv"
		put(ladder.PlanKey(id), plan)
		put(ladder.EndKey(id), ladder.End{Version: 1, Chunks: []ladder.Span{{From: 0, To: 250}}})
		put(plan.Key("flat", "s00000-x.m4s"), "x")
		put(plan.Recording.Key, "x")
		put(plan.Recording.Key+".x.index.json", "x")
		if done {
			put(ladder.PartKey(id, ladder.ChunkPart(0)), ladder.Part{Version: 1, Name: ladder.ChunkPart(0)})
		}
	}
	id := fmt.Sprintf("%016x", n)
	add(id, at, state == catalog.Published || state == catalog.Superseded)
	switch state {
	case catalog.Published:
		put(ladder.PointerKey(asset), ladder.Asset{Version: 1, Job: id, Planned: at})
	case catalog.Superseded:
		later := fmt.Sprintf("%016x", n+1000)
		add(later, at.Add(time.Second), true)
		put(ladder.PointerKey(asset), ladder.Asset{Version: 1, Job: later, Planned: at.Add(time.Second)})
		if _, err := catalog.Refresh(t.Context(), store, later); err != nil {
			t.Fatal(err)
		}
	case catalog.Failed:
		f := job.Failure{Job: id, Task: ladder.ChunkPart(0), Reason: "stalled", Time: at}
		put(ladder.FailureKey(id, f.Task, f.Time), ledger.Note{Failure: f})
	}
	if _, err := catalog.Refresh(t.Context(), store, id); err != nil {
		t.Fatal(err)
	}
}

// What is older than it is to be goes; what has failed or is at work stays, with its recording, as does all that nothing is said of.
func TestPrune(t *testing.T) {
	const day = ladder.Age(24 * time.Hour)
	for _, tc := range []struct {
		name string
		ages ladder.Keep
		gone []string // keys that contain one of these
	}{
		{"recordings", ladder.Keep{Recordings: 7 * day}, []string{"recordings/live/published-2", "recordings/live/published-3", "recordings/live/superseded-6"}},
		{"assets", ladder.Keep{Assets: 90 * day}, []string{"vod/live/published-3", "0000000000000003"}},
		{"assets and recordings", ladder.Keep{Assets: 90 * day, Recordings: 90 * day}, []string{"vod/live/published-3", "0000000000000003", "recordings/live/published-3"}},
		{"superseded", ladder.Keep{Superseded: 1}, []string{"0000000000000006"}},
		{"nothing is so old", ladder.Keep{Recordings: 1000 * day, Superseded: 1000 * day, Assets: 1000 * day}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := testenv.NewMemory()
			for n, days := range []float64{0, 1, 30, 100} {
				aged(t, store, n, days, catalog.Published)
			}
			aged(t, store, 4, 100, catalog.Failed)
			aged(t, store, 5, 100, catalog.Working)
			aged(t, store, 6, 30, catalog.Superseded)
			o := Operator{Store: store}
			before := slices.Sorted(maps.Keys(store.Objects))
			run := func(dry bool) (told int) {
				if err := o.Prune(t.Context(), store, tc.ages, dry, func(p Pruned) {
					told++
					if p.Err != nil {
						t.Errorf("%s of %s: %v", p.What, p.Status.Asset, p.Err)
					}
				}); err != nil {
					t.Fatal(err)
				}
				return told
			}
			would := run(true)
			if now := slices.Sorted(maps.Keys(store.Objects)); !slices.Equal(now, before) {
				t.Error("a dry run removes")
			}
			if did := run(false); did != would || did == 0 != (len(tc.gone) == 0) {
				t.Errorf("it would remove %d, and removed %d", would, did)
			}
			for _, key := range before {
				if strings.HasPrefix(key, catalog.Outbox) {
					continue
				}
				want := !slices.ContainsFunc(tc.gone, func(part string) bool { return strings.Contains(key, part) })
				if _, _, err := store.Get(key); (err == nil) != want {
					t.Errorf("%s is there: %t", key, err == nil)
				}
			}
			if again := run(false); again != 0 {
				t.Errorf("again, %d are removed", again)
			}
		})
	}
	wrong := ladder.Keep{Assets: day, Recordings: 2 * day}
	if err := (Operator{}).Prune(t.Context(), nil, wrong, true, func(Pruned) {}); err == nil {
		t.Errorf("%+v is taken", wrong)
	}
}

// What a recording's profile says counts before what prune is told.
func TestPruneByProfile(t *testing.T) {
	const day = ladder.Age(24 * time.Hour)
	for _, tc := range []struct {
		profile, told ladder.Keep
		gone          []string
	}{
		{ladder.Keep{Recordings: 7 * day}, ladder.Keep{}, []string{prunedRecording}},
		{ladder.Keep{Assets: 20 * day}, ladder.Keep{Recordings: 7 * day}, []string{prunedAsset}},
		{ladder.Keep{Recordings: 40 * day}, ladder.Keep{Recordings: 7 * day}, nil},
		{ladder.Keep{Recordings: 40 * day, Assets: 50 * day}, ladder.Keep{Assets: 7 * day}, nil},
		{ladder.Keep{}, ladder.Keep{}, nil},
	} {
		store := testenv.NewMemory()
		aged(t, store, 1, 30, catalog.Published)
		id := fmt.Sprintf("%016x", 1)
		plan, err := ledger.Plan(t.Context(), store, id)
		must(t, err)
		plan.Keep = tc.profile
		body, err := json.Marshal(plan)
		must(t, err)
		store.Put(ladder.PlanKey(id), body)
		_, err = catalog.Refresh(t.Context(), store, id)
		must(t, err)
		var gone []string
		must(t, Operator{Store: store}.Prune(t.Context(), store, tc.told, false, func(p Pruned) { gone = append(gone, p.What) }))
		if !slices.Equal(gone, tc.gone) {
			t.Errorf("profile %+v, told %+v: %v are removed, not %v", tc.profile, tc.told, gone, tc.gone)
		}
	}
}

// A recording stays as long as one of its jobs keeps it, and what a plan says counts where its note lacks it. Nothing is left to which nothing leads.
func TestPruneKeepsForEachJob(t *testing.T) {
	const day = ladder.Age(24 * time.Hour)
	setKeep := func(store *testenv.Memory, id string, keep ladder.Keep, noted bool) {
		t.Helper()
		plan, err := ledger.Plan(t.Context(), store, id)
		must(t, err)
		plan.Keep = keep
		body, err := json.Marshal(plan)
		must(t, err)
		store.Put(ladder.PlanKey(id), body)
		if noted {
			_, err = catalog.Refresh(t.Context(), store, id)
			must(t, err)
		}
	}
	prune := func(store *testenv.Memory, keep ladder.Keep) (gone []string) {
		t.Helper()
		must(t, Operator{Store: store}.Prune(t.Context(), store, keep, false, func(p Pruned) {
			if p.Err == nil {
				gone = append(gone, p.What)
			}
		}))
		return gone
	}
	store := testenv.NewMemory()
	aged(t, store, 6, 2, catalog.Superseded)
	setKeep(store, fmt.Sprintf("%016x", 6), ladder.Keep{Recordings: day}, true)
	setKeep(store, fmt.Sprintf("%016x", 1006), ladder.Keep{Recordings: 90 * day}, true)
	if gone := prune(store, ladder.Keep{}); len(gone) > 0 {
		t.Errorf("the published job keeps its recording, and %v are removed", gone)
	}
	store = testenv.NewMemory()
	aged(t, store, 1, 10, catalog.Published)
	setKeep(store, fmt.Sprintf("%016x", 1), ladder.Keep{Recordings: 90 * day}, false)
	if gone := prune(store, ladder.Keep{Recordings: 7 * day}); len(gone) > 0 {
		t.Errorf("the plan keeps it, its note doesn't say so, and %v are removed", gone)
	}
	store = testenv.NewMemory()
	aged(t, store, 1, 10, catalog.Published)
	setKeep(store, fmt.Sprintf("%016x", 1), ladder.Keep{Assets: 7 * day}, true)
	if gone := prune(store, ladder.Keep{Recordings: 30 * day}); len(gone) > 0 {
		t.Errorf("its recording is kept longer, and %v are removed", gone)
	}
}

// If making way is broken off, the older job no longer leads to the recording's name.
func TestMakeWay(t *testing.T) {
	store := testenv.NewMemory()
	aged(t, store, 1, 10, catalog.Published)
	const asset, key = "live/published-1", "recordings/live/published-1.flv"
	o := Operator{Store: store}
	if err := o.MakeWay(t.Context(), broken{store}, asset, key); err == nil {
		t.Error("the recording cannot be removed, and nobody says so")
	}
	store.Put(key, []byte("another"))
	must(t, o.Prune(t.Context(), store, ladder.Keep{Recordings: ladder.Age(7 * 24 * time.Hour)}, false, func(Pruned) {}))
	if body, _, err := store.Get(key); err != nil || string(body) != "another" {
		t.Errorf("what came in its place is %q, %v", body, err)
	}
	must(t, o.MakeWay(t.Context(), store, asset, key))
	if _, _, err := store.Get(key); err == nil {
		t.Error("it is still there")
	}
}

// broken are recordings that cannot be removed.
type broken struct{ *testenv.Memory }

func (broken) Delete(context.Context, string) error { return errors.New("it is away") }

// What has changed since it was noted counts: a result that was brought back, and one that was removed in part, whoever was killed over it; and an
// asset stays while any job of it is young, or has failed.
func TestPruneLooksAgain(t *testing.T) {
	const day, id, later = ladder.Age(24 * time.Hour), "0000000000000006", "00000000000003ee"
	begin := func() (*testenv.Memory, Operator) {
		store := testenv.NewMemory()
		aged(t, store, 6, 30, catalog.Superseded)
		return store, Operator{Store: store}
	}
	prune := func(o Operator, store *testenv.Memory, ages ladder.Keep) (told []Pruned) {
		if err := o.Prune(t.Context(), store, ages, false, func(p Pruned) { told = append(told, p) }); err != nil {
			t.Fatal(err)
		}
		return told
	}
	there := func(store *testenv.Memory, id string) bool {
		_, _, err := store.Get("vod/live/superseded-6/" + id + "/flat/s00000-x.m4s")
		return err == nil
	}
	pointer := func(store *testenv.Memory, a ladder.Asset) {
		body, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		store.Put(ladder.PointerKey("live/superseded-6"), body)
	}
	store, o := begin() // it is noted superseded, and was brought back
	pointer(store, ladder.Asset{Version: 1, Job: id, Planned: time.Now().Add(-30 * 24 * time.Hour), Chosen: time.Now().Add(-time.Hour)})
	if told := prune(o, store, ladder.Keep{Superseded: 1, Assets: 7 * day}); !there(store, id) {
		t.Errorf("what is published was pruned: %+v", told)
	}
	store, o = begin() // that was killed in the middle
	store.Put(ladder.RemovedKey(id), []byte("{}"))
	if _, err := catalog.Refresh(t.Context(), store, id); err != nil {
		t.Fatal(err)
	}
	prune(o, store, ladder.Keep{Assets: 29 * day, Superseded: 1000 * day})
	if there(store, id) {
		t.Error("half of it stays")
	}
	if !there(store, later) {
		t.Error("so does nothing of the other")
	}
	store, o = begin() // another job of it has failed
	f := job.Failure{Job: later, Task: ladder.ChunkPart(0), Reason: "stalled", Time: time.Now()}
	body, err := json.Marshal(ledger.Note{Failure: f})
	if err != nil {
		t.Fatal(err)
	}
	store.Put(ladder.FailureKey(later, f.Task, f.Time), body)
	if err := store.Delete(t.Context(), ladder.PartKey(later, ladder.ChunkPart(0))); err != nil {
		t.Fatal(err)
	}
	pointer(store, ladder.Asset{Version: 1, Job: id, Planned: time.Now().Add(-30 * 24 * time.Hour)})
	for _, id := range []string{id, later} {
		if _, err := catalog.Refresh(t.Context(), store, id); err != nil {
			t.Fatal(err)
		}
	}
	if told := prune(o, store, ladder.Keep{Assets: 7 * day, Recordings: 7 * day}); !there(store, id) || !there(store, later) {
		t.Errorf("an asset of which a job has failed was pruned: %+v", told)
	}
	if _, _, err := store.Get("recordings/live/superseded-6.flv"); err != nil {
		t.Errorf("and its recording: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
