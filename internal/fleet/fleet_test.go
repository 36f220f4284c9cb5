package fleet

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"afterlive.alt/ecs"
	"afterlive.alt/ladder"
)

func templatePolicy(t *testing.T) *Policy {
	t.Helper()
	template, err := ecs.Parse(ecs.Vod)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPolicy(template)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The policy is the template's: what is changed there is changed here.
func TestPolicyIsTheTemplates(t *testing.T) {
	p := templatePolicy(t)
	want := &Policy{
		Max: 60, OnDemand: 1, Target: 10, Live: 12, OutOnly: true, Out: 60, In: 600, Steps: []Step{{0, 20, 1}, {20, 100, 5}, {100, math.Inf(1), 20}}, Threshold: 1,
		Surge: 20, WaitsFor: 1, StepCooldown: 120, HalveFor: 2, HalveOf: 5, HalveCooldown: 300, IdleFor: 10, AwakeInHours: 3,
		Drain: 100, Lease: 120, CPUs: 4, Memory: 8, Disk: 30,
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	template, err := ecs.Parse(ecs.Vod)
	if err != nil {
		t.Fatal(err)
	}
	resources, ok := template["Resources"].(map[string]any)
	if !ok {
		t.Fatal("no resources")
	}
	delete(resources, "ByBacklog")
	if _, err := ReadPolicy(template); err == nil {
		t.Error("a template without scaling is taken")
	}
	other, err := ecs.Parse(strings.ReplaceAll(ecs.Vod, "inflight < wanted / 2", "inflight < wanted / 3"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPolicy(other); err == nil {
		t.Error("a condition that is not simulated is taken")
	}
}

// config is a fleet like that of the template, over recordings that end at once.
func config(t *testing.T, recordings int, length float64) Config {
	c := Config{
		Work:   Work{Chunk: 60, Speed: 1.5, Scan: 80e6, Upload: 30e6, Overhead: 3},
		Cloud:  Cloud{Start: [2]float64{35, 75}, MetricDelay: 1, Scheduler: 10, Notice: 120},
		Worker: Worker{Lease: 120, Drain: 100, Poll: 20, Pause: 2, Protected: true},
		Policy: templatePolicy(t), Until: 3600, Seed: 1,
	}
	for i := range recordings {
		c.Trace = append(c.Trace, Recording{End: 600 + float64(i), Length: length, Bytes: length * 750e3})
	}
	return c
}

// Whatever is taken away, every message is done once, every recording published, and a
// cut costs no more than its message.
func TestNothingIsLost(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"calm":         func(*Config) {},
		"interrupted":  func(c *Config) { c.Cloud.Interruptions = 6 },
		"lost":         func(c *Config) { c.Cloud.Losses = 6 },
		"both":         func(c *Config) { c.Cloud.Interruptions, c.Cloud.Losses = 6, 6 },
		"unprotected":  func(c *Config) { c.Worker.Protected = false },
		"one task":     func(c *Config) { c.Policy.Max = 1 },
		"one message":  func(c *Config) { c.Whole = true },
		"slow figures": func(c *Config) { c.Cloud.MetricDelay = 5 },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				c := config(t, 12, 1200)
				c.Seed = seed
				change(&c)
				r := run(t, c)
				for i, wait := range r.Wait {
					if wait <= 0 {
						t.Fatalf("seed %d: recording %d was published after %v s", seed, i, wait)
					}
				}
				chunks := 1200 / c.Work.Chunk
				messages, work := 1+chunks, 1200*750e3/c.Work.Scan+1200/c.Work.Speed
				if c.Whole {
					messages = 1
				}
				if want := 12 * (work + messages*c.Work.Overhead); r.Messages != int(12*messages) || math.Abs(r.Work-want) > 1e-6 {
					t.Errorf("seed %d: %d messages, %v s of work, want %v", seed, r.Messages, r.Work, want)
				}
				if r.TaskSeconds < r.Work+r.Redone {
					t.Errorf("seed %d: %v s are paid for %v s of work", seed, r.TaskSeconds, r.Work+r.Redone)
				}
				if c.Cloud.Losses+c.Cloud.Interruptions == 0 && c.Worker.Protected && r.Redone != 0 {
					t.Errorf("seed %d: %v s done again for nothing", seed, r.Redone)
				}
			}
		})
	}
}

// Recordings that are followed are published seconds after their end, whatever is taken away; every segment of them is encoded once.
func TestFollowed(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"calm":        func(*Config) {},
		"interrupted": func(c *Config) { c.Cloud.Interruptions = 2 },
		"lost":        func(c *Config) { c.Cloud.Losses = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				c := config(t, 6, 1203)
				for i := range c.Trace {
					c.Trace[i].End += 3000
				}
				c.Live, c.Seed = &Live{Head: 12, Chunk: 6, Last: 6, Worth: 5, Every: 5, Look: 0.5, Overhead: 1}, seed
				change(&c)
				r := run(t, c)
				const segments = 6 * 201
				if len(r.Lag) != segments || r.Work < 6*1203/c.Work.Speed+segments {
					t.Errorf("seed %d: %d segments, want %d; %g s of work", seed, len(r.Lag), segments, r.Work)
				}
				for _, wait := range r.Wait {
					if wait <= 0 || wait > 60 && name == "calm" || wait > 300 {
						t.Errorf("seed %d: published after %g s", seed, wait)
					}
				}
				for _, m := range r.Minutes {
					if m.Desired < 0 || m.Live > 6 {
						t.Fatalf("seed %d: %+v", seed, m)
					}
				}
			}
		})
	}
}

func run(t *testing.T, c Config) *Result {
	t.Helper()
	r, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Of two policies that want more, the larger wish counts; what a cooldown still waits
// for is not added twice.
func TestTheLargestWishCounts(t *testing.T) {
	s := &simulation{Config: Config{Policy: &Policy{Max: 100, Target: 10, Out: 60, StepCooldown: 120, Threshold: 1, Surge: 20, WaitsFor: 1, Steps: []Step{{0, 20, 1}, {20, math.Inf(1), 20}}}}}
	c := newScaler(s)
	seen := func(visible, inFlight float64) []figures {
		f := figures{Sample: Sample{Visible: visible, InFlight: inFlight, Running: inFlight}}
		return []figures{f, f, f}
	}
	for _, step := range []struct {
		at, visible, inFlight float64
		want                  int
	}{
		{0, 1, 0, 1},     // out of zero
		{60, 1, 0, 1},    // still on its way
		{60, 299, 1, 30}, // more than one step: by tracking
		{90, 299, 1, 30}, // counted already
		{100, 599, 1, 60},
	} {
		s.now = step.at
		c.grow(max(c.leaveZero(seen(step.visible, step.inFlight)), c.track(seen(step.visible, step.inFlight))))
		if c.desired != step.want {
			t.Errorf("at %v: %d tasks, want %d", step.at, c.desired, step.want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"nobody":                  {},
		"kills of a scaled fleet": {Policy: &Policy{}, Kills: []Kill{{}}, Cloud: Cloud{Scheduler: 10}},
		"all are lost":            {Fixed: 1, Cloud: Cloud{Losses: 1e6}, Work: Work{Chunk: 60, Speed: 1, Scan: 1, Upload: 1}, Worker: Worker{Lease: 4, Poll: 1}, Trace: []Recording{{Length: 60, Bytes: 60}}},
	} {
		if r, err := Run(c); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// The check above can fail: without protection, scaling does take tasks from work.
func TestWithoutProtectionBusyTasksAreRemoved(t *testing.T) {
	removed := map[bool]int{}
	for seed := range uint64(20) {
		for _, protected := range []bool{false, true} {
			c := config(t, 100, 1200)
			c.Seed, c.Worker.Protected, c.Work.Chunk = seed, protected, 3600
			for i := range c.Trace { // a few of many are still at work when the others have nothing left
				c.Trace[i].Length = float64(300 + 3000*(i/90))
			}
			removed[protected] += run(t, c).BusyRemoved
		}
	}
	if removed[false] == 0 || removed[true] != 0 {
		t.Errorf("unprotected: %d, protected: %d", removed[false], removed[true])
	}
}

// What can be reckoned by hand.
func TestByHand(t *testing.T) {
	// Two tasks, one recording: scanned in 10 s; then 6 chunks of 20 s on two tasks.
	c := Config{
		Work:   Work{Chunk: 10, Speed: 0.5, Scan: 1e6, Upload: 1e6},
		Worker: Worker{Lease: 4, Poll: 1},
		Fixed:  2, Trace: []Recording{{End: 5, Length: 60, Bytes: 10e6}},
	}
	r := run(t, c)
	if got := r.Wait[0]; math.Abs(got-(10+10+60)) > 1e-9 || r.Messages != 7 || math.Abs(r.Work-130) > 1e-9 {
		t.Errorf("published after %v s, %d messages, %v s of work", got, r.Messages, r.Work)
	}
	// The first task begins its first chunk at 25, is killed at 35, and another comes at 37.
	// What it held is seen again 4 s after its last heartbeat, at 39, behind the others.
	c.Kills = []Kill{{At: 35, Again: 2, Task: 0}}
	r = run(t, c)
	if r.Interrupted != 1 || math.Abs(r.Redone-10) > 1e-9 || math.Abs(r.Work-130) > 1e-9 {
		t.Errorf("killed: %d cut off, %v s done again, %v s of work", r.Interrupted, r.Redone, r.Work)
	}
	if got := r.Wait[0]; math.Abs(got-(37+3*20-5)) > 1e-9 {
		t.Errorf("killed: published after %v s", got)
	}
}

func TestSameSeedSameResult(t *testing.T) {
	c := config(t, 30, 900)
	c.Cloud.Interruptions = 3
	if a, b := run(t, c), run(t, c); !reflect.DeepEqual(a, b) {
		t.Error("two runs differ")
	}
}

// A recording has as many chunks as its plan.
func TestChunksAsPlanned(t *testing.T) {
	w := Work{Chunk: 60, Uneven: true}
	for _, length := range []float64{1, 17, 59, 60, 100, 288, 289, 599, 600, 720, 721, 950, 3600, 36000} {
		want, parts := ladder.ChunkEnds(time.Duration(length * float64(time.Second)))
		got := w.chunks(length)
		if len(got) != len(want) {
			t.Errorf("of %g s: %d, by ladder %d", length, len(got), len(want))
			continue
		}
		end := 0.0
		for k, l := range got {
			if end += l; math.Abs(end-length*float64(want[k])/float64(parts)) > 1e-6 {
				t.Errorf("of %g s: chunk %d ends at %g, by ladder at %d/%d", length, k, end, want[k], parts)
			}
		}
	}
}
