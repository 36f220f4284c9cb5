package queue_test

import (
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"afterlive/internal/queue"
)

// A worker and a hook may be the first in a folder, both at once.
func TestOpenTogether(t *testing.T) {
	for range 200 {
		file := filepath.Join(t.TempDir(), "queue.db")
		var all errgroup.Group
		for range 4 {
			all.Go(func() error {
				db, err := queue.OpenDB(t.Context(), file)
				if err != nil {
					return err
				}
				return db.Close()
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
