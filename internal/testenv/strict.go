package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Strict is an SQS for what no stand-in does: the rules of receipt handles, the
// 12 hours' wall, heartbeats that answer 200 and do nothing, polls that swallow a
// message, redrive. It speaks SQS's JSON protocol over HTTP; its clock is the
// process's, so that in a [testing/synctest] bubble half a day takes no time.
type Strict struct {
	mu       sync.Mutex
	script   func(Call) Fault
	ahead    time.Duration // of the process's clock
	queues   map[string]*strictQueue
	calls    []Call
	handles  int
	messages int
}

// Call is one request, as the server saw it.
type Call struct {
	Op      string // "ReceiveMessage"
	Queue   string
	Message string // its id, once known
	Handle  string
	N       int // of this Op on this queue, from 1
	Time    time.Time
	Seconds int    // asked for, in a ChangeMessageVisibility
	Status  int    // that S3 answered
	Fault   string // that was injected, or the error that was answered
}

// Fault is how a call goes wrong. The zero Fault is none.
type Fault struct {
	Code   string        // the service's name of the error to answer
	Status int           // of HTTP, with Code; 0: 400 of SQS, 200 of S3
	After  bool          // the call takes effect all the same
	Skip   bool          // nothing happens, and the answer is 200 (SQS)
	Break  bool          // the connection breaks (S3)
	Half   bool          // half of the answer comes, then the connection breaks (S3)
	Hang   bool          // no answer ever comes
	Delay  time.Duration // before anything happens
	Then   func()        // called once a fault has taken effect, before its answer (S3)
}

// none tells whether a call is to go its way.
func (f Fault) none() bool { return f.Code == "" && !f.Skip && !f.Hang && !f.Break }

// NewStrict has no queues yet.
func NewStrict() *Strict { return &Strict{queues: map[string]*strictQueue{}} }

// Serve lets it listen, and sets the SDK's environment variable for the test. It
// returns the base of queues' URLs.
func (s *Strict) Serve(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.CloseClientConnections)
	setenv(t, "AWS_ENDPOINT_URL_SQS", server.URL)
	return server.URL
}

// Config is an SDK configuration whose requests go straight to the server, without
// a network, so that they may be made in a bubble.
func (s *Strict) Config() aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String("http://strict.invalid"), HTTPClient: &http.Client{Transport: direct{s}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, nil
		}),
	}
}

// direct is a connection to a handler. As over a network, who hangs up gets no
// answer, and the server goes on.
type direct struct{ to http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := make(chan *http.Response, 1)
	go func() {
		w := httptest.NewRecorder()
		defer func() {
			if recover() == nil {
				answer <- w.Result()
			}
		}()
		d.to.ServeHTTP(w, r)
	}()
	select {
	case a := <-answer:
		return a, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// AddQueue makes a queue and returns its URL. Messages that are received more than
// most times go to the queue dead; most 0: never.
func (s *Strict) AddQueue(base, name, dead string, most int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[name] = &strictQueue{name: name, dead: dead, most: most, changed: make(chan struct{}), count: map[string]int{}}
	return base + "/000000000000/" + name
}

// Advance moves the server's clock: leases, delays and polls end.
func (s *Strict) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
	for _, q := range s.queues {
		q.wake()
	}
}

func (s *Strict) now() time.Time { return time.Now().Add(s.ahead) }

// Script decides from now on how calls fail. It must not call the server.
func (s *Strict) Script(script func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Calls are all that were made so far.
func (s *Strict) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Bodies are the messages of a queue, hidden ones included.
func (s *Strict) Bodies(queue string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, m := range s.queues[queue].messages {
		all = append(all, m.body)
	}
	return all
}

// strictRequest has every field that we use.
type strictRequest struct {
	QueueURL          string `json:"QueueUrl"`
	QueueName         string `json:"QueueName"`
	MessageBody       string `json:"MessageBody"`
	DelaySeconds      int    `json:"DelaySeconds"`
	ReceiptHandle     string `json:"ReceiptHandle"`
	VisibilityTimeout *int   `json:"VisibilityTimeout"`
	WaitTimeSeconds   int    `json:"WaitTimeSeconds"`
	MaxMessages       int    `json:"MaxNumberOfMessages"`

	Entries []struct {
		ID           string `json:"Id"`
		MessageBody  string `json:"MessageBody"`
		DelaySeconds int    `json:"DelaySeconds"`
	} `json:"Entries"`
}

type strictError struct {
	code, message string
	status        int
}

func (e *strictError) Error() string { return e.code + ": " + e.message }

func invalidParameter(format string, args ...any) error {
	return &strictError{code: "InvalidParameterValue", message: fmt.Sprintf(format, args...)}
}

// ServeHTTP answers one call.
func (s *Strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in strictRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		answer(w, nil, &strictError{code: "SerializationException", message: err.Error()})
		return
	}
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	if op == "CreateQueue" {
		answer(w, map[string]any{"QueueUrl": s.AddQueue("http://"+r.Host, in.QueueName, "", 0)}, nil)
		return
	}
	s.mu.Lock()
	q := s.queues[path.Base(in.QueueURL)]
	if q == nil {
		s.mu.Unlock()
		answer(w, nil, &strictError{code: "QueueDoesNotExist", message: "The specified queue does not exist."})
		return
	}
	q.count[op]++
	call := Call{Op: op, Queue: q.name, Handle: in.ReceiptHandle, Message: messageOf(in.ReceiptHandle), N: q.count[op], Time: time.Now()}
	if in.VisibilityTimeout != nil {
		call.Seconds = *in.VisibilityTimeout
	}
	var fault Fault
	if s.script != nil {
		fault = s.script(call)
	}
	s.mu.Unlock()

	if fault.Delay > 0 {
		time.Sleep(fault.Delay)
	}
	var out any = struct{}{}
	var err error
	if fault.After || fault.none() {
		out, err = s.do(q, &call, in)
	}
	if fault.Code != "" {
		err = &strictError{code: fault.Code, message: "injected", status: fault.Status}
	}
	if err != nil {
		call.Fault = err.Error()
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	if fault.Hang {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	answer(w, out, err)
}

func answer(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if e, ok := err.(*strictError); ok {
		w.Header().Set("X-Amzn-Query-Error", e.code+";Sender")
		w.WriteHeader(max(e.status, http.StatusBadRequest))
		out = map[string]string{"__type": "com.amazonaws.sqs#" + e.code, "message": e.message}
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic(err) // strings and numbers cannot fail
	}
	_, _ = w.Write(body) // whoever hung up gets nothing
}

func (s *Strict) do(q *strictQueue, call *Call, in strictRequest) (any, error) {
	switch call.Op {
	case "SendMessage":
		return s.send(q, call, in)
	case "SendMessageBatch":
		return s.sendBatch(q, call, in)
	case "ReceiveMessage":
		return s.receive(q, call, in)
	case "DeleteMessage":
		return struct{}{}, s.remove(q, in)
	case "ChangeMessageVisibility":
		return struct{}{}, s.change(q, in)
	case "GetQueueAttributes":
		return s.attributes(q), nil
	}
	return nil, &strictError{code: "UnsupportedOperation", message: call.Op}
}
