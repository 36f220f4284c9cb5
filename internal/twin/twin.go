// Package twin puts together what two recorders have written of one stream. An encoder that sends to two origins sends both the same
// coded pictures and packets of sound; only the clocks differ, by as much as one was there before the other. So the tags
// of a file are found in the recording by their bodies, without decoding anything, and what the
// file has behind the recording's end is put there, by the recording's clock.
package twin

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"afterlive/internal/flv"
)

// Twin compares a recording, made by several recorders, with the file that one of them writes. Both grow.
type Twin struct {
	recording     File
	file          io.ReaderAt
	fromRecording *flv.Tags
	fromFile      *flv.Tags
	size          int64 // of the recording, as far as it was read; bytes
	wrote         int64 // up to where it was put there by this process
	end           int64 // the latest time of its clock; ms

	tail []tag // the recording's last tags
	mine []tag // the file's, those left out that were found to be in the recording long ago

	last  int64 // the latest time of the file's clock; ms
	clock int   // of the last tag that was read of the file: how often its publisher has come back
	place place // of the recording's end in the file

	expect  []int64       // ms: the shift of each clock, about; see Expect
	seen    time.Duration // of the recording, since the file was last found to be alike
	own     time.Duration // of the file, likewise
	strange bool          // what came last of the recording isn't in the file
	steps   map[flv.Kind]*pace
	jumped  map[flv.Kind]int64 // ms: holes of up to so much nobody could fill
}

// File is one that grows.
type File interface {
	io.ReaderAt
	io.Writer
}

// tag is one with the clock by which its time is told.
type tag struct {
	flv.Tag

	clock int
}

// place is where the recording ends in the file.
type place struct {
	known bool
	clock int
	shift int64              // ms: of the recording's times against the file's
	last  map[flv.Kind]int64 // the time of the recording's last tag, by the recording's clock; ms
	next  map[flv.Kind]int64 // the offset of the first tag in the file that is behind it
}

// New compares a recording, of which so many bytes are there, with a file. What is put behind the recording is written to it.
func New(recording File, file io.ReaderAt) *Twin {
	return &Twin{
		recording: recording, file: file, fromRecording: flv.ReadTags(recording, 0), fromFile: flv.ReadTags(file, 0),
		expect: []int64{0}, steps: map[flv.Kind]*pace{flv.Picture: {}, flv.Sound: {}}, jumped: map[flv.Kind]int64{},
	}
}

// Expect tells by how much the file began after the recording, about. It counts only where pictures repeat.
func (t *Twin) Expect(later time.Duration) { t.expect[0] = later.Milliseconds() }

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

// Lasts is how long the file is, by its clock.
func (t *Twin) Lasts() time.Duration { return time.Duration(t.last) * time.Millisecond }

// Cut tells that the recording has been cut to so many bytes: another recorder was first.
func (t *Twin) Cut(size int64) {
	t.tail = slices.DeleteFunc(t.tail, func(x tag) bool { return x.Offset >= size })
	t.fromRecording = flv.ReadTags(t.recording, size)
	t.size, t.wrote, t.place.known = size, min(t.wrote, size), false
}

const (
	kept     = 60_000 // ms of the recording's tags that are compared
	keptMost = 20_000 // of them
)

// Read takes in what has come of both, and looks where the recording ends in the file.
func (t *Twin) Read() error {
	if err := t.readFile(); err != nil {
		return err
	}
	if err := t.readRecording(); err != nil {
		return err
	}
	if t.size > t.wrote || !t.place.known { // else it ends with what was put there
		t.align()
	}
	return nil
}

func (t *Twin) readFile() error {
	for {
		x, err := t.fromFile.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read file of a stream: %w", err)
		}
		if x.Kind == flv.Reconnect {
			t.expect = append(t.expect, t.expect[t.clock]+t.last+x.Away)
			t.clock++
			t.last = 0
		}
		t.own += forward(x.Time - t.last)
		t.last = max(t.last, x.Time)
		if p := t.steps[x.Kind]; p != nil {
			p.add(x.Time)
		}
		t.mine = append(t.mine, tag{x, t.clock})
	}
}

// forward is by how much time went on, in ms, if that may be believed.
func forward(ms int64) time.Duration {
	return time.Duration(max(0, min(second, ms))) * time.Millisecond
}

const second = 1000 // ms

func (t *Twin) readRecording() error {
	for {
		x, err := t.fromRecording.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read recording: %w", err)
		}
		if x.Kind == flv.Reconnect { // what comes next has another clock
			for i := range t.expect {
				t.expect[i] -= t.end + x.Away
			}
			t.tail, t.end = t.tail[:0], 0
		}
		t.seen += forward(x.Time - t.end)
		t.end = max(t.end, x.Time)
		t.tail = append(t.tail, tag{Tag: x})
		t.size = x.Offset + x.Size
	}
	n := len(t.tail)
	old := max(0, n-keptMost)
	for old < n && t.tail[n-1].Time-t.tail[old].Time > kept {
		old++
	}
	t.tail = slices.Delete(t.tail, 0, old)
	return nil
}

// Aligned tells whether it is known where the recording ends in the file.
func (t *Twin) Aligned() bool { return t.place.known }

// Unlike tells that file and recording are of different streams: a while of both was compared in vain.
func (t *Twin) Unlike() bool { return !t.place.known && t.strange && t.seen > enough && t.own > enough }

const enough = 12 * time.Second

// Ahead is how much the file has that the recording has not.
func (t *Twin) Ahead() time.Duration {
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

// Continues tells whether the file has what comes right behind the recording's end: pictures, and where there is sound, sound.
func (t *Twin) Continues() bool {
	if !t.place.known {
		return false
	}
	some := false
	for kind := range t.steps {
		first, _ := t.behind(kind)
		if first == nil {
			continue
		}
		if first.clock != t.place.clock || t.jumps(kind, first.Time+t.place.shift) > 0 {
			return false
		}
		some = true
	}
	return some
}
