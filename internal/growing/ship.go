package growing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"afterlive.alt/internal/flv"
)

const (
	// LongestExtent is how many bytes an extent has at most.
	LongestExtent = 8 << 20
	// Head is how much of a recording there must be before it is indexed: from its rate and its sizes it
	// is decided what is made of it.
	Head = 12 * time.Second

	atOnce = 4 // extents of one recording on their way
)

// underWay bounds what all shippers of a process hold in memory: 8 extents.
var underWay = make(chan struct{}, 8)

// ErrAnother is a name under which another recording grows, or grew.
var ErrAnother = errors.New("the name is taken by another recording")

// Shipper brings a file that grows into the store. Two of one file, in one process or several, do
// no harm: each extent is written once, and they agree on all else.
type Shipper struct {
	store Store
	key   string
	file  *os.File
	fresh State // with which it begins if it is the first

	origin string // whose file it is; "": nobody else ships the recording

	state   *State
	etag    string
	source  *window
	scanner *flv.Scanner
	written []int64 // extents that nobody was told of yet
}

// window is the bytes of a file up to where they are final.
type window struct {
	file     io.ReaderAt
	at, upTo int64
}

func (w *window) Read(b []byte) (int, error) {
	if w.at >= w.upTo {
		return 0, io.EOF
	}
	n, err := w.file.ReadAt(b[:min(int64(len(b)), w.upTo-w.at)], w.at)
	w.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Open goes on where the store says that a recording is, or begins it. began and promised are told of
// one that begins. [ErrAnother]: the store has another one of this name.
func Open(ctx context.Context, store Store, key string, file *os.File, began time.Time, promised string) (*Shipper, error) {
	s := &Shipper{store: store, key: key, file: file, fresh: State{Version: stateVersion, Began: began.UTC(), Promised: promised}}
	if err := s.resume(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// resume reads what the store has, and the file up to where it had been when it was first indexed.
func (s *Shipper) resume(ctx context.Context) error {
	state, etag, err := Load(ctx, s.store, s.key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fresh := s.fresh
		state, etag = &fresh, ""
	case err != nil:
		return err
	case len(state.Turns) > 0 != (s.origin != ""): // what several origins ship is more than what one of them has
		return fmt.Errorf("ship %s: %w", s.key, ErrAnother)
	default:
		first := make([]byte, state.first())
		if _, err := s.file.ReadAt(first, 0); errors.Is(err, io.EOF) || err == nil && versionOf(first) != state.ID {
			return fmt.Errorf("ship %s: %w", s.key, ErrAnother)
		} else if err != nil {
			return fmt.Errorf("ship %s: %w", s.key, err)
		}
	}
	s.state, s.etag = state, etag
	s.source, s.scanner, err = scanHead(s.file, state.Head)
	if err != nil {
		return fmt.Errorf("ship %s: %w", s.key, err)
	}
	return nil
}

// scanHead begins to index a file of which so much was known when it was first indexed.
func scanHead(file *os.File, head int64) (*window, *flv.Scanner, error) {
	source := &window{file: file, upTo: head}
	scanner := flv.NewScanner(source)
	if head == 0 {
		return source, scanner, nil
	}
	err := scanner.More()
	if err == nil {
		_, err = scanner.Index()
	}
	return source, scanner, err
}

// Shipped is what is in the store by now.
func (s *Shipper) Shipped() State { return *s.state }

// Lasts is how much there is to be seen or heard of what is in the store.
func (s *Shipper) Lasts() time.Duration { return s.scanner.Lasts() }

// Pending is how much the file has that the store has not.
func (s *Shipper) Pending() (int64, error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size() - s.state.End, nil
}

// Ship stores what has come since, up to the last whole tag, and then tells of it. ended: nothing more
// will come. An error of type [*flv.Error] means that what is there cannot be understood: it is
// no use to ship more. After any other, it may be tried again.
func (s *Shipper) Ship(ctx context.Context, ended bool) error {
	for {
		if s.state.Ended {
			if err := s.atItsEnd(); err != nil && s.origin != "" {
				return ErrTaken // another has ended it
			}
			return s.atItsEnd()
		}
		err := s.ship(ctx, ended)
		if s.origin != "" && (errors.Is(err, errOvertaken) || errors.Is(err, ErrAnother)) {
			if err := s.Refresh(ctx); err != nil {
				return err
			}
			if errors.Is(err, errOvertaken) {
				continue // somebody has joined, or left
			}
			return ErrTaken
		}
		if !errors.Is(err, errOvertaken) {
			return err
		}
		if err := s.resume(ctx); err != nil {
			return err
		}
		if s.state.Object != "" { // what was written meanwhile comes too late to be removed with the others
			if err := remove(ctx, s.store, s.key, s.written); err != nil {
				return err
			}
		}
		s.written = nil
	}
}

// Wait tells that the recording's publisher is gone, and until when it may come back. What was shipped of it
// stays as it is meanwhile.
func (s *Shipper) Wait(ctx context.Context, until time.Time) error {
	for {
		if s.state.Ended || s.state.End == 0 || s.state.Waiting.Equal(until) {
			return nil
		}
		next := *s.state
		next.Waiting = until.UTC()
		err := s.commit(ctx, &next)
		if !errors.Is(err, errOvertaken) {
			return err
		}
		again := s.resume
		if s.origin != "" {
			again = s.Refresh
		}
		if err := again(ctx); err != nil {
			return err
		}
	}
}

// Closing tells whether somebody wants it to end: see [AskToEnd].
func (s *Shipper) Closing(ctx context.Context) (bool, error) {
	_, etag, err := s.store.Stat(ctx, stateKey(s.key))
	if err != nil || etag == s.etag {
		return s.state.Closing, err
	}
	state, _, err := Load(ctx, s.store, s.key)
	return err == nil && (state.Closing || state.Ended), err
}

// atItsEnd refuses a file that went on when its recording had been ended.
func (s *Shipper) atItsEnd() error {
	pending, err := s.Pending()
	if err == nil && pending != 0 {
		err = fmt.Errorf("ship %s: it has ended, and the file has %d bytes more: %w", s.key, pending, ErrAnother)
	}
	return err
}

// errOvertaken is another shipper that was first.
var errOvertaken = errors.New("another process is at it")

func (s *Shipper) ship(ctx context.Context, ended bool) error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("ship %s: %w", s.key, err)
	}
	if info.Size() < s.state.End {
		return fmt.Errorf("ship %s: the file has %d bytes, and %d were shipped: %w", s.key, info.Size(), s.state.End, ErrAnother)
	}
	s.source.upTo = info.Size()
	next := *s.state
	next.Extents = slices.Clone(next.Extents)
	index, err := s.index(&next, ended)
	if err != nil {
		return fmt.Errorf("ship %s: %w", s.key, err)
	}
	if next.End == 0 {
		next.Began = s.began(info.ModTime())
	}
	to := s.scanner.Offset()
	if ended {
		to = info.Size()
	}
	if to == next.End && !ended || to == 0 {
		return nil
	}
	if ended { // whoever ends it, too, may have made one object of it by now
		if _, etag, err := Load(ctx, s.store, s.key); err == nil && etag != s.etag {
			return errOvertaken
		}
	}
	if err := s.extents(ctx, &next, to); err != nil {
		return fmt.Errorf("ship %s: %w", s.key, err)
	}
	next.Ended, next.Told, next.Waiting, next.Yields = ended, time.Now().UTC(), time.Time{}, ""
	if index != nil {
		next.Size = index.Size
		if next.Index, err = index.Marshal(); err != nil {
			return fmt.Errorf("ship %s: %w", s.key, err)
		}
	}
	return s.commit(ctx, &next)
}

// began is when the recording began: the recorder writes all as it comes, so what was written last is as old as the file
// says, and the recording as long as it lasts. Where that is far from what was told, time is missing in it.
func (s *Shipper) began(written time.Time) time.Time {
	if at := written.Add(-s.scanner.Lasts()).UTC(); at.Sub(s.fresh.Began).Abs() <= roughly {
		return at
	}
	return s.fresh.Began
}

// roughly is how far off what is told of a recording's beginning may be.
const roughly = 3 * time.Second

// index takes in what has come; nil: it is too little, or nothing to be seen or heard has come since.
func (s *Shipper) index(next *State, ended bool) (*flv.Index, error) {
	s.source.at = s.scanner.Offset() // a torn tag may have been cut off since
	s.scanner.Again(s.source)
	if ended {
		return s.scanner.End()
	}
	if err := s.scanner.More(); err != nil {
		return nil, err
	}
	if next.Head == 0 {
		if s.scanner.Lasts() < Head {
			return nil, nil //nolint:nilnil // it has just begun
		}
	}
	index, err := s.scanner.Index()
	if _, unfit := errors.AsType[*flv.Error](err); unfit { // the first frame is on its way, say
		return nil, nil //nolint:nilnil // see above
	}
	if err == nil && next.Head == 0 {
		next.Head = s.scanner.Offset()
	}
	return index, err
}
