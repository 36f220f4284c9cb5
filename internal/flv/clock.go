package flv

import "time"

// MaxApart is by how much video and audio of a recording may be apart.
const MaxApart = maxApart * time.Millisecond

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
	maxBehind   = 250    // ms by which one kind may be behind the other, and yet go on where it was after a jump
	wrap        = int64(1) << 32
	maxEpochs   = 10_000
)

// clock turns raw tag timestamps into repaired milliseconds. Video and audio have a shift
// each: some senders' never had a common zero, or one starts anew and the other goes on.
// Where both jump, the second takes the first's, and they stay as far apart as they were.
type clock struct {
	tracks map[byte]*track
	gaps   []Gap
	latest int64 // greatest repaired time so far
	step   int64 // by which latest went on last, closed up or not
	steps  int
	joint  *int64 // the shift of both behind a reconnect, once it is known
	from   int64  // ms, where what comes behind it begins
}

// track is the clock of one kind of tags.
type track struct {
	epochs      []Epoch
	shift       int64  // of the last
	last, step  int64  // ms, of the tag before, and between the last two
	asks        *int64 // the shift that the other has taken, and this one has to
	reconnected bool   // its next tag is the first behind a reconnect
}

// at repairs the timestamp of a tag. A hole counts only where neither video
// nor audio arrived, a step back only within one kind: the two interleave, and one may
// begin long before its first tag comes.
func (c *clock) at(offset int64, raw uint32, kind byte) int64 {
	own, seen := c.tracks[kind]
	if !seen {
		own = c.begin(offset, int64(raw), kind)
	}
	if own.reconnected {
		c.resume(own, offset, int64(raw))
	}
	if s := own.asks; s != nil {
		own.asks = nil
		if c.fits(int64(raw)+*s, own.last) {
			own.begin(offset, *s)
		}
	}
	t := int64(raw) + own.shift
	if !c.fits(t, own.last) {
		c.move(own, offset, int64(raw), kind)
		t = int64(raw) + own.shift
	} else {
		c.advance(t - c.latest)
	}
	if t > own.last {
		own.step, own.last = t-own.last, t
	} else if own.last-t < maxBackward {
		own.last = t
	}
	c.latest = max(c.latest, t)
	return t
}

// fits tells whether a repaired time is one at which a tag may come.
func (c *clock) fits(t, last int64) bool {
	return t <= c.latest+c.patience() && t >= last-maxBackward
}

// begin is a track at its first tag.
func (c *clock) begin(offset, raw int64, kind byte) *track {
	if c.tracks == nil {
		c.tracks = map[byte]*track{}
	}
	own := &track{shift: -raw}
	switch other := c.other(kind); {
	case other == nil:
	case other.reconnected:
		own.reconnected = true
	default:
		own.shift, own.last = other.shift, c.latest-maxApart
		if !c.fits(raw+own.shift, own.last) && !c.fits(raw+own.shift+wrap, own.last) && !c.fits(raw+own.shift-wrap, own.last) {
			own.shift = c.latest - raw
		}
	}
	c.tracks[kind] = own
	if !own.reconnected {
		own.begin(offset, own.shift)
	}
	return own
}

// reconnect closes up the time for which the publisher was away, in ms: what comes next has another clock, and both kinds
// the same one.
func (c *clock) reconnect(away int64) {
	news := false // or nothing has come since the last time
	for _, t := range c.tracks {
		news = news || !t.reconnected
	}
	if !news {
		return
	}
	c.gaps = append(c.gaps, Gap{At: ms(c.latest), Lost: ms(away), Reconnect: true})
	c.joint = nil
	for _, t := range c.tracks {
		t.reconnected = true
	}
}

// resume gives a track its shift behind a reconnect: what comes first follows what was last of either kind.
func (c *clock) resume(own *track, offset, raw int64) {
	if c.joint == nil {
		next := c.latest + closedGap
		for _, t := range c.tracks {
			next = max(next, t.last+min(t.step, maxForward))
		}
		shift := next - raw
		c.joint, c.from = &shift, next
	}
	shift := *c.joint
	own.reconnected, own.asks, own.last = false, nil, max(c.from, c.latest-maxApart)
	if !c.fits(raw+shift, own.last) { // they have no common clock
		shift = c.latest + closedGap - raw
	}
	own.begin(offset, shift)
}

// other is the track that is not of this kind, if there is one yet.
func (c *clock) other(kind byte) *track {
	for k, t := range c.tracks {
		if k != kind {
			return t
		}
	}
	return nil
}

// move gives a track another shift, with which a tag's time fits: by a wrap, or the other's,
// or one that closes up the hole.
func (c *clock) move(own *track, offset, raw int64, kind byte) {
	shifts := []int64{own.shift + wrap, own.shift - wrap} // the latter: of before the wrap, come late
	if other := c.other(kind); other != nil {
		shifts = append(shifts, other.shift)
	}
	for _, shift := range shifts {
		if c.fits(raw+shift, own.last) {
			own.begin(offset, shift)
			return
		}
	}
	t := raw + own.shift
	c.gaps = append(c.gaps, Gap{At: ms(c.latest), Lost: ms(max(0, t-c.latest))})
	c.advance(t - c.latest)
	next := own.last + own.step
	if next > c.latest+closedGap || next < c.latest-maxBehind {
		next = c.latest + closedGap
	}
	own.begin(offset, next-raw)
	// Where the tag before had a damaged time, a little too late, all comes as much too late
	// from here on. The other must as well.
	if other := c.other(kind); other != nil && t >= own.last-own.step {
		other.asks = &own.shift
	}
}

// patience is how long nothing may come without anything being amiss: slides and cameras
// that watch send a frame every few seconds, and no audio.
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

func (t *track) begin(offset, shift int64) {
	t.shift = shift
	t.epochs = append(t.epochs, Epoch{Offset: offset, Shift: shift})
}

// epochs are those of a track.
func (c *clock) epochs(kind byte) []Epoch {
	if t := c.tracks[kind]; t != nil {
		return t.epochs
	}
	return nil
}
