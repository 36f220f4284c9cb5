package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"afterlive.alt/ecs"
	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
)

// bridge takes the S3 stand-in's own notifications and sends them on as S3 would: to
// the queue, and as news, each by the filters of the template. What the stand-in gets
// wrong of S3's form, it repairs.
type bridge struct {
	*httptest.Server

	template ecs.Template
	to       func(body []byte) error // the jobs' queue; nil: not yet
	mu       sync.Mutex
	sent     []string // keys
	news     []string
	faults   []error
}

func newBridge(t *testing.T) *bridge {
	t.Helper()
	template, err := ecs.Parse(ecs.Vod)
	must(t, err)
	b := &bridge{template: template}
	b.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		b.mu.Lock()
		defer b.mu.Unlock()
		if err == nil {
			err = b.pass(body)
		}
		if err != nil {
			b.faults = append(b.faults, fmt.Errorf("%w: %s", err, body))
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bridge) pass(body []byte) error {
	var event struct {
		Event   string `json:"Event,omitempty"` // of the event that tests the way
		Records []struct {
			EventVersion string `json:"eventVersion"`
			EventSource  string `json:"eventSource"`
			EventName    string `json:"eventName"`
			S3           struct {
				Bucket struct {
					Name string `json:"name"`
					Arn  string `json:"arn"`
				} `json:"bucket"`
				Object struct {
					Key  string `json:"key"`
					Size int64  `json:"size,omitempty"`
					ETag string `json:"eTag"`
				} `json:"object"`
			} `json:"s3"`
		} `json:"Records"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return err
	}
	if len(event.Records) == 0 {
		if b.to == nil {
			return nil
		}
		return b.to(body)
	}
	r := &event.Records[0]
	bucket, key := r.S3.Bucket.Name, r.S3.Object.Key
	switch {
	case bucket == "recs" && b.matches("Recordings", "QueueConfigurations/0", key):
	case bucket == "vod" && (b.matches("Vod", "TopicConfigurations/0", key) || b.matches("Vod", "TopicConfigurations/1", key)):
		b.news = append(b.news, key)
		return nil
	default:
		return nil
	}
	r.EventName = strings.TrimPrefix(r.EventName, "s3:")
	r.S3.Bucket.Arn = "arn:aws:s3:::" + bucket
	r.S3.Object.Key = strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
	r.S3.Object.ETag = strings.Trim(r.S3.Object.ETag, `"`)
	fixed, err := json.Marshal(event)
	if err != nil {
		return err
	}
	b.sent = append(b.sent, key)
	if err := b.to(fixed); err != nil {
		return err
	}
	return b.to(fixed) // at least once
}

// matches applies a notification's prefix and suffix.
func (b *bridge) matches(bucket, configuration, key string) bool {
	rule := func(n int) string {
		return b.template.Text(bucket, fmt.Sprintf("NotificationConfiguration/%s/Filter/S3Key/Rules/%d/Value", configuration, n))
	}
	return strings.HasPrefix(key, rule(0)) && strings.HasSuffix(key, rule(1))
}

// Nobody but S3 tells of recordings: what is put in the bucket, whole or in parts, by
// whatever name, becomes video on demand once, though S3 tells twice; and S3 tells
// operators what is ready, and what has failed.
func TestS3EventsAreJobs(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	b := newBridge(t)
	filter := writeFile(t, filepath.Join(t.TempDir(), "filter.json"), `{"s3:ObjectCreated:*": true}`)
	cloud := testenv.Start(t, "--event-webhook-url", b.URL, "--event-filter", filter)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", true)
	jobs := cloud.Queue(t, "tasks")
	b.to = func(body []byte) error {
		return queue.NewSQS(cloud.Config, jobs, time.Second).Send(t.Context(), body, 0)
	}
	must(t, b.to([]byte(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"recs"}`)))
	place := []string{"--queue", jobs, "--failed", cloud.Queue(t, "failed"), "--recordings", "s3://recs", "--store", "s3://vod"}

	small, large := source(t, "320x180", fps, 3), source(t, "1280x720", fps, 8) // 6 MB: in parts
	if info, err := os.Stat(large); err != nil || info.Size() < 5<<20 {
		t.Fatalf("a recording that goes up in parts: %v, %v", info.Size(), err)
	}
	up := blob.NewS3(cloud.Config, "recs", "")
	want := map[string]string{ // asset, and its recording
		"live/talk/plain":            small,
		"live/a stage/100% + <more>": small,
		"live/Bühne/Größe & 東京 (2)":  small,
		"live/talk/in parts":         large,
	}
	for asset, file := range want {
		must(t, up.Upload(t.Context(), "recordings/"+asset+".flv", file))
	}
	must(t, up.Upload(t.Context(), "recordings/live/diary.flv", writeFile(t, filepath.Join(t.TempDir(), "diary.flv"), "Dear diary\n")))
	must(t, up.Upload(t.Context(), "recordings/live/notes.txt", small)) // no recording
	must(t, up.Upload(t.Context(), "elsewhere/talk.flv", small))

	w := startWorker(t, place...)
	eventually(t, patience, "all is done", func() bool {
		r := status(t, place...)
		return r.Queue.Waiting+r.Queue.InFlight == 0 && len(r.Jobs) == len(want)+1 && r.Failed > 0
	})
	r := status(t, place...)
	for _, j := range r.Jobs {
		if state := map[bool]string{true: "published", false: "failed"}[want[j.Asset] != ""]; j.State != state {
			t.Errorf("%s is %s, want %s", j.Asset, j.State, state)
		}
	}
	eventually(t, patience, "S3 has told of each once", func() bool { // it tells when it likes
		b.mu.Lock()
		defer b.mu.Unlock()
		ready := 0
		for asset := range want {
			if slices.Contains(b.news, "vod/"+asset+"/asset.json") {
				ready++
			}
		}
		failed := slices.ContainsFunc(b.news, func(key string) bool {
			return strings.HasPrefix(key, "jobs/") && strings.HasSuffix(key, "-failed.json")
		})
		return ready == len(want) && failed && len(b.sent) == len(want)+1
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range b.news {
		if !strings.HasSuffix(key, "/asset.json") && !strings.HasSuffix(key, "-failed.json") {
			t.Errorf("%s is not news", key)
		}
	}
	if len(b.faults) > 0 {
		t.Error(b.faults)
	}
	if log := w.output(t); !strings.Contains(log, `"outcome":"duplicate"`) {
		t.Error("nothing was told twice")
	}
}
