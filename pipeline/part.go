package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/segment"
	"afterlive.alt/internal/worker"
	"afterlive.alt/ladder"
)

// work is what it takes to make one part.
type work struct {
	part    string
	chunk   *ladder.Chunk
	args    []string          // of ffmpeg, run in the part's scratch folder; none: there is no video
	outputs []*segment.Output // of the video
	audio   []*segment.Output // of the audio; none: there is none, or it is only measured
	measure bool              // how loud it is
	gain    string            // the filter that brings the audio to another loudness
	length  time.Duration     // of what is encoded
}

func chunkWork(plan *ladder.Plan, c ladder.Chunk, threads int) work {
	w := work{part: ladder.ChunkPart(c.Number), chunk: &c, length: plan.Rate.Time(c.To - c.From)}
	if len(plan.Ladders) > 0 {
		w.args = plan.ChunkArgs(c, threads)
	}
	for _, l := range plan.Ladders {
		for _, r := range l.Renditions {
			w.outputs = append(w.outputs, segment.Video(plan, c, l, r))
		}
		if l.IFrames != nil {
			w.outputs = append(w.outputs, segment.IFrames(plan, c, l))
		}
	}
	if plan.Audio != nil && (!plan.AudioApart() || plan.IsEvent()) { // an event has it as it is
		w.audio = audioOutputs(plan, c)
	}
	w.measure = plan.AudioApart()
	if plan.Audio != nil {
		w.gain = plan.Audio.Filter
	}
	return w
}

func audioOutputs(plan *ladder.Plan, c ladder.Chunk) (all []*segment.Output) {
	for _, r := range plan.Audio.Renditions {
		all = append(all, segment.Audio(plan, c, r))
	}
	return all
}

// produce makes a part, unless it exists. Nothing of it counts before the last
// write: the part is what names the segments.
func (p *Pipeline) produce(ctx context.Context, plan *ladder.Plan, w work, lease *worker.Lease) error {
	key := ladder.PartKey(plan.Job, w.part)
	if _, _, err := p.Store.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			lease.Duplicate()
		}
		return err // done before, or not to be known
	}
	return p.whileClaimed(ctx, plan, w.part, lease, func() error { return p.makeAndCommit(ctx, plan, w, lease) })
}

// makeAndCommit makes a part and stores it, unless somebody else was first.
func (p *Pipeline) makeAndCommit(ctx context.Context, plan *ladder.Plan, w work, lease *worker.Lease) error {
	key := ladder.PartKey(plan.Job, w.part)
	log := p.Log.With(zap.String("job", plan.Job), zap.String("task", w.part))
	part, err := p.make(ctx, log, plan, w, lease)
	if err != nil {
		return err
	}
	if err := lease.Prove(ctx); err != nil {
		return err
	}
	won, err := ledger.Write(ctx, p.Store, key, part, "")
	if err != nil {
		return err
	}
	if !won { // unless it was us, and only the answer got lost
		var first ladder.Part
		if _, err := ledger.Load(ctx, p.Store, key, &first); err != nil {
			return err
		}
		won = first.Attempt == part.Attempt
	}
	switch {
	case !won:
		lease.Duplicate()
	case w.args != nil || len(plan.Ladders) == 0:
		p.Metrics.media.Add(w.length.Seconds())
	}
	log.Info("part done", zap.Bool("first", won), zap.Float64("encode_s", part.Encode), zap.Float64("upload_s", part.Upload), zap.Float64("cpu_s", part.CPU))
	return nil
}

// make encodes a part, verifies it and uploads what it is made of.
func (p *Pipeline) make(ctx context.Context, log *zap.Logger, plan *ladder.Plan, w work, lease *worker.Lease) (_ *ladder.Part, err error) {
	folder, err := p.Scratch.Folder(w.part)
	if err != nil {
		return nil, err
	}
	defer func() { err = scratchFull(err, folder) }()
	defer os.RemoveAll(folder) // the scratch is swept at the next start, should this fail

	part := &ladder.Part{Version: ladder.PartVersion, Name: w.part, Attempt: strings.ToLower(rand.Text()[:8]), Worker: p.Worker, Host: p.Host, Span: w.chunk.Span, Away: w.chunk.Away}
	log.Info("part begun", zap.String("attempt_id", part.Attempt))
	began := time.Now()
	aside, err := newSidecar(w.chunk.Audio, folder)
	if err != nil {
		return nil, err
	}
	defer aside.file.Close()
	used, err := p.encode(ctx, log, plan, w, folder, part.Attempt, aside.AudioSidecar, lease)
	if err != nil {
		return nil, used.blame(err)
	}
	heard, err := p.audio(ctx, plan, w, folder, aside, part)
	if err != nil {
		return nil, heard.blame(err)
	}
	part.CPU, part.Read, part.Encode = (heard.cpu + used.cpu).Seconds(), heard.read+used.read, p.Metrics.spent(ctx, "encode", began)
	ended := time.Now()
	if err := p.collect(ctx, plan, w.outputs, part.Attempt, true); err != nil {
		return nil, used.blame(err)
	}
	if part.Images, err = p.collectImages(ctx, plan, w, folder, part.Attempt); err != nil {
		return nil, used.blame(err)
	}
	part.Lost = ladder.Lost{Frames: used.lost.Frames, Audio: heard.lost.Audio}
	if part.Lost != (ladder.Lost{}) {
		log.Warn("some of the recording cannot be decoded", zap.Int("frames", part.Lost.Frames), zap.Int("audio", part.Lost.Audio))
	}
	part.Upload, part.Slot = p.Metrics.spent(ctx, "upload", ended), time.Since(began).Seconds()
	part.Made = time.Now().UTC()
	part.Price(p.Host)
	for _, o := range slices.Concat(w.outputs, w.audio) {
		if len(o.Track.Segments) == 0 { // less than an audio packet
			continue
		}
		part.Tracks = append(part.Tracks, o.Track)
		for _, s := range o.Track.Segments {
			part.Written += s.Bytes
		}
	}
	for _, i := range part.Images.All() {
		part.Written += i.Bytes
	}
	return part, nil
}

// uploads is how many files of one part are under way at once.
const uploads = 8

// collect verifies the segments that are finished, uploads them and removes them
// from the scratch; in the end, all of them, and the init segments. Segments
// carry the attempt in their names, so two attempts never mix; init segments
// their own hash, so that all attempts share one.
func (p *Pipeline) collect(ctx context.Context, plan *ladder.Plan, outputs []*segment.Output, attempt string, end bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	put := func(o *segment.Output, file, name string) {
		group.Go(func() error {
			key, init := plan.Key(o.Track.Ladder, o.Track.Rendition, name), file == ladder.InitFile
			file := filepath.Join(o.Folder, file)
			if init && p.inits.has(plan, key) {
				return os.Remove(file)
			}
			info, err := os.Stat(file)
			if err != nil {
				return fmt.Errorf("upload %s: %w", name, err)
			}
			err = p.Store.Upload(ctx, key, file)
			p.Metrics.bytes.WithLabelValues("written").Add(float64(info.Size()))
			if err != nil && !errors.Is(err, fs.ErrExist) { // the init of another part; or our own upload, whose answer got lost
				return fmt.Errorf("upload %s: %w", name, err)
			}
			if init {
				p.inits.add(plan, key)
			}
			return os.Remove(file)
		})
	}
	var err error
	for _, o := range outputs {
		var all []segment.Packed
		if all, err = o.Ready(ctx, attempt, end); err != nil {
			break
		}
		for _, s := range all {
			put(o, s.File, s.URI)
		}
	}
	return errors.Join(err, group.Wait())
}
