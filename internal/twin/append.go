package twin

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"afterlive/internal/flv"
)

// pace is how far apart a file's tags of a kind are.
type pace struct {
	last  int64
	steps [16]int64 // ms
	n     int
}

func (p *pace) add(t int64) {
	if p.n > 0 && t >= p.last {
		p.steps[(p.n-1)%len(p.steps)] = t - p.last
	}
	p.last = t
	p.n++
}

// usual is the median of the last steps; 0: there are too few.
func (p *pace) usual() int64 {
	if p.n <= len(p.steps) {
		return 0
	}
	steps := p.steps
	slices.Sort(steps[:])
	return steps[len(steps)/2]
}

// jumps is by how many ms a tag that comes next in the recording is behind the last of its kind, if that is further than usual: something
// is missing between them. Else it is 0.
func (t *Twin) jumps(kind flv.Kind, at int64) int64 {
	last, some := t.place.last[kind]
	usual := t.steps[kind].usual()
	if !some || usual == 0 {
		return 0
	}
	step := at - last
	if step <= usual*7/5+2*jitter || step <= t.jumped[kind] {
		return 0
	}
	return step
}

// Append puts behind the recording what the file has beyond its end. It stops before a hole in the file, which another recorder
// may be able to fill, and returns true; unless it is to go on.
func (t *Twin) Append(goOn bool) (hole bool, err error) {
	first := t.place.next[flv.Other]
	for kind, next := range t.place.next {
		if kind != flv.Other {
			first = min(first, next)
		}
	}
	i, _ := slices.BinarySearchFunc(t.mine, first, func(x tag, at int64) int { return int(x.Offset - at) })
	defer t.forget()
	for ; i < len(t.mine); i++ {
		x := t.mine[i]
		if x.Offset < t.place.next[t.placeOf(x.Kind)] {
			continue
		}
		late, step := t.missing(x)
		if late != flv.Other && !goOn {
			return true, nil
		}
		if step > 0 {
			t.jumped[late] = step + step/5
		}
		if err := t.append(x); err != nil {
			return false, err
		}
	}
	return false, nil
}

// missing tells whether something is missing before a tag that comes next: of which kind, and for how many ms.
func (t *Twin) missing(x tag) (kind flv.Kind, step int64) {
	if x.Kind == flv.Reconnect {
		return x.Kind, 0
	}
	for kind := range t.steps {
		at := x.Time + t.place.shift
		if kind != x.Kind {
			at -= interleaved
		}
		if step := t.jumps(kind, at); step > 0 && t.steps[x.Kind] != nil {
			return kind, step
		}
	}
	return flv.Other, 0
}

// interleaved is by how many ms tags of one kind may come before those of the other that belong beside them.
const interleaved = 500

// placeOf is by which of the file's places it is decided whether a tag is behind the recording's end.
func (t *Twin) placeOf(kind flv.Kind) flv.Kind {
	if t.steps[kind] != nil {
		return kind
	}
	return flv.Other
}

// append puts one tag behind the recording.
func (t *Twin) append(x tag) error {
	if t.steps[x.Kind] == nil && x.Kind != flv.Reconnect && x.Kind != flv.Config && t.size > flv.HeaderSize && len(t.place.last) > 0 {
		t.place.next[flv.Other] = x.Offset + x.Size
		return nil // the metadata is that of the recording's beginning, and its end comes later
	}
	whole := make([]byte, x.Size)
	if _, err := t.file.ReadAt(whole, x.Offset); err != nil {
		return fmt.Errorf("go on with recording: %w", err)
	}
	if x.Kind == flv.Reconnect {
		t.place.clock, t.place.shift, t.place.last = x.clock, 0, map[flv.Kind]int64{}
	}
	at := x.Time + t.place.shift
	flv.Retime(whole, at)
	if _, err := t.recording.Write(whole); err != nil {
		return fmt.Errorf("go on with recording: %w", err)
	}
	t.size += x.Size
	t.wrote = t.size
	t.place.next[t.placeOf(x.Kind)] = x.Offset + x.Size
	if t.steps[x.Kind] != nil {
		t.place.last[x.Kind] = at
	}
	return nil
}

// Lacks is how much of a file is not in a recording: pictures, or packets of sound where there are none.
func Lacks(recording, file io.ReaderAt) (lost int, lasts time.Duration, err error) {
	have := map[uint64]int{}
	if err := each(recording, func(x flv.Tag) { have[x.Sum]++ }); err != nil {
		return 0, 0, fmt.Errorf("read recording: %w", err)
	}
	var tags, away [flv.Reconnect + 1]int
	var ms, before [flv.Reconnect + 1]int64
	err = each(file, func(x flv.Tag) {
		tags[x.Kind]++
		have[x.Sum]--
		if have[x.Sum] < 0 {
			away[x.Kind]++
			ms[x.Kind] += min(second, max(0, x.Time-before[x.Kind]))
		}
		before[x.Kind] = x.Time
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read file of a stream: %w", err)
	}
	kind := flv.Picture
	if tags[kind] == 0 {
		kind = flv.Sound
	}
	return away[kind], time.Duration(ms[kind]) * time.Millisecond, nil
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
