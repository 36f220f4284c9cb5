package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// spool is where a recording waits between nginx and the store: a folder on the
// same file system, so that moving it there is one step. What is in it has not
// been confirmed yet; nothing is ever removed from it before that.
type spool struct{ folder string }

// entry is a recording in the spool. Its file is <ID>.flv, this is <ID>.json.
type entry struct {
	ID      string    `json:"id"`
	Path    string    `json:"path"` // where nginx had written it
	App     string    `json:"app"`
	Name    string    `json:"name"` // of the stream
	Profile string    `json:"profile"`
	Video   string    `json:"video,omitempty"` // that the stream has announced
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`
}

func (s spool) flv(id string) string  { return filepath.Join(s.folder, id+".flv") }
func (s spool) note(id string) string { return filepath.Join(s.folder, id+".json") }

// take moves a recording into the spool, so that the same path can be recorded to
// again. The note comes first: a crash in between leaves a note without a file,
// which harms nobody, and never a file that nobody knows of. The id is made from
// the file itself: taking it twice is taking it once. Hook and sweep never take it at
// once, or one would write its note over that of the other.
func (s spool) take(e entry, info fs.FileInfo) (_ entry, err error) {
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return e, fmt.Errorf("make spool: %w", err)
	}
	locked, release, err := lockFile(e.Path)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if !os.SameFile(info, locked) {
		return e, fmt.Errorf("%s was replaced: %w", e.Path, fs.ErrNotExist)
	}
	if kept, err := s.isKept(e.Path, locked); err != nil || kept {
		return e, errors.Join(err, errBusy)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return e, errors.New("make spool: this file system has no inodes")
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d %d", stat.Dev, stat.Ino, info.Size(), info.ModTime().UnixNano()))
	e.ID, e.Size, e.Time = fmt.Sprintf("%x", sum[:6]), info.Size(), info.ModTime().UTC()
	body, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return e, err
	}
	if err := writeDurably(s.note(e.ID), body); err != nil {
		return e, fmt.Errorf("write spool: %w", err)
	}
	if err := os.Rename(e.Path, s.flv(e.ID)); err != nil {
		if errors.Is(err, syscall.EXDEV) {
			err = fmt.Errorf("%w: --spool must be on the same file system as the recording", err)
		}
		return e, fmt.Errorf("move into spool: %w", err)
	}
	return e, syncFolder(s.folder)
}

// isKept tells whether follow is to take care of a recording: it goes on in another file, or is part of one that several origins record. Where
// follow doesn't for hours, the latter becomes a recording of its own.
func (s spool) isKept(name string, info fs.FileInfo) (bool, error) {
	file, err := os.Open(name)
	if err != nil {
		return false, err
	}
	folder, err := nextName(file, info)
	note, err2 := s.sharedNote(file)
	if err := errors.Join(err, err2, file.Close()); err != nil {
		return false, err
	}
	if _, err := os.Stat(note); err == nil && time.Since(info.ModTime()) < keptFor {
		return true, nil
	}
	found, err := filepath.Glob(filepath.Join(s.folder, folder+"-*", "*"))
	return len(found) > 0, err
}

const keptFor = 3 * time.Hour

// readNote is the entry of a file that is in a spool.
func readNote(flv string) (e entry, err error) {
	body, err := os.ReadFile(strings.TrimSuffix(flv, ".flv") + ".json")
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, err
	}
	if e.ID == "" || e.ID+".flv" != filepath.Base(flv) {
		return e, fmt.Errorf("%s is not a file of a spool", flv)
	}
	return e, nil
}

// remove forgets a recording that the store has confirmed. The file goes first:
// without it the note means nothing.
func (s spool) remove(e entry) error {
	return errors.Join(os.Remove(s.flv(e.ID)), os.Remove(s.note(e.ID)))
}

// entries are the recordings that wait. Notes whose file is not there, because a
// hook died before it could move it, or after it removed it, are dropped, and so are those
// that a hook had not written to the end.
func (s spool) entries() ([]entry, error) {
	notes, err := filepath.Glob(s.note("*"))
	halves, err2 := filepath.Glob(filepath.Join(s.folder, noteTemp+"*"))
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	var all []entry
	var faults []error
	for _, half := range halves {
		faults = append(faults, dropOld(half))
	}
	for _, note := range notes {
		flv := strings.TrimSuffix(note, ".json") + ".flv"
		if _, err := os.Stat(flv); errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, dropOld(note))
			continue
		}
		e, err := readNote(flv)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", note, err))
			continue
		}
		all = append(all, e)
	}
	return all, errors.Join(faults...)
}

// dropOld removes a note that no hook can be about to move a file for.
func dropOld(note string) error {
	info, err := os.Stat(note)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && time.Since(info.ModTime()) < time.Minute) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(note)
}

var errBusy = errors.New("another process is at it")

// lock keeps other processes from an entry until it is released, or this one dies.
func (s spool) lock(e entry) (release func() error, err error) {
	_, release, err = lockFile(s.flv(e.ID))
	if errors.Is(err, fs.ErrNotExist) { // done with, meanwhile
		err = errBusy
	}
	return release, err
}

// lockFile keeps our other processes from a recording, wherever it is moved, until it is
// released, or this one dies. It is no lock of nginx's kind.
func lockFile(name string) (info fs.FileInfo, release func() error, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errBusy
		}
		return nil, nil, errors.Join(err, f.Close())
	}
	info, err = f.Stat()
	now, err2 := os.Stat(name)
	if err := errors.Join(err, err2); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if !os.SameFile(info, now) { // it was moved before it was locked, and another is there
		return nil, nil, errors.Join(errBusy, f.Close())
	}
	return info, f.Close, nil
}

// uploads is how many recordings are on their way at once: fifty streams may end with
// one event.
const uploads = 4

// turn waits until fewer than so many uploads are under way.
func (s spool) turn(ctx context.Context) (done func() error, err error) {
	var places []*os.File
	defer func() {
		for _, f := range places {
			err = errors.Join(err, f.Close())
		}
	}()
	for n := range uploads {
		f, err := os.OpenFile(filepath.Join(s.folder, fmt.Sprintf(".upload-%d", n)), os.O_CREATE|os.O_RDONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("wait for other uploads: %w", err)
		}
		places = append(places, f)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for n, f := range places {
			if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				places = slices.Delete(places, n, n+1)
				return f.Close, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

const noteTemp = ".note-" // in front of the name of a note that is being written

func writeDurably(name string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), noteTemp)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), name)
}

func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
