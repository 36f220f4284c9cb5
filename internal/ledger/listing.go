package ledger

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"afterlive/ladder"
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
	last := map[string]Note{}
	for _, key := range l.under(ladder.FailuresPrefix(l.job)) {
		var n Note
		if _, err := Load(ctx, store, key, &n); err != nil {
			return nil, err
		}
		if n.at().After(last[n.Task].at()) {
			last[n.Task] = n
		}
	}
	return last, nil
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

// Retries are those of tasks that have not been done since.
func (l Listing) Retries(ctx context.Context, store Store, done map[string]bool) (all []Retry, err error) {
	for _, key := range l.under(ladder.RetriesPrefix(l.job)) {
		if done[strings.TrimSuffix(path.Base(key), ".json")] {
			continue
		}
		var r Retry
		if _, err := Load(ctx, store, key, &r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}
