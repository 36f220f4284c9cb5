package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
	"afterlive.alt/pipeline"
)

type replayCommand struct {
	selection
	All     bool    `help:"All that have failed."`
	Profile string  `help:"Plan the recordings again, with this profile."`
	DryRun  bool    `help:"Only say what would be sent."`
	Rate    float64 `help:"At most so many tasks a second." placeholder:"N"`
}

// Run sends failed tasks to the workers again.
func (c *replayCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	if err := c.requireSelector(c.All); err != nil {
		return err
	}
	if c.Rate < 0 {
		return errors.New("--rate must not be negative")
	}
	pace := make(<-chan time.Time)
	if c.Rate > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / c.Rate))
		defer ticker.Stop()
		pace = ticker.C
	}
	return c.eachFailed(ctx, stdout, flags, "replayed", func(ctx context.Context, o operate.Operator, f operate.FailedTask) (said string, err error) {
		if c.Rate > 0 {
			select {
			case <-pace:
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		sent, err := o.Replay(ctx, f, c.Profile)
		for _, t := range sent {
			if c.Profile != "" {
				said += fmt.Sprintf("with profile %s it becomes job %s\n", c.Profile, t.JobID())
			}
		}
		return said, err
	}, c.DryRun)
}

type dropCommand struct {
	selection
	All    bool `help:"All that have failed."`
	DryRun bool `help:"Only say what would be dropped."`
}

// Run removes failed tasks from the failed queue. Recordings and results stay.
func (c *dropCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	if err := c.requireSelector(c.All); err != nil {
		return err
	}
	return c.eachFailed(ctx, stdout, flags, "dropped", func(ctx context.Context, o operate.Operator, f operate.FailedTask) (string, error) {
		return "", o.Drop(ctx, f)
	}, c.DryRun)
}

// eachFailed runs do for each failed task that the selection matches, several at a time, and prints what came of it.
func (s selection) eachFailed(ctx context.Context, stdout io.Writer, flags config.Flags, done string, do func(context.Context, operate.Operator, operate.FailedTask) (string, error), dry bool) error {
	return withBackend(ctx, flags, func(o operate.Operator, _ *config.Backend) error {
		var mu sync.Mutex
		count, failed, jobs := 0, 0, map[string]bool{}
		err := o.EachFailed(ctx, func(ctx context.Context, f operate.FailedTask) (bool, error) {
			if !s.matches(f) {
				return false, nil
			}
			var said string
			var err error
			if !dry {
				said, err = do(ctx, o, f)
			}
			if ctx.Err() != nil {
				return false, err
			}
			mu.Lock()
			defer mu.Unlock()
			became := map[bool]string{true: "would be " + done, false: done}[dry]
			count++
			jobs[f.Job] = !dry
			if err != nil { // it stays where it is, and keeps no other from being tried
				failed++
				became = fmt.Sprintf("cannot be %s: %v", done, err)
			}
			fmt.Fprintf(stdout, "%s%s %s %s (%s) %s\n", said, cmp.Or(f.Job, "-"), cmp.Or(f.Task, "-"), cmp.Or(f.Asset, "-"), f.Reason, became)
			return !dry && err == nil, nil
		})
		for id, touched := range jobs {
			if touched {
				err = errors.Join(err, o.Note(context.WithoutCancel(ctx), id)) // also if it was broken off
			}
		}
		fmt.Fprintf(stdout, "%d tasks\n", count-failed)
		switch {
		case failed > 0:
			return errors.Join(err, fmt.Errorf("%d of %d tasks cannot be %s", failed, count, done))
		case err == nil && count == 0 && len(s.Names) > 0:
			return errors.New("there is no such task in the failed queue")
		}
		return err
	})
}

type publishCommand struct {
	Job string `arg:"" help:"The job, as \"enqueue status ASSET\" lists them."`
}

// Run makes an asset one of its earlier jobs.
func (c *publishCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(o operate.Operator, backend *config.Backend) error {
		name, asset, err := pipeline.PublishAgain(ctx, backend.Store, c.Job)
		if err == nil {
			err = o.Forget(ctx, operate.FailedTask{Failure: job.Failure{Job: c.Job, Task: ladder.PublishTask}})
		}
		if err != nil {
			return fmt.Errorf("publish job %s: %w", c.Job, err)
		}
		_, err = fmt.Fprintf(stdout, "asset %s is job %s (%s) from now on: %s\n", name, c.Job, asset.Profile, playURL(name))
		return err
	})
}

type gcCommand struct {
	Since  time.Duration `help:"Of jobs that were planned in the last so many hours; 0: whenever." default:"720h" placeholder:"DURATION"`
	DryRun bool          `help:"Only say what would be removed."`
}

// Run removes the segments of finished jobs that no part names.
func (c *gcCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(o operate.Operator, backend *config.Backend) error {
		q := catalog.Query{Limit: 1000, Noted: true, States: []catalog.State{catalog.Published, catalog.Superseded, catalog.Failed, catalog.Dropped}}
		if c.Since > 0 {
			q.Since = time.Now().Add(-c.Since)
		}
		count := 0
		for {
			jobs, next, err := catalog.Page(ctx, backend.Store, q)
			if err != nil {
				return err
			}
			for _, s := range jobs {
				n, err := c.collect(ctx, stdout, o, backend, s.Job)
				if err != nil {
					return err
				}
				count += n
			}
			if q.After = next; next == "" {
				break
			}
		}
		if _, err := fmt.Fprintf(stdout, "%d segments that nothing names%s\n", count, map[bool]string{true: "", false: ", removed"}[c.DryRun]); err != nil || c.DryRun {
			return err
		}
		return forgetWorkers(ctx, backend)
	})
}

// forgetWorkers removes what workers have said of themselves long ago.
func forgetWorkers(ctx context.Context, backend *config.Backend) error {
	old, err := catalog.OldWorkers(ctx, backend.Store, time.Now())
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := backend.Store.Delete(ctx, key); err != nil {
			return fmt.Errorf("remove %s: %w", key, err)
		}
	}
	return nil
}

// collect removes the garbage of a job, and returns how many segments that was.
func (c *gcCommand) collect(ctx context.Context, stdout io.Writer, o operate.Operator, backend *config.Backend, id string) (int, error) {
	garbage, err := operate.Garbage(ctx, backend.Store, id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without a plan, there are no segments
		return 0, err
	}
	for _, key := range garbage {
		if !c.DryRun {
			if err := o.Store.Delete(ctx, key); err != nil {
				return 0, fmt.Errorf("remove segment: %w", err)
			}
		}
		fmt.Fprintln(stdout, key)
	}
	return len(garbage), nil
}

type inputCommand struct {
	Job  string `arg:"" help:"The job."`
	Task string `arg:"" help:"Which part: chunk-00003, or audio-00003 for its audio."`
}

// Run writes what ffmpeg is given of a recording to make a part.
func (c *inputCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(_ operate.Operator, backend *config.Backend) error {
		plan, err := ledger.Plan(ctx, backend.Store, c.Job)
		if err != nil {
			return err
		}
		cut, err := cutOf(ctx, backend.Store, plan, c.Task)
		if err != nil {
			return err
		}
		source, err := growing.Recordings{Store: backend.Recordings}.Read(ctx, plan.Recording.Key, plan.Recording.ETag, cut.From, cut.To)
		if err != nil {
			return err
		}
		_, err = io.Copy(stdout, cut.Reader(source))
		return errors.Join(err, source.Close())
	})
}

func cutOf(ctx context.Context, store pipeline.Store, plan *ladder.Plan, part string) (flv.Cut, error) {
	kind, number, _ := strings.Cut(part, "-")
	n, err := strconv.Atoi(number)
	if err != nil || part != ladder.ChunkPart(n) && part != ladder.AudioPart(n) {
		return flv.Cut{}, fmt.Errorf("a part is called like %s or %s, not %q", ladder.ChunkPart(3), ladder.AudioPart(3), part)
	}
	chunk, err := ledger.Chunk(ctx, store, plan.Job, n)
	if err != nil {
		return flv.Cut{}, fmt.Errorf("job %s has no %s: %w", plan.Job, part, err)
	}
	cut := chunk.Cut
	if kind == string(job.Audio) {
		cut = chunk.Audio
	}
	if cut.To == 0 {
		return cut, fmt.Errorf("%s of job %s is made without the recording: there is nothing of it at its time", part, plan.Job)
	}
	return cut, nil
}
