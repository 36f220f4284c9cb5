package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	skip   bool             // a hole is to be shipped, as nobody fills it
	done   bool             // the file isn't needed any more
}

const (
	grace      = 8 * time.Second  // that others have to go on
	notMine    = 3 * time.Second  // that one leaves to others which is to go on, and has a hole there itself
	lookEach   = time.Second      // between looks at what another origin ships
	nothingYet = 20 * time.Second // after which an origin that wanted to begin a recording is given up
	forgotten  = 90 * time.Second // of silence after which nobody goes on with a recording any more: by then, workers have ended it
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
	current, state, err := growing.Current(ctx, h.place.Recordings, own)
	switch {
	case err != nil:
		return err
	case state != nil && !state.Ended && time.Since(lastSign(state)) < forgotten:
		return h.join(current)
	case current != "" && state == nil && current != own && h.waits():
		return nil
	}
	won, err := growing.Begin(ctx, h.place.Recordings, own, current)
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
		if state, _, err := growing.Load(ctx, h.place.Recordings, key); errors.Is(err, fs.ErrNotExist) || err == nil && !state.Ended && state.Writer() == h.member {
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
	if h.mirror, err = growing.NewMirror(h.place.Recordings, key, h.spool.folder); err != nil {
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
	if _, err := h.append(); err != nil {
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
	h.told, h.watched, h.toldWait, h.shipped = 0, time.Time{}, time.Time{}, time.Time{} // was of another one
	return errors.Join(err, h.unnote())
}

// append puts what has come behind the copy, up to the first hole.
func (h *shared) append() (hole bool, err error) {
	if err := h.read(); err != nil {
		return false, err
	}
	hole, err = h.twin.Append(h.skip)
	h.skip = false
	return hole, err
}

// read takes in what has come of the file, and of the copy.
func (h *shared) read() error {
	info, err := h.file.Stat()
	if err != nil {
		return err
	}
	began := h.mirror.State().Began
	if began.IsZero() {
		began = h.beginning()
	}
	return h.twin.Read(info.ModTime(), began)
}

// write ships what has come.
func (h *shared) write(ctx context.Context) error {
	hole, err := h.append()
	if err == nil && h.ships.Shipped().End == 0 { // another may have begun one in the meantime
		if current, _, fault := growing.Current(ctx, h.place.Recordings, h.key); fault != nil || current != h.key {
			return errors.Join(fault, h.forget())
		}
	}
	if err == nil {
		err = h.bring(ctx, h.ships, false)
	}
	if err != nil {
		return h.failed(ctx, err)
	}
	h.mirror.Shipped(h.ships)
	if !hole && !h.ending {
		h.held = time.Time{}
		return nil
	}
	alone, err := h.alone(ctx, hole)
	if err != nil || !alone {
		return h.failed(ctx, err)
	}
	h.held = time.Time{}
	if hole {
		h.log.Warn("what is missing here no other origin has", zap.String("key", h.key))
		h.skip = true
		return h.write(ctx)
	}
	if err := h.bring(ctx, h.ships, true); err != nil {
		return h.failed(ctx, err)
	}
	h.mirror.Shipped(h.ships)
	h.ships, h.shipper = nil, nil
	return h.settle(ctx)
}

// alone asks others to go on, and tells whether there are none, or none that can.
func (h *shared) alone(ctx context.Context, hole bool) (bool, error) {
	if err := h.ships.Refresh(ctx); err != nil {
		return false, err
	}
	state := h.ships.Shipped()
	h.mirror.Shipped(h.ships)
	others := slices.DeleteFunc(slices.Clone(state.Origins), func(o string) bool { return o == h.member })
	if len(others) == 0 {
		return true, nil
	}
	if h.held.IsZero() {
		h.held = time.Now()
	}
	if time.Since(h.held) > grace { // who is there after all comes back by itself
		if err := growing.Leave(ctx, h.place.Recordings, h.key, others...); err != nil {
			return false, err
		}
		return true, h.ships.Refresh(ctx)
	}
	why := growing.AtItsEnd
	if hole {
		why = growing.AtAHole
	}
	return false, h.ships.Yield(ctx, why)
}

// failed is where something did not come off: another origin goes on with the recording, what is in it cannot be understood, or it is tried again.
func (h *shared) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[*flv.Error](err); refused {
		if h.ships != nil && h.ships.Shipped().Head == 0 { // no worker is at it
			if err := errors.Join(growing.Withdraw(ctx, h.place.Recordings, h.key), growing.Abandon(ctx, h.place.Recordings, h.key)); err != nil {
				return err
			}
		}
		return h.apart(ctx, err.Error())
	}
	if errors.Is(err, growing.ErrTaken) {
		h.log.Info("another origin goes on with the recording", zap.String("key", h.key))
		err = nil
	}
	return errors.Join(err, h.standBack())
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
	if err == nil {
		err = h.read()
	}
	if errors.Is(err, fs.ErrNotExist) { // it was removed, or never came
		return h.forget()
	}
	if err != nil {
		return h.failed(ctx, err)
	}
	if news {
		h.news = time.Now()
	}
	state := h.mirror.State()
	h.closing = h.closing || state.Closing || state.Ended
	switch {
	case state.Ended && h.ending:
		return h.settle(ctx)
	case state.Ended:
		return h.goesOn()
	case h.twin.Unlike():
		return h.apart(ctx, "its pictures are not those of the recording that another origin ships under this name")
	case !h.twin.Aligned() && h.live && !h.ending && time.Since(h.news) > forgotten:
		return h.forget()
	}
	return h.takePart(ctx, state)
}

// goesOn begins a recording anew that somebody has ended, if this file goes on.
func (h *shared) goesOn() error {
	h.mu.Lock()
	live, err := h.isWritten()
	h.mu.Unlock()
	if err != nil || !live { // it ends at the next look, see closing
		return err
	}
	h.log.Warn("recording was ended, and the stream goes on; it is begun anew", zap.String("key", h.key))
	return h.forget()
}

// takePart notes that this origin has the recording, too, and goes on with it if that is due.
func (h *shared) takePart(ctx context.Context, state *growing.State) error {
	has := slices.Contains(state.Origins, h.member)
	nothing := h.ending && (!h.twin.Aligned() || h.twin.Ahead() == 0)
	switch {
	case nothing && state.Writer() != h.member && has:
		return growing.Leave(ctx, h.place.Recordings, h.key, h.member)
	case !nothing && h.twin.Aligned() && !has:
		if err := growing.Join(ctx, h.place.Recordings, h.key, h.member); err != nil {
			return err
		}
		h.log.Info("recording is the same as another origin's", zap.String("key", h.key))
	}
	if !h.mayTake(state, nothing) {
		return h.patience(ctx, nothing)
	}
	return h.take(ctx, state)
}

// mayTake tells whether this origin is to go on. One that has nothing more does so only to end the recording.
func (h *shared) mayTake(state *growing.State, nothing bool) bool {
	asks := state.Yields != "" || !state.Waiting.IsZero()
	switch {
	case !asks:
		h.asked = time.Time{}
	case h.asked.IsZero():
		h.asked = time.Now()
	}
	silent := time.Since(h.news)
	switch {
	case !h.twin.Aligned():
		return false
	case nothing:
		return state.Writer() == h.member || silent > h.silence() && state.Waiting.Before(time.Now())
	case h.twin.Ahead() == 0:
		return false
	case state.Writer() == h.member:
		return true
	case h.twin.Continues():
		return asks || silent > h.silence()
	}
	return asks && state.Yields != growing.AtAHole && time.Since(h.asked) > notMine || silent > 2*h.silence()
}

// patience keeps a file apart that has ended, and for which nothing comes of the recording.
func (h *shared) patience(ctx context.Context, nothing bool) error {
	switch {
	case !nothing:
		h.over = time.Time{}
	case h.over.IsZero():
		h.over = time.Now()
	case time.Since(h.over) > forgotten && time.Since(h.news) > forgotten:
		return h.apart(ctx, "nothing more comes of the recording, and it was not ended")
	}
	return nil
}

// take makes it this origin's turn.
func (h *shared) take(ctx context.Context, state *growing.State) error {
	gone := state.Yields == "" && state.Waiting.IsZero()
	won, err := h.mirror.Take(ctx, h.member, gone)
	if err == nil && won {
		err = h.read()
	}
	if err != nil || !won || !h.twin.Aligned() { // by what the one before had stored, it may not be
		return errors.Join(err, h.standBack())
	}
	ships, err := h.mirror.Shipper(ctx, h.member, time.Time{}, "")
	if err != nil {
		return h.failed(ctx, err)
	}
	h.ships, h.shipper = ships, ships
	h.log.Info("recording is gone on with, where another origin has a hole, or is gone", zap.String("key", h.key), zap.Int64("at", ships.Shipped().End))
	return h.write(ctx)
}

// settle makes one object of a recording that has ended, unless another origin does; and ends what this one has to do with it.
func (h *shared) settle(ctx context.Context) error {
	if h.over.IsZero() {
		h.over = time.Now()
	}
	state := h.mirror.State()
	if state.Object == "" && state.Writer() != h.member && time.Since(h.over) < forgotten {
		return nil
	}
	if err := h.complete(ctx, state); err != nil {
		return err
	}
	return h.leave(ctx)
}

// complete makes one object of the recording, unless there is one.
func (h *shared) complete(ctx context.Context, state *growing.State) error {
	if state.Object != "" {
		return nil
	}
	store := h.place.Recordings
	if err := store.Copy(ctx, h.key, h.mirror.File().Name()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	size, etag, err := store.Stat(ctx, h.key)
	if err != nil {
		return err
	}
	if size != state.End {
		h.log.Error("an object has the recording's name, and is another; its extents stay", zap.String("key", h.key), zap.Int64("bytes", size), zap.Int64("want", state.End))
		return nil
	}
	return growing.Complete(ctx, store, h.key, etag)
}

// oneAtATime bounds what it takes to compare files: 50 streams may end with one event.
var oneAtATime = make(chan struct{}, 1)

// leave removes the file, unless it has what the recording has not.
func (h *shared) leave(ctx context.Context) error {
	select {
	case oneAtATime <- struct{}{}:
		defer func() { <-oneAtATime }()
	case <-ctx.Done():
		return ctx.Err()
	}
	before, err := h.file.Stat()
	if err != nil {
		return err
	}
	if live, err := isWritten(h.file); err != nil || live {
		return errors.Join(err, fmt.Errorf("%s goes on: %w", h.Path, errLive))
	}
	pictures, sounds, err := twin.Lacks(h.mirror.File(), h.file)
	if err != nil {
		return h.failed(ctx, err)
	}
	if max(pictures.Lasts, sounds.Lasts) > tooMuch {
		return h.apart(ctx, fmt.Sprintf("it has %d pictures and %d packets of sound that the recording of all origins has not", pictures.Frames, sounds.Frames))
	}
	if err := h.remove(before); err != nil {
		return err
	}
	h.done = true
	h.log.Info("recording of all origins has what this one has", zap.String("key", h.key), zap.Int("pictures_lost", pictures.Frames), zap.Int("sounds_lost", sounds.Frames))
	return h.unnote()
}

// remove removes the file, if it is still what it was: a publisher may be back.
func (h *shared) remove(before fs.FileInfo) error {
	now, err := os.Stat(h.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, before) { // another has it
		return nil
	}
	if err != nil {
		return err
	}
	live, err := isWritten(h.file)
	if err != nil || live || now.Size() != before.Size() {
		return errors.Join(err, fmt.Errorf("%s goes on: %w", h.Path, errLive))
	}
	return os.Remove(h.Path)
}

// apart makes the file a recording of its own.
func (h *shared) apart(ctx context.Context, why string) error {
	h.log.Warn("recording is kept apart", zap.String("why", why), zap.String("from", h.key))
	if err := growing.Leave(ctx, h.place.Recordings, h.key, h.member); err != nil {
		return err
	}
	err := h.forget()
	h.shared = nil
	return err
}

// close removes the copy.
func (h *shared) close() error {
	if h.mirror == nil {
		return nil
	}
	return h.mirror.Close()
}

// The recording that a file is part of is noted in the spool, so that another process goes on with that one, and hook and sweep leave
// the file alone.

// sharedNote is where that is noted of a file.
func (s spool) sharedNote(file *os.File) (string, error) {
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	name, err := nextName(file, info)
	return filepath.Join(s.folder, "shared-"+name), err
}

func (h *shared) noted() (string, error) {
	name, err := h.spool.sharedNote(h.file)
	if err != nil {
		return "", err
	}
	body, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(body), err
}

func (h *shared) note() error {
	name, err := h.spool.sharedNote(h.file)
	if err != nil {
		return err
	}
	return writeDurably(name, []byte(h.key))
}

func (h *shared) unnote() error {
	name, err := h.spool.sharedNote(h.file)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
