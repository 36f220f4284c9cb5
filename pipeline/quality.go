package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// askForQuality sends the task that measures a published job, if its profile wants
// that and it wasn't done yet.
func (p *Pipeline) askForQuality(ctx context.Context, plan *ladder.Plan) error {
	if plan.Quality == 0 {
		return nil
	}
	_, _, err := p.Store.Load(ctx, plan.Key(ladder.QualityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p.Queue.Send(ctx, job.Task{Kind: job.Quality, Job: plan.Job}.Body(), 0)
	}
	return err
}

// measure compares sampled segments of every rendition with the recording.
func (p *Pipeline) measure(ctx context.Context, plan *ladder.Job, lease *worker.Lease) error {
	key := plan.Key(ladder.QualityFile)
	if _, _, err := p.Store.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			lease.Duplicate()
		}
		return err // done before, or not to be known
	}
	log := p.Log.With(zap.String("job", plan.Job), zap.String("task", string(job.Quality)))
	parts, err := ledger.Parts(ctx, p.Store, plan.Job, plan.PartNames())
	if err != nil {
		return err
	}
	presentation, err := ladder.Assemble(plan, parts)
	if err != nil {
		return job.Permanent("parts_differ", err)
	}
	folder, err := p.Scratch.Folder(string(job.Quality))
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) // the scratch is swept at the next start, should this fail

	began := time.Now()
	if err := p.reference(ctx, plan, folder); err != nil {
		return err
	}
	quality := plan.NewQuality()
	for _, l := range plan.Ladders {
		measured := ladder.MeasuredLadder{Name: l.Name, Projection: l.Projection}
		for _, r := range l.Renditions {
			bytes, err := p.fetchSampled(ctx, plan, presentation.Track(l.Name, r.Name), filepath.Join(folder, ladder.RenditionFile))
			if err != nil {
				return err
			}
			errs, err := p.compare(ctx, plan.CompareArgs(l, r), folder, plan.QualityFrames())
			if err != nil {
				return fmt.Errorf("measure %s/%s: %w", l.Name, r.Name, err)
			}
			measured.Renditions = append(measured.Renditions, plan.MeasuredRendition(r, bytes, errs))
		}
		quality.Ladders = append(quality.Ladders, measured)
	}
	quality.Rate()
	if _, err := ledger.Write(ctx, p.Store, key, quality, ""); err != nil {
		return err
	}
	log.Info("quality measured", zap.Int("frames", quality.Frames), zap.Duration("took", time.Since(began)))
	return nil
}

// reference writes the recording's frames to compare to the scratch.
func (p *Pipeline) reference(ctx context.Context, plan *ladder.Job, folder string) (err error) {
	all, err := os.Create(filepath.Join(folder, ladder.ReferenceFile))
	if err != nil {
		return fmt.Errorf("write reference: %w", err)
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	for _, segment := range plan.QualitySegments() {
		chunk, err := ledger.Chunk(ctx, p.Store, plan.Job, plan.ChunkOf(segment))
		if err != nil {
			return err
		}
		source, err := p.readCut(ctx, plan.Plan, chunk.Cut, new(atomic.Int64))
		if err != nil {
			return err
		}
		const one = "segment.gray"
		_, err = p.FFmpeg.Run(ctx, folder, plan.ReferenceArgs(*chunk, segment, one), chunk.Cut.Reader(source), func(ffmpeg.Progress) {})
		if err := errors.Join(err, source.Close()); err != nil {
			return err
		}
		if err := appendFile(all, filepath.Join(folder, one)); err != nil {
			return fmt.Errorf("write reference: %w", err)
		}
	}
	return nil
}

func appendFile(to io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}

// fetchSampled writes a rendition's init and sampled segments to a file, and returns
// the bytes of the segments.
func (p *Pipeline) fetchSampled(ctx context.Context, plan *ladder.Job, t ladder.Track, file string) (bytes int64, err error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, fmt.Errorf("write rendition: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var names []string
	if plan.Container != ladder.TS {
		names = append(names, t.Init)
	}
	for _, n := range plan.QualitySegments() {
		names = append(names, t.Segments[n].URI)
		bytes += t.Segments[n].Bytes
	}
	for _, name := range names {
		body, _, err := p.Store.Load(ctx, plan.Key(t.Ladder, t.Rendition, name))
		if err != nil {
			return 0, fmt.Errorf("load %s: %w", name, err)
		}
		if _, err := f.Write(body); err != nil {
			return 0, fmt.Errorf("write rendition: %w", err)
		}
	}
	return bytes, nil
}

var meanSquare = regexp.MustCompile(`(?m)^lavfi\.psnr\.mse\.y=([0-9.]+)$`)

// compare runs a comparison and returns the errors of every frame, file by file.
func (p *Pipeline) compare(ctx context.Context, args []string, folder string, frames int) ([][]float64, error) {
	ran, err := p.FFmpeg.Run(ctx, folder, args, strings.NewReader(""), func(ffmpeg.Progress) {})
	if err != nil {
		return nil, err
	}
	var all [][]float64
	for _, name := range ladder.ErrorFiles() {
		body, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("read errors: %w", err)
		}
		var errs []float64
		for _, m := range meanSquare.FindAllSubmatch(body, -1) {
			e, err := strconv.ParseFloat(string(m[1]), 64)
			if err != nil {
				return nil, fmt.Errorf("read errors: %w", err)
			}
			errs = append(errs, e)
		}
		if len(errs) != frames {
			return nil, usage{log: ran.Log}.blame(job.Transient("bad_output", fmt.Errorf("%s has %d frames, want %d", name, len(errs), frames)))
		}
		all = append(all, errs)
	}
	return all, nil
}
