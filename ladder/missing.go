package ladder

import (
	"fmt"
	"slices"

	"afterlive.alt/internal/flv"
)

// Missing is what a recording has, and the result has not. Nothing is left out without
// one: it is in the plan or a part, in asset.json, the status, the log and the metrics.
type Missing struct {
	What  string  `json:"what"`  // one of those below
	Share float64 `json:"share"` // of all that there is of it, 0 to 1
	Why   string  `json:"why"`
}

// What can be missing, and as a profile accepts it.
const (
	NoVideo    = "no-video"    // a whole track
	NoAudio    = "no-audio"    // likewise
	LostFrames = "lost-frames" // frames that cannot be decoded, or have no place at the output's rate
	LostAudio  = "lost-audio"  // likewise, of the audio
	LostTime   = "lost-time"   // bytes that are damaged
)

var accepted = []string{NoVideo, NoAudio, LostFrames, LostAudio, LostTime}

// Reasons for which a job fails of which too much is missing.
const (
	ReasonNoVideo flv.Code = "no_picture"
	ReasonNoAudio flv.Code = "no_sound"
	ReasonFrames  flv.Code = "frames_missing"
	ReasonAudio   flv.Code = "audio_missing"
	ReasonTime    flv.Code = "time_missing"
)

// tolerance is how much of a kind may be missing, and the reason for which a job fails of
// which more is.
var tolerance = map[string]struct {
	share  float64
	reason flv.Code
}{
	NoVideo:    {0, ReasonNoVideo},
	NoAudio:    {0, ReasonNoAudio},
	LostFrames: {0.05, ReasonFrames},
	LostAudio:  {0.05, ReasonAudio},
	LostTime:   {0.1, ReasonTime},
}

// strayTags is how many tags don't make a track: bits were flipped.
const strayTags = 10

// missing is what the index knows to be missing.
func missing(x *flv.Index) (all []Missing) {
	for _, m := range x.Missing {
		one := Missing{What: LostFrames, Share: float64(m.Tags) / float64(m.Of), Why: fmt.Sprintf("%d of %d video tags: %s", m.Tags, m.Of, m.Why)}
		if m.Track == flv.TrackAudio {
			one.What, one.Why = LostAudio, fmt.Sprintf("%d of %d audio tags: %s", m.Tags, m.Of, m.Why)
			if x.Audio == nil && m.Of > strayTags {
				one.What, one.Share = NoAudio, 1
			} else if x.Audio == nil {
				one.Share = 0 // of a recording without audio
			}
		}
		all = append(all, one)
	}
	if x.Video == nil && x.Promised != "" {
		all = append(all, Missing{What: NoVideo, Share: 1, Why: fmt.Sprintf("its stream has announced video (%s), and there is none in it", x.Promised)})
	}
	if v := x.Video; v != nil && v.Dropped > 0 {
		m := Missing{What: LostFrames, Share: float64(v.Dropped) / float64(v.Frames), Why: fmt.Sprintf("%d frames come too soon after others at %s fps", v.Dropped, v.Rate)}
		if v.Thinned > 1 {
			m.Share, m.Why = 0, fmt.Sprintf("one of %d frames is shown: at most %d fps are published", v.Thinned, maxFPS)
		}
		all = append(all, m)
	}
	damaged := int64(0)
	for _, d := range x.Damage {
		damaged += d.To - d.From
	}
	if damaged > 0 {
		all = append(all, Missing{What: LostTime, Share: float64(damaged) / float64(x.End), Why: fmt.Sprintf("%d of its bytes are damaged", damaged)})
	}
	return all
}

// tooMuch refuses a recording of which more is missing than its profile accepts.
func tooMuch(all []Missing, accept []string) error {
	share, why := map[string]float64{}, map[string]string{}
	for _, m := range all {
		share[m.What] += m.Share
		if why[m.What] != "" {
			why[m.What] += "; "
		}
		why[m.What] += m.Why
	}
	for _, what := range accepted { // the worst first
		limit := tolerance[what]
		if share[what] > limit.share && !slices.Contains(accept, what) {
			return &flv.Error{Reason: limit.reason, Detail: fmt.Sprintf("%s; a profile with accept: [%s] publishes it all the same", why[what], what)}
		}
	}
	return nil
}

// Missing is all that is missing of a presentation.
func (p *Presentation) Missing() []Missing {
	all := slices.Clone(p.plan.Missing)
	if n := p.fold.Lost.Frames; n > 0 {
		all = append(all, Missing{What: LostFrames, Share: float64(n) / float64(max(1, p.plan.VideoFrames)), Why: fmt.Sprintf("%d of %d frames could not be decoded", n, p.plan.VideoFrames)})
	}
	if n := p.fold.Lost.Audio; n > 0 && p.plan.Audio != nil {
		all = append(all, Missing{What: LostAudio, Share: float64(n) / float64(max(1, p.plan.AudioFrames)), Why: fmt.Sprintf("%d of %d audio packets could not be decoded", n, p.plan.AudioFrames)})
	}
	return all
}

// Incomplete refuses a presentation of which too much is missing.
func (p *Presentation) Incomplete() error { return tooMuch(p.Missing(), p.plan.Accept) }

// Lost is what ffmpeg was given for a part, and could not decode.
type Lost struct {
	Frames int `json:"frames,omitempty"` // frames of video
	Audio  int `json:"audio,omitempty"`  // audio packets
}
