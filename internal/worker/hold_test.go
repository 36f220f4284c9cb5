package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zaptest"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// A task that will be done in time is waited for at a shutdown; any other is handed
// back at once, and doesn't spend the host's last minutes in vain.
func TestDrainByEstimate(t *testing.T) {
	for _, tc := range []struct {
		name     string
		expect   time.Duration // the task's own estimate; 0: none
		takes    time.Duration
		finished bool
		within   time.Duration // of the shutdown, the worker ends
	}{
		{"fits", 15 * time.Second, 16 * time.Second, true, 17 * time.Second},
		{"doesn't fit", 5 * time.Minute, 5 * time.Minute, false, time.Second},
		{"says nothing, is soon done", 0, 4 * time.Second, true, 5 * time.Second},
		{"says nothing, goes on", 0, time.Hour, false, 6 * time.Second},
		{"was too hopeful", 10 * time.Second, time.Hour, false, 21 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, chunkTask.Body(), func(ctx context.Context, b *bench) error {
					if tc.expect > 0 {
						b.hold.Expect(tc.expect)
					}
					b.stop()
					if !sleep(ctx, tc.takes) {
						return ctx.Err()
					}
					return nil
				}, func(b *bench) { b.Drain = 20 * time.Second })
				began := time.Now()
				if err := <-b.done; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > tc.within {
					t.Errorf("the worker ended after %s", took)
				}
				if left := len(b.queue.Bodies()); (left == 0) != tc.finished {
					t.Errorf("%d messages are left", left)
				}
			})
		})
	}
}

// Before it commits, a task proves that its message is still its own.
func TestProve(t *testing.T) {
	unreachable := errors.New("connection refused")
	for _, tc := range []struct {
		name string
		age  time.Duration // of the lease
		says error         // the queue, to the extra heartbeat
		lost bool
	}{
		{"held", 20 * time.Second, nil, false},
		{"somebody else has it", 20 * time.Second, job.ErrNotHeld, true},
		{"queue is silent, and there is time", 20 * time.Second, unreachable, false},
		{"queue is silent, and there is not", 100 * time.Second, unreachable, true},
		{"too late, though the queue says yes", 121 * time.Second, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &testenv.Messages{OnExtend: func() error { return tc.says }}
				must(t, q.Send(t.Context(), chunkTask.Body(), 0))
				began := time.Now()
				d := q.Take(testLease)
				l := &lease{queue: q, receipt: d.Receipt, length: testLease, began: began, until: began.Add(testLease), log: zaptest.NewLogger(t), alive: func() {}}
				time.Sleep(tc.age)
				if err := l.prove(t.Context()); errors.Is(err, errLeaseLost) != tc.lost {
					t.Errorf("got %v", err)
				}
				if !tc.lost && tc.says == nil && l.left() != testLease {
					t.Errorf("%s are left after an extra heartbeat", l.left())
				}
			})
		})
	}
}

// Who steps the wall clock by an hour changes no lease: its times carry a monotonic
// reading, which arithmetic and comparison prefer. Rounding, zones or a detour
// through Unix time would drop it.
func TestLeaseClockIsMonotonic(t *testing.T) {
	q := &testenv.Messages{}
	must(t, q.Send(t.Context(), chunkTask.Body(), 0))
	d := q.Take(testLease)
	began := time.Now()
	l := &lease{queue: q, receipt: d.Receipt, length: testLease, began: began, until: began.Add(testLease), log: zaptest.NewLogger(t), alive: func() {}}
	for _, at := range []time.Time{l.began, l.until} {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%s has no monotonic reading", at)
		}
	}
	must(t, l.heartbeat(t.Context()))
	if !strings.Contains(l.until.String(), " m=") {
		t.Errorf("after a heartbeat, %s has no monotonic reading", l.until)
	}
}

// A worker is unwell if the queue doesn't answer, or if a task outlives its end;
// not because a task takes long.
func TestHealthy(t *testing.T) {
	t.Run("long task", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, chunkTask.Body(), func(ctx context.Context, b *bench) error { sleep(ctx, 5*time.Hour); return ctx.Err() })
			for range 300 {
				time.Sleep(time.Minute)
				if err := b.Healthy(); err != nil {
					t.Fatal(err)
				}
			}
			b.end(t)
			if err := b.Healthy(); err != nil {
				t.Errorf("ended: %v", err)
			}
		})
	})
	t.Run("heartbeats far between", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, chunkTask.Body(), func(ctx context.Context, b *bench) error { sleep(ctx, 5*time.Hour); return ctx.Err() }, func(b *bench) { b.Lease = time.Hour })
			for range 300 {
				time.Sleep(time.Minute)
				if err := b.Healthy(); err != nil {
					t.Fatal(err)
				}
			}
			b.end(t)
		})
	})
	t.Run("queue is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stop, cancel := context.WithCancel(t.Context())
			w := &Worker{Queue: &down{}, Slots: 1, Lease: testLease, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t)}
			done := make(chan error)
			go func() { done <- w.Run(stop, t.Context()) }()
			time.Sleep(time.Minute)
			if err := w.Healthy(); err != nil {
				t.Errorf("after a minute: %v", err)
			}
			time.Sleep(2 * time.Minute)
			if err := w.Healthy(); err == nil || !strings.Contains(err.Error(), "queue") {
				t.Errorf("after three minutes: %v", err)
			}
			cancel()
			<-done
		})
	})
	t.Run("task cannot be killed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, chunkTask.Body(), func(_ context.Context, b *bench) error { b.stop(); time.Sleep(time.Hour); return nil })
			time.Sleep(10 * time.Second)
			_ = b.Healthy() // notices that it was cancelled
			time.Sleep(20 * time.Second)
			if err := b.Healthy(); err != nil {
				t.Errorf("after 30 s: %v", err)
			}
			time.Sleep(30 * time.Second)
			if err := b.Healthy(); err == nil || !strings.Contains(err.Error(), "cancelled") {
				t.Errorf("after a minute: %v", err)
			}
			<-b.done
		})
	})
}

// Every message that was received is counted under exactly one outcome.
func TestMetricsReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		b := start(t, chunkTask.Body(), func(ctx context.Context, b *bench) error {
			tries++
			switch tries % 4 {
			case 0:
				return errors.New("S3 says 503")
			case 1:
				return job.Permanent("no_plan", errors.New("gone"))
			case 2:
				b.hold.Duplicate()
			}
			return nil
		})
		for range 19 {
			must(t, b.queue.Send(t.Context(), chunkTask.Body(), 0))
		}
		must(t, b.queue.Send(t.Context(), []byte("{"), 0))
		time.Sleep(3 * time.Hour)
		b.end(t)
		tally := b.Metrics.Tally()
		sum := -tally["received"]
		for _, n := range tally {
			sum += n
		}
		if sum != tally["received"] || sum < 21 || testutil.ToFloat64(b.Metrics.working) != 0 {
			t.Errorf("settled %d: %v", sum, tally)
		}
		if len(b.queue.Bodies()) > 0 || len(b.failed.Bodies()) != tally[outcomeFailed] || tally[outcomeRetry] == 0 || tally[outcomeDuplicate] == 0 {
			t.Errorf("tally %v, left %q, failed %d", tally, b.queue.Bodies(), len(b.failed.Bodies()))
		}
	})
}
