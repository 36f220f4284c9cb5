package flv

// A recording's clock is repaired where it jumps. Encoders stall, reconnect and
// wrap; ffmpeg would fill an hour's jump with an hour of frozen frames, or drop
// everything behind a reset.
const (
	maxForward  = 3000 // ms without any tag before the hole is closed up
	maxBackward = 500  // ms by which tags of one kind may run back
	closedGap   = 33   // ms left between the tags on both sides of a jump
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
}

// at repairs the timestamp of a tag. A hole counts only where neither picture
// nor sound arrived, a step back only within one kind: the two interleave.
func (c *clock) at(offset int64, raw uint32, kind byte) int64 {
	if c.last == nil {
		c.last = map[byte]int64{}
		c.start(offset, -int64(raw))
	}
	t := int64(raw) + c.shift
	reference, seen := c.last[kind]
	if !seen {
		reference = c.latest
	}
	if t > c.latest+maxForward || t < reference-maxBackward {
		if unwrapped := t + wrap; unwrapped > c.latest-maxBackward && unwrapped < c.latest+maxForward {
			c.start(offset, c.shift+wrap)
		} else {
			c.gaps = append(c.gaps, Gap{At: ms(c.latest), Lost: ms(max(0, t-c.latest))})
			c.start(offset, c.latest+closedGap-int64(raw))
		}
		t = int64(raw) + c.shift
	}
	c.last[kind] = t
	c.latest = max(c.latest, t)
	return t
}

func (c *clock) start(offset, shift int64) {
	c.shift = shift
	c.epochs = append(c.epochs, Epoch{Offset: offset, Shift: shift})
}
