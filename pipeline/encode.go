package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

const collectEvery = time.Second / 4

// usage is what an encoder used.
type usage struct {
	cpu  time.Duration
	read int64 // bytes of the recording
	lost ladder.Lost
	log  string
}

// blame adds ffmpeg's last words to a fault that has none: it ended well, or was ended.
func (u usage) blame(err error) error {
	if e, ok := errors.AsType[*job.TaskError](err); ok && e.Log == "" {
		e.Log = u.log
	}
	return err
}

// encode feeds the part's bytes of the recording to ffmpeg, and carries off what
// is finished while it works: the scratch holds a few segments, however long the
// part.
//
// Where video and audio lie together in the recording, as they mostly do, the audio is extracted on the way.
func (p *Pipeline) encode(ctx context.Context, log *zap.Logger, plan *ladder.Plan, w work, folder, attempt string, audio *flv.AudioSidecar, lease *worker.Lease) (used usage, err error) {
	if w.args == nil {
		return used, nil
	}
	if err := w.makeFolders(folder); err != nil {
		return used, err
	}
	var read atomic.Int64
	source, input, err := p.input(ctx, plan, w.chunk, audio, &read)
	if err != nil {
		return used, err
	}
	defer source.Close()
	ctx, enough := p.Limits.patience(ctx, w.length)
	defer enough()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { _ = source.Close() })() // a read that hangs would keep ffmpeg's end from being seen
	ended := make(chan error, 1)
	go func() {
		ran, err := p.FFmpeg.Run(ctx, folder, w.args, input, w.follow(log, plan, lease))
		used.cpu, used.log = ran.CPU, ran.Log
		// ffmpeg hides well what it could not decode: it repeats other frames.
		used.lost.Frames = max(0, plan.Source.Video.Shown(input.FrameCount())-ran.Frames)
		if err == nil {
			err = input.Rest()
		}
		ended <- err
	}()
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			used.read = read.Load()
			return used, err
		case <-tick.C:
			err := p.collect(ctx, plan, w.outputs, attempt, false)
			if err == nil {
				err = p.Limits.room(folder)
			}
			if err != nil {
				cancel(err)
				if earlier := <-ended; earlier != nil {
					return used, earlier // err as the cause, or what ffmpeg had ended with
				}
				return used, err
			}
		}
	}
}

// makeFolders makes those that ffmpeg writes to.
func (w work) makeFolders(root string) error {
	for _, o := range w.outputs {
		o.Folder = filepath.Join(root, o.Track.Ladder, o.Track.Rendition)
	}
	for _, folder := range ladder.Folders(w.args) {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return fmt.Errorf("make scratch: %w", err)
		}
	}
	return nil
}

// input is what ffmpeg is given of a chunk's frames, and where that comes from; read counts
// its bytes.
func (p *Pipeline) input(ctx context.Context, plan *ladder.Plan, c *ladder.Chunk, audio *flv.AudioSidecar, read *atomic.Int64) (io.ReadCloser, *flv.Reader, error) {
	from, likely, to, together := c.Cut.Span(c.Audio)
	if audio == nil || !together {
		from, likely, to, together = c.Cut.From, c.Cut.Likely(), c.Cut.To, false
	}
	source, err := p.readRange(ctx, plan, from, likely, to, read)
	if err != nil {
		return nil, nil, err
	}
	if together {
		return source, c.Cut.ReaderBeside(source, audio), nil
	}
	return source, c.Cut.Reader(source), nil
}

// readCut reads a video cut.
func (p *Pipeline) readCut(ctx context.Context, plan *ladder.Plan, cut flv.Cut, read *atomic.Int64) (io.ReadCloser, error) {
	return p.readRange(ctx, plan, cut.From, cut.Likely(), cut.To, read)
}

// readRange reads the bytes [from, to) of the version that was planned, those behind
// likely only if they are asked for.
func (p *Pipeline) readRange(ctx context.Context, plan *ladder.Plan, from, likely, to int64, read *atomic.Int64) (io.ReadCloser, error) {
	open := func(from, to int64) (io.ReadCloser, error) {
		source, err := p.Recordings.Read(ctx, plan.Recording.Key, plan.Recording.ETag, from, to)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, job.Permanent("no_recording", err)
		}
		return source, err
	}
	source, err := open(from, likely)
	if err != nil {
		return nil, err
	}
	if likely < to {
		source = &continued{now: source, more: func() (io.ReadCloser, error) { return open(likely, to) }}
	}
	return p.counted(source, read), nil
}

// continued is a reader that asks for more only if somebody reads on: what a store has
// begun to send is on its way, and paid for. It may be closed while it is read.
type continued struct {
	more func() (io.ReadCloser, error)

	mu     sync.Mutex // of what follows
	now    io.ReadCloser
	closed bool
}

func (c *continued) Read(b []byte) (int, error) {
	c.mu.Lock()
	now := c.now
	c.mu.Unlock()
	n, err := now.Read(b)
	if n > 0 || !errors.Is(err, io.EOF) || c.more == nil {
		return n, err
	}
	rest, err := c.more()
	if err != nil {
		return 0, err
	}
	c.more = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, errors.Join(fs.ErrClosed, rest.Close())
	}
	err = c.now.Close()
	c.now = rest
	return 0, err
}

func (c *continued) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.now.Close()
}

func (p *Pipeline) counted(r io.ReadCloser, own *atomic.Int64) io.ReadCloser {
	return counted{ffmpeg.Attentive{ReadCloser: r}, own, p.Metrics.bytes.WithLabelValues("read")}
}

// counted counts the bytes that are read.
type counted struct {
	io.ReadCloser

	own   *atomic.Int64 // of one task
	bytes prometheus.Counter
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.own.Add(int64(n))
	c.bytes.Add(float64(n))
	return n, err
}

const logEvery = 10 * time.Second

// follow logs how far an encoder is, now and then, and says when it will be done.
func (w work) follow(log *zap.Logger, plan *ladder.Plan, lease *worker.Lease) func(ffmpeg.Progress) {
	began := time.Now()
	last := began
	return func(p ffmpeg.Progress) {
		done := plan.Rate.Time(p.Frame)
		if done <= 0 {
			return
		}
		left := time.Duration(float64(time.Since(began)) * float64(w.length-done) / float64(done))
		lease.Expect(max(0, left) + collectEvery)
		if time.Since(last) >= logEvery {
			last = time.Now()
			log.Info("encoding", zap.Duration("done", done), zap.Duration("of", w.length), zap.Duration("left", left), zap.String("speed", p.Speed))
		}
	}
}
