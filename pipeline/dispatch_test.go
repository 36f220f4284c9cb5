package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// outbox is a queue that counts batches and can fail at one.
type outbox struct {
	testenv.Messages

	batches, failsAt int
	after            bool // it has done what it says that it could not
}

func (o *outbox) SendAll(ctx context.Context, bodies [][]byte) error {
	o.batches++
	if o.batches != o.failsAt || o.after {
		for _, b := range bodies {
			if err := o.Send(ctx, b, 0); err != nil {
				return err
			}
		}
	}
	if o.batches == o.failsAt {
		return errors.New("no answer")
	}
	return nil
}

func manyChunks(n int) *ladder.Job {
	return &ladder.Job{
		Plan: &ladder.Plan{Version: ladder.PlanVersion, Job: "0123456789abcdef", Created: time.Unix(1, 0)},
		End:  &ladder.End{Chunks: make([]ladder.Span, n), Frames: 1},
	}
}

// Messages are sent in batches, once, and who comes after a failure goes on where it was.
func TestDispatch(t *testing.T) {
	for _, tc := range []struct {
		name    string
		failsAt int
		after   bool
		want    int // messages for 25 chunks
	}{
		{name: "well", want: 25},
		{name: "the second batch fails", failsAt: 2, want: 25},
		{name: "the second batch is sent, and its answer is lost", failsAt: 2, after: true, want: 35},
	} {
		t.Run(tc.name, func(t *testing.T) {
			queue := &outbox{failsAt: tc.failsAt, after: tc.after}
			store, plan := testenv.NewMemory(), manyChunks(25)
			p := &Pipeline{Queue: queue, Store: store, Worker: "w", Log: zaptest.NewLogger(t)}
			store.Put(ladder.DispatchKey(plan.Job), mustJSON(ledger.Dispatch{Plan: plan.Created, Chunks: plan.Chunks, Ended: true}))
			_, err := p.dispatch(t.Context(), plan.Plan, nil, nil)
			if (err != nil) != (tc.failsAt > 0) {
				t.Fatal(err)
			}
			for range 3 { // redelivered, or told of by somebody else
				_, err := p.dispatch(t.Context(), plan.Plan, nil, nil)
				must(t, err)
			}
			if n := len(queue.Bodies()); n != tc.want {
				t.Errorf("%d messages, want %d", n, tc.want)
			}
			if tc.failsAt == 0 && queue.batches != 3 {
				t.Errorf("%d batches", queue.batches)
			}
			last, err := job.Parse([]byte(queue.Bodies()[len(queue.Bodies())-1]))
			if err != nil || last[0].Name() != "chunk-00024" {
				t.Errorf("the last is %+v, %v", last, err)
			}
		})
	}
}

// A dispatcher that died while it sent is waited for, and then another goes on.
func TestDispatcherDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, store, plan := &outbox{}, testenv.NewMemory(), manyChunks(25)
		p := &Pipeline{Queue: queue, Store: store, Worker: "w", Log: zaptest.NewLogger(t)}
		var lease *worker.Lease // of a minute
		store.Put(ladder.DispatchKey(plan.Job), mustJSON(ledger.Dispatch{
			Plan: plan.Created, Chunks: plan.Chunks, Ended: true, Sent: 10,
			Claim: ledger.Claim{By: "the dead", Until: time.Now().Add(lease.Length())},
		}))
		_, err := p.dispatch(t.Context(), plan.Plan, nil, lease)
		busy, ok := errors.AsType[*busyError](err)
		if !ok || busy.LeaveFor() != brieflyBusy || len(queue.Bodies()) != 0 {
			t.Fatalf("got %v, %d messages", err, len(queue.Bodies()))
		}
		time.Sleep(lease.Length())
		if sent, err := p.dispatch(t.Context(), plan.Plan, nil, lease); err != nil || sent != 15 {
			t.Errorf("%d messages, %v", sent, err)
		}
	})
}

// A copy of a message that comes while its part is being made is put back until the claim
// ends. A claim is renewed while the work lasts, is given up with it, and ends with its holder.
func TestClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, plan := testenv.NewMemory(), manyChunks(1)
		var lease *worker.Lease // of a minute
		p := &Pipeline{Store: store, Worker: "w", Log: zaptest.NewLogger(t)}
		again := func() error {
			return p.whileClaimed(t.Context(), plan.Plan, "chunk-00000", lease, func() error { return nil })
		}
		failed := errors.New("no")
		err := p.whileClaimed(t.Context(), plan.Plan, "chunk-00000", lease, func() error {
			for range 10 {
				busy, ok := errors.AsType[*busyError](again())
				if !ok || busy.LeaveFor() > time.Minute || busy.LeaveFor() < 30*time.Second {
					t.Errorf("a copy was not put back: %v", busy)
				}
				time.Sleep(59 * time.Second)
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		must(t, again()) // at once: what failed is claimed by nobody
		time.Sleep(time.Minute)
		must(t, again()) // the claim of what was done ends
	})
}

// Workers that die over a part leave their claims. The third that would be taken over is a crash
// loop: the queue, whose message was put back in between, doesn't see that.
func TestClaimsOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, plan := testenv.NewMemory(), manyChunks(1)
		var lease *worker.Lease // of a minute
		p := &Pipeline{Store: store, Worker: "w", Log: zaptest.NewLogger(t)}
		begun := 0
		die := func() {
			defer func() { _ = recover() }()
			_ = p.whileClaimed(t.Context(), plan.Plan, "chunk-00000", lease, func() error { begun++; panic("killed") })
		}
		for range maxTaken {
			die()
			expire(t, store)
		}
		err := p.whileClaimed(t.Context(), plan.Plan, "chunk-00000", lease, func() error { begun++; return nil })
		if reason, final := job.Verdict(err); reason != job.CrashLoop || !final || begun != maxTaken {
			t.Errorf("begun %d times, then %v", begun, err)
		}
		// An operator who replays it has it tried as often again.
		for range maxTaken - 1 {
			die()
			expire(t, store)
		}
		must(t, p.whileClaimed(t.Context(), plan.Plan, "chunk-00000", lease, func() error { begun++; return nil }))
		if begun != 2*maxTaken {
			t.Errorf("begun %d times", begun)
		}
		// What failed in a way that could be told has killed nobody.
		other := manyChunks(2)
		for range 2 * maxTaken {
			failed := errors.New("no")
			if err := p.whileClaimed(t.Context(), other.Plan, "chunk-00001", lease, func() error { return failed }); !errors.Is(err, failed) {
				t.Fatal(err)
			}
		}
		// Nobody waits for a clock that is a day ahead.
		store.Put(ladder.ClaimKey(plan.Job, "chunk-00007"), mustJSON(ledger.Claim{By: "x", Until: time.Now().Add(24 * time.Hour)}))
		must(t, p.whileClaimed(t.Context(), plan.Plan, "chunk-00007", lease, func() error { return nil }))
	})
}
