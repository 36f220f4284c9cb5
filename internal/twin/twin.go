// Package twin merges the files that two recorders made of one stream. Both have the same encoded frames and packets, at timestamps that differ by a
// constant. align.go finds that constant: it compares the bodies of tags, and decodes nothing. append.go adds what one file has behind the end of the
// merged recording, by that recording's clock.
package twin

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"afterlive.alt/internal/flv"
)

// Twin compares a recording, made by several recorders, with the file that one of them writes. Both grow.
type Twin struct {
	recording     File
	file          io.ReaderAt
	fromRecording *flv.Tags
	fromFile      *flv.Tags

	tail  []tag // the recording's last tags
	size  int64 // of the recording, as far as it was read; bytes
	wrote int64 // up to where it was put there by this process
	rec   clock
	marks []mark // of the recording, from which it can be read again

	mine  []tag   // the file's tags, those left out that were found to be in the recording long ago
	owns  []clock // the file's clocks: a new one begins where its publisher has come back, or its times run back
	steps map[flv.Kind]*pace

	place   place             // of the recording's end in the file
	expect  []int64           // ms: the shift of each of the file's clocks, by the wall clock
	strange bool              // what the recording has of the file's time isn't in the file
	absent  map[flv.Kind]bool // kinds that have ended before the others, so nobody waits for them
}

// File is one that grows.
type File interface {
	io.ReaderAt
	io.Writer
}

// clock is one by which tags have their times.
type clock struct {
	zero  int64                   // ms from the zero of the first one to the zero of this one
	first int64                   // ms, of the first tag
	last  int64                   // ms, the latest
	kinds [flv.AudioFrame + 1]int // how many tags of a kind it has
	lasts [flv.AudioFrame + 1]int64
}

// some tells whether it has any tags.
func (c *clock) some() bool { return c.kinds[flv.VideoFrame]+c.kinds[flv.AudioFrame] > 0 }

// see takes in the time of a frame or of audio; it is false if that has run back.
func (c *clock) see(kind flv.Kind, t int64) bool {
	if c.kinds[kind] > 0 && t < c.lasts[kind]-backward {
		return false
	}
	if !c.some() {
		c.first = t
	}
	c.kinds[kind]++
	c.lasts[kind] = max(c.lasts[kind], t)
	c.last = max(c.last, t)
	return true
}

// next is the clock behind this one.
func (c *clock) next(away int64) clock { return clock{zero: c.zero + c.last + away} }

const backward = 1000 // ms by which tags may be out of order

// tag is one with the number of the clock by which its time is told.
type tag struct {
	flv.Tag

	clock int
	usual int64 // ms: how far apart the tags of its kind have been at most, just before; 0: there were too few
}

// mark is where the recording can be read from.
type mark struct {
	offset int64
	clock  clock
}

// place is where the recording ends in the file.
type place struct {
	known bool
	clock int
	shift int64              // ms: of the recording's times against the file's
	last  map[flv.Kind]int64 // the time of the recording's last tag, by the recording's clock; ms
	next  map[flv.Kind]int64 // the offset of the first tag in the file that is behind it
}

// New compares a recording with a file. What is put behind the recording is written to it.
func New(recording File, file io.ReaderAt) *Twin {
	return &Twin{
		recording: recording, file: file, fromRecording: flv.ReadTags(recording, 0), fromFile: flv.ReadTags(file, 0), owns: []clock{{}},
		expect: []int64{0}, steps: map[flv.Kind]*pace{flv.VideoFrame: {}, flv.AudioFrame: {}}, absent: map[flv.Kind]bool{},
	}
}

// Begin makes the file's own beginning the recording's.
func (t *Twin) Begin() error {
	head := make([]byte, flv.HeaderSize)
	if _, err := t.file.ReadAt(head, 0); err != nil {
		return fmt.Errorf("begin recording: %w", err)
	}
	if _, err := t.recording.Write(head); err != nil {
		return fmt.Errorf("begin recording: %w", err)
	}
	t.size, t.wrote = int64(len(head)), int64(len(head))
	t.fromRecording = flv.ReadTags(t.recording, t.size)
	t.place = place{known: true, last: map[flv.Kind]int64{}, next: map[flv.Kind]int64{flv.Other: 0}}
	return nil
}

// Cut tells that the recording has been cut to so many bytes: another recorder was first.
func (t *Twin) Cut(size int64) {
	if size >= t.size && t.place.known {
		return
	}
	t.marks = slices.DeleteFunc(t.marks, func(m mark) bool { return m.offset > size })
	from := mark{}
	if n := len(t.marks); n > 0 {
		from = t.marks[max(0, n-marksAgain)]
	}
	t.tail, t.rec = nil, from.clock
	t.fromRecording = flv.ReadTags(t.recording, from.offset)
	t.size, t.wrote, t.place.known = from.offset, min(t.wrote, size), false
}

const (
	kept       = 60_000 // ms of the recording's tags that are compared
	keptMost   = 20_000 // of them
	markEvery  = 20_000 // ms
	marksMost  = 20
	marksAgain = 4 // that are read again
)

// Read takes in what has come of both, and looks where the recording ends in the file. written is when the file was written to
// last, and began when the recording began, both by the wall clock: that counts only where frames repeat.
func (t *Twin) Read(written, began time.Time) error {
	if err := t.readFile(); err != nil {
		return err
	}
	if err := t.readRecording(); err != nil {
		return err
	}
	now := t.owns[len(t.owns)-1]
	for i, c := range t.owns {
		t.expect[i] = written.Sub(began).Milliseconds() - now.zero - now.last + c.zero - t.rec.zero
	}
	if t.size > t.wrote || !t.place.known { // else it ends with what was put there
		t.align()
	}
	if !t.place.known && len(t.mine) > unaligned {
		t.mine = slices.Delete(t.mine, 0, len(t.mine)-unaligned/2)
	}
	return nil
}

// unaligned is how many of the file's tags are kept at most while nobody knows where the recording ends: about an hour's.
const unaligned = 300_000

func (t *Twin) readFile() error {
	for {
		x, err := t.fromFile.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read file of a stream: %w", err)
		}
		now := &t.owns[len(t.owns)-1]
		if p := t.steps[x.Kind]; x.Kind == flv.Reconnect || p != nil && !now.see(x.Kind, x.Time) {
			t.owns, t.expect = append(t.owns, now.next(x.Away)), append(t.expect, 0)
			if p != nil {
				t.owns[len(t.owns)-1].see(x.Kind, x.Time)
			}
			for _, p := range t.steps {
				p.n = 0
			}
		}
		usual := int64(0)
		if p := t.steps[x.Kind]; p != nil {
			usual = p.usual()
			p.add(x.Time)
		}
		t.mine = append(t.mine, tag{x, len(t.owns) - 1, usual})
	}
}

func (t *Twin) readRecording() error {
	for {
		x, err := t.fromRecording.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read recording: %w", err)
		}
		if n := len(t.marks); n == 0 || t.rec.zero+t.rec.last-t.marks[n-1].clock.zero-t.marks[n-1].clock.last > markEvery {
			t.marks = append(t.marks[max(0, n-marksMost):], mark{x.Offset, t.rec})
		}
		if x.Kind == flv.Reconnect || t.steps[x.Kind] != nil && !t.rec.see(x.Kind, x.Time) { // what comes next has another clock
			t.rec = t.rec.next(x.Away)
			if t.steps[x.Kind] != nil {
				t.rec.see(x.Kind, x.Time)
			}
			t.tail = t.tail[:0]
		}
		t.tail = append(t.tail, tag{Tag: x})
		t.size = x.Offset + x.Size
	}
	old := max(0, len(t.tail)-keptMost)
	for old < len(t.tail) && t.rec.last-t.tail[old].Time > kept {
		old++
	}
	t.tail = slices.Delete(t.tail, 0, old)
	return nil
}

// Aligned tells whether it is known where the recording ends in the file.
func (t *Twin) Aligned() bool { return t.place.known }

// Unlike tells that file and recording are of different streams: what the recording has of a while of the file's time isn't in the file.
func (t *Twin) Unlike() bool { return !t.place.known && t.strange }

// Unmerged is how much the file has that the recording has not.
func (t *Twin) Unmerged() time.Duration {
	if !t.place.known {
		return 0
	}
	var ahead int64
	for kind := range t.steps {
		if first, last := t.behind(kind); first != nil {
			ahead = max(ahead, last.Time-first.Time+1)
		}
	}
	return time.Duration(ahead) * time.Millisecond
}

// behind are the first and the last tag of a kind behind the recording's end; nil: there is none.
func (t *Twin) behind(kind flv.Kind) (first, last *tag) {
	for i := range t.mine {
		x := &t.mine[i]
		if x.Kind == kind && x.Offset >= t.place.next[kind] {
			if first == nil {
				first = x
			}
			if x.clock == first.clock {
				last = x
			}
		}
	}
	return first, last
}

// Continues tells whether the file has what comes right behind the recording's end: whether [Twin.Append] would put something there.
func (t *Twin) Continues() bool {
	if !t.place.known {
		return false
	}
	for _, x := range t.mine {
		if t.steps[x.Kind] == nil && x.Kind != flv.Reconnect || x.Offset < t.nextOf(x.Kind) {
			continue
		}
		_, missing := t.missing(x)
		return !missing && x.clock == t.place.clock
	}
	return false
}
