package fleet

import "math"

// scaler is Application Auto Scaling with its alarms, and the service of ECS that does
// what it wants.
type scaler struct {
	s         *simulation
	p         *Policy
	desired   int
	minutes   []figures
	steps     growth
	tracking  growth
	lastIn    float64
	dormant   float64 // until when the queue's figures are missing
	lastAwake float64
}

// growth is a policy's last scale-out. Until its cooldown is over, what it added counts
// as not yet there: only a larger one adds more.
type growth struct {
	at   float64
	base int // tasks before
}

// figures are a minute's, as CloudWatch has them.
type figures struct {
	Sample

	missing bool // those of the queue
}

func newScaler(s *simulation) *scaler {
	never := growth{at: math.Inf(-1)}
	return &scaler{s: s, p: s.Policy, steps: never, tracking: never, lastIn: math.Inf(-1), dormant: math.Inf(-1)}
}

const (
	trackOut, trackIn = 3, 15 // minutes beyond, and below 90 % of, the target before AWS's target tracking acts
	below             = 0.9
	sleepsAfter       = 6 * 3600 // seconds without a request, after which SQS stops its figures
	wakesWithin       = 15 * 60  // seconds that it may take to resume them
)

// minute ends a minute: its figures are noted, and those that can be seen acted upon. Of
// what the policies want, the most tasks are taken, so none shrinks what another grows.
func (c *scaler) minute() {
	c.note()
	if seen := c.minutes[:max(0, len(c.minutes)-c.s.Cloud.MetricDelay)]; len(seen) > 0 {
		before := c.desired
		steps, tracked := c.leaveZero(seen), c.track(seen)
		c.grow(max(steps, tracked))
		if c.desired == before {
			c.shrink(seen)
		}
	}
	c.s.at(c.s.now+60, c.minute)
}

func (c *scaler) note() {
	s, q := c.s, &c.s.queue
	running := 0
	for _, t := range s.tasks {
		if t.state == polling || t.state == busy || t.state == draining {
			running++
		}
	}
	if c.p.AwakeInHours > 0 && s.now-c.lastAwake >= c.p.AwakeInHours*3600 {
		c.lastAwake, q.active = s.now, s.now
	}
	switch asleep := s.now-q.active > sleepsAfter && len(q.visible)+q.inFlight == 0; {
	case asleep:
		c.dormant = math.Inf(1)
	case math.IsInf(c.dormant, 1):
		c.dormant = s.now + s.random.Float64()*wakesWithin
	}
	f := figures{Sample{float64(len(q.visible)), float64(q.inFlight), float64(s.live), float64(running), float64(c.desired)}, s.now < c.dormant}
	c.minutes = append(c.minutes, f)
	s.result.Minutes = append(s.result.Minutes, f.Sample)
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

// some counts the last n minutes in which something was so.
func some(seen []figures, n int, so func(figures) bool) (count int) {
	for _, f := range seen[max(0, len(seen)-n):] {
		if so(f) {
			count++
		}
	}
	return count
}

// base is the number of tasks from which a policy grows.
func (c *scaler) base(g growth, cooldown float64) int {
	if c.s.now-g.at < cooldown {
		return g.base
	}
	return c.desired
}

func (c *scaler) leaveZero(seen []figures) (wanted int) {
	waits := func(f figures) bool {
		tooFew := f.InFlight < 1 || c.p.Surge > 0 && f.Visible > c.p.Surge*f.InFlight
		return !f.missing && tooFew && f.Visible >= c.p.Threshold
	}
	if !last(seen, c.p.WaitsFor, waits) {
		return 0
	}
	base, beyond := c.base(c.steps, c.p.StepCooldown), seen[len(seen)-1].Visible-c.p.Threshold
	for _, step := range c.p.Steps {
		if beyond >= step.From && beyond < step.To {
			wanted = min(base+step.Add, c.p.Max)
		}
	}
	if wanted > c.desired {
		c.steps = growth{c.s.now, base}
	}
	return wanted
}

// track is target tracking: in proportion to how far the figure is from the target.
func (c *scaler) track(seen []figures) (wanted int) {
	if c.desired == 0 || !last(seen, trackOut, func(f figures) bool { return !f.missing && c.each(f) > c.p.Target }) {
		return 0
	}
	base := c.base(c.tracking, c.p.Out)
	wanted = min(c.p.Max, int(math.Ceil(float64(base)*c.each(seen[len(seen)-1])/c.p.Target-1e-9)))
	if wanted > c.desired {
		c.tracking = growth{c.s.now, base}
	}
	return wanted
}

// each is how many messages there are for each task.
func (c *scaler) each(f figures) float64 {
	tasks := f.Running
	if c.p.PerDesired {
		tasks = f.Desired
	}
	return (f.Visible + f.InFlight + c.p.Live*f.Live) / max(1, tasks)
}

func (c *scaler) grow(to int) {
	c.desired = max(c.desired, to)
}

// shrink is what is wanted to be less: half of the tasks where most have nothing to do,
// fewer by tracking, or none.
func (c *scaler) shrink(seen []figures) {
	surplus := func(f figures) bool {
		return !f.missing && f.Visible < 1 && f.Desired > 2 && max(f.InFlight, f.Live*c.p.Live/c.p.Target) < f.Desired/2
	}
	slack := func(f figures) bool { return !f.missing && c.each(f) < below*c.p.Target }
	idle := func(f figures) bool { return f.missing || f.Visible+f.InFlight+f.Live <= 0 }
	to := c.desired
	if c.p.HalveFor > 0 && some(seen, c.p.HalveOf, surplus) >= c.p.HalveFor && c.s.now-c.lastIn >= c.p.HalveCooldown {
		to = max(0, c.desired-max(1, c.desired/2)) // as AWS rounds
	}
	if !c.p.OutOnly && last(seen, trackIn, slack) && c.s.now-c.lastIn >= c.p.In {
		to = max(1, int(math.Ceil(float64(c.desired)*c.each(seen[len(seen)-1])/c.p.Target)))
	}
	if last(seen, c.p.IdleFor, idle) {
		to = 0
	}
	if to < c.desired {
		c.desired, c.lastIn = to, c.s.now
	}
}

// look is the service's scheduler: it launches what is missing, a task that is being
// drained not counted, and stops what is too much and not protected at this moment, what
// has not started yet first.
func (c *scaler) look() {
	n := 0
	for _, t := range c.s.tasks {
		if t.state != gone && t.state != draining {
			n++
		}
	}
	for ; n < c.desired; n++ {
		c.s.launch(-1)
	}
	for _, first := range []bool{true, false} {
		for _, t := range c.s.tasks {
			if n > c.desired && t.state != gone && t.state != draining && !t.protected && first == (t.state == starting) {
				n--
				c.stop(t)
			}
		}
	}
	c.s.at(c.s.now+c.s.Cloud.Scheduler*(0.5+c.s.random.Float64()), c.look)
}

func (c *scaler) stop(t *task) {
	if t.state == busy {
		c.s.result.BusyRemoved++
		c.s.handBack(t)
	}
	t.end()
}
