package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// receiver notes what it is told, and may be away.
type receiver struct {
	mu    sync.Mutex
	heard []Event
	tries int
	away  func() error
}

func (r *receiver) Name() string { return "receiver" }

func (r *receiver) Tell(_ context.Context, e Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if r.away != nil {
		if err := r.away(); err != nil {
			return err
		}
	}
	r.heard = append(r.heard, e)
	return nil
}

// types are those that were heard of a job, in order, without what was told again.
func (r *receiver) types(id string) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range r.heard {
		if e.Data.Job == id && !seen[e.ID] {
			all = append(all, strings.TrimPrefix(e.Type, "recording."))
		}
		seen[e.ID] = true
	}
	return all
}

// world is a store in which jobs go their ways.
type world struct {
	*testing.T

	store *testenv.Memory
}

func (w world) put(key string, v any) {
	w.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	w.store.Put(key, body)
}

const (
	planned = iota
	live
	ready
	failed
)

// becomes brings a job to where it is now, and notes it.
func (w world) becomes(id string, what int) error {
	w.Helper()
	asset := "live/" + id
	plan := &ladder.Plan{Version: ladder.PlanVersion, Job: id, Asset: asset, Profile: "flat", Created: time.Now().UTC(), Rate: flv.Rate{Num: 25, Den: 1}}
	if _, _, err := w.store.Get(ladder.PlanKey(id)); err != nil {
		w.put(ladder.PlanKey(id), plan)
		w.put(ladder.EndKey(id), ladder.End{Version: 1, Duration: 10, Chunks: []ladder.Span{{From: 0, To: 250}}})
	}
	switch what {
	case live, ready:
		if what == ready {
			w.put(ladder.PartKey(id, ladder.ChunkPart(0)), ladder.Part{Version: 1, Name: ladder.ChunkPart(0)})
		}
		w.put(ladder.PointerKey(asset), ladder.Asset{Version: 1, Job: id, Live: what == live})
	case failed:
		f := job.Failure{Job: id, Task: ladder.ChunkPart(0), Reason: "stalled", Time: time.Now()}
		w.put(ladder.FailureKey(id, f.Task, f.Time), ledger.Note{Failure: f})
	}
	_, err := catalog.Refresh(w.Context(), w.store, id)
	return err
}

// run sends for some time, and is then killed.
func (w world) run(name string, d time.Duration, to ...Target) {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	defer cancel()
	s := &Sender{Store: w.store, Targets: to, Media: "https://cdn.example.org/", Name: name, Log: zap.NewNop()}
	s.Run(ctx)
}

// The receiver is away for three minutes, and the sender is killed twice meanwhile: each event arrives, in order.
func TestReceiverIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := world{t, testenv.NewMemory()}, "00000000000000aa"
		back := time.Now().Add(3 * time.Minute)
		r := &receiver{away: func() error {
			if time.Now().Before(back) {
				return errors.New("connection refused")
			}
			return nil
		}}
		for n, what := range []int{planned, live, ready} {
			if err := w.becomes(id, what); err != nil {
				t.Fatal(err)
			}
			w.run(fmt.Sprint("sender-", n), 40*time.Second, r)
		}
		w.run("sender-3", 12*time.Minute, r)
		if got := r.types(id); !slices.Equal(got, []string{"live", "ready"}) {
			t.Errorf("heard %v", got)
		}
		if r.tries > 30 {
			t.Errorf("it was tried %d times", r.tries)
		}
		if e := r.heard[len(r.heard)-1]; e.Data.URL != "https://cdn.example.org/vod/live/"+id+"/master.m3u8" || e.Data.Profile != "flat" || e.ID == "" || e.Time.IsZero() {
			t.Errorf("it was told %+v", e)
		}
		left, err := w.store.List(t.Context(), catalog.Outbox)
		if err != nil || len(left) > 0 {
			t.Errorf("in the outbox: %v, %v", left, err)
		}
	})
}

// Who fails, is replayed and fails again is told of each; who is removed, too; and what was told is not told again.
func TestEachIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := world{t, testenv.NewMemory()}, "00000000000000ab"
		r, second := &receiver{}, &receiver{}
		steps := []func() error{
			func() error { return w.becomes(id, failed) },
			func() error {
				for key := range w.store.Objects {
					if strings.Contains(key, "/failures/") {
						delete(w.store.Objects, key)
					}
				}
				return w.becomes(id, planned)
			},
			func() error { return w.becomes(id, failed) },
			func() error {
				s, err := catalog.Look(t.Context(), w.store, id)
				if err != nil {
					return err
				}
				return catalog.Removing(t.Context(), w.store, s)
			},
		}
		for n, step := range steps {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			w.run(fmt.Sprint("sender-", n), time.Minute, r, Command("exit 0"), named{second})
		}
		if got := r.types(id); !slices.Equal(got, []string{"failed", "failed", "removed"}) || len(r.heard) != 3 || len(second.heard) != 3 {
			t.Errorf("heard %v; %d and %d events", got, len(r.heard), len(second.heard))
		}
	})
}

type named struct{ *receiver }

func (named) Name() string { return "another" }

// Of two senders of one store, one works; when it is gone, the other does.
func TestOneSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world{t, testenv.NewMemory()}
		r := &receiver{}
		var senders sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			senders.Go(func() { w.run(name, 5*time.Minute, r) })
		}
		for n := range 50 {
			if err := w.becomes(fmt.Sprintf("%016x", n), ready); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		senders.Wait()
		if len(r.heard) != 50 {
			t.Errorf("%d events were told", len(r.heard))
		}
	})
}

// Calls fail, writes are done whose answer is lost, senders and workers are killed anywhere: nothing is lost.
func TestNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world{t, testenv.NewMemory()}
		random := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		w.store.Before = func(string, string) error {
			mu.Lock()
			defer mu.Unlock()
			if random.IntN(20) == 0 {
				return errors.New("the store is away")
			}
			return nil
		}
		r := &receiver{away: func() error {
			mu.Lock()
			defer mu.Unlock()
			if random.IntN(4) == 0 {
				return errors.New("503")
			}
			return nil
		}}
		want := map[string][]string{}
		for n := range 40 {
			id := fmt.Sprintf("%016x", n)
			for _, what := range [][]int{{live, ready}, {failed}, {ready}}[n%3] {
				for w.becomes(id, what) != nil { // whoever was killed over it, its message comes again
					w.run(fmt.Sprint("sender-", n), time.Duration(n%8)*time.Second, r)
				}
				want[id] = append(want[id], []string{"", "live", "ready", "failed"}[what])
			}
		}
		w.store.Before = nil
		w.run("last", 2*time.Hour, r)
		for id, events := range want {
			if got := r.types(id); !slices.Equal(got, events) {
				t.Errorf("of %s, %v was heard, want %v", id, got, events)
			}
		}
		if left, err := w.store.List(t.Context(), catalog.Outbox); err != nil || len(left) > 0 {
			t.Errorf("in the outbox: %v, %v", left, err)
		}
	})
}

// A receiver can check where an event is from, with a few lines of its own.
func TestSignature(t *testing.T) {
	const coded = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	var seen *http.Request
	var body []byte
	answer := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(answer)
	}))
	t.Cleanup(server.Close)
	u, err := NewURL(server.URL+"/hook?key=private", "whsec_"+coded, nil)
	if err != nil {
		t.Fatal(err)
	}
	hostile := `<img src=x onerror=alert(1)>"'&` + "\u202e" + strings.Repeat("ü", 90)
	if err := u.Tell(t.Context(), Event{ID: "1-1", Type: "recording.ready", Data: Data{Asset: hostile}}); err != nil {
		t.Fatal(err)
	}
	secret, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", seen.Header.Get("Webhook-Id"), seen.Header.Get("Webhook-Timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); seen.Header.Get("Webhook-Signature") != want || seen.URL.RawQuery != "key=private" {
		t.Errorf("signed %s, want %s", seen.Header.Get("Webhook-Signature"), want)
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil || e.Data.Asset != hostile || e.ID != "1-1" {
		t.Errorf("%+v, %v", e, err)
	}
	if strings.Contains(u.Name(), "private") || !strings.Contains(u.Name(), "127.0.0.1") {
		t.Errorf("it is called %s", u.Name())
	}
	for _, answer = range []int{http.StatusFound, http.StatusInternalServerError, http.StatusGone} {
		if err := u.Tell(t.Context(), Event{}); err == nil {
			t.Errorf("%d is taken for an answer", answer)
		}
	}
	server.Close()
	if err := u.Tell(t.Context(), Event{}); err == nil || strings.Contains(err.Error(), "private") {
		t.Errorf("nobody is there: %v", err)
	}
	for address, secret := range map[string]string{"ftp://example.org": coded, "hook": coded, "https://example.org": "short", "https://example.com": "whsec_?"} {
		if _, err := NewURL(address, secret, nil); err == nil {
			t.Errorf("%s with secret %s is taken", address, secret)
		}
	}
}

// A command gets the event; what it says when it fails is told.
func TestCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "event")
	if err := Command("cat >"+file+"; echo $AFTERLIVE_EVENT >>"+file).Tell(t.Context(), Event{Type: "recording.ready", Data: Data{Asset: "$(rm -rf x)"}}); err != nil {
		t.Fatal(err)
	}
	if body, err := os.ReadFile(file); err != nil || !strings.Contains(string(body), `"asset":"$(rm -rf x)"`) || !strings.HasSuffix(string(body), "\nrecording.ready\n") {
		t.Errorf("%s, %v", body, err)
	}
	if err := Command("echo no room; exit 3").Tell(t.Context(), Event{}); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("got %v", err)
	}
}
