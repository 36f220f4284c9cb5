package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
)

// unitCount is CloudWatch's unit of what is counted.
const unitCount = "Count"

// settled counts messages, by what became of them.
const settled = "afterlive_messages_settled_total"

// figures are what CloudWatch gets of the worker's metrics, by the names that the template's alarms and its dashboard go by. Each costs
// money by the month, so there are no more than those need.
var figures = []struct {
	name, family string
	label        string // only those with this value of their label; "": all
}{
	{"TasksDone", settled, "done"},
	{"TasksInterrupted", settled, "interrupted"},
	{"LeasesLost", settled, "lease_lost"},
	{"MessagesSettled", settled, ""},
	{"AttemptsFailed", "afterlive_attempts_failed_total", ""},
	{"ReceiveErrors", "afterlive_receive_errors_total", ""},
	{"SettleErrors", "afterlive_settle_errors_total", ""},
}

// toCloudWatch logs every minute, and once when the returned function is called, by how much the figures have grown: in CloudWatch's
// embedded metric format (its manual, "Specification: Embedded metric format"), of which AWS makes metrics.
func toCloudWatch(ctx context.Context, log *zap.Logger, metrics prometheus.Gatherer, namespace string) (end func()) {
	last := map[string]float64{}
	measure := func() {
		now, err := count(metrics)
		if err != nil {
			log.Warn("figures cannot be counted", zap.Error(err))
			return
		}
		if fields := embedded(namespace, time.Now(), now, last); fields != nil {
			log.Info("figures", fields...)
		}
		last = now
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				measure()
			case <-stop:
				measure()
				return
			case <-ctx.Done():
				measure()
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// count is what each figure has come to.
func count(metrics prometheus.Gatherer) (map[string]float64, error) {
	families, err := metrics.Gather()
	if err != nil {
		return nil, err
	}
	by := map[string]*dto.MetricFamily{}
	for _, f := range families {
		by[f.GetName()] = f
	}
	all := map[string]float64{}
	for _, f := range figures {
		for _, m := range by[f.family].GetMetric() {
			if f.label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == f.label {
				all[f.name] += m.GetCounter().GetValue()
			}
		}
	}
	return all, nil
}

// embedded are the fields of a log line; nil: nothing has grown.
func embedded(namespace string, at time.Time, now, last map[string]float64) []zap.Field {
	type metric struct {
		Name string `json:"Name"`
		Unit string `json:"Unit"`
	}
	type directive struct {
		Namespace  string     `json:"Namespace"`
		Dimensions [][]string `json:"Dimensions"`
		Metrics    []metric   `json:"Metrics"`
	}
	d := directive{Namespace: namespace, Dimensions: [][]string{{}}}
	var values []zap.Field
	for _, f := range figures {
		if grown := now[f.name] - last[f.name]; grown > 0 {
			d.Metrics = append(d.Metrics, metric{f.name, unitCount})
			values = append(values, zap.Float64(f.name, grown))
		}
	}
	if d.Metrics == nil {
		return nil
	}
	return append(values, zap.Any("_aws", map[string]any{"Timestamp": at.UnixMilli(), "CloudWatchMetrics": []directive{d}}))
}
