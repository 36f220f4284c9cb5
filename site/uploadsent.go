package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	tus "github.com/tus/tusd/v2/pkg/handler"

	"afterlive.alt/job"
)

// sent is what is left of an upload that went to the workers: who has not heard of it asks how far it is, and must not send it all again.
type sent struct {
	Size int64  `json:"size"`
	Job  string `json:"job"`
}

// sentKept is for how long that can be asked.
const sentKept = 24 * time.Hour

const sentSuffix = ".sent"

// jobHeader names the job of a recording that went to the workers.
const jobHeader = "Afterlive-Job"

func (u *Uploads) note(info tus.FileInfo, t job.Task) error {
	body, err := json.Marshal(sent{info.Size, t.JobID()})
	if err != nil {
		return fmt.Errorf("note upload %s: %w", info.ID, err)
	}
	if err := os.WriteFile(filepath.Join(u.Folder, info.ID+sentSuffix), body, 0o640); err != nil {
		return fmt.Errorf("note upload %s: %w", info.ID, err)
	}
	return nil
}

// confirm answers who asks how far an upload is that went to the workers.
func (u *Uploads) confirm(w http.ResponseWriter, id string) bool {
	body, err := os.ReadFile(filepath.Join(u.Folder, id+sentSuffix))
	var done sent
	if err != nil || json.Unmarshal(body, &done) != nil {
		return false
	}
	for name, value := range map[string]string{
		"Tus-Resumable": "1.0.0", "Upload-Offset": strconv.FormatInt(done.Size, 10), "Upload-Length": strconv.FormatInt(done.Size, 10),
		jobHeader: done.Job, "Cache-Control": "no-store",
	} {
		w.Header().Set(name, value)
	}
	return true
}

// forget removes notes of what went to the workers long ago.
func (u *Uploads) forget() error {
	names, err := filepath.Glob(filepath.Join(u.Folder, "*"+sentSuffix))
	if err != nil {
		return fmt.Errorf("list uploads that were sent: %w", err)
	}
	for _, name := range names {
		if at, err := os.Stat(name); err == nil && time.Since(at.ModTime()) > sentKept {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("forget upload: %w", err)
			}
		}
	}
	return nil
}

// takeWhole sends an upload to the workers that has come whole and could not be sent then, if its client asks once more by sending nothing: tusd would
// confirm that.
func (u *Uploads) takeWhole(r *http.Request) (id string, err error) {
	if r.Method != http.MethodPatch {
		return "", nil
	}
	upload, err := u.store.GetUpload(r.Context(), r.PathValue("upload"))
	if err != nil {
		return "", nil //nolint:nilerr // tusd says it
	}
	info, err := upload.GetInfo(r.Context())
	if err != nil || info.Offset != info.Size || r.Header.Get("Upload-Offset") != strconv.FormatInt(info.Size, 10) {
		return "", err
	}
	t, err := u.take(context.WithoutCancel(r.Context()), info)
	switch {
	case errors.Is(err, ErrRefused):
		return "", problem{http.StatusUnprocessableEntity, err}
	case err != nil:
		return "", problem{http.StatusServiceUnavailable, fmt.Errorf(triedAgain+"%w", err)}
	}
	return t.JobID(), nil
}
