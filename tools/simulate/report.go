package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"afterlive/ecs"
	"afterlive/internal/fleet"
)

// prices are those of prices.yaml.
type prices struct {
	Fargate struct {
		CPU float64 `yaml:"cpu_hour"`
		GiB float64 `yaml:"gib_hour"`
	} `yaml:"fargate"`
	Spot struct {
		CPU float64 `yaml:"cpu_hour"`
		GiB float64 `yaml:"gib_hour"`
	} `yaml:"fargate_spot"`
	SQS  float64 `yaml:"sqs_million_requests"`
	Puts float64 `yaml:"s3_thousand_puts"`
	Gets float64 `yaml:"s3_thousand_gets"`
}

// assumed is what the simulation takes for granted of the work and of AWS.
func assumed(cpus, cost float64) (fleet.Work, fleet.Cloud, fleet.Worker) {
	return fleet.Work{Chunk: 60, Speed: cpus * core / cost, Sound: 80, Scan: 80e6, Upload: 30e6, Overhead: 3},
		fleet.Cloud{Start: [2]float64{35, 75}, MetricDelay: 1, Notice: 120},
		fleet.Worker{Poll: 20, Pause: 2, Protected: true}
}

// run simulates a trace with the template's policy; whole: with a message for every
// recording, and a task for every message.
func run(t trace, p *fleet.Policy, whole bool) *fleet.Result {
	cost := flatCost
	if t.Sphere {
		cost = sphereCost
	}
	work, cloud, worker := assumed(p.CPUs, cost)
	cloud.Interruptions, cloud.Losses = t.Interruptions, t.Losses
	worker.Lease, worker.Drain = p.Lease, p.Drain
	policy := *p
	if whole {
		policy.Target = 1
	}
	return fleet.Run(fleet.Config{
		Work: work, Cloud: cloud, Worker: worker, Policy: &policy, Whole: whole, Trace: t.Recordings, Until: t.Length, Seed: 1,
	})
}

// cost is what a result costs: tasks on spot, requests to SQS, objects in S3.
func cost(r *fleet.Result, p *fleet.Policy, c prices, recorded float64) (tasks, requests float64) {
	const rungs, segment = 5, 6.0
	tasks = r.TaskSeconds / hour * (p.CPUs*c.Spot.CPU + p.Memory*c.Spot.GiB)
	puts := recorded/segment*(rungs+1) + 2*float64(r.Messages)
	return tasks, float64(r.Polls+r.Messages)/1e6*c.SQS + puts/1000*c.Puts + 3*float64(r.Messages)/1000*c.Gets
}

func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

func clock(seconds float64) string {
	n := int(math.Round(seconds))
	if n < 3600 {
		return fmt.Sprintf("%d:%02d", n/60, n%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

func recorded(t trace) (seconds float64) {
	for _, r := range t.Recordings {
		seconds += r.Length
	}
	return seconds
}

// idle is the share of the minutes in which no task ran, or was wanted.
func idle(r *fleet.Result) float64 {
	n := 0
	for _, m := range r.Minutes {
		if m.Running+m.Desired == 0 {
			n++
		}
	}
	return float64(n) / float64(len(r.Minutes))
}

// table is the result of every trace, as Markdown, with the alternative below each.
func table(p *fleet.Policy, c prices) string {
	var b strings.Builder
	b.WriteString("| trace | messages | time to VOD, p50 | p95 | task hours | cut off | done again | worst cut | busy tasks removed | at zero | USD | USD per hour recorded |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, t := range traces() {
		for _, whole := range []bool{false, true} {
			r := run(t, p, whole)
			tasks, requests := cost(r, p, c, recorded(t))
			name := t.Title
			if whole {
				name = "– one message a recording"
			}
			fmt.Fprintf(&b, "| %s | %d | %s | %s | %.1f | %d | %.1f %% | %s | %d | %.0f %% | %.2f | %.4f |\n", name, r.Messages,
				clock(percentile(r.Wait, 0.5)), clock(percentile(r.Wait, 0.95)), r.TaskSeconds/hour, r.Interrupted,
				100*r.Redone/(r.Work+r.Redone), clock(r.MostRedone), r.BusyRemoved, 100*idle(r), tasks+requests, (tasks+requests)/(recorded(t)/hour))
		}
	}
	return b.String()
}

// sizes is how many tasks a fleet may have, against the time to VOD of 50 recordings of
// an hour, flat and as spheres.
func sizes(p *fleet.Policy, c prices) string {
	var b strings.Builder
	b.WriteString("| MaxTasks | flat, p50 | p95 | task hours | USD | 360, p50 | p95 | task hours | USD |\n|---|---|---|---|---|---|---|---|---|\n")
	flat := traces()[1]
	sphere := flat
	sphere.Sphere = true
	for _, most := range []int{5, 10, 20, 50, 100, 200} {
		fmt.Fprintf(&b, "| %d ", most)
		for _, t := range []trace{flat, sphere} {
			q := *p
			q.Max = most
			if t.Sphere {
				q.Target = 3
			}
			r := run(t, &q, false)
			tasks, requests := cost(r, p, c, recorded(t))
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.2f ", clock(percentile(r.Wait, 0.5)), clock(percentile(r.Wait, 0.95)), r.TaskSeconds/hour, tasks+requests)
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// variants are policies beside that of the template: what it was tuned by.
func variants(p *fleet.Policy) string {
	var b strings.Builder
	b.WriteString("| policy | one event of 3 h | task hours | 50 together, p95 | task hours | day, p95 | task hours | week, p95 | task hours |\n|---|---|---|---|---|---|---|---|---|\n")
	all := traces()
	for _, v := range []struct {
		name   string
		change func(*fleet.Policy)
	}{
		{"**the template's**", func(*fleet.Policy) {}},
		{"1 message a task", func(p *fleet.Policy) { p.Target = 1 }},
		{"5 messages a task", func(p *fleet.Policy) { p.Target = 5 }},
		{"20 messages a task", func(p *fleet.Policy) { p.Target = 20 }},
		{"a task that is wanted counts, not one that runs", func(p *fleet.Policy) { p.PerDesired = true }},
		{"no steps while a task runs", func(p *fleet.Policy) { p.Surge = 0 }},
		{"not halved", func(p *fleet.Policy) { p.HalveFor = 0 }},
		{"not halved, but tracked in", func(p *fleet.Policy) { p.HalveFor, p.OutOnly = 0, false }},
		{"one task out of zero", func(p *fleet.Policy) { p.Steps = []fleet.Step{{To: math.Inf(1), Add: 1}} }},
		{"nobody keeps the queue awake", func(p *fleet.Policy) { p.AwakeInHours = 0 }},
	} {
		q := *p
		v.change(&q)
		fmt.Fprintf(&b, "| %s ", v.name)
		for _, t := range all[:4] {
			r := run(t, &q, false)
			fmt.Fprintf(&b, "| %s | %.1f ", clock(percentile(r.Wait, 0.95)), r.TaskSeconds/hour)
		}
		b.WriteString("|\n")
	}
	return b.String()
}

func policy() (*fleet.Policy, error) {
	t, err := ecs.Parse(ecs.Vod)
	if err != nil {
		return nil, err
	}
	return fleet.ReadPolicy(t)
}
