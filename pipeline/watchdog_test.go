package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// An encoder that gets no further is ended after --stall, and is to blame; while its
// source says nothing, the source is, and gets the time that a store takes for its tries.
func TestWatchdog(t *testing.T) {
	const stall = time.Minute
	for _, tc := range []struct {
		name   string
		run    func(w *watchdog)
		reason string
	}{
		{"advances", func(w *watchdog) {
			for range 10 {
				time.Sleep(stall - time.Second)
				w.advanced()
			}
		}, ""},
		{"stands still", func(*watchdog) { time.Sleep(stall + time.Second) }, "stalled"},
		{"source takes its time, and answers", func(w *watchdog) {
			for range 5 {
				w.asks()
				time.Sleep(sourceSilence - time.Second)
				w.answered()
			}
		}, ""},
		{"source takes its time, encoder still has something to do", func(w *watchdog) {
			w.asks()
			time.Sleep(sourceSilence - time.Second)
			w.advanced()
			time.Sleep(sourceSilence - time.Second)
		}, ""},
		{"source never answers", func(w *watchdog) { w.asks(); time.Sleep(sourceSilence + time.Second) }, "source_silent"},
		{"source has answered, and encoder stands still", func(w *watchdog) {
			w.asks()
			time.Sleep(sourceSilence - time.Second)
			w.answered()
			time.Sleep(stall + time.Second)
		}, "stalled"},
		{"has ended", func(w *watchdog) { w.end(); w.asks(); time.Sleep(time.Hour) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				w := newWatchdog(stall, cancel)
				defer w.end()
				tc.run(w)
				synctest.Wait()
				reason, final := "", false
				if err := context.Cause(ctx); err != nil {
					reason, final = verdict(err)
				}
				if reason != tc.reason || final {
					t.Errorf("ended for %q (final %t), want %q", reason, final, tc.reason)
				}
			})
		})
	}
}

// hushed is a store whose source breaks off in silence.
type hushed struct{ *memory }

func (s hushed) Read(_ context.Context, _, _ string, from, _ int64) (io.ReadCloser, error) {
	body := bytes.NewReader(s.objects[smallTask.Key][from : from+1000])
	return io.NopCloser(io.MultiReader(body, failing{fmt.Errorf("S3 sends nothing: %w", os.ErrDeadlineExceeded)})), nil
}

// Whoever reads a recording that stops coming blames its store, and tries again later.
func TestSourceIsSilent(t *testing.T) {
	p, store, _ := newSmall(t, smallRecording(t))
	p.Recordings = hushed{store}
	err := p.Do(t.Context(), smallTask, nil)
	if reason, final := verdict(err); reason != "source_silent" || final || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("planning: %q (final %t), %v", reason, final, err)
	}
	p.Recordings = store
	must(t, p.Do(t.Context(), smallTask, nil))
	p.Recordings = hushed{store}
	plan := onlyPlan(t, store)
	err = p.produce(t.Context(), plan.Plan, chunkWork(plan.Plan, *firstChunk(t, store), 1), nil)
	if reason, final := verdict(err); reason != "source_silent" || final {
		t.Errorf("encoding: %q (final %t), %v", reason, final, err)
	}
}
