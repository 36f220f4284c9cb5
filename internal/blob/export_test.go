package blob

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// DirWithoutLinks is a directory on a file system without hard links.
func DirWithoutLinks(t *testing.T) *Dir {
	t.Helper()
	d, err := NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d.link = func(string, string) error { return unix.EPERM }
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	return d
}

// A file system on which two writers could both win is refused, however it says so.
func TestDirRefuses(t *testing.T) {
	d := DirWithoutLinks(t)
	for _, answer := range []error{unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP} {
		d.rename = func(string, string) error { return answer }
		if err := d.check(); !errors.Is(err, ErrUnfit) {
			t.Errorf("%v: %v", answer, err)
		}
	}
}

// Impatient is a store that waits so long for a byte, and between two tries.
func (s *S3) Impatient(idle, pause time.Duration) *S3 {
	s.idle, s.pause = idle, pause
	return s
}
