package flv

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"afterlive.alt/internal/h264"
)

// indexVersion changes with what [Scan] learns of the same recording.
const indexVersion = 4

type indexFile struct {
	Version int `json:"v"`
	*Index
}

// Marshal is the index as JSON, for others to read instead of the recording.
func (x *Index) Marshal() ([]byte, error) { return json.Marshal(indexFile{indexVersion, x}) }

// ErrForeignIndex is an index that is of no use: made by another version of this
// package, or not by it at all.
var ErrForeignIndex = errors.New("this is not an index of the recording that this version can use")

// ParseIndex reads what [Index.Marshal] wrote of a recording of so many bytes. The
// index comes from outside, so nothing in it is trusted that a scan would not say.
func ParseIndex(body []byte, size int64) (*Index, error) {
	file := indexFile{Index: &Index{}}
	if err := json.Unmarshal(body, &file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignIndex, err)
	}
	if file.Version != indexVersion || file.Size != size {
		return nil, fmt.Errorf("%w: version %d of %d bytes, wanted %d of %d", ErrForeignIndex, file.Version, file.Size, indexVersion, size)
	}
	if what := file.invalid(); what != "" {
		return nil, fmt.Errorf("%w: its %s cannot be", ErrForeignIndex, what)
	}
	return file.Index, nil
}

// maxLength is beyond what any recording lasts, and far from what a duration holds.
const maxLength = 10 * 365 * 24 * time.Hour

// invalid names what no scan would say.
func (x *Index) invalid() string {
	inside := func(offset int64) bool { return offset >= fileHeaderSize && offset <= x.End }
	switch {
	case x.End < fileHeaderSize || x.End > x.Size:
		return "end"
	case x.Duration <= 0 || x.Duration > maxLength:
		return "duration"
	case len(x.Damage) > maxDamage || !ascending(x.Damage, func(r Range) int64 { return r.From }) ||
		slices.ContainsFunc(x.Damage, func(r Range) bool { return !inside(r.From) || !inside(r.To) || r.From >= r.To }):
		return "damage"
	case len(x.Gaps) > maxEpochs:
		return "gaps"
	case slices.ContainsFunc(x.Missing, func(m Missing) bool { return m.Tags <= 0 || m.Tags > m.Of }):
		return "missing"
	case x.Video == nil && x.Audio == nil:
		return "lack of tracks"
	case x.Video != nil && !x.Video.valid(inside):
		return "video"
	case x.Audio != nil && !x.Audio.valid(x.Open, inside):
		return "audio"
	}
	return ""
}

func (v *Video) valid(inside func(int64) bool) bool {
	keys := v.Keyframes
	return sane(v.Epochs) && slices.Contains(gridRates, v.Rate) &&
		len(v.Forms) > 0 && len(v.Forms) <= maxForms && !slices.ContainsFunc(v.Forms, Form.invalid) &&
		v.Frames > 0 && v.Fields >= 0 && v.Fields <= v.Frames && v.Dropped >= 0 && v.Dropped <= v.Frames && v.Thinned >= 0 && v.Tail > 0 && v.Tail <= time.Hour &&
		validTime(v.First) && validTime(v.Last) && v.First <= v.Last && validTime(v.FirstDTS) &&
		v.MinComposition <= 0 && v.MinComposition >= -earlyReach*time.Millisecond && v.MaxComposition >= 0 && v.MaxComposition <= earlyReach*time.Millisecond &&
		slices.Contains([]int{0, 90, 180, 270}, v.Rotation) &&
		v.Steady.GOP >= 0 && v.Steady.GOP <= v.Frames && v.Steady.Reorder >= -maxSteadyReorder && v.Steady.Reorder <= maxSteadyReorder &&
		len(keys) > 0 && len(keys) <= maxKeyframes+1 && ascending(keys, func(k Keyframe) int64 { return k.Offset }) &&
		!slices.ContainsFunc(keys, func(k Keyframe) bool {
			return !inside(k.Offset) || !validTime(k.DTS) || !validTime(k.PTS) || k.Whole < k.PTS && k.Whole < keys[0].PTS
		}) &&
		inside(v.End) && keys[len(keys)-1].Offset < v.End &&
		len(v.Headers) > 0 && len(v.Headers) <= maxHeaders && !slices.ContainsFunc(v.Headers, Header.invalid)
}

func (a *Audio) valid(open bool, inside func(int64) bool) bool {
	const minTag = tagHeaderSize + 2 + tagTrailerSize
	last := len(a.Marks) - 1
	return audioFormats[a.Format].Codec == a.Codec && (a.Format != formatAAC || len(a.Headers) > 0) &&
		a.SampleRate >= 1000 && a.SampleRate <= maxSampleRate && a.Channels >= 0 && a.Bytes >= 0 &&
		last > 0 && last < maxMarks && a.Frames > 0 && int64(a.Marks[last].Tag) <= (a.Marks[last].Offset-a.Marks[0].Offset)/minTag &&
		a.Marks[0].Tag == 0 && (a.Marks[last].Tag == a.Frames || open && a.Marks[last].Tag < a.Frames) && sane(a.Epochs) &&
		!slices.ContainsFunc(a.Marks, func(m Mark) bool { return !inside(m.Offset) || !validTime(m.At) || !validTime(m.Run) || m.Run > m.At }) &&
		!steps(a.Marks, func(a, b Mark) bool { return !a.leads(b) }) &&
		len(a.Headers) <= maxHeaders && !slices.ContainsFunc(a.Headers, Header.invalid)
}

// leads tells whether a mark can be followed by another: of the next tag, at the same place or behind
// a halt, or of later ones, each of which lasts a while.
func (m Mark) leads(next Mark) bool {
	tags := next.Tag - m.Tag
	if tags == 0 {
		return next.Offset >= m.Offset
	}
	each := (next.At - m.At) / time.Duration(max(1, tags))
	return tags > 0 && next.Offset > m.Offset && next.Run == m.Run && each >= time.Microsecond && each <= time.Minute
}

// steps tells whether two neighbours are such.
func steps[T any](all []T, such func(a, b T) bool) bool {
	for i := range max(0, len(all)-1) {
		if such(all[i], all[i+1]) {
			return true
		}
	}
	return false
}

func sane(all []Epoch) bool {
	return len(all) > 0 && len(all) <= maxEpochs+1 && ascending(all, func(e Epoch) int64 { return e.Offset })
}

const maxSteadyReorder = 1000 // frames

// validTime is a time that a repaired timeline can have.
func validTime(t time.Duration) bool { return t > -time.Hour && t <= maxLength }

func (f Form) invalid() bool {
	return f.Width < 2 || f.Height < 2 || f.Width > h264.MaxSide || f.Height > h264.MaxSide || f.Frames < 0 || f.Time < 0 ||
		f.SARNum <= 0 || f.SARDen <= 0 || f.SARNum > 4*f.SARDen || f.SARDen > 4*f.SARNum || f.SARDen >= 1<<32
}

func (h Header) invalid() bool { return len(h.Body) == 0 || len(h.Body) > maxHeaderBody }

func ascending[T any](all []T, offset func(T) int64) bool {
	return slices.IsSortedFunc(all, func(a, b T) int { return int(min(1, max(-1, offset(a)-offset(b)))) })
}

// MarshalJSON writes [offset, DTS, PTS], and Whole where that is another, times in
// milliseconds: there are many. -1: never.
func (k Keyframe) MarshalJSON() ([]byte, error) {
	all := []int64{k.Offset, k.DTS.Milliseconds(), k.PTS.Milliseconds()}
	if k.Whole == never {
		all = append(all, -1)
	} else if k.Whole != k.PTS {
		all = append(all, k.Whole.Milliseconds())
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (k *Keyframe) UnmarshalJSON(body []byte) error {
	var all []int64
	if err := json.Unmarshal(body, &all); err != nil {
		return err
	}
	if len(all) < 3 || len(all) > 4 {
		return fmt.Errorf("keyframe of %d numbers", len(all))
	}
	const most = int64(maxLength / time.Millisecond)
	if slices.Max(all[1:]) > most || slices.Min(all[1:]) < -most {
		return fmt.Errorf("keyframe at %d ms", all[1])
	}
	*k = Keyframe{Offset: all[0], DTS: ms(all[1]), PTS: ms(all[2]), Whole: ms(all[2])}
	if len(all) == 4 {
		k.Whole = ms(all[3])
		if all[3] == -1 {
			k.Whole = never
		}
	}
	return nil
}
