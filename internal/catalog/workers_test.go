package catalog

import (
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
)

// Workers are listed that were seen lately, once each, also across the hour; those that have ended, or died, are not.
func TestWorkers(t *testing.T) {
	store := testenv.NewMemory()
	now := time.Date(2026, 11, 26, 18, 1, 0, 0, time.UTC)
	note := func(name string, ago time.Duration, ended bool) {
		t.Helper()
		if err := NoteWorker(t.Context(), store, Worker{Name: name, Seen: now.Add(-ago), Ended: ended, Tasks: []Doing{}}); err != nil {
			t.Fatal(err)
		}
	}
	note("alive", 2*time.Minute, false) // in the hour before
	note("alive", 10*time.Second, false)
	note("crossing", 90*time.Second, false)
	note("died", 4*time.Minute, false)
	note("ended", time.Minute+30*time.Second, false)
	note("ended", 20*time.Second, true)
	note("long ago", 5*time.Hour, false)
	all, err := Workers(t.Context(), store, now)
	if err != nil || len(all) != 2 || all[0].Name != "alive" || now.Sub(all[0].Seen) != 10*time.Second || all[1].Name != "crossing" {
		t.Errorf("%+v, %v", all, err)
	}
	if old, err := OldWorkers(t.Context(), store, now); err != nil || len(old) != 1 {
		t.Errorf("old: %v, %v", old, err)
	}
}

// A profile is unknown if all workers that can be asked know others.
func TestProfileUnknown(t *testing.T) {
	store := testenv.NewMemory()
	now := time.Date(2026, 11, 26, 18, 1, 0, 0, time.UTC)
	ask := func(profile, want string) {
		t.Helper()
		if known, err := ProfileUnknown(t.Context(), store, now, profile); err != nil || known != want {
			t.Errorf("%s: %q, %v, want %q", profile, known, err, want)
		}
	}
	note := func(name string, ago time.Duration, profiles ...string) {
		t.Helper()
		if err := NoteWorker(t.Context(), store, Worker{Name: name, Seen: now.Add(-ago), Tasks: []Doing{}, Profiles: profiles}); err != nil {
			t.Fatal(err)
		}
	}
	ask("36O", "") // nobody is there
	note("died", time.Hour, "36O")
	note("one", time.Second, "360", "flat")
	ask("36O", "360, flat")
	ask("360", "")
	ask("auto", "")
	note("two", time.Second, "own", "flat")
	ask("36O", "360, flat, own")
	ask("own", "")
	note("older", time.Second)
	ask("36O", "")
}
