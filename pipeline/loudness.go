package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"afterlive/ladder"
)

// measureLoudness is the first of two passes over a recording's sound: it tells the second
// by how much to turn the volume.
func (p *Pipeline) measureLoudness(ctx context.Context, log *zap.Logger, plan *ladder.Plan, w *work, folder string) (*ladder.Loudness, usage, error) {
	var read atomic.Int64
	began := time.Now()
	source, input, err := p.input(ctx, plan, *w, &read)
	if err != nil {
		return nil, usage{}, err
	}
	defer source.Close()
	ctx, enough := p.Limits.patience(ctx, w.length)
	defer enough()
	defer context.AfterFunc(ctx, func() { _ = source.Close() })()
	ran, err := p.FFmpeg.Run(ctx, folder, plan.LoudnessArgs(), input, func(Progress) {})
	used := usage{cpu: ran.CPU, read: read.Load(), log: ran.Log}
	if err != nil {
		return nil, used, fmt.Errorf("measure loudness: %w", err)
	}
	measured, err := ladder.ParseLoudness(ran.Log)
	if err != nil {
		return nil, used, used.blame(transient("bad_output", err))
	}
	log.Info("loudness measured", zap.Any("loudness", measured), zap.Float64("wanted_lufs", plan.Audio.Loudness), zap.Duration("took", time.Since(began)))
	w.args = plan.AudioArgs(measured)
	return measured, used, nil
}
