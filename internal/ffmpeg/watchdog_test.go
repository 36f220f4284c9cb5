package ffmpeg

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"afterlive.alt/job"
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
					reason, final = job.Verdict(err)
				}
				if reason != tc.reason || final {
					t.Errorf("ended for %q (final %t), want %q", reason, final, tc.reason)
				}
			})
		})
	}
}
