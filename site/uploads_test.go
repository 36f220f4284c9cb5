package site

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/job"
)

// shelf is a receiver that keeps what it is given, unless it has a fault.
type shelf struct {
	fault error
	slow  func()            // what happens meanwhile
	taken map[string]string // contents, by names
}

func (s *shelf) Check(_ context.Context, u Upload) error {
	if u.Name == "taken" {
		return fmt.Errorf("%w: the name is taken", ErrRefused)
	}
	return nil
}

func (s *shelf) Take(_ context.Context, file string, u Upload) (job.Task, error) {
	if s.slow != nil {
		s.slow()
	}
	body, err := os.ReadFile(file)
	if err := errors.Join(err, s.fault); err != nil {
		return job.Task{}, err
	}
	if s.taken == nil {
		s.taken = map[string]string{}
	}
	s.taken[u.Name+" "+u.Profile+" "+u.Title+" "+fmt.Sprint(u.Trim.Start)] = string(body)
	return job.Task{Kind: job.Recording, Key: job.Prefix + u.Name + ".flv", ETag: "e"}, nil
}

// metadata are pairs as tus has them.
func metadata(pairs ...string) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(all, ",")
}

// begin makes an upload, and returns where it goes.
func (s *stand) begin(length int, meta string) (string, *httptest.ResponseRecorder) {
	s.Helper()
	w := s.ask(http.MethodPost, "/api/v1/uploads", "", token, "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(length), "Upload-Metadata", meta)
	_, path, _ := strings.Cut(w.Header().Get("Location"), "://example.com")
	return path, w
}

func (s *stand) sendPart(path string, offset int, body string) *httptest.ResponseRecorder {
	s.Helper()
	return s.ask(http.MethodPatch, path, body, token, "Tus-Resumable", "1.0.0", "Upload-Offset", fmt.Sprint(offset), "Content-Type", "application/offset+octet-stream")
}

// left is how many uploads there are in the folder.
func (s *stand) left() int {
	s.Helper()
	names, err := filepath.Glob(s.uploads.Folder + "/*.info")
	s.must(err)
	return len(names)
}

// A recording comes in parts, and is sent when all of it is there.
func TestUpload(t *testing.T) {
	s := newStand(t)
	path, w := s.begin(7, metadata("filename", "C:\\talks\\a talk.mp4.flv", "profile", "360", "title", "A talk", "trim_start_s", "1.5"))
	if w.Code != http.StatusCreated || path == "" {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if w := s.sendPart(path, 0, "FLV"); w.Code != http.StatusNoContent || len(s.receiver.taken) > 0 {
		t.Errorf("%d %s, taken %v", w.Code, w.Body, s.receiver.taken)
	}
	if w := s.sendPart(path, 5, "e"); w.Code != http.StatusConflict {
		t.Errorf("a part that doesn't follow: %d", w.Code)
	}
	w = s.ask(http.MethodHead, path, "", token, "Tus-Resumable", "1.0.0")
	if w.Header().Get("Upload-Offset") != "3" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, wrong := range []string{"", "wrong"} {
		for _, method := range []string{http.MethodHead, http.MethodPatch, http.MethodDelete} {
			if w := s.ask(method, path, "none", wrong, "Tus-Resumable", "1.0.0", "Upload-Offset", "3", "Content-Type", "application/offset+octet-stream"); w.Code != http.StatusUnauthorized {
				t.Errorf("%s with token %q: %d", method, wrong, w.Code)
			}
		}
	}
	if w := s.ask(http.MethodGet, path, "", token, "Tus-Resumable", "1.0.0"); w.Code == http.StatusOK {
		t.Errorf("it can be loaded: %s", w.Body)
	}
	if w = s.sendPart(path, 3, " one"); w.Code != http.StatusNoContent || w.Header().Get("Afterlive-Job") == "" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if got := s.receiver.taken["a talk.mp4 360 A talk 1500"]; got != "FLV one" || s.left() != 0 {
		t.Errorf("taken %v, %d are left", s.receiver.taken, s.left())
	}
	// Whoever has lost that answer asks again, for a day.
	again := s.ask(http.MethodHead, path, "", token, "Tus-Resumable", "1.0.0")
	if again.Code != http.StatusOK || again.Header().Get("Upload-Offset") != "7" || again.Header().Get("Afterlive-Job") != w.Header().Get("Afterlive-Job") {
		t.Errorf("%d %v", again.Code, again.Header())
	}
	if w := s.ask(http.MethodHead, path, "", "wrong", "Tus-Resumable", "1.0.0"); w.Code != http.StatusUnauthorized {
		t.Errorf("anybody may ask: %d", w.Code)
	}
	old := time.Now().Add(-25 * time.Hour)
	s.must(os.Chtimes(filepath.Join(s.uploads.Folder, filepath.Base(path)+".sent"), old, old))
	s.must(s.uploads.sweep(t.Context()))
	if w := s.ask(http.MethodHead, path, "", token, "Tus-Resumable", "1.0.0"); w.Code != http.StatusNotFound {
		t.Errorf("a day later: %d", w.Code)
	}
}

// What will not be taken is refused before it has come, in words.
func TestUploadIsRefused(t *testing.T) {
	s := newStand(t)
	for meta, says := range map[string]string{
		metadata("as", "taken"): "the name is taken",
		metadata():              "what its asset is to be called",
		metadata("as", "/"):     "what its asset is to be called",
		metadata("filename", "a.flv", "trim_start_s", "later"): "must be seconds",
		metadata("filename", "a.flv", "trim_start_s", "NaN"):   "must be seconds",
		metadata("as", "live/"+strings.Repeat("x", 191)):       "more than 190 bytes",
		metadata("as", "a\xff"):                                "is not UTF-8",
	} {
		if _, w := s.begin(7, meta); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", meta, w.Code, w.Body)
		}
	}
	if _, w := s.begin(2<<20, metadata("as", "talk")); w.Code != http.StatusInsufficientStorage || !strings.Contains(w.Body.String(), "1048576 bytes free") {
		t.Errorf("too large: %d %s", w.Code, w.Body)
	}
	s.receiver.fault = fmt.Errorf("%w: it is no FLV", ErrRefused)
	path, _ := s.begin(3, metadata("as", "talk"))
	if w := s.sendPart(path, 0, "MP4"); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "it is no FLV") {
		t.Errorf("what is none: %d %s", w.Code, w.Body)
	}
	if s.left() != 0 {
		t.Errorf("%d are left", s.left())
	}
}

// What has come whole and could not be sent is sent later, whoever has gone meanwhile. What nobody goes on with is removed, not too early.
func TestUploadIsSentLater(t *testing.T) {
	s := newStand(t)
	s.receiver.fault = errors.New("the queue is away")
	path, _ := s.begin(3, metadata("as", "talk"))
	if w := s.sendPart(path, 0, "FLV"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "tried again") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.sendPart(path, 3, ""); w.Code != http.StatusServiceUnavailable { // who asks again must not be told that all is well
		t.Errorf("asked again: %d %s", w.Code, w.Body)
	}
	half, _ := s.begin(3, metadata("as", "half"))
	s.sendPart(half, 0, "F")
	age := func(path string, by time.Duration) {
		t.Helper()
		at := time.Now().Add(-by)
		s.must(os.Chtimes(filepath.Join(s.uploads.Folder, filepath.Base(path)), at, at))
	}
	age(path, 2*time.Minute)
	age(half, 2*time.Minute)
	s.must(s.uploads.sweep(t.Context()))
	if s.left() != 2 || len(s.receiver.taken) > 0 {
		t.Errorf("%d are left, taken %v", s.left(), s.receiver.taken)
	}
	s.receiver.fault = nil
	s.must(s.uploads.sweep(t.Context()))
	if s.left() != 1 || len(s.receiver.taken) != 1 {
		t.Errorf("%d are left, taken %v", s.left(), s.receiver.taken)
	}
	age(half, 8*24*time.Hour)
	s.must(s.uploads.sweep(t.Context()))
	if s.left() != 0 || len(s.receiver.taken) != 1 {
		t.Errorf("%d are left, taken %v", s.left(), s.receiver.taken)
	}
}

// Who sends nothing more of what has come whole asks that it be sent. A lock that a killed server left behind is none.
func TestUploadIsAskedForAgain(t *testing.T) {
	s := newStand(t)
	s.receiver.fault = errors.New("the queue is away")
	path, _ := s.begin(3, metadata("as", "talk"))
	s.sendPart(path, 0, "FLV")
	s.must(os.WriteFile(filepath.Join(s.uploads.Folder, filepath.Base(path)+".lock"), []byte("1\n"), 0o600))
	s.receiver.fault = nil
	if w := s.sendPart(path, 3, ""); w.Code != http.StatusNoContent || w.Header().Get("Afterlive-Job") == "" || s.left() != 0 || len(s.receiver.taken) != 1 {
		t.Errorf("%d %s %v, %d are left", w.Code, w.Body, w.Header(), s.left())
	}
}

// While a request sends what has come, nobody else does; and what is no name of an upload leads nowhere.
func TestUploadIsSentOnce(t *testing.T) {
	s := newStand(t)
	path, _ := s.begin(3, metadata("as", "talk"))
	takes := 0
	s.receiver.slow = func() {
		takes++
		at := time.Now().Add(-time.Hour)
		s.must(os.Chtimes(filepath.Join(s.uploads.Folder, filepath.Base(path)), at, at))
		s.must(s.uploads.sweep(t.Context()))
	}
	if w := s.sendPart(path, 0, "FLV"); w.Code != http.StatusNoContent || takes != 1 {
		t.Errorf("%d %s, taken %d times", w.Code, w.Body, takes)
	}
	other := filepath.Join(filepath.Dir(s.uploads.Folder), "other.info")
	s.must(os.WriteFile(other, []byte("{}"), 0o600))
	for _, id := range []string{"..%2Fother", "%2e%2e%2fother", "other", strings.Repeat("a", 31) + "%2F", ".."} {
		for _, method := range []string{http.MethodDelete, http.MethodHead, http.MethodPatch} {
			if w := s.ask(method, "/api/v1/uploads/"+id, "", token, "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"); w.Code < 300 {
				t.Errorf("%s %s: %d", method, id, w.Code)
			}
		}
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}
