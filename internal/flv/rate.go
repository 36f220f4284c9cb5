package flv

import (
	"math"
	"slices"
	"time"
)

// gridRates are the rates that an output can have: those that encoders mean (HLS authoring
// rule 1.18 has the usual ones), and the others at which a recording may be steady.
var gridRates = func() (all []Rate) {
	for fps := 1; fps <= maxRate; fps++ {
		all = append(all, Rate{fps, 1})
	}
	all = append(all, Rate{15, 2}, Rate{25, 2}, Rate{75, 2},
		Rate{24000, 1001}, Rate{30000, 1001}, Rate{48000, 1001}, Rate{60000, 1001})
	slices.SortFunc(all, func(a, b Rate) int { return a.Num*b.Den - b.Num*a.Den })
	return all
}()

const maxRate = 60 // fps

// cadence finds the rate of a recording from when its frames are shown. It tries all
// that there are at once: which frames would have a place of their own. What it takes of
// memory does not grow.
type cadence struct {
	waiting []int64 // PTS that earlier ones may still come before, in order
	first   int64
	last    int64
	step    int64          // between the last two, ms
	n       int            // frames tried
	dropped [gridCount]int // for every one of gridRates, frames without a place of their own
	place   [gridCount]int64
	off     [gridCount]float64 // the sum of what frames miss their places by, in frames

	steps [2000]struct{ n, ms int } // by length: up to a second in ms, then in tenths of a second
}

const gridCount = maxRate + 7

// add takes in a frame, in the order of decoding.
func (c *cadence) add(pts int64) {
	i, _ := slices.BinarySearch(c.waiting, pts)
	c.waiting = slices.Insert(c.waiting, i, pts)
	if len(c.waiting) > maxReorder {
		c.try(c.waiting[0])
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
}

// clone is a cadence that goes its own way.
func (c *cadence) clone() *cadence {
	other := *c
	other.waiting = slices.Clone(c.waiting)
	return &other
}

// try gives a frame its place on every grid, as ffmpeg's fps filter does: the nearest.
func (c *cadence) try(pts int64) {
	if c.n == 0 {
		c.first = pts
	} else if step := int(pts - c.last); step > 0 {
		c.step = int64(step)
		bin := &c.steps[stepBin(step)]
		bin.n++
		bin.ms += step
	}
	for i, r := range gridRates {
		exact := float64(pts-c.first) * r.FPS() / 1000
		place := int64(math.Floor(exact + 0.5))
		c.off[i] += math.Abs(exact - float64(place))
		if c.n > 0 && place <= c.place[i] {
			c.dropped[i]++
			continue
		}
		c.place[i] = place
	}
	c.last = pts
	c.n++
}

func stepBin(ms int) int {
	if ms >= 1000 {
		ms = 1000 + (ms-1000)/100
	}
	return min(ms, 1999)
}

// rate is the one whose places the frames have: that of their usual distance, if there at
// most a hundredth of them lack one, else the lowest at which that is so. Frames that
// come faster than the highest rate are thinned out evenly. dropped are those without a
// place; thinned, of how many one is left. A recording of one frame gets 30.
func (c *cadence) rate() (r Rate, dropped, thinned int) {
	for _, pts := range c.waiting {
		c.try(pts)
	}
	c.waiting = nil
	if c.median() == 0 {
		return Rate{30, 1}, 0, 0
	}
	usual := c.usual()
	if usual > maxRate*1.01 {
		thinned = int(math.Ceil(usual / maxRate / 1.01))
		i := nearest(usual / float64(thinned))
		return gridRates[i], c.dropped[i], thinned
	}
	most := slices.Min(c.dropped[:]) + (c.n+50)/100
	i := nearest(usual)
	if c.dropped[i] > most {
		i = slices.IndexFunc(c.dropped[:], func(n int) bool { return n <= most })
		for j := i; j < gridCount && gridRates[j].FPS() < alike*gridRates[i].FPS(); j++ {
			if c.dropped[j] <= most && c.off[j]/gridRates[j].FPS() < c.off[i]/gridRates[i].FPS() {
				i = j
			}
		}
	}
	return gridRates[i], c.dropped[i], 0
}

// alike is by how much rates differ between which it doesn't matter that one is lower.
const alike = 1.02

func nearest(fps float64) int {
	best := 0
	for i, r := range gridRates {
		if math.Abs(math.Log(r.FPS()/fps)) < math.Abs(math.Log(gridRates[best].FPS()/fps)) {
			best = i
		}
	}
	return best
}

// usual is the rate by the usual distance of frames. RTMP rounds timestamps to
// milliseconds and encoders drop frames, so the median is the distance to within a
// millisecond, and longer ones are whole multiples of it.
func (c *cadence) usual() float64 {
	median := c.median()
	var frames, ms int
	for _, bin := range &c.steps {
		if bin.n == 0 {
			continue
		}
		step := float64(bin.ms) / float64(bin.n)
		if step > 10*float64(median) {
			break
		}
		frames += bin.n * int(math.Round(step/float64(median)))
		ms += bin.ms
	}
	return float64(frames) * 1000 / float64(ms)
}

// median is the middle of the distances, in ms; 0: there are none.
func (c *cadence) median() int64 {
	total, seen := 0, 0
	for _, bin := range &c.steps {
		total += bin.n
	}
	for _, bin := range &c.steps {
		if seen += bin.n; 2*seen > total {
			return int64(bin.ms / bin.n)
		}
	}
	return 0
}

func ms(t int64) time.Duration { return time.Duration(t) * time.Millisecond }
