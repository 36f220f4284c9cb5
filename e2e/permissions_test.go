package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

var update = flag.Bool("update", false, "rewrite what results are compared with")

// Every operation on SQS and S3 that the hook and the worker make in their work, in
// its failures and in its end is recorded. ecs/testdata/permissions.txt names them;
// the roles in the templates are compared with it.
func TestPermissionsAreThoseUsed(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	s := newSky(t)
	used := map[string]bool{}
	record := func(who string) {
		for _, c := range s.proxy.Calls() {
			for _, p := range permissionsOfS3(who, c) {
				used[who+" "+p] = true
			}
		}
	}
	rec := t.TempDir()
	recording := filepath.Join(rec, "talk-1.flv")
	must(t, os.Rename(source(t, "1280x720", fps, 14), recording))
	s.proxy.Script(breakOnce("PUT uploadId"))
	hook := []string{"hook", "--path=" + recording, "--app=live", "--name=talk", "--profile=large", "--log-file=" + filepath.Join(t.TempDir(), "log")}
	if out, err := commandError(t.Context(), t, "enqueue", append(hook, s.place...)...); err == nil || !strings.Contains(out, "enqueue sweep will try again") {
		t.Fatalf("hook: %v: %s", err, out)
	}
	enqueue(t, append([]string{"sweep", rec}, s.place...)...)
	record("origin")
	s.proxy.Script(nil)
	s.follows(t, rec)
	s.dies(t, rec)
	record("origin")
	for _, c := range s.strict.Calls() {
		used["origin "+permissionOfSQS(c)] = true
	}

	garbage := writeFile(t, filepath.Join(t.TempDir(), "diary.flv"), "Dear diary,\n")
	for _, name := range []string{"diary", "other"} {
		enqueue(t, append([]string{"send", "--force", "--as", name, garbage}, s.place...)...)
	}
	enqueue(t, append([]string{"send", "--as", "measured", "--profile", "sphere", source(t, "512x256", fps, 2)}, s.place...)...)
	gone := job.Task{Kind: job.Recording, Key: job.Prefix + "gone.flv"}
	must(t, queue.NewSQS(s.strict.Config(), "http://strict/tasks", 0).Send(t.Context(), gone.Body(), 0))
	before := len(s.strict.Calls())
	s.proxy.Script(breakOnce("PUT uploadId"))
	own := writeFile(t, filepath.Join(t.TempDir(), "large.yaml"), profiles+`
- name: large
  chunk: 6s
  ladders: [{name: flat, projection: flat, rungs: [{height: 720, crf: 1, maxrate: 90000k, bufsize: 90000k, preset: ultrafast}]}]
`)
	work := func(args ...string) *worker {
		return startWorker(t, append(append([]string{"--profiles", own, "--lease", "4s"}, s.place...), args...)...)
	}
	first := work("--drain", "0s")
	eventually(t, patience, "it encodes", func() bool { return len(first.encoders()) > 0 })
	terminate(t, first, syscall.SIGTERM)
	first.finish(t)
	second := work("--spot", "--abandon-after", "3s")
	s.strict.Advance(time.Minute) // when follow has asked for the first look
	eventually(t, patience, "all is done", func() bool { return len(s.strict.Bodies("tasks")) == 0 })
	terminate(t, second, syscall.SIGTERM)
	second.finish(t)
	record("worker")
	for _, c := range s.strict.Calls()[before:] {
		used["worker "+permissionOfSQS(c)] = true
	}
	if r := status(t, s.place...); r.Failed != 3 || len(r.Jobs) < 4 {
		t.Fatalf("status %+v", r)
	}

	before = len(s.strict.Calls())
	s.proxy.Script(nil) // begins its record anew
	s.pages(t)
	record("pages")
	for _, c := range s.strict.Calls()[before:] {
		used["pages "+permissionOfSQS(c)] = true
	}

	got := strings.Join(slices.Sorted(maps.Keys(used)), "\n") + "\n"
	file := filepath.Join(testenv.Root(), "ecs", "testdata", "permissions.txt")
	if *update {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		writeFile(t, file, got)
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got != string(want) {
		t.Errorf("the programs do:\n%snot as in %s (run with -update to accept):\n%s", got, file, want)
	}
}

// breakOnce is a script that makes the first operation of a kind fail for good.
func breakOnce(op string) func(testenv.Call) testenv.Fault {
	var broken atomic.Bool
	return func(c testenv.Call) testenv.Fault {
		if c.Op == op && !broken.Swap(true) {
			return testenv.Fault{Code: "InvalidPart", Status: 400}
		}
		return testenv.Fault{}
	}
}

// permissionsOfS3 are what IAM wants for a call: the action, and bucket and folder.
func permissionsOfS3(who string, c testenv.Call) []string {
	bucket, key, _ := strings.Cut(strings.Trim(c.Message, "/"), "/")
	bucket = map[string]string{"recs": "recordings", "vod": "vod"}[bucket]
	folder, _, _ := strings.Cut(key, "/")
	object := fmt.Sprintf(" %s/%s/*", bucket, folder)
	var all []string
	switch c.Op {
	case "GET", "HEAD":
		all = []string{"s3:GetObject" + object}
	case "PUT":
		if who == "worker" && strings.HasSuffix(key, ".growing/index.json") { // nothing else of recordings is ever written by workers
			object = strings.TrimSuffix(object, "*") + "*.growing/index.json"
		}
		all = []string{"s3:PutObject" + object}
	case "POST uploads", "PUT uploadId", "POST uploadId":
		all = []string{"s3:PutObject" + object}
	case "DELETE uploadId":
		all = []string{"s3:AbortMultipartUpload" + object}
	case "DELETE":
		if who == "origin" {
			object = strings.TrimSuffix(object, "*") + folderOf(key)
		}
		all = []string{"s3:DeleteObject" + object}
	case "GET list-type":
		all = []string{"s3:ListBucket " + bucket}
	default:
		all = []string{"s3:" + c.Op + object}
	}
	if c.Status == 404 { // S3 says so only to who may list
		all = append(all, "s3:ListBucket "+bucket)
	}
	return all
}

// pages looks at all pages, and does all that operators can do there.
func (s *sky) pages(t *testing.T) {
	t.Helper()
	address := "127.0.0.1:" + testenv.FreePort(t)
	serve := exec.Command(filepath.Join(bin, "enqueue"), append([]string{"serve", "--listen", address, "--media", "https://cdn.example.org", "--on-event", "cat >/dev/null"}, s.place...)...)
	serve.Env = append(testenv.Environ(t), "AFTERLIVE_TOKENS="+operatorToken)
	must(t, serve.Start())
	defer func() {
		must(t, serve.Process.Signal(syscall.SIGTERM))
		must(t, serve.Wait())
	}()
	ask := func(method, path, body string) (status int) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/api/v1/"+path, strings.NewReader(body))
		must(t, err)
		request.Header.Set("Authorization", "Bearer "+operatorToken)
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		return resp.StatusCode
	}
	eventually(t, patience, "it serves", func() bool { return ask(http.MethodGet, "site", "") == http.StatusOK })
	jobs := map[string]string{}
	for _, j := range status(t, s.place...).Jobs {
		jobs[j.Asset] = j.Job
	}
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, "recordings", ""},
		{http.MethodGet, "recordings/measured", ""},
		{http.MethodGet, "jobs", ""},
		{http.MethodGet, "jobs/" + jobs["measured"], ""},
		{http.MethodGet, "jobs/" + jobs["measured"] + "/parts", ""},
		{http.MethodGet, "work", ""},
		{http.MethodGet, "mp4/measured", ""},
		{http.MethodPost, "titles", `{"asset": "measured", "title": "Measured"}`},
		{http.MethodPost, "clips", `{"asset": "measured", "from_s": 0.2, "to_s": 1.6, "as": "clip"}`},
		{http.MethodPost, "jobs/" + jobs["measured"] + "/publish", "{}"},
		{http.MethodPost, "recordings", `{"key": "recordings/measured.flv", "profile": "flat"}`},
		{http.MethodPost, "jobs/" + jobs["diary"] + "/replay", "{}"},
		{http.MethodPost, "jobs/" + jobs["other"] + "/drop", "{}"},
		{http.MethodDelete, "recordings/diary?recording=true&force=true", ""},
		{http.MethodDelete, "recordings/clip?force=true", ""},
	} {
		if got := ask(c.method, c.path, c.body); got != http.StatusOK {
			t.Errorf("%s %s: %d", c.method, c.path, got)
		}
	}
	eventually(t, patience, "events are delivered", func() bool {
		left, err := blob.NewS3(s.cloud.Config, "vod", "").List(t.Context(), "index/outbox/")
		return err == nil && len(left) == 0
	})
}

// folderOf is where an extent is: nothing else of recordings is ever removed.
func folderOf(key string) string {
	if name := path.Dir(key); strings.HasSuffix(name, ".growing") {
		return "*.growing/*"
	}
	return "*"
}

// follows lets a recording grow, and follows it to its end.
func (s *sky) follows(t *testing.T, rec string) {
	t.Helper()
	body, err := os.ReadFile(source(t, "160x90", fps, 20))
	must(t, err)
	file, err := os.Create(filepath.Join(rec, "grows-2.flv"))
	must(t, err)
	_, err = file.Write(body[:len(body)/2])
	must(t, err)
	f := startFollow(t, append([]string{"--every", "1s", "--profile", "quick", rec}, s.place...)...)
	eventually(t, patience, "it has begun", func() bool { return len(s.proxy.Calls()) > 3 })
	_, err = file.Write(body[len(body)/2:])
	must(t, errors.Join(err, file.Close()))
	eventually(t, patience, "it has been handed over", func() bool {
		left, err := filepath.Glob(rec + "/*.flv")
		spooled, err2 := filepath.Glob(rec + "/.spool/*.flv")
		must(t, errors.Join(err, err2))
		return len(left)+len(spooled) == 0
	})
	f.kill()
}

// dies lets a recording grow, and its recorder die.
func (s *sky) dies(t *testing.T, rec string) {
	t.Helper()
	body, err := os.ReadFile(source(t, "160x90", fps, 20))
	must(t, err)
	name := filepath.Join(rec, "dies-3.flv")
	file, err := os.Create(name)
	must(t, err)
	_, err = file.Write(body[:len(body)*9/10])
	must(t, err)
	f := startFollow(t, append([]string{"--every", "1s", "--profile", "quick", rec}, s.place...)...)
	store := blob.NewS3(s.cloud.Config, "recs", "")
	eventually(t, patience, "it is in the store", func() bool {
		_, _, err := store.Stat(t.Context(), "recordings/live/dies-3/dies-3.flv.growing/index.json")
		return err == nil
	})
	f.kill()
	must(t, errors.Join(file.Close(), os.Remove(name)))
}

// permissionOfSQS is what IAM wants for a call; sending in batches is sending.
func permissionOfSQS(c testenv.Call) string {
	return "sqs:" + strings.TrimSuffix(c.Op, "Batch") + " " + map[string]string{"tasks": "jobs", "failed": "failed"}[c.Queue]
}
