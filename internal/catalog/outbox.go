package catalog

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"time"

	"afterlive.alt/internal/ledger"
)

// Outbox is what the keys of jobs start with of which others may want to be told (internal/webhook).
const Outbox = "index/outbox/"

// Outgoing is what the outbox has of a job: nothing, but that its state has changed; or that it was removed.
type Outgoing struct {
	Removed *Status         `json:"removed,omitempty"` // as it stood
	At      time.Time       `json:"at,omitzero"`       // when it was removed
	Told    map[string]Told `json:"told,omitempty"`    // who was told of that
}

// History is how a job came to stand where it does. A job that was removed and is made again has another life, in which changes are counted anew.
type History struct {
	Life    string // by when the job was entered into the index
	Changes []Change
	Status  Status
}

// HistoryOf reads it.
func HistoryOf(ctx context.Context, store ledger.Store, id string) (History, error) {
	var n note
	_, err := ledger.Load(ctx, store, NoteKey(id), &n)
	at, _ := entryOf(n.Entry)
	return History{strconv.FormatInt(at.UnixMilli(), 36), n.Changes, n.Status}, err
}

// Mark puts a job into the outbox, if it isn't there.
func Mark(ctx context.Context, store ledger.Store, id string) error {
	_, err := ledger.Write(ctx, store, Outbox+id, Outgoing{}, "")
	return err
}

// telling tells whether others may want to be told that a job is in that state.
func (s State) telling() bool { return s == Live || s == Waiting || s == Published || s == Failed }

// write writes a note. Of a change, the outbox knows before it: who is killed in between leaves something to look for. Whoever looked in vain
// for longer than that takes may have taken it away, so it is put there again.
func write(ctx context.Context, store ledger.Store, n note, etag string, changed bool) (won bool, err error) {
	mark := func() error {
		if !changed || !n.State.telling() {
			return nil
		}
		return Mark(ctx, store, n.Job)
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

// Removing puts into the outbox that an asset is gone but for the place in its index of s, the job that was published.
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
	Life   string    `json:"life,omitempty"`
	Number int       `json:"number"`          // of the last change
	Tries  int       `json:"tries,omitempty"` // of the next one, that went wrong
	Next   time.Time `json:"next,omitzero"`   // when it is tried again
}
