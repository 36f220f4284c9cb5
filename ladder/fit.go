package ladder

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	ffmpeg "github.com/u2takey/ffmpeg-go"

	"afterlive.alt/internal/flv"
)

// Fit is what samples of a recording have said of its ladders, and what was made of
// that. Constant quality spends on a recording what it needs; but of an easy one, rungs
// come so close to each other that some are of no use.
type Fit struct {
	Samples []float64 `json:"samples_s"`        // where they begin
	Rungs   []FitRung `json:"rungs"`            // as the profile has them
	Failed  string    `json:"failed,omitempty"` // why all was left as it is
	After   bool      `json:"after,omitempty"`  // nothing was decided: the recording grew. asset.json tells of what was measured
	CPU     float64   `json:"cpu_s"`            // that it took
	Read    int64     `json:"read_bytes"`
	Took    float64   `json:"took_s"`
}

// FitRung is what was decided of a rung.
type FitRung struct {
	Ladder string  `json:"ladder"`
	Name   string  `json:"name"`
	Rate   Bitrate `json:"rate"` // that its crf asks for, by the samples, up to its maxrate; of a copy, its own
	Kept   bool    `json:"kept"`
	Why    string  `json:"why"`
}

const (
	sampleLength   = 2 * time.Second
	sampleEvery    = 5 * time.Minute
	maxSamples     = 6
	samplePreset   = "superfast" // half the time of the ladder's own, and nearly its rates
	minStep        = 1.4         // between the rates of neighbours: Apple's own ladder has 1.2 to 2
	probeFolder    = "probe"
	probeExtension = ".h264"
)

// Samples are a few frames each, spread over a recording, each where a keyframe makes it cheap to read.
// There are none where the plan has nothing to fit.
func (p *Plan) Samples(x *flv.Index) (all []Chunk) {
	if p.Fit == nil || p.Fit.After {
		return nil
	}
	if y, err := p.trimmed(x); err == nil {
		x = y
	}
	n := max(1, min(maxSamples, int(x.Duration/sampleEvery)))
	frames := p.Rate.Frame(sampleLength)
	for i := range n {
		at := x.Duration * time.Duration(2*i+1) / time.Duration(2*n)
		k := x.Video.Keyframes[x.KeyframeBefore(at)]
		from := max(0, p.Rate.Frame(k.PTS))
		to := min(from+frames, p.Rate.Frame(x.Duration))
		if len(all) > 0 && all[len(all)-1].To > from {
			continue // keyframes are rare here
		}
		all = append(all, Chunk{Span: Span{from, to}, PadStart: p.Rate.Frame(x.Video.First) > from, Cut: x.VideoCut(p.Rate.Time(from), p.Rate.Time(to))})
	}
	return all
}

// SampleArgs is the ffmpeg command line that encodes a sample as every rung of the
// ladders that are fitted would, without their caps, to the files of [Plan.SampleFiles].
func (p *Plan) SampleArgs(s Chunk) []string {
	var rungs, scales []string
	var outputs []string
	for i, f := range p.fitted() {
		rungs = append(rungs, fmt.Sprintf("[s%d]", i))
		scales = append(scales, fmt.Sprintf("[s%d]scale=%d:%d:flags=bicubic:out_range=tv,setsar=1,format=yuv420p[v%d]", i, f.Width, f.Height, i))
		options := p.quality(f.CRF, samplePreset)
		options["map"], options["format"] = fmt.Sprintf("[v%d]", i), "h264"
		outputs = append(outputs, ffmpeg.Input("x").Output(f.file(), options).GetArgs()[2:]...)
	}
	args := append(p.decoderArgs(s.Cut, 0), "-filter_complex",
		fmt.Sprintf("[0:v:0]%s,split=%d%s;%s", p.grid(s, s.From, s.To), len(rungs), strings.Join(rungs, ""), strings.Join(scales, ";")))
	return append(args, outputs...)
}

// fittedRung is a rendition and its ladder.
type fittedRung struct {
	Rendition

	ladder int
}

func (f fittedRung) file() string {
	return probeFolder + "/" + strconv.Itoa(f.ladder) + "-" + f.Name + probeExtension
}

// fitted are the renditions that samples tell of: not those of cubes, whose ladders are
// there to be compared, and no copy, whose rate is known.
func (p *Plan) fitted() (all []fittedRung) {
	for i, l := range p.Ladders {
		if l.Projection.cube() {
			continue
		}
		for _, r := range l.Renditions {
			if !r.Copy {
				all = append(all, fittedRung{r, i})
			}
		}
	}
	return all
}

// SampleFiles are what a sample is encoded to.
func (p *Plan) SampleFiles() (files []string) {
	for _, f := range p.fitted() {
		files = append(files, f.file())
	}
	return files
}

// FitTo decides what becomes of the ladders, by the bytes of all samples together,
// in the order of [Plan.SampleFiles].
func (p *Plan) FitTo(samples []Chunk, bytes []int64) {
	var seconds float64
	for _, s := range samples {
		p.Fit.Samples = append(p.Fit.Samples, p.seconds(s.From))
		seconds += p.seconds(s.To - s.From)
	}
	rates := map[string]Bitrate{}
	for i, f := range p.fitted() {
		rates[f.file()] = min(f.Maxrate, Bitrate(float64(8*bytes[i])/seconds))
	}
	for i := range p.Ladders {
		if l := &p.Ladders[i]; !l.Projection.cube() {
			var rungs []FitRung
			l.Renditions, rungs = p.fit(i, rates)
			p.Fit.Rungs = append(p.Fit.Rungs, rungs...)
			l.IFrames = iframeRendition(l.Renditions)
		}
	}
}

// fit goes through a ladder from its top: a rung that asks for hardly less than the one
// above it helps nobody. The last one stays, for the slowest networks, unless the one above
// is a copy that has fewer bits, from a better encoder.
func (p *Plan) fit(ladder int, rates map[string]Bitrate) (kept []Rendition, rungs []FitRung) {
	l := p.Ladders[ladder]
	last := slices.IndexFunc(l.Renditions, func(r Rendition) bool { return r.Audio != 0 }) - 1
	if last < 0 {
		last = len(l.Renditions) - 1
	}
	above, copied := Bitrate(0), false
	for j, r := range l.Renditions {
		rate := rates[fittedRung{r, ladder}.file()]
		decision := FitRung{Ladder: l.Name, Name: r.Name, Rate: rate, Kept: true, Why: "first of its ladder"}
		if r.Copy {
			decision.Rate, decision.Why = p.Copy.Rate, "the recording's own video"
		} else if above > 0 {
			step := float64(above) / float64(max(1, rate))
			decision.Why = fmt.Sprintf("%.2f times less than the one above", step)
			decision.Kept = step >= minStep || j >= last && (step >= 1 || !copied || r.Audio != 0)
		}
		if j >= last && decision.Kept {
			decision.Why += "; for slow networks"
		}
		if decision.Kept {
			above, copied = decision.Rate, r.Copy
			kept = append(kept, r)
		}
		rungs = append(rungs, decision)
	}
	return kept, rungs
}

// renditions are those of a ladder that are published. Of a recording that grew, all rungs were encoded, since
// nothing was known of it; what turns out to be of no use is left out in the end.
func (p *Presentation) renditions(ladder int) ([]Rendition, []FitRung) {
	l := p.plan.Ladders[ladder]
	if p.event || p.plan.Fit == nil || !p.plan.Fit.After || l.Projection.cube() {
		return l.Renditions, nil
	}
	rates := map[string]Bitrate{}
	for _, r := range l.Renditions {
		average, _ := p.bandwidth(p.fold.Tracks[l.Name+"/"+r.Name])
		rates[fittedRung{r, ladder}.file()] = min(r.Maxrate, Bitrate(average))
	}
	return p.plan.fit(ladder, rates)
}
