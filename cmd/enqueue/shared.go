package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/twin"
)

// shared is the recording of a stream that several origins record. One of them ships it at a time; the others look on, and go on with it where
// the first has a hole, or falls silent. See internal/growing/shared.go for what they tell each other by the store.
type shared struct {
	*stream

	member string // this file, among the others: its origin and its name
	live   bool   // nginx wrote the file when it was found
	key    string // of the recording; "": it isn't known yet
	mirror *growing.Mirror
	twin   *twin.Twin

	looked time.Time        // when the store was asked last
	news   time.Time        // when the recording went on last
	asked  time.Time        // since when others are asked to go on, as they tell; zero: they aren't
	since  time.Time        // since when nothing comes of a recording that another origin wanted to begin
	over   time.Time        // since when this file has ended, and there is nothing to do but to wait for the others
	ships  *growing.Shipper // nil: it is another origin's turn
	held   time.Time        // since when this one asks others to go on; zero: it doesn't
	skip   bool             // the next hole is passed over: no other origin can fill it
	done   bool             // the file isn't needed any more
}

const (
	grace      = 8 * time.Second  // that others have to go on
	notMine    = 3 * time.Second  // that one leaves to others which is to go on, and has a hole there itself
	lookEach   = time.Second      // between looks at what another origin ships
	nothingYet = 20 * time.Second // after which an origin that wanted to begin a recording is given up
	forgotten  = 90 * time.Second // of silence after which a recording is given up; workers have ended it by then
	tooMuch    = time.Second      // that a file may have, and the recording not, without being kept as a recording of its own
)

// due tells whether there is something to do.
func (h *shared) due() bool {
	switch {
	case h.ships == nil && h.key != "":
		return time.Since(h.looked) >= lookEach
	case !h.held.IsZero() || h.skip:
		return true
	}
	return h.pendingIsDue()
}

// silence is for how long the origin whose turn it is may ship nothing, before another one goes on.
func (h *shared) silence() time.Duration { return max(10*time.Second, 3*h.Every) }

// ship ships what has come, if it is this origin's turn; else it looks at what another origin has shipped.
func (h *shared) ship(ctx context.Context) error {
	if h.key == "" {
		if err := h.choose(ctx); err != nil || h.key == "" {
			return err
		}
	}
	if h.ships != nil {
		return h.write(ctx)
	}
	return h.lookOn(ctx)
}

// choose finds the recording that the origins of this stream ship, or begins it.
func (h *shared) choose(ctx context.Context) error {
	if noted, err := h.noted(); err != nil || noted != "" { // by an earlier process
		return errors.Join(err, h.join(noted))
	}
	own, err := h.ownKey(ctx)
	if err != nil {
		return err
	}
	current, state, err := growing.Current(ctx, h.backend.Recordings, own)
	switch {
	case err != nil:
		return err
	case state != nil && !state.Ended && (current == own || time.Since(lastSign(state)) < forgotten):
		return h.join(current)
	case current != "" && state == nil && current != own && h.waits():
		return nil
	}
	won, err := growing.Begin(ctx, h.backend.Recordings, own, current)
	if err != nil || !won {
		return err
	}
	if err := h.begin(ctx, own); err != nil {
		return errors.Join(err, h.forget())
	}
	return nil
}

// ownKey is the first name that no recording has yet: an earlier one of this file may have been ended by workers.
func (h *shared) ownKey(ctx context.Context) (string, error) {
	for n := 1; ; n++ {
		suffix := "-" + plain(h.Origin) // two origins may name their files alike
		if n > 1 {
			suffix += fmt.Sprint("-", n)
		}
		key := h.stream.key(suffix)
		if state, _, err := growing.Load(ctx, h.backend.Recordings, key); errors.Is(err, fs.ErrNotExist) || err == nil && !state.Ended && state.Writer() == h.member && len(state.Turns) == 1 {
			return key, nil
		} else if err != nil {
			return "", err
		}
	}
}

// lastSign is when origins have told something of a recording last, or until when they wait for a publisher.
func lastSign(s *growing.State) time.Time {
	if s.Waiting.After(s.Told) {
		return s.Waiting
	}
	return s.Told
}

// waits tells whether a recording may yet come that another origin wanted to begin.
func (h *shared) waits() bool {
	if h.since.IsZero() {
		h.since = time.Now()
	}
	return time.Since(h.since) < nothingYet
}

// join makes a copy of a recording, and notes which it is.
func (h *shared) join(key string) (err error) {
	if h.mirror, err = growing.NewMirror(h.backend.Recordings, key, h.spool.folder); err != nil {
		return err
	}
	h.twin = twin.New(h.mirror.File(), h.file)
	h.key, h.news, h.over, h.asked, h.held, h.skip = key, time.Now(), time.Time{}, time.Time{}, time.Time{}, false
	if err := h.note(); err != nil {
		return errors.Join(err, h.forget())
	}
	return nil
}

// begin makes the file's beginning that of a recording.
func (h *shared) begin(ctx context.Context, key string) error {
	if err := h.join(key); err != nil {
		return err
	}
	if err := h.twin.Begin(); err != nil {
		return err
	}
	if _, err := h.extend(); err != nil {
		return err
	}
	ships, err := h.mirror.Shipper(ctx, h.member, h.beginning(), h.announced())
	if err != nil {
		return err
	}
	h.ships, h.shipper = ships, ships
	h.log.Info("recording is begun for all origins", zap.String("key", key), zap.String("origin", h.Origin))
	return nil
}

// forget has the recording chosen anew.
func (h *shared) forget() error {
	err := h.close()
	h.key, h.mirror, h.twin, h.ships, h.shipper = "", nil, nil, nil, nil
	h.closing = false
	h.told, h.watched, h.toldWait, h.shipped = 0, time.Time{}, time.Time{}, time.Time{} // was of another one
	return errors.Join(err, h.unnote())
}
