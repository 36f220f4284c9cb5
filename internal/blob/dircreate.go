package blob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// check tries whether a name that is taken stays so. Almost every file system has hard
// links, and most of the others can rename without replacing.
func (d *Dir) check() error {
	fat, err := isFAT(d.root)
	if err != nil {
		return fmt.Errorf("look at %s: %w", d.root, err)
	}
	if fat {
		return fmt.Errorf("%w: %s is on FAT or exFAT, which changes inode numbers now and then, "+
			"so that versions of an object cannot be told apart", ErrUnfit, d.root)
	}
	tmp, err := os.CreateTemp(filepath.Join(d.root, temporary), "check-")
	if err != nil {
		return err
	}
	name := tmp.Name() + "-created"
	err = errors.Join(tmp.Close(), d.create(tmp.Name(), name))
	_ = os.Remove(tmp.Name()) // it has another name, or is not wanted
	_ = os.Remove(name)
	return err
}

// create gives a file the name of an object, and fails where that is taken. The file
// may keep its first name.
func (d *Dir) create(file, name string) error {
	err := d.link(file, name)
	if !lacking(err) {
		return err
	}
	err = d.rename(file, name)
	if lacking(err) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: the file system of %s has neither hard links nor renames that do not replace: two writers could both win", ErrUnfit, d.root)
	}
	return err
}

// lacking recognizes how file systems say that they have no hard links.
func lacking(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS)
}

// Copy stores what is in a file if there is no such object yet. A file that is written
// to meanwhile, or replaced, is [ErrChanged], and stores nothing.
func (d *Dir) Copy(_ context.Context, key, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	body, err := watch(f)
	if err != nil {
		return err
	}
	return d.put("upload", key, body, "")
}

// Upload is Copy of a file that nobody will write to any more, and that is removed
// afterwards: where it is on the same file system, it becomes the object.
func (d *Dir) Upload(ctx context.Context, key, file string) error {
	name, err := d.path("upload", key)
	if err != nil {
		return err
	}
	given, err := d.give(file, name)
	if given || err != nil {
		return err
	}
	return d.Copy(ctx, key, file)
}

// give makes a file the object itself, if that can be done.
func (d *Dir) give(file, name string) (given bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	body, err := watch(f)
	if err != nil {
		return false, err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), d.makeFolder(filepath.Dir(name))); err != nil {
		return false, nil // somebody else's file: a copy can have what it cannot
	}
	if err := body.orChanged(nil); err != nil {
		return false, err
	}
	switch err := d.link(file, name); {
	case err == nil:
		return true, syncFolder(filepath.Dir(name))
	case errors.Is(err, os.ErrExist):
		return false, err
	}
	return false, nil // another file system, or one without links
}
