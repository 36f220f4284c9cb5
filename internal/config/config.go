// Package config turns flags and config files into what cmd/enqueue and cmd/worker need: [Flags.Open] opens the [Backend] (queues and buckets), [Site] has
// the pages and webhooks, [Logger] the log.
package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/worker"
	"afterlive.alt/pipeline"
)

// version is set by "make build".
var version string

// Version is the program's: that of its build, or of the module or commit from which Go built it.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		return cmp.Or(info.Main.Version, "unreleased")
	}
	return "unreleased"
}

// Flags say where everything is: in one folder, or on SQS and S3.
type Flags struct {
	Data       string `help:"Folder that holds queue, recordings and results. Not used once one of the following is given: then all four are needed." default:"./data" env:"AFTERLIVE_DATA" group:"backend"`
	Queue      string `help:"URL of the SQS queue for tasks; region, credentials and endpoint come from the AWS SDK's own variables and files. Or a PostgreSQL database for all queues, as postgres://USER@HOST/DATABASE; a password comes from PGPASSWORD or ~/.pgpass." placeholder:"URL" env:"AFTERLIVE_QUEUE" group:"backend"`
	Failed     string `help:"URL of the SQS queue for failed tasks. None with PostgreSQL." placeholder:"URL" env:"AFTERLIVE_FAILED" group:"backend"`
	Recordings string `help:"Bucket of recordings (under recordings/)." placeholder:"s3://BUCKET" env:"AFTERLIVE_RECORDINGS" group:"backend"`
	Store      string `help:"Bucket for plans (jobs/) and results (vod/)." placeholder:"s3://BUCKET[/PREFIX]" env:"AFTERLIVE_STORE" group:"backend"`

	Config     kong.ConfigFlag  `help:"YAML file with any of these flags, by name." placeholder:"FILE"`
	Version    kong.VersionFlag `help:"Print the version, and end."`
	Man        manFlag          `help:"Print the manual page, and end: for man -l -."`
	Completion completionFlag   `help:"Print completion for bash, and end: source <(PROGRAM --completion)."`
}

// Groups are the headings of the flags in --help.
func Groups() []kong.Group {
	return []kong.Group{{Key: "backend", Title: "Where things are (all in --data, or all four on SQS and S3, or queues in PostgreSQL and buckets on S3):"}}
}

// OnAWS tells whether the flags mean SQS and S3, or others in their places, and not a folder.
func (f Flags) OnAWS() bool { return f.Queue+f.Failed+f.Recordings+f.Store != "" }

// Args are the flags that name the same place from any folder: for commands that are
// printed to be pasted.
func (f Flags) Args() string {
	if f.OnAWS() {
		failed := ""
		if f.Failed != "" {
			failed = " --failed " + f.Failed
		}
		return fmt.Sprintf(" --queue %s%s --recordings %s --store %s", f.Queue, failed, f.Recordings, f.Store)
	}
	data, err := filepath.Abs(f.Data)
	if err != nil {
		data = f.Data
	}
	return " --data " + data
}

// Validate reports all faults of the flags together.
func (f Flags) Validate() error {
	if !f.OnAWS() {
		return nil
	}
	var faults []error
	queues := [][2]string{{"queue", f.Queue}, {"failed", f.Failed}}
	if queue.IsPostgres(f.Queue) {
		queues = nil
		if address, err := url.Parse(f.Queue); err != nil {
			faults = append(faults, fmt.Errorf("--queue is not an address: %w", err))
		} else if _, told := address.User.Password(); told {
			faults = append(faults, errors.New("--queue has a password, which would be seen in logs and in the list of processes: put it into PGPASSWORD or ~/.pgpass"))
		}
		if f.Failed != "" {
			faults = append(faults, errors.New("--failed is for SQS: with PostgreSQL, failed tasks are in the same database"))
		}
	}
	for _, flag := range queues {
		if !strings.HasPrefix(flag[1], "https://") && !strings.HasPrefix(flag[1], "http://") {
			faults = append(faults, fmt.Errorf("--%s is %q; it must be the URL of an SQS queue (all of --queue, --failed, --recordings and --store are needed, or none)", flag[0], flag[1]))
		}
	}
	if _, prefix, err := parseBucket(f.Recordings); err != nil || prefix != "" {
		faults = append(faults, fmt.Errorf("--recordings is %q; it must be s3://BUCKET", f.Recordings))
	}
	if _, _, err := parseBucket(f.Store); err != nil {
		faults = append(faults, fmt.Errorf("--store is %q; it must be s3://BUCKET or s3://BUCKET/PREFIX", f.Store))
	}
	return errors.Join(faults...)
}

func parseBucket(uri string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return "", "", fmt.Errorf("%q is not s3://BUCKET[/PREFIX]", uri)
	}
	return bucket, strings.Trim(prefix, "/"), nil
}

// Queue is a queue that can be counted.
type Queue interface {
	worker.Queue
	SendAll(ctx context.Context, bodies [][]byte) error
	Backlog(ctx context.Context) (queue.Backlog, error)
}

// Bucket holds recordings or results.
type Bucket interface {
	pipeline.Recordings
	pipeline.Store
	Copy(ctx context.Context, key, file string) error // as Upload, of a file that its owner keeps
	Delete(ctx context.Context, key string) error
	ListFrom(ctx context.Context, prefix, after string, n int) ([]string, error)
}

// Backend is where everything is: the queues and the buckets.
type Backend struct {
	Queue, Failed     Queue
	Recordings, Store Bucket
	Bucket            string // of Recordings; empty in a folder
	checks            []check
	close             func() error
}

// Close lets go of them.
func (b *Backend) Close() error { return b.close() }

// Open opens what the flags name.
func (f Flags) Open(ctx context.Context) (*Backend, error) {
	if f.OnAWS() {
		return f.openAWS(ctx)
	}
	dir, err := blob.NewDir(f.Data)
	if err != nil {
		return nil, fmt.Errorf("%w (--data must be a folder that this user may write to)", err)
	}
	db, err := queue.OpenDB(ctx, filepath.Join(f.Data, "queue.db"))
	if err != nil {
		return nil, err
	}
	const wait = time.Second // a look at a local file is cheap
	return &Backend{
		Queue: queue.NewSQLite(db, "tasks", wait), Failed: queue.NewSQLite(db, "failed", wait),
		Recordings: dir, Store: dir, close: db.Close,
	}, nil
}

// longPoll is the longest that SQS lets a receiver wait. Of the failed queue, only
// operators receive: they want to know soon that it is empty.
const longPoll, shortPoll = 20 * time.Second, 2 * time.Second

func (f Flags) openAWS(ctx context.Context) (*Backend, error) {
	// A server that accepts a request and never answers must not hold us for ever;
	// a long poll is the longest that an answer may take.
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = longPoll + 10*time.Second
	})
	// Credentials that expire between two looks at the clock are fetched anew, and the
	// request signed again.
	retryer := func() aws.Retryer {
		return retry.AddWithErrorCodes(retry.NewStandard(), "ExpiredToken", "ExpiredTokenException", "RequestExpired")
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(client), awsconfig.WithRetryer(retryer),
		awsconfig.WithLogger(logging.Nop{})) // it writes to our log what we log ourselves
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	recordings, _, err := parseBucket(f.Recordings)
	if err != nil {
		return nil, err
	}
	store, prefix, err := parseBucket(f.Store)
	if err != nil {
		return nil, err
	}
	if err := usable(ctx, cfg); err != nil {
		return nil, err
	}
	from, to := blob.NewS3(cfg, recordings, ""), blob.NewS3(cfg, store, prefix)
	backend := &Backend{
		Queue: queue.NewSQS(cfg, f.Queue, longPoll), Failed: queue.NewSQS(cfg, f.Failed, shortPoll), Recordings: from, Store: to,
		Bucket: recordings, close: func() error { return nil },
	}
	if queue.IsPostgres(f.Queue) {
		db, err := queue.OpenPostgres(ctx, f.Queue)
		if err != nil {
			return nil, err
		}
		backend.Queue, backend.Failed, backend.close = queue.NewPostgres(db, "tasks", longPoll), queue.NewPostgres(db, "failed", shortPoll), db.Close
	}
	backend.checks = checks(backend.Queue, backend.Failed, from, to)
	return backend, nil
}

// Logger writes to a file ("stderr" is one) as json or for the console.
func Logger(format, file string) (*zap.Logger, error) {
	cfg := zap.NewProductionConfig()
	if format == "console" {
		cfg = zap.NewDevelopmentConfig()
		cfg.Level.SetLevel(zap.InfoLevel)
	}
	cfg.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00") // RFC 3339, for people
	cfg.Sampling = nil                                                                          // every outcome is one line
	cfg.DisableStacktrace, cfg.DisableCaller = true, true
	cfg.OutputPaths, cfg.ErrorOutputPaths = []string{file}, []string{"stderr"}
	log, err := cfg.Build()
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return log, nil
}

// ProcessName is a name that no other process has.
func ProcessName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}
