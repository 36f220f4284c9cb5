// Package growing keeps recordings in the store while they grow: nginx-rtmp writes every tag to
// the file as it comes, and never changes what it wrote, so what is there of it can be stored,
// read and encoded long before its end.
//
//	recordings/live/talk/talk-1764000000.flv.growing/index.json            its [State], by compare-and-swap
//	recordings/live/talk/talk-1764000000.flv.growing/00000000000000000000  an extent: the bytes from there on
//	recordings/live/talk/talk-1764000000.flv                               the whole, once it has ended
//
// [Shipper] brings a file there, as it grows; [Recordings] reads by offset, whatever objects the
// bytes are in. The first extent fixes a recording's version, which it keeps when it becomes one
// object. So it has the same job, however long it was when a worker looked at it.
package growing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"afterlive.alt/internal/flv"
)

// Store is where recordings are: see pipeline.Recordings and pipeline.Store.
type Store interface {
	Stat(ctx context.Context, key string) (size int64, etag string, err error)
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
	Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error)
	Write(ctx context.Context, key string, body []byte, etag string) error
	Delete(ctx context.Context, key string) error
}

const stateVersion = 1

// State is what is in the store of a recording that grows, or did.
type State struct {
	Version   int             `json:"v"`
	ID        string          `json:"id"`                 // of this version of the recording, made from its first extent
	Began     time.Time       `json:"began"`              // by the recorder's clock, to about a tenth of a second if it has no holes
	Told      time.Time       `json:"told,omitzero"`      // when something was added last, likewise
	Promised  string          `json:"promised,omitempty"` // the video that its stream had announced
	Extents   []int64         `json:"extents"`            // where each begins
	End       int64           `json:"end"`                // behind the last
	Head      int64           `json:"head,omitempty"`     // how much was known when it was first indexed; 0: it is not yet
	Ended     bool            `json:"ended,omitempty"`
	Abandoned bool            `json:"abandoned,omitempty"` // it was ended without its recorder
	Waiting   time.Time       `json:"waiting,omitzero"`    // its publisher is gone; until then it may come back, and the recording go on
	Closing   bool            `json:"closing,omitempty"`   // an operator wants it to end as soon as its publisher is gone
	Origins   []string        `json:"origins,omitempty"`   // that have it at the moment; of one that several origins ship to
	Turns     []Turn          `json:"turns,omitempty"`     // which of them its bytes are from; the last is the one to go on
	Yields    string          `json:"yields,omitempty"`    // why another one is to go on: see AtAHole
	Object    string          `json:"object,omitempty"`    // version of the object that has all of it; then the extents go
	Size      int64           `json:"size,omitempty"`      // that Index speaks of
	Index     json.RawMessage `json:"index,omitempty"`
}

// Turn is when an origin began to ship.
type Turn struct {
	Origin string `json:"origin"`
	From   int64  `json:"from"` // its first byte
}

// Writer is the origin whose turn it is; "": it is shipped by one alone.
func (s *State) Writer() string {
	if n := len(s.Turns); n > 0 {
		return s.Turns[n-1].Origin
	}
	return ""
}

// versionPrefix tells the versions of recordings that grew from those of objects.
const versionPrefix = "growing-"

// IsVersion tells whether a version is that of a recording that grows, or grew.
func IsVersion(version string) bool { return strings.HasPrefix(version, versionPrefix) }

// Replanned is the version under which a recording is planned anew, as a whole, where its head was not like
// the rest.
func Replanned(version string) string { return version + replanned }

const replanned = "-whole"

// original is the version without that.
func original(version string) string { return strings.TrimSuffix(version, replanned) }

// Has tells whether the recording, or the object that has all of it, is of a version.
func (s *State) Has(version string) bool {
	return s.ID == original(version) || s.Object != "" && s.Object == version
}

func versionOf(first []byte) string {
	sum := sha256.Sum256(first)
	return versionPrefix + hex.EncodeToString(sum[:16])
}

// first is how many bytes the first extent has, from which ID is made.
func (s *State) first() int64 {
	if len(s.Extents) > 1 {
		return s.Extents[1]
	}
	return s.End
}

func folder(key string) string              { return key + ".growing/" }
func stateKey(key string) string            { return folder(key) + "index.json" }
func extentKey(key string, at int64) string { return fmt.Sprintf("%s%020d", folder(key), at) }
func (s *State) extent(at int64) (int64, bool) {
	i, found := slices.BinarySearch(s.Extents, at)
	if !found {
		i--
	}
	if i < 0 || at >= s.End {
		return 0, false
	}
	return s.Extents[i], true
}

// Load is what there is of a recording that grows, or did; [fs.ErrNotExist]: it never did, or nothing
// of it has come yet.
func Load(ctx context.Context, store interface {
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
}, key string) (s *State, etag string, err error) {
	body, etag, err := store.Load(ctx, stateKey(key))
	if err != nil {
		return nil, "", err
	}
	s = &State{}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, "", fmt.Errorf("read %s: %w", stateKey(key), err)
	}
	if s.Version > stateVersion {
		return nil, "", fmt.Errorf("read %s: its version is %d, this program understands %d: update it", stateKey(key), s.Version, stateVersion)
	}
	if !s.valid() {
		return nil, "", fmt.Errorf("read %s: its extents cannot be", stateKey(key))
	}
	return s, etag, nil
}

// valid tells whether a state is what a shipper could have told.
func (s *State) valid() bool {
	all := append(slices.Clone(s.Extents), s.End)
	for i := range s.Extents {
		if n := all[i+1] - all[i]; n <= 0 || n > LongestExtent {
			return false
		}
	}
	return all[0] == 0 && IsVersion(s.ID) && s.Head >= 0 && s.Head <= s.End && s.Size >= 0
}

// IsWhole tells whether an object of so many bytes, of the recording's name, is the whole of it: nobody
// else stores any other under that name.
func (s *State) IsWhole(size int64) bool { return s.Ended && s.Object == "" && s.End == size }

// ReadIndex is the recording's index so far; nil: too little of it is there for one.
func (s *State) ReadIndex() (*flv.Index, error) {
	if s.Index == nil {
		return nil, nil //nolint:nilnil // it is no error that a recording has just begun
	}
	return flv.ParseIndex(s.Index, s.Size)
}

// Complete notes that all of a recording that has ended is an object, of that version; and removes
// the extents, which nobody needs then. It may be done again.
func Complete(ctx context.Context, store Store, key, etag string) error {
	for {
		s, was, err := Load(ctx, store, key)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !s.Ended {
			return fmt.Errorf("complete %s: it has not ended", key)
		}
		if s.Object != etag {
			s.Object = etag
			body, err := json.Marshal(s)
			if err != nil {
				return fmt.Errorf("complete %s: %w", key, err)
			}
			err = store.Write(ctx, stateKey(key), body, was)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			if err != nil {
				return err
			}
		}
		return remove(ctx, store, key, s.Extents)
	}
}

// Abandon removes all that is in the store of a recording of which too little can be understood
// while it grows: it is sent whole instead.
func Abandon(ctx context.Context, store Store, key string) error {
	s, _, err := Load(ctx, store, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(store.Delete(ctx, stateKey(key)), remove(ctx, store, key, s.Extents))
}

// remove removes extents.
func remove(ctx context.Context, store Store, key string, extents []int64) error {
	for _, at := range extents {
		if err := store.Delete(ctx, extentKey(key, at)); err != nil {
			return err
		}
	}
	return nil
}
