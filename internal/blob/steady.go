package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrChanged is a file that was written to, or replaced, while it was uploaded: a
// recorder may start over in the same file.
var ErrChanged = errors.New("the file changed while it was uploaded")

// steady reads a file as long as it stays what it was. Every read that was not of
// it fails, so that nothing mixed is ever stored.
type steady struct {
	f     *os.File // not embedded: io.Copy would find ways around Read
	first fs.FileInfo
}

func watch(f *os.File) (steady, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.Name())
	}
	return steady{f, info}, err
}

func (s steady) size() int64 { return s.first.Size() }

func (s steady) Seek(offset int64, whence int) (int64, error) { return s.f.Seek(offset, whence) }

func (s steady) Read(b []byte) (int, error) {
	n, err := s.f.Read(b)
	return n, s.orChanged(err)
}

// ReadAt is what uploads in parts use, several at once.
func (s steady) ReadAt(b []byte, from int64) (int, error) {
	n, err := s.f.ReadAt(b, from)
	return n, s.orChanged(err)
}

// orChanged looks at the file, and at what its name means by now.
func (s steady) orChanged(err error) error {
	now, fault := s.f.Stat()
	if fault != nil {
		return fault
	}
	named, fault := os.Stat(s.f.Name())
	switch {
	case fault != nil:
		return fmt.Errorf("%w: %w", ErrChanged, fault)
	case now.Size() != s.size() || !now.ModTime().Equal(s.first.ModTime()) || !os.SameFile(named, s.first):
		return fmt.Errorf("%s: %w: it had %d bytes of %s, now %d of %s", s.f.Name(), ErrChanged,
			s.size(), s.first.ModTime().Format(timeOfDay), named.Size(), named.ModTime().Format(timeOfDay))
	}
	return err
}

const timeOfDay = "15:04:05.000"
