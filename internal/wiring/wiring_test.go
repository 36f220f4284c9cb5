package wiring

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"afterlive/internal/standin"
)

// Credentials expire between two calls: the request is signed anew, and nobody
// notices.
func TestCredentialsExpire(t *testing.T) {
	cloud := standin.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", false)
	proxy := cloud.Proxy(t)
	strict := standin.NewStrict()
	url := strict.Serve(t)
	expired := map[string]bool{}
	once := func(name, op string) standin.Fault {
		if expired[name+op] || op == http.MethodHead { // whose answer has no body to say why
			return standin.Fault{}
		}
		expired[name+op] = true
		return standin.Fault{Code: name, Status: http.StatusForbidden}
	}
	proxy.Script(func(c standin.Call) standin.Fault { return once("ExpiredToken", c.Op) })
	strict.Script(func(c standin.Call) standin.Fault { return once("ExpiredTokenException", c.Op) })
	place, err := Flags{
		Queue: strict.AddQueue(url, "tasks", "", 0), Failed: strict.AddQueue(url, "failed", "", 0), Recordings: "s3://recs", Store: "s3://vod",
	}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "talk.flv")
	if err := os.WriteFile(file, []byte("FLV"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := place.Recordings.Upload(t.Context(), "recordings/talk.flv", file); err != nil {
		t.Error(err)
	}
	if body, _, err := place.Recordings.Load(t.Context(), "recordings/talk.flv"); err != nil || !bytes.Equal(body, []byte("FLV")) {
		t.Errorf("%q, %v", body, err)
	}
	if err := place.Queue.Send(t.Context(), []byte("task"), 0); err != nil {
		t.Error(err)
	}
	if b, err := place.Queue.Backlog(t.Context()); err != nil || b.Waiting != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	if len(expired) != 4 {
		t.Errorf("expired: %v", expired)
	}
}
