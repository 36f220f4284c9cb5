package ladder

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Loudness is what EBU R128 measures of audio (ITU-R BS.1770-4), in a form that adds up:
// chunks are measured apart.
type Loudness struct {
	Blocks map[int]int `json:"blocks"`         // how many blocks of 400 ms there are, every 100 ms, by tenths of LUFS
	Peak   float64     `json:"true_peak_dbtp"` // the highest
}

const (
	truePeak      = -1.0 // dBTP that the audio never exceeds (EBU R128, recommendation h)
	limiterMargin = 0.5  // dB below it: the limiter looks at samples, not between them
	quietest      = -31.0
	loudestTarget = -9.0
	absoluteGate  = -700 // tenths of LUFS (ITU-R BS.1770-4, annex 1)
	relativeGate  = -10  // LU
	silentPeak    = -200 // dBTP
)

// Add adds what was measured of another chunk.
func (l *Loudness) Add(other Loudness) {
	if l.Blocks == nil {
		*l = Loudness{Blocks: map[int]int{}, Peak: silentPeak}
	}
	for tenths, n := range other.Blocks {
		l.Blocks[tenths] += n
	}
	l.Peak = max(l.Peak, other.Peak)
}

// Integrated is the loudness of all that was added, in LUFS; silence has none.
func (l *Loudness) Integrated() (lufs float64, heard bool) {
	above := func(gate float64) (float64, bool) {
		energy, n := 0.0, 0
		for tenths, count := range l.Blocks {
			if v := float64(tenths) / 10; tenths > absoluteGate && v > gate {
				energy += float64(count) * math.Pow(10, v/10)
				n += count
			}
		}
		return 10 * math.Log10(energy/float64(n)), n > 0
	}
	all, heard := above(math.Inf(-1))
	if !heard {
		return 0, false
	}
	return above(all + relativeGate)
}

// Gain is the filter that brings audio of this loudness to the plan's, and limits its peaks
// where that is more than there is room for; "": there is nothing to be done.
func (p *Plan) Gain(l *Loudness) string {
	lufs, heard := l.Integrated()
	if !heard {
		return ""
	}
	gain := math.Round((p.Audio.Loudness-lufs)*100) / 100
	filter := fmt.Sprintf("volume=%sdB", decimal(gain))
	if l.Peak+gain > truePeak {
		filter += fmt.Sprintf(",alimiter=limit=%s:attack=5:release=20:level=false:latency=true", decimal(math.Round(math.Pow(10, (truePeak-limiterMargin)/20)*1e4)/1e4))
	}
	return filter
}

// LoudnessFile is what [Plan.LoudnessArgs] has ffmpeg write, for [ParseLoudness].
const LoudnessFile = "loudness.txt"

// LoudnessArgs is the ffmpeg command line that measures an audio stretch, given on standard
// input as 32-bit floats in stereo.
func (p *Plan) LoudnessArgs() []string {
	return append(p.samplesInput(),
		"-af", "ebur128=peak=true:metadata=1,ametadata=mode=print:file="+LoudnessFile, "-f", "null", "-")
}

// ParseLoudness reads what was measured in [from, to), in seconds of what ffmpeg was given.
func ParseLoudness(r io.Reader, from, to float64) (l Loudness, err error) {
	l.Add(Loudness{})
	l.Peak = silentPeak
	at := 0.0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if _, time, found := strings.Cut(line, "pts_time:"); found {
			if at, err = strconv.ParseFloat(strings.TrimSpace(time), 64); err != nil {
				return l, fmt.Errorf("read loudness: %w", err)
			}
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue // what isn't a number isn't asked for
		}
		switch key {
		case "lavfi.r128.M":
			if end := at + 0.1; end > from && end <= to && !math.IsInf(v, 0) {
				l.Blocks[max(2*absoluteGate, int(math.Round(v*10)))]++
			}
		case "lavfi.r128.true_peaks_ch0", "lavfi.r128.true_peaks_ch1":
			l.Peak = max(l.Peak, 20*math.Log10(max(1e-10, v)))
		}
	}
	return l, lines.Err()
}
