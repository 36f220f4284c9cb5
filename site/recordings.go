package site

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/ladder"
)

// recording is what viewers see of a job.
type recording struct {
	Asset       string        `json:"asset"`
	Title       string        `json:"title,omitempty"`
	State       catalog.State `json:"state"`
	At          time.Time     `json:"at"` // when it was planned: soon after its begin, or its end
	Duration    float64       `json:"duration_s"`
	Poster      string        `json:"poster,omitempty"` // a key
	Projections []string      `json:"projections,omitempty"`
	Waiting     time.Time     `json:"waiting,omitzero"`
	Abandoned   bool          `json:"abandoned,omitempty"`
	Missing     int           `json:"missing,omitempty"`
}

func toViewers(s catalog.Status) recording {
	r := recording{
		Asset: s.Asset, Title: s.Title, State: s.Shown, At: s.Planned, Duration: s.Duration, Poster: s.Poster, Projections: s.Projections, Waiting: s.Waiting, Abandoned: s.Abandoned, Missing: s.Missing,
	}
	if r.State != catalog.Published {
		r.Duration = 0 // it grows
	}
	return r
}

// firstFor is how long the first page of recordings is the same for all.
const firstFor = 3 * time.Second

// recordings is a page of what can be watched, the newest first.
func (s *Site) recordings(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r, 24)
	if err != nil {
		return nil, err
	}
	q.Shown, q.Noted = true, true
	if r.URL.RawQuery != "" {
		return s.pageOf(r.Context(), q)
	}
	return s.first.get(r.Context(), firstFor, func(ctx context.Context) (any, error) { return s.pageOf(ctx, q) })
}

func (s *Site) pageOf(ctx context.Context, q catalog.Query) (any, error) {
	jobs, next, err := catalog.Page(ctx, s.Store, q)
	if err != nil {
		return nil, err
	}
	all := make([]recording, len(jobs))
	for i, j := range jobs {
		all[i] = toViewers(j)
	}
	return struct {
		Recordings []recording `json:"recordings"`
		Next       string      `json:"next"`
	}{all, next}, nil
}

// recording is one asset: what viewers may know of it, its asset.json, and for operators its jobs.
func (s *Site) recording(_ http.ResponseWriter, r *http.Request) (any, error) {
	name := r.PathValue("asset")
	if !fs.ValidPath(name) {
		return nil, problemf(http.StatusNotFound, "there is no recording %q", name)
	}
	jobs, err := catalog.Of(r.Context(), s.Store, name)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Asset     string           `json:"asset"`
		Recording *recording       `json:"recording,omitempty"`
		Published json.RawMessage  `json:"published,omitempty"` // asset.json
		Jobs      []catalog.Status `json:"jobs,omitempty"`
	}{Asset: name}
	var pointer json.RawMessage
	_, err = ledger.Load(r.Context(), s.Store, ladder.PointerKey(name), &pointer)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if len(jobs) == 0 || !s.Access.Operator(r) {
			return nil, problemf(http.StatusNotFound, "there is no recording %q (yet)", name)
		}
	case err != nil:
		return nil, err
	default:
		answer.Published = pointer
	}
	for _, j := range jobs {
		if j.Published == j.Job {
			r := toViewers(j)
			answer.Recording = &r
		}
	}
	if s.Access.Operator(r) {
		answer.Jobs = jobs
	}
	return answer, nil
}
