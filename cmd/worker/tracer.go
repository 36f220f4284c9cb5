package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/trace"
)

// tracer opens the receiver of --otlp. Without that flag there is none, and the tracer is nil.
func (f *flags) tracer(ctx context.Context, name string, log *zap.Logger) (*trace.Tracer, error) {
	if f.OTLP == "" {
		return nil, nil //nolint:nilnil // a nil one does nothing
	}
	return trace.Open(ctx, f.OTLP, config.Version(), name, log)
}

// spansTime is how long a worker that ends tries to send its last spans.
const spansTime = 3 * time.Second

func (*flags) lastSpans(ctx context.Context, t *trace.Tracer, log *zap.Logger) {
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), spansTime)
	defer cancel()
	if err := t.Close(brief); err != nil {
		log.Warn("spans are lost", zap.Error(err))
	}
}
