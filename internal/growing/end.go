package growing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"afterlive.alt/internal/flv"
)

// ErrGrows is a recording of which something has come that who wanted to end it hadn't seen.
var ErrGrows = errors.New("the recording goes on")

// EndAsItIs ends a recording whose recorder is gone: what is in the store is all that there will be of it, seen bytes. It
// may be done again. [fs.ErrNotExist]: nothing of it is there. [ErrGrows]: by now there is more.
func EndAsItIs(ctx context.Context, store Objects, key string, seen int64) (*State, error) {
	for {
		s, etag, err := Load(ctx, store, key)
		if err != nil || s.Ended {
			return s, err
		}
		if s.End != seen {
			return nil, fmt.Errorf("end %s: %w", key, ErrGrows)
		}
		index, err := s.scan(ctx, store, key)
		if err != nil {
			return nil, fmt.Errorf("end %s: %w", key, err)
		}
		s.Ended, s.Abandoned, s.Size = true, true, index.Size
		if s.Index, err = index.Marshal(); err != nil {
			return nil, fmt.Errorf("end %s: %w", key, err)
		}
		body, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("end %s: %w", key, err)
		}
		if err := store.Write(ctx, stateKey(key), body, etag); !errors.Is(err, fs.ErrExist) {
			return s, err
		}
	}
}

// AskToEnd asks for a recording to end as soon as its publisher is gone, without waiting for it to come back. Who ships it looks
// for that. It may be done again. [fs.ErrNotExist]: nothing of it is there.
func AskToEnd(ctx context.Context, store Objects, key string) (*State, error) {
	return change(ctx, store, key, func(s *State) bool {
		asks := !s.Ended && !s.Closing
		s.Closing = s.Closing || asks
		return asks
	})
}

// change changes the state of a recording, whatever others do meanwhile. do returns false if there is nothing to change.
func change(ctx context.Context, store Objects, key string, do func(*State) bool) (*State, error) {
	for {
		s, etag, err := Load(ctx, store, key)
		if err != nil || !do(s) {
			return s, err
		}
		body, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("change %s: %w", key, err)
		}
		if err := store.Write(ctx, stateKey(key), body, etag); !errors.Is(err, fs.ErrExist) {
			return s, err
		}
	}
}

// scan indexes all of its extents, with the zero that its head had told.
func (s *State) scan(ctx context.Context, store Objects, key string) (*flv.Index, error) {
	source, err := Recordings{Store: store}.Read(ctx, key, s.ID, 0, s.End)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	soFar := &upTo{Reader: source, left: s.Head}
	scanner := flv.NewScanner(soFar)
	if s.Head > 0 {
		if err := scanner.More(); err != nil {
			return nil, err
		}
		if _, err := scanner.Index(); err != nil {
			return nil, err
		}
	}
	soFar.left = s.End - s.Head
	return scanner.End()
}

// upTo is a reader that ends after so many bytes, for now.
type upTo struct {
	io.Reader

	left int64
}

func (u *upTo) Read(b []byte) (int, error) {
	if u.left == 0 {
		return 0, io.EOF
	}
	n, err := u.Reader.Read(b[:min(int64(len(b)), u.left)])
	u.left -= int64(n)
	return n, err
}
