package twin

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"afterlive.alt/internal/flv"
)

// pace is how far apart a file's tags of a kind are.
type pace struct {
	last  int64
	steps [16]int64 // ms
	n     int
}

func (p *pace) add(t int64) {
	if p.n > 0 {
		p.steps[(p.n-1)%len(p.steps)] = max(0, t-p.last)
	}
	p.last = t
	p.n++
}

// usual is the largest of the last steps: so nothing is missing where frames come at a rate that varies. 0: there are too few.
func (p *pace) usual() int64 {
	if p.n <= len(p.steps) {
		return 0
	}
	return slices.Max(p.steps[:])
}

// jumps is by how many ms a tag that comes next in the recording is behind the last of its kind, if that is further than usual: something
// is missing between them. Else it is 0.
func (t *Twin) jumps(kind flv.Kind, at, usual int64) int64 {
	last, some := t.place.last[kind]
	if step := at - last; some && usual > 0 && step > usual*7/5+2*jitter {
		return step
	}
	return 0
}

// Append puts behind the recording what the file has beyond its end. It stops before a hole in the file, which another recorder
// may be able to fill, and returns true; unless it is to go on: then it stops before the next one.
func (t *Twin) Append(goOn bool) (hole bool, err error) {
	first := t.place.next[flv.Other]
	for kind, next := range t.place.next {
		if kind != flv.Other {
			first = min(first, next)
		}
	}
	i, _ := slices.BinarySearchFunc(t.mine, first, func(x tag, at int64) int { return cmp.Compare(x.Offset, at) })
	for ; i < len(t.mine); i++ {
		x := t.mine[i]
		if x.Offset < t.nextOf(x.Kind) {
			continue
		}
		if late, missing := t.missing(x); missing {
			if !goOn {
				return true, nil
			}
			if goOn = false; late != x.Kind {
				t.absent[late] = true
			}
		}
		if err := t.append(x); err != nil {
			return false, err
		}
	}
	return false, nil
}

// missing tells whether something is missing before a tag that comes next, and of which kind.
func (t *Twin) missing(x tag) (kind flv.Kind, missing bool) {
	if x.Kind == flv.Reconnect {
		return x.Kind, true
	}
	if t.steps[x.Kind] == nil {
		return x.Kind, false
	}
	at := x.Time + t.place.shift
	if x.clock == t.place.clock && t.jumps(x.Kind, at, x.usual) > 0 {
		return x.Kind, true
	}
	other := flv.VideoFrame + flv.AudioFrame - x.Kind
	last, some := t.place.last[other]
	if !some || t.absent[other] || x.clock != t.place.clock || at-last < interleaved {
		return other, false
	}
	if next, _ := t.behind(other); next != nil { // it may only come later in the file
		return other, next.clock != t.place.clock || t.jumps(other, next.Time+t.place.shift, next.usual) > 0
	}
	now := t.owns[x.clock]
	return other, now.last+t.place.shift-last > silent
}

const (
	interleaved = 500   // ms by which tags of one kind may come before those of the other that belong beside them
	silent      = 3_000 // ms without any of a kind, after which it is missing
)

// nextOf is from where on tags of a kind are behind the recording's end.
func (t *Twin) nextOf(kind flv.Kind) int64 {
	switch {
	case t.steps[kind] != nil:
		return t.place.next[kind]
	case kind == flv.Config: // again, rather than not at all
		return min(t.place.next[flv.VideoFrame], t.place.next[flv.AudioFrame])
	}
	return t.place.next[flv.Other]
}

// append puts one tag behind the recording.
func (t *Twin) append(x tag) error {
	if x.Kind == flv.Other && len(t.place.last) > 0 {
		t.place.next[flv.Other] = x.Offset + x.Size
		return nil // the metadata is that of the recording's beginning, and its end comes later
	}
	whole := make([]byte, x.Size)
	if _, err := t.file.ReadAt(whole, x.Offset); err != nil {
		return fmt.Errorf("go on with recording: %w", err)
	}
	p := &t.place
	if x.Kind == flv.Reconnect {
		p.clock, p.shift, p.last = x.clock, 0, map[flv.Kind]int64{}
	}
	if x.clock != p.clock { // its times have run back, as those of the others
		p.clock, p.last = x.clock, map[flv.Kind]int64{}
	}
	at := x.Time + p.shift
	flv.Retime(whole, at)
	if _, err := t.recording.Write(whole); err != nil {
		return fmt.Errorf("go on with recording: %w", err)
	}
	t.size += x.Size
	t.wrote = t.size
	if t.steps[x.Kind] == nil {
		p.next[flv.Other] = x.Offset + x.Size
		return nil
	}
	p.next[x.Kind], p.last[x.Kind] = x.Offset+x.Size, at
	t.absent[x.Kind] = false
	return nil
}

// Lost is what a file has of a kind and a recording has not.
type Lost struct {
	Frames int
	Lasts  time.Duration
}

// Lacks is what of a file is not in a recording: frames, and audio packets.
func Lacks(recording, file io.ReaderAt) (video, audio Lost, err error) {
	have, err := bodies(recording)
	if err != nil {
		return Lost{}, Lost{}, fmt.Errorf("read recording: %w", err)
	}
	all, err := bodies(file)
	if err != nil {
		return Lost{}, Lost{}, fmt.Errorf("read file of a stream: %w", err)
	}
	for kind, lost := range map[flv.Kind]*Lost{flv.VideoFrame: &video, flv.AudioFrame: &audio} {
		there := have[kind]
		for _, x := range all[kind] {
			for len(there) > 0 && there[0].sum < x.sum {
				there = there[1:]
			}
			if len(there) > 0 && there[0].sum == x.sum {
				there = there[1:]
				continue
			}
			lost.Frames++
			lost.Lasts += time.Duration(x.step) * time.Millisecond
		}
	}
	return video, audio, nil
}

// body is a tag's, and by how many ms it comes behind the one before.
type body struct {
	sum  uint64
	step int32
}

// bodies are those of a file, in an order in which they can be compared.
func bodies(file io.ReaderAt) (all map[flv.Kind][]body, err error) {
	all = map[flv.Kind][]body{}
	before := map[flv.Kind]int64{}
	err = each(file, func(x flv.Tag) {
		if x.Kind == flv.VideoFrame || x.Kind == flv.AudioFrame {
			all[x.Kind] = append(all[x.Kind], body{x.Sum, int32(min(math.MaxInt32, max(0, x.Time-before[x.Kind])))})
			before[x.Kind] = x.Time
		}
	})
	for _, these := range all {
		slices.SortFunc(these, func(a, b body) int { return cmp.Compare(a.sum, b.sum) })
	}
	return all, err
}

func each(file io.ReaderAt, do func(flv.Tag)) error {
	for tags := flv.ReadTags(file, 0); ; {
		x, err := tags.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		do(x)
	}
}
