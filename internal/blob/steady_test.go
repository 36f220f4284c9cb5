package blob

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file that is no longer what it was when the upload began cannot be read to its
// end.
func TestSteady(t *testing.T) {
	write := func(name string, flags, n int) error {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|flags, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, n))
		return errors.Join(err, f.Close())
	}
	for name, change := range map[string]func(string) error{
		"nothing":                           nil,
		"starts over":                       func(file string) error { return write(file, os.O_TRUNC, 500) },
		"starts over, and is as long again": func(file string) error { return write(file, os.O_TRUNC, 1000) },
		"appended":                          func(file string) error { return write(file, os.O_APPEND, 1) },
		"removed":                           os.Remove,
		"replaced":                          func(file string) error { return errors.Join(os.Remove(file), write(file, 0, 1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "talk.flv")
			if err := errors.Join(write(file, 0, 1000), os.Chtimes(file, time.Time{}, time.Now().Add(-time.Minute))); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, err := watch(f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(s, make([]byte, 400)); err != nil {
				t.Fatal(err)
			}
			want := ErrChanged
			if change == nil {
				want = nil
			} else if err := change(file); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, s); !errors.Is(err, want) {
				t.Errorf("read: %v", err)
			}
			if _, err := s.ReadAt(make([]byte, 100), 0); !errors.Is(err, want) {
				t.Errorf("read at: %v", err)
			}
		})
	}
}
