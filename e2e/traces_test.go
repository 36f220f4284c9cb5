package e2e

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is one of OpenTelemetry's spans.
type receiver struct {
	*httptest.Server

	lock  sync.Mutex
	spans map[string][]*otlp.Span // by the worker that sent them
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{spans: map[string][]*otlp.Span{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		var got collector.ExportTraceServiceRequest
		if err != nil || q.URL.Path != "/v1/traces" || proto.Unmarshal(body, &got) != nil {
			http.Error(w, "no spans", http.StatusBadRequest)
			return
		}
		r.lock.Lock()
		defer r.lock.Unlock()
		for _, resource := range got.GetResourceSpans() {
			worker := ""
			for _, a := range resource.GetResource().GetAttributes() {
				if a.GetKey() == "service.instance.id" {
					worker = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range resource.GetScopeSpans() {
				r.spans[worker] = append(r.spans[worker], scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// One trace has the life of a recording, whichever workers did its tasks: each task is a span below the recording's, with its stages below it.
// A receiver that is away costs nothing but spans.
func TestTraces(t *testing.T) {
	alongside(t)
	r, data := newReceiver(t), folder(t)
	enqueue(t, "send", "--data", data, "--profile", "quick", source(t, "320x180", fps, 14))
	workers := []*worker{startWorker(t, "--data", data, "--otlp", r.URL), startWorker(t, "--data", data, "--otlp", r.URL)}
	lost := startWorker(t, "--data", folder(t), "--otlp", "http://127.0.0.1:9", "--exit-when-idle")
	eventually(t, patience, "it is published", func() bool {
		return len(status(t, "--data", data).Jobs) == 1 && status(t, "--data", data).Jobs[0].State == "published"
	})
	for _, w := range workers {
		must(t, w.Process.Signal(syscall.SIGTERM))
		w.finish(t)
	}
	lost.finish(t)
	var root *otlp.Span
	var names []string
	all := map[string]*otlp.Span{}
	for _, spans := range r.spans {
		for _, s := range spans {
			all[hex.EncodeToString(s.GetSpanId())] = s
			names = append(names, s.GetName())
			if len(s.GetParentSpanId()) == 0 {
				root = s
			}
		}
	}
	slices.Sort(names)
	if root == nil {
		t.Fatalf("no first span: %q", names)
	}
	for _, s := range all {
		if !bytes.Equal(s.GetTraceId(), root.GetTraceId()) {
			t.Errorf("%s is in another trace", s.GetName())
		}
		parent := all[hex.EncodeToString(s.GetParentSpanId())]
		switch {
		case s == root:
		case parent == nil:
			t.Errorf("%s hangs in the air", s.GetName())
		case parent != root && (s.GetStartTimeUnixNano() < parent.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() > parent.GetEndTimeUnixNano()):
			t.Errorf("%s is not within %s", s.GetName(), parent.GetName())
		}
	}
	for _, want := range []string{"recording", "scan", "chunk-00000", "chunk-00001", "encode", "upload", "publish", root.GetName()} {
		if !slices.Contains(names, want) {
			t.Errorf("no span %s: %q", want, names)
		}
	}
	if !strings.HasPrefix(root.GetName(), "recording ") {
		t.Errorf("the first span is %s", root.GetName())
	}
}
