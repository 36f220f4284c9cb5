package blob_test

import (
	"os"
	"path/filepath"
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
