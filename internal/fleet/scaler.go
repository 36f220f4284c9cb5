package fleet

import "math"

// scaler is Application Auto Scaling with its alarms, and the service of ECS that does
// what it wants.
type scaler struct {
	s         *simulation
	p         *Policy
	desired   int
	minutes   []figures
	lastOut   float64
	lastIn    float64
	dormant   float64 // until when the queue's figures are missing
	lastAwake float64
}

// figures are a minute's, as CloudWatch has them.
type figures struct {
	Sample

	missing bool // those of the queue
}

func newScaler(s *simulation) *scaler {
	return &scaler{s: s, p: s.Policy, lastOut: math.Inf(-1), lastIn: math.Inf(-1), dormant: math.Inf(-1)}
}

const (
	trackOut, trackIn = 3, 15 // minutes beyond, and below 90 % of, the target before AWS's target tracking acts
	below             = 0.9
	sleepsAfter       = 6 * 3600 // seconds without a request, after which SQS stops its figures
	wakesWithin       = 15 * 60  // seconds that it may take to resume them
)

// minute ends a minute: its figures are noted, and those that can be seen acted upon.
func (c *scaler) minute() {
	s := c.s
	running := 0
	for _, t := range s.tasks {
		if t.state == polling || t.state == busy || t.state == draining {
			running++
		}
	}
	q := &s.queue
	if c.p.AwakeInHours > 0 && s.now-c.lastAwake >= c.p.AwakeInHours*3600 {
		c.lastAwake = s.now
		if s.now-q.active < sleepsAfter {
			q.active = s.now
		}
	}
	if len(q.visible)+q.inFlight == 0 && s.now-q.active > sleepsAfter {
		c.dormant = math.Inf(1)
	} else if math.IsInf(c.dormant, 1) {
		c.dormant = s.now + s.random.Float64()*wakesWithin
	}
	f := figures{Sample{float64(len(q.visible)), float64(q.inFlight), float64(running), float64(c.desired)}, s.now < c.dormant}
	c.minutes = append(c.minutes, f)
	s.result.Minutes = append(s.result.Minutes, f.Sample)
	if seen := c.minutes[:max(0, len(c.minutes)-s.Cloud.MetricDelay)]; len(seen) > 0 {
		c.leaveZero(seen)
		c.track(seen)
		c.halve(seen)
		c.goToZero(seen)
	}
	c.apply()
	s.at(s.now+60, c.minute)
}

// last tells whether something was so in each of the last n minutes.
func last(seen []figures, n int, so func(figures) bool) bool {
	if len(seen) < n {
		return false
	}
	for _, f := range seen[len(seen)-n:] {
		if !so(f) {
			return false
		}
	}
	return true
}

func (c *scaler) leaveZero(seen []figures) {
	waits := func(f figures) bool {
		tooFew := f.Running < 1 || c.p.Surge > 0 && f.Visible > c.p.Surge*f.Running
		return !f.missing && tooFew && f.Visible >= c.p.Threshold
	}
	if !last(seen, c.p.WaitsFor, waits) || c.s.now-c.lastOut < c.p.StepCooldown {
		return
	}
	beyond := seen[len(seen)-1].Visible - c.p.Threshold
	for _, step := range c.p.Steps {
		if beyond >= step.From && beyond < step.To {
			c.grow(c.desired + step.Add)
		}
	}
}

func (c *scaler) goToZero(seen []figures) {
	idle := func(f figures) bool { return f.missing || f.Visible+f.InFlight <= 0 }
	if c.desired > 0 && last(seen, c.p.IdleFor, idle) {
		c.desired, c.lastIn = 0, c.s.now
	}
}

// halve takes half of the tasks away where most have nothing to do.
func (c *scaler) halve(seen []figures) {
	surplus := func(f figures) bool { return !f.missing && f.Visible < 1 && f.InFlight < f.Running/2 }
	if c.p.HalveFor > 0 && c.desired > 1 && last(seen, c.p.HalveFor, surplus) && c.s.now-max(c.lastIn, c.lastOut) >= c.p.HalveCooldown {
		c.desired, c.lastIn = c.desired-c.desired/2, c.s.now
	}
}

// track is target tracking: in proportion to how far the figure is from the target.
func (c *scaler) track(seen []figures) {
	per := func(f figures) float64 {
		tasks := f.Running
		if c.p.PerDesired {
			tasks = f.Desired
		}
		return (f.Visible + f.InFlight) / max(1, tasks)
	}
	now := seen[len(seen)-1]
	wanted := int(math.Ceil(float64(c.desired)*per(now)/c.p.Target - 1e-9))
	switch {
	case c.desired == 0:
	case last(seen, trackOut, func(f figures) bool { return !f.missing && per(f) > c.p.Target }):
		if c.s.now-c.lastOut >= c.p.Out {
			c.grow(wanted)
		}
	case !c.p.OutOnly && last(seen, trackIn, func(f figures) bool { return !f.missing && per(f) < below*c.p.Target }):
		if c.s.now-c.lastIn >= c.p.In && c.s.now-c.lastOut >= c.p.In && wanted < c.desired {
			c.desired, c.lastIn = max(1, wanted), c.s.now
		}
	}
}

func (c *scaler) grow(to int) {
	if to = min(to, c.p.Max); to > c.desired {
		c.desired, c.lastOut = to, c.s.now
	}
}

// apply launches what is missing, and stops what is too much and not protected: what
// has not started yet first.
func (c *scaler) apply() {
	for n := c.s.alive(); n < c.desired; n++ {
		c.s.launch(-1)
	}
	c.reduce()
}

// reduce stops tasks that are too many, if they let it, and tells whether any were.
func (c *scaler) reduce() (reduced bool) {
	excess := c.s.alive() - c.desired
	for _, first := range []bool{true, false} {
		for _, t := range c.s.tasks {
			if excess <= 0 {
				return reduced
			}
			if t.state == gone || t.state == draining || t.protected || first != (t.state == starting) {
				continue
			}
			excess--
			reduced = true
			c.stop(t)
		}
	}
	return reduced
}

func (c *scaler) stop(t *task) {
	if t.state == busy {
		c.s.result.BusyRemoved++
		m := t.message
		t.cut()
		c.s.back(m, c.s.now)
	}
	t.end()
}

// replace is the service's answer to a task that was taken away.
func (s *simulation) replace() {
	if s.scaler != nil {
		s.at(s.now, s.scaler.apply)
	}
}
