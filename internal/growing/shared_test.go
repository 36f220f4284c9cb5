package growing

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// participant is an origin that has all of a stream in a file, and puts as much behind its copy as it likes.
type participant struct {
	name   string
	mirror *Mirror
	ships  *Shipper
}

// Origins ship one recording in turns, in random order; they take it from each other at any moment, die and come back, and the store fails, also
// after it has done what it was asked for. Nobody who looks on sees anything change that was there, each extent is created once, and in the end all is there.
func TestInTurns(t *testing.T) {
	body, err := recorded()
	must(t, err)
	whole, err := flv.Scan(bytes.NewReader(body))
	must(t, err)
	var ends []int64 // of tags
	for tags := flv.ReadTags(bytes.NewReader(body), 0); ; {
		x, err := tags.Next()
		if err != nil {
			break
		}
		ends = append(ends, x.Offset+x.Size)
	}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
			store := newStore(t, seed, int(seed%4)*10)
			all := []*participant{{name: "a"}, {name: "b"}, {name: "c"}}
			told := int64(0)
			for steps := 0; told < int64(len(body)); steps++ {
				if steps > 3000 {
					t.Fatalf("%d bytes of %d after %d steps", told, len(body), steps)
				}
				p := all[random.IntN(len(all))]
				if err := p.step(t, store, body, ends, random); err != nil && !errors.Is(err, errAway) {
					t.Fatalf("%s: %v", p.name, err)
				}
				s, _, err := Load(t.Context(), store.Dir, key)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				must(t, err)
				if s.End < told || len(s.Turns) == 0 || s.Turns[len(s.Turns)-1].From > s.End {
					t.Fatalf("it shrank from %d: %+v", told, s)
				}
				told = s.End
				readAll(t, store.Dir, s.ID, body[:told], random)
			}
			var p *participant
			for err := errAway; err != nil; {
				p = &participant{name: "a"}
				err = p.end(t, store)
				if err != nil && !errors.Is(err, errAway) {
					t.Fatal(err)
				}
			}
			s, _, err := Load(t.Context(), store.Dir, key)
			must(t, err)
			index, err := s.ReadIndex()
			must(t, err)
			if !s.Ended || s.End != int64(len(body)) || !reflect.DeepEqual(index, whole) {
				t.Errorf("%+v\n%+v\nwhole: %+v", s, index, whole)
			}
			for k, n := range store.writes {
				if n != 1 && !strings.HasSuffix(k, ".json") {
					t.Errorf("%s was written %d times", k, n)
				}
			}
		})
	}
}

// step is one of an origin's life: it looks, takes its turn, ships, or dies and comes back.
func (p *participant) step(t *testing.T, store *unreliable, body []byte, ends []int64, random *rand.Rand) (err error) {
	t.Helper()
	if p.mirror == nil {
		p.mirror, err = NewMirror(store, key, t.TempDir())
		return err
	}
	switch random.IntN(10) {
	case 0: // it dies
		must(t, p.mirror.Close())
		p.mirror, p.ships = nil, nil
		return nil
	case 1, 2:
		if p.ships == nil {
			return p.begins(t, store, random)
		}
	}
	if p.ships == nil {
		_, err := p.mirror.Look(t.Context())
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	info, err := p.mirror.File().Stat()
	must(t, err)
	if i, _ := slices.BinarySearch(ends, info.Size()+1+int64(random.IntN(60_000))); i < len(ends) && random.IntN(4) > 0 {
		_, err = p.mirror.File().Write(body[info.Size():ends[i]])
		must(t, err)
	} else if info.Size() < int64(len(body)) {
		_, err = p.mirror.File().Write(body[info.Size():])
		must(t, err)
	}
	err = p.ships.Ship(t.Context(), false)
	if errors.Is(err, ErrTaken) {
		p.ships = nil
		_, err = p.mirror.Cut()
		return err
	}
	if err == nil {
		p.mirror.Shipped(p.ships)
	}
	return err
}

// begins takes the turn, or begins the recording.
func (p *participant) begins(t *testing.T, store *unreliable, random *rand.Rand) error {
	t.Helper()
	_, err := p.mirror.Look(t.Context())
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := p.mirror.Cut(); err != nil {
			return err
		}
		body, err := recorded()
		must(t, err)
		n := 1000 + random.IntN(100_000)
		_, err = p.mirror.File().Write(body[:n])
		must(t, err)
		_ = store
		p.ships, err = p.mirror.Shipper(t.Context(), p.name, time.Now(), "")
		if errors.Is(err, ErrTaken) || errors.Is(err, ErrAnother) {
			_, err = p.mirror.Cut()
		}
		return err
	}
	if err != nil {
		return err
	}
	won, err := p.mirror.Take(t.Context(), p.name, random.IntN(2) == 0)
	if err != nil || !won {
		return err
	}
	p.ships, err = p.mirror.Shipper(t.Context(), p.name, time.Time{}, "")
	if errors.Is(err, ErrTaken) {
		return nil
	}
	return err
}

// end takes the turn, and ends the recording.
func (p *participant) end(t *testing.T, store *unreliable) (err error) {
	t.Helper()
	if p.mirror, err = NewMirror(store, key, t.TempDir()); err != nil {
		return err
	}
	defer p.mirror.Close()
	if _, err := p.mirror.Look(t.Context()); err != nil {
		return err
	}
	if p.mirror.State().Ended { // only the answer was lost
		return nil
	}
	if _, err := p.mirror.Take(t.Context(), p.name, false); err != nil {
		return err
	}
	if p.ships, err = p.mirror.Shipper(t.Context(), p.name, time.Time{}, ""); err != nil {
		return err
	}
	return p.ships.Ship(t.Context(), true)
}

// Of origins that begin a stream at once, one's recording is that of all. Who joins and leaves is noted, and an origin that ships alone has nothing to do
// with what several ship.
func TestTheyBeginOne(t *testing.T) {
	store := newStore(t, 0, 0)
	if current, _, err := Current(t.Context(), store, key); err != nil || current != "" {
		t.Fatal(current, err)
	}
	other := strings.Replace(key, ".flv", "-b.flv", 1)
	for want, k := range map[bool]string{true: key, false: other} {
		_ = want
		won, err := Begin(t.Context(), store, k, "")
		must(t, err)
		current, state, err := Current(t.Context(), store, k)
		must(t, err)
		if state != nil || won != (current == k) {
			t.Errorf("%s: %v, current %s", k, won, current)
		}
	}
	current, _, err := Current(t.Context(), store, key)
	must(t, err)
	if won, err := Begin(t.Context(), store, other, "recordings/live/talk/none.flv"); err != nil || won && current != other {
		t.Errorf("begun in place of what isn't there: %v, %v", won, err)
	}
	body, err := recorded()
	must(t, err)
	m, err := NewMirror(store, key, t.TempDir())
	must(t, err)
	_, err = m.File().Write(body)
	must(t, err)
	s, err := m.Shipper(t.Context(), "a", time.Now(), "")
	must(t, err)
	must(t, s.Ship(t.Context(), false))
	must(t, errors.Join(Join(t.Context(), store, key, "b"), Join(t.Context(), store, key, "b"), Leave(t.Context(), store, key, "a"), s.Refresh(t.Context()), s.Yield(t.Context(), AtAHole)))
	if now := s.Shipped(); !slices.Equal(now.Origins, []string{"b"}) || now.Yields != AtAHole {
		t.Errorf("%+v", now)
	}
	if _, err := Open(t.Context(), store, key, m.File(), time.Now(), ""); !errors.Is(err, ErrAnother) {
		t.Errorf("shipped alone: %v", err)
	}
	must(t, m.Close())
}
