package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/flv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// fit encodes a few samples of a recording, and lets the plan's ladders fit what that
// says. It is for saving bits: where it fails, the ladders stay as they are.
func (p *Pipeline) fit(ctx context.Context, plan *ladder.Plan, index *flv.Index) error {
	samples := plan.Samples(index)
	if len(samples) == 0 {
		return nil
	}
	began := time.Now()
	bytes, used, err := p.sample(ctx, plan, samples)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	plan.Fit.CPU, plan.Fit.Read, plan.Fit.Took = used.cpu.Seconds(), used.read, time.Since(began).Seconds()
	if err != nil {
		plan.Fit.Failed = err.Error()
		p.Log.Warn("samples cannot be encoded, so the ladder is left as it is", zap.String("key", plan.Recording.Key), zap.Error(err), zap.String("log", job.LastWords(err)))
		return nil
	}
	plan.FitTo(samples, bytes)
	p.Log.Info("ladder fitted", zap.String("key", plan.Recording.Key), zap.Any("rungs", plan.Fit.Rungs), zap.Float64("took_s", plan.Fit.Took))
	return nil
}

// sample returns the bytes of all samples together, for every file of
// [ladder.Plan.SampleFiles].
func (p *Pipeline) sample(ctx context.Context, plan *ladder.Plan, samples []ladder.Chunk) (bytes []int64, used usage, err error) {
	folder, err := p.Scratch.Folder("samples")
	if err != nil {
		return nil, used, err
	}
	defer os.RemoveAll(folder) // the scratch is swept at the next start, should this fail
	files := plan.SampleFiles()
	bytes = make([]int64, len(files))
	if err := os.MkdirAll(filepath.Join(folder, filepath.Dir(files[0])), 0o755); err != nil {
		return nil, used, fmt.Errorf("make scratch: %w", err)
	}
	for _, s := range samples {
		ran, read, err := p.encodeSample(ctx, plan, s, folder)
		used.cpu, used.read = used.cpu+ran.CPU, used.read+read
		if err != nil {
			return nil, used, fmt.Errorf("encode sample at %s: %w", plan.Rate.Time(s.From), err)
		}
		for i, file := range files {
			info, err := os.Stat(filepath.Join(folder, file))
			if err == nil && info.Size() == 0 {
				err = errors.New("it is empty")
			}
			if err != nil {
				return nil, used, fmt.Errorf("read sample at %s: %w", plan.Rate.Time(s.From), err)
			}
			bytes[i] += info.Size()
		}
	}
	return bytes, used, nil
}

func (p *Pipeline) encodeSample(ctx context.Context, plan *ladder.Plan, s ladder.Chunk, folder string) (ran ffmpeg.Ran, read int64, err error) {
	var count atomic.Int64
	source, err := p.readCut(ctx, plan, s.Cut, &count)
	if err != nil {
		return ran, 0, err
	}
	defer source.Close()
	ctx, enough := p.Limits.patience(ctx, 0)
	defer enough()
	defer context.AfterFunc(ctx, func() { _ = source.Close() })()
	ran, err = p.FFmpeg.Run(ctx, folder, plan.SampleArgs(s), s.Cut.Reader(source), func(ffmpeg.Progress) {})
	return ran, count.Load(), err
}
