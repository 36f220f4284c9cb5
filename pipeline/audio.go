package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"afterlive.alt/internal/audio"
	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// audio makes a chunk's audio, a stretch at a time: decode, put each sample at its place,
// encode, take the packets that are the chunk's. Where it is to be brought to another
// loudness, a chunk only measures it.
func (p *Pipeline) audio(ctx context.Context, plan *ladder.Plan, w work, folder string, from *sidecar, part *ladder.Part) (used usage, err error) {
	if plan.Audio == nil {
		return used, nil
	}
	if from.AudioSidecar != nil && !from.Done() {
		var read atomic.Int64
		source, err := p.readRange(ctx, plan, w.chunk.Audio.From, w.chunk.Audio.To, w.chunk.Audio.To, &read)
		if err != nil {
			return used, err
		}
		defer source.Close()
		if err := from.From(source); err != nil {
			return used, fmt.Errorf("read audio: %w", err)
		}
		used.read = read.Load()
	}
	for _, o := range w.audio {
		o.Folder = filepath.Join(folder, o.Track.Ladder, o.Track.Rendition)
		if err := os.MkdirAll(o.Folder, 0o755); err != nil {
			return used, fmt.Errorf("make scratch: %w", err)
		}
	}
	if w.measure {
		part.Loudness = &ladder.Loudness{}
	}
	ctx, enough := p.Limits.patience(ctx, w.length)
	defer enough()
	stretches := plan.Stretches(*w.chunk)
	for i, s := range stretches {
		if err := p.stretch(ctx, plan, w, s, folder, from, part, &used); err != nil {
			return used, err
		}
		if len(w.audio) == 0 {
			continue
		}
		if err := p.collect(ctx, plan, w.audio, part.Attempt, i+1 == len(stretches)); err != nil {
			return used, err
		}
	}
	return used, nil
}

// sidecar is a chunk's audio in the scratch, as the recording has it; of a chunk without,
// nothing.
type sidecar struct {
	*flv.AudioSidecar

	file *os.File
}

func newSidecar(c flv.Cut, folder string) (*sidecar, error) {
	file, err := os.Create(filepath.Join(folder, "audio.flv"))
	if err != nil {
		return nil, fmt.Errorf("make scratch: %w", err)
	}
	if c.To == 0 {
		return &sidecar{file: file}, nil
	}
	return &sidecar{flv.NewAudioSidecar(c, file), file}, nil
}

func (e *sidecar) cut() flv.Cut {
	if e.AudioSidecar == nil {
		return flv.Cut{}
	}
	return e.Cut()
}

// stretch leaves an audio stretch in its outputs' folders, as segments; or measures it.
func (p *Pipeline) stretch(ctx context.Context, plan *ladder.Plan, w work, s ladder.Stretch, folder string, aside *sidecar, part *ladder.Part, used *usage) error {
	from, to := plan.Heard(s)
	cut := aside.cut().Narrow(from, to)
	heard, err := p.decode(ctx, plan, cut, aside.file, folder, used)
	if err != nil {
		return err
	}
	defer heard.close()
	if w.part == ladder.ChunkPart(w.chunk.Number) { // else the chunk has told of it
		used.lost.Audio += heard.lost(plan, s)
	}
	run := func(args []string) error {
		placed := audio.Place(heard.pcm, heard.rate, heard.frames, cut.Marks, plan.Audio.Rate, s.First, s.Last)
		ran, err := p.FFmpeg.Run(ctx, folder, args, placed, func(ffmpeg.Progress) {})
		used.cpu += ran.CPU
		used.log = ran.Log
		return err
	}
	if w.measure {
		if err := run(plan.LoudnessArgs()); err != nil {
			return fmt.Errorf("measure loudness: %w", err)
		}
		if err := p.measured(plan, s, folder, part.Loudness); err != nil {
			return err
		}
	}
	if len(w.audio) == 0 {
		return nil
	}
	if plan.Audio.Encodes() {
		if err := run(plan.EncodeArgs(w.gain)); err != nil {
			return fmt.Errorf("encode audio: %w", err)
		}
	}
	for _, o := range w.audio {
		if o.Own {
			var unfit int
			unfit, err = o.TakeOwn(ctx, plan, *w.chunk, s, heard.cut, aside.file, heard.frames)
			used.lost.Audio += unfit
		} else {
			err = o.TakeEncoded(ctx, plan, *w.chunk, s)
		}
		if err != nil {
			return o.Fault(err)
		}
	}
	return nil
}

// measured adds what was measured of a stretch, without what is around it.
func (p *Pipeline) measured(plan *ladder.Plan, s ladder.Stretch, folder string, sum *ladder.Loudness) error {
	file, err := os.Open(filepath.Join(folder, ladder.LoudnessFile))
	if err != nil {
		return job.Transient("bad_output", fmt.Errorf("measure loudness: %w", err))
	}
	defer file.Close()
	seconds := func(packets int) float64 {
		return float64(packets) * ladder.PacketSamples / float64(plan.Audio.Rate)
	}
	l, err := ladder.ParseLoudness(file, seconds(s.Priming), seconds(s.Priming+s.To-s.From))
	if err != nil {
		return job.Transient("bad_output", err)
	}
	sum.Add(l)
	return nil
}

// decoded is an audio cut in the scratch.
type decoded struct {
	pcm    *os.File
	rate   int // Hz
	frames []audio.Frame
	cut    flv.Cut
}

func (d *decoded) close() {
	if d.pcm != nil {
		_ = d.pcm.Close()
		_ = os.Remove(d.pcm.Name())
	}
}

// lost is how many frames of a stretch could not be decoded, where that can be told: other
// codecs than AAC have several in a tag, or none.
func (d *decoded) lost(plan *ladder.Plan, s ladder.Stretch) int {
	if d.cut.Header == nil {
		return 0
	}
	second := func(packet int) float64 {
		return float64(packet-1) * ladder.PacketSamples / float64(plan.Audio.Rate)
	}
	return audio.Missing(d.frames, d.cut.Marks, second(s.From), second(s.To))
}

// decode decodes an audio cut into the scratch. An empty one is silence.
func (p *Pipeline) decode(ctx context.Context, plan *ladder.Plan, cut flv.Cut, from io.ReaderAt, folder string, used *usage) (*decoded, error) {
	d := &decoded{cut: cut, rate: plan.Audio.Rate}
	if len(cut.Marks) > 0 {
		input := cut.Reader(io.NewSectionReader(from, cut.From, cut.To-cut.From))
		ran, err := p.FFmpeg.Run(ctx, folder, plan.DecodeArgs(cut), input, func(ffmpeg.Progress) {})
		used.cpu += ran.CPU
		used.log = ran.Log
		if err != nil {
			return d, fmt.Errorf("decode audio: %w", err)
		}
		if err := d.list(filepath.Join(folder, ladder.DecodedList)); err != nil {
			return d, job.Transient("bad_output", err)
		}
	}
	pcm, err := os.OpenFile(filepath.Join(folder, ladder.DecodedFile), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return d, fmt.Errorf("decode audio: %w", err)
	}
	d.pcm = pcm
	return d, nil
}

// list reads which frames were decoded, from a list of framecrc's: a line has the stream,
// when to decode, when to show, duration, size and checksum.
func (d *decoded) list(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read list of frames: %w", err)
	}
	defer file.Close()
	second := 0.0 // in the list's units
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if rest, found := strings.CutPrefix(line, "#sample_rate 0:"); found {
			d.rate, err = strconv.Atoi(strings.TrimSpace(rest))
		}
		if rest, found := strings.CutPrefix(line, "#tb 0:"); found {
			num, den, _ := strings.Cut(strings.TrimSpace(rest), "/")
			n, _ := strconv.ParseFloat(num, 64)
			m, _ := strconv.ParseFloat(den, 64)
			second = m / n
		}
		if fields := strings.Split(line, ","); len(fields) > 4 && err == nil {
			at, err1 := strconv.ParseFloat(strings.TrimSpace(fields[2]), 64)
			size, err2 := strconv.Atoi(strings.TrimSpace(fields[4]))
			err = errors.Join(err1, err2)
			// A decoder may be a little early: half a tag's time is more than any.
			tag := int(math.Floor(at/second/flv.TagTime.Seconds() + 0.1))
			d.frames = append(d.frames, audio.Frame{Tag: tag, Samples: size / audio.FrameBytes})
		}
		if err != nil {
			return fmt.Errorf("read list of frames: %q: %w", line, err)
		}
	}
	return lines.Err()
}

// produceAudio makes the part that has a chunk's audio, at the loudness that is wanted.
func (p *Pipeline) produceAudio(ctx context.Context, plan *ladder.Plan, c ladder.Chunk, lease *worker.Lease) error {
	var loudness ladder.Loudness
	if _, err := ledger.Load(ctx, p.Store, ladder.LoudnessKey(plan.Job), &loudness); err != nil {
		return err
	}
	w := work{part: ladder.AudioPart(c.Number), chunk: &c, audio: audioOutputs(plan, c), gain: plan.Gain(&loudness), length: plan.Rate.Time(c.To - c.From)}
	return p.produce(ctx, plan, w, lease)
}

// sendAudio sends out what makes the audio, now that all chunks were measured.
func (p *Pipeline) sendAudio(ctx context.Context, plan *ladder.Job, lease *worker.Lease) error {
	all := len(plan.PartNames())
	for mine := p.newClaimant(); ; {
		d, etag, err := ledger.Dispatched(ctx, p.Store, plan.Plan)
		if err != nil || d.Sent >= all {
			return err
		}
		d.Chunks, d.Ended, d.Sent = plan.Chunks, true, max(d.Sent, len(plan.Chunks)) // whose parts are all there
		if err := p.measureAll(ctx, plan); err != nil {
			return err
		}
		err = p.step(ctx, plan.Plan, &d, etag, mine, lease, func() error {
			_, err := p.sendNext(ctx, plan.Plan, &d, all)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// measureAll says how loud the audio of all chunks together is.
func (p *Pipeline) measureAll(ctx context.Context, plan *ladder.Job) error {
	parts, err := ledger.Parts(ctx, p.Store, plan.Job, plan.ChunkNames())
	if err != nil {
		return err
	}
	var sum ladder.Loudness
	for _, part := range parts {
		if part.Loudness != nil {
			sum.Add(*part.Loudness)
		}
	}
	won, err := ledger.Write(ctx, p.Store, ladder.LoudnessKey(plan.Job), sum, "")
	if lufs, heard := sum.Integrated(); won && heard {
		p.Log.Info("loudness measured", zap.String("job", plan.Job), zap.Float64("lufs", lufs), zap.Float64("true_peak_dbtp", sum.Peak), zap.Float64("wanted_lufs", plan.Audio.Loudness))
	}
	return err
}
