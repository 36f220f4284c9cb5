package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"afterlive.alt/internal/flv"
)

// continuation is a second file of one recording: the publisher has come back, and nginx records to a new file. follow appends
// the new file to the first one, as if nginx had gone on with it. So there is one file to ship and to upload, for follow,
// hook and sweep alike.
//
// follow first moves the new file into the spool, where no hook finds it. The name of its folder says which recording it
// belongs to, and where in that recording its bytes begin. From that, another process can go on after a crash. While the
// folder has a file, no process takes the recording: see [spool.take].
type continuation struct {
	name string   // <nextName of the recording, and of the fields below>/<name that nginx gave it>
	from *os.File // the file that nginx writes to
	into *os.File
	at   int64         // in into, where the tag is that stands for from's header; in bytes
	away time.Duration // of the publisher
}

// nextName is the first part of the names of the folders that hold a recording's continuations. It is a hash of the recording's
// folder and of its name, and its inode: names and inodes are both used again.
func nextName(recording *os.File, info fs.FileInfo) (string, error) {
	folder, err := nextFolder(filepath.Dir(recording.Name()))
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("make spool: this file system has no inodes")
	}
	name := sha256.Sum256([]byte(filepath.Base(recording.Name())))
	return fmt.Sprintf("%s-%x-%d", folder, name[:6], stat.Ino), nil
}

// nextFolder is the part of nextName that all recordings of a folder have in common.
func nextFolder(folder string) (string, error) {
	folder, err := filepath.Abs(folder)
	if err == nil {
		folder, err = filepath.EvalSymlinks(folder)
	}
	sum := sha256.Sum256([]byte(folder))
	return fmt.Sprintf("next-%x", sum[:6]), err
}

// beginContinuation moves a file that nginx has begun into the spool, to be appended to a recording. [errBusy]: another process
// has that file. [fs.ErrNotExist]: the file, or the recording, was moved.
func (s spool) beginContinuation(recording *os.File, name string) (_ *continuation, err error) {
	info, err := recording.Stat()
	if err != nil {
		return nil, err
	}
	c := &continuation{at: info.Size()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.into, err = os.OpenFile(recording.Name(), os.O_WRONLY, 0); err != nil {
		return nil, err
	}
	if now, err := c.into.Stat(); err != nil || !os.SameFile(info, now) {
		return nil, errors.Join(err, fmt.Errorf("%s was moved: %w", recording.Name(), fs.ErrNotExist))
	}
	if c.from, err = os.Open(name); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(c.from.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(errBusy, err)
	}
	if c.away, err = since(info.ModTime(), c.from); err != nil {
		return nil, err
	}
	if c.at, err = cutTorn(c.into, recording, c.at); err != nil {
		return nil, err
	}
	folder, err := nextName(recording, info)
	if err != nil {
		return nil, err
	}
	folder = filepath.Join(s.folder, fmt.Sprintf("%s-%d-%d", folder, c.at, c.away.Milliseconds()))
	c.name = filepath.Join(folder, filepath.Base(name))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	if err := os.Rename(name, c.name); err != nil {
		return nil, errors.Join(err, removeEmpty(folder))
	}
	return c, nil
}

// findContinuation is the continuation that another process has begun; nil: there is none.
func (s spool) findContinuation(recording *os.File) (_ *continuation, err error) {
	info, err := recording.Stat()
	if err != nil {
		return nil, err
	}
	folder, err := nextName(recording, info)
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(s.folder, folder+"-*", "*"))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	c := &continuation{name: found[0]}
	var away int64
	if _, err := fmt.Sscanf(filepath.Base(filepath.Dir(c.name))[len(folder):], "-%d-%d", &c.at, &away); err != nil || c.at > info.Size() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a part of %s", c.name, recording.Name()))
	}
	c.away = time.Duration(away) * time.Millisecond
	if c.into, err = os.OpenFile(recording.Name(), os.O_WRONLY, 0); err != nil {
		return nil, err
	}
	if c.from, err = os.Open(c.name); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// cutTorn removes the torn last tag that a killed nginx has left, and returns the recording's size, in bytes.
func cutTorn(into, recording *os.File, size int64) (int64, error) {
	whole, err := flv.EndsWhole(recording, size)
	if err != nil || whole {
		return size, err
	}
	scanner := flv.NewScanner(io.NewSectionReader(recording, 0, size))
	if err := scanner.More(); err != nil {
		return size, err
	}
	return scanner.Offset(), into.Truncate(scanner.Offset())
}

// copy appends what nginx has written since.
func (c *continuation) copy() error {
	source, err := c.from.Stat()
	if err != nil || source.Size() <= flv.HeaderSize {
		return err
	}
	target, err := c.into.Stat()
	if err != nil {
		return err
	}
	behind := c.at + int64(flv.ReconnectTagSize)
	if target.Size() < behind {
		if _, err := c.into.WriteAt(flv.ReconnectTag(c.away), c.at); err != nil {
			return fmt.Errorf("go on with %s: %w", c.into.Name(), err)
		}
	}
	had := max(0, target.Size()-behind)
	rest := io.NewSectionReader(c.from, flv.HeaderSize+had, source.Size()-flv.HeaderSize-had)
	if _, err := io.Copy(io.NewOffsetWriter(c.into, behind+had), rest); err != nil {
		return fmt.Errorf("go on with %s: %w", c.into.Name(), err)
	}
	return nil
}

// done removes the file, once all of it is in the recording. It may be called again after an error.
func (c *continuation) done() error {
	if err := c.into.Sync(); err != nil {
		return err
	}
	if err := os.Remove(c.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := removeEmpty(filepath.Dir(c.name)); err != nil {
		return err
	}
	return c.close()
}

func (c *continuation) close() (err error) {
	for _, f := range []*os.File{c.from, c.into} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// removeEmpty removes a folder, unless something is in it.
func removeEmpty(folder string) error {
	err := os.Remove(folder)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
