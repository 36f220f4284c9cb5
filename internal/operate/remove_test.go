package operate

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// place has two jobs of an asset, one of them published, and an asset whose name begins with the other's.
func place(t *testing.T) *testenv.Memory {
	t.Helper()
	store := testenv.NewMemory()
	put := func(key string, v any) {
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		store.Put(key, body)
	}
	for i, j := range []struct{ id, asset string }{{"0123456789abcdef", "live/talk"}, {"fedcba9876543210", "live/talk"}, {"00000000000000ff", "live/talk/more"}} {
		plan := ladder.Plan{Version: ladder.PlanVersion, Job: j.id, Asset: j.asset, Created: time.Unix(1764000000+int64(i), 0), Rate: flv.Rate{Num: 25, Den: 1}}
		plan.Recording.Key = "recordings/" + j.asset + ".flv"
		put(ladder.PlanKey(j.id), plan)
		put(ladder.EndKey(j.id), ladder.End{Version: ladder.EndVersion, Chunks: []ladder.Span{{From: 0, To: 10}}})
		put(ladder.PartKey(j.id, ladder.ChunkPart(0)), ladder.Part{Version: ladder.PartVersion, Name: ladder.ChunkPart(0)})
		put(plan.Key("flat", "s00000-x.m4s"), "x")
		put(plan.Key("flat", "master.m3u8"), "x")
		put(ladder.PointerKey(j.asset), ladder.Asset{Version: ladder.AssetVersion, Job: j.id, Planned: plan.Created})
		put(ladder.StableMasterKey(j.asset), "x")
		for _, rest := range []string{"", ".x.index.json", ".growing/index.json", "2", "2.growing/0"} {
			put(plan.Recording.Key+rest, "x")
		}
	}
	if err := catalog.Reindex(t.Context(), store, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	return store
}

// keys are those that have to do with the asset live/talk, and those that don't.
func keys(store *testenv.Memory) (its, others []string) {
	for _, key := range slices.Sorted(maps.Keys(store.Objects)) {
		switch {
		case strings.HasPrefix(key, catalog.Outbox): // others are told of it
		case strings.Contains(key, "00000000000000ff") || strings.Contains(key, "live/talk/more") || strings.HasPrefix(key, "recordings/live/talk.flv2"):
			others = append(others, key)
		default:
			its = append(its, key)
		}
	}
	return its, others
}

// All of an asset is removed, and nothing of others; wherever that was broken off, it can be done again.
func TestRemove(t *testing.T) {
	_, others := keys(place(t))
	broken := errors.New("it was killed")
	for n := 0; ; n++ {
		store := place(t)
		o := Operator{Store: store}
		remove := func() error {
			found, err := o.FindBelongings(t.Context(), "live/talk", store, false)
			if err != nil {
				return err
			}
			return o.Remove(t.Context(), found, store)
		}
		var deleted atomic.Int64
		store.Before = func(op, _ string) error {
			if op == "delete" {
				if deleted.Add(1) > int64(n) {
					return broken
				}
			}
			return nil
		}
		err := remove()
		if err != nil && !errors.Is(err, broken) {
			t.Fatal(err)
		}
		store.Before = nil
		if _, _, there := store.Get(ladder.PointerKey("live/talk")); n > 1 && there == nil {
			t.Errorf("after %d deletions, viewers are still led to it", n)
		}
		if err2 := remove(); err2 != nil {
			t.Fatalf("after %d deletions: %v", n, err2)
		}
		if its, left := keys(store); len(its) > 0 || !slices.Equal(left, others) {
			t.Fatalf("after %d deletions: left %v; of others %v, want %v", n, its, left, others)
		}
		if err == nil {
			t.Logf("%d deletions", n)
			break
		}
	}
}

// What is at work is not removed.
func TestRemoveAtWork(t *testing.T) {
	store := place(t)
	if err := store.Delete(context.WithoutCancel(t.Context()), ladder.PartKey("fedcba9876543210", ladder.ChunkPart(0))); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(ladder.Asset{Version: ladder.AssetVersion, Job: "0123456789abcdef", Planned: time.Unix(1764000000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	store.Put(ladder.PointerKey("live/talk"), body)
	o := Operator{Store: store}
	if _, err := o.FindBelongings(t.Context(), "live/talk", nil, false); !errors.Is(err, ErrAtWork) {
		t.Errorf("got %v", err)
	}
	found, err := o.FindBelongings(t.Context(), "live/talk", nil, true)
	if err != nil || len(found.Jobs) != 2 || len(found.Recordings) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := o.FindBelongings(t.Context(), "0123456789abcdef", nil, false); err == nil || !strings.Contains(err.Error(), "name that") {
		t.Errorf("a job's id for an asset: %v", err)
	}
	if found, err := o.FindBelongings(t.Context(), "live/nobody", store, false); err != nil || !found.None() {
		t.Errorf("%+v, %v", found, err)
	}
}

// Assets within a folder that are called like jobs are not the folder's.
func TestRemoveFolder(t *testing.T) {
	store := place(t)
	for _, key := range []string{ladder.PointerKey("uploads/0123456789abcde0"), "vod/uploads/0123456789abcde0/00000000000000aa/flat/s00000-x.m4s", "vod/live/talk/0123456789abcde0/asset.json"} {
		store.Put(key, []byte("{}"))
	}
	o := Operator{Store: store}
	if found, err := o.FindBelongings(t.Context(), "uploads", store, true); err != nil || !found.None() {
		t.Errorf("%+v, %v", found, err)
	}
	found, err := o.FindBelongings(t.Context(), "live/talk", store, true)
	if err != nil || len(found.Jobs) != 2 || slices.ContainsFunc(found.Segments, func(key string) bool { return strings.Contains(key, "0123456789abcde0") }) {
		t.Errorf("%+v, %v", found, err)
	}
}

// A job that was never planned is removed like any other; and while one is being removed, lists say so.
func TestRemoveUnplanned(t *testing.T) {
	const id = "00000000000000bb"
	store := testenv.NewMemory()
	message := job.Task{Kind: job.Recording, Key: "recordings/bad.flv"}.Body()
	f := job.Failure{Job: id, Task: string(job.Recording), Reason: "not_flv", Source: "recordings/bad.flv", Time: time.Now(), Message: message}
	body, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	store.Put(ladder.FailureKey(id, f.Task, f.Time), body)
	if _, err := catalog.Refresh(t.Context(), store, id); err != nil {
		t.Fatal(err)
	}
	o := Operator{Store: store}
	found, err := o.FindBelongings(t.Context(), "bad", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("it was killed")
	store.Before = func(op, _ string) error {
		if op == "delete" {
			return broken
		}
		return nil
	}
	if err := o.Remove(t.Context(), found, nil); !errors.Is(err, broken) {
		t.Errorf("removed, though killed: %v", err)
	}
	if all, _, err := catalog.Page(t.Context(), store, catalog.Query{Limit: 5, Noted: true}); err != nil || len(all) != 1 || all[0].State != catalog.Removed {
		t.Errorf("meanwhile: %+v, %v", all, err)
	}
	store.Before = nil
	if found, err = o.FindBelongings(t.Context(), "bad", nil, false); err != nil {
		t.Fatal(err)
	}
	if err := o.Remove(t.Context(), found, nil); err != nil {
		t.Fatal(err)
	}
	for key := range store.Objects {
		if !strings.HasPrefix(key, catalog.Outbox) {
			t.Errorf("%s is left", key)
		}
	}
}
