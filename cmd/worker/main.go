// Command worker transcodes recordings: it takes tasks from the queue, runs
// ffmpeg, and writes HLS to the store. Any number of workers may share a queue.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/config"
	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
	"afterlive.alt/pipeline"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, name()+":", err)
		os.Exit(1)
	}
}

type flags struct {
	config.Flags

	Slots        int           `help:"Tasks done at once; 0: one for every core, if there are 2 GiB of memory for each. So no core waits for another." default:"0" env:"AFTERLIVE_SLOTS"`
	Threads      int           `help:"Encoder threads per rendition; 0: one, where there is a slot for every core, and as many as x264 likes where not." default:"0" env:"AFTERLIVE_THREADS"`
	Profiles     string        `help:"YAML file with profiles of your own, beside or instead of the built-in ones." placeholder:"FILE" env:"AFTERLIVE_PROFILES"`
	Lease        time.Duration `help:"How long a task is hidden from other workers, extended every quarter of it. What a killed worker held is done by another after this time. Default: 2m on SQS, 20s in a folder." placeholder:"DURATION" env:"AFTERLIVE_LEASE"`
	Drain        time.Duration `help:"How long a task may go on after SIGTERM. One that cannot be done by then is handed back at once. Keep it below what the host grants: ECS's stopTimeout, say." default:"20s" env:"AFTERLIVE_DRAIN"`
	MaxPixels    int           `help:"Pixels of a frame above which a recording is refused." default:"35389440" env:"AFTERLIVE_MAX_PIXELS"`
	MaxDuration  time.Duration `help:"Length above which a recording is refused." default:"48h" env:"AFTERLIVE_MAX_DURATION"`
	MaxScratch   int64         `help:"Bytes that ffmpeg may have on disk for one task." default:"8589934592" env:"AFTERLIVE_MAX_SCRATCH"`
	MaxAlloc     int64         `help:"Bytes of memory that ffmpeg may ask for at once." default:"268435456" env:"AFTERLIVE_MAX_ALLOC"`
	MaxSlowness  float64       `help:"Times its own length that ffmpeg may take over a task (and 10 minutes)." default:"30" env:"AFTERLIVE_MAX_SLOWNESS"`
	Stall        time.Duration `help:"How long ffmpeg may make no progress before it is killed." default:"1m" env:"AFTERLIVE_STALL"`
	AbandonAfter time.Duration `help:"How long a followed recording may not grow before workers end it with what is in the store; 0: for ever. Make it longer than follow's --every." default:"60s" placeholder:"DURATION" env:"AFTERLIVE_ABANDON_AFTER"`
	Scratch      string        `help:"Folder for what ffmpeg writes. A slot needs room for a few segments of every rendition." default:"${scratch}" env:"AFTERLIVE_SCRATCH"`
	MinFree      int64         `help:"Bytes that must be free in --scratch and --data before a task is taken; 0: whatever there is." default:"536870912" env:"AFTERLIVE_MIN_FREE"`
	FFmpeg       string        `name:"ffmpeg" help:"The ffmpeg to run, 5.1 or later with libx264." default:"ffmpeg" env:"AFTERLIVE_FFMPEG"`
	HTTP         string        `name:"http" help:"Serve /healthz, /metrics (Prometheus) and the player (/player/) here and, in a folder, the results at /vod/ and the pages of \"enqueue serve\"." placeholder:"ADDR" env:"AFTERLIVE_HTTP"`
	config.Site
	Spot         bool    `help:"Heed EC2's notice of a spot interruption, as tasks of ECS always do." env:"AFTERLIVE_SPOT"`
	CheckHealth  bool    `help:"Ask the worker that serves --http whether it is well, and end: for the health check of a container."`
	CloudWatch   string  `name:"cloudwatch" help:"Log figures every minute in CloudWatch's embedded metric format, under this namespace: where AWS keeps the log, it makes metrics of them." placeholder:"NAMESPACE" env:"AFTERLIVE_CLOUDWATCH"`
	OTLP         string  `name:"otlp" help:"Send a trace of each recording's life to this OpenTelemetry receiver, by OTLP over HTTP: http://collector:4318. Its credentials are OTEL_EXPORTER_OTLP_HEADERS." placeholder:"URL" env:"AFTERLIVE_OTLP"`
	Price        float64 `help:"What an hour of this worker costs in USD, host and all: parts, asset.json and status then tell what the work on a minute of recording costs." placeholder:"USD" env:"AFTERLIVE_PRICE"`
	ExitWhenIdle bool    `help:"End when no task is left, waiting or in flight."`
	LogFormat    string  `help:"json or console." enum:"json,console" default:"json" env:"AFTERLIVE_LOG_FORMAT"`
}

// Validate reports all faults of the flags together.
func (f *flags) Validate() error {
	if f.Lease == 0 {
		f.Lease = 20 * time.Second
		if f.OnAWS() {
			f.Lease = 2 * time.Minute
		}
	}
	faults := []error{f.Flags.Validate()}
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New(text))
		}
	}
	fault(f.Slots < 0, "--slots must not be negative")
	fault(f.AbandonAfter < 0 || f.AbandonAfter > 0 && f.AbandonAfter < 3*time.Second, "--abandon-after must be 0, or at least 3s")
	fault(f.Threads < 0, "--threads must not be negative")
	fault(f.Lease < 4*time.Second || f.Lease > time.Hour, "--lease must be 4s to 1h")
	fault(f.Lease%time.Second != 0, "--lease must be whole seconds")
	fault(f.Drain < 0, "--drain must not be negative")
	fault(f.Scratch == "", "--scratch must name a folder")
	fault(f.MaxPixels < 1, "--max-pixels must be at least 1")
	fault(f.MaxDuration <= 0, "--max-duration must be positive")
	fault(f.MaxScratch < 1<<20, "--max-scratch must be at least 1048576")
	fault(f.MinFree < 0, "--min-free must not be negative")
	fault(f.MaxAlloc < 1<<20, "--max-alloc must be at least 1048576")
	fault(f.MaxSlowness <= 0, "--max-slowness must be positive")
	fault(!(f.Price >= 0 && f.Price < 1e6), "--price must be USD, and not negative")
	fault(f.CheckHealth && f.HTTP == "", "--check-health needs --http")
	fault(f.OnAWS() && len(f.Webhook)+len(f.OnEvent) > 0, "--webhook and --on-event are for a folder: of a fleet, "+job.CLI+" serve tells")
	fault(f.Stall < time.Second, "--stall must be at least 1s")
	return errors.Join(faults...)
}

const description = `Transcodes recordings to HLS. Takes tasks from the queue that "enqueue" fills.

  worker                                        # all in ./data
  worker --exit-when-idle --log-format console  # do what is there, then end
  worker --queue https://sqs… --failed https://sqs… --recordings s3://recs --store s3://vod

SIGTERM and Ctrl-C let a task go on for --drain and then hand it to another worker. A second one ends at once.`

// name is what this program is called, beside its command line.
func name() string {
	if job.CLI == "enqueue" {
		return "worker"
	}
	return job.CLI + "-worker"
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var f flags
	parser, err := kong.New(&f, kong.Name(name()), kong.Description(description), kong.ExplicitGroups(config.Groups()),
		config.File("worker.yaml"), kong.Vars{"version": config.Version(), "scratch": filepath.Join(os.TempDir(), fmt.Sprintf("afterlive-%d", os.Getuid()))}, kong.Writers(stdout, os.Stderr))
	if err != nil {
		return err
	}
	config.SayInstalledNames(parser.Model)
	if _, err := parser.Parse(args); err != nil {
		return fmt.Errorf("%w (try --help)", err)
	}
	if f.CheckHealth {
		return askHealth(ctx, f.HTTP)
	}
	log, err := config.Logger(f.LogFormat, "stderr")
	if err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer cancel()
	backend, err := f.Open(ctx)
	if err != nil {
		return err
	}
	if err := backend.Check(stop, log); err != nil {
		if stop.Err() != nil {
			err = nil // nothing was taken yet
		}
		return errors.Join(err, backend.Close())
	}
	scratch, err := ffmpeg.NewScratch(f.Scratch)
	if err != nil {
		return errors.Join(err, backend.Close())
	}
	err = f.work(ctx, stop, cancel, log, backend, scratch)
	return errors.Join(err, scratch.Close(), backend.Close())
}

// work wires the worker and runs it until it is told to stop; a spot notice is another reason
// to, which cancel tells.
func (f *flags) work(ctx, stop context.Context, cancel context.CancelFunc, log *zap.Logger, backend *config.Backend, scratch *ffmpeg.Scratch) error {
	profiles, err := f.readProfiles()
	if err != nil {
		return err
	}
	program, version, err := ffmpeg.Find(ctx, f.FFmpeg)
	if err != nil {
		return err
	}
	name := config.ProcessName()
	host := f.host(ctx, log)
	encoder, err := ffmpeg.Program{Path: program, Threads: f.Threads, Pixels: f.MaxPixels, Alloc: f.MaxAlloc, File: f.MaxScratch, Stall: f.Stall}.Isolate(ctx, scratch)
	if err != nil {
		log.Info("ffmpeg is not isolated as it could be", zap.Error(err))
	}
	tracer, err := f.tracer(ctx, name, log)
	if err != nil {
		return err
	}
	defer f.lastSpans(ctx, tracer, log)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p := &pipeline.Pipeline{
		Queue: backend.Queue, Recordings: growing.Recordings{Store: backend.Recordings}, Bucket: backend.Bucket, Store: backend.Store, Profiles: profiles,
		FFmpeg:  encoder,
		Limits:  pipeline.Limits{Pixels: f.MaxPixels, Duration: f.MaxDuration, Scratch: f.MaxScratch, Slowness: f.MaxSlowness},
		Scratch: scratch, Abandon: f.AbandonAfter, Worker: name, Host: host, Metrics: pipeline.NewMetrics(registry), Tracer: tracer, Log: log,
	}
	w := &worker.Worker{
		Queue: backend.Queue, Failed: backend.Failed, Note: p.NoteFailure, Retry: p.NoteRetry, Do: p.Do, Done: p.Done, Lost: gone, Bucket: backend.Bucket, Slots: f.Slots, Lease: f.Lease, Drain: f.Drain,
		Name: name, Program: "afterlive " + config.Version() + ", ffmpeg " + version, Metrics: worker.NewMetrics(registry), Tracer: tracer, Log: log,
	}
	w.Idle, w.Protect, w.Ready = f.idle(backend), protection(ctx, log), f.room
	onSpotNotice(ctx, log, f.Spot, cancel)
	end, err := f.Tell(ctx, backend, name, log)
	if err != nil {
		return err
	}
	defer end()
	if f.HTTP != "" {
		server, err := f.serve(ctx, log, backend, w.Healthy, registry)
		if err != nil {
			return err
		}
		defer server.Close()
	}
	defer report(ctx, backend.Store, w, host, slices.Sorted(maps.Keys(profiles)), log)()
	if f.CloudWatch != "" {
		defer toCloudWatch(ctx, log, registry, f.CloudWatch)()
	}
	log.Info("worker started", zap.String("worker", name), zap.String("program", w.Program), zap.Int("slots", f.Slots), zap.Int("threads", f.Threads),
		zap.Bool("ffmpeg_seccomp", encoder.Seccomp), zap.Bool("ffmpeg_landlock", encoder.Landlock), zap.Duration("lease", f.Lease), zap.Duration("drain", f.Drain),
		zap.String("data", f.Data), zap.String("queue", f.Queue), zap.String("recordings", f.Recordings), zap.String("store", f.Store))
	defer context.AfterFunc(stop, func() { log.Info("worker is shutting down", zap.Duration("drain", f.Drain)) })()
	err = runUntil(w, stop, untilSecondSignal(ctx))
	log.Info("worker stopped", zap.Any("messages", w.Metrics.Tally()), zap.Error(err))
	return err
}

// idle tells whether there is nothing left to do, for a worker that ends then; nil for others.
func (f *flags) idle(backend *config.Backend) func(context.Context) (bool, error) {
	if !f.ExitWhenIdle {
		return nil
	}
	return func(ctx context.Context) (bool, error) {
		b, err := backend.Queue.Backlog(ctx)
		return b.Waiting+b.InFlight+b.Delayed == 0, err
	}
}

// room is an error where a disk is nearly full: ffmpeg would fail, and so would the queue.
func (f *flags) room() error {
	folders := []string{f.Scratch}
	if !f.OnAWS() {
		folders = append(folders, f.Data)
	}
	for _, folder := range folders {
		free, err := config.Free(folder)
		if err == nil && free < f.MinFree {
			err = fmt.Errorf("%s has %d MiB left, --min-free is %d MiB: make room, or lower that", folder, free>>20, f.MinFree>>20)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gone recognizes errors that are of this worker's store, not of a task.
func gone(err error) bool { return errors.Is(err, blob.ErrNoBucket) }

// runUntil runs the worker. At a second signal it doesn't wait for polls that nobody
// can end; what one of them still brings is handed out again after the lease.
func runUntil(w *worker.Worker, stop, work context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- w.Run(stop, work) }()
	select {
	case err := <-ended:
		return err
	case <-work.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(2 * time.Second):
		return nil
	}
}

// untilSecondSignal ends with the second signal: the first asks for a drain.
func untilSecondSignal(ctx context.Context) context.Context {
	work, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		<-signals
		cancel()
	}()
	return work
}

func (f *flags) readProfiles() (ladder.Profiles, error) {
	if f.Profiles == "" {
		return ladder.ParseProfiles(nil)
	}
	own, err := os.ReadFile(f.Profiles)
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	return ladder.ParseProfiles(own)
}
