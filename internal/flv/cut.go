package flv

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// Cut names the part of a recording that one task reads, and all that is needed
// to turn those bytes into a standalone FLV. It travels in the plan.
type Cut struct {
	Audio     bool    `json:"audio,omitempty"`  // the audio; else the video
	From      int64   `json:"from"`             // first byte
	To        int64   `json:"to"`               // behind the last byte
	StopAt    int64   `json:"until,omitempty"`  // ms; the first tag at or after it is the last; 0: none is
	LikelyEnd int64   `json:"enough,omitempty"` // byte at which that tag has ended, estimated; 0: unknown
	Header    []byte  `json:"header,omitempty"`
	Format    *byte   `json:"format,omitempty"` // of audio that is neither AAC, which has a header, nor MP3 (annex E.4.2.1)
	Epochs    []Epoch `json:"epochs,omitempty"` // of frames
	Skip      []Range `json:"skip,omitempty"`   // damage

	Marks   []Mark   `json:"marks,omitempty"`   // of audio, the first at From and the last at To
	Changes []Header `json:"changes,omitempty"` // of the audio's header, later on

	Rate  Rate  `json:"rate,omitzero"`   // of frames, for who must know how long the last one lasts
	Bias  int64 `json:"lead,omitempty"`  // ms that are added to timestamps beyond [TimestampBias]
	Whole int64 `json:"whole,omitempty"` // ms; frames shown from then on must be decoded; where 0, from the first on
	End   int64 `json:"end,omitempty"`   // ms; and before then; 0: up to the last

	// The stream says how its frames are to be turned. That is done once for all, and not left to ffmpeg.
	Oriented bool `json:"oriented,omitempty"`

	// By how many ms frames are shown after they are decoded, at least and at most.
	MinComposition int64 `json:"min_composition,omitempty"`
	MaxComposition int64 `json:"max_composition,omitempty"`
}

// VideoCut covers the frames shown in [from, to): from the last keyframe from which
// they are whole (the first keyframe, where there is none) to the first frame that
// follows to by a margin or more. That covers frames that are shown before they are
// decoded, and lets the frame-rate filter see what follows.
func (x *Index) VideoCut(from, to time.Duration) Cut {
	v := x.Video
	keys := v.Keyframes
	start := x.KeyframeBefore(from)
	c := Cut{
		From: keys[start].Offset, To: v.End, Rate: v.Rate, Whole: keys[start].Whole.Milliseconds(),
		Oriented: v.Oriented, MinComposition: v.MinComposition.Milliseconds(), MaxComposition: v.MaxComposition.Milliseconds(),
	}
	if to < v.Last {
		c.StopAt = (max(to, keys[start].PTS) + v.margin()).Milliseconds()
		c.End = to.Milliseconds()
		for i := start + 1; i+1 < len(keys); i++ {
			if keys[i].DTS.Milliseconds() >= c.StopAt {
				c.To = keys[i+1].Offset
				break
			}
		}
		c.LikelyEnd = min(c.To, x.likelyEnd(time.Duration(c.StopAt)*time.Millisecond))
	}
	return x.finish(c)
}

// Whole is up to when all frames are there that are shown, with what is read behind them
// ([Index.VideoCut]), as far as can be told before more comes.
func (v *Video) Whole() time.Duration { return v.Last - v.MaxComposition - v.margin() }

// margin is how much is read behind the last frame that is wanted.
func (v *Video) margin() time.Duration { return max(250*time.Millisecond, -v.MinComposition) }

// bias is what must be added to timestamps beyond [TimestampBias], in ms: all of frames whose
// decoding begins long before they are shown.
func (x *Index) bias() int64 {
	if x.Video == nil {
		return 0
	}
	return max(0, -x.Video.FirstDTS.Milliseconds())
}

// From is the index on a timeline whose zero is a moment of this one, in whole milliseconds.
func (x *Index) From(zero time.Duration) *Index {
	d := zero.Milliseconds()
	if d == 0 {
		return x
	}
	y := *x
	y.Duration -= ms(d)
	if x.Video != nil {
		v := *x.Video
		v.First, v.Last, v.FirstDTS = v.First-ms(d), v.Last-ms(d), v.FirstDTS-ms(d)
		v.Keyframes = slices.Clone(v.Keyframes)
		for i := range v.Keyframes {
			v.Keyframes[i] = v.Keyframes[i].moved(-ms(d))
		}
		v.Epochs = shifted(v.Epochs, -d)
		y.Video = &v
	}
	y.Gaps = slices.Clone(x.Gaps)
	for i := range y.Gaps {
		y.Gaps[i].At -= ms(d)
	}
	if x.Audio != nil {
		a := *x.Audio
		a.Marks, a.Epochs = moved(a.Marks, -ms(d)), shifted(a.Epochs, -d)
		y.Audio = &a
	}
	return &y
}

// Trimmed is the index on the timeline of what is left of a recording without its first start and its last end: zero is start, and what lies
// outside [0, Duration) remains in the index, for decoders to begin with.
func (x *Index) Trimmed(start, end time.Duration) (*Index, error) {
	if start < 0 || end < 0 || start+end >= x.Duration {
		return nil, &Error{Reason: ZeroDuration, Detail: fmt.Sprintf("without its first %s and its last %s, nothing is left of its %s", start, end, x.Duration)}
	}
	y := *x.From(start)
	y.Duration -= end
	share := y.Duration.Seconds() / x.Duration.Seconds()
	part := func(n int) int { return max(1, int(math.Round(share*float64(n)))) }
	if y.Video != nil {
		v := *y.Video
		v.Frames, v.Dropped = part(v.Frames), int(share*float64(v.Dropped))
		y.Video = &v
	}
	if y.Audio != nil {
		a := *y.Audio
		a.Frames = part(a.Frames)
		y.Audio = &a
	}
	y.Gaps = slices.DeleteFunc(slices.Clone(y.Gaps), func(g Gap) bool { return g.At >= y.Duration })
	if y.Video != nil {
		first, last := y.near()
		y.Damage = slices.DeleteFunc(slices.Clone(y.Damage), func(d Range) bool { return d.To <= first || d.From >= last })
	}
	return &y, nil
}

// near are the bytes of all keyframes from a while before zero to a while behind the end: nothing beyond is read for what lies between.
func (x *Index) near() (first, last int64) {
	const while = 10 * time.Second
	keys := x.Video.Keyframes
	first, last = keys[x.KeyframeBefore(-while)].Offset, x.End
	if i := slices.IndexFunc(keys, func(k Keyframe) bool { return k.PTS > x.Duration+while }); i >= 0 {
		last = keys[i].Offset
	}
	return first, last
}

// likelyEnd is where the first tag at or after t has most likely passed: between two
// keyframes, with an allowance for the size of the first.
func (x *Index) likelyEnd(t time.Duration) int64 {
	keys := x.Video.Keyframes
	k := x.KeyframeBefore(t)
	if k+1 == len(keys) {
		return x.Video.End
	}
	share := float64(t-keys[k].DTS)/float64(max(1, keys[k+1].DTS-keys[k].DTS))*1.1 + 0.2
	return keys[k].Offset + int64(min(1, max(0, share))*float64(keys[k+1].Offset-keys[k].Offset))
}

// KeyframeBefore is the number of the keyframe at which a cut starts that shows
// frames from t on, whole. What is shown at t is never before it: the keyframe itself
// would be shown instead.
func (x *Index) KeyframeBefore(t time.Duration) int {
	keys := x.Video.Keyframes
	i := sort.Search(len(keys), func(i int) bool { return keys[i].PTS > t }) - 1
	for i > 0 && keys[i].Whole > t {
		i--
	}
	return max(0, i)
}

// decoderRunIn is how much audio before what is wanted a decoder is given: frames overlap.
const decoderRunIn = 250 * time.Millisecond

// AudioCut covers the audio heard in [from, to), from a mark to a mark. Where none is, it
// is empty.
func (x *Index) AudioCut(from, to time.Duration) Cut {
	a := x.Audio
	c := Cut{Audio: true, Marks: a.Marks, From: a.Marks[0].Offset, To: a.Marks[len(a.Marks)-1].Offset}
	if f := a.Format; f != formatAAC && f != formatMP3 {
		c.Format = &f
	}
	for _, h := range a.Headers {
		if c.Header == nil {
			c.Header = h.Body
			continue
		}
		c.Changes = append(c.Changes, h)
	}
	c.Skip = x.Damage
	return c.Narrow(from, to)
}

// Narrow is the part of an audio cut that is heard in [from, to).
func (c Cut) Narrow(from, to time.Duration) Cut {
	first := -1
	last := 0
	for i := range c.Marks[:max(0, len(c.Marks)-1)] {
		// Time may run back from one mark to the next.
		if a, b := c.Marks[i], c.Marks[i+1]; b.Tag > a.Tag && b.At > from-decoderRunIn && a.At < to {
			if first < 0 {
				first = i
			}
			last = i + 1
		}
	}
	if first < 0 {
		return Cut{Audio: true}
	}
	c.Marks = c.Marks[first : last+1]
	c.From, c.To = c.Marks[0].Offset, c.Marks[len(c.Marks)-1].Offset
	changes := c.Changes
	c.Changes = nil
	for _, h := range changes {
		switch {
		case h.Offset < c.From:
			c.Header = h.Body
		case h.Offset < c.To:
			c.Changes = append(c.Changes, h)
		}
	}
	c.Skip = slices.DeleteFunc(slices.Clone(c.Skip), func(d Range) bool { return d.To <= c.From || d.From >= c.To })
	return c
}

// finish adds what is in force in a video cut: the codec's header and the epochs.
func (x *Index) finish(c Cut) Cut {
	c.Bias = x.bias()
	for _, h := range x.Video.Headers {
		if h.Offset > c.From && c.Header != nil {
			break
		}
		c.Header = h.Body
	}
	for _, d := range x.Damage {
		if d.From >= c.From && d.To <= c.To {
			c.Skip = append(c.Skip, d)
		}
	}
	for _, e := range x.Video.Epochs {
		switch {
		case e.Offset <= c.From || len(c.Epochs) == 0:
			c.Epochs = []Epoch{e}
		case e.Offset < c.To:
			c.Epochs = append(c.Epochs, e)
		}
	}
	return c
}

// Span is what must be read for video and audio together; ok is false where that would be
// more than to read them apart.
func (c Cut) Span(audio Cut) (from, likely, to int64, ok bool) {
	from, likely, to = min(c.From, audio.From), max(c.Likely(), audio.To), max(c.To, audio.To)
	return from, likely, to, likely-from < c.Likely()-c.From+audio.To-audio.From
}

// Likely is where as much was read as a cut most likely needs.
func (c Cut) Likely() int64 { return cmp.Or(c.LikelyEnd, c.To) }
