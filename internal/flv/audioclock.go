package flv

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// Mark ties an audio tag to the moment at which its first sample is heard. The samples of
// the tags between two marks are spread evenly over the time between them. Two marks of one
// tag are a place where time goes on and audio does not (or, where the second is the
// earlier, where there is more audio than time).
//
// Timestamps are whole milliseconds, and jitter. Samples don't: what one encoder has made
// in a row is placed by counting, so that whoever decodes a part of it, from whichever mark
// on, finds each sample at the same place.
type Mark struct {
	Offset int64         // of the tag in the file; of the last mark: behind the audio
	Tag    int           // how many audio tags come before it
	At     time.Duration // on the repaired timeline
	Run    time.Duration // At of the mark from which on there was no hole
}

// MarshalJSON writes [offset, tag, At, Run], times in ns: there are many.
func (m Mark) MarshalJSON() ([]byte, error) {
	return json.Marshal([]int64{m.Offset, int64(m.Tag), int64(m.At), int64(m.Run)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Mark) UnmarshalJSON(body []byte) error {
	var all []int64
	if err := json.Unmarshal(body, &all); err != nil {
		return err
	}
	if len(all) != 4 {
		return fmt.Errorf("mark of %d numbers", len(all))
	}
	*m = Mark{Offset: all[0], Tag: int(all[1]), At: time.Duration(all[2]), Run: time.Duration(all[3])}
	return nil
}

// moved are marks on a timeline that begins earlier by d.
func moved(all []Mark, d time.Duration) []Mark {
	all = slices.Clone(all)
	for i := range all {
		all[i].At += d
		all[i].Run += d
	}
	return all
}

// maxMarks is a week's, and of as many jumps as there may be: a crafted file must not fill the
// memory.
const maxMarks = 7*24*3600/2 + 2*maxEpochs

const (
	markEvery  = 2 * time.Second
	hole       = 100 * time.Millisecond // by which audio is late, and stays so, where some is missing
	onTime     = 4 * time.Millisecond   // by which it may be off without being slowed or hurried
	maxStretch = 0.02                   // by which it is slowed or hurried at most
	lookAhead  = time.Second            // of audio that is looked at before a tag gets its place
	minSeen    = 8                      // tags likewise
	maxSeen    = 500                    // tags at most, however short they are
)

// audioClock gives audio tags their places. It counts samples for as long as that agrees
// with the timestamps. A drift is followed: each mark looks by how much the tags since the
// one before were off in the mean, takes a half of that up until the next, and remembers a
// fifth as the encoder's own pace (a proportional and an integral term, in control's words).
type audioClock struct {
	marks       []Mark
	jumps       int
	waiting     []heard
	tags        int     // that have a place
	at, run     float64 // ns: of the next, and where its run began
	apart       float64 // ns from tag to tag
	pace        float64 // seconds by which the encoder's second is longer than the timestamps'
	stretch     float64 // what is done about it until the next mark
	off         float64 // ns, of tags from their timestamps, added up
	offs        int     // tags whose offs were added up
	came        bool    // a tag, since the last frame
	since       int64   // ms, of the first frame behind the last tag
	reconnected bool    // the next tag is the first behind a reconnect
}

// heard is a tag whose place is not decided yet.
type heard struct {
	offset int64
	t      float64 // ns, by its timestamp
	lasts  float64 // ns, by its samples; 0: the tag doesn't say
}

// add takes in a tag at a repaired time in ms, of so many samples at a rate in Hz; 0: the tag
// doesn't say.
func (c *audioClock) add(offset, t int64, samples, rate int) {
	c.came = true
	c.waiting = append(c.waiting, heard{offset: offset, t: float64(ms(t)), lasts: float64(samples) * 1e9 / float64(rate)})
	for n := len(c.waiting); n > maxSeen || n > minSeen && float64(n)*c.lasts(0) > float64(lookAhead); n-- {
		c.settle()
	}
}

// known are the marks so far; of audio that has ended, all of them. behind is the end of the
// last tag.
func (c *audioClock) known(ended bool, behind int64) []Mark {
	if !ended {
		return slices.Clone(c.marks)
	}
	all := *c
	all.marks, all.waiting = slices.Clone(c.marks), slices.Clone(c.waiting)
	all.halt(behind)
	return all.marks
}

// halt gives all waiting tags their places: for now, or for ever, no more will come. behind is
// the end of the last tag.
func (c *audioClock) halt(behind int64) {
	for len(c.waiting) > 0 {
		c.settle()
	}
	if c.tags > 0 && c.marks[len(c.marks)-1].Tag < c.tags {
		c.mark(behind)
	}
}

// halted is how much there must be to be seen while no audio comes until that has come to a halt: nobody
// can wait for more before the last of it is placed.
const halted = 5 * time.Second

// seen tells the clock that a frame has come at a repaired time in ms.
func (c *audioClock) seen(t, behind int64) {
	if c.came {
		c.came, c.since = false, t
	}
	if len(c.waiting) > 0 && ms(t-c.since) > halted {
		c.halt(behind)
	}
}

// reconnect begins a new run with the next tag, whenever that is. behind is the end of the last one.
func (c *audioClock) reconnect(behind int64) {
	c.halt(behind)
	c.reconnected = c.tags > 0
}

// settle gives the first of the waiting tags its place.
func (c *audioClock) settle() {
	if c.tags == 0 {
		c.jump(c.late())
	} else if c.reconnected {
		c.reconnected = false
		c.mark(c.waiting[0].offset)
		c.jump(c.lateness())
	} else if late := c.late(); late != nil {
		c.mark(c.waiting[0].offset) // up to here goes what came before
		c.jump(late)
	} else if c.at-float64(c.marks[len(c.marks)-1].At) >= float64(markEvery) {
		c.adjust()
		c.mark(c.waiting[0].offset)
	}
	c.off += c.waiting[0].t - c.at
	c.offs++
	c.at += c.lasts(0) * (1 + c.stretch)
	c.waiting = c.waiting[1:]
	c.tags++
}

// jump begins a run where most of the waiting tags say that it is.
func (c *audioClock) jump(late []float64) {
	c.jumps++
	slices.Sort(late)
	c.at = math.Round((c.at+late[len(late)/2])/1e6) * 1e6
	c.run = c.at
	c.mark(c.waiting[0].offset)
}

// late is by how much each of the waiting tags comes later than by counting from here; nil
// if that is no hole: one of them is in time.
func (c *audioClock) late() []float64 {
	if first := c.waiting[0].t - c.at; c.tags > 0 && math.Abs(first) <= float64(hole) {
		return nil
	}
	all := c.lateness()
	before := func(late float64) bool { return late < -float64(hole) }
	behind := func(late float64) bool { return late > float64(hole) }
	if c.tags > 0 && !every(all, before) && !every(all, behind) {
		return nil
	}
	return all
}

// lateness is by how much each of the waiting tags comes later than by counting from here.
func (c *audioClock) lateness() (all []float64) {
	at := c.at
	for i, w := range c.waiting {
		all = append(all, w.t-at)
		at += c.lasts(i)
	}
	return all
}

func every(all []float64, is func(float64) bool) bool {
	return !slices.ContainsFunc(all, func(v float64) bool { return !is(v) })
}

// lasts is how long a waiting tag is. Where its kind doesn't tell, it is as long as those
// around it are apart.
func (c *audioClock) lasts(i int) float64 {
	if n := len(c.waiting); n >= minSeen || c.apart == 0 {
		c.apart = max(1e6, (c.waiting[n-1].t-c.waiting[0].t)/float64(max(1, n-1)))
	}
	return cmp.Or(c.waiting[i].lasts, c.apart)
}

func (c *audioClock) adjust() {
	mean := c.off / float64(c.offs)
	nudge := 0.0
	if math.Abs(mean) > float64(onTime) {
		share := mean / float64(markEvery)
		nudge = share / 2
		c.pace = min(maxStretch, max(-maxStretch, c.pace+share/5))
	}
	c.stretch = min(maxStretch, max(-maxStretch, c.pace+nudge))
}

func (c *audioClock) mark(offset int64) {
	c.marks = append(c.marks, Mark{Offset: offset, Tag: c.tags, At: time.Duration(c.at), Run: time.Duration(c.run)})
	c.off, c.offs = 0, 0
}
