package site

import (
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"sync"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/pipeline"
)

// mp4 sends a rendition as one MP4. Nothing is sent before all of it was read. One is made at a time, from the store: each needs its size
// in the folder for temporary files.
func (s *Site) mp4(w http.ResponseWriter, r *http.Request) (any, error) {
	name, ctx := r.PathValue("asset"), r.Context()
	if !fs.ValidPath(name) {
		return nil, problemf(http.StatusNotFound, "there is no asset %q", name)
	}
	rendition, err := pipeline.FindRendition(ctx, s.Store, name, r.FormValue("rendition"))
	switch {
	case errors.Is(err, pipeline.ErrNoAsset):
		return nil, problemf(http.StatusNotFound, "there is no asset %q", name)
	case errors.Is(err, pipeline.ErrNoMP4):
		return nil, problem{http.StatusConflict, err}
	case err != nil:
		return nil, err
	}
	if r.Method == http.MethodHead { // that there is one
		w.Header().Set("Content-Type", "video/mp4")
		return nothing, nil
	}
	select {
	case s.remuxing <- struct{}{}:
	case <-ctx.Done():
		return nothing, nil
	}
	free := sync.OnceFunc(func() { <-s.remuxing })
	defer free()
	scratch, err := os.CreateTemp("", "afterlive-mp4-*")
	if err != nil {
		return nil, fmt.Errorf("make MP4 of %s: %w", name, err)
	}
	defer scratch.Close()
	if err := os.Remove(scratch.Name()); err != nil { // it goes with the process, too
		return nil, fmt.Errorf("make MP4 of %s: %w", name, err)
	}
	out := &attachment{ResponseWriter: w, name: path.Base(name) + ".mp4", begins: free, stalled: stalled}
	err = rendition.WriteMP4(ctx, s.Store, out, scratch)
	switch {
	case err != nil && out.begun: // whoever loads it must not take it for whole
		s.Log.Warn("MP4 was broken off", zap.String("asset", name), zap.Error(err))
		panic(http.ErrAbortHandler)
	case err != nil:
		return nil, fmt.Errorf("make MP4 of %s: %w", name, err)
	}
	return nothing, nil
}

// stalled is for how long a client may take nothing: until it has all, the file takes room on this disk.
const stalled = 5 * time.Minute

// attachment is an answer that is a file, once it begins. All of it may take as long as it likes.
type attachment struct {
	http.ResponseWriter

	name    string
	begins  func()
	begun   bool
	stalled time.Duration
}

func (a *attachment) Write(b []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.begins()
		a.Header().Set("Content-Type", "video/mp4")
		a.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.name}))
	}
	if err := http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.stalled)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("set deadline: %w", err)
	}
	return a.ResponseWriter.Write(b)
}
