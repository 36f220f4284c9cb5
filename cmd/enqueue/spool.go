package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`
}

func (s spool) flv(id string) string  { return filepath.Join(s.folder, id+".flv") }
func (s spool) note(id string) string { return filepath.Join(s.folder, id+".json") }

// take moves a recording into the spool, so that the same path can be recorded to
// again. The note comes first: a crash in between leaves a note without a file,
// which harms nobody, and never a file that nobody knows of. The id is made from
// the file itself: taking it twice is taking it once.
func (s spool) take(e entry, info fs.FileInfo) (entry, error) {
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return e, fmt.Errorf("make spool: %w", err)
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
		return e, fmt.Errorf("%s is no file of a spool", flv)
	}
	return e, nil
}

// remove forgets a recording that the store has confirmed. The file goes first:
// without it the note means nothing.
func (s spool) remove(e entry) error {
	return errors.Join(os.Remove(s.flv(e.ID)), os.Remove(s.note(e.ID)))
}

func writeDurably(name string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".note-")
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
