// Package pipeline turns a recording into published HLS, task by task. To follow
// one recording, read the files in this order:
//
//	worker.go   a slot: receive a message, hold it (lease.go), do the task,
//	            decide the message's fate (settle.go)
//	plan.go     a look at a recording (or its index.go) ─► plan.json
//	dispatch.go the chunks that are due, each as soon as its bytes are there, and a message for each
//	part.go     chunk ─► its sound (sound.go), its picture (encode.go) ─► verify.go
//	            ─► upload ─► the part
//	event.go    while the recording grows: the first parts ─► event playlists
//	publish.go  all parts ─► what they name is there (stored.go), and keeps the rules
//	            (rules.go) ─► playlists ─► pointer
//	quality.go  if wanted: published renditions against the recording ─► quality.json
//
// The store is the ledger, the queue is the scheduler. A task is done when its
// part exists. Everything that means something is one conditional write, so any
// task may run twice, anywhere, in any order.
package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"afterlive/internal/ffmpeg"
	"afterlive/internal/flv"
	"afterlive/internal/growing"
	"afterlive/internal/job"
	"afterlive/ladder"
)

// Sender puts messages on a queue; they can be received after delay.
type Sender interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// Batches also puts up to 10 messages on it at once. After an error some of them may be there.
type Batches interface {
	Sender
	SendAll(ctx context.Context, bodies [][]byte) error
}

// Queue is where tasks wait. Receive hands out at most one message and hides it
// from others for the lease; nil without an error means that none came. A poll
// under way when ctx is cancelled may end, and its message is handed out. A
// receipt is good for one delivery: Delete with an old one does nothing, Extend
// may return [job.ErrNotHeld].
type Queue interface {
	Sender
	Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error)
	Extend(ctx context.Context, receipt string, d time.Duration) error
	Delete(ctx context.Context, receipt string) error
}

// Recordings is where sources are. All methods return [fs.ErrNotExist] where
// there is no such object; Read also where it is no longer the version etag. Read
// delivers the bytes [from, to) and nothing less without an error; Load is for what is
// small.
type Recordings interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
	Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error)
}

// Store is the ledger, and where results go. Write is conditional on the version
// that the caller has seen (its ETag; "": none), and Upload on there being none:
// both return [fs.ErrExist] when somebody else was first. Load and Stat return
// [fs.ErrNotExist]. Objects are whole or absent.
type Store interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
	Write(ctx context.Context, key string, body []byte, etag string) error
	Upload(ctx context.Context, key, file string) error
	List(ctx context.Context, prefix string) ([]string, error)
}

// Pipeline does tasks. All fields are needed.
type Pipeline struct {
	Queue      Batches // for the tasks that a task leads to
	Recordings Recordings
	Bucket     string // that Recordings is; empty for a directory
	Store      Store
	Profiles   ladder.Profiles
	Limits     Limits
	FFmpeg     ffmpeg.Program
	Scratch    *ffmpeg.Scratch
	Worker     string // who we are, and where, for parts
	Host       ladder.Host
	Metrics    *Metrics
	Log        *zap.Logger
}

// Limits are what a recording may be, and what it may cost: a few bytes can claim
// a picture or a length that no worker could bear. Zero: anything.
type Limits struct {
	Pixels   int // of a picture
	Duration time.Duration
	Scratch  int64   // bytes that ffmpeg may have on disk for one task
	Slowness float64 // times its own length that ffmpeg may take over a task; and slowStart
}

// slowStart is what any task may take, however short: ffmpeg has to start, and read
// up to where the task begins.
const slowStart = 10 * time.Minute

// patience is ctx for as long as encoding a length of media may take.
func (l Limits) patience(ctx context.Context, length time.Duration) (context.Context, context.CancelFunc) {
	if l.Slowness == 0 {
		return ctx, func() {}
	}
	most := slowStart + time.Duration(l.Slowness*float64(length))
	return context.WithTimeoutCause(ctx, most, job.Transient("too_slow", fmt.Errorf("ffmpeg was not done with %s after %s", length, most)))
}

// check refuses what is beyond the limits.
func (l Limits) check(x *flv.Index) error {
	if x.Video != nil && l.Pixels > 0 {
		for _, f := range x.Video.Forms {
			if f.Width*f.Height > l.Pixels {
				return job.Permanent("too_large", fmt.Errorf("its picture is %s; at most %d pixels are allowed here (--max-pixels)", f.Size(), l.Pixels))
			}
		}
	}
	if l.Duration > 0 && x.Duration > l.Duration {
		return job.Permanent("too_long", fmt.Errorf("it lasts %s; at most %s is allowed here (--max-duration)", x.Duration, l.Duration))
	}
	return nil
}

// Do does one task. nil means that it is done, whoever did it. An error made with
// [permanent] is final; any other may pass.
func (p *Pipeline) Do(ctx context.Context, t job.Task, hold *Hold) error {
	if t.Kind == job.Recording {
		return p.look(ctx, t, hold)
	}
	plan, err := LoadPlan(ctx, p.Store, t.Job)
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
	case t.Kind == job.Audio && plan.SoundApart(), t.Kind == job.Chunk:
		err = p.part(ctx, plan, t, hold)
	case t.Kind == job.Quality && plan.Quality > 0:
		whole, err := LoadJob(ctx, p.Store, plan)
		if err != nil {
			return err
		}
		return p.measure(ctx, whole, hold)
	default:
		err = noSuchTask(t)
	}
	if err != nil {
		return err
	}
	return p.goOn(ctx, plan, hold)
}

func noSuchTask(t job.Task) error {
	return job.Permanent("no_such_task", fmt.Errorf("job %s has no %s", t.Job, t.Name()))
}

// part makes what a task of a chunk, or of its sound, is to make.
func (p *Pipeline) part(ctx context.Context, plan *ladder.Plan, t job.Task, hold *Hold) error {
	chunk, err := LoadChunk(ctx, p.Store, t.Job, t.Chunk)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuchTask(t)
	}
	if err != nil {
		return err
	}
	if t.Kind == job.Audio {
		return p.produceSound(ctx, plan, *chunk, hold)
	}
	return p.produce(ctx, plan, chunkWork(plan, *chunk, p.FFmpeg.Threads), hold)
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
		r, err := p.find(ctx, t)
		if err != nil || r == nil {
			return "", cmp.Or(err, fs.ErrNotExist)
		}
		id := func(version string) string {
			return job.ID(t.In(p.Bucket).Bucket, t.Key, version, cmp.Or(t.Profile, job.DefaultProfile))
		}
		if plan, err := LoadPlan(ctx, p.Store, id(r.ETag)); err == nil {
			if whole, err := LoadJob(ctx, p.Store, plan); err == nil && whole.Replan != "" {
				return ladder.EndKey(id(growing.Replanned(r.ETag))), nil
			}
		}
		return ladder.EndKey(id(r.ETag)), nil
	case job.Quality:
		plan, err := LoadPlan(ctx, p.Store, t.Job)
		if err != nil {
			return "", err
		}
		return plan.Key(ladder.QualityFile), nil
	}
	return ladder.PartKey(t.Job, t.Name()), nil
}

// LoadPlan reads a job's plan, if it is of no newer version than this program.
func LoadPlan(ctx context.Context, store Store, id string) (*ladder.Plan, error) {
	var plan ladder.Plan
	if _, err := loadJSON(ctx, store, ladder.PlanKey(id), &plan); err != nil {
		return nil, err
	}
	return &plan, nil
}

// LoadChunk reads a chunk of a job.
func LoadChunk(ctx context.Context, store Store, id string, n int) (*ladder.Chunk, error) {
	var chunk ladder.Chunk
	if _, err := loadJSON(ctx, store, ladder.ChunkKey(id, n), &chunk); err != nil {
		return nil, err
	}
	return &chunk, nil
}

// LoadJob reads how a plan's recording has ended. [fs.ErrNotExist]: it has not yet.
func LoadJob(ctx context.Context, store Store, plan *ladder.Plan) (*ladder.Job, error) {
	var end ladder.End
	if _, err := loadJSON(ctx, store, ladder.EndKey(plan.Job), &end); err != nil {
		return nil, err
	}
	return &ladder.Job{Plan: plan, End: &end}, nil
}

func loadJSON(ctx context.Context, store Store, key string, v any) (etag string, err error) {
	body, etag, err := store.Load(ctx, key)
	if err != nil {
		return "", fmt.Errorf("load %s: %w", key, err)
	}
	if err := understood(key, body, v); err != nil {
		return "", err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return etag, nil
}

// writeJSON stores v if key is still the version etag; won is false where
// somebody else was first.
func (p *Pipeline) writeJSON(ctx context.Context, key string, v any, etag string) (won bool, err error) {
	body, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	return p.write(ctx, key, body, etag)
}

func (p *Pipeline) write(ctx context.Context, key string, body []byte, etag string) (won bool, err error) {
	err = p.Store.Write(ctx, key, body, etag)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	return true, nil
}
