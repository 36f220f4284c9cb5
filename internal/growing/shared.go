package growing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Several origins may record one stream. Then they ship one recording together, in turns: one of them goes on with it, as if it were alone, and
// the others look on, with a copy of the recording each ([Mirror]). Where the one whose turn it is has a hole, or falls silent, another
// one takes over. Extents are created once, and the state says whose turn it is, so no two of them can ship different things.

// ErrTaken is a recording that another origin goes on with.
var ErrTaken = errors.New("another origin continues the recording")

// streamState is which recording of a stream grows: all its origins ship that.
type streamState struct {
	Key string `json:"key"`
}

// currentKey is beside all recordings of a stream.
func currentKey(recording string) string { return path.Join(path.Dir(recording), "current.json") }

// Current is the recording that the origins of a stream ship, or had shipped last, and its state; nil: nothing of it has come yet. key is that of any
// recording of that stream. current is "" if there is none.
func Current(ctx context.Context, store Objects, key string) (current string, s *State, err error) {
	current, _, err = currentOf(ctx, store, key)
	if err != nil || current == "" {
		return "", nil, err
	}
	s, _, err = Load(ctx, store, current)
	if errors.Is(err, fs.ErrNotExist) {
		return current, nil, nil
	}
	return current, s, err
}

func currentOf(ctx context.Context, store Objects, key string) (current, etag string, err error) {
	body, etag, err := store.Load(ctx, currentKey(key))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	var now streamState
	if err := json.Unmarshal(body, &now); err != nil {
		return "", "", fmt.Errorf("read %s: %w", currentKey(key), err)
	}
	return now.Key, etag, nil
}

// Begin makes a recording the one that the origins of its stream ship from now on, in place of another one; "": of none. It is false if by now
// they ship another one.
func Begin(ctx context.Context, store Objects, key, before string) (bool, error) {
	current, etag, err := currentOf(ctx, store, key)
	if err != nil || current != before {
		return err == nil && current == key, err
	}
	return setCurrent(ctx, store, key, key, etag)
}

// Withdraw makes a recording no longer the one that the origins of its stream ship: nothing can be made of it.
func Withdraw(ctx context.Context, store Objects, key string) error {
	current, etag, err := currentOf(ctx, store, key)
	if err != nil || current != key {
		return err
	}
	_, err = setCurrent(ctx, store, key, "", etag)
	return err
}

func setCurrent(ctx context.Context, store Objects, key, to, etag string) (bool, error) {
	body, err := json.Marshal(streamState{to})
	if err != nil {
		return false, fmt.Errorf("begin %s: %w", key, err)
	}
	err = store.Write(ctx, currentKey(key), body, etag)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// Join notes that an origin has a recording, too.
func Join(ctx context.Context, store Objects, key, origin string) error {
	_, err := change(ctx, store, key, func(s *State) bool {
		news := !s.Ended && !slices.Contains(s.Origins, origin)
		if news {
			s.Origins = append(s.Origins, origin)
		}
		return news
	})
	return err
}

// Leave notes that origins have nothing more of a recording.
func Leave(ctx context.Context, store Objects, key string, origins ...string) error {
	_, err := change(ctx, store, key, func(s *State) bool {
		had := len(s.Origins)
		s.Origins = slices.DeleteFunc(s.Origins, func(o string) bool { return slices.Contains(origins, o) })
		return !s.Ended && len(s.Origins) < had
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Refresh takes over who has joined, or left. [ErrTaken]: it is another origin's turn, or somebody has ended the recording.
func (s *Shipper) Refresh(ctx context.Context) error {
	state, etag, err := Load(ctx, s.store, s.key)
	if err != nil {
		return err
	}
	if state.Ended && !s.state.Ended || state.Writer() != s.origin || state.End != s.state.End || len(state.Turns) != len(s.state.Turns) {
		return ErrTaken
	}
	s.state, s.etag = state, etag
	return nil
}

// What an origin yields for.
const (
	AtAHole  = "hole" // whoever has what is missing is to go on
	AtItsEnd = "end"  // whoever has more is to go on
)

// Yield asks other origins to go on with the recording.
func (s *Shipper) Yield(ctx context.Context, why string) error {
	for s.state.Yields != why {
		next := *s.state
		next.Yields = why
		err := s.commit(ctx, &next)
		if !errors.Is(err, errOvertaken) {
			return err
		}
		if err := s.Refresh(ctx); err != nil {
			return err
		}
	}
	return nil
}
