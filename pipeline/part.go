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
	cut     flv.Cut
	args    []string // of ffmpeg, run in the part's scratch folder
	renders []render
}

// render is one rendition that ffmpeg leaves in <ladder>/<rendition>, and how it
// is measured against the plan.
type render struct {
	ladder, rendition string
	measure           func(folder string) (ladder.Track, error)
}

func chunkWork(plan *ladder.Plan, k, threads int) work {
	c := plan.Chunks[k]
	w := work{part: ladder.ChunkPart(k), cut: c.Cut, args: plan.ChunkArgs(k, threads)}
	for _, l := range plan.Ladders {
		for _, r := range l.Renditions {
			w.renders = append(w.renders, render{l.Name, r.Name, func(folder string) (ladder.Track, error) {
				return measureVideo(folder, plan, c, r)
			}})
		}
	}
	return w
}

func audioWork(plan *ladder.Plan) work {
	return work{
		part: ladder.AudioPart, cut: plan.Audio.Cut, args: plan.AudioArgs(),
		renders: []render{{ladder.AudioLadder, ladder.AudioRendition, func(folder string) (ladder.Track, error) {
			return measureAudio(folder, plan)
		}}},
	}
}

// produce makes a part, unless it exists. Nothing of it counts before the last
// line: the part is what names the segments, and it is one conditional write.
func (p *Pipeline) produce(ctx context.Context, plan *ladder.Plan, w work) error {
	key := ladder.PartKey(plan.Job, w.part)
	if _, _, err := p.Store.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		return err // done before, or not to be known
	}
	log := p.Log.With(zap.String("job", plan.Job), zap.String("task", w.part))
	folder, err := p.Scratch.Folder(w.part)
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) // the scratch is swept at the next start, should this fail

	part := ladder.Part{Version: 1, Name: w.part, Attempt: strings.ToLower(rand.Text()[:8]), Worker: p.Worker}
	began := time.Now()
	if err := p.encode(ctx, log, plan, w, folder); err != nil {
		return err
	}
	part.Timing.Encode = time.Since(began).Seconds()
	for _, r := range w.renders {
		track, err := r.measure(filepath.Join(folder, r.ladder, r.rendition))
		if err != nil {
			return transient("bad_output", fmt.Errorf("verify %s/%s: %w", r.ladder, r.rendition, err))
		}
		track.Ladder, track.Rendition = r.ladder, r.rendition
		part.Tracks = append(part.Tracks, track)
	}
	began = time.Now()
	if err := p.upload(ctx, plan, folder, &part); err != nil {
		return err
	}
	part.Timing.Upload = time.Since(began).Seconds()
	won, err := p.writeJSON(ctx, key, part, "")
	if err != nil {
		return err
	}
	log.Info("part done", zap.Bool("first", won), zap.Float64("encode_s", part.Timing.Encode), zap.Float64("upload_s", part.Timing.Upload))
	return nil
}

// encode feeds the part's bytes of the recording to ffmpeg.
func (p *Pipeline) encode(ctx context.Context, log *zap.Logger, plan *ladder.Plan, w work, folder string) error {
	for _, r := range w.renders {
		if err := os.MkdirAll(filepath.Join(folder, r.ladder, r.rendition), 0o755); err != nil {
			return fmt.Errorf("make scratch: %w", err)
		}
	}
	source, err := p.Recordings.Read(ctx, plan.Recording.Key, plan.Recording.ETag, w.cut.From, w.cut.To)
	if errors.Is(err, fs.ErrNotExist) {
		return permanent("no_recording", err)
	}
	if err != nil {
		return err
	}
	defer source.Close()
	log.Debug("encoding", zap.Strings("args", w.args))
	return p.FFmpeg.Run(ctx, folder, w.args, w.cut.Reader(source))
}

// uploads is how many files of one part are under way at once.
const uploads = 8

// upload stores a part's files. Segments carry the attempt in their names, so two
// attempts never mix; init segments carry their own hash, so that all attempts
// share one. It renames the part's segments accordingly.
func (p *Pipeline) upload(ctx context.Context, plan *ladder.Plan, folder string, part *ladder.Part) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	put := func(key, file string) {
		group.Go(func() error {
			err := p.Store.Upload(ctx, key, file)
			if errors.Is(err, fs.ErrExist) { // the init of another part; or our own upload, whose answer got lost
				return nil
			}
			return err
		})
	}
	for _, t := range part.Tracks {
		local := filepath.Join(folder, t.Ladder, t.Rendition)
		put(plan.Key(t.Ladder, t.Rendition, t.Init), filepath.Join(local, ladder.InitFile))
		for i := range t.Segments {
			s := &t.Segments[i]
			file := filepath.Join(local, s.URI)
			s.URI = strings.TrimSuffix(s.URI, ".m4s") + "-" + part.Attempt + ".m4s"
			put(plan.Key(t.Ladder, t.Rendition, s.URI), file)
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("upload %s: %w", part.Name, err)
	}
	return nil
}
