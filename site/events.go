package site

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"afterlive.alt/internal/catalog"
)

// counts are those of a queue.
type counts struct {
	Waiting  int `json:"waiting"`
	InFlight int `json:"in_flight"`
	Delayed  int `json:"delayed"`
}

// snapshot is what is at work.
type snapshot struct {
	At     time.Time        `json:"at"`
	Queue  counts           `json:"queue"`
	Failed int              `json:"failed"` // tasks in the failed queue
	Jobs   []catalog.Status `json:"jobs"`   // the newest, the newest first

	Workers []catalog.Worker `json:"workers"`
}

// newest is how many jobs pages are told of as they change, and of which time.
const (
	newest = 50
	lately = 7 * 24 * time.Hour
)

// longest is how long a look may take, whoever waits for it.
const longest = 10 * time.Second

// shared is something that many ask for: whoever asks within the same moment gets the same, also if it cannot be had. One looks; the others
// wait for that, for as long as they want.
type shared[T any] struct {
	turn chan struct{}
	at   time.Time
	v    T
	err  error
}

func newShared[T any]() shared[T] { return shared[T]{turn: make(chan struct{}, 1)} }

func (s *shared[T]) get(ctx context.Context, every time.Duration, look func(context.Context) (T, error)) (v T, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
	if time.Since(s.at) < every {
		return s.v, s.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
	defer cancel()
	s.v, s.err = look(ctx)
	s.at = time.Now()
	return s.v, s.err
}

// forget has the next one look again.
func (s *shared[T]) forget() {
	s.turn <- struct{}{}
	s.at = time.Time{}
	<-s.turn
}

// snapshot is how things are.
func (s *Site) snapshot(ctx context.Context) (snapshot, error) {
	return s.last.get(ctx, s.Every*9/10, s.look)
}

func (s *Site) look(ctx context.Context) (snapshot, error) {
	jobs, _, err := catalog.Page(ctx, s.Store, catalog.Query{Limit: newest, Since: time.Now().Add(-lately)})
	if err != nil {
		return snapshot{}, err
	}
	waiting, err := s.Work.Backlog(ctx)
	if err != nil {
		return snapshot{}, err
	}
	failed, err := s.Failed.Backlog(ctx)
	if err != nil {
		return snapshot{}, err
	}
	workers, err := catalog.Workers(ctx, s.Store, time.Now())
	if err != nil {
		return snapshot{}, err
	}
	return snapshot{time.Now().UTC(), counts(waiting), failed.Waiting + failed.InFlight, append([]catalog.Status{}, jobs...), append([]catalog.Worker{}, workers...)}, nil
}

// events tells a page how things are, whenever that changes, until it goes (server-sent events, as HTML has them). What
// cannot be read for a moment is told, too.
func (s *Site) events(w http.ResponseWriter, r *http.Request) (any, error) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes it on as it comes
	flush := http.NewResponseController(w)
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	var last snapshot
	for {
		now, err := s.snapshot(r.Context())
		if r.Context().Err() != nil {
			return nothing, nil
		}
		at := now.At
		now.At = time.Time{}
		switch {
		case err != nil:
			last = snapshot{} // what comes next ends it
			err = writeEvent(w, "fault", problemText(err.Error()))
		case !reflect.DeepEqual(now, last):
			last, now.At = now, at
			err = writeEvent(w, "work", now)
		default:
			_, err = fmt.Fprint(w, ":\n\n") // whether it is still there
		}
		if err == nil {
			err = flush.Flush()
		}
		if err != nil {
			return nothing, nil
		}
		select {
		case <-r.Context().Done():
			return nothing, nil
		case <-tick.C:
		}
	}
}

func writeEvent(w http.ResponseWriter, event string, v any) error {
	body, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, body)
	}
	return err
}
