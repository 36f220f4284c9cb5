package growing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/flv"
)

const key = "recordings/live/talk/talk-1764000000.flv"

// recorded is a recording of so many seconds, made once.
var recorded = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=40", "-f", "lavfi", "-i", "sine=b=4:r=44100:d=40",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-b:v", "3M", "-c:a", "aac", "-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1").Output()
})

// unreliable is a store whose operations fail now and then, some after they were done; which key was
// written how often it counts.
type unreliable struct {
	*blob.Dir

	random *rand.Rand
	fails  int // one of so many; 0: none
	mu     sync.Mutex
	writes map[string]int
}

var errAway = errors.New("the store is away")

func (u *unreliable) fault() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fails > 0 && u.random.IntN(u.fails) == 0
}

func (u *unreliable) Write(ctx context.Context, key string, body []byte, etag string) error {
	if u.fault() {
		return errAway
	}
	err := u.Dir.Write(ctx, key, body, etag)
	if err == nil {
		u.mu.Lock()
		u.writes[key]++
		u.mu.Unlock()
	}
	if u.fault() {
		return errAway
	}
	return err
}

func (u *unreliable) Load(ctx context.Context, key string) ([]byte, string, error) {
	if u.fault() {
		return nil, "", errAway
	}
	return u.Dir.Load(ctx, key)
}

func newStore(t *testing.T, seed uint64, fails int) *unreliable {
	t.Helper()
	dir, err := blob.NewDir(t.TempDir())
	must(t, err)
	return &unreliable{Dir: dir, random: rand.New(rand.NewPCG(seed, 0)), fails: fails, writes: map[string]int{}} //nolint:gosec // a test
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A file that grows in pieces is shipped by whoever is at it, who may be killed or be two; the store may
// fail. In the end all of it is there, each extent was written once, the index is that of the
// whole file, and it only ever grew.
func TestShip(t *testing.T) {
	body, err := recorded()
	must(t, err)
	whole, err := flv.Scan(bytes.NewReader(body))
	must(t, err)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
			store := newStore(t, seed, int(seed%4)*8)
			name := filepath.Join(t.TempDir(), "talk.flv")
			writer, err := os.Create(name)
			must(t, err)
			defer writer.Close()
			file, err := os.Open(name)
			must(t, err)
			defer file.Close()
			shippers := make([]*Shipper, 2)
			version := ""
			for written := 0; written < len(body); {
				n := min(len(body)-written, 1+random.IntN(len(body)/20))
				_, err := writer.Write(body[written : written+n])
				must(t, err)
				written += n
				i := random.IntN(2)
				if shippers[i] == nil || random.IntN(4) == 0 { // it begins, or was killed
					if shippers[i], err = Open(t.Context(), store, key, file, time.Unix(1764000000, 0), ""); err != nil {
						shippers[i] = nil
						continue
					}
				}
				if err := shippers[i].Ship(t.Context(), false); err != nil && !errors.Is(err, errAway) {
					t.Fatal(err)
				}
				s, _, err := Load(t.Context(), store.Dir, key)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				must(t, err)
				if version != "" && s.ID != version || s.End > int64(written) {
					t.Fatalf("%+v after %d bytes, before it was %s", s, written, version)
				}
				version = s.ID
			}
			var s *Shipper
			for s == nil || s.Ship(t.Context(), true) != nil {
				if s, err = Open(t.Context(), store, key, file, time.Time{}, ""); err != nil {
					s = nil
				}
			}
			state, _, err := Load(t.Context(), store.Dir, key)
			must(t, err)
			index, err := state.ReadIndex()
			must(t, err)
			if !state.Ended || state.End != int64(len(body)) || !reflect.DeepEqual(index, whole) || !state.Began.Equal(time.Unix(1764000000, 0)) {
				t.Fatalf("%+v\n%+v\nwhole: %+v", state, index, whole)
			}
			for k, n := range store.writes {
				if n != 1 && !strings.HasSuffix(k, ".json") {
					t.Errorf("%s was written %d times", k, n)
				}
			}
			readAll(t, store.Dir, state.ID, body, random)
			must(t, store.Upload(t.Context(), key, name))
			_, etag, err := store.Stat(t.Context(), key)
			must(t, err)
			for Complete(t.Context(), store, key, etag) != nil {
			}
			readAll(t, store.Dir, state.ID, body, random)
			if left, err := store.List(t.Context(), folder(key)); err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// readAll reads pieces by offset.
func readAll(t *testing.T, store Store, version string, body []byte, random *rand.Rand) {
	t.Helper()
	r := Recordings{Store: store}
	for range 20 {
		from := random.IntN(len(body))
		to := from + 1 + random.IntN(len(body)-from)
		source, err := r.Read(t.Context(), key, version, int64(from), int64(to))
		must(t, err)
		got, err := io.ReadAll(source)
		must(t, errors.Join(err, source.Close()))
		if !bytes.Equal(got, body[from:to]) {
			t.Fatalf("bytes [%d, %d) differ", from, to)
		}
	}
	if _, err := r.Read(t.Context(), key, "growing-of-another", 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another version: %v", err)
	}
}

// halfShipped is a recording of which the first half is in a file, and in a store.
func halfShipped(t *testing.T, body []byte) (store *unreliable, name string, s *Shipper) {
	t.Helper()
	store, name = newStore(t, 0, 0), filepath.Join(t.TempDir(), "talk.flv")
	must(t, os.WriteFile(name, body[:len(body)/2], 0o600))
	file, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { must(t, file.Close()) })
	s, err = Open(t.Context(), store, key, file, time.Now(), "")
	must(t, err)
	must(t, s.Ship(t.Context(), false))
	return store, name, s
}

// Who reads while the recording becomes one object goes on there.
func TestReadWhileItIsCompleted(t *testing.T) {
	body, err := recorded()
	must(t, err)
	store, name, s := halfShipped(t, body)
	must(t, os.WriteFile(name, body, 0o600))
	must(t, s.Ship(t.Context(), true))
	state := s.Shipped()
	source, err := Recordings{Store: store}.Read(t.Context(), key, state.ID, 0, state.End)
	must(t, err)
	begun := make([]byte, 1000)
	_, err = io.ReadFull(source, begun)
	must(t, err)
	must(t, store.Upload(t.Context(), key, name))
	_, etag, err := store.Stat(t.Context(), key)
	must(t, err)
	must(t, Complete(t.Context(), store, key, etag))
	rest, err := io.ReadAll(source)
	must(t, errors.Join(err, source.Close()))
	if !bytes.Equal(slices.Concat(begun, rest), body) {
		t.Error("what was read differs")
	}
}

// Another recording of the same name is told apart, and what cannot be understood is refused.
func TestShipAnother(t *testing.T) {
	body, err := recorded()
	must(t, err)
	store := newStore(t, 0, 0)
	open := func(body []byte) (*Shipper, error) {
		name := filepath.Join(t.TempDir(), "talk.flv")
		must(t, os.WriteFile(name, body, 0o600))
		file, err := os.Open(name)
		must(t, err)
		t.Cleanup(func() { file.Close() })
		return Open(t.Context(), store, key, file, time.Now(), "")
	}
	s, err := open(body)
	must(t, err)
	must(t, s.Ship(t.Context(), false))
	changed := bytes.Clone(body)
	changed[len(changed)/3] ^= 1
	for _, other := range [][]byte{changed, body[:100]} {
		if _, err := open(other); !errors.Is(err, ErrAnother) {
			t.Errorf("another of %d bytes: %v", len(other), err)
		}
	}
	must(t, Abandon(t.Context(), store, key))
	if left, err := store.List(t.Context(), folder(key)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	s, err = open([]byte("this is not a recording, but long enough to be one"))
	must(t, err)
	if _, refused := errors.AsType[*flv.Error](s.Ship(t.Context(), false)); !refused {
		t.Error("it was shipped")
	}
}

// A recording whose recorder is gone ends with what is there, as if it had ended there.
func TestEndAsItIs(t *testing.T) {
	body, err := recorded()
	must(t, err)
	store, name, s := halfShipped(t, body)
	must(t, os.WriteFile(name, body[:len(body)*3/4], 0o600))
	must(t, s.Ship(t.Context(), false))
	shipped := s.Shipped()
	for range 2 {
		before, _, err := Load(t.Context(), store, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := EndAsItIs(t.Context(), store, key, before.End-1); !before.Ended && !errors.Is(err, ErrGrows) {
			t.Errorf("ended, though more has come than was seen: %v", err)
		}
		state, err := EndAsItIs(t.Context(), store, key, before.End)
		must(t, err)
		index, err := state.ReadIndex()
		must(t, err)
		whole, err := flv.Scan(bytes.NewReader(body[:shipped.End]))
		must(t, err)
		if !state.Ended || state.ID != shipped.ID || state.End != shipped.End || !reflect.DeepEqual(index, whole) {
			t.Errorf("%+v\n%+v\n%+v", state, index, whole)
		}
	}
	// The recorder comes back with more: that is another recording.
	must(t, os.WriteFile(name, body, 0o600))
	if err := s.Ship(t.Context(), true); !errors.Is(err, ErrAnother) {
		t.Errorf("it went on: %v", err)
	}
}

// Two end a recording at once, and one of them has made one object of it before the other is done: nothing is left of
// what that wrote.
func TestEndedByTwo(t *testing.T) {
	body, err := recorded()
	must(t, err)
	store, name, late := halfShipped(t, body)
	must(t, os.WriteFile(name, body, 0o600))
	early, err := Open(t.Context(), store, key, late.file, time.Now(), "")
	must(t, err)
	must(t, early.Ship(t.Context(), true))
	must(t, store.Upload(t.Context(), key, name))
	_, etag, err := store.Stat(t.Context(), key)
	must(t, err)
	must(t, Complete(t.Context(), store, key, etag))
	must(t, late.Ship(t.Context(), false)) // it has not seen the end yet
	must(t, late.Ship(t.Context(), true))
	if left, err := store.List(t.Context(), folder(key)); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Who ships a recording tells until when its publisher may come back, whatever others have told meanwhile; and hears when an
// operator doesn't want to wait.
func TestWaitAndClose(t *testing.T) {
	body, err := recorded()
	must(t, err)
	store, name, s := halfShipped(t, body)
	if _, err := AskToEnd(t.Context(), store, "recordings/other.flv"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("closed: %v", err)
	}
	until := time.Now().Add(time.Minute)
	for range 2 {
		must(t, s.Wait(t.Context(), until))
		if now, _, err := Load(t.Context(), store, key); err != nil || !now.Waiting.Equal(until) || now.Closing {
			t.Errorf("%+v, %v", now, err)
		}
	}
	if closing, err := s.Closing(t.Context()); err != nil || closing {
		t.Errorf("closing %v, %v", closing, err)
	}
	for range 2 {
		if now, err := AskToEnd(t.Context(), store, key); err != nil || !now.Closing {
			t.Errorf("%+v, %v", now, err)
		}
	}
	if closing, err := s.Closing(t.Context()); err != nil || !closing {
		t.Errorf("closing %v, %v", closing, err)
	}
	must(t, s.Wait(t.Context(), until.Add(time.Minute)))
	must(t, os.WriteFile(name, body, 0o600))
	must(t, s.Ship(t.Context(), false))
	if now := s.Shipped(); !now.Waiting.IsZero() || !now.Closing || now.Ended {
		t.Errorf("it goes on: %+v", now)
	}
	must(t, s.Ship(t.Context(), true))
	must(t, s.Wait(t.Context(), until))
	if now, err := AskToEnd(t.Context(), store, key); err != nil || !now.Ended || !now.Waiting.IsZero() {
		t.Errorf("%+v, %v", now, err)
	}
}

// A recording began as long before it was written to as it lasts, if that is about when it is told to have begun.
func TestBegan(t *testing.T) {
	body, err := recorded()
	must(t, err)
	index, err := flv.Scan(bytes.NewReader(body))
	must(t, err)
	written := time.Date(2026, 5, 1, 20, 0, 0, 123e6, time.UTC)
	began := written.Add(-(index.Video.Last - index.Video.First))
	for _, tc := range []struct{ told, want time.Time }{
		{began.Add(-900 * time.Millisecond), began},
		{began.Add(700 * time.Millisecond), began},
		{began.Add(-time.Minute), began.Add(-time.Minute)},
	} {
		name := filepath.Join(t.TempDir(), "r.flv")
		must(t, errors.Join(os.WriteFile(name, body, 0o600), os.Chtimes(name, written, written)))
		file, err := os.Open(name)
		must(t, err)
		store, err := blob.NewDir(t.TempDir())
		must(t, err)
		s, err := Open(t.Context(), store, key, file, tc.told, "")
		must(t, err)
		must(t, s.Ship(t.Context(), false))
		if got := s.Shipped().Began; got.Sub(tc.want).Abs() > 100*time.Millisecond {
			t.Errorf("told %s: began %s, want %s", tc.told, got, tc.want)
		}
		must(t, file.Close())
	}
}
