package testenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands before the S3 stand-in and lets requests fail by its script.
type Proxy struct {
	URL string

	mu      sync.Mutex
	script  func(Call) Fault
	quirks  Quirks
	calls   []Call
	reverse *httputil.ReverseProxy
}

// Proxy starts one. The SDK's endpoint for S3 is the proxy from now on, for the
// test and in Env.
func (c *Cloud) Proxy(t testing.TB) *Proxy {
	t.Helper()
	backend, err := url.Parse(c.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.Out.Host = r.In.Host // it is signed
			p.has().ask(r.Out)
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.reverse.ModifyResponse = func(r *http.Response) error {
		if n, ok := r.Request.Context().Value(number{}).(int); ok {
			p.answered(n, r.StatusCode)
		}
		return p.has().answer(r)
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.CloseClientConnections)
	p.URL = server.URL
	setenv(t, "AWS_ENDPOINT_URL_S3", p.URL)
	for i, kv := range c.Env {
		if strings.HasPrefix(kv, "AWS_ENDPOINT_URL_S3=") {
			c.Env[i] = "AWS_ENDPOINT_URL_S3=" + p.URL
		}
	}
	c.Config = load(t)
	return p
}

// answered notes what the S3 said to a call.
func (p *Proxy) answered(n, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n <= len(p.calls) {
		p.calls[n-1].Status = status
	}
}

// Script decides from now on how requests fail. Calls are counted from 1 again.
func (p *Proxy) Script(script func(Call) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.calls = script, nil
}

// Calls are those since the last Script. Their Op is HTTP's method and, for
// multipart uploads and lists, what it is about; Message is the path.
func (p *Proxy) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := Call{Op: operation(r), Message: r.URL.Path, Time: time.Now()}
	p.mu.Lock()
	call.N = len(p.calls) + 1
	script := p.script
	p.calls = append(p.calls, call)
	p.mu.Unlock()
	var fault Fault
	if script != nil {
		fault = script(call)
	}
	if fault.none() && p.has().refuses(r) {
		fault = Fault{Code: "NotImplemented", Status: http.StatusNotImplemented}
	}
	if fault.Delay > 0 {
		time.Sleep(fault.Delay)
	}
	ctx := context.WithValue(r.Context(), number{}, call.N)
	whole := context.WithoutCancel(ctx) // of a request that takes effect, whoever waits for it
	r = r.WithContext(ctx)
	if fault.Half {
		w = &half{ResponseWriter: w}
	}
	switch {
	case fault.none():
		p.reverse.ServeHTTP(w, r)
		return
	case fault.After:
		p.reverse.ServeHTTP(httptest.NewRecorder(), r.WithContext(whole))
	default:
		_, _ = io.Copy(io.Discard, r.Body) // a client that still sends takes an answer for a broken pipe
	}
	if fault.Then != nil {
		fault.Then()
	}
	switch {
	case fault.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case fault.Code == "":
		panic(http.ErrAbortHandler) // the connection breaks
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(max(fault.Status, http.StatusOK))
	fmt.Fprintf(w, errorBody, fault.Code, "injected")
}

// number is the key under which a request's context has the number of its Call.
type number struct{}

func operation(r *http.Request) string {
	query := r.URL.Query()
	for _, about := range []string{"uploads", "uploadId", "list-type"} {
		if query.Has(about) {
			return r.Method + " " + about
		}
	}
	return r.Method
}

// half hands on half of an answer, and breaks the connection.
type half struct{ http.ResponseWriter }

func (h *half) Write(b []byte) (int, error) {
	n := len(b) / 2
	if _, err := h.ResponseWriter.Write(b[:n]); err != nil {
		return 0, err
	}
	if err := http.NewResponseController(h.ResponseWriter).Flush(); err != nil {
		return 0, err
	}
	panic(http.ErrAbortHandler)
}
