package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"afterlive.alt/internal/testenv"
)

// In a cloud of yours ("make cloud-test"), a recording becomes video on demand though a worker is killed, what is no recording fails,
// is replayed and dropped, and what was made can be removed.
func TestYourCloud(t *testing.T) {
	cloud, bucket, name := testenv.Yours(t)
	place := []string{"--queue", cloud.Queue(t, "tasks"), "--failed", cloud.Queue(t, "failed"), "--recordings", "s3://" + bucket, "--store", "s3://" + bucket + "/" + name}
	with := func(args ...string) []string { return append(args, place...) }
	enqueue(t, with("send", "--as", name+"-talk", source(t, "320x180", fps, 24))...)
	enqueue(t, with("send", "--force", "--as", name+"-none", writeFile(t, filepath.Join(folder(t), "none.flv"), "this is not a recording"))...)
	doomed := startWorker(t, with("--lease", "10s")...)
	eventually(t, patience, "it encodes", func() bool { return len(doomed.encoders()) > 0 })
	must(t, doomed.Process.Kill())
	startWorker(t, with("--lease", "10s")...)
	published := func() (asset string, seconds float64) {
		for _, j := range status(t, place...).Jobs {
			if j.State == "published" {
				return j.Asset, j.Duration
			}
		}
		return "", 0
	}
	eventually(t, patience, "it is published, and the other has failed", func() bool { asset, _ := published(); return asset != "" && status(t, place...).Failed == 1 })
	asset, seconds := published()
	here := download(t, cloud.S3(), bucket, name+"/vod/")
	checkHLS(t, here+"/"+asset+"/master.m3u8", seconds, []string{"320x180"})
	if list := enqueue(t, with("failed")...); !strings.Contains(list, "not_flv") {
		t.Errorf("failed lists:\n%s", list)
	}
	enqueue(t, with("replay", "--all")...)
	eventually(t, patience, "it has failed again", func() bool { r := status(t, place...); return r.Failed == 1 && r.Queue.Waiting+r.Queue.InFlight == 0 })
	enqueue(t, with("drop", "--all")...)
	enqueue(t, with("rm", asset, "--recording")...)
	eventually(t, patience, "nothing is published any more", func() bool { asset, _ := published(); return asset == "" })
}

// In the same cloud, a recording that grows can be watched, becomes video on demand when it ends, and is cut and downloaded.
func TestYourStream(t *testing.T) {
	cloud, bucket, name := testenv.Yours(t)
	place := []string{"--queue", cloud.Queue(t, "tasks"), "--failed", cloud.Queue(t, "failed"), "--recordings", "s3://" + bucket, "--store", "s3://" + bucket + "/" + name}
	with := func(args ...string) []string { return append(args, place...) }
	rec := t.TempDir()
	body, err := os.ReadFile(source(t, "160x90", fps, 60))
	must(t, err)
	file, err := os.Create(filepath.Join(rec, name+".flv")) // as nginx writes it
	must(t, err)
	_, err = file.Write(body[:len(body)*9/10])
	must(t, err)
	startFollow(t, with("--every", "1s", "--reconnect", "0s", "--profile", "quick", rec)...)
	startWorker(t, place...)
	state := func() (asset, state string) {
		if jobs := status(t, place...).Jobs; len(jobs) == 1 {
			return jobs[0].Asset, jobs[0].State
		}
		return "", ""
	}
	eventually(t, patience, "it can be watched while it grows", func() bool { _, s := state(); return s == "live" })
	_, err = file.Write(body[len(body)*9/10:])
	must(t, errors.Join(err, file.Close()))
	eventually(t, patience, "it is on demand", func() bool { _, s := state(); return s == "published" })
	asset, _ := state()
	here := download(t, cloud.S3(), bucket, name+"/vod/")
	checkHLS(t, here+"/"+asset+"/master.m3u8", 60, []string{"160x90"})
	enqueue(t, with("clip", asset, "--from", "3", "--to", "40", "--as", "cut")...)
	eventually(t, patience, "the clip is published", func() bool {
		_, err := commandError(t.Context(), t, "enqueue", with("mp4", "cut", "-o", filepath.Join(rec, "cut.mp4"))...)
		return err == nil
	})
	if seconds := lasts(t, filepath.Join(rec, "cut.mp4")); seconds < 36.9 || seconds > 37.1 {
		t.Errorf("the clip lasts %g s", seconds)
	}
	enqueue(t, with("rm", "cut")...)
	enqueue(t, with("rm", asset, "--recording")...)
}

func lasts(t *testing.T, file string) float64 {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file).Output()
	must(t, err)
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	must(t, err)
	return seconds
}

// download copies what is below a prefix, and serves it as the store would.
func download(t *testing.T, client *s3.Client, bucket, prefix string) string {
	t.Helper()
	type object struct {
		body           []byte
		kind, encoding string
	}
	all := map[string]object{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		must(t, err)
		for _, o := range page.Contents {
			got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: o.Key})
			must(t, err)
			body, err := io.ReadAll(got.Body)
			must(t, errors.Join(err, got.Body.Close()))
			all["/"+strings.TrimPrefix(aws.ToString(o.Key), prefix)] = object{body, aws.ToString(got.ContentType), aws.ToString(got.ContentEncoding)}
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, ok := all[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", o.kind)
		if o.encoding != "" {
			w.Header().Set("Content-Encoding", o.encoding)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}
