package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
	"afterlive.alt/pipeline"
)

// withBackend opens the backend and runs f.
func withBackend(ctx context.Context, flags config.Flags, f func(operate.Operator, *config.Backend) error) error {
	backend, err := flags.Open(ctx)
	if err != nil {
		return err
	}
	err = f(operate.Operator{Failed: backend.Failed, Work: backend.Queue, Bucket: backend.Bucket, Store: backend.Store}, backend)
	return errors.Join(err, backend.Close())
}

// selection says which failed tasks are meant.
type selection struct {
	Names  []string `arg:"" optional:"" name:"job" help:"Jobs or assets."`
	Reason string   `help:"Those that failed for this reason."`
}

func (s selection) matches(f operate.FailedTask) bool {
	named := len(s.Names) == 0 || slices.ContainsFunc(s.Names, f.Matches)
	return named && (s.Reason == "" || s.Reason == f.Reason)
}

// requireSelector is an error where nothing says that all of them are meant.
func (s selection) requireSelector(all bool) error {
	if len(s.Names) == 0 && s.Reason == "" && !all {
		return errors.New("say which: jobs or assets, --reason or --all")
	}
	return nil
}

type failedCommand struct {
	selection
	JSON bool `name:"json" help:"One JSON object a task."`
}

// Run lists failed tasks, and tells all about those that are named.
func (c *failedCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(o operate.Operator, backend *config.Backend) error {
		var mu sync.Mutex
		var found []operate.FailedTask
		err := o.EachFailed(ctx, func(_ context.Context, f operate.FailedTask) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if c.matches(f) {
				found = append(found, f)
			}
			return false, nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(found, func(a, b operate.FailedTask) int {
			return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Job+a.Task, b.Job+b.Task))
		})
		switch {
		case c.JSON:
			encoder := json.NewEncoder(stdout)
			for _, f := range found {
				if err := encoder.Encode(f); err != nil {
					return err
				}
			}
			return nil
		case len(c.Names) > 0:
			return describeFailed(ctx, stdout, backend, found, flags.Args())
		}
		return list(stdout, found, c.Reason)
	})
}

func list(stdout io.Writer, found []operate.FailedTask, reason string) error {
	if len(found) == 0 && reason != "" {
		_, err := fmt.Fprintf(stdout, "no task has failed for the reason %q\n", reason)
		return err
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(stdout, "no task has failed")
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "JOB\tTASK\tCLASS\tREASON\tWHEN\tASSET")
	for _, f := range found {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(f.Job, "-"), cmp.Or(f.Task, "-"), f.Class, f.Reason, when(f), cmp.Or(f.Asset, "-"))
	}
	fmt.Fprintf(table, "\n%d failed; "+job.CLI+" failed JOB tells more, "+job.CLI+" replay JOB tries again, "+job.CLI+" drop JOB gives up\n", len(found))
	return table.Flush()
}

// when a task failed: a queue's own redrive policy doesn't say.
func when(f operate.FailedTask) string {
	if f.Time.IsZero() {
		return "-"
	}
	return f.Time.Local().Format(time.DateTime)
}

// describeFailed says all that is known of failed tasks, and how to see it happen.
func describeFailed(ctx context.Context, stdout io.Writer, backend *config.Backend, found []operate.FailedTask, at string) error {
	if len(found) == 0 {
		return errors.New("there is no such task in the failed queue")
	}
	for _, f := range found {
		describe(stdout, f)
		if plan, err := ledger.Plan(ctx, backend.Store, f.Job); err == nil {
			reproduce(ctx, stdout, backend.Store, plan, f, at)
		}
		if _, err := fmt.Fprintf(stdout, "to try again: "+job.CLI+" replay %s%s\n\n", f.Job, at); err != nil {
			return err
		}
	}
	return nil
}

func describe(stdout io.Writer, f operate.FailedTask) {
	for _, line := range [][2]string{
		{"job", f.Job},
		{"task", f.Task},
		{"asset", f.Asset},
		{"recording", strings.TrimSpace(f.Source + " " + f.ETag)},
		{"class", f.Class},
		{"reason", f.Reason},
		{"failed", when(f) + ", by " + cmp.Or(f.Worker, "no worker")},
		{"program", f.Program},
		{"message", string(f.Message)},
	} {
		if line[1] != "" {
			fmt.Fprintf(stdout, "%-10s%s\n", line[0], line[1])
		}
	}
	fmt.Fprintf(stdout, "\n%s\n", f.Detail)
	if f.Log != "" {
		fmt.Fprintf(stdout, "\nthe last that ffmpeg said:\n  %s\n", strings.ReplaceAll(f.Log, "\n", "\n  "))
	}
	fmt.Fprintf(stdout, "\n%s\n\n", advice(f))
}

// advice is what to do about a failure, in this program's words: the worker that gave the task
// up may be older.
func advice(f operate.FailedTask) string {
	text := cmp.Or(job.Advice(f.Reason), f.Advice)
	if f.Job == "" {
		return text
	}
	return strings.NewReplacer("JOB", f.Job, "ASSET", f.Asset).Replace(text)
}

func reproduce(ctx context.Context, stdout io.Writer, store pipeline.Store, plan *ladder.Plan, f operate.FailedTask, at string) {
	if f.Task == ladder.PublishTask { // the part is there
		return
	}
	for _, t := range f.Tasks {
		c, err := ledger.Chunk(ctx, store, f.Job, t.Chunk)
		if err != nil {
			continue
		}
		if t.Kind == job.Chunk && len(plan.Ladders) > 0 {
			reproduceWith(stdout, plan.ChunkArgs(*c, 0), f.Job, ladder.ChunkPart(t.Chunk), at)
		}
		if (t.Kind == job.Chunk || t.Kind == job.Audio) && c.Audio.To > 0 { // what can go wrong is to decode it
			reproduceWith(stdout, plan.DecodeArgs(c.Audio), f.Job, ladder.AudioPart(t.Chunk), at)
		}
	}
}

func reproduceWith(stdout io.Writer, args []string, id, part, at string) {
	fmt.Fprintf(stdout, "to reproduce, in an empty folder:\n  "+job.CLI+" input %s %s%s >input.flv\n", id, part, at)
	if folders := ladder.Folders(args); len(folders) > 0 {
		fmt.Fprintln(stdout, "  mkdir -p", strings.Join(folders, " "))
	}
	fmt.Fprint(stdout, "  ffmpeg")
	for _, a := range args {
		if strings.ContainsAny(a, " ;[]()'*&|") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		fmt.Fprint(stdout, " "+a)
	}
	fmt.Fprint(stdout, " <input.flv\n\n")
}
