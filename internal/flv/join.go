package flv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sort"
	"time"
)

// Part is one of the files that a recorder made of one stream, as it started a new
// one now and then (record_interval, record_max_size).
type Part struct {
	Name  string
	Start time.Time // of its recording, by the wall clock, to the second; zero: not known
	Open  func() (io.ReadCloser, error)
}

// roundedStart is by how much two starts that are known to the second can mislead.
const roundedStart = 1500 * time.Millisecond

// Join writes parts as one recording, in their order, on one timeline: each part's
// repaired one, behind that of the part before. Where the starts say that time is
// missing between two parts, as much is left out of the timeline; a scan of the
// result closes it up, and tells of it in [Index.Gaps]. Torn tails and damage are left
// out, and so are parts with nothing to see or hear, which a recorder leaves where a
// stream ends as it starts a new file. notes tell people of what is missing.
func Join(w io.Writer, parts []Part) (notes []string, err error) {
	out := bufio.NewWriterSize(w, 1<<20)
	if _, err := out.WriteString("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"); err != nil {
		return nil, err
	}
	empty := 0
	base := TimestampBias // decoding may be earlier than the first frame
	var ended time.Time
	for _, p := range parts {
		x, err := scanPart(p)
		if refused, ok := errors.AsType[*Error](err); ok && (refused.Reason == NoKeyframe || refused.Reason == ZeroDuration) {
			notes = append(notes, fmt.Sprintf("%s is left out: there is nothing in it", p.Name))
			empty++
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if !p.Start.IsZero() && !ended.IsZero() {
			gap := p.Start.Sub(ended)
			if gap < -roundedStart {
				return nil, fmt.Errorf("%s: by its name it began %s before the part before it ended: are the parts in order, and of one stream?", p.Name, -gap)
			}
			if gap > roundedStart {
				base += gap
				notes = append(notes, fmt.Sprintf("%s before %s are missing; the timeline is closed up there", gap.Round(time.Second), p.Name))
			}
		}
		if err := appendPart(out, p, x, base); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		base += x.Duration
		ended = time.Time{}
		if !p.Start.IsZero() {
			ended = p.Start.Add(x.Duration)
		}
	}
	if empty == len(parts) {
		return nil, refuse(ZeroDuration, "there is neither video nor audio in any of them")
	}
	return notes, out.Flush()
}

func scanPart(p Part) (*Index, error) {
	r, err := p.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return Scan(r)
}

// appendPart writes a part's audio tags and video, from the first keyframe on.
func appendPart(out io.Writer, p Part, x *Index, base time.Duration) error {
	src, err := p.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	r := bufio.NewReaderSize(src, 1<<20)
	if _, err := r.Discard(fileHeaderSize); err != nil {
		return torn(err)
	}
	damage := x.Damage
	for pos := int64(fileHeaderSize); pos < x.End; {
		if len(damage) > 0 && pos == damage[0].From {
			if _, err := io.CopyN(io.Discard, r, damage[0].To-pos); err != nil {
				return torn(err)
			}
			pos, damage = damage[0].To, damage[1:]
			continue
		}
		var head [tagHeaderSize]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return torn(err)
		}
		size := sizeOf(head[:])
		body := make([]byte, size+tagTrailerSize)
		if _, err := io.ReadFull(r, body); err != nil {
			return torn(err)
		}
		if kind := head[0] & 0x1f; kind != tagScript && size > 0 && !x.early(kind, body, pos) {
			raw := int64(head[4])<<16 | int64(head[5])<<8 | int64(head[6]) | int64(head[7])<<24
			tag := appendTagHeader(nil, kind, size, max(0, raw+x.shift(kind, pos)+base.Milliseconds()))
			tag = append(tag, body[:size]...)
			if _, err := out.Write(appendTrailer(tag, size)); err != nil {
				return err
			}
		}
		pos += int64(tagHeaderSize + len(body))
	}
	return nil
}

// shift is what a tag's timestamp is repaired by, in ms.
func (x *Index) shift(kind byte, offset int64) (shift int64) {
	var all []Epoch
	switch {
	case kind == tagVideo && x.Video != nil:
		all = x.Video.Epochs
	case kind == tagAudio && x.Audio != nil:
		all = x.Audio.Epochs
	}
	i := sort.Search(len(all), func(i int) bool { return all[i].Offset > offset })
	if len(all) == 0 {
		return 0
	}
	return all[max(0, i-1)].Shift // configurations come before the first
}

// early tells whether a tag is a frame before the first keyframe.
func (x *Index) early(kind byte, body []byte, pos int64) bool {
	if kind != tagVideo || x.Video == nil {
		return false
	}
	return len(body) > 1 && body[1] == packetFrame && pos < x.Video.Keyframes[0].Offset
}
