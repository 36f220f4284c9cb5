package pipeline

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"afterlive.alt/internal/trace"
)

// Metrics count what is made of recordings. docs/operations.md says what to watch.
type Metrics struct {
	stage     *prometheus.CounterVec // seconds, by stage
	media     prometheus.Counter     // seconds of recordings that were encoded
	bytes     *prometheus.CounterVec // by direction
	published prometheus.Counter
	missing   *prometheus.CounterVec // by what
}

// NewMetrics registers them; with nil they are counted for nobody.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "afterlive_" + name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "afterlive_" + name, Help: help}, []string{label})
	}
	return &Metrics{
		stage:     counters("stage_seconds_total", "Time spent, by stage: scan, encode, upload, publish.", "stage"),
		media:     counter("media_seconds_total", "Seconds of video that were encoded and kept (of audio, where there is no video); its rate is the speed against real time."),
		bytes:     counters("bytes_total", "Bytes read from recordings and written to the store.", "direction"),
		published: counter("assets_published_total", "Assets published."),
		missing:   counters("assets_incomplete_total", "Assets published that lack something of their recording, by what: no-video, no-audio, lost-frames, lost-audio, lost-time.", "what"),
	}
}

// spent counts the time of a stage that has ended, and notes it for the task's trace.
func (m *Metrics) spent(ctx context.Context, stage string, since time.Time) float64 {
	seconds := time.Since(since).Seconds()
	m.stage.WithLabelValues(stage).Add(seconds)
	trace.Note(ctx, stage, since)
	return seconds
}
