package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"afterlive/internal/flv"
	"afterlive/internal/growing"
	"afterlive/internal/twin"
)

// shared is the recording of a stream that several origins record. One of them ships it at a time; the others look on, and go on with it where
// the first has a hole, or falls silent. See internal/growing/shared.go for what they tell each other by the store.
type shared struct {
	*stream

	origin  string
	live    bool   // nginx wrote the file when it was found
	key     string // of the recording; "": it isn't known yet
	mirror  *growing.Mirror
	twin    *twin.Twin
	looked  time.Time        // when the store was asked last
	news    time.Time        // when the recording went on last
	since   time.Time        // since when nothing comes of a recording that another origin wanted to begin
	ships   *growing.Shipper // nil: it is another origin's turn
	held    time.Time        // since when others are asked to go on; zero: they aren't
	skip    bool             // a hole is to be shipped, as nobody fills it
	done    bool             // the file isn't needed any more
	settled bool             // the recording has ended, and is one object
}

const (
	grace      = 8 * time.Second  // that others have to go on
	lookEach   = time.Second      // between looks at what another origin ships
	nothingYet = 20 * time.Second // after which an origin that wanted to begin a recording is given up
	tooMuch    = time.Second      // that a file may have, and the recording not, without being kept as a recording of its own
)

// due tells whether there is something to do.
func (h *shared) due() bool {
	switch {
	case h.ships == nil && h.key != "":
		return time.Since(h.looked) >= lookEach
	case !h.held.IsZero():
		return true
	}
	return h.pendingIsDue()
}

// silence is for how long the origin whose turn it is may ship nothing, before another one goes on.
func (h *shared) silence() time.Duration { return max(10*time.Second, 3*h.Every) }

// ship does what is to be done, whoever's turn it is.
func (h *shared) ship(ctx context.Context) error {
	if h.settled {
		return h.leave(ctx)
	}
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
	store, own := h.place.Recordings, h.stream.key("-"+plain(h.origin)) // two origins may name theirs alike
	current, state, err := growing.Current(ctx, store, own)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case state != nil && state.Ended && current == own && h.live:
		return h.apart(ctx, "it was ended")
	case state != nil && (!state.Ended || !h.live): // what was left by an earlier process may be part of one that has ended
		return h.join(current)
	case err == nil && state == nil && current != own && h.waits():
		return nil
	}
	won, err := growing.Begin(ctx, store, own, current)
	if err != nil || !won {
		return err
	}
	if err := h.join(own); err != nil {
		return err
	}
	if err := h.twin.Begin(); err != nil {
		return err
	}
	if err := h.append(ctx); err != nil {
		return err
	}
	h.ships, err = h.mirror.Shipper(ctx, h.origin, h.beginning(), h.announced())
	if errors.Is(err, growing.ErrAnother) {
		return h.apart(ctx, err.Error())
	}
	h.shipper = h.ships
	h.log.Info("recording is begun for all origins", zap.String("key", own), zap.String("origin", h.origin))
	return err
}

// waits tells whether a recording may yet come that another origin wanted to begin.
func (h *shared) waits() bool {
	if h.since.IsZero() {
		h.since = time.Now()
	}
	return time.Since(h.since) < nothingYet
}

// join makes a copy of a recording.
func (h *shared) join(key string) (err error) {
	if h.mirror == nil {
		if h.mirror, err = growing.NewMirror(h.place.Recordings, key, h.spool.folder); err != nil {
			return err
		}
	}
	h.twin = twin.New(h.mirror.File(), h.file)
	h.key, h.news = key, time.Now()
	return nil
}

// append puts what has come behind the copy, up to the first hole.
func (h *shared) append(ctx context.Context) error {
	if err := h.twin.Read(); err != nil {
		return h.unfit(ctx, err)
	}
	hole, err := h.twin.Append(h.skip)
	if err != nil {
		return err
	}
	if h.skip = false; !hole {
		return nil
	}
	return errHole
}

var errHole = errors.New("something is missing")

// write ships what has come.
func (h *shared) write(ctx context.Context) error {
	err := h.append(ctx)
	hole := errors.Is(err, errHole)
	if h.shared == nil { // it is kept apart
		return err
	}
	if err != nil && !hole {
		return errors.Join(err, h.standBack())
	}
	if err := h.bring(ctx, h.ships, false); err != nil {
		return h.taken(err)
	}
	h.mirror.Shipped(h.ships)
	if !hole && !h.ending {
		h.held = time.Time{}
		return nil
	}
	alone, err := h.alone(ctx)
	if err != nil || !alone {
		return h.taken(err)
	}
	if hole {
		h.log.Warn("what is missing here no other origin has", zap.String("key", h.key))
		h.skip, h.held = true, time.Time{}
		return h.write(ctx)
	}
	if err := h.bring(ctx, h.ships, true); err != nil {
		return h.taken(err)
	}
	h.mirror.Shipped(h.ships)
	return h.settle(ctx)
}

// alone asks others to go on, and tells whether there are none, or none that can.
func (h *shared) alone(ctx context.Context) (bool, error) {
	if err := h.ships.Refresh(ctx); err != nil {
		return false, err
	}
	state := h.ships.Shipped()
	h.mirror.Shipped(h.ships)
	if others := slices.DeleteFunc(slices.Clone(state.Origins), func(o string) bool { return o == h.origin }); len(others) == 0 {
		return true, nil
	}
	if h.held.IsZero() {
		h.held = time.Now()
	}
	if time.Since(h.held) > grace {
		return true, nil
	}
	return false, h.ships.Yield(ctx)
}

// taken is where another origin may have gone on.
func (h *shared) taken(err error) error {
	if !errors.Is(err, growing.ErrTaken) {
		return err
	}
	h.log.Info("another origin goes on with the recording", zap.String("key", h.key))
	return h.standBack()
}

// standBack drops what was not shipped, and looks on. If it is still this origin's turn, it takes that anew.
func (h *shared) standBack() error {
	h.ships, h.shipper, h.held, h.news = nil, nil, time.Time{}, time.Now()
	size, err := h.mirror.Cut()
	h.twin.Cut(size)
	return err
}

// lookOn takes in what another origin ships, and goes on with it where that has a hole, or falls silent.
func (h *shared) lookOn(ctx context.Context) error {
	h.looked = time.Now()
	news, err := h.mirror.Look(ctx)
	if err != nil {
		return err
	}
	if news {
		h.news = time.Now()
	}
	state := h.mirror.State()
	if err := h.twin.Read(); err != nil {
		return h.unfit(ctx, err)
	}
	info, err := h.file.Stat()
	if err != nil {
		return err
	}
	h.twin.Expect(info.ModTime().Add(-h.twin.Lasts()).Sub(state.Began))
	h.closing = h.closing || state.Closing || state.Ended
	switch {
	case h.twin.Unlike():
		return h.apart(ctx, "its pictures are not those of the recording that another origin ships under this name")
	case state.Ended && h.ending:
		return h.settle(ctx)
	case h.ending && (!h.twin.Aligned() || h.twin.Ahead() == 0):
		return h.leave(ctx)
	case !h.twin.Aligned() || state.Ended:
		return nil
	}
	if !slices.Contains(state.Origins, h.origin) {
		if err := growing.Join(ctx, h.place.Recordings, h.key, h.origin); err != nil {
			return err
		}
		h.log.Info("recording is the same as another origin's", zap.String("key", h.key))
	}
	if !h.mayTake(state) {
		return nil
	}
	return h.take(ctx)
}

// mayTake tells whether this origin is to go on.
func (h *shared) mayTake(state *growing.State) bool {
	if h.twin.Ahead() == 0 {
		return false
	}
	silent := time.Since(h.news)
	if !h.twin.Continues() { // others may
		return silent > 2*h.silence()
	}
	return state.Yields || !state.Waiting.IsZero() || silent > h.silence() || state.Writer() == h.origin
}

// take makes it this origin's turn.
func (h *shared) take(ctx context.Context) error {
	state := h.mirror.State()
	won, err := h.mirror.Take(ctx, h.origin, !state.Yields && state.Waiting.IsZero()) // it comes back by itself
	if err == nil && won {
		err = h.twin.Read()
	}
	if err != nil || !won || !h.twin.Aligned() { // by what the one before had stored, it may not be; see mayTake
		return errors.Join(err, h.standBack())
	}
	if h.ships, err = h.mirror.Shipper(ctx, h.origin, time.Time{}, ""); err != nil {
		return errors.Join(h.standBack(), h.taken(err))
	}
	h.shipper = h.ships
	h.log.Info("recording is gone on with, where another origin has a hole, or is gone", zap.String("key", h.key), zap.Int64("at", h.ships.Shipped().End))
	return h.write(ctx)
}

// settle makes one object of a recording that has ended, unless there is one.
func (h *shared) settle(ctx context.Context) error {
	state := h.mirror.State()
	if state.Object == "" {
		store := h.place.Recordings
		if err := store.Copy(ctx, h.key, h.mirror.File().Name()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		size, etag, err := store.Stat(ctx, h.key)
		if err == nil && size != state.End {
			err = fmt.Errorf("%s has %d bytes, the recording %d", h.key, size, state.End)
		}
		if err != nil {
			return err
		}
		if err := growing.Complete(ctx, store, h.key, etag); err != nil {
			return err
		}
	}
	h.settled = true
	return h.leave(ctx)
}

// leave ends what this origin has to do with the recording. Its file goes, unless it has what the recording has not.
func (h *shared) leave(ctx context.Context) error {
	if err := growing.Leave(ctx, h.place.Recordings, h.key, h.origin); err != nil {
		return err
	}
	lost, lasts, err := twin.Lacks(h.mirror.File(), h.file)
	if err != nil {
		return err
	}
	if lasts > tooMuch {
		return h.apart(ctx, fmt.Sprintf("it has %d frames (%s) that the recording of all origins has not", lost, lasts))
	}
	if err := os.Remove(h.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	h.done = true
	h.log.Info("recording of all origins has what this one has; the file is removed", zap.String("key", h.key), zap.Int("frames_lost", lost))
	return nil
}

// apart makes the file a recording of its own.
func (h *shared) apart(ctx context.Context, why string) error {
	h.log.Warn("recording is kept apart", zap.String("why", why), zap.String("from", h.key))
	if err := growing.Leave(ctx, h.place.Recordings, h.key, h.origin); err != nil {
		return err
	}
	h.shared, h.shipper = nil, nil
	return h.close()
}

// unfit keeps a file apart that is none of a recording; what it is, is found out there.
func (h *shared) unfit(ctx context.Context, err error) error {
	if _, refused := errors.AsType[*flv.Error](err); refused {
		return h.apart(ctx, err.Error())
	}
	return err
}

// close removes the copy.
func (h *shared) close() error {
	if h.mirror == nil {
		return nil
	}
	return h.mirror.Close()
}
