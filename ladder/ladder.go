// Package ladder decides what is made of a recording, and writes ffmpeg's arguments and the HLS playlists for it. A [Profile] has ladders: a ladder is one
// projection with its rungs, which are sizes and bit rates. A rung that fits the recording becomes a [Rendition]. A [Chunk] is the work of one task, a
// [Part] is what came of it, and [End] is what is known once the recording has ended. It is pure: no files, no network, no clock, no context.
//
//	Profile + flv.Index ─► Plan            which renditions
//	Plan + flv.Index    ─► Chunks, End     which bytes are what, and how much there is
//	Plan + Chunk        ─► ffmpeg argv     one decode, every rung
//	Plan + End + parts  ─► playlists       from what was measured
package ladder

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"afterlive.alt/internal/flv"
)

// Plan is what is decided about one job, but for what depends on how long its recording is.
// It is made once, stored as jobs/<job>/plan.json and never changed; every task reads it.
type Plan struct {
	Version   int       `json:"v"`
	Job       string    `json:"job"`
	Asset     string    `json:"asset"`
	Profile   string    `json:"profile"` // the one chosen, never "auto"
	Created   time.Time `json:"created"`
	Recording Recording `json:"recording"`
	Source    Source    `json:"source"`

	Trim          Trim          `json:"trim,omitzero"`    // what is left out of the recording
	Grows         bool          `json:"grows,omitempty"`  // it was made from the head of a recording that had not ended
	Live          time.Time     `json:"live,omitzero"`    // when its first moment was recorded, if that is known
	Begins        time.Duration `json:"begins,omitempty"` // on the recording's timeline: what is heard before is left out
	Rate          flv.Rate      `json:"rate"`             // of the output
	GOPFrames     int           `json:"gop_frames"`
	SegmentFrames int           `json:"segment_frames"`
	ChunkFrames   int           `json:"chunk_frames,omitempty"` // at least; 0: by the recording's length
	LiveFrames    int           `json:"live_frames,omitempty"`  // the same while the recording grows, if nobody watches it meanwhile
	SegmentTime   float64       `json:"segment_s"`              // seconds; SegmentFrames at Rate
	Container     Container     `json:"container,omitempty"`    // of segments; none: fMP4
	Scan          float64       `json:"scan_s"`                 // seconds that it took to read and understand the recording

	Clip *Clip `json:"clip,omitempty"` // of another job's result, which this is then a part of

	Quality int      `json:"quality,omitempty"` // frames to compare with the recording after publishing
	Ladders []Ladder `json:"ladders"`
	Audio   *Audio   `json:"audio,omitempty"`

	Keep   Keep     `json:"keep,omitzero"`    // for how long what is made of it is kept
	Accept []string `json:"accept,omitempty"` // what may be missing of the recording all the same

	Captions   []Caption   `json:"captions,omitempty"`
	Storyboard *Storyboard `json:"storyboard,omitempty"`
	Fit        *Fit        `json:"fit,omitempty"`
	Copy       *Copy       `json:"copy,omitempty"`
}

// Trim is what is to be left out of a recording: so much at its start, and at its end.
type Trim struct {
	Start time.Duration `json:"start,omitempty"`
	End   time.Duration `json:"end,omitempty"`
}

// Recording is the object that the plan was made from. Every later read names
// its ETag, so that nothing is ever mixed from two versions.
type Recording struct {
	Key  string `json:"key"`
	ETag string `json:"etag"`

	Indexed bool `json:"indexed,omitempty"` // its uploader's index was used: nobody read it for the plan
}

// Source is what the scan found.
type Source struct {
	Width      int         `json:"width,omitempty"` // as displayed, in square pixels, upright
	Height     int         `json:"height,omitempty"`
	Video      VideoFormat `json:"picture,omitzero"`
	Audio      string      `json:"audio,omitempty"` // codec
	SampleRate int         `json:"sample_rate,omitempty"`
	Channels   int         `json:"channels,omitempty"`
}

// Ladder is one multivariant playlist: renditions of one projection.
type Ladder struct {
	Name          string      `json:"name"`
	Projection    Projection  `json:"projection"`
	Layout        Layout      `json:"layout,omitzero"`         // of a cubemap
	Interpolation string      `json:"interpolation,omitempty"` // of cubes: v360's
	Sharpen       float64     `json:"sharpen,omitempty"`       // of cubes
	Renditions    []Rendition `json:"renditions"`              // largest first
	IFrames       *Rendition  `json:"iframes,omitempty"`       // for trick play
}

// Rendition is one encoding of the video.
type Rendition struct {
	Name    string  `json:"name"`
	Width   int     `json:"width"`
	Height  int     `json:"height"`
	CRF     float64 `json:"crf"`
	Maxrate Bitrate `json:"maxrate"`
	Bufsize Bitrate `json:"bufsize"`
	Preset  string  `json:"preset"`
	Audio   Bitrate `json:"audio,omitempty"` // of the audio that goes with it, where that is not the usual one
	Copy    bool    `json:"copy,omitempty"`  // the recording's own video: what is said of encoding doesn't hold
}

// New plans a recording: which renditions of which size, and all else that doesn't depend on
// its length. The caller fills in the job, the asset, the recording and the time.
func New(x *flv.Index, profile Profile, trim Trim) (*Plan, error) {
	p := &Plan{Version: PlanOldest, Profile: profile.Name, Container: profile.Container, Accept: profile.Accept, Keep: profile.Keep, Trim: trim, Grows: x.Open}
	x, err := p.trimmed(x)
	if err != nil {
		return nil, err
	}
	if trim != (Trim{}) {
		p.Version = PlanTrimmed // older workers would publish all of it
	}
	if err := tooMuch(missing(x), p.Accept); err != nil {
		return nil, err
	}
	switch {
	case x.Duration <= 0:
		return nil, &flv.Error{Reason: flv.ZeroDuration, Detail: "nothing in it lasts"}
	case x.Video != nil && len(profile.Ladders) > 0:
		if err := p.video(x, profile); err != nil {
			return nil, err
		}
	case x.Audio == nil:
		return nil, &flv.Error{Reason: ReasonNoAudio, Detail: fmt.Sprintf("profile %s publishes audio alone, and there is none in it", profile.Name)}
	default:
		p.Rate = audioGrid
		p.SegmentFrames = p.Rate.Frame(profile.Segment)
	}
	p.SegmentTime = p.seconds(p.SegmentFrames)
	p.ChunkFrames = p.SegmentFrames * int(profile.Chunk/profile.Segment)
	if p.Grows && profile.Live == VOD {
		p.LiveFrames = cmp.Or(p.ChunkFrames, p.SegmentFrames*int((liveChunk+profile.Segment-1)/profile.Segment))
	}
	if x.Audio != nil {
		p.planAudio(x, profile)
	}
	p.Storyboard = p.storyboard()
	if err := p.foreseen(); err != nil {
		return nil, err
	}
	return p, nil
}

// IsEvent tells whether viewers watch the recording while it grows.
func (p *Plan) IsEvent() bool { return p.Grows && p.LiveFrames == 0 }

// trimmed is an index without what is to be left out of the recording.
func (p *Plan) trimmed(x *flv.Index) (*flv.Index, error) {
	if p.Trim == (Trim{}) {
		return x, nil
	}
	start := p.Trim.Start
	if v := x.Video; v != nil && start > 0 { // at a frame, and counted as on the timeline of what is published without a trim
		start = v.Rate.Time(v.Rate.Frame(start))
		if v.First <= reordering {
			start += v.First
		}
	}
	return x.Trimmed(start, p.Trim.End)
}

// timeline is an index on the timeline of the output.
func (p *Plan) timeline(x *flv.Index) *flv.Index {
	if y, err := p.trimmed(x); err == nil { // or it would have no plan
		x = y
	}
	if p.copies() {
		return p.videoAlone(x)
	}
	return x.From(p.Begins)
}

// audioGrid is the grid on which audio segments alone begin.
var audioGrid = flv.Rate{Num: 50, Den: 1}

// reordering is how much later than its audio a recording's video begins if that is only
// because encoders of B-frames hold frames back. So little of the audio is left out: with
// the first frame at zero, keyframes come where segments begin, and no chunk needs the
// frames before its own.
const reordering = 100 * time.Millisecond

// video plans the video.
func (p *Plan) video(x *flv.Index, profile Profile) error {
	if x.Video.First >= 0 && x.Video.First <= reordering {
		p.Begins = x.Video.First
		x = x.From(p.Begins)
	}
	v := x.Video
	p.Rate = v.Rate
	p.Source.Video = newVideoFormat(v, profile.Deinterlace, x.Open)
	p.Source.Width, p.Source.Height = p.Source.Video.size()
	if p.Source.Video.Deinterlace == Fields && 2*v.Rate.FPS() <= maxFPS {
		p.Rate.Num *= 2
	}
	p.GOPFrames = int(math.Round(profile.GOP.Seconds() * p.Rate.FPS()))
	p.SegmentFrames = p.GOPFrames * int(profile.Segment/profile.GOP)
	switch {
	case profile.Source == SourceCopy && x.Open:
		p.Copy = &Copy{Fault: "the recording was still growing when it was planned: whether all of it can be copied was not known yet"}
	case profile.Source == SourceCopy:
		p.planCopy(x, profile)
	}
	for i, l := range profile.Ladders {
		if err := checkSphere(p.Source.Width, p.Source.Height, l); err != nil {
			return err
		}
		renditions := p.renditions(l)
		if i == 0 {
			renditions = p.withCopy(renditions)
		}
		renditions = distinct(renditions)
		p.Ladders = append(p.Ladders, Ladder{
			Name: l.Name, Projection: l.Projection, Layout: l.Layout, Interpolation: l.Interpolation, Sharpen: l.Sharpen,
			Renditions: renditions, IFrames: iframeRendition(renditions),
		})
	}
	p.Quality, p.Captions = profile.Quality, captions(v.Captions, profile.Captions)
	if profile.Fit && len(p.fitted()) > 0 {
		p.Fit = &Fit{After: x.Open} // the first seconds are often not like the rest
	}
	return nil
}

// seconds is the length of n frames.
func (p *Plan) seconds(n int) float64 {
	return float64(n) * float64(p.Rate.Den) / float64(p.Rate.Num)
}

// renditions fits a profile's rungs to the source: none is larger than the source, and all
// have its display aspect to the nearest even pixel. A rung's height is that of the
// smaller side, so upright frames have the same rungs. A source whose size falls
// between two rungs, or below all, gets one of its own size.
func (p *Plan) renditions(l ProfileLadder) []Rendition {
	if l.Projection.cube() {
		return p.fitFaces(l)
	}
	width, height := p.Source.Width, p.Source.Height
	side := min(width, height)
	sized := func(r Rung) Rendition {
		scale := float64(r.Height) / float64(side)
		if width < height {
			return p.rendition(r, r.Height, even(scale*float64(height)))
		}
		return p.rendition(r, even(scale*float64(width)), r.Height)
	}
	var out []Rendition
	above := -1 // the smallest rung that is larger than the source, but no special one
	for i, r := range l.Rungs {
		switch one := sized(r); {
		case one.Width <= width && one.Height <= height:
			out = append(out, one)
		case r.Audio == 0:
			above = i
		}
	}
	if above < 0 {
		return out
	}
	whole := p.rendition(l.Rungs[above], max(2, width/2*2), max(2, height/2*2))
	if len(out) == 0 || out[0].Audio != 0 {
		return append([]Rendition{whole}, out...)
	}
	switch share := float64(out[0].pixels()) / float64(whole.pixels()); {
	case share > nearlyWhole:
		return out
	case share > closeBelow && len(out) > 1 && out[1].Audio == 0:
		out = out[1:]
	}
	return append([]Rendition{whole}, out...)
}

const (
	nearlyWhole = 0.9  // of the source's pixels: a rung that has as many is as good as one of its size
	closeBelow  = 0.77 // of the source's pixels: a rung that has as many isn't worth its bits beside one of its size
	maxFPS      = 60   // of the output (HLS authoring rule 1.18)
)

func (r Rendition) pixels() int { return r.Width * r.Height }

func (p *Plan) rendition(r Rung, width, height int) Rendition {
	maxrate, bufsize := r.Maxrate, r.Bufsize
	// The profile's caps are for 30 fps; 50 and 60 need about 1.4 times as much. A rung with
	// an audio rendition of its own is there for the sake of its cap.
	if p.Rate.FPS() > 30 && r.Audio == 0 {
		maxrate, bufsize = maxrate*14/10, bufsize*14/10
	}
	return Rendition{
		Name: sizeName(width, height), Width: width, Height: height,
		CRF: r.CRF, Maxrate: maxrate, Bufsize: bufsize, Preset: r.Preset, Audio: r.Audio,
	}
}

// sizeName is what a size is called: by its smaller side.
func sizeName(width, height int) string { return fmt.Sprintf("%dp", min(width, height)) }

// distinct numbers renditions of one size, the second of 720p being 720p-2.
func distinct(all []Rendition) []Rendition {
	same := 1
	for i := range all[1:] {
		if all[i+1].pixels() != all[i].pixels() {
			same = 1
			continue
		}
		same++
		all[i+1].Name = fmt.Sprintf("%s-%d", strings.TrimSuffix(all[i].Name, fmt.Sprintf("-%d", same-1)), same)
	}
	return all
}

// even rounds to the nearest even number, but never to zero.
func even(x float64) int { return max(2, 2*int(math.Round(x/2))) }
