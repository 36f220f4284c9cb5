package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// The index. Its entries are empty objects, whose names say all, and which are written once. A list of keys begins with the
// newest job, as its time counts down.
//
//	index/jobs/<milliseconds down from the largest time>-<job>
//	index/assets/<hash of the asset's name>/<job>
const byTime, byAsset = "index/jobs/", "index/assets/"

func entry(at time.Time, id string) string {
	return fmt.Sprintf("%s%019d-%s", byTime, math.MaxInt64-at.UnixMilli(), id)
}

// entryOf reads the name of an entry.
func entryOf(key string) (at time.Time, id string) {
	var down int64
	number, id, _ := strings.Cut(strings.TrimPrefix(key, byTime), "-")
	if _, err := fmt.Sscanf(number, "%d", &down); err != nil {
		return at, id
	}
	return time.UnixMilli(math.MaxInt64 - down), id
}

func entriesOf(asset string) string {
	sum := sha256.Sum256([]byte(asset)) // a name may have any length, and slashes
	return byAsset + hex.EncodeToString(sum[:8]) + "/"
}

// note is what is kept with a job of how it stands.
type note struct {
	Version int      `json:"v"`
	Entry   string   `json:"entry"`   // its place in the index
	Changes []Change `json:"changes"` // the last ones
	Status
}

// Change is one of a job's state.
type Change struct {
	Number int       `json:"number"` // from 1 on
	To     State     `json:"to"`
	At     time.Time `json:"at"`
}

// changesKept is how many changes of a job are kept.
const changesKept = 50

// changed adds a change to those of a note.
func (n note) changed(to State, at time.Time) []Change {
	next := Change{Number: 1, To: to, At: at}
	if len(n.Changes) > 0 {
		next.Number = n.Changes[len(n.Changes)-1].Number + 1
	}
	all := append(slices.Clone(n.Changes), next)
	if len(all) > changesKept { // first one that nobody is told of
		i := max(0, slices.IndexFunc(all, func(c Change) bool { return !c.To.telling() || c.To == Waiting }))
		all = slices.Delete(all, i, i+1)
	}
	return all
}

const noteVersion = 1

// NoteKey is where a job's note is.
func NoteKey(id string) string { return ladder.JobPrefix(id) + "state.json" }

// Refresh looks how a job stands, and writes it down if that has changed. [fs.ErrNotExist]: there is nothing of it.
//
// The note is read before the look, and replaced only if it is still that: so the last one is as new as what led to it.
func Refresh(ctx context.Context, store ledger.Store, id string) (Status, error) {
	return refresh(ctx, store, id, true)
}

// refresh does that; tell: others may want to be told of it.
func refresh(ctx context.Context, store ledger.Store, id string, tell bool) (Status, error) {
	for {
		var last note
		etag, err := ledger.Load(ctx, store, NoteKey(id), &last)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Status{}, err
		}
		s, err := Look(ctx, store, id)
		if errors.Is(err, fs.ErrNotExist) && last.Job != "" && last.Planned.IsZero() { // it could not be planned, and that is tried again
			s, err = last.Status, nil
			s.State, s.Task, s.Reason, s.Detail = Working, "", "", ""
		}
		if err != nil || s.State == Removed && etag == "" {
			return s, err
		}
		changes := last.Changes
		if s.Since = last.Since; s.State != last.State {
			s.Since = time.Now().UTC()
			changes = last.changed(s.State, s.Since)
		}
		if etag == "" {
			if last.Entry, err = enter(ctx, store, s); err != nil {
				return s, err
			}
		}
		if reflect.DeepEqual(s, last.Status) {
			return s, nil
		}
		won, err := write(ctx, store, note{noteVersion, last.Entry, changes, s}, etag, tell && s.State != last.State)
		if err != nil || won {
			return s, err
		}
	}
}

// enter puts a job into the index.
func enter(ctx context.Context, store ledger.Store, s Status) (key string, err error) {
	at := s.Planned
	if at.IsZero() { // it could not be planned
		at = s.Since
	}
	key = entry(at, s.Job)
	for _, k := range []string{entriesOf(s.Asset) + s.Job, key} {
		if _, err := ledger.Put(ctx, store, k, []byte("{}\n"), ""); err != nil {
			return "", err
		}
	}
	return key, nil
}

// Entries are the keys of what the index has of a job: by its time, which is "" if its note is gone, and of its asset.
func Entries(ctx context.Context, store ledger.Store, s Status) (byTime, ofAsset string, err error) {
	var n note
	if _, err := ledger.Load(ctx, store, NoteKey(s.Job), &n); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	return n.Entry, entriesOf(s.Asset) + s.Job, nil
}

// RefreshOthers refreshes the other jobs of an asset, where they don't yet know which job the asset is by now.
func RefreshOthers(ctx context.Context, store ledger.Store, s Status) error {
	all, err := noted(ctx, store, s.Asset)
	faults := []error{err}
	for _, other := range all {
		if other.Job == s.Job || other.Published == s.Published {
			continue
		}
		if _, err := Refresh(ctx, store, other.Job); err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// looks is how many jobs are read at once.
const looks = 16

// Of are the jobs of an asset, the earliest planned first.
func Of(ctx context.Context, store ledger.Store, asset string) ([]Status, error) {
	all, err := noted(ctx, store, asset)
	if err != nil {
		return nil, err
	}
	all, err = fresh(ctx, store, all)
	slices.SortFunc(all, func(a, b Status) int { return a.Planned.Compare(b.Planned) })
	return all, err
}

// IDs are the jobs that the index has of an asset, whatever is left of them.
func IDs(ctx context.Context, store ledger.Store, asset string) (ids []string, err error) {
	keys, err := store.List(ctx, entriesOf(asset))
	if err != nil {
		return nil, fmt.Errorf("list jobs of %s: %w", asset, err)
	}
	for _, key := range keys {
		ids = append(ids, path.Base(key))
	}
	return ids, nil
}

// noted are the jobs of an asset, by their notes.
func noted(ctx context.Context, store ledger.Store, asset string) ([]Status, error) {
	ids, err := IDs(ctx, store, asset)
	if err != nil {
		return nil, err
	}
	all, err := notes(ctx, store, ids)
	var its []Status
	for _, n := range all {
		if n.Job != "" && n.Asset == asset {
			its = append(its, n.Status)
		}
	}
	return its, err
}

// Named are the jobs that a name means: that job, or those of an asset.
func Named(ctx context.Context, store ledger.Store, name string) ([]Status, error) {
	if job.IsID(name) {
		s, err := seen(ctx, store, name)
		if err == nil {
			return []Status{s}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return Of(ctx, store, strings.Trim(name, "/"))
}

// notes are those of jobs, in their order; empty where there is none.
func notes(ctx context.Context, store ledger.Store, ids []string) ([]note, error) {
	all := make([]note, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
	for i, id := range ids {
		group.Go(func() error {
			_, err := ledger.Load(ctx, store, NoteKey(id), &all[i])
			if errors.Is(err, fs.ErrNotExist) { // who wrote the entry died over it, or the job was removed
				return nil
			}
			return err
		})
	}
	return all, group.Wait()
}

// seen is how a job stands. Whoever looks may not be allowed to note it.
func seen(ctx context.Context, store ledger.Store, id string) (Status, error) {
	s, err := Refresh(ctx, store, id)
	if s.Job != "" {
		err = nil
	}
	return s, err
}

// fresh looks at those jobs anew that are not settled.
func fresh(ctx context.Context, store ledger.Store, all []Status) ([]Status, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
	for i, s := range all {
		if s.State.Settled() {
			continue
		}
		group.Go(func() (err error) {
			all[i], err = seen(ctx, store, s.Job)
			if errors.Is(err, fs.ErrNotExist) {
				all[i].Job, err = "", nil
			}
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(all, func(s Status) bool { return s.Job == "" }), err
}

// Pages is a store whose keys can be listed a page at a time.
type Pages interface {
	ledger.Store
	// ListFrom returns the first n keys of a prefix that come behind after, which is a key or "".
	ListFrom(ctx context.Context, prefix, after string, n int) ([]string, error)
}

// Query says which jobs a page is to have.
type Query struct {
	Since  time.Time // they were planned then, or later; zero: whenever
	Until  time.Time // they were planned before; zero: whenever
	Name   string    // is in their asset's name or title, in whatever case
	States []State   // none: in any state
	Limit  int       // at most so many
	After  string    // where the page before ended; "": the newest comes first
	Shown  bool      // viewers see it
	Noted  bool      // those at work, too, as they were noted last, and not looked at anew
}

// maxRead is how many jobs a page reads at most. Where hardly any are meant, it may be empty, and there are more.
const maxRead = 1000

// Page is a page of jobs, the newest first, and where the next one begins; "": that was all. It costs one request for each
// 1000 entries and one a job; and, of those at work, some more.
func Page(ctx context.Context, store Pages, q Query) (jobs []Status, next string, err error) {
	if next = q.After; next == "" && !q.Until.IsZero() {
		next = entry(q.Until, "~") // behind all of that moment
	}
	for read := 0; len(jobs) < q.Limit && read < maxRead; {
		n := max(q.Limit-len(jobs), looks)
		if q.Name != "" {
			n = max(n, 200) // most are others
		}
		keys, err := store.ListFrom(ctx, byTime, next, n)
		if err != nil {
			return nil, "", fmt.Errorf("list jobs: %w", err)
		}
		last := len(keys) < n
		for i, key := range keys {
			if at, _ := entryOf(key); at.Before(q.Since) {
				keys, last = keys[:i], true
				break
			}
		}
		read += len(keys)
		found, at, err := q.read(ctx, store, keys)
		if err != nil {
			return nil, "", err
		}
		if room := q.Limit - len(jobs); len(found) > room {
			jobs = append(jobs, found[:room]...)
			return jobs, keys[max(0, at[found[room].Job]-1)], nil
		}
		jobs = append(jobs, found...)
		if last {
			return jobs, "", nil
		}
		next = keys[len(keys)-1]
	}
	return jobs, next, nil
}

// read is how the jobs of entries stand that a query wants, and at which of the keys each is. Whoever dies between entry and note leaves
// an entry that is nobody's.
func (q Query) read(ctx context.Context, store ledger.Store, keys []string) (all []Status, at map[string]int, err error) {
	ids := make([]string, len(keys))
	for i, key := range keys {
		_, ids[i] = entryOf(key)
	}
	found, err := notes(ctx, store, ids)
	at = map[string]int{}
	for i, n := range found {
		if n.Entry == keys[i] {
			all = append(all, n.Status)
			at[n.Job] = i
		}
	}
	if err == nil && !q.Noted {
		all, err = fresh(ctx, store, all)
	}
	all = slices.DeleteFunc(all, func(s Status) bool {
		return q.Shown && s.Shown == "" || len(q.States) > 0 && !slices.Contains(q.States, s.State) || q.Name != "" && !strings.Contains(strings.ToLower(s.Asset+"\n"+s.Title), q.Name)
	})
	return all, at, err
}

// Reindex writes the note and the index's entries of each job of a store, and tells how many it has done.
func Reindex(ctx context.Context, store ledger.Store, done func(n, all int)) error {
	keys, err := store.List(ctx, "jobs/")
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	var ids []string
	for _, key := range keys {
		if parts := strings.Split(key, "/"); len(parts) > 2 {
			ids = append(ids, parts[1])
		}
	}
	ids = slices.Compact(ids)
	var faults []error
	for i, id := range ids {
		_, err := refresh(ctx, store, id, false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing but notes of what is no longer there
			faults = append(faults, fmt.Errorf("index job %s: %w", id, err))
		}
		done(i+1, len(ids))
	}
	return errors.Join(faults...)
}
