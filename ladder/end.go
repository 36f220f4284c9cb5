package ladder

import (
	"slices"

	"afterlive.alt/internal/flv"
)

// End is what is known of a recording when it has ended, stored as jobs/<job>/end.json: nothing
// that a plan, or a chunk, would need.
type End struct {
	Version  int     `json:"v"`
	Frames   int     `json:"frames"` // of the output
	Duration float64 `json:"duration_s"`
	Chunks   []Span  `json:"chunks"` // in the order in which they play

	Size        int64 `json:"size"`               // of the recording, in bytes
	Torn        int64 `json:"torn,omitempty"`     // bytes of a torn tail that were left out
	Lost        int64 `json:"lost,omitempty"`     // bytes of damage in the middle, likewise
	VideoFrames int   `json:"pictures,omitempty"` // coded frames of the recording
	AudioFrames int   `json:"sounds,omitempty"`   // audio packets of the recording
	Epochs      int   `json:"epochs"`             // 1: no clock ever jumped

	// Replan says why the plan, which was made from the recording's head, is none for the whole of it. Then another
	// job makes the video on demand, planned from the whole.
	Replan string `json:"replan,omitempty"`

	Abandoned bool `json:"abandoned,omitempty"` // its recorder went away: what that had not shipped is missing

	Origins         []Origin        `json:"origins,omitempty"` // that recorded it, if they were several
	Discontinuities []Discontinuity `json:"discontinuities,omitempty"`
	Missing         []Missing       `json:"missing,omitempty"` // as far as it is known before anything is encoded
}

// Discontinuity is a place where something of the event is missing. The timeline is
// closed up there, and goes on without a break, so playlists need no tag for it.
type Discontinuity struct {
	At   float64 `json:"at_s"`             // seconds
	Lost float64 `json:"lost_s,omitempty"` // seconds that are missing, if that is known

	Reconnect bool `json:"reconnect,omitempty"` // the publisher lost its connection, and came back
}

// Origin is which of several origins recorded the event, from a moment on.
type Origin struct {
	Name string  `json:"name"`
	From float64 `json:"from_s"` // seconds, to the keyframe before it
}

const maxDiscontinuities = 1000 // that are told of

// Job is a plan whose recording has ended.
type Job struct {
	*Plan
	*End
}

// SoFar is a job up to the last of these chunks, of a recording that has not ended.
func (p *Plan) SoFar(chunks []Span) *Job {
	e := &End{Version: EndVersion, Chunks: chunks}
	if len(chunks) > 0 {
		e.Frames = chunks[len(chunks)-1].To
		e.Duration = p.seconds(e.Frames)
	}
	return &Job{Plan: p, End: e}
}

// End is what is known of a recording that has ended, and was divided into these chunks.
func (p *Plan) End(x *flv.Index, chunks []Span) *End {
	x = p.timeline(x)
	frames := p.frameCount(x)
	e := &End{
		Version: EndVersion, Frames: frames, Duration: p.seconds(frames), Chunks: chunks,
		Size: x.Size, Torn: x.Size - x.End, Epochs: x.Epochs(), Missing: missing(x),
	}
	for _, d := range x.Damage {
		e.Lost += d.To - d.From
	}
	gaps := slices.DeleteFunc(slices.Clone(x.Gaps), func(g flv.Gap) bool { return g.At < -reordering }) // before what is left of it
	for _, g := range gaps[:min(len(gaps), maxDiscontinuities)] {
		e.Discontinuities = append(e.Discontinuities, Discontinuity{At: max(0, g.At).Seconds(), Lost: g.Lost.Seconds(), Reconnect: g.Reconnect})
	}
	if x.Video != nil && len(p.Ladders) > 0 {
		e.VideoFrames = x.Video.Frames
	}
	if p.Audio != nil {
		e.AudioFrames = x.Audio.Frames
	}
	return e
}

// PartNames are the parts that a job needs before it can be published: the chunks, in the
// order in which they play, and behind them the audio's, if it has some of its own.
func (j *Job) PartNames() []string {
	names := j.ChunkNames()
	if j.AudioApart() {
		for k := range j.Chunks {
			names = append(names, AudioPart(k))
		}
	}
	return names
}

// ChunkNames are the parts of the chunks.
func (j *Job) ChunkNames() (names []string) {
	for k := range j.Chunks {
		names = append(names, ChunkPart(k))
	}
	return names
}
