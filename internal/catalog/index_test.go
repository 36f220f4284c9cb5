package catalog

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// counted counts requests.
type counted struct {
	*testenv.Memory

	requests atomic.Int64
}

func (c *counted) Load(ctx context.Context, key string) ([]byte, string, error) {
	c.requests.Add(1)
	return c.Memory.Load(ctx, key)
}

func (c *counted) List(ctx context.Context, prefix string) ([]string, error) {
	c.requests.Add(1)
	return c.Memory.List(ctx, prefix)
}

func (c *counted) ListFrom(ctx context.Context, prefix, after string, n int) ([]string, error) {
	c.requests.Add(1)
	return c.Memory.ListFrom(ctx, prefix, after, n)
}

func (c *counted) since(f func()) int64 {
	before := c.requests.Load()
	f()
	return c.requests.Load() - before
}

// first is when the first job of a history was planned.
var first = time.Unix(1_790_000_000, 0).UTC()

// history has n jobs, a minute apart, of which every seventh has failed, and the rest is published.
func history(t *testing.T, n int) *counted {
	t.Helper()
	store := &counted{Memory: testenv.NewMemory()}
	all := store.Memory
	for i := range n { // each in a store of its own, as lists of that in memory are slow
		store.Memory = testenv.NewMemory()
		plan := &ladder.Plan{Version: ladder.PlanVersion, Job: fmt.Sprintf("%016x", i*7919), Asset: fmt.Sprintf("live/talk-%d", i), Created: first.Add(time.Duration(i) * time.Minute), Rate: flv.Rate{Num: 25, Den: 1}}
		store.Put(ladder.PlanKey(plan.Job), mustJSON(plan))
		store.Put(ladder.EndKey(plan.Job), mustJSON(ladder.End{Version: 1, Duration: 10, Chunks: []ladder.Span{{From: 0, To: 250}}}))
		if i%7 == 0 {
			f := job.Failure{Job: plan.Job, Task: ladder.ChunkPart(0), Reason: "stalled", Time: plan.Created}
			store.Put(ladder.FailureKey(plan.Job, f.Task, f.Time), mustJSON(ledger.Note{Failure: f}))
		} else {
			store.Put(ladder.PartKey(plan.Job, ladder.ChunkPart(0)), mustJSON(ladder.Part{Version: 1, Name: ladder.ChunkPart(0)}))
			store.Put(ladder.PointerKey(plan.Asset), mustJSON(ladder.Asset{Version: 1, Job: plan.Job, Planned: plan.Created}))
		}
		if _, err := Refresh(t.Context(), store, plan.Job); err != nil {
			t.Fatal(err)
		}
		for key, body := range store.Objects {
			all.Put(key, body)
		}
	}
	store.Memory = all
	return store
}

// A page has the newest jobs, and costs the same whatever there was before.
func TestPage(t *testing.T) {
	for _, n := range []int{60, 3000} {
		store := history(t, n)
		var jobs []Status
		var next string
		var err error
		cost := store.since(func() { jobs, next, err = Page(t.Context(), store, Query{Limit: 50}) })
		if err != nil || len(jobs) != 50 || cost > 53 {
			t.Fatalf("of %d: %d jobs by %d requests, %v", n, len(jobs), cost, err)
		}
		for i, s := range jobs {
			k := n - 1 - i
			want := map[bool]State{true: Failed, false: Published}[k%7 == 0]
			if s.Asset != fmt.Sprintf("live/talk-%d", k) || s.State != want || !s.Planned.Equal(first.Add(time.Duration(k)*time.Minute)) {
				t.Fatalf("job %d of the page is %+v", i, s)
			}
		}
		jobs, _, err = Page(t.Context(), store, Query{Limit: 50, After: next})
		if err != nil || len(jobs) != min(50, n-50) || jobs[0].Asset != fmt.Sprintf("live/talk-%d", n-51) {
			t.Fatalf("the next page has %d jobs, %v", len(jobs), err)
		}
		cost = store.since(func() { jobs, err = Of(t.Context(), store, "live/talk-8") })
		if err != nil || len(jobs) != 1 || cost > 10 {
			t.Errorf("an asset's jobs: %d, by %d requests, %v", len(jobs), cost, err)
		}
	}
}

// All pages together have each job that is meant, once.
func TestPagesHaveAll(t *testing.T) {
	store := history(t, 100)
	since := first.Add(40*time.Minute - time.Second)
	for name, tc := range map[string]struct {
		query Query
		want  int
	}{
		"all":                   {Query{}, 100},
		"failed":                {Query{States: []State{Failed}}, 15},
		"since":                 {Query{Since: since}, 60},
		"published since":       {Query{Since: since, States: []State{Published, Superseded}}, 51},
		"until":                 {Query{Until: since}, 40},
		"since and until":       {Query{Since: first, Until: first.Add(10 * time.Minute)}, 10},
		"named":                 {Query{Name: "talk-7"}, 11},
		"in a state that isn't": {Query{States: []State{Dropped}}, 0},
	} {
		for _, limit := range []int{1, 7, 15, 60, 1000} {
			seen := map[string]bool{}
			q := tc.query
			for q.Limit = limit; ; {
				jobs, next, err := Page(t.Context(), store, q)
				if err != nil || len(jobs) > limit {
					t.Fatalf("%s, %d a page: %d jobs, %v", name, limit, len(jobs), err)
				}
				for _, s := range jobs {
					if seen[s.Job] {
						t.Errorf("%s, %d a page: %s is there twice", name, limit, s.Asset)
					}
					seen[s.Job] = true
				}
				if q.After = next; next == "" {
					break
				}
			}
			if len(seen) != tc.want {
				t.Errorf("%s, %d a page: %d jobs, want %d", name, limit, len(seen), tc.want)
			}
		}
	}
}

// Whoever notes last has looked last: a note is never older than what led to it.
func TestRefreshedAtOnce(t *testing.T) {
	const id = "0123456789abcdef"
	for range 20 {
		store := testenv.NewMemory()
		plan := &ladder.Plan{Version: ladder.PlanVersion, Job: id, Asset: "talk", Created: first, Rate: flv.Rate{Num: 25, Den: 1}}
		store.Put(ladder.PlanKey(id), mustJSON(plan))
		end := ladder.End{Version: 1, Duration: 10}
		for k := range 8 {
			end.Chunks = append(end.Chunks, ladder.Span{From: k * 25, To: (k + 1) * 25})
		}
		store.Put(ladder.EndKey(id), mustJSON(end))
		var workers sync.WaitGroup
		for k := range end.Chunks {
			workers.Go(func() {
				store.Put(ladder.PartKey(id, ladder.ChunkPart(k)), mustJSON(ladder.Part{Version: 1, Name: ladder.ChunkPart(k)}))
				if _, err := Refresh(t.Context(), store, id); err != nil {
					t.Error(err)
				}
			})
		}
		workers.Wait()
		jobs, _, err := Page(t.Context(), store, Query{Limit: 10, Noted: true})
		if err != nil || len(jobs) != 1 || jobs[0].Done != len(end.Chunks) {
			t.Fatalf("%+v, %v", jobs, err)
		}
	}
}

// A job that another takes the place of is noted so, also if whoever published that was killed before, and comes back.
func TestOthersAreSuperseded(t *testing.T) {
	store := history(t, 2)
	s, err := Of(t.Context(), store, "live/talk-1")
	if err != nil {
		t.Fatal(err)
	}
	plan := &ladder.Plan{Version: ladder.PlanVersion, Job: "00000000000000ff", Asset: "live/talk-1", Created: first.Add(time.Hour), Rate: flv.Rate{Num: 25, Den: 1}}
	store.Put(ladder.PlanKey(plan.Job), mustJSON(plan))
	store.Put(ladder.EndKey(plan.Job), mustJSON(ladder.End{Version: 1, Chunks: []ladder.Span{{From: 0, To: 250}}}))
	store.Put(ladder.PartKey(plan.Job, ladder.ChunkPart(0)), mustJSON(ladder.Part{Version: 1, Name: ladder.ChunkPart(0)}))
	store.Put(ladder.PointerKey(plan.Asset), mustJSON(ladder.Asset{Version: 1, Job: plan.Job, Planned: plan.Created}))
	if _, err := Refresh(t.Context(), store, plan.Job); err != nil { // and then it was killed
		t.Fatal(err)
	}
	mine, err := Refresh(t.Context(), store, plan.Job)
	if err != nil {
		t.Fatal(err)
	}
	if err := RefreshOthers(t.Context(), store, mine); err != nil {
		t.Fatal(err)
	}
	jobs, _, err := Page(t.Context(), store, Query{Limit: 3, Noted: true})
	if err != nil || len(jobs) != 3 || jobs[0].State != Published || jobs[1].State != Superseded || jobs[1].Job != s[0].Job || jobs[1].Since.Before(jobs[1].Planned) {
		t.Errorf("%+v, %v", jobs, err)
	}
}

// What will be tried again is told, until it is done, or it should long have been tried.
func TestRetrying(t *testing.T) {
	const id = "0123456789abcdef"
	store := testenv.NewMemory()
	store.Put(ladder.PlanKey(id), mustJSON(&ladder.Plan{Version: ladder.PlanVersion, Job: id, Asset: "talk", Created: first, Rate: flv.Rate{Num: 25, Den: 1}}))
	store.Put(ladder.EndKey(id), mustJSON(ladder.End{Version: 1, Chunks: []ladder.Span{{From: 0, To: 25}, {From: 25, To: 50}}}))
	is := func(want State, reason string) {
		t.Helper()
		if s, err := Refresh(t.Context(), store, id); err != nil || s.State != want || s.Reason != reason {
			t.Errorf("%+v, %v, want %s %s", s, err, want, reason)
		}
	}
	retry := func(part, reason string, next time.Time) {
		store.Put(ladder.RetryKey(id, part), mustJSON(ledger.Retry{Task: part, Reason: reason, Next: next}))
	}
	is(Working, "")
	retry(ladder.ChunkPart(0), "disk_full", time.Now().Add(time.Minute))
	is(Retrying, "disk_full")
	retry(ladder.ChunkPart(1), "stalled", time.Now().Add(-time.Minute))
	is(Retrying, "disk_full")
	store.Put(ladder.PartKey(id, ladder.ChunkPart(0)), mustJSON(ladder.Part{Version: 1, Name: ladder.ChunkPart(0)}))
	is(Retrying, "stalled")
	retry(ladder.ChunkPart(1), "stalled", time.Now().Add(-time.Hour))
	is(Working, "")
	store.Put(ladder.RemovedKey(id), []byte("{}"))
	is(Removed, "")
}

// A recording that could not be planned is listed, and when that is tried again it is no failure any more.
func TestUnplanned(t *testing.T) {
	const id = "0123456789abcdef"
	store := testenv.NewMemory()
	f := job.Failure{Job: id, Task: "recording", Reason: "not_flv", Source: "recordings/talk.flv", Time: time.Now(), Message: job.Task{Kind: job.Recording, Key: "recordings/talk.flv"}.Body()}
	key := ladder.FailureKey(id, f.Task, f.Time)
	store.Put(key, mustJSON(ledger.Note{Failure: f}))
	for _, want := range []State{Failed, Working} {
		if _, err := Refresh(t.Context(), store, id); err != nil {
			t.Fatal(err)
		}
		jobs, _, err := Page(t.Context(), store, Query{Limit: 3})
		if err != nil || len(jobs) != 1 || jobs[0].State != want || jobs[0].Asset != "talk" || strings.Contains(jobs[0].Reason, "flv") != (want == Failed) {
			t.Errorf("%+v, %v, want %s", jobs, err, want)
		}
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
}

// An entry that is no note's, as whoever wrote it died over it or the job was made again, is passed over, on whatever page.
func TestStaleEntries(t *testing.T) {
	store := history(t, 10)
	if err := store.Write(t.Context(), entry(first.Add(-time.Hour), fmt.Sprintf("%016x", 3*7919)), []byte("{}"), ""); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 3, 100} {
		count := map[string]int{}
		for q := (Query{Limit: limit}); ; {
			jobs, next, err := Page(t.Context(), store, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range jobs {
				count[s.Job]++
			}
			if q.After = next; next == "" {
				break
			}
		}
		if len(count) != 10 || slices.Max(slices.Collect(maps.Values(count))) != 1 {
			t.Errorf("%d a page: %v", limit, count)
		}
	}
}

// A look is of use also to who may not note it.
func TestReadOnly(t *testing.T) {
	store := history(t, 3)
	if err := store.Delete(t.Context(), ladder.PartKey(fmt.Sprintf("%016x", 7919), ladder.ChunkPart(0))); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), ladder.PointerKey("live/talk-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := Refresh(t.Context(), store, fmt.Sprintf("%016x", 7919)); err != nil {
		t.Fatal(err)
	}
	store.Put(ladder.PartKey(fmt.Sprintf("%016x", 7919), ladder.ChunkPart(0)), mustJSON(ladder.Part{Version: 1, Name: ladder.ChunkPart(0)}))
	store.Before = func(op, key string) error {
		if op == "write" {
			return fs.ErrPermission
		}
		return nil
	}
	jobs, err := Of(t.Context(), store, "live/talk-1")
	if err != nil || len(jobs) != 1 || jobs[0].Done != 1 {
		t.Errorf("%+v, %v", jobs, err)
	}
}
