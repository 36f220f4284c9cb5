package growing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"afterlive/internal/flv"
)

// Several origins may record one stream. Then they ship one recording together, in turns: one of them goes on with it, as if it were alone, and
// the others look on, with a copy of the recording each ([Mirror]). Where the one whose turn it is has a hole, or falls silent, another
// one takes over. Extents are created once, and the state says whose turn it is, so no two of them can ship different things.

// ErrTaken is a recording that another origin goes on with.
var ErrTaken = errors.New("another origin goes on with the recording")

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
		err := s.tell(ctx, &next)
		if !errors.Is(err, errOvertaken) {
			return err
		}
		if err := s.Refresh(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Mirror is an origin's copy of a recording that several origins ship. What that origin has more is put behind it, and shipped
// from there.
type Mirror struct {
	store Store
	key   string
	file  *os.File
	size  int64 // of it, that the store has, too; bytes
	state *State
	etag  string

	source  *window
	scanner *flv.Scanner // of the copy, so that who takes the turn needn't read all of it; nil: it has read what was dropped again
}

// NewMirror makes an empty copy in a folder.
func NewMirror(store Store, key, folder string) (*Mirror, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("copy recording: %w", err)
	}
	temp, err := os.CreateTemp(folder, mirrorName)
	if err != nil {
		return nil, fmt.Errorf("copy recording: %w", err)
	}
	file, err := os.OpenFile(temp.Name(), os.O_RDWR|os.O_APPEND, 0o600)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX) // so that nobody takes it for one that was left
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("copy recording: %w", err), os.Remove(temp.Name()))
	}
	return &Mirror{store: store, key: key, file: file, state: &State{}}, nil
}

const mirrorName = "mirror-*.flv"

// RemoveMirrors removes what processes that were killed have left in a folder.
func RemoveMirrors(folder string) error {
	left, err := filepath.Glob(filepath.Join(folder, mirrorName))
	for _, name := range left {
		file, fault := os.Open(name)
		if fault != nil {
			continue
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = errors.Join(err, os.Remove(name))
		}
		err = errors.Join(err, file.Close())
	}
	return err
}

// File is the copy.
func (m *Mirror) File() *os.File { return m.file }

// Close removes it.
func (m *Mirror) Close() error {
	err := os.Remove(m.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, m.file.Close())
}

// State is what the store had of the recording when it was looked at last.
func (m *Mirror) State() *State { return m.state }

// Cut drops what was put behind the recording and not shipped, and returns how many bytes are left.
func (m *Mirror) Cut() (int64, error) {
	if m.scanner != nil && m.scanner.Offset() > m.size {
		m.source, m.scanner = nil, nil
	}
	return m.size, m.file.Truncate(m.size)
}

// scan indexes what there is of the recording.
func (m *Mirror) scan(state *State) (err error) {
	if m.scanner == nil || m.state.Head == 0 && state.Head > 0 {
		if m.source, m.scanner, err = scanHead(m.file, state.Head); err != nil {
			return fmt.Errorf("copy %s: %w", m.key, err)
		}
	}
	if state.Head == 0 { // it begins with that
		return nil
	}
	m.source.at, m.source.upTo = m.scanner.Offset(), m.size
	m.scanner.Again(m.source)
	if err := m.scanner.More(); err != nil {
		return fmt.Errorf("copy %s: %w", m.key, err)
	}
	return nil
}

// Look brings what has come of the recording since, and tells whether it goes on. What was put behind the copy, and not shipped, goes.
func (m *Mirror) Look(ctx context.Context) (news bool, err error) {
	if _, err := m.Cut(); err != nil {
		return false, err
	}
	_, etag, err := m.store.Stat(ctx, stateKey(m.key))
	if err != nil || etag == m.etag {
		return false, err
	}
	state, etag, err := Load(ctx, m.store, m.key)
	if err != nil {
		return false, err
	}
	if state.End > m.size {
		if err := m.fetch(ctx, state); err != nil {
			return false, err
		}
		news = true
	}
	if err := m.scan(state); err != nil {
		return news, err
	}
	news = news || len(state.Turns) > len(m.state.Turns)
	m.state, m.etag = state, etag
	return news, nil
}

// fetch copies what is missing.
func (m *Mirror) fetch(ctx context.Context, state *State) error {
	source, err := Recordings{Store: m.store}.Read(ctx, m.key, state.ID, m.size, state.End)
	if err != nil {
		return err
	}
	n, err := io.Copy(m.file, source)
	if err := errors.Join(err, source.Close()); err != nil {
		return errors.Join(fmt.Errorf("copy %s: %w", m.key, err), m.file.Truncate(m.size))
	}
	m.size += n
	return nil
}

// Take makes it an origin's turn to go on. What the one before has stored and could not tell of is taken over. gone: that one has fallen silent, and
// is no longer counted on. It is false if somebody else was first, or has ended it.
func (m *Mirror) Take(ctx context.Context, origin string, gone bool) (bool, error) {
	next := *m.state
	if next.Ended {
		return false, nil
	}
	if before := next.Writer(); gone && before != origin {
		next.Origins = slices.DeleteFunc(slices.Clone(next.Origins), func(o string) bool { return o == before })
	}
	if next.Writer() != origin {
		next.Turns = append(slices.Clone(next.Turns), Turn{origin, next.End})
	}
	next.Yields, next.Waiting, next.Told = "", time.Time{}, time.Now().UTC()
	if !slices.Contains(next.Origins, origin) {
		next.Origins = append(slices.Clone(next.Origins), origin)
	}
	body, err := json.Marshal(&next)
	if err != nil {
		return false, fmt.Errorf("take %s: %w", m.key, err)
	}
	err = m.store.Write(ctx, stateKey(m.key), body, m.etag)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := m.untold(ctx, next.End); err != nil {
		return false, err
	}
	return true, nil
}

// untold copies extents that are there, and that the recording's state doesn't know of.
func (m *Mirror) untold(ctx context.Context, at int64) error {
	for {
		body, _, err := m.store.Load(ctx, extentKey(m.key, at))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			_, err = m.file.Write(body)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", m.key, err)
		}
		at += int64(len(body))
	}
}

// Shipper ships the copy, when it is an origin's turn; or begins the recording.
func (m *Mirror) Shipper(ctx context.Context, origin string, began time.Time, promised string) (*Shipper, error) {
	fresh := State{Version: stateVersion, Began: began.UTC(), Promised: promised, Origins: []string{origin}, Turns: []Turn{{Origin: origin}}}
	s := &Shipper{store: m.store, key: m.key, file: m.file, fresh: fresh, origin: origin}
	if m.state.End == 0 {
		err := s.resume(ctx)
		return s, err
	}
	state, etag, err := Load(ctx, m.store, m.key)
	if err != nil {
		return nil, err
	}
	if state.Writer() != origin || state.End != m.size || state.Ended {
		return nil, ErrTaken
	}
	if err := m.scan(state); err != nil {
		return nil, err
	}
	s.state, s.etag, s.source, s.scanner = state, etag, m.source, m.scanner
	return s, nil
}

// Shipped tells what a shipper has brought from the copy to the store.
func (m *Mirror) Shipped(s *Shipper) {
	m.state, m.etag, m.size, m.source, m.scanner = s.state, s.etag, s.state.End, s.source, s.scanner
}
