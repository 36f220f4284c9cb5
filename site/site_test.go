package site

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/zap"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
	"afterlive.alt/pipeline"
)

// shop is a store that counts requests.
type shop struct {
	*testenv.Memory

	requests atomic.Int64
}

func (s *shop) Load(ctx context.Context, key string) ([]byte, string, error) {
	s.requests.Add(1)
	return s.Memory.Load(ctx, key)
}

func (s *shop) List(ctx context.Context, prefix string) ([]string, error) {
	s.requests.Add(1)
	return s.Memory.List(ctx, prefix)
}

func (s *shop) ListFrom(ctx context.Context, prefix, after string, n int) ([]string, error) {
	s.requests.Add(1)
	return s.Memory.ListFrom(ctx, prefix, after, n)
}

const token = "0123456789abcdef0123456789abcdef"

// stand is a site with jobs.
type stand struct {
	*testing.T

	shop    *shop
	handler http.Handler
	work    *queue.SQLite
	failed  *queue.SQLite

	receiver *shelf
	uploads  *Uploads
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{T: t, shop: &shop{Memory: testenv.NewMemory()}}
	db, err := queue.OpenDB(t.Context(), filepath.Join(t.TempDir(), "queue.db"))
	s.must(err)
	t.Cleanup(func() { _ = db.Close() })
	s.work, s.failed = queue.NewSQLite(db, "jobs", 0), queue.NewSQLite(db, "failed", 0)
	file := filepath.Join(t.TempDir(), "tokens")
	s.must(os.WriteFile(file, []byte("# operators\n"+token+"\n"), 0o600))
	access, err := NewAccess(file, "another token of theirs", "X-Operator")
	s.must(err)
	pages := &Site{
		Store: s.shop, Recordings: s.shop.Memory, Work: s.work, Failed: s.failed, Every: 20 * time.Millisecond, Access: access, Version: "test", Log: zap.NewNop(),
		Operator: operate.Operator{Failed: s.failed, Work: s.work, Store: s.shop},
		Clipper:  pipeline.Clipper{Store: s.shop, Recordings: s.shop.Memory, Queue: s.work},
	}
	s.receiver = &shelf{}
	pages.Uploads = &Uploads{Folder: t.TempDir(), Free: func() (int64, error) { return 1 << 20, nil }, Receiver: s.receiver, Log: zap.NewNop()}
	s.uploads = pages.Uploads
	s.handler, err = pages.Handler()
	s.must(err)
	return s
}

func (s *stand) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stand) put(key string, v any) {
	s.Helper()
	body, err := json.Marshal(v)
	s.must(err)
	s.shop.Put(key, body)
}

// id is the job of the n-th asset.
func id(n int) string { return fmt.Sprintf("%016x", n) }

// add adds a job that is published or, with a reason, failed.
func (s *stand) add(n int, asset, reason string) {
	s.Helper()
	plan := &ladder.Plan{Version: ladder.PlanVersion, Job: id(n), Asset: asset, Created: time.Now().Add(time.Duration(n-100_000) * time.Second).UTC(), Rate: flv.Rate{Num: 25, Den: 1}}
	plan.Recording.Key = job.Prefix + asset + ".flv"
	plan.SegmentFrames, plan.GOPFrames = 150, 50
	s.put(ladder.PlanKey(plan.Job), plan)
	s.put(ladder.EndKey(plan.Job), ladder.End{Version: 1, Frames: 250, Duration: 10, Chunks: []ladder.Span{{From: 0, To: 250}}})
	s.put(ladder.ChunkKey(plan.Job, 0), ladder.Chunk{})
	if reason == "" {
		s.put(ladder.PartKey(plan.Job, ladder.ChunkPart(0)), ladder.Part{Version: 1, Name: ladder.ChunkPart(0), Span: ladder.Span{From: 0, To: 250}, Worker: "w-1", Made: time.Now()})
		s.put(ladder.PointerKey(asset), ladder.Asset{Version: 1, Job: plan.Job, Planned: plan.Created, Duration: 10, Poster: plan.Job + "/poster.jpg", Ladders: []ladder.AssetLadder{{Name: "flat", Projection: ladder.Flat}}})
	} else {
		task := job.Task{Kind: job.Chunk, Job: plan.Job}
		f := job.Failure{Version: 1, Class: "permanent", Reason: reason, Detail: "<img src=x onerror=alert(1)>", Log: "ffmpeg's words", Job: plan.Job, Task: task.Name(), Message: task.Body(), Time: time.Now()}
		s.put(ladder.FailureKey(plan.Job, f.Task, f.Time), ledger.Note{Failure: f})
		body, err := json.Marshal(f)
		s.must(err)
		s.must(s.failed.Send(s.Context(), body, 0))
	}
	_, err := catalog.Refresh(s.Context(), s.shop, plan.Job)
	s.must(err)
}

// ask sends a request, an operator's if it has a token.
func (s *stand) ask(method, path, body, bearer string, more ...string) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequestWithContext(s.Context(), method, path, strings.NewReader(body))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// told is what a request of an operator is answered with.
func told[T any](s *stand, method, path, body string) (v T) {
	s.Helper()
	w := s.ask(method, path, body, token)
	if w.Code != http.StatusOK {
		s.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	s.must(json.Unmarshal(w.Body.Bytes(), &v))
	return v
}

// What the API's description says is for operators, nobody else may do; and there is nothing that it doesn't have.
func TestOperatorsAlone(t *testing.T) {
	s := newStand(t)
	s.add(1, "live/talk", "stalled")
	s.add(2, "live/other", "")
	var api struct{ Paths map[string]map[string]any }
	s.must(yaml.Unmarshal(openapi, &api))
	before := len(s.shop.Objects)
	fill := strings.NewReplacer("{job}", id(1), "{asset}", "live/other", "{upload}", "none")
	count := 0
	for path, methods := range api.Paths {
		for method, m := range methods {
			if method == "parameters" {
				continue
			}
			method, address := strings.ToUpper(method), "/api/v1"+fill.Replace(path)
			closed := strings.Contains(fmt.Sprint(m), "security:[map[token:[]]]")
			if wants := strings.HasPrefix(path, "/jobs") || path == "/work" || path == "/events" || strings.HasPrefix(path, "/mp4") || method != http.MethodGet; closed != wants {
				t.Errorf("%s %s is described as for operators alone: %t", method, path, closed)
			}
			if !closed {
				continue
			}
			count++
			for _, wrong := range []string{"", "wrong", token[1:], token + "0"} {
				if w := s.ask(method, address, "{}", wrong); w.Code != http.StatusUnauthorized {
					t.Errorf("%s %s with token %q: %d %s", method, address, wrong, w.Code, w.Body)
				}
			}
		}
	}
	if count < 9 || len(s.shop.Objects) != before {
		t.Errorf("%d methods are for operators; objects %d, before %d", count, len(s.shop.Objects), before)
	}
	for _, path := range []string{"/api/v1/none", "/none", "/vod/x", "/site/../site.go", "/jobs/"} {
		if w := s.ask(http.MethodGet, path, "", token); w.Code == http.StatusOK {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
	if w := s.ask(http.MethodGet, "/api/v1/work", "", "another token of theirs"); w.Code != http.StatusOK {
		t.Errorf("a token that is no file's: %d", w.Code)
	}
	if w := s.ask(http.MethodGet, "/api/v1/work", "", "", "X-Operator", "anna"); w.Code != http.StatusOK {
		t.Errorf("an operator of the proxy's: %d", w.Code)
	}
	if w := s.ask(http.MethodPost, "/api/v1/jobs/"+id(1)+"/drop", "{}", "", "X-Operator", "anna", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("another site's page in an operator's browser: %d %s", w.Code, w.Body)
	}
	if w := s.ask(http.MethodGet, "/api/v1/recordings/live/talk", "", ""); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "stalled") {
		t.Errorf("a viewer asks for what failed: %d %s", w.Code, w.Body)
	}
}

// Without tokens, nobody is an operator.
func TestNoOperators(t *testing.T) {
	access, err := NewAccess("", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"", "Bearer ", "Bearer x"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", header)
		if access.Operator(r) {
			t.Errorf("%q is an operator", header)
		}
	}
	file := filepath.Join(t.TempDir(), "tokens")
	for text, says := range map[string]string{"": "none", "# nobody\n\n": "none", "short\n": "fewer than 16"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewAccess(file, "", ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("tokens %q: %v", text, err)
		}
	}
}

// The first content of each page costs the same, however many jobs there are.
func TestRequestsAreCounted(t *testing.T) {
	costs := map[string][]int64{}
	for _, n := range []int{60, 10_000} {
		s := newStand(t)
		all := s.shop.Memory
		for i := range n { // each in a store of its own, as lists of that in memory are slow
			s.shop.Memory = testenv.NewMemory()
			s.add(i, fmt.Sprintf("live/talk-%d", i), map[bool]string{true: "stalled"}[i%500 == 7])
			for key, body := range s.shop.Objects {
				all.Put(key, body)
			}
		}
		s.shop.Memory = all
		for _, path := range []string{"recordings", "jobs", "work", "jobs/" + id(30), "jobs/" + id(30) + "/parts", "recordings/live/talk-30"} {
			before := s.shop.requests.Load()
			told[any](s, http.MethodGet, "/api/v1/"+path, "")
			costs[path] = append(costs[path], s.shop.requests.Load()-before)
		}
	}
	for path, c := range costs {
		t.Logf("%s: %v requests", path, c)
		if c[1] > c[0]+2 || c[1] > 60 {
			t.Errorf("%s takes %d requests of 60 jobs, %d of 10,000", path, c[0], c[1])
		}
	}
}

// What operators do is done: a dry run says what, and does nothing.
func TestDeeds(t *testing.T) {
	s := newStand(t)
	for n, asset := range []string{"live/one", "live/two", "live/three"} {
		s.add(n, asset, "stalled")
	}
	s.add(3, "live/done", "")
	state := func(n int) catalog.State {
		return told[struct{ Status catalog.Status }](s, http.MethodGet, "/api/v1/jobs/"+id(n), "").Status.State
	}
	type deeds struct {
		DryRun bool `json:"dry_run"`
		Tasks  []deed
	}
	for _, tc := range []struct {
		verb    string
		job     int
		becomes catalog.State
	}{{"replay", 0, catalog.Working}, {"drop", 1, catalog.Dropped}} {
		path := "/api/v1/jobs/" + id(tc.job) + "/" + tc.verb
		would := told[deeds](s, http.MethodPost, path, `{"dry_run": true}`)
		if !would.DryRun || len(would.Tasks) != 1 || would.Tasks[0].Reason != "stalled" || state(tc.job) != catalog.Failed {
			t.Errorf("%s would: %+v, job is %s", tc.verb, would, state(tc.job))
		}
		did := told[deeds](s, http.MethodPost, path, "")
		if did.DryRun || len(did.Tasks) != 1 || did.Tasks[0].Error != "" || state(tc.job) != tc.becomes {
			t.Errorf("%s: %+v, job is %s", tc.verb, did, state(tc.job))
		}
		if w := s.ask(http.MethodPost, path, "", token); w.Code != http.StatusNotFound {
			t.Errorf("%s again: %d %s", tc.verb, w.Code, w.Body)
		}
	}
	if state(2) != catalog.Failed {
		t.Error("another job was touched")
	}
	if b, err := s.work.Backlog(t.Context()); err != nil || b.Waiting != 1 {
		t.Errorf("%+v, %v tasks are sent", b, err)
	}
	told[any](s, http.MethodDelete, "/api/v1/recordings/live/done?dry_run=true", "")
	if w := s.ask(http.MethodGet, "/api/v1/recordings/live/done", "", ""); w.Code != http.StatusOK {
		t.Errorf("a dry run removes: %d %s", w.Code, w.Body)
	}
	told[any](s, http.MethodDelete, "/api/v1/recordings/live/done", "")
	if w := s.ask(http.MethodGet, "/api/v1/recordings/live/done", "", ""); w.Code != http.StatusNotFound {
		t.Errorf("it is removed: %d %s", w.Code, w.Body)
	}
	if w := s.ask(http.MethodDelete, "/api/v1/recordings/live/one", "", token); w.Code != http.StatusConflict {
		t.Errorf("what is at work: %d %s", w.Code, w.Body)
	}
	for path, want := range map[string]int{"jobs?limit=0": 400, "jobs?limit=x": 400, "jobs?state=odd": 400, "jobs?since=today": 400, "jobs/x": 404, "jobs/" + id(99): 404, "recordings/..%2f..%2fjobs": 404} {
		if w := s.ask(http.MethodGet, "/api/v1/"+path, "", token); w.Code != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, wish := range []string{"{", `{"dryRun": true}`, `[]`} {
		if w := s.ask(http.MethodPost, "/api/v1/jobs/"+id(2)+"/replay", wish, token); w.Code != http.StatusBadRequest || state(2) != catalog.Failed {
			t.Errorf("%s: %d, job is %s", wish, w.Code, state(2))
		}
	}
	for _, dry := range []string{"dry_run=yes", "dry_run=1", "dry_run=True", "force=x"} {
		w := s.ask(http.MethodDelete, "/api/v1/recordings/live/two?"+dry, "", token)
		if _, _, err := s.shop.Get(ladder.PlanKey(id(1))); err != nil {
			t.Errorf("%s removes: %d %s", dry, w.Code, w.Body)
		}
	}
}

// What cannot be cut is refused with a reason. (Clips themselves are the pipeline's to test, and the page's, in a browser.)
func TestNoClips(t *testing.T) {
	s := newStand(t)
	s.add(1, "live/talk", "")
	before := len(s.shop.Objects)
	for body, want := range map[string]int{
		`{"asset": "live/none", "from_s": 1}`:            http.StatusNotFound,
		`{"asset": "../talk"}`:                           http.StatusNotFound,
		`{}`:                                             http.StatusNotFound,
		`{"asset": "live/talk", "from_s": -1}`:           http.StatusBadRequest,
		`{"asset": "live/talk", "to_s": 1e300}`:          http.StatusBadRequest,
		`{"asset": "live/talk", "from": 1}`:              http.StatusBadRequest,
		`{"asset": "live/talk", "from_s": 99}`:           http.StatusConflict,
		`{"asset": "live/talk", "from_s": 1, "to_s": 1}`: http.StatusConflict,
		`{"asset": "live/talk", "as": "live/talk", "dry_run": true, "to_s": 2}`: http.StatusConflict,
	} {
		if w := s.ask(http.MethodPost, "/api/v1/clips", body, token); w.Code != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if len(s.shop.Objects) != before {
		t.Errorf("%d objects more", len(s.shop.Objects)-before)
	}
}

// A recording that is in the store is sent to the workers, as often as one likes.
func TestSend(t *testing.T) {
	s := newStand(t)
	s.shop.Put("recordings/live/new.flv", []byte("FLV"))
	s.add(1, "live/talk", "")
	for body, want := range map[string]int{
		`{"key": "recordings/live/none.flv"}`: http.StatusNotFound,
		`{"key": "recordings/../x.flv"}`:      http.StatusBadRequest,
		`{"key": "vod/x.flv"}`:                http.StatusBadRequest,
		`{"key": "recordings/live/new.mp4"}`:  http.StatusBadRequest,
		`{}`:                                  http.StatusBadRequest,
		`{"key": "recordings/live/new.flv", "title": "two\nlines"}`: http.StatusBadRequest,
		`{"key": "recordings/live/new.flv", "trim_start_s": -1}`:    http.StatusBadRequest,
		`{"key": "recordings/live/new.flv", "as": "x"}`:             http.StatusBadRequest,
	} {
		if w := s.ask(http.MethodPost, "/api/v1/recordings", body, token); w.Code != want {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	told[any](s, http.MethodPost, "/api/v1/recordings", `{"key": "recordings/live/new.flv", "dry_run": true}`)
	if b, err := s.work.Backlog(t.Context()); err != nil || b.Waiting != 0 {
		t.Errorf("a dry run sends %+v, %v", b, err)
	}
	did := told[publication](s, http.MethodPost, "/api/v1/recordings", `{"key": "recordings/live/new.flv", "profile": "360"}`)
	if want := job.ID("", "recordings/live/new.flv", s.shop.ETag("recordings/live/new.flv"), "360"); did.Job != want || did.Asset != "live/new" {
		t.Errorf("it becomes %+v, want job %s", did, want)
	}
	if b, err := s.work.Backlog(t.Context()); err != nil || b.Waiting != 1 {
		t.Errorf("sent: %+v, %v", b, err)
	}
}

// A title is what viewers read, and search; a worker that publishes the asset again leaves it.
func TestTitle(t *testing.T) {
	s := newStand(t)
	s.add(1, "live/talk", "")
	for body, want := range map[string]int{
		`{"asset": "none", "title": "x"}`:               http.StatusNotFound,
		`{"asset": "../x", "title": "x"}`:               http.StatusNotFound,
		`{"asset": "live/talk"}`:                        http.StatusBadRequest, // it would lose its title
		`{"asset": "live/talk", "title": "x"}{}`:        http.StatusBadRequest,
		`{"asset": "live/talk", "title": "two\nlines"}`: http.StatusBadRequest,
	} {
		if w := s.ask(http.MethodPost, "/api/v1/titles", body, token); w.Code != want {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := s.ask(http.MethodPost, "/api/v1/titles", `{"asset": "live/talk", "title": "x"}`, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", w.Code)
	}
	const title = `<img src=x onerror="alert(1)"> ` + "\u05d0"
	told[any](s, http.MethodPost, "/api/v1/titles", `{"asset": "live/talk", "title": "<img src=x onerror=\"alert(1)\"> \u05d0"}`)
	type page struct{ Recordings []recording }
	for _, query := range []string{"", "?q=ONERROR"} {
		if got := told[page](s, http.MethodGet, "/api/v1/recordings"+query, "").Recordings; len(got) != 1 || got[0].Title != title {
			t.Errorf("%q: %+v", query, got)
		}
	}
}

// Lists are searched by name and day.
func TestSearch(t *testing.T) {
	s := newStand(t)
	for n := range 40 {
		s.add(n, fmt.Sprintf("live/Talk-%d", n), "")
	}
	type page struct {
		Recordings []recording
		Next       string
	}
	names := func(query string) (all []string) {
		for after := ""; ; {
			p := told[page](s, http.MethodGet, "/api/v1/recordings?limit=7&after="+after+"&"+query, "")
			for _, r := range p.Recordings {
				all = append(all, r.Asset)
			}
			if after = p.Next; after == "" {
				return all
			}
		}
	}
	if got := names(""); len(got) != 40 || got[0] != "live/Talk-39" || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 40 {
		t.Errorf("all: %v", got)
	}
	if got := names("q=talk-3"); len(got) != 11 {
		t.Errorf("of that name: %v", got)
	}
	day := time.Now().Add(-100_000 * time.Second).UTC()
	if got := names("since=" + day.AddDate(0, 0, 2).Format(time.DateOnly)); len(got) != 0 {
		t.Errorf("of another day: %v", got)
	}
	if got := names("until=" + day.AddDate(0, 0, -1).Format(time.DateOnly)); len(got) != 0 {
		t.Errorf("of the day before: %v", got)
	}
}

// A page hears of what changes.
func TestEvents(t *testing.T) {
	s := newStand(t)
	s.add(1, "live/talk", "stalled")
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/events", http.NoBody)
	s.must(err)
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := server.Client().Do(r)
	s.must(err)
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	hear := func() (v snapshot) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				s.must(json.Unmarshal([]byte(data), &v))
				return v
			}
		}
		t.Fatal("it ended", lines.Err())
		return v
	}
	if first := hear(); first.Failed != 1 || len(first.Jobs) != 1 || first.Jobs[0].State != catalog.Failed {
		t.Errorf("first: %+v", first)
	}
	told[any](s, http.MethodPost, "/api/v1/jobs/"+id(1)+"/replay", "")
	for then := hear(); then.Failed != 0 || then.Queue.Waiting != 1 || then.Jobs[0].State != catalog.Working; then = hear() {
	}
}

// The page runs no script but its own, and is nobody's frame.
func TestPolicy(t *testing.T) {
	s := newStand(t)
	for _, path := range []string{"/", "/recordings/live/%3Cimg%20src=x%3E", "/work", "/failures", "/jobs/" + id(1)} {
		w := s.ask(http.MethodGet, path, "", "")
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || !strings.Contains(policy, "script-src 'self';") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(w.Body.String(), "img src=x") {
			t.Errorf("%s: %d, %s", path, w.Code, policy)
		}
		if policy := s.ask(http.MethodGet, "/site/page.html", "", "").Header().Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("its file says %q", policy)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
}

// One who asks a store that hangs is answered; others are with them, and not behind them.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &hanging{}
		s := &Site{Store: hangs, Every: time.Second, Log: zap.NewNop()}
		if _, err := s.Handler(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := s.snapshot(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > longest+time.Second || hangs.asked.Load() != 1 {
			t.Errorf("all were answered after %s, by %d looks", took, hangs.asked.Load())
		}
	})
}

// hanging is a store that doesn't answer.
type hanging struct {
	Store

	asked atomic.Int64
}

func (h *hanging) ListFrom(ctx context.Context, _, _ string, _ int) ([]string, error) {
	h.asked.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}
