// Package pipeline turns a recording into published HLS, task by task. To follow
// one recording, read the files in this order:
//
//	plan.go     the recording is scanned, or its stored index is read (index.go) ─► plan.json
//	dispatch.go the chunks that are due, each as soon as its bytes are there, and a message for each
//	part.go     chunk ─► its video (encode.go), its audio (audio.go) ─► verified segments (internal/segment)
//	            ─► upload ─► the part
//	event.go    while the recording grows: the first parts ─► event playlists
//	publish.go  all parts ─► what they name is there (stored.go), and keeps the rules
//	            (rules.go) ─► playlists ─► asset.json, the pointer to the job that viewers get
//	latest.go   the asset becomes its stream's latest
//	clip.go     a part of a published job ─► a job of its own
//	notes.go    what people are told of it: failures, retries, how it stands
//	quality.go  if wanted: published renditions against the recording ─► quality.json
//
// Messages come and go in internal/worker, documents are read and written in internal/ledger.
//
// The documents in the store say what is done, the queue only what is to be done next. A task is done when its
// part exists. Everything that means something is one conditional write, so any
// task may run twice, anywhere, in any order.
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/trace"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// Queue takes the tasks that a task leads to: one, or up to 10 at once. After an error some of them may be there.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
	SendAll(ctx context.Context, bodies [][]byte) error
}

// Recordings is where sources are. All methods return [fs.ErrNotExist] where
// there is no such object; Read also where it is no longer the version etag. Read
// delivers the bytes [from, to) and nothing less without an error; Load is for what is
// small.
type Recordings interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
	Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error)
	Write(ctx context.Context, key string, body []byte, etag string) error // of what says that a recording has ended
}

// Store is the ledger, and where results go. Upload is conditional on there being none, and
// returns [fs.ErrExist] when somebody else was first; Stat returns [fs.ErrNotExist].
type Store interface {
	ledger.Store
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Upload(ctx context.Context, key, file string) error
}

// Pipeline does tasks. All exported fields but Tracer are needed.
type Pipeline struct {
	Queue      Queue
	Recordings Recordings
	Bucket     string // that Recordings is; empty for a directory
	Store      Store
	Profiles   ladder.Profiles
	Limits     Limits
	FFmpeg     ffmpeg.Program
	Scratch    *ffmpeg.Scratch
	Abandon    time.Duration // after which a recording ends of which nothing comes any more; 0: never
	Worker     string        // who we are, and where, for parts
	Host       ladder.Host
	Metrics    *Metrics
	Tracer     *trace.Tracer // may be nil
	Log        *zap.Logger

	inits inits
}

// Do does one task. nil means that it is done, whoever did it. An error made with
// [job.Permanent] is final; any other may pass.
func (p *Pipeline) Do(ctx context.Context, t job.Task, lease *worker.Lease) error {
	if t.Kind == job.Recording {
		return p.watch(ctx, t, lease)
	}
	plan, err := ledger.Plan(ctx, p.Store, t.Job)
	if errors.Is(err, fs.ErrNotExist) {
		return job.Transient("no_plan", err) // rarer than a worker that looks in the wrong store
	}
	if err != nil {
		return err
	}
	if plan.Version < ladder.PlanOldest {
		return job.Permanent("old_plan", fmt.Errorf("the plan of job %s has version %d, this worker takes those from %d on", t.Job, plan.Version, ladder.PlanOldest))
	}
	switch {
	case t.Kind == job.Audio && plan.AudioApart(), t.Kind == job.Chunk:
		err = p.part(ctx, plan, t, lease)
	case t.Kind == job.Quality && plan.Quality > 0:
		whole, err := ledger.Job(ctx, p.Store, plan)
		if err != nil {
			return err
		}
		return p.measure(ctx, whole, lease)
	default:
		err = noSuchTask(t)
	}
	if err != nil {
		return err
	}
	if err := p.goOn(ctx, plan, lease); err != nil {
		return err
	}
	if t.Chunk%partsANote == partsANote-1 {
		p.note(ctx, plan.Job)
	}
	return nil
}

// partsANote is after how many parts it is noted how far their job is.
const partsANote = 10

func noSuchTask(t job.Task) error {
	return job.Permanent("no_such_task", fmt.Errorf("job %s has no %s", t.Job, t.Name()))
}

// part makes what a task of a chunk, or of its audio, is to make.
func (p *Pipeline) part(ctx context.Context, plan *ladder.Plan, t job.Task, lease *worker.Lease) error {
	chunk, err := ledger.Chunk(ctx, p.Store, t.Job, t.Chunk)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuchTask(t)
	}
	if err != nil {
		return err
	}
	if t.Kind == job.Audio {
		return p.produceAudio(ctx, plan, *chunk, lease)
	}
	return p.produce(ctx, plan, chunkWork(plan, *chunk, p.FFmpeg.Threads), lease)
}

// Done tells whether what a task makes exists: a part, all chunks of a recording (to send
// messages has killed nobody yet), what was measured.
func (p *Pipeline) Done(ctx context.Context, t job.Task) (bool, error) {
	key, err := p.result(ctx, t)
	if err == nil {
		_, _, err = p.Store.Load(ctx, key)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return false, nil
	}
	return err == nil, err
}

// result is the key of what a task makes.
func (p *Pipeline) result(ctx context.Context, t job.Task) (string, error) {
	switch t.Kind {
	case job.Recording:
		t, err := p.wished(ctx, t)
		if err != nil {
			return "", err
		}
		r, err := p.find(ctx, t)
		if err != nil || r == nil {
			return "", cmp.Or(err, fs.ErrNotExist)
		}
		t = t.In(p.Bucket)
		if plan, err := ledger.Plan(ctx, p.Store, t.JobOf(r.ETag)); err == nil {
			if whole, err := ledger.Job(ctx, p.Store, plan); err == nil && whole.Replan != "" {
				return ladder.EndKey(t.JobOf(growing.Replanned(r.ETag))), nil
			}
		}
		return ladder.EndKey(t.JobOf(r.ETag)), nil
	case job.Quality:
		plan, err := ledger.Plan(ctx, p.Store, t.Job)
		if err != nil {
			return "", err
		}
		return plan.Key(ladder.QualityFile), nil
	}
	return ladder.PartKey(t.Job, t.Name()), nil
}
