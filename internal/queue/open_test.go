package queue_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/queue"
	"afterlive.alt/job"
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

// A database that is removed or replaced while a worker has it open is noticed: nobody sends to that any more.
func TestDatabaseIsGone(t *testing.T) {
	for name, harm := range map[string]func(file string) error{
		"removed": os.Remove,
		"replaced": func(file string) error {
			return errors.Join(os.Rename(file, file+".old"), os.WriteFile(file, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "queue.db")
			db, err := queue.OpenDB(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			q := queue.NewSQLite(db, "tasks", 0)
			if d, err := q.Receive(t.Context(), time.Minute); d != nil || err != nil {
				t.Fatalf("%v, %v", d, err)
			}
			if err := harm(file); err != nil {
				t.Fatal(err)
			}
			if _, err := q.Receive(t.Context(), time.Minute); !errors.Is(err, job.ErrQueueGone) || !strings.Contains(err.Error(), "enqueue resume") {
				t.Errorf("got %v", err)
			}
			if err := q.Send(t.Context(), []byte("x"), 0); !errors.Is(err, job.ErrQueueGone) {
				t.Errorf("who sends gets %v", err)
			}
		})
	}
}

// What is no database any more is told, with the way back.
func TestNoDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queue.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("this is not a database. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if db, err := queue.OpenDB(t.Context(), file); err == nil || !strings.Contains(err.Error(), "enqueue resume") {
		t.Errorf("got %v, %v", db, err)
	}
}
