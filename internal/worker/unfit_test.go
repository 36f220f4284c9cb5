package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// While there is no room, no task is taken, and nothing is wrong with the worker; when there is, it goes on.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		full.Store(true)
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error { return nil }, func(b *bench) {
			b.Ready = func() error {
				if full.Load() {
					return errors.New("0 MiB left")
				}
				return nil
			}
		})
		time.Sleep(10 * time.Minute)
		if len(b.queue.Bodies()) != 1 || b.hold != nil || b.Healthy() != nil {
			t.Errorf("%d tasks wait, healthy: %v", len(b.queue.Bodies()), b.Healthy())
		}
		full.Store(false)
		time.Sleep(time.Minute)
		if len(b.queue.Bodies()) != 0 {
			t.Error("it is not done when there is room again")
		}
		b.end(t)
	})
}

// A worker that is to end when nothing is left to do says what keeps it from doing so, and doesn't wait for ever.
func TestNoRoomWhenIdle(t *testing.T) {
	for left, want := range map[bool]string{true: "worker cannot take tasks: 0 MiB left", false: ""} {
		synctest.Test(t, func(t *testing.T) {
			w := &Worker{
				Queue: &testenv.Messages{}, Slots: 2, Lease: testLease, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t),
				Ready: func() error { return errors.New("0 MiB left") }, Idle: func(context.Context) (bool, error) { return !left, nil },
			}
			if err := w.Run(t.Context(), t.Context()); (err == nil) != (want == "") || err != nil && err.Error() != want {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

// A queue that is gone ends the worker, which whoever runs it starts anew.
func TestQueueIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Worker{Queue: vanished{&testenv.Messages{}}, Slots: 2, Lease: testLease, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t)}
		if err := w.Run(t.Context(), t.Context()); !errors.Is(err, job.ErrQueueGone) {
			t.Errorf("it ends with %v", err)
		}
	})
}

type vanished struct{ *testenv.Messages }

func (vanished) Receive(context.Context, time.Duration) (*job.Delivery, error) {
	return nil, fmt.Errorf("receive: %w", job.ErrQueueGone)
}
