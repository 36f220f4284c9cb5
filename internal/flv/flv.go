// Package flv reads the recordings that nginx-rtmp leaves behind.
//
// [Scan] walks a stream of bytes once and returns an [Index]: what the
// recording holds, where its keyframes are, and how its timeline is repaired.
// From the index, [Index.VideoCut] and [Index.AudioCut] name the bytes that one
// task needs, and [Cut.Reader] turns exactly those bytes into a standalone FLV of one track.
// Video has repaired timestamps. Audio tag n is at n times [TagTime], so whoever decodes it
// knows which tag a sample came from.
//
// The format is Adobe's "Video File Format Specification 10.1", annex E. This
// is the only code that sees the raw bytes first, so it trusts none of them.
package flv

import (
	"fmt"
	"math"
	"math/bits"
	"time"

	"afterlive.alt/internal/h264"
)

// Sizes in bytes of the fixed parts of the format (annex E.2 to E.4).
const (
	fileHeaderSize = 9 + 4 // header and the PreviousTagSize0 after it
	tagHeaderSize  = 11
	tagTrailerSize = 4
)

// Tag types (annex E.4.1).
const (
	tagAudio  = 8
	tagVideo  = 9
	tagScript = 18
)

// TimestampBias is added to every timestamp of a cut, and [Cut.Bias] where that is not enough.
// Decode timestamps may be earlier than the first frame, and FLV has no negative ones.
const TimestampBias = time.Second

// Code says, as a stable word, why a recording is refused.
type Code string

// The reasons for which [Scan] refuses a recording. Another attempt cannot
// change any of them.
const (
	NotFLV           Code = "not_flv"
	NoKeyframe       Code = "no_video_keyframe"
	UnsupportedCodec Code = "unsupported_codec"
	ZeroDuration     Code = "zero_duration"
	BadHeader        Code = "bad_codec_header"
)

// Error is a recording that cannot be handled.
type Error struct {
	Reason Code
	Detail string // for people
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Reason, e.Detail) }

// Refusal is the reason: no attempt can change it.
func (e *Error) Refusal() string { return string(e.Reason) }

func refuse(c Code, format string, args ...any) error {
	return &Error{Reason: c, Detail: fmt.Sprintf(format, args...)}
}

// Rate is a frame rate in frames per second, as a fraction (30000/1001).
type Rate struct {
	Num int `json:"num"`
	Den int `json:"den"`
}

func (r Rate) String() string {
	if r.Den == 1 {
		return fmt.Sprint(r.Num)
	}
	return fmt.Sprintf("%d/%d", r.Num, r.Den)
}

// FPS is the rate as a number.
func (r Rate) FPS() float64 { return float64(r.Num) / float64(r.Den) }

// Time is the start of frame n, to the nanosecond below.
func (r Rate) Time(n int) time.Duration {
	return time.Duration(mulDiv(uint64(n)*uint64(r.Den), uint64(time.Second), 0, uint64(r.Num)))
}

// Frame is the number of the output's frame that a coded frame shown at t becomes: the nearest,
// halves away from zero, as ffmpeg's fps filter rounds.
func (r Rate) Frame(t time.Duration) int {
	if t < 0 {
		return -r.Frame(-max(t, -math.MaxInt64)) // the least number has no opposite
	}
	den := uint64(r.Den) * uint64(time.Second)
	return int(mulDiv(uint64(t), uint64(r.Num), den/2, den))
}

// mulDiv is (a*b+c)/d, whose product of a day in nanoseconds and a rate is more
// than 64 bits hold.
func mulDiv(a, b, c, d uint64) uint64 {
	high, low := bits.Mul64(a, b)
	low, carry := bits.Add64(low, c, 0)
	quotient, _ := bits.Div64(high+carry, low, d)
	return quotient
}

// Index is what one scan learns of a recording. All times are on the repaired
// timeline, whose zero is the first frame that can be shown, or the first audio that can be heard.
type Index struct {
	Open     bool          `json:"open,omitempty"`   // the recording may still grow: what is said stays so, and there may be more
	Size     int64         `json:"size"`             // bytes read, a torn tail included
	End      int64         `json:"end"`              // offset behind the last whole tag; Size-End bytes are torn
	Damage   []Range       `json:"damage,omitempty"` // before End, what is no tag: skipped
	Duration time.Duration `json:"duration"`
	Video    *Video        `json:"video,omitempty"` // nil: audio only
	Audio    *Audio        `json:"audio,omitempty"` // nil: video only
	Gaps     []Gap         `json:"gaps,omitempty"`  // where the clock jumped, and the timeline was closed up
	Missing  []Missing     `json:"missing,omitempty"`
	Promised string        `json:"promised,omitempty"` // the video of which the metadata speaks
}

// Epochs is how many stretches of one clock there are; 1: no clock ever jumped.
func (x *Index) Epochs() int {
	n := 1
	if x.Video != nil {
		n = max(n, len(x.Video.Epochs))
	}
	if x.Audio != nil {
		n = max(n, len(x.Audio.Epochs))
	}
	return n
}

// Missing is what a recording has of a track, and that cannot be decoded.
type Missing struct {
	Track string `json:"track"` // one of those below
	Tags  int    `json:"tags"`
	Of    int    `json:"of"` // tags of the track, configurations included
	Why   string `json:"why"`
}

// Tracks of a recording.
const (
	TrackVideo = "video"
	TrackAudio = "audio"
)

// Video describes the H.264 track.
type Video struct {
	Forms     []Form        `json:"forms"` // all that there are, in the order in which they come
	Rate      Rate          `json:"rate"`
	Dropped   int           `json:"dropped,omitempty"` // frames that have no place of their own at Rate
	Thinned   int           `json:"thinned,omitempty"` // one of so many has one, as they come faster than any output
	Tail      time.Duration `json:"tail"`              // how long the last frame is shown
	Steady    Steady        `json:"steady"`
	Frames    int           `json:"frames"`           // coded frames from the first keyframe on
	Fields    int           `json:"fields,omitempty"` // of them, that are one field
	First     time.Duration `json:"first"`
	Last      time.Duration `json:"last"`
	FirstDTS  time.Duration `json:"first_dts"`
	Rotation  int           `json:"rotation,omitempty"` // degrees, anticlockwise, by which it is to be turned
	Oriented  bool          `json:"oriented,omitempty"` // frames say how they are to be turned
	Captions  h264.Captions `json:"captions,omitzero"`
	Keyframes []Keyframe    `json:"keyframes"`
	Headers   []Header      `json:"headers"`
	Epochs    []Epoch       `json:"epochs"`
	End       int64         `json:"end"` // behind the last frame; audio may follow

	// By how much frames are shown after they are decoded, at least (below zero: before) and at most.
	MinComposition time.Duration `json:"min_composition,omitempty"`
	MaxComposition time.Duration `json:"max_composition,omitempty"`
}

// Audio describes the audio track.
type Audio struct {
	Codec      string   `json:"codec"`       // as ffmpeg calls it
	SampleRate int      `json:"sample_rate"` // Hz
	Channels   int      `json:"channels"`
	Frames     int      `json:"frames"`
	Bytes      int64    `json:"bytes,omitempty"` // of its tags' bodies
	Marks      []Mark   `json:"marks"`           // of its clock, from the first frame to behind the last
	Headers    []Header `json:"headers,omitempty"`
	Format     byte     `json:"format"` // of its tags (annex E.4.2.1)
	Epochs     []Epoch  `json:"epochs"`
}

// First is when the first audio is heard.
func (a *Audio) First() time.Duration { return a.Marks[0].At }

// End is when the last audio has been heard.
func (a *Audio) End() time.Duration { return a.Marks[len(a.Marks)-1].At }

// Keyframe is a place where decoding can start. Keyframes that follow the one
// before within a quarter of a second are left out: nobody needs them, and an
// all-intra recording would otherwise make the index large.
type Keyframe struct {
	Offset int64         // of its tag
	DTS    time.Duration // of decoding
	PTS    time.Duration // of showing
	Whole  time.Duration // from which on what is shown is whole: PTS, or later where it is no IDR
}

// moved is the keyframe on a timeline that begins earlier by d.
func (k Keyframe) moved(d time.Duration) Keyframe {
	k.DTS, k.PTS = k.DTS+d, k.PTS+d
	if k.Whole != never {
		k.Whole += d
	}
	return k
}

// Header is a codec configuration (AVCDecoderConfigurationRecord or
// AudioSpecificConfig), in force from Offset on.
type Header struct {
	Offset int64  `json:"offset"`
	Body   []byte `json:"body"` // the tag's body, the codec's own header bytes included
}

// Gap is a place where something is missing.
type Gap struct {
	At   time.Duration `json:"at"`   // on the repaired timeline
	Lost time.Duration `json:"lost"` // that the clock jumped ahead; 0: it jumped back, so nobody knows

	Reconnect bool `json:"reconnect,omitempty"` // the publisher was away, and came back
}

// Epoch is a stretch of the file whose timestamps share one clock: from Offset
// on, repaired = raw + Shift. A jump, a reset or a wrap starts a new one. Video and audio
// have epochs of their own.
type Epoch struct {
	Offset int64 `json:"offset"`
	Shift  int64 `json:"shift"` // ms
}
