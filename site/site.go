// Package site is a small web application for the people around the recordings: what there is to watch, what is at work, what
// has failed, and what can be done about it. Its pages use nothing but the HTTP API below /api/v1/, which openapi.yaml describes.
//
// Who may do what is [Access]'s. To follow a request: [Site.Handler], then recordings.go (for viewers), jobs.go (for operators),
// actions.go (what changes something), events.go (what tells pages of changes).
package site

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/queue"
	"afterlive.alt/pipeline"
)

//go:embed web
var web embed.FS

//go:embed openapi.yaml
var openapi []byte

// Store is where jobs and results are.
type Store interface {
	pipeline.Store
	catalog.Pages
	Delete(ctx context.Context, key string) error
}

// Counter is a queue that can be counted.
type Counter interface {
	Backlog(ctx context.Context) (queue.Backlog, error)
}

// Site answers. All fields but Media are needed.
type Site struct {
	Store      Store
	Operator   operate.Operator
	Clipper    pipeline.Clipper
	Recordings operate.Recordings // where they are, to remove them
	Work       Counter
	Failed     Counter
	Media      string        // where vod/ and player/ are, as https://cdn.example.org; "": beside this
	Every      time.Duration // how often pages are told of changes
	Access     Access
	Uploads    *Uploads // nil: there are none
	Version    string
	Log        *zap.Logger

	last    shared[snapshot]
	first   shared[any] // the page of recordings that all viewers begin with
	looking sync.Mutex

	remuxing chan struct{} // has room for one
}

// Handler answers the site's paths: /, /recordings/…, /work, /failures, /jobs/…, /site/… and /api/v1/….
func (s *Site) Handler() (http.Handler, error) {
	files, err := fs.Sub(web, "web")
	if err != nil {
		return nil, fmt.Errorf("open site: %w", err)
	}
	mux := http.NewServeMux()
	s.last, s.first = newShared[snapshot](), newShared[any]()
	s.remuxing = make(chan struct{}, 1)
	policy := s.policy()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "page.html") })
	for _, path := range []string{"GET /{$}", "GET /recordings/{asset...}", "GET /work", "GET /failures", "GET /jobs/{job}"} {
		mux.Handle(path, page)
	}
	mux.Handle("GET /site/", http.StripPrefix("/site/", http.FileServerFS(files)))
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi)
	})
	for path, h := range map[string]handler{
		"GET /api/v1/site":                     s.about,
		"GET /api/v1/recordings":               s.recordings,
		"GET /api/v1/recordings/{asset...}":    s.recording,
		"GET /api/v1/jobs":                     s.operators(s.jobs),
		"GET /api/v1/jobs/{job}":               s.operators(s.job),
		"GET /api/v1/jobs/{job}/parts":         s.operators(s.parts),
		"GET /api/v1/mp4/{asset...}":           s.operators(s.mp4),
		"GET /api/v1/work":                     s.operators(s.work),
		"GET /api/v1/events":                   s.operators(s.events),
		"POST /api/v1/jobs/{job}/replay":       s.operators(s.replay),
		"POST /api/v1/jobs/{job}/drop":         s.operators(s.drop),
		"POST /api/v1/jobs/{job}/publish":      s.operators(s.publish),
		"POST /api/v1/recordings":              s.operators(s.send),
		"POST /api/v1/clips":                   s.operators(s.clip),
		"POST /api/v1/titles":                  s.operators(s.title),
		"DELETE /api/v1/recordings/{asset...}": s.operators(s.remove),
		"GET /api/v1/{rest...}":                nowhere,
	} {
		mux.Handle(path, s.answer(h))
	}
	if s.Uploads != nil {
		uploads, err := s.Uploads.handler(s)
		if err != nil {
			return nil, err
		}
		for _, path := range []string{"POST /api/v1/uploads", "HEAD /api/v1/uploads/{upload}", "PATCH /api/v1/uploads/{upload}", "DELETE /api/v1/uploads/{upload}"} {
			mux.Handle(path, uploads)
		}
	}
	h := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "same-origin")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache") // unless more is said
		h.ServeHTTP(w, r)
	}), nil
}

// policy is the Content-Security-Policy of all that is answered.
func (s *Site) policy() string {
	source := "'self'"
	if u, err := url.Parse(s.Media); err == nil && u.Host != "" {
		source += " " + u.Scheme + "://" + u.Host
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src " + source + " data:; connect-src 'self'; frame-src " + source +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// handler answers a request with a document, or an error.
type handler func(w http.ResponseWriter, r *http.Request) (any, error)

// problem is an error that says which status it has.
type problem struct {
	status int
	error
}

func (p problem) Unwrap() error { return p.error }

func problemf(status int, format string, args ...any) error {
	return problem{status, fmt.Errorf(format, args...)}
}

// problemText is an error as clients get it.
func problemText(text string) map[string]string { return map[string]string{"error": text} }

// nothing is the answer of who has answered already.
var nothing = struct{}{}

func (s *Site) answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := h(w, r)
		if v == nothing {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			status := s.status(err)
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			if status >= http.StatusInternalServerError && r.Context().Err() == nil {
				s.Log.Error("request failed", zap.String("path", r.URL.Path), zap.Error(err))
			}
			w.WriteHeader(status)
			text := err.Error()
			if status >= http.StatusInternalServerError && !s.Access.Operator(r) {
				text = "something went wrong here; the log says what"
			}
			v = problemText(text)
		}
		_ = json.NewEncoder(w).Encode(v) // the client may have gone
	})
}

// status is the HTTP status of an error.
func (s *Site) status(err error) int {
	if p, ok := errors.AsType[problem](err); ok {
		return p.status
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, operate.ErrAtWork):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

func nowhere(_ http.ResponseWriter, r *http.Request) (any, error) {
	return nil, problemf(http.StatusNotFound, "there is no %s: /api/v1/openapi.yaml says what there is", r.URL.Path)
}

// about is what a page needs to know first.
func (s *Site) about(_ http.ResponseWriter, r *http.Request) (any, error) {
	return map[string]any{
		"version": s.Version, "media": s.Media, "operator": s.Access.Operator(r), "login": len(s.Access.tokens) > 0, "uploads": s.Uploads != nil,
	}, nil
}

// maxPerPage is how many jobs a page has at most.
const maxPerPage = 200

// query reads what a list of jobs is to have.
func query(r *http.Request, limit int) (q catalog.Query, err error) {
	q = catalog.Query{Limit: limit, After: r.FormValue("after")}
	if n := r.FormValue("limit"); n != "" {
		if q.Limit, err = strconv.Atoi(n); err != nil || q.Limit < 1 || q.Limit > maxPerPage {
			return q, problemf(http.StatusBadRequest, "limit must be 1 to %d", maxPerPage)
		}
	}
	for _, day := range []struct {
		name string
		into *time.Time
		plus int
	}{{"since", &q.Since, 0}, {"until", &q.Until, 1}} {
		if text := r.FormValue(day.name); text != "" {
			t, err := time.Parse(time.DateOnly, text)
			if err != nil {
				return q, problemf(http.StatusBadRequest, "%s must be a day, as 2026-11-26", day.name)
			}
			*day.into = t.AddDate(0, 0, day.plus)
		}
	}
	q.Name = strings.ToLower(strings.TrimSpace(r.FormValue("q")))
	return q, nil
}
