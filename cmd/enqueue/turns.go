package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
)

// extend puts what has come behind the copy, up to the first hole.
func (h *shared) extend() (hole bool, err error) {
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
	hole, err := h.extendAlone(ctx)
	if err != nil {
		return errors.Join(h.standBack(), h.failed(ctx, err))
	}
	if h.ships.Shipped().End == 0 { // another may have begun one in the meantime
		if current, _, err := growing.Current(ctx, h.backend.Recordings, h.key); err != nil || current != h.key {
			return errors.Join(err, h.forget())
		}
	}
	if err := h.bringShared(ctx, false); err != nil {
		return h.failed(ctx, err)
	}
	if !hole && !h.ending {
		h.held = time.Time{}
		return nil
	}
	alone, err := h.alone(ctx, hole)
	if err != nil || !alone {
		return h.failed(ctx, err)
	}
	h.held = time.Time{}
	if hole { // the next look goes on behind it
		h.log.Warn("recording has a gap that no other origin fills", zap.String("key", h.key))
		h.skip = true
		return nil
	}
	if err := h.bringShared(ctx, true); err != nil {
		return h.failed(ctx, err)
	}
	h.ships, h.shipper = nil, nil
	return h.settle(ctx)
}

// extendAlone extends the copy, over all holes if there is no other origin that could fill them.
func (h *shared) extendAlone(ctx context.Context) (hole bool, err error) {
	hole, err = h.extend()
	if err != nil || !hole || h.ships.Shipped().End == 0 {
		return hole, err
	}
	if err := h.ships.Refresh(ctx); err != nil {
		return hole, err
	}
	for err == nil && hole && len(h.ships.Shipped().Origins) < 2 {
		h.skip = true
		hole, err = h.extend()
	}
	return hole, err
}

// bringShared ships the copy. What comes off of that is noted, also if the rest doesn't.
func (h *shared) bringShared(ctx context.Context, ended bool) error {
	err := h.bring(ctx, h.ships, ended)
	h.mirror.Shipped(h.ships)
	h.twin.Forget()
	return err
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
		if err := growing.Leave(ctx, h.backend.Recordings, h.key, others...); err != nil {
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

// failed is where something did not come off: another origin continues the recording, what is in it cannot be understood, or it is tried again.
func (h *shared) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[*flv.Error](err); refused {
		if h.ships != nil && h.ships.Shipped().Head == 0 { // no worker is at it
			if err := errors.Join(growing.Withdraw(ctx, h.backend.Recordings, h.key), growing.Abandon(ctx, h.backend.Recordings, h.key)); err != nil {
				return err
			}
		}
		return h.apart(ctx, err.Error())
	}
	if !errors.Is(err, growing.ErrTaken) {
		return err // it is tried again
	}
	h.log.Info("another origin continues the recording", zap.String("key", h.key))
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
	h.closing = h.closing || state.Closing
	switch {
	case state.Ended && h.ending:
		return h.settle(ctx)
	case state.Ended:
		return h.goesOn()
	case h.twin.Unlike():
		return h.apart(ctx, "its frames are not those of the recording that another origin ships under this name")
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
	if err != nil || !live { // then there is nothing to wait for
		h.closing = err == nil
		return err
	}
	h.log.Warn("recording was ended while its stream goes on; another recording begins", zap.String("key", h.key))
	return h.forget()
}

// takePart notes that this origin has the recording, too, and goes on with it if that is due.
func (h *shared) takePart(ctx context.Context, state *growing.State) error {
	has := slices.Contains(state.Origins, h.member)
	nothing := h.ending && (!h.twin.Aligned() || h.twin.Unmerged() == 0)
	switch {
	case nothing && state.Writer() != h.member && has:
		return growing.Leave(ctx, h.backend.Recordings, h.key, h.member)
	case !nothing && h.twin.Aligned() && !has:
		if err := growing.Join(ctx, h.backend.Recordings, h.key, h.member); err != nil {
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
	case nothing: // workers end it, if nobody else does
		return state.Writer() == h.member || silent > forgotten && state.Waiting.Before(time.Now())
	case h.twin.Unmerged() == 0:
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
	case time.Since(h.over) > forgotten && (!h.twin.Aligned() || time.Since(h.news) > 2*forgotten):
		return h.apart(ctx, "it isn't found in the recording that other origins ship, or that doesn't end")
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
	h.log.Info("recording continues from this origin: the other one has a gap, or is gone", zap.String("key", h.key), zap.Int64("at", ships.Shipped().End))
	return h.write(ctx)
}
