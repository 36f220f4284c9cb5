// Package trace tells a tracing system the life of each recording: one trace of a job, by whichever workers did its tasks
// (OpenTelemetry, sent as OTLP over HTTP). A trace's ID, and that of its first span, follow from the job's name, so workers need not tell each other.
package trace

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"sync"
	"time"

	api "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Tracer sends spans. A nil one does nothing.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   otel.Tracer
}

// Open makes a tracer that sends to an OTLP receiver, as "http://collector:4318". Credentials, certificates and
// timeouts are OpenTelemetry's own environment variables. An unreachable receiver costs spans, never a task, and is logged.
func Open(ctx context.Context, receiver, version, worker string, log *zap.Logger) (*Tracer, error) {
	to, err := url.Parse(receiver)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, fmt.Errorf("trace to %q: name a receiver, as http://collector:4318", receiver)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.JoinPath("v1/traces").String()))
	if err != nil {
		return nil, fmt.Errorf("trace to %s: %w", receiver, err)
	}
	api.SetErrorHandler(api.ErrorHandlerFunc(func(err error) { log.Warn("spans are lost", zap.Error(err)) }))
	about := resource.NewSchemaless(attribute.String("service.name", "afterlive-worker"), attribute.String("service.version", version), attribute.String("service.instance.id", worker))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithIDGenerator(ids{}), sdk.WithResource(about))
	return &Tracer{provider, provider.Tracer("afterlive")}, nil
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// Task is an attempt at a task, whatever its outcome.
type Task struct {
	Job, Name, Key string // no Job: it belongs to none yet, and is not traced
	Attempt        int
	Outcome        string // as in the log
	Reason         string // of a failure
	Err            error
	Began, Ended   time.Time
	Stages         []Stage
}

// Task sends a task's span, below its job's, and one for each of its stages.
func (t *Tracer) Task(ctx context.Context, done Task) {
	if t == nil || done.Job == "" {
		return
	}
	parent := otel.NewSpanContext(otel.SpanContextConfig{TraceID: traceID(done.Job), SpanID: rootID(done.Job), TraceFlags: otel.FlagsSampled, Remote: true})
	ctx, span := t.tracer.Start(otel.ContextWithSpanContext(ctx, parent), done.Name, otel.WithTimestamp(done.Began), otel.WithSpanKind(otel.SpanKindConsumer),
		otel.WithAttributes(attribute.String("afterlive.job", done.Job), attribute.Int("afterlive.attempt", done.Attempt), attribute.String("afterlive.outcome", done.Outcome)))
	if done.Key != "" {
		span.SetAttributes(attribute.String("afterlive.recording", done.Key))
	}
	if done.Err != nil {
		span.SetStatus(codes.Error, done.Err.Error())
		span.SetAttributes(attribute.String("error.type", done.Reason))
	}
	for _, s := range done.Stages {
		_, stage := t.tracer.Start(ctx, s.Name, otel.WithTimestamp(s.Began))
		stage.End(otel.WithTimestamp(s.Ended))
	}
	span.End(otel.WithTimestamp(done.Ended))
}

// Published sends the span of a whole job: from the moment that its recording began, or that it was planned, to its publication.
func (t *Tracer) Published(ctx context.Context, job, asset string, began time.Time) {
	if t == nil {
		return
	}
	_, span := t.tracer.Start(context.WithValue(ctx, rootOf{}, job), "recording "+asset, otel.WithTimestamp(began), otel.WithNewRoot(),
		otel.WithAttributes(attribute.String("afterlive.job", job), attribute.String("afterlive.asset", asset)))
	span.End()
}

// Stage is a part of a task's time.
type Stage struct {
	Name         string
	Began, Ended time.Time
}

type stagesOf struct{}

type stages struct {
	lock sync.Mutex
	all  []Stage
}

// Collect returns a context in which [Note] collects the stages of a task, and what it has collected.
func Collect(ctx context.Context) (context.Context, func() []Stage) {
	s := &stages{}
	return context.WithValue(ctx, stagesOf{}, s), func() []Stage {
		s.lock.Lock()
		defer s.lock.Unlock()
		return s.all
	}
}

// Note notes that a stage has ended.
func Note(ctx context.Context, name string, began time.Time) {
	if s, ok := ctx.Value(stagesOf{}).(*stages); ok {
		s.lock.Lock()
		defer s.lock.Unlock()
		s.all = append(s.all, Stage{name, began, time.Now()})
	}
}

func traceID(job string) (id otel.TraceID) {
	sum := sha256.Sum256([]byte("trace of " + job))
	copy(id[:], sum[:])
	return id
}

func rootID(job string) (id otel.SpanID) {
	sum := sha256.Sum256([]byte("first span of " + job))
	copy(id[:], sum[:])
	return id
}
