package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Dir keeps objects as files below a root, for any number of processes at once.
type Dir struct {
	root string
	// How a file gets a name that must not be taken: the first that the file system can.
	link, rename func(file, name string) error
}

// NewDir makes the root where it doesn't exist, and removes what processes left half
// written that were killed. It refuses a file system on which two writers could both
// win.
func NewDir(root string) (*Dir, error) {
	if err := os.MkdirAll(filepath.Join(root, temporary), 0o755); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	d := &Dir{root: root, link: os.Link, rename: renameNew}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	half, err := filepath.Glob(filepath.Join(root, temporary, "put-*"))
	if err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	for _, name := range half {
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > halfWritten {
			_ = os.Remove(name) // the next one may, if we may not
		}
	}
	return d, nil
}

// halfWritten is how long nothing must have been written to a temporary file before
// its writer is taken for dead.
const halfWritten = time.Hour

// temporary is the folder of files that are being written.
const temporary = ".tmp"

// longestName is how long the name of a file may be, in bytes: NAME_MAX of Linux and macOS.
const longestName = 255

func (d *Dir) path(op, key string) (string, error) {
	if !fs.ValidPath(key) || key == "." || strings.HasPrefix(key, temporary) {
		return "", invalid(op, key)
	}
	if strings.Contains(key, "\x00") || slices.ContainsFunc(strings.Split(key, "/"), func(name string) bool { return len(name) > longestName }) {
		if op == "upload" {
			return "", invalid(op, key)
		}
		return "", &fs.PathError{Op: op, Path: key, Err: fs.ErrNotExist} // no file has such a name
	}
	return filepath.Join(d.root, filepath.FromSlash(key)), nil
}

// Stat tells an object's size and version.
func (d *Dir) Stat(_ context.Context, key string) (size int64, etag string, err error) {
	name, err := d.path("stat", key)
	if err != nil {
		return 0, "", err
	}
	info, err := os.Stat(name)
	if err != nil {
		return 0, "", absent(err)
	}
	return info.Size(), version(info), nil
}

// absent is an error of a file that cannot be: a part of its path is a file.
func absent(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// version changes with every write: each puts a new inode in place.
func version(info fs.FileInfo) string {
	var inode uint64
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = s.Ino
	}
	return fmt.Sprintf("%x-%x-%x", inode, info.Size(), info.ModTime().UnixNano())
}

// Read streams the bytes [from, to) of a version of an object.
func (d *Dir) Read(_ context.Context, key, etag string, from, to int64) (io.ReadCloser, error) {
	name, err := d.path("read", key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, absent(err)
	}
	info, err := f.Stat()
	if err == nil && version(info) != etag {
		err = fmt.Errorf("read %s: it is no longer version %s: %w", key, etag, fs.ErrNotExist)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, from, to-from), f}, nil
}

// Load reads a small object whole.
func (d *Dir) Load(_ context.Context, key string) (body []byte, etag string, err error) {
	name, err := d.path("load", key)
	if err != nil {
		return nil, "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, "", absent(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	body, err = io.ReadAll(f)
	return body, version(info), err
}

// Write stores a small object if it is still the version etag; "": if there is
// none yet.
func (d *Dir) Write(_ context.Context, key string, body []byte, etag string) error {
	return d.put("write", key, strings.NewReader(string(body)), etag)
}

// put writes aside, and then puts the file in place in one step.
func (d *Dir) put(op, key string, body io.Reader, etag string) error {
	name, err := d.path(op, key)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Join(d.root, temporary), "put-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it has another name by then, or is not wanted
	_, err = io.Copy(tmp, body)
	if err := errors.Join(err, tmp.Chmod(0o644), d.own(tmp.Name()), tmp.Sync(), tmp.Close(), d.makeFolder(filepath.Dir(name))); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	if etag == "" {
		err = d.create(tmp.Name(), name)
	} else {
		err = d.swap(tmp.Name(), name, etag)
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// makeFolder makes a folder of the store, and those that it is in.
func (d *Dir) makeFolder(name string) error {
	var missing []string
	for folder := name; len(folder) > len(d.root); folder = filepath.Dir(folder) {
		if _, err := os.Stat(folder); err == nil {
			break
		}
		missing = append(missing, folder)
	}
	return errors.Join(os.MkdirAll(name, 0o755), d.own(missing...))
}

// own gives what root has made to the owner of the store: else a command that root has run would keep the services of another user from
// writing beside it.
func (d *Dir) own(names ...string) error {
	if os.Geteuid() != 0 || len(names) == 0 {
		return nil
	}
	info, err := os.Stat(d.root)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	var faults []error
	for _, name := range names {
		faults = append(faults, os.Lchown(name, int(owner.Uid), int(owner.Gid)))
	}
	return errors.Join(faults...)
}

// syncFolder makes a new name survive a power cut.
func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// swap renames under a lock that all processes share.
func (d *Dir) swap(tmp, name, etag string) error {
	lock, err := os.OpenFile(filepath.Join(d.root, temporary, "swap.lock"), os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // and so unlocked
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock store: %w", err)
	}
	info, err := os.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || version(info) != etag {
		return &fs.PathError{Op: "swap", Path: name, Err: fs.ErrExist}
	}
	return os.Rename(tmp, name)
}

// List returns the keys that start with a prefix ending in "/", sorted.
func (d *Dir) List(_ context.Context, prefix string) ([]string, error) {
	folder, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return nil, invalid("list", prefix)
	}
	name, err := d.path("list", folder)
	if err != nil {
		return nil, err
	}
	var keys []string
	err = filepath.WalkDir(name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(d.root, file)
		keys = append(keys, filepath.ToSlash(relative))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return keys, err
}

// ListFrom returns the first n keys that start with a prefix ending in "/" and come behind after, sorted. It is for
// folders without folders in them.
func (d *Dir) ListFrom(_ context.Context, prefix, after string, n int) (keys []string, err error) {
	name, err := d.path("list", strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(name) // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if key := prefix + e.Name(); !e.IsDir() && key > after && len(keys) < n {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Delete removes an object; that there is none is no error.
func (d *Dir) Delete(_ context.Context, key string) error {
	name, err := d.path("delete", key)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
