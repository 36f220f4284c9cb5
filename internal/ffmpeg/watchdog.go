package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"afterlive.alt/job"
)

var errStalled = errors.New("ffmpeg made no progress")

// sourceSilence is how long a source may send nothing. A store gives up by itself
// earlier, after several tries: this is for one that never would.
const sourceSilence = 4 * time.Minute

// watchdog ends an encoder that gets no further. While its input is waited for, that is
// not the encoder's fault, and has a limit of its own.
type watchdog struct {
	stall  time.Duration
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	waiting bool // for the source
	ended   bool
}

func newWatchdog(stall time.Duration, cancel context.CancelCauseFunc) *watchdog {
	w := &watchdog{stall: stall, cancel: cancel}
	w.timer = time.AfterFunc(stall, w.bark)
	return w
}

func (w *watchdog) bark() {
	w.mu.Lock()
	waiting := w.waiting
	w.mu.Unlock()
	if waiting {
		w.cancel(sourceFault(fmt.Errorf("read recording: nothing came for %s: %w", sourceSilence, os.ErrDeadlineExceeded)))
		return
	}
	w.cancel(job.Transient("stalled", fmt.Errorf("%w for %s", errStalled, w.stall)))
}

// wind starts the time anew.
func (w *watchdog) wind(waiting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.waiting = waiting
	w.timer.Reset(map[bool]time.Duration{true: max(sourceSilence, w.stall), false: w.stall}[waiting])
}

// asks says that the source is waited for, answered that it said something.
func (w *watchdog) asks()     { w.wind(true) }
func (w *watchdog) answered() { w.wind(false) }

// advanced says that the encoder got further, whatever it waits for.
func (w *watchdog) advanced() {
	w.mu.Lock()
	waiting := w.waiting
	w.mu.Unlock()
	w.wind(waiting)
}

func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
}

// sourceFault gives a source's silence its reason.
func sourceFault(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return job.Transient("source_silent", err)
	}
	return err
}

// Attentive is a source whose silence has a reason.
type Attentive struct{ io.ReadCloser }

func (a Attentive) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	return n, sourceFault(err)
}
