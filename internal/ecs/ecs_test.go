package ecs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"afterlive.alt/internal/testenv"
)

// agent is ECS's agent, which answers in turn, and keeps the last answer.
type agent struct {
	mu      sync.Mutex
	answers []string // status and body
	asked   []string
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing fails the test
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path+" "+string(body))
	var status int
	var text string
	if _, err := fmt.Sscanf(a.answers[0], "%d", &status); err != nil {
		panic(err)
	}
	_, text, _ = strings.Cut(a.answers[0], " ")
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client has gone, or not
}

const (
	on  = `200 {"protection":{"ExpirationDate":"2026-11-23T12:00:00Z","ProtectionEnabled":true,"TaskArn":"arn:aws:ecs:x"}}`
	off = `200 {"protection":{"ProtectionEnabled":false,"TaskArn":"arn:aws:ecs:x"}}`
)

func TestProtection(t *testing.T) {
	a := &agent{answers: []string{on, off}}
	server := httptest.NewServer(a)
	defer server.Close()
	p := NewProtection(server.URL)
	for range 2 { // two slots
		if err := p.Acquire(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := p.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	want := `PUT /task-protection/v1/state {"ExpiresInMinutes":60,"ProtectionEnabled":true}|PUT /task-protection/v1/state {"ProtectionEnabled":false}`
	if got := strings.Join(a.asked, "|"); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// Whatever the agent says: a refusal ends work, anything else is told and survived.
func TestProtectionFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []string
		refused bool
		want    string
	}{
		"refused with 200":   {[]string{`200 {"failure":{"Arn":"arn","Detail":null,"Reason":"DEPLOYMENT_BLOCKED"}}`}, true, "DEPLOYMENT_BLOCKED"},
		"bad request":        {[]string{`400 {"requestID":"1","error":{"Arn":"a","Code":"InvalidParameterException","Message":"no"}}`}, false, "InvalidParameterException"},
		"no role":            {[]string{`403 {"error":{"Code":"AccessDeniedException","Message":"no task role"}}`}, false, "AccessDeniedException"},
		"no task":            {[]string{`404 {"error":{"Code":"ResourceNotFoundException","Message":"none"}}`}, false, "404"},
		"server":             {[]string{`500 {"error":{"Code":"ServerException","Message":"oops"}}`}, false, "ServerException"},
		"timeout":            {[]string{`504 {"error":{"Code":"RequestCanceled","Message":"Timed out calling ECS Task Protection API"}}`}, false, "504"},
		"garbage":            {[]string{`200 <html>`}, false, "not JSON"},
		"nothing":            {[]string{`200 {}`}, false, "200"},
		"the opposite":       {[]string{off}, false, "200"},
		"well at second try": {[]string{`500 {"error":{"Code":"ServerException"}}`, on}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(&agent{answers: tc.answers})
			defer server.Close()
			p := NewProtection(server.URL)
			err := p.Acquire(t.Context())
			if errors.Is(err, ErrRefused) != tc.refused || (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v", err)
			}
			if held := p.holders == 1; held == tc.refused {
				t.Errorf("held: %t", held)
			}
		})
	}
	enough := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-enough }))
	defer hung.Close()
	defer close(enough)
	p := NewProtection(hung.URL)
	p.client.Timeout = 50 * time.Millisecond
	if err := p.Acquire(t.Context()); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("of an agent that hangs: %v", err)
	}
}

// imdsServer is EC2's metadata service, version 2 only.
func imdsServer(t *testing.T, notice http.HandlerFunc, lifeCycle string) {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		_, _ = io.WriteString(w, "token") // the client has gone, or not
	})
	mux.HandleFunc("GET /latest/meta-data/spot/instance-action", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		notice(w, r)
	})
	if lifeCycle != "" {
		mux.HandleFunc("GET /latest/meta-data/instance-life-cycle", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, lifeCycle)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
}

func TestTaskSize(t *testing.T) {
	for name, tc := range map[string]struct {
		body, lifeCycle string
		want            Size
	}{
		"Fargate":             {`{"Cluster":"c","LaunchType":"FARGATE","Limits":{"CPU":4,"Memory":8192},"Later":"field"}`, "", Size{4, 8192, "FARGATE"}},
		"EC2 spot":            {`{"LaunchType":"EC2","Limits":{"CPU":0.5,"Memory":1024}}`, "spot", Size{0.5, 1024, "EC2 spot"}},
		"EC2 without limits":  {`{"LaunchType":"EC2"}`, "on-demand", Size{0, 0, "EC2 on-demand"}},
		"EC2 that won't tell": {`{"LaunchType":"EC2"}`, "", Size{0, 0, "EC2"}},
	} {
		t.Run(name, func(t *testing.T) {
			imdsServer(t, http.NotFound, tc.lifeCycle)
			agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v4/task" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				_, _ = io.WriteString(w, tc.body)
			}))
			defer agent.Close()
			if got, err := TaskSize(t.Context(), agent.URL+"/v4"); err != nil || got != tc.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	agent := httptest.NewServer(http.NotFoundHandler())
	defer agent.Close()
	if got, err := TaskSize(t.Context(), agent.URL); err == nil || got != (Size{}) {
		t.Errorf("without metadata: %+v, %v", got, err)
	}
}

func TestSpotNotice(t *testing.T) {
	for name, body := range map[string]string{
		"as documented": `{"action":"terminate","time":"2026-11-23T16:34:24Z"}`,
		"malformed":     `soon`,
	} {
		t.Run(name, func(t *testing.T) {
			imdsServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }, "")
			n, err := WaitForNotice(t.Context(), func(err error) { t.Error(err) })
			if err != nil || n.Action == "" || strings.HasPrefix(body, "{") != (n.Action == "terminate" && n.Time.Year() == 2026) {
				t.Errorf("got %+v, %v", n, err)
			}
		})
	}
	t.Run("none yet", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		imdsServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			cancel() // one look is enough
		}, "")
		if n, err := WaitForNotice(ctx, func(error) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v, %v", n, err)
		}
	})
	t.Run("no such service", func(t *testing.T) {
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
		ctx, cancel := context.WithCancel(t.Context())
		var told error
		n, err := WaitForNotice(ctx, func(err error) { told = err; cancel() })
		if !errors.Is(err, context.Canceled) || !errors.Is(told, ErrNoIMDS) {
			t.Errorf("got %+v, %v; told %v", n, err, told)
		}
	})
}

// The notice as AWS's own mock of the metadata service gives it: with a token (version 2 alone), and not before its time.
func TestSpotNoticeOfTheMock(t *testing.T) {
	port := testenv.FreePort(t)
	mock := exec.CommandContext(t.Context(), filepath.Join(testenv.Root(), ".tools", "bin", "ec2-metadata-mock"), "spot", "--action", "terminate", "-n", "127.0.0.1", "-p", port, "-I", "-d", "1")
	testenv.Background(t, mock, "127.0.0.1:"+port)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:"+port)
	n, err := WaitForNotice(t.Context(), func(err error) { t.Error(err) })
	if err != nil || n.Action != "terminate" || time.Until(n.Time) > 3*time.Minute {
		t.Errorf("got %+v, %v", n, err)
	}
}

// One look that fails ends nothing, be it the first. Who has never answered is asked ever
// more rarely, and told of once; who has, every few seconds.
func TestSpotWatch(t *testing.T) {
	down := errors.New("connection refused")
	for name, tc := range map[string]struct {
		look  func(n int) (*Notice, error)
		after time.Duration // at most, the notice is seen
		told  int
	}{
		"the first look fails": {func(n int) (*Notice, error) {
			return map[bool]*Notice{true: {Action: "terminate"}}[n > 2], map[bool]error{true: down}[n == 1]
		}, 20 * time.Second, 1},
		"down for ten minutes": {func(n int) (*Notice, error) {
			return map[bool]*Notice{true: {Action: "terminate"}}[n > 8], map[bool]error{true: down}[n <= 8]
		}, 10 * time.Minute, 1},
		"fails after it has answered": {func(n int) (*Notice, error) {
			return map[bool]*Notice{true: {Action: "terminate"}}[n > 30], map[bool]error{true: down}[n > 1 && n < 30]
		}, 150 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, n, told := time.Now(), 0, 0
				notice, err := watch(t.Context(), func(context.Context) (*Notice, error) { n++; return tc.look(n) }, func(error) { told++ })
				if took := time.Since(began); err != nil || notice.Action != "terminate" || took > tc.after || told != tc.told {
					t.Errorf("%+v, %v after %s and %d looks, told %d times", notice, err, took, n, told)
				}
			})
		})
	}
	t.Run("there is none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			n := 0
			_, err := watch(ctx, func(context.Context) (*Notice, error) { n++; return nil, down }, func(error) {})
			if !errors.Is(err, context.DeadlineExceeded) || n > 1500 {
				t.Errorf("%v after %d looks", err, n)
			}
		})
	})
}
