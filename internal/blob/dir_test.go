package blob_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"afterlive.alt/internal/blob"
)

// What root writes belongs to the owner of the store, folders too: else services of another user could not write beside it.
func TestRootKeepsTheOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	const owner = 65534
	root := t.TempDir()
	d, err := blob.NewDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(root, owner, owner); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), "jobs/a/plan.json", []byte("{}"), ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"jobs", "jobs/a", "jobs/a/plan.json"} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := info.Sys().(*syscall.Stat_t); !ok || got.Uid != owner || got.Gid != owner {
			t.Errorf("%s belongs to %d", name, got.Uid)
		}
	}
}

// There is nothing under a name that no file can have; nothing is written there, either.
func TestImpossibleNames(t *testing.T) {
	d, err := blob.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), "r.flv", []byte("x"), ""); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"x\x00", "r.flv/asset.json", strings.Repeat("x", 300), "a/" + strings.Repeat("ü", 128)} {
		if _, _, err := d.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %q: %v", key, err)
		}
		if _, _, err := d.Load(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("load %q: %v", key, err)
		}
		if err := d.Write(t.Context(), key, []byte("x"), ""); err == nil {
			t.Errorf("%q is written", key)
		}
	}
}
