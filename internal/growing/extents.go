package growing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// extents stores the bytes up to an offset, several extents at once. One that is there already was
// written by a shipper that could not tell of it: as far as it goes, it is as good.
func (s *Shipper) extents(ctx context.Context, next *State, to int64) error {
	most := atOnce
	if s.origin != "" { // so that what an origin has stored and could not tell of is right behind what is told
		most = 1
	}
	for next.End < to {
		var sizes [atOnce]int64
		group, inGroup := errgroup.WithContext(ctx)
		for i := range most {
			from := next.End + int64(i)*LongestExtent
			if from >= to {
				break
			}
			group.Go(func() (err error) {
				sizes[i], err = s.extent(inGroup, from, min(to, from+LongestExtent))
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i, n := range sizes {
			if n == 0 || i > 0 && sizes[i-1] < LongestExtent {
				break
			}
			if next.End == 0 {
				first := make([]byte, n)
				if _, err := s.file.ReadAt(first, 0); err != nil {
					return err
				}
				next.ID = versionOf(first)
			}
			s.written = append(s.written, next.End)
			next.Extents = append(next.Extents, next.End)
			next.End += n
		}
		if next.End < to { // who catches up is alive: it tells so on the way
			soFar := *next
			soFar.Head, soFar.Size, soFar.Index = s.state.Head, s.state.Size, s.state.Index
			soFar.Extents, soFar.Told, soFar.Waiting = slices.Clone(next.Extents), time.Now().UTC(), time.Time{}
			if err := s.commit(ctx, &soFar); err != nil {
				return err
			}
		}
	}
	return nil
}

// extent stores the bytes [from, to), and returns how many the extent has.
func (s *Shipper) extent(ctx context.Context, from, to int64) (int64, error) {
	select {
	case underWay <- struct{}{}:
		defer func() { <-underWay }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	body := make([]byte, to-from)
	if _, err := s.file.ReadAt(body, from); err != nil {
		return 0, err
	}
	err := s.store.Write(ctx, extentKey(s.key, from), body, "")
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return to - from, err
	}
	there, _, err := s.store.Load(ctx, extentKey(s.key, from))
	if err != nil {
		return 0, err
	}
	same := make([]byte, len(there))
	if _, err := s.file.ReadAt(same, from); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if len(there) == 0 || !bytes.Equal(there, same) {
		return 0, ErrAnother
	}
	return int64(len(there)), nil
}

// commit makes a state the recording's, if nobody else has done more meanwhile.
func (s *Shipper) commit(ctx context.Context, next *State) error {
	body, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("ship %s: %w", s.key, err)
	}
	err = s.store.Write(ctx, stateKey(s.key), body, s.etag)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, etag, err := s.store.Load(ctx, stateKey(s.key))
	if err != nil {
		return err
	}
	if !bytes.Equal(there, body) { // else it was us, even if an answer got lost
		return errOvertaken
	}
	s.state, s.etag, s.written = next, etag, nil
	return nil
}
