package growing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"afterlive.alt/internal/flv"
)

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
	m.size += n // what has come stays as it is
	if err := errors.Join(err, source.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", m.key, err)
	}
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
