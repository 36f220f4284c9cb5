package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// Worker is one of those that take tasks, by its own account. Nothing is decided by it.
//
// Stored as index/workers/<hour>/<name>.json: who died is no longer listed after an hour at the latest, and nobody has to remove it for that.
type Worker struct {
	Version int         `json:"v"`
	Name    string      `json:"name"`
	Host    ladder.Host `json:"host"`
	Program string      `json:"program"` // its version, and ffmpeg's
	Slots   int         `json:"slots"`
	Tasks   []Doing     `json:"tasks"` // that it does now

	Profiles []string `json:"profiles,omitempty"` // that it knows, beside auto

	Began time.Time `json:"began"`
	Seen  time.Time `json:"seen"`            // when this was written
	Why   string    `json:"why,omitempty"`   // it takes no task for now
	Ended bool      `json:"ended,omitempty"` // it was shut down
}

// Doing is a task that a worker does.
type Doing struct {
	Job   string    `json:"job,omitempty"`
	Task  string    `json:"task"`
	Since time.Time `json:"since"`
}

// Every is how often a worker writes how it is.
const Every = time.Minute

const (
	workersPrefix = "index/workers/"
	workerVersion = 1
	lateAfter     = 3 * Every // a worker that has written nothing for so long is gone, or cut off
)

func hourOf(at time.Time) string { return workersPrefix + at.UTC().Format("2006010215") + "/" }

// NoteWorker writes how a worker is.
func NoteWorker(ctx context.Context, store ledger.Store, w Worker) error {
	w.Version = workerVersion
	key := hourOf(w.Seen) + strings.ReplaceAll(w.Name, "/", "_") + ".json"
	_, etag, err := store.Load(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note worker %s: %w", w.Name, err)
	}
	_, err = ledger.Write(ctx, store, key, w, etag)
	return err
}

// Workers are those that have said lately how they are, by name.
func Workers(ctx context.Context, store ledger.Store, now time.Time) ([]Worker, error) {
	keys, err := store.List(ctx, hourOf(now))
	if err == nil && hourOf(now) != hourOf(now.Add(-lateAfter)) {
		var before []string
		before, err = store.List(ctx, hourOf(now.Add(-lateAfter)))
		keys = append(keys, before...)
	}
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	all := make([]Worker, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
	for i, key := range keys {
		group.Go(func() error {
			_, err := ledger.Load(ctx, store, key, &all[i])
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Worker) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return b.Seen.Compare(a.Seen)
	})
	all = slices.CompactFunc(all, func(a, b Worker) bool { return a.Name == b.Name }) // of two hours, the later one
	return slices.DeleteFunc(all, func(w Worker) bool { return w.Ended || now.Sub(w.Seen) > lateAfter }), nil
}

// OldWorkers are the keys of what workers have written before this hour and the last: nobody reads it any more.
func OldWorkers(ctx context.Context, store ledger.Store, now time.Time) ([]string, error) {
	keys, err := store.List(ctx, workersPrefix)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key >= hourOf(now.Add(-time.Hour)) }), nil
}

// ProfileUnknown says which profiles there are if every worker that was seen lately knows another; "": one knows it, or none can be asked.
func ProfileUnknown(ctx context.Context, store ledger.Store, now time.Time, profile string) (known string, err error) {
	if profile == "" || profile == job.DefaultProfile {
		return "", nil
	}
	workers, err := Workers(ctx, store, now)
	if err != nil {
		return "", err
	}
	var all []string
	for _, w := range workers {
		if len(w.Profiles) == 0 || slices.Contains(w.Profiles, profile) { // an older one does not say
			return "", nil
		}
		all = append(all, w.Profiles...)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", "), nil
}
