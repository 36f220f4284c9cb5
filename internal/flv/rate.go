package flv

import (
	"math"
	"time"
)

// standardRates are the frame rates that encoders mean (HLS authoring rule 1.18
// and the low rates of webcams).
var standardRates = [...]Rate{
	{10, 1}, {12, 1}, {15, 1}, {20, 1},
	{24000, 1001}, {24, 1}, {25, 1}, {30000, 1001}, {30, 1},
	{48, 1}, {50, 1}, {60000, 1001}, {60, 1},
}

// cadence estimates a frame rate from the steps between frames. RTMP rounds
// timestamps to milliseconds and encoders drop frames, so the steps are counted
// by length: the median is the frame time to within a millisecond, and longer
// steps are whole multiples of it. The memory it takes does not grow.
type cadence struct {
	steps [1000]int // by length in ms; longer ones say nothing
	last  int64
	any   bool
}

func (c *cadence) add(dts int64) {
	if step := dts - c.last; c.any && step > 0 && step < int64(len(c.steps)) {
		c.steps[step]++
	}
	c.last, c.any = dts, true
}

// rate returns the standard rate nearest to the frames counted. A recording of
// one frame has no steps and gets 30.
func (c *cadence) rate() Rate {
	median := c.median()
	if median == 0 {
		return Rate{30, 1}
	}
	var frames, ms int
	for step, n := range &c.steps {
		if step > 10*median {
			break
		}
		frames += n * int(math.Round(float64(step)/float64(median)))
		ms += n * step
	}
	fps := float64(frames) * 1000 / float64(ms)
	best := standardRates[0]
	for _, r := range standardRates {
		if math.Abs(math.Log(r.FPS()/fps)) < math.Abs(math.Log(best.FPS()/fps)) {
			best = r
		}
	}
	return best
}

func (c *cadence) median() int {
	total, seen := 0, 0
	for _, n := range &c.steps {
		total += n
	}
	for step, n := range &c.steps {
		if seen += n; 2*seen > total {
			return step
		}
	}
	return 0
}

func ms(t int64) time.Duration { return time.Duration(t) * time.Millisecond }
