package trace

import (
	"context"
	"crypto/rand"

	otel "go.opentelemetry.io/otel/trace"
)

// rootOf is the key of the job whose first span a context is for.
type rootOf struct{}

// ids are random but for a job's first span.
type ids struct{}

// NewIDs are those of a trace without a parent.
func (ids) NewIDs(ctx context.Context) (otel.TraceID, otel.SpanID) {
	if job, ok := ctx.Value(rootOf{}).(string); ok {
		return traceID(job), rootID(job)
	}
	var trace otel.TraceID
	_, _ = rand.Read(trace[:]) // never fails
	return trace, ids{}.NewSpanID(ctx, trace)
}

// NewSpanID is that of a span below another.
func (ids) NewSpanID(context.Context, otel.TraceID) (id otel.SpanID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}
