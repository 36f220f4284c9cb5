package site

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/operate"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
	"afterlive.alt/pipeline"
)

// wish is the body of what changes something.
type wish struct {
	DryRun  bool   `json:"dry_run"`
	Profile string `json:"profile"` // to replay with
}

const dryRun = "dry_run"

// largestWish is more than any has, in bytes.
const largestWish = 1 << 16

func wishOf[T any](r *http.Request) (w T, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, largestWish))
	if err == nil && len(body) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(body)) // a dry run that is misspelt is none
		decoder.DisallowUnknownFields()
		if err = decoder.Decode(&w); err == nil && decoder.More() {
			err = errors.New("the body has more behind its JSON object")
		}
	}
	if err != nil {
		return w, problem{http.StatusBadRequest, err}
	}
	return w, nil
}

// deed is a failed task, and what became of it.
type deed struct {
	Task   string `json:"task"`
	Reason string `json:"reason"`
	Job    string `json:"job,omitempty"` // that it is now, with another profile
	Error  string `json:"error,omitempty"`
}

// replay sends a job's failed tasks to the workers again.
func (s *Site) replay(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.eachFailed(r, "replayed", func(ctx context.Context, f operate.FailedTask, w wish) (replanned string, err error) {
		sent, err := s.Operator.Replay(ctx, f, w.Profile)
		if w.Profile != "" && len(sent) > 0 {
			replanned = sent[0].JobID()
		}
		return replanned, err
	})
}

// drop gives a job's failed tasks up.
func (s *Site) drop(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.eachFailed(r, "dropped", func(ctx context.Context, f operate.FailedTask, _ wish) (string, error) {
		return "", s.Operator.Drop(ctx, f)
	})
}

// eachFailed does something with each of a job's failed tasks.
func (s *Site) eachFailed(r *http.Request, done string, do func(context.Context, operate.FailedTask, wish) (string, error)) (any, error) {
	id := r.PathValue("job")
	w, err := wishOf[wish](r)
	if err != nil {
		return nil, err
	}
	s.looking.Lock() // who looks through the failed queue holds all its messages for a moment
	defer s.looking.Unlock()
	var mu sync.Mutex
	deeds := []deed{}
	err = s.Operator.EachFailed(r.Context(), func(ctx context.Context, f operate.FailedTask) (bool, error) {
		if f.Job != id {
			return false, nil
		}
		d := deed{Task: f.Task, Reason: f.Reason}
		var err error
		if !w.DryRun {
			d.Job, err = do(ctx, f, w)
		}
		if err != nil {
			d.Error = err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		deeds = append(deeds, d)
		return !w.DryRun && err == nil, nil
	})
	if !w.DryRun && len(deeds) > 0 { // also if it was broken off
		err = errors.Join(err, s.Operator.Note(context.WithoutCancel(r.Context()), id))
	}
	if err != nil {
		return nil, err
	}
	if len(deeds) == 0 {
		return nil, problemf(http.StatusNotFound, "no task of job %s is in the failed queue", id)
	}
	if !w.DryRun {
		s.Log.Info("operator's action", zap.String("job", id), zap.String("what", done), zap.Int("tasks", len(deeds)), zap.String("from", r.RemoteAddr))
	}
	return struct {
		DryRun bool   `json:"dry_run"`
		Tasks  []deed `json:"tasks"`
	}{w.DryRun, deeds}, nil
}

// publication is what became of an asset, or would.
type publication struct {
	DryRun bool   `json:"dry_run"`
	Asset  string `json:"asset"`
	Job    string `json:"job"`
}

// publish makes an asset an earlier job of it.
func (s *Site) publish(_ http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("job")
	if !job.IsID(id) {
		return nil, problemf(http.StatusNotFound, "%q is not a job", id)
	}
	w, err := wishOf[wish](r)
	if err != nil {
		return nil, err
	}
	if w.DryRun {
		status, err := catalog.Refresh(r.Context(), s.Store, id)
		if err == nil && status.State != catalog.Superseded && status.State != catalog.Published {
			err = problemf(http.StatusConflict, "job %s is %s: it cannot be published", id, status.State)
		}
		return publication{true, status.Asset, id}, err
	}
	name, _, err := pipeline.PublishAgain(r.Context(), s.Store, id)
	if err != nil {
		return nil, problem{http.StatusConflict, err}
	}
	if err := s.Operator.Forget(r.Context(), operate.FailedTask{Failure: job.Failure{Job: id, Task: ladder.PublishTask}}); err != nil {
		return nil, err
	}
	s.Log.Info("operator's action", zap.String("job", id), zap.String("what", "published"), zap.String("from", r.RemoteAddr))
	return publication{false, name, id}, nil
}

// remove removes an asset, and its recording if that is asked for.
func (s *Site) remove(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, ctx := r.PathValue("asset"), context.WithoutCancel(r.Context()) // half of it is worse than all
	if !fs.ValidPath(name) {
		return nil, problemf(http.StatusNotFound, "there is no asset %q", name)
	}
	said := map[string]bool{}
	for _, flag := range []string{dryRun, "recording", "force"} {
		var err error
		if text := r.FormValue(flag); text != "" {
			if said[flag], err = strconv.ParseBool(text); err != nil {
				return nil, problemf(http.StatusBadRequest, "%s must be true or false", flag)
			}
		}
	}
	dry := said[dryRun]
	var recordings operate.Recordings
	if said["recording"] {
		recordings = s.Recordings
	}
	found, err := s.Operator.FindBelongings(ctx, name, recordings, said["force"])
	switch {
	case errors.Is(err, operate.ErrAtWork):
		return nil, problemf(http.StatusConflict, "%w: wait until it is done, or drop it; force, if its messages are gone", err)
	case errors.Is(err, operate.ErrClipped):
		return nil, problemf(http.StatusConflict, "%w: remove those first", err)
	case err != nil:
		return nil, err
	case found.None():
		return nil, problemf(http.StatusNotFound, "there is no asset %q", name)
	}
	if !dry {
		if err := s.Operator.Remove(ctx, found, recordings); err != nil {
			return nil, err
		}
		s.first.forget()
		s.Log.Info("operator's action", zap.String("asset", name), zap.String("what", "removed"), zap.String("from", r.RemoteAddr))
	}
	return map[string]any{
		dryRun: dry, "jobs": len(found.Jobs), "segments": len(found.Pointers) + len(found.Segments), "documents": len(found.Documents), "recordings": len(found.Recordings),
	}, nil
}

// clipWish is the body of a wish for a clip.
type clipWish struct {
	DryRun     bool    `json:"dry_run"`
	Asset      string  `json:"asset"`
	From       float64 `json:"from_s"`
	To         float64 `json:"to_s"`
	As         string  `json:"as"`
	AtSegments bool    `json:"at_segments"`
}

// farthest is more than any asset lasts, in seconds: what is longer would be no time.
const farthest = 1e7

// clip makes a part of an asset an asset of its own.
func (s *Site) clip(_ http.ResponseWriter, r *http.Request) (any, error) {
	w, err := wishOf[clipWish](r)
	if err != nil {
		return nil, err
	}
	if !fs.ValidPath(w.Asset) {
		return nil, problemf(http.StatusNotFound, "there is no asset %q", w.Asset)
	}
	if w.From < 0 || w.To < 0 || w.From > farthest || w.To > farthest {
		return nil, problemf(http.StatusBadRequest, "from_s and to_s must be times in the asset, in seconds")
	}
	seconds := func(x float64) time.Duration { return time.Duration(math.Ceil(x * float64(time.Second))) } // zero, as an end, is the asset's
	made, err := s.Clipper.Clip(context.WithoutCancel(r.Context()), pipeline.ClipWish{                     // it can be gone on with, but who would?
		Asset: w.Asset, From: seconds(w.From), To: seconds(w.To), As: w.As, Segments: w.AtSegments, DryRun: w.DryRun,
	})
	switch {
	case errors.Is(err, pipeline.ErrNoAsset):
		return nil, problem{http.StatusNotFound, err}
	case errors.Is(err, pipeline.ErrNoClip), errors.Is(err, pipeline.ErrNameTaken):
		return nil, problem{http.StatusConflict, err}
	case err != nil:
		return nil, err
	}
	if !w.DryRun {
		s.first.forget()
		s.Log.Info("operator's action", zap.String("asset", w.Asset), zap.String("what", "clipped"), zap.String("clip", made.Asset), zap.String("from", r.RemoteAddr))
	}
	return struct {
		DryRun bool `json:"dry_run"`
		*pipeline.Clipped
	}{w.DryRun, made}, nil
}

// sendWish is the body of a wish to have a recording transcoded that is in the store.
type sendWish struct {
	DryRun  bool   `json:"dry_run"`
	Key     string `json:"key"`
	Profile string `json:"profile"`
	Repair  bool   `json:"repair"`
	Title   string `json:"title"`

	// What is left out at its start and its end.
	TrimStart float64 `json:"trim_start_s"`
	TrimEnd   float64 `json:"trim_end_s"`
}

// task is what a wish asks for.
func (w sendWish) task(bucket, etag string) (job.Task, error) {
	t := job.Task{
		Version: job.Version, Kind: job.Recording, Bucket: bucket, Key: w.Key, ETag: etag, Profile: cmp.Or(w.Profile, job.DefaultProfile), Repair: w.Repair, Title: w.Title,
		Trim: job.Trim{Start: int64(math.Round(1000 * min(w.TrimStart, farthest))), End: int64(math.Round(1000 * min(w.TrimEnd, farthest)))},
	}
	if _, err := job.Parse(t.Body()); err != nil {
		return t, problem{http.StatusBadRequest, err}
	}
	return t, nil
}

// send sends a recording that is in the store to the workers.
func (s *Site) send(_ http.ResponseWriter, r *http.Request) (any, error) {
	w, err := wishOf[sendWish](r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	if err := job.ValidKey(w.Key); err != nil || !job.IsFLV(w.Key) {
		return nil, problemf(http.StatusBadRequest, "key must be %s….flv, not %q", job.Prefix, w.Key)
	}
	_, etag, err := s.Clipper.Recordings.Stat(ctx, w.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problemf(http.StatusNotFound, "there is no recording %s", w.Key)
	case err != nil:
		return nil, err
	}
	if err := pipeline.NameFree(ctx, s.Store, w.Key); errors.Is(err, pipeline.ErrNameTaken) {
		return nil, problem{http.StatusConflict, err}
	} else if err != nil {
		return nil, err
	}
	if known, err := catalog.ProfileUnknown(ctx, s.Store, time.Now(), w.Profile); err != nil {
		return nil, err
	} else if known != "" {
		return nil, problemf(http.StatusConflict, "no worker knows the profile %q: they know auto, %s", w.Profile, known)
	}
	t, err := w.task(s.Operator.Bucket, etag)
	if err != nil {
		return nil, err
	}
	if !w.DryRun {
		if err := s.Operator.Resume(ctx, t.JobID(), w.Repair); err != nil {
			return nil, err
		}
		if err := s.Operator.Work.Send(ctx, t.Body(), 0); err != nil {
			return nil, fmt.Errorf("send %s: %w", w.Key, err)
		}
		s.Log.Info("operator's action", zap.String("key", w.Key), zap.String("what", "sent"), zap.String("from", r.RemoteAddr))
	}
	return publication{w.DryRun, job.Asset(w.Key), t.JobID()}, nil
}

// titleWish is the body of a wish to give an asset a title.
type titleWish struct {
	Asset string  `json:"asset"`
	Title *string `json:"title"` // "": none
}

// title gives an asset a title.
func (s *Site) title(_ http.ResponseWriter, r *http.Request) (any, error) {
	w, err := wishOf[titleWish](r)
	if err != nil {
		return nil, err
	}
	if !fs.ValidPath(w.Asset) {
		return nil, problemf(http.StatusNotFound, "there is no asset %q", w.Asset)
	}
	if w.Title == nil {
		return nil, problemf(http.StatusBadRequest, "title is missing; an empty one removes the asset's")
	}
	switch err := s.Operator.Entitle(r.Context(), w.Asset, *w.Title); {
	case errors.Is(err, operate.ErrNoAsset):
		return nil, problem{http.StatusNotFound, err}
	case errors.Is(err, operate.ErrTitle):
		return nil, problem{http.StatusBadRequest, err}
	case err != nil:
		return nil, err
	}
	s.first.forget()
	s.Log.Info("operator's action", zap.String("asset", w.Asset), zap.String("what", "titled"), zap.String("from", r.RemoteAddr))
	return w, nil
}
