package queue_test

import (
	"context"
	"errors"
	"flag"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// contract is what all queues offer.
type contract interface {
	Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error)
	Extend(ctx context.Context, receipt string, d time.Duration) error
	Delete(ctx context.Context, receipt string) error
	Send(ctx context.Context, body []byte, delay time.Duration) error
	SendAll(ctx context.Context, bodies [][]byte) error
	Backlog(ctx context.Context) (queue.Backlog, error)
}

// pollTime is how long a poll takes that finds nothing; longPoll is longer than a busy
// machine needs for anything.
const pollTime, longPoll = 2 * time.Second, 20 * time.Second

// These tests wait for most of their time: more of them run at once than there are cores.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil { // -parallel comes later
		panic(err)
	}
	m.Run()
}

// TestConformance holds every implementation to the package's promises. Leases
// end by the clock of the server, so this waits for real: on messages, never on a
// guess.
func TestConformance(t *testing.T) {
	testenv.Apart(t)
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		db, err := queue.OpenDB(t.Context(), filepath.Join(t.TempDir(), "queue.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		conform(t, func(_ *testing.T, name string, poll time.Duration) contract { return queue.NewSQLite(db, name, poll) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db, err := queue.OpenPostgres(t.Context(), testenv.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		conform(t, func(_ *testing.T, name string, poll time.Duration) contract { return queue.NewPostgres(db, name, poll) })
	})
	t.Run("SQS", func(t *testing.T) {
		cloud := testenv.Start(t)
		conform(t, func(t *testing.T, name string, poll time.Duration) contract {
			return queue.NewSQS(cloud.Config, cloud.Queue(t, name), poll)
		})
	})
}

// The queue keeps its promises in a cloud of yours: see "make cloud-test".
func TestYourQueue(t *testing.T) {
	cloud, _, _ := testenv.Yours(t)
	conform(t, func(t *testing.T, name string, poll time.Duration) contract {
		return queue.NewSQS(cloud.Config, cloud.Queue(t, name), poll)
	})
}

// The server that the rules of SQS are tested with is held to the same promises.
func TestStrictConforms(t *testing.T) {
	t.Parallel()
	strict := testenv.NewStrict()
	server := httptest.NewServer(strict)
	t.Cleanup(server.Close)
	cfg := strict.Config()
	cfg.BaseEndpoint, cfg.HTTPClient = &server.URL, nil // over a real connection
	conform(t, func(_ *testing.T, name string, poll time.Duration) contract {
		return queue.NewSQS(cfg, strict.AddQueue(server.URL, name, "", 0), poll)
	})
}

func conform(t *testing.T, open func(t *testing.T, name string, poll time.Duration) contract) {
	for name, test := range map[string]func(*testing.T, contract){
		"empty":    testEmpty,
		"carry":    testCarry,
		"lease":    testLease,
		"extend":   testExtend,
		"delay":    testDelay,
		"stale":    testStale,
		"shutdown": testShutdown,
		"crowd":    testCrowd,
		"backlog":  testBacklog,
		"wakeup":   testWakeUp,
		"batch":    testBatch,
	} {
		t.Run(name, func(t *testing.T) {
			q := open(t, name, map[bool]time.Duration{true: longPoll, false: pollTime}[name == "wakeup"])
			t.Parallel()
			test(t, q)
		})
	}
}

func send(t *testing.T, q contract, body string) {
	t.Helper()
	if err := q.Send(t.Context(), []byte(body), 0); err != nil {
		t.Fatal(err)
	}
}

// receive polls until a message comes.
func receive(t *testing.T, q contract, lease time.Duration) *job.Delivery {
	t.Helper()
	for range 10 {
		d, err := q.Receive(t.Context(), lease)
		if err != nil {
			t.Fatal(err)
		}
		if d != nil {
			return d
		}
	}
	t.Fatal("no message came")
	return nil
}

// Ten messages that are sent at once are ten messages.
func testBatch(t *testing.T, q contract) {
	var bodies [][]byte
	for c := range "abcdefghij" {
		bodies = append(bodies, []byte{'a' + byte(c)})
	}
	if err := q.SendAll(t.Context(), bodies); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range bodies {
		seen[string(receive(t, q, time.Minute).Body)]++
	}
	if len(seen) != len(bodies) {
		t.Errorf("received %v", seen)
	}
}

func testEmpty(t *testing.T, q contract) {
	began := time.Now()
	if d, err := q.Receive(t.Context(), time.Minute); d != nil || err != nil {
		t.Errorf("got %v, %v", d, err)
	}
	if took := time.Since(began); took < pollTime-100*time.Millisecond {
		t.Errorf("an empty poll took %s", took)
	}
}

func testCarry(t *testing.T, q contract) {
	body := `{"v":1,"key":"recordings/señal/ \"x\" <&>\n"}` + strings.Repeat("x", 200_000)
	send(t, q, body)
	// An answer of this size may get lost between a busy server and us, and the SDK asks
	// again: then the message comes once its lease has ended, and was received twice.
	d := receive(t, q, 5*time.Second)
	if string(d.Body) != body || d.Receives < 1 || d.Receives > 2 || d.Receipt == "" {
		t.Errorf("%d bytes, received %d times, receipt %q", len(d.Body), d.Receives, d.Receipt)
	}
	if err := q.Delete(t.Context(), d.Receipt); err != nil {
		t.Error(err)
	}
	if d, err := q.Receive(t.Context(), time.Minute); d != nil || err != nil {
		t.Errorf("after it was deleted: %v, %v", d, err)
	}
}

// What isn't deleted comes again, and is counted.
func testLease(t *testing.T, q contract) {
	send(t, q, "task")
	began := time.Now()
	receive(t, q, 3*time.Second)
	d := receive(t, q, time.Minute)
	if took := time.Since(began); took < 2900*time.Millisecond || d.Receives != 2 {
		t.Errorf("again after %s, received %d times", took, d.Receives)
	}
}

func testExtend(t *testing.T, q contract) {
	send(t, q, "task")
	began := time.Now()
	d := receive(t, q, 2*time.Second)
	if err := q.Extend(t.Context(), d.Receipt, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	receive(t, q, time.Minute)
	if took := time.Since(began); took < 4900*time.Millisecond {
		t.Errorf("extended to 5 s, it came again after %s", took)
	}
}

func testDelay(t *testing.T, q contract) {
	began := time.Now()
	if err := q.Send(t.Context(), []byte("later"), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	receive(t, q, time.Minute)
	if took := time.Since(began); took < 2900*time.Millisecond {
		t.Errorf("delayed by 3 s, it came after %s", took)
	}
}

// Who lost a message can do it no harm.
func testStale(t *testing.T, q contract) {
	send(t, q, "task")
	old := receive(t, q, 2*time.Second)
	now := receive(t, q, 4*time.Second)
	if err := q.Delete(t.Context(), old.Receipt); err != nil {
		t.Errorf("delete with an old receipt: %v", err)
	}
	if err := q.Extend(t.Context(), old.Receipt, time.Hour); err != nil && !errors.Is(err, job.ErrNotHeld) {
		t.Errorf("extend with an old receipt: %v", err)
	}
	if err := q.Delete(t.Context(), now.Receipt); err != nil {
		t.Error(err)
	}
	if err := q.Delete(t.Context(), now.Receipt); err != nil {
		t.Errorf("delete a second time: %v", err)
	}
}

// A poll under way at shutdown ends, and what it brings is not lost.
func testShutdown(t *testing.T, q contract) {
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan *job.Delivery, 1)
	go func() {
		d, _ := q.Receive(ctx, time.Minute)
		got <- d
	}()
	cancel()
	send(t, q, "late")
	d := <-got
	if d == nil { // the poll had ended before: the message must be there still
		d = receive(t, q, time.Minute)
	}
	if d.Receives != 1 {
		t.Errorf("received %d times: a poll swallowed it", d.Receives)
	}
	if _, err := q.Receive(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a poll after shutdown: %v", err)
	}
}

// Nothing is lost or doubled among many senders and receivers.
func testCrowd(t *testing.T, q contract) {
	const n = 60
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { send(t, q, strings.Repeat("x", i)+".") })
	}
	wg.Wait()
	var mu sync.Mutex
	var lengths []int
	for range 5 {
		wg.Go(func() {
			for {
				d, err := q.Receive(t.Context(), time.Minute)
				if err != nil {
					t.Error(err)
				}
				if d == nil {
					return
				}
				if err := q.Delete(t.Context(), d.Receipt); err != nil {
					t.Error(err)
				}
				mu.Lock()
				lengths = append(lengths, len(d.Body))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(lengths)
	if len(lengths) != n || len(slices.Compact(lengths)) != n {
		t.Errorf("%d messages sent, received %v", n, lengths)
	}
}

func testBacklog(t *testing.T, q contract) {
	send(t, q, "a")
	send(t, q, "b")
	if err := q.Send(t.Context(), []byte("c"), time.Minute); err != nil {
		t.Fatal(err)
	}
	d := receive(t, q, time.Minute)
	if got, err := q.Backlog(t.Context()); err != nil || got != (queue.Backlog{Waiting: 1, InFlight: 1, Delayed: 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := q.Delete(t.Context(), d.Receipt); err != nil {
		t.Fatal(err)
	}
	if got, err := q.Backlog(t.Context()); err != nil || got != (queue.Backlog{Waiting: 1, Delayed: 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A message that comes during a poll ends it.
func testWakeUp(t *testing.T, q contract) {
	got := make(chan error, 1)
	began := time.Now()
	go func() {
		d, err := q.Receive(t.Context(), time.Minute)
		if err == nil && d == nil {
			err = errors.New("the poll came back empty")
		}
		got <- err
	}()
	send(t, q, "now")
	if err := <-got; err != nil || time.Since(began) >= longPoll {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// Several processes share one file: here, several handles.
func TestSQLiteSharedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queue.db")
	var queues []contract
	for range 3 {
		db, err := queue.OpenDB(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		queues = append(queues, queue.NewSQLite(db, "tasks", 100*time.Millisecond))
	}
	var wg sync.WaitGroup
	for _, q := range queues {
		wg.Go(func() {
			for range 50 {
				send(t, q, "task")
			}
		})
	}
	wg.Wait()
	var mu sync.Mutex
	receipts := map[string]bool{}
	for _, q := range queues {
		wg.Go(func() {
			for {
				d, err := q.Receive(t.Context(), time.Minute)
				if err != nil {
					t.Error(err)
				}
				if d == nil {
					return
				}
				mu.Lock()
				receipts[d.Receipt] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(receipts) != 150 {
		t.Errorf("%d messages of 150", len(receipts))
	}
}
