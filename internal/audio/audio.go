// Package audio puts decoded samples where they belong in the output. Chunks are encoded apart, and join without a seam only if both sides of the seam
// have the same samples at the same places. So a sample's place is computed from the marks of the index ([flv.Mark]: when a tag is heard), never from
// where somebody began to decode.
package audio

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"afterlive.alt/internal/flv"
)

// Channels of the output, and of what is decoded for it.
const Channels = 2

// FrameBytes is the size of a sample of all channels, as 32-bit floats.
const FrameBytes = 4 * Channels

// Frame is what a decoder has made of a tag: so many samples. A tag may give several.
type Frame struct {
	Tag     int // counted from the cut's first mark
	Samples int
}

// piece is a run of decoded samples that are evenly spread over the output.
type piece struct {
	first, n int64   // in the decoded
	at       float64 // of the first, in the output's samples
	step     float64 // in the output's samples, from one to the next
}

func (p piece) end() float64 { return p.at + float64(p.n)*p.step }

// Placed is the audio of a stretch of the output, as 32-bit floats: an [io.Reader].
type Placed struct {
	pcm      io.ReaderAt
	pieces   []piece
	next, to int64 // output samples
	block    []byte
}

// Place puts decoded audio onto the output's samples [from, to), of rate Hz: the frames of a
// cut with these marks, whose samples, of pcmRate Hz, pcm has. Where there is none, there is
// silence. Frames that could not be decoded leave silence of their own length.
func Place(pcm io.ReaderAt, pcmRate int, frames []Frame, marks []flv.Mark, rate int, from, to int64) *Placed {
	p := &Placed{pcm: pcm, next: from, to: to}
	p.pieces = pieces(frames, marks, float64(rate), float64(pcmRate))
	return p
}

// pieces are the runs of samples between marks. Where a tag is missing, each tag between the
// two marks is a run of its own.
func pieces(frames []Frame, marks []flv.Mark, rate, pcmRate float64) (all []piece) {
	frames = byTag(frames)
	usual := usualSize(frames)
	samples := int64(0)
	for i := range max(0, len(marks)-1) {
		a, b := marks[i], marks[i+1]
		tags := b.Tag - a.Tag
		if tags == 0 {
			continue
		}
		var own []Frame // one for each tag
		for len(frames) > 0 && frames[0].Tag < b.Tag-marks[0].Tag {
			own = append(own, frames[0])
			frames = frames[1:]
		}
		// Runs begin on a sample, so what is neither slowed nor hurried is taken as it is.
		at, lasts := math.Round(a.Run.Seconds()*rate)+(a.At-a.Run).Seconds()*rate, (b.At-a.At).Seconds()*rate
		whole := len(own) == tags
		if whole {
			n := int64(0)
			for _, f := range own {
				n += int64(f.Samples)
			}
			if step := steady(lasts/float64(n), rate/pcmRate); sane(step) {
				all = append(all, piece{first: samples, n: n, at: at, step: step})
			}
			samples += n
			continue
		}
		for _, f := range own {
			step := steady(lasts/float64(tags)/float64(usual), rate/pcmRate)
			if sane(step) {
				all = append(all, piece{first: samples, n: int64(f.Samples), at: at + lasts*float64(f.Tag-(a.Tag-marks[0].Tag))/float64(tags), step: step})
			}
			samples += int64(f.Samples)
		}
	}
	return all
}

// byTag adds the frames of each tag up.
func byTag(frames []Frame) (all []Frame) {
	for _, f := range frames {
		if n := len(all); n > 0 && all[n-1].Tag == f.Tag {
			all[n-1].Samples += f.Samples
			continue
		}
		all = append(all, f)
	}
	return all
}

// sane is a step that audio may have: from the lowest rate to the highest, or back. Other audio
// is none, whoever says so.
func sane(step float64) bool { return step > 1.0/64 && step < 64 }

// usualSize is the samples that most tags have.
func usualSize(frames []Frame) (usual int) {
	count := map[int]int{}
	for _, f := range frames {
		count[f.Samples]++
		if count[f.Samples] > count[usual] {
			usual = f.Samples
		}
	}
	return max(1, usual)
}

// steady is a step without the rounding of marks to nanoseconds: where audio is neither
// slowed nor hurried, samples are taken as they are.
func steady(step, exact float64) float64 {
	if math.Abs(step/exact-1) < 1e-7 {
		return exact
	}
	return step
}

const blockFrames = 4096

func (p *Placed) Read(b []byte) (int, error) {
	if len(p.block) == 0 {
		n := min(blockFrames, p.to-p.next)
		if n <= 0 {
			return 0, io.EOF
		}
		if err := p.fill(n); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.block)
	p.block = p.block[n:]
	return n, nil
}

// fill makes the next n samples. Where pieces overlap, the later one is heard.
func (p *Placed) fill(n int64) error {
	out := make([]float32, n*Channels)
	from, to := float64(p.next), float64(p.next+n)
	for i, piece := range p.pieces {
		end := piece.end()
		if i+1 < len(p.pieces) {
			end = min(end, p.pieces[i+1].at)
		}
		if end <= from || piece.at >= to {
			continue
		}
		// Less than a sample beside the grid is none.
		first, last := int64(math.Ceil(max(from, piece.at)-1e-3)), int64(math.Ceil(min(to, end)-1e-3))
		if last <= first { // the next one begins before this one does
			continue
		}
		if err := p.copy(out[(first-p.next)*Channels:(last-p.next)*Channels], piece, float64(first)); err != nil {
			return err
		}
	}
	p.next += n
	p.block = make([]byte, len(out)*4)
	for i, v := range out {
		binary.LittleEndian.PutUint32(p.block[i*4:], math.Float32bits(v))
	}
	return nil
}

// copy takes samples from a piece, the first of them for the output's sample at.
func (p *Placed) copy(out []float32, from piece, at float64) error {
	n := len(out) / Channels
	if n == 0 {
		return nil
	}
	start := float64(from.first) + (at-from.at)/from.step // in the decoded
	if nearest := math.Round(start); from.step == 1 && math.Abs(start-nearest) < 1e-3 {
		return p.samples(out, int64(nearest))
	}
	reach := half(from.step)
	low := int64(math.Floor(start)) - int64(reach)
	high := int64(math.Ceil(start+float64(n)/from.step)) + int64(reach) + 1
	in := make([]float32, (high-low)*Channels)
	if err := p.samples(in, low); err != nil {
		return err
	}
	interpolate(out, in, start-float64(low), from.step)
	return nil
}

// samples reads decoded samples; before the first and behind the last there is silence.
func (p *Placed) samples(out []float32, at int64) error {
	if at < 0 {
		skip := min(int64(len(out)/Channels), -at)
		out, at = out[skip*Channels:], 0
	}
	raw := make([]byte, len(out)*4)
	n, err := p.pcm.ReadAt(raw, at*FrameBytes)
	if err != nil && err != io.EOF { //nolint:errorlint // ReaderAt's own word for the end
		return fmt.Errorf("read decoded audio: %w", err)
	}
	for i := range n / 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw[i*4:]))
		if v != v || v > 1e3 || v < -1e3 { // damaged audio may decode to anything
			v = 0
		}
		out[i] = v
	}
	return nil
}

// Missing is how many tags no frame came of, of those that begin in [from, to), in seconds.
func Missing(frames []Frame, marks []flv.Mark, from, to float64) (missing int) {
	there := map[int]bool{}
	for _, f := range frames {
		there[f.Tag] = true
	}
	for i := range max(0, len(marks)-1) {
		a, b := marks[i], marks[i+1]
		for tag := a.Tag; tag < b.Tag; tag++ {
			at := a.At.Seconds() + (b.At-a.At).Seconds()*float64(tag-a.Tag)/float64(b.Tag-a.Tag)
			if at >= from && at < to && !there[tag-marks[0].Tag] {
				missing++
			}
		}
	}
	return missing
}
