package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"afterlive/internal/flv"
	"afterlive/ladder"
)

// work is what it takes to make one part.
type work struct {
	part    string
	chunk   *ladder.Chunk // nil: the sound
	cut     flv.Cut
	extract *ladder.Extract // if set, what there is of the cut
	args    []string        // of ffmpeg, run in the part's scratch folder
	outputs []*output
	length  time.Duration                // of what is encoded
	done    func(Progress) time.Duration // how much of it is
}

func chunkWork(plan *ladder.Plan, k, threads int) work {
	c := plan.Chunks[k]
	w := work{
		part: ladder.ChunkPart(k), chunk: &plan.Chunks[k], cut: c.Cut, args: plan.ChunkArgs(k, threads),
		length: plan.Rate.Time(c.To - c.From), done: func(p Progress) time.Duration { return plan.Rate.Time(p.Frame) },
	}
	for _, l := range plan.Ladders {
		for _, r := range l.Renditions {
			w.outputs = append(w.outputs, videoOutput(plan, c, l, r))
		}
		if l.Frames != nil {
			w.outputs = append(w.outputs, framesOutput(plan, c, l))
		}
	}
	return w
}

func audioWork(plan *ladder.Plan) work {
	return work{
		part: ladder.AudioPart, cut: plan.Audio.Cut, extract: plan.Audio.Extract, args: plan.AudioArgs(nil), outputs: audioOutputs(plan),
		length: time.Duration(plan.Duration * float64(time.Second)),
		done:   func(p Progress) time.Duration { return p.Time - ladder.StartOffset*time.Second },
	}
}

// produce makes a part, unless it exists. Nothing of it counts before the last
// write: the part is what names the segments.
func (p *Pipeline) produce(ctx context.Context, plan *ladder.Plan, w work, hold *Hold) error {
	key := ladder.PartKey(plan.Job, w.part)
	if _, _, err := p.Store.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			hold.Duplicate()
		}
		return err // done before, or not to be known
	}
	log := p.Log.With(zap.String("job", plan.Job), zap.String("task", w.part))
	part, err := p.make(ctx, log, plan, w, hold)
	if err != nil {
		return err
	}
	if err := hold.Prove(ctx); err != nil {
		return err
	}
	won, err := p.writeJSON(ctx, key, part, "")
	if err != nil {
		return err
	}
	if !won { // unless it was us, and only the answer got lost
		var first ladder.Part
		if _, err := loadJSON(ctx, p.Store, key, &first); err != nil {
			return err
		}
		won = first.Attempt == part.Attempt
	}
	switch {
	case !won:
		hold.Duplicate()
	case w.part != ladder.AudioPart || len(plan.Chunks) == 0:
		p.Metrics.media.Add(w.length.Seconds())
	}
	log.Info("part done", zap.Bool("first", won), zap.Float64("encode_s", part.Encode), zap.Float64("upload_s", part.Upload), zap.Float64("cpu_s", part.CPU))
	return nil
}

// make encodes a part, verifies it and uploads what it is made of.
func (p *Pipeline) make(ctx context.Context, log *zap.Logger, plan *ladder.Plan, w work, hold *Hold) (*ladder.Part, error) {
	folder, err := p.Scratch.Folder(w.part)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder) // the scratch is swept at the next start, should this fail

	part := &ladder.Part{Version: ladder.PartVersion, Name: w.part, Attempt: strings.ToLower(rand.Text()[:8]), Worker: p.Worker, Host: p.Host}
	log.Info("part begun", zap.String("attempt_id", part.Attempt))
	began := time.Now()
	var first usage
	if w.part == ladder.AudioPart && plan.Audio.Loudness != 0 {
		if part.Loudness, first, err = p.measureLoudness(ctx, log, plan, &w, folder); err != nil {
			return nil, err
		}
	}
	used, err := p.encode(ctx, log, plan, w, folder, part.Attempt, hold)
	if err != nil {
		return nil, used.blame(err)
	}
	part.CPU, part.Read, part.Encode = (first.cpu + used.cpu).Seconds(), first.read+used.read, p.Metrics.spent("encode", began)
	ended := time.Now()
	if err := p.collect(ctx, plan, w, part.Attempt, true); err != nil {
		return nil, used.blame(err)
	}
	if part.Images, err = p.collectImages(ctx, plan, w, folder, part.Attempt); err != nil {
		return nil, used.blame(err)
	}
	part.Lost = used.lost
	if part.Lost != (ladder.Lost{}) {
		log.Warn("some of the recording cannot be decoded", zap.Int("pictures", part.Lost.Frames), zap.Int("sound", part.Lost.Audio))
	}
	part.Upload, part.Slot = p.Metrics.spent("upload", ended), time.Since(began).Seconds()
	part.Price(p.Host)
	for _, o := range w.outputs {
		part.Tracks = append(part.Tracks, o.track)
		for _, s := range o.track.Segments {
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
func (p *Pipeline) collect(ctx context.Context, plan *ladder.Plan, w work, attempt string, end bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	put := func(o *output, file, name string) {
		group.Go(func() error {
			file := filepath.Join(o.folder, file)
			info, err := os.Stat(file)
			if err != nil {
				return fmt.Errorf("upload %s: %w", name, err)
			}
			err = p.Store.Upload(ctx, plan.Key(o.track.Ladder, o.track.Rendition, name), file)
			p.Metrics.bytes.WithLabelValues("written").Add(float64(info.Size()))
			if err != nil && !errors.Is(err, fs.ErrExist) { // the init of another part; or our own upload, whose answer got lost
				return fmt.Errorf("upload %s: %w", name, err)
			}
			return os.Remove(file)
		})
	}
	var err error
	for _, o := range w.outputs {
		var all []packed
		if all, err = o.ready(ctx, attempt, end); err != nil {
			break
		}
		for _, s := range all {
			put(o, s.file, s.URI)
		}
	}
	return errors.Join(err, group.Wait())
}
