package ladder

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	ffmpeg "github.com/u2takey/ffmpeg-go"

	"afterlive/internal/flv"
)

// Audio is the sound, shared by all ladders: one decode of the whole track.
type Audio struct {
	Renditions []AudioRendition `json:"renditions"`         // the usual one first
	Loudness   float64          `json:"loudness,omitempty"` // LUFS to which it is brought; 0: as it is
	Ahead      float64          `json:"ahead_s,omitempty"`  // that begins before the picture, and is left out
	Cut        flv.Cut          `json:"cut"`
	Frames     int              `json:"frames"`            // of it
	Extract    *Extract         `json:"extract,omitempty"` // what the cut would give, where that lies beside the recording
}

// AudioRendition is one encoding of the sound: stereo AAC.
type AudioRendition struct {
	Name    string  `json:"name"`
	Bitrate Bitrate `json:"bitrate"`
}

// soundRenditions are the usual one, and one for every other bitrate that a rendition
// wants.
func soundRenditions(p Profile, ladders []Ladder) []AudioRendition {
	all := []AudioRendition{{Name: "aac", Bitrate: p.Audio}}
	for _, l := range ladders {
		for _, r := range l.Renditions {
			own := AudioRendition{Name: fmt.Sprintf("aac-%dk", r.Audio/1000), Bitrate: r.Audio}
			if r.Audio != 0 && !slices.Contains(all, own) {
				all = append(all, own)
			}
		}
	}
	return all
}

// soundOf is the sound that goes with a rendition of the picture.
func (p *Plan) soundOf(r Rendition) AudioRendition {
	for _, a := range p.Audio.Renditions {
		if a.Bitrate == r.Audio {
			return a
		}
	}
	return p.Audio.Renditions[0]
}

const audioRate = 48000 // Hz, of the output

// AudioArgs is the ffmpeg command line that encodes the whole sound track: holes
// filled with silence, brought to the loudness that is wanted, cut to the picture's
// length, one stereo AAC file for every rendition.
func (p *Plan) AudioArgs(measured *Loudness) []string {
	end := decimal(p.Duration)
	filters := p.continuous()
	if normalize := p.Audio.normalize(measured); normalize != "" {
		filters += "," + normalize + ",aresample=" + strconv.Itoa(audioRate)
	}
	n := len(p.Audio.Renditions)
	filters += fmt.Sprintf(",apad=whole_dur=%s,atrim=end=%s,asplit=%d%s", end, end, n, pads("a", n))
	args := append(p.soundInput(), "-filter_complex", filters)
	for i, r := range p.Audio.Renditions {
		args = append(args, output(AudioLadder+"/"+r.Name, p.hls(0), ffmpeg.KwArgs{
			mapped: fmt.Sprintf("[a%d]", i),
			"c:a":  "aac",
			"b:a":  int(r.Bitrate),
			"ac":   2,
		})...)
	}
	return args
}

func (p *Plan) soundInput() []string {
	return input(p.Audio.Cut.SoundDecoders(), p.Audio.Cut, p.Audio.Ahead)
}

// continuous is the filter that makes of the decoded sound one stream without holes: drift
// and small holes are taken up by stretching, which makes no holes of its own, larger ones
// become silence. From then on samples are counted: times may still jump by what is being
// stretched. The resampler is always there (flags=res): where it is made only when it must
// first stretch, as at equal rates, it adds seconds (ffmpeg 5.1: 15 in a minute of 100 ppm).
func (p *Plan) continuous() string {
	return fmt.Sprintf("[0:a:0]aresample=%d:async=1000:min_hard_comp=0.25:flags=res:first_pts=0,asetpts=N/SR/TB", audioRate)
}

// Loudness is what EBU R128 measures of a sound track (ITU-R BS.1770, EBU Tech 3342).
type Loudness struct {
	Integrated float64 `json:"integrated_lufs"`
	Range      float64 `json:"range_lu"`
	Peak       float64 `json:"true_peak_dbtp"`
	Threshold  float64 `json:"threshold_lufs"`
	Offset     float64 `json:"offset_lu"`
}

const (
	truePeak                = -1.0      // dBTP that the sound never exceeds (EBU R128, recommendation h)
	leastRange, mostRange   = 7.0, 20.0 // LU that ffmpeg's loudnorm takes as a target
	quietest, loudestTarget = -31.0, -9.0
)

// LoudnessArgs is the ffmpeg command line that measures a sound track. It says the
// result in its log, for [ParseLoudness].
func (p *Plan) LoudnessArgs() []string {
	args := append([]string{"-loglevel", "level+info"}, p.soundInput()...)
	return append(args, "-filter_complex", p.continuous()+",loudnorm="+p.Audio.target(leastRange)+":print_format=json[a]", "-map", "[a]", "-f", "null", "-")
}

func (a *Audio) target(spread float64) string {
	return fmt.Sprintf("I=%s:TP=%s:LRA=%s", decimal(a.Loudness), decimal(truePeak), decimal(spread))
}

// normalize is the second pass. Where the true peak leaves room, loudnorm only turns the
// volume: its range is what was measured. Where not, it also compresses. It takes no
// measurement above full scale, as clipped sound has: that is turned down first.
func (a *Audio) normalize(m *Loudness) string {
	if m == nil {
		return ""
	}
	quieter := ""
	if above := math.Ceil(max(m.Integrated, m.Threshold)); above > 0 {
		lower := *m
		lower.Integrated, lower.Peak, lower.Threshold = m.Integrated-above, m.Peak-above, m.Threshold-above
		quieter, m = fmt.Sprintf("volume=%sdB,", decimal(-above)), &lower
	}
	return quieter + fmt.Sprintf("loudnorm=%s:measured_I=%s:measured_LRA=%s:measured_TP=%s:measured_thresh=%s:offset=%s:linear=true",
		a.target(min(mostRange, max(leastRange, math.Ceil(m.Range)))), decimal(m.Integrated), decimal(m.Range), decimal(m.Peak), decimal(m.Threshold), decimal(m.Offset))
}

// ParseLoudness finds the measurement in what ffmpeg has said. nil means silence, which
// has no loudness.
func ParseLoudness(log string) (*Loudness, error) {
	from, to := strings.LastIndex(log, "{"), strings.LastIndex(log, "}")
	if from < 0 || to < from {
		return nil, fmt.Errorf("read loudness: ffmpeg says nothing of it: %q", log)
	}
	var said map[string]string
	if err := json.Unmarshal([]byte(log[from:to+1]), &said); err != nil {
		return nil, fmt.Errorf("read loudness: %w", err)
	}
	m := &Loudness{}
	for key, to := range map[string]*float64{
		"input_i": &m.Integrated, "input_lra": &m.Range, "input_tp": &m.Peak, "input_thresh": &m.Threshold, "target_offset": &m.Offset,
	} {
		value, err := strconv.ParseFloat(said[key], 64)
		if err != nil {
			return nil, fmt.Errorf("read loudness: %s is %q", key, said[key])
		}
		*to = value
	}
	if math.IsInf(m.Integrated, 0) || math.IsInf(m.Peak, 0) || m.Integrated < -70 {
		return nil, nil //nolint:nilnil // silence is neither a measurement nor an error
	}
	return m, nil
}
