package worker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
)

// What can become of a message. Every one that was received ends as exactly one of
// these, if its worker lives.
const (
	outcomeDone        = "done"
	outcomeDuplicate   = "duplicate" // it had been done before
	outcomeInterrupted = "interrupted"
	outcomeLeft        = "left" // to other workers: those of a newer version, or that have the store
	outcomeRetry       = "retry"
	outcomeFailed      = "failed"
	outcomeLeaseLost   = "lease_lost"
)

var outcomes = []string{outcomeDone, outcomeDuplicate, outcomeInterrupted, outcomeLeft, outcomeRetry, outcomeFailed, outcomeLeaseLost}

// Metrics count what becomes of messages. docs/operations.md says what to watch.
type Metrics struct {
	received    prometheus.Counter
	settled     *prometheus.CounterVec // by outcome; their sum is received, but for what is in work
	working     prometheus.Gauge
	failures    *prometheus.CounterVec // by reason: attempts that failed, for good or not
	pollErrors  prometheus.Counter
	settleErrs  prometheus.Counter
	taskSeconds *prometheus.HistogramVec // by kind
	ignored     prometheus.Counter
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
	m := &Metrics{
		received:   counter("messages_received_total", "Messages received."),
		settled:    counters("messages_settled_total", "Messages settled, by outcome: done, duplicate, interrupted, left, retry, failed, lease_lost.", "outcome"),
		working:    f.NewGauge(prometheus.GaugeOpts{Name: "afterlive_messages_in_work", Help: "Messages held at the moment."}),
		failures:   counters("attempts_failed_total", "Attempts that failed, by reason code.", "reason"),
		pollErrors: counter("receive_errors_total", "Polls of the queue that failed."),
		settleErrs: counter("settle_errors_total", "Messages whose end the queue did not confirm; they come again, and are found done."),
		taskSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "afterlive_task_seconds", Help: "Time per task, by kind.", Buckets: prometheus.ExponentialBuckets(0.25, 2, 14),
		}, []string{"kind"}),
		ignored: counter("events_ignored_total", "Messages that were no recordings: deletions, test events, our own output."),
	}
	for _, o := range outcomes {
		m.settled.WithLabelValues(o) // an alarm on what has never happened needs its zero
	}
	return m
}

// Tally is what became of the messages so far, and under "received" how many there
// were.
func (m *Metrics) Tally() map[string]int {
	tally := map[string]int{"received": value(m.received)}
	for _, o := range outcomes {
		if n := value(m.settled.WithLabelValues(o)); n > 0 {
			tally[o] = n
		}
	}
	return tally
}

func value(c prometheus.Counter) int {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return -1
	}
	return int(m.GetCounter().GetValue())
}
