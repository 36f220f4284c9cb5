package catalog

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"afterlive/internal/ledger"
)

// Outbox is what the keys of jobs start with of which others may want to be told (internal/webhook).
const Outbox = "index/outbox/"

// Outgoing is what the outbox has of a job: nothing, but that its state has changed; or that it was removed.
type Outgoing struct {
	Removed *Status         `json:"removed,omitempty"` // as it stood
	At      time.Time       `json:"at,omitzero"`       // when it was removed
	Told    map[string]Told `json:"told,omitempty"`    // who was told of that
}

// Changes are the last changes of a job's state, and how it stands.
func Changes(ctx context.Context, store ledger.Store, id string) ([]Change, Status, error) {
	var n note
	_, err := ledger.Load(ctx, store, NoteKey(id), &n)
	return n.Changes, n.Status, err
}

// write writes a note. Of a change, the outbox knows before it: who is killed in between leaves something to look for. Whoever looked in vain
// for longer than that takes may have taken it away, so it is put there again.
func write(ctx context.Context, store ledger.Store, n note, etag string, changed bool) (won bool, err error) {
	mark := func() error {
		if !changed || n.State != Live && n.State != Published && n.State != Failed {
			return nil
		}
		_, err := ledger.Write(ctx, store, Outbox+n.Job, Outgoing{}, "")
		return err
	}
	if err := mark(); err != nil {
		return false, err
	}
	won, err = ledger.Write(ctx, store, NoteKey(n.Job), n, etag)
	if err == nil && won {
		err = mark()
	}
	return won, err
}

// Removing puts into the outbox that a job is gone but for its place in the index of its asset.
func Removing(ctx context.Context, store ledger.Store, s Status) error {
	for {
		var out Outgoing
		etag, err := ledger.Load(ctx, store, Outbox+s.Job, &out)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || out.Removed != nil {
			return err
		}
		won, err := ledger.Write(ctx, store, Outbox+s.Job, Outgoing{Removed: &s, At: time.Now().UTC()}, etag)
		if err != nil || won {
			return err
		}
	}
}

// Told is how far somebody was told of a job.
type Told struct {
	Number int       `json:"number"`          // of the last change
	Tries  int       `json:"tries,omitempty"` // of the next one, that went wrong
	Next   time.Time `json:"next,omitzero"`   // when it is tried again
	Fault  string    `json:"fault,omitempty"`
}
