package site

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tus/tusd/v2/pkg/filestore"
	tus "github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	"go.uber.org/zap"
	"golang.org/x/exp/slog"

	"afterlive.alt/job"
)

// Uploads takes recordings by HTTP, by tus 1.0: whoever is interrupted goes on where he was. What has come whole is sent to the workers before that
// is confirmed; if that fails for now, it is tried again, also by the next process.
type Uploads struct {
	Folder   string // where they are until then
	Free     func() (int64, error)
	Receiver Receiver
	Log      *zap.Logger

	store filestore.FileStore
	taken sync.Map // ids of uploads that are being sent to the workers
}

// Receiver is where uploads go.
type Receiver interface {
	// Check looks whether a recording can be taken, before anything of it has come. [ErrRefused]: it cannot.
	Check(ctx context.Context, u Upload) error
	// Take has a file transcoded. [ErrRefused]: it cannot be, and never will.
	Take(ctx context.Context, file string, u Upload) (job.Task, error)
}

// ErrRefused is an upload that will not be taken however often it is sent.
var ErrRefused = errors.New("it is not taken")

// Upload is what a client says of a recording, as metadata of its upload.
type Upload struct {
	Name    string // of its asset: "as", or its "filename" without extension
	Profile string // "profile"
	Title   string // "title"
	Trim    job.Trim
	Size    int64 // bytes
}

// longestName is how long an element of a name may be, in bytes: a folder's files have names of 255 at most, and some are that of the recording with
// an ending.
const longestName = 190

func uploadOf(info tus.FileInfo) (Upload, error) {
	metadata := info.MetaData
	file := path.Base(strings.ReplaceAll(metadata["filename"], `\`, "/"))
	u := Upload{
		Name:    cmp.Or(strings.Trim(metadata["as"], "/"), strings.TrimSuffix(file, path.Ext(file))),
		Profile: cmp.Or(metadata["profile"], job.DefaultProfile), Title: metadata["title"], Size: info.Size,
	}
	switch tooLong := func(element string) bool { return len(element) > longestName }; {
	case u.Name == "" || u.Name == ".":
		return u, fmt.Errorf(`%w: say what its asset is to be called: metadata "as" or "filename"`, ErrRefused)
	case !utf8.ValidString(u.Name):
		return u, fmt.Errorf("%w: its name %q is not UTF-8", ErrRefused, u.Name)
	case slices.ContainsFunc(strings.Split(u.Name, "/"), tooLong):
		return u, fmt.Errorf("%w: its name has an element of more than %d bytes", ErrRefused, longestName)
	}
	for name, into := range map[string]*int64{"trim_start_s": &u.Trim.Start, "trim_end_s": &u.Trim.End} {
		if text := metadata[name]; text != "" {
			seconds, err := strconv.ParseFloat(text, 64)
			if err != nil || !(seconds >= 0 && seconds <= farthest) { // NaN is neither
				return u, fmt.Errorf("%w: %s is %q, it must be seconds", ErrRefused, name, text)
			}
			*into = int64(math.Round(1000 * seconds))
		}
	}
	return u, nil
}

// answerKey is under which a request's context has its answer.
type answerKey struct{}

var uploadID = regexp.MustCompile(`^[0-9a-f]{32}$`)

const uploadsPath = "/api/v1/uploads/"

// handler answers what clients ask of uploads; only operators may.
func (u *Uploads) handler(s *Site) (http.Handler, error) {
	if err := os.MkdirAll(u.Folder, 0o750); err != nil {
		return nil, fmt.Errorf("make folder for uploads: %w", err)
	}
	u.store = filestore.New(u.Folder)
	composer := tus.NewStoreComposer()
	u.store.UseIn(composer)
	memorylocker.New().UseIn(composer) // the folder is this process's alone, and a lock must not outlive it
	protocol, err := tus.NewHandler(tus.Config{
		StoreComposer: composer, BasePath: uploadsPath, DisableDownload: true, DisableConcatenation: true, RespectForwardedHeaders: true,
		Cors: &tus.CorsConfig{Disable: true}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), // what went wrong, we log
		PreUploadCreateCallback: func(e tus.HookEvent) (tus.HTTPResponse, tus.FileInfoChanges, error) {
			return tus.HTTPResponse{}, tus.FileInfoChanges{}, u.refusal(u.check(e))
		},
		PreFinishResponseCallback: func(e tus.HookEvent) (tus.HTTPResponse, error) {
			if w, ok := e.Context.Value(answerKey{}).(http.ResponseWriter); ok { // tusd has set one by how long a part may take, and this may take longer
				_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a server without deadlines has none to clear
			}
			t, err := u.take(context.WithoutCancel(e.Context), e.Upload) // also if the client has gone
			if err != nil {
				return tus.HTTPResponse{}, u.refusal(err)
			}
			s.first.forget()
			return tus.HTTPResponse{Header: tus.HTTPHeader{jobHeader: t.JobID()}}, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("take uploads: %w", err)
	}
	answered := http.StripPrefix(uploadsPath, protocol)
	return s.answer(s.operators(func(w http.ResponseWriter, r *http.Request) (any, error) {
		if id := r.PathValue("upload"); id != "" && !uploadID.MatchString(id) { // tusd makes names of files of it
			return nil, problemf(http.StatusNotFound, "there is no upload %q", id)
		}
		r = r.Clone(context.WithValue(r.Context(), answerKey{}, w))
		if r.Method == http.MethodHead && u.confirm(w, r.PathValue("upload")) {
			return nothing, nil
		}
		if r.URL.Path+"/" == uploadsPath { // where uploads are made
			r.URL.Path += "/"
		}
		if t, err := u.takeWhole(r); err != nil {
			return nil, err
		} else if t != "" {
			for name, value := range map[string]string{"Tus-Resumable": "1.0.0", "Upload-Offset": r.Header.Get("Upload-Offset"), jobHeader: t} {
				w.Header().Set(name, value)
			}
			s.first.forget()
			w.WriteHeader(http.StatusNoContent)
			return nothing, nil
		}
		answered.ServeHTTP(w, r)
		return nothing, nil
	})), nil
}

// check looks at an upload before anything of it has come.
func (u *Uploads) check(e tus.HookEvent) error {
	if e.Upload.SizeIsDeferred {
		return fmt.Errorf("%w: say how long it is (Upload-Length)", ErrRefused)
	}
	w, err := uploadOf(e.Upload)
	if err != nil {
		return err
	}
	free, err := u.Free()
	if err != nil {
		return err
	}
	if e.Upload.Size > free {
		return tus.Error{ErrorCode: "ERR_NO_ROOM", HTTPResponse: said(http.StatusInsufficientStorage, fmt.Sprintf("there are %d bytes free for uploads, it has %d", free, e.Upload.Size))}
	}
	return u.Receiver.Check(e.Context, w)
}

// take sends what has come whole to the workers, and removes it then, or if it is refused.
func (u *Uploads) take(ctx context.Context, info tus.FileInfo) (job.Task, error) {
	if _, busy := u.taken.LoadOrStore(info.ID, true); busy {
		return job.Task{}, errors.New("it is being sent")
	}
	defer u.taken.Delete(info.ID)
	w, err := uploadOf(info)
	var t job.Task
	if err == nil {
		t, err = u.Receiver.Take(ctx, filepath.Join(u.Folder, info.ID), w)
	}
	log := u.Log.With(zap.String("asset", w.Name), zap.String("upload", info.ID), zap.Int64("bytes", info.Size))
	switch {
	case err == nil:
		log.Info("recording was uploaded", zap.String("job", t.JobID()))
	case errors.Is(err, ErrRefused):
		log.Warn("uploaded recording is refused", zap.Error(err))
	default:
		log.Error("uploaded recording cannot be sent; this is tried again", zap.Error(err))
		return t, err
	}
	if err == nil { // before there is nothing else that says so
		err = u.note(info, t)
	}
	return t, errors.Join(err, u.remove(ctx, info.ID))
}

func (u *Uploads) remove(ctx context.Context, id string) error {
	upload, err := u.store.GetUpload(ctx, id)
	if err != nil {
		return fmt.Errorf("remove upload %s: %w", id, err)
	}
	if err := u.store.AsTerminatableUpload(upload).Terminate(ctx); err != nil {
		return fmt.Errorf("remove upload %s: %w", id, err)
	}
	return nil
}

// uploadsKept is for how long somebody may go on with an upload.
const uploadsKept = 7 * 24 * time.Hour

// Run looks now and then for uploads that came whole and could not be sent, and for those that nobody goes on with.
func (u *Uploads) Run(ctx context.Context) {
	for {
		if err := u.sweep(ctx); err != nil && ctx.Err() == nil {
			u.Log.Error("cannot look for uploads that are left", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Minute):
		}
	}
}

func (u *Uploads) sweep(ctx context.Context) error {
	names, err := filepath.Glob(filepath.Join(u.Folder, "*.info"))
	if err != nil {
		return fmt.Errorf("list uploads: %w", err)
	}
	faults := []error{u.forget()}
	for _, name := range names {
		id := strings.TrimSuffix(filepath.Base(name), ".info")
		upload, err := u.store.GetUpload(ctx, id)
		if err != nil { // somebody has just removed it
			continue
		}
		info, err := upload.GetInfo(ctx)
		if err != nil {
			faults = append(faults, fmt.Errorf("look at upload %s: %w", id, err))
			continue
		}
		written, err := os.Stat(filepath.Join(u.Folder, id))
		_, busy := u.taken.Load(id)
		switch {
		case busy:
		case err != nil:
			faults = append(faults, fmt.Errorf("look at upload %s: %w", id, err))
		case info.Offset == info.Size && time.Since(written.ModTime()) > time.Minute: // else who brought it is about to send it
			_, _ = u.take(ctx, info) // it says what is wrong
		case info.Offset < info.Size && time.Since(written.ModTime()) > uploadsKept:
			u.Log.Warn("upload is removed: its client did not continue it", zap.String("upload", id), zap.Int64("bytes", info.Offset), zap.Int64("of", info.Size))
			faults = append(faults, u.remove(ctx, id))
		}
	}
	return errors.Join(faults...)
}

const triedAgain = "it has come, and cannot be sent to the workers for now; that is tried again: "

// refusal is an error as tus has it.
func (u *Uploads) refusal(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[tus.Error](err); ok {
		return e
	}
	if errors.Is(err, ErrRefused) {
		// Not 409: clients try that again.
		return tus.Error{ErrorCode: "ERR_REFUSED", HTTPResponse: said(http.StatusUnprocessableEntity, err.Error())}
	}
	return tus.Error{ErrorCode: "ERR_LATER", HTTPResponse: said(http.StatusServiceUnavailable, triedAgain+err.Error())}
}

func said(status int, text string) tus.HTTPResponse {
	body, err := json.Marshal(problemText(text))
	if err != nil {
		panic(err) // a string cannot fail
	}
	return tus.HTTPResponse{StatusCode: status, Body: string(body) + "\n", Header: tus.HTTPHeader{"Content-Type": "application/json"}}
}
