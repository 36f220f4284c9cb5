package flv

// A recording's clock is repaired where it jumps. Encoders stall, reconnect and
// wrap; ffmpeg would fill an hour's jump with an hour of frozen frames, or drop
// everything behind a reset.
const (
	maxForward  = 3000   // ms without any tag before the hole is closed up
	maxSlow     = 300000 // ms likewise, where tags come as slowly as that
	maxEarly    = 15000  // ms likewise, as long as nobody knows how fast tags come
	early       = 4      // tags until then
	maxBackward = 500    // ms by which tags of one kind may run back
	maxApart    = 30_000 // ms by which the first tag of a kind may lie behind those of the other: ffmpeg lets them get 10 s apart
	closedGap   = 33     // ms left between the tags on both sides of a jump
	wrap        = int64(1) << 32
	maxEpochs   = 10_000
)

// clock turns raw tag timestamps into repaired milliseconds.
type clock struct {
	epochs []Epoch
	shift  int64
	gaps   []Gap
	latest int64          // greatest repaired time so far
	last   map[byte]int64 // by tag type
	step   int64          // by which latest went on last, closed up or not
	steps  int
}

// at repairs the timestamp of a tag. A hole counts only where neither picture
// nor sound arrived, a step back only within one kind: the two interleave, and one may
// begin long before its first tag comes.
func (c *clock) at(offset int64, raw uint32, kind byte) int64 {
	if c.last == nil {
		c.last = map[byte]int64{}
		c.start(offset, -int64(raw))
	}
	t := int64(raw) + c.shift
	reference, seen := c.last[kind]
	if !seen {
		reference = c.latest - maxApart
	}
	within := func(t int64) bool { return t <= c.latest+c.patience() && t >= reference-maxBackward }
	if !within(t) {
		switch {
		case within(t + wrap):
			c.start(offset, c.shift+wrap)
		case within(t - wrap): // of before the wrap, come late
			c.start(offset, c.shift-wrap)
		default:
			c.gaps = append(c.gaps, Gap{At: ms(c.latest), Lost: ms(max(0, t-c.latest))})
			c.advance(t - c.latest)
			c.start(offset, c.latest+closedGap-int64(raw))
		}
		t = int64(raw) + c.shift
	} else {
		c.advance(t - c.latest)
	}
	c.last[kind] = t
	c.latest = max(c.latest, t)
	return t
}

// patience is how long nothing may come without anything being amiss: slides and cameras
// that watch send a picture every few seconds, and no sound.
func (c *clock) patience() int64 {
	if c.steps < early {
		return maxEarly
	}
	return max(maxForward, min(maxSlow, 2*c.step))
}

func (c *clock) advance(step int64) {
	if step > 0 {
		c.step = step
		c.steps++
	}
}

func (c *clock) start(offset, shift int64) {
	c.shift = shift
	c.epochs = append(c.epochs, Epoch{Offset: offset, Shift: shift})
}
