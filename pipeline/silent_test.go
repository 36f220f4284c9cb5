package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// hushed is a store whose source breaks off in silence.
type hushed struct{ *testenv.Memory }

func (s hushed) Read(_ context.Context, _, _ string, from, _ int64) (io.ReadCloser, error) {
	body := bytes.NewReader(s.Objects[smallTask.Key][from : from+1000])
	return io.NopCloser(io.MultiReader(body, iotest.ErrReader(fmt.Errorf("S3 sends nothing: %w", os.ErrDeadlineExceeded)))), nil
}

// Whoever reads a recording that stops coming blames its store, and tries again later.
func TestSourceIsSilent(t *testing.T) {
	p, store, _ := newSmall(t, smallRecording(t))
	p.Recordings = hushed{store}
	err := p.Do(t.Context(), smallTask, nil)
	if reason, final := job.Verdict(err); reason != "source_silent" || final || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("planning: %q (final %t), %v", reason, final, err)
	}
	p.Recordings = store
	must(t, p.Do(t.Context(), smallTask, nil))
	p.Recordings = hushed{store}
	plan := onlyPlan(t, store)
	err = p.produce(t.Context(), plan.Plan, chunkWork(plan.Plan, *firstChunk(t, store), 1), nil)
	if reason, final := job.Verdict(err); reason != "source_silent" || final {
		t.Errorf("encoding: %q (final %t), %v", reason, final, err)
	}
}
