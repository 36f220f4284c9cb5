package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"afterlive.alt/ecs"
	"afterlive.alt/internal/fleet"
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
	Address float64 `yaml:"public_address_hour"`
	Disk    float64 `yaml:"disk_gib_hour"`
	SQS     float64 `yaml:"sqs_million_requests"`
	Puts    float64 `yaml:"s3_thousand_puts"`
	Gets    float64 `yaml:"s3_thousand_gets"`
}

// seeds are how often a trace is run; tables have the median.
const seeds = 5

// way is how recordings are worked on.
type way int

const (
	chunked  way = iota // in chunks, when they have ended
	followed            // in segments, while they grow, and viewers watch
	unseen              // in chunks, while they grow: viewers watch when they have ended
	whole               // one message for a recording, and a task for every message
)

// How recordings that grow are worked on: by the defaults of follow and the profiles, and with "live: vod" and "follow --tell 30s". What a look and a
// message take beside its encoding was measured (docs/capacity.md).
var growing = map[way]fleet.Live{
	followed: {Head: 12, Chunk: 6, Last: 6, Worth: 5, Every: 5, Look: 0.3, Overhead: 0.6},
	unseen:   {Head: 12, Chunk: 30, Last: 6, Worth: 30, Every: 5, Look: 0.3, Overhead: 0.6},
}

// run simulates a trace of a kind with the template's policy.
func run(t trace, k kind, p *fleet.Policy, w way, protected bool, seed uint64) (*fleet.Result, error) {
	policy := *p
	if k.target > 0 {
		policy.Target = k.target
	}
	if w == whole {
		policy.Target = 1
	}
	recordings := slices.Clone(t.Recordings)
	for i := range recordings {
		recordings[i].Bytes = recordings[i].Length * k.rate
	}
	c := fleet.Config{
		Work: fleet.Work{Chunk: 60, Uneven: true, Speed: p.CPUs * core / k.cost, Scan: 80e6, Upload: 30e6, Overhead: 3},
		Cloud: fleet.Cloud{
			Start: [2]float64{35, 75}, MetricDelay: 1, Scheduler: 10, Notice: 120, Interruptions: t.Interruptions, Losses: t.Losses,
		},
		Worker: fleet.Worker{Lease: p.Lease, Drain: p.Drain, Poll: 20, Pause: 2, Within: 60, Protected: protected},
		Policy: &policy, Whole: w == whole, Trace: recordings, Until: t.Length, Seed: seed,
	}
	if live, ok := growing[w]; ok {
		c.Live = &live
	}
	return fleet.Run(c)
}

// outcome is the median of a trace's runs.
type outcome struct {
	messages               int
	p50, p95               float64 // seconds from the end of the stream
	hours                  float64 // of tasks
	cut, redone, worst     float64 // messages; share of all work; seconds
	busyRemoved, unguarded float64 // tasks that were at work; without protection
	idle                   float64 // share of the minutes without a task
	lag                    float64 // 95th percentile of seconds by which a followed event is behind
	usd                    float64
}

func simulateTrace(t trace, k kind, p *fleet.Policy, c prices, w way) (outcome, error) {
	figures := make([][]float64, 10)
	var o outcome
	for seed := range uint64(seeds) {
		r, err := run(t, k, p, w, true, seed)
		if err != nil {
			return o, fmt.Errorf("%s: %w", t.Name, err)
		}
		bare := r
		if w == chunked { // long messages may never be done where nobody protects them
			if bare, err = run(t, k, p, w, false, seed); err != nil {
				return o, fmt.Errorf("%s, unprotected: %w", t.Name, err)
			}
		}
		o.messages = r.Messages
		for i, x := range []float64{
			percentile(r.Wait, 0.5), percentile(r.Wait, 0.95), r.TaskSeconds / hour, float64(r.Interrupted), r.Redone / (r.Work + r.Redone), r.MostRedone,
			float64(bare.BusyRemoved), idle(r), c.cost(r, p, k, t, w), lag(r),
		} {
			figures[i] = append(figures[i], x)
		}
		o.busyRemoved = max(o.busyRemoved, float64(r.BusyRemoved))
	}
	for i, to := range []*float64{&o.p50, &o.p95, &o.hours, &o.cut, &o.redone, &o.worst, &o.unguarded, &o.idle, &o.usd, &o.lag} {
		*to = percentile(figures[i], 0.5)
	}
	return o, nil
}

func lag(r *fleet.Result) float64 {
	if len(r.Lag) == 0 {
		return 0
	}
	return percentile(r.Lag, 0.95)
}

// requests are those to S3 for each chunk, beside what is uploaded: to dispatch, to claim and to note it, and the playlists of the seven renditions
// of flat, its audio among them, and its storyboard. TestRequestsAPart and TestOnlyOnDemand count them.
var requests = map[way]struct{ puts, gets float64 }{followed: {17, 36}, unseen: {6, 60}, chunked: {4, 16}, whole: {4, 16}}

// Objects of each chunk beside its segments, and the seconds between two extents of a recording that grows; each is written with its index.
const images, extent = 2, 5.0

// cost is what a result costs: tasks, most of them spot, with their addresses and disks, requests to SQS and S3.
func (c prices) cost(r *fleet.Result, p *fleet.Policy, k kind, t trace, w way) float64 {
	const segment, freeDisk = 6.0, 20.0
	task := p.CPUs*c.Spot.CPU + p.Memory*c.Spot.GiB + c.Address + max(0, p.Disk-freeDisk)*c.Disk
	chunks := float64(r.Messages)
	if n := len(r.Lag); n > 0 { // the others are looks
		chunks = float64(n)
	}
	inits := min(chunks, float64(len(t.Recordings)*r.Launched)) // a task remembers what it has uploaded
	puts := (recorded(t)/segment+inits)*(k.rungs+1) + chunks*(images+requests[w].puts)
	if _, ok := growing[w]; ok {
		puts += 2 * recorded(t) / extent
	}
	onDemand := p.CPUs*(c.Fargate.CPU-c.Spot.CPU) + p.Memory*(c.Fargate.GiB-c.Spot.GiB) // more
	return r.TaskSeconds/hour*task + r.OnDemand/hour*onDemand + float64(r.Requests+r.Messages)/1e6*c.SQS + puts/1000*c.Puts + chunks*requests[w].gets/1000*c.Gets
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

// table is the result of every trace, as Markdown.
func table(p *fleet.Policy, c prices) (string, error) {
	var b strings.Builder
	b.WriteString("| trace | messages | time to VOD, p50 | p95 | live: behind, p95 | task hours | cut off | done again | worst cut | busy tasks removed (without protection) | at zero | USD | USD per hour recorded |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, t := range traces() {
		rows, err := rows(t, p, c)
		if err != nil {
			return "", err
		}
		b.WriteString(rows)
	}
	return b.String(), nil
}

// rows are those of a trace: the ways to work on it, one below the other.
func rows(t trace, p *fleet.Policy, c prices) (string, error) {
	var b strings.Builder
	for _, w := range []way{followed, unseen, chunked, whole} {
		o, err := simulateTrace(t, flat, p, c, w)
		if err != nil {
			return "", err
		}
		name, removed, behind := t.Title, fmt.Sprintf("%.0f", o.busyRemoved), ""
		switch w {
		case followed:
			behind = clock(o.lag)
		case unseen:
			name = "– followed, `live: vod`"
		case chunked:
			name, removed = "– not followed", fmt.Sprintf("%.0f (%.0f)", o.busyRemoved, o.unguarded)
		case whole:
			name = "– one message a recording"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %.1f | %.0f | %.1f %% | %s | %s | %.0f %% | %.2f | %.4f |\n", name, o.messages,
			clock(o.p50), clock(o.p95), behind, o.hours, o.cut, 100*o.redone, clock(o.worst), removed, 100*o.idle, o.usd, o.usd/(recorded(t)/hour))
	}
	return b.String(), nil
}

// sizes is how many tasks a fleet may have, against the time to VOD of 50 recordings of
// an hour, flat and as spheres.
func sizes(p *fleet.Policy, c prices) (string, error) {
	var b strings.Builder
	b.WriteString("| MaxTasks | flat, p50 | p95 | task hours | USD | 360, p50 | p95 | task hours | USD |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, most := range []int{5, 10, 20, 50, 100, 200} {
		fmt.Fprintf(&b, "| %d ", most)
		for _, k := range []kind{flat, sphere} {
			q := *p
			q.Max = most
			o, err := simulateTrace(traces()[1], k, &q, c, chunked)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.2f ", clock(o.p50), clock(o.p95), o.hours, o.usd)
		}
		b.WriteString("|\n")
	}
	return b.String(), nil
}

// together is what 50 recordings cost that end together, by how many tasks the fleet may have: followed, and not.
func together(p *fleet.Policy, c prices) (string, error) {
	var b strings.Builder
	b.WriteString("| MaxTasks | an event: behind, p95 | time to VOD, p95 | USD | `live: vod`: time to VOD, p95 | USD | not followed: time to VOD, p95 | USD |\n|---|---|---|---|---|---|---|---|\n")
	for _, most := range []int{30, 40, 45, 50, 55, 60, 80} {
		q := *p
		q.Max = most
		var all [unseen + 1]outcome
		for w := range all {
			var err error
			if all[w], err = simulateTrace(traces()[1], flat, &q, c, way(w)); err != nil {
				return "", err
			}
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %.2f | %s | %.2f | %s | %.2f |\n", most, clock(all[followed].lag), clock(all[followed].p95), all[followed].usd,
			clock(all[unseen].p95), all[unseen].usd, clock(all[chunked].p95), all[chunked].usd)
	}
	return b.String(), nil
}

// variants are policies beside that of the template: what it was tuned by.
func variants(p *fleet.Policy, c prices) (string, error) {
	var b strings.Builder
	b.WriteString("| policy | one event of 3 h | task hours | 50 together, p95 | task hours | day, p95 | task hours | week, p95 | task hours " +
		"| one event, followed: behind, p95 | task hours | 50 together, followed: p95 | task hours |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
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
		{"a live stream counts as 20 messages", func(p *fleet.Policy) { p.Live = 20 }},
		{"halved again after two minutes", func(p *fleet.Policy) { p.HalveCooldown = 120 }},
		{"a live stream counts as none", func(p *fleet.Policy) { p.Live = 0 }},
		{"nobody keeps the queue awake", func(p *fleet.Policy) { p.AwakeInHours = 0 }},
	} {
		q := *p
		v.change(&q)
		fmt.Fprintf(&b, "| %s ", v.name)
		for _, t := range traces()[:4] {
			o, err := simulateTrace(t, flat, &q, c, chunked)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "| %s | %.1f ", clock(o.p95), o.hours)
		}
		for i, t := range traces()[:2] {
			o, err := simulateTrace(t, flat, &q, c, followed)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "| %s | %.1f ", clock([]float64{o.lag, o.p95}[i]), o.hours)
		}
		b.WriteString("|\n")
	}
	return b.String(), nil
}

func policy() (*fleet.Policy, error) {
	t, err := ecs.Parse(ecs.Vod)
	if err != nil {
		return nil, err
	}
	return fleet.ReadPolicy(t)
}
