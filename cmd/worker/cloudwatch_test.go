package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"afterlive.alt/internal/worker"
	"afterlive.alt/pipeline"
)

// Each minute's growth is a line of CloudWatch's embedded metric format, and what has grown since is told at the end; where nothing
// has, nothing is logged.
func TestToCloudWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		settled := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "afterlive_messages_settled_total", Help: "h"}, []string{"outcome"})
		failed := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "afterlive_attempts_failed_total", Help: "h"}, []string{"reason"})
		registry.MustRegister(settled, failed)
		var out bytes.Buffer
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(&out), zap.InfoLevel))
		end := toCloudWatch(t.Context(), log, registry, "events")
		settled.WithLabelValues("done").Add(3)
		settled.WithLabelValues("retry").Inc()
		failed.WithLabelValues("bad_output").Inc()
		failed.WithLabelValues("scratch_full").Inc()
		time.Sleep(90 * time.Second) // a minute's line, on synctest's clock
		settled.WithLabelValues("done").Inc()
		time.Sleep(5 * time.Minute)
		settled.WithLabelValues("lease_lost").Inc()
		end()
		var got []map[string]any
		for line := range strings.Lines(out.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			aws, ok := fields["_aws"].(map[string]any)
			if !ok || aws["Timestamp"] == nil {
				t.Fatalf("no metrics in %s", line)
			}
			delete(aws, "Timestamp")
			got = append(got, fields)
		}
		metrics := func(names ...string) map[string]any {
			list := []any{}
			for _, n := range names {
				list = append(list, map[string]any{"Name": n, "Unit": "Count"})
			}
			return map[string]any{"CloudWatchMetrics": []any{map[string]any{"Namespace": "events", "Dimensions": []any{[]any{}}, "Metrics": list}}}
		}
		want := []map[string]any{
			{"msg": "figures", "TasksDone": 3.0, "MessagesSettled": 4.0, "AttemptsFailed": 2.0, "_aws": metrics("TasksDone", "MessagesSettled", "AttemptsFailed")},
			{"msg": "figures", "TasksDone": 1.0, "MessagesSettled": 1.0, "_aws": metrics("TasksDone", "MessagesSettled")},
			{"msg": "figures", "LeasesLost": 1.0, "MessagesSettled": 1.0, "_aws": metrics("LeasesLost", "MessagesSettled")},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// What is told to CloudWatch is counted by the worker.
func TestFiguresAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	worker.NewMetrics(registry)
	pipeline.NewMetrics(registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"afterlive_attempts_failed_total": true} // it has no reason yet
	for _, f := range families {
		known[f.GetName()] = true
		for _, metric := range f.GetMetric() {
			for _, l := range metric.GetLabel() {
				known[f.GetName()+l.GetValue()] = true
			}
		}
	}
	for _, f := range figures {
		if !known[f.family] || f.label != "" && !known[f.family+f.label] {
			t.Errorf("%s: nobody counts %s of %s", f.name, f.label, f.family)
		}
	}
}
