package site

import (
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// jobs is a page of jobs, the newest first.
func (s *Site) jobs(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r, 50)
	if err != nil {
		return nil, err
	}
	for _, state := range r.Form["state"] {
		if !slices.Contains(catalog.States(), catalog.State(state)) {
			return nil, problemf(http.StatusBadRequest, "state must be one of %v", catalog.States())
		}
		q.States = append(q.States, catalog.State(state))
	}
	jobs, next, err := catalog.Page(r.Context(), s.Store, q)
	return struct {
		Jobs []catalog.Status `json:"jobs"`
		Next string           `json:"next"`
	}{append([]catalog.Status{}, jobs...), next}, err
}

// failure is what is known of a task that was given up.
type failure struct {
	ledger.Note

	Advice string `json:"advice"` // in this program's words
}

// claim is a part that somebody is making.
type claim struct {
	Part  string    `json:"part"`
	By    string    `json:"by"`
	Until time.Time `json:"until"`
}

// job is all that is known of a job but its parts.
func (s *Site) job(_ http.ResponseWriter, r *http.Request) (any, error) {
	ctx, id := r.Context(), r.PathValue("job")
	if !job.IsID(id) {
		return nil, problemf(http.StatusNotFound, "%q is not a job: they are called by 16 hexadecimal digits", id)
	}
	status, err := catalog.Refresh(ctx, s.Store, id)
	if err != nil && status.Job == "" {
		return nil, err
	}
	there, err := ledger.Listed(ctx, s.Store, id)
	if err != nil {
		return nil, err
	}
	notes, err := there.Notes(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	failures := []failure{}
	words := strings.NewReplacer("JOB", id, "ASSET", status.Asset)
	for _, n := range notes {
		failures = append(failures, failure{n, words.Replace(cmp.Or(job.Advice(n.Reason), n.Advice))})
	}
	slices.SortFunc(failures, func(a, b failure) int { return cmp.Compare(a.Task, b.Task) })
	retries, err := there.Retries(ctx, s.Store, there.Done())
	retries = slices.DeleteFunc(retries, func(r ledger.Retry) bool { _, given := notes[r.Task]; return given || status.State.Settled() })
	return map[string]any{"status": status, "failures": failures, "retries": append([]ledger.Retry{}, retries...)}, err
}

// part is who made a part, when, and what it took.
type part struct {
	Name    string    `json:"name"`
	From    float64   `json:"from_s"` // of the recording
	To      float64   `json:"to_s"`
	Worker  string    `json:"worker"`
	Attempt string    `json:"attempt"`
	Made    time.Time `json:"made,omitzero"`

	Effort ladder.Effort `json:"effort"`
}

// parts are those that are there, and what is being made. Those of a long recording come in pages.
func (s *Site) parts(_ http.ResponseWriter, r *http.Request) (any, error) {
	ctx, id := r.Context(), r.PathValue("job")
	plan, err := ledger.Plan(ctx, s.Store, id)
	if err != nil {
		return nil, err
	}
	there, err := ledger.Listed(ctx, s.Store, id)
	if err != nil {
		return nil, err
	}
	done := there.Done()
	var names []string
	for name := range done {
		if name > r.FormValue("after") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > maxPerPage {
		names, next = names[:maxPerPage], names[maxPerPage-1]
	}
	found, err := ledger.Parts(ctx, s.Store, id, names)
	if err != nil {
		return nil, err
	}
	all := make([]part, len(found))
	for i, p := range found {
		all[i] = part{
			Name: p.Name, From: plan.Rate.Time(p.Span.From).Seconds(), To: plan.Rate.Time(p.Span.To).Seconds(), Worker: p.Worker, Attempt: p.Attempt, Made: p.Made, Effort: p.Effort,
		}
	}
	claims := []claim{}
	for _, key := range there.Claims() {
		var c ledger.Claim
		name := strings.TrimSuffix(path.Base(key), ".json")
		if done[name] {
			continue
		}
		_, err := ledger.Load(ctx, s.Store, key, &c)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if c.By != "" {
			by, _, _ := strings.Cut(c.By, " ") // without the slot
			claims = append(claims, claim{name, by, c.Until})
		}
	}
	return struct {
		Parts  []part  `json:"parts"`
		Claims []claim `json:"claims"`
		Next   string  `json:"next"`
	}{all, claims, next}, nil
}

// work is what there is to do, and who is at it.
func (s *Site) work(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.snapshot(r.Context())
}
