package config

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// Credentials expire between two calls: the request is signed anew, and nobody
// notices.
func TestCredentialsExpire(t *testing.T) {
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", false)
	proxy := cloud.Proxy(t)
	strict := testenv.NewStrict()
	url := strict.Serve(t)
	expired := map[string]bool{}
	once := func(name, op string) testenv.Fault {
		if expired[name+op] || op == http.MethodHead { // whose answer has no body to say why
			return testenv.Fault{}
		}
		expired[name+op] = true
		return testenv.Fault{Code: name, Status: http.StatusForbidden}
	}
	proxy.Script(func(c testenv.Call) testenv.Fault { return once("ExpiredToken", c.Op) })
	strict.Script(func(c testenv.Call) testenv.Fault { return once("ExpiredTokenException", c.Op) })
	backend, err := Flags{
		Queue: strict.AddQueue(url, "tasks", "", 0), Failed: strict.AddQueue(url, "failed", "", 0), Recordings: "s3://recs", Store: "s3://vod",
	}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "talk.flv")
	if err := os.WriteFile(file, []byte("FLV"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := backend.Recordings.Upload(t.Context(), "recordings/talk.flv", file); err != nil {
		t.Error(err)
	}
	if body, _, err := backend.Recordings.Load(t.Context(), "recordings/talk.flv"); err != nil || !bytes.Equal(body, []byte("FLV")) {
		t.Errorf("%q, %v", body, err)
	}
	if err := backend.Queue.Send(t.Context(), []byte("task"), 0); err != nil {
		t.Error(err)
	}
	if b, err := backend.Queue.Backlog(t.Context()); err != nil || b.Waiting != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	if len(expired) != 4 {
		t.Errorf("expired: %v", expired)
	}
}

// What is wrong with an address of PostgreSQL is said before anything is opened; a password is not repeated.
func TestPostgresFlags(t *testing.T) {
	good := Flags{Queue: "postgres://afterlive@db.example.org/afterlive", Recordings: "s3://recs", Store: "s3://vod"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if want := " --queue postgres://afterlive@db.example.org/afterlive --recordings s3://recs --store s3://vod"; good.Args() != want {
		t.Errorf("%s", good.Args())
	}
	for want, change := range map[string]func(*Flags){
		"PGPASSWORD":           func(f *Flags) { f.Queue = "postgres://afterlive:secret@db.example.org/afterlive" },
		"--failed":             func(f *Flags) { f.Failed = "https://sqs.example.org/failed" },
		"--recordings":         func(f *Flags) { f.Recordings = "" },
		"--store":              func(f *Flags) { f.Store = "" },
		"URL of an SQS":        func(f *Flags) { f.Queue = "mysql://afterlive@db.example.org/afterlive" },
		"--queue is not an ad": func(f *Flags) { f.Queue = "postgres://afterlive@db.example.org:port/afterlive" },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, which should speak of %s", bad, err, want)
		}
	}
}
