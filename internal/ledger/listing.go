package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/ladder"
)

// Listing is what the store's list has of a job. It may lag behind.
type Listing struct {
	job  string
	keys []string // sorted
}

// Listed lists all documents of a job.
func Listed(ctx context.Context, store Store, id string) (Listing, error) {
	keys, err := store.List(ctx, ladder.JobPrefix(id))
	if err != nil {
		return Listing{}, fmt.Errorf("list job %s: %w", id, err)
	}
	return Listing{id, keys}, nil
}

// Has tells whether a document is there.
func (l Listing) Has(key string) bool {
	_, found := slices.BinarySearch(l.keys, key)
	return found
}

// under are the keys with a prefix.
func (l Listing) under(prefix string) (keys []string) {
	for _, key := range l.keys {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Done names the parts that exist.
func (l Listing) Done() map[string]bool {
	done := map[string]bool{}
	for _, key := range l.under(ladder.PartsPrefix(l.job)) {
		done[strings.TrimSuffix(path.Base(key), ".json")] = true
	}
	return done
}

// Claims are the keys of who makes, or made, which part.
func (l Listing) Claims() []string { return l.under(ladder.ClaimsPrefix(l.job)) }

// Notes are the last note of each of the job's tasks that were given up.
func (l Listing) Notes(ctx context.Context, store Store) (map[string]Note, error) {
	all, err := loadAll[Note](ctx, store, l.under(ladder.FailuresPrefix(l.job)))
	last := map[string]Note{}
	for _, n := range all {
		if n.Task != "" && n.at().After(last[n.Task].at()) {
			last[n.Task] = n
		}
	}
	return last, err
}

// loadAll reads documents, several at once. One that was removed since it was listed is left as it is.
func loadAll[T any](ctx context.Context, store Store, keys []string) ([]T, error) {
	all := make([]T, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, key := range keys {
		group.Go(func() error {
			_, err := Load(ctx, store, key, &all[i])
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
	}
	return all, group.Wait()
}

// Retry is how a task failed last that will be tried again.
type Retry struct {
	Task   string    `json:"task"`
	Reason string    `json:"reason"`
	Detail string    `json:"detail"`
	Worker string    `json:"worker"`
	Times  int       `json:"times"` // that it has failed
	Next   time.Time `json:"next"`  // when it is tried again
}

// current is how long behind the time for which a retry was announced it is still told of: somebody is at it, or nobody has come to it.
const current = 2 * time.Minute

// Current tells whether it is to be told of.
func (r Retry) Current() bool { return time.Since(r.Next) < current }

// Retries are those of tasks that have not been done since.
func (l Listing) Retries(ctx context.Context, store Store, done map[string]bool) (all []Retry, err error) {
	keys := slices.DeleteFunc(l.under(ladder.RetriesPrefix(l.job)), func(key string) bool { return done[strings.TrimSuffix(path.Base(key), ".json")] })
	all, err = loadAll[Retry](ctx, store, keys)
	return slices.DeleteFunc(all, func(r Retry) bool { return r.Task == "" || !r.Current() }), err
}
