package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zaptest"

	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// sky is an SQS by the rules, with workers on it, in a bubble: hours pass in no
// time, and the SDK's own code runs.
type sky struct {
	*testenv.Strict

	t             *testing.T
	store         *testenv.Memory
	tasks, failed *queue.SQS

	mu   sync.Mutex
	runs []run // of the task
}

// run is one attempt at a task.
type run struct {
	worker     string
	began, end time.Time
	err        error
}

const maxReceiveCount = 20 // of the queue's own redrive policy, as deployed

func newSky(t *testing.T, script func(testenv.Call) testenv.Fault) *sky {
	s := &sky{Strict: testenv.NewStrict(), t: t, store: testenv.NewMemory()}
	s.Script(script)
	const base = "http://strict.invalid"
	s.failed = queue.NewSQS(s.Config(), s.AddQueue(base, "failed", "", 0), 2*time.Second)
	s.tasks = queue.NewSQS(s.Config(), s.AddQueue(base, "tasks", "failed", maxReceiveCount), 20*time.Second)
	return s
}

// worker starts one whose tasks take so long, and commit as parts do: by one
// write that only the first can make. end waits for it.
func (s *sky) worker(name string, takes time.Duration, prepare ...func(*Worker)) (w *Worker, stop, end func()) {
	w = &Worker{
		Queue: s.tasks, Failed: s.failed, Slots: 1, Lease: testLease, Drain: 20 * time.Second, Name: name,
		Metrics: NewMetrics(nil), Log: zaptest.NewLogger(s.t).Named(name),
	}
	w.Do = func(ctx context.Context, _ job.Task, hold *Lease) error {
		r := run{worker: name, began: time.Now()}
		r.err = s.commit(ctx, hold, name, takes)
		r.end = time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.runs = append(s.runs, r)
		return r.err
	}
	w.Done = func(ctx context.Context, _ job.Task) (bool, error) {
		_, _, err := s.store.Load(ctx, "part")
		return err == nil, nil
	}
	for _, f := range prepare {
		f(w)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx, s.t.Context()); err != nil {
			s.t.Error(err)
		}
	}()
	return w, cancel, func() { cancel(); <-done }
}

func (s *sky) commit(ctx context.Context, hold *Lease, name string, takes time.Duration) error {
	if _, _, err := s.store.Load(ctx, "part"); err == nil {
		hold.Duplicate()
		return nil
	}
	if !sleep(ctx, takes) {
		return ctx.Err()
	}
	if err := hold.Prove(ctx); err != nil {
		return err
	}
	err := s.store.Write(ctx, "part", []byte(name), "")
	if errors.Is(err, fs.ErrExist) {
		hold.Duplicate()
		return nil
	}
	return err
}

func (s *sky) send() {
	s.t.Helper()
	must(s.t, s.tasks.Send(s.t.Context(), chunkTask.Body(), 0))
}

// committed wants exactly one commit, and nothing left anywhere.
func (s *sky) committed() {
	s.t.Helper()
	if s.store.Writes["part"] != 1 {
		s.t.Errorf("%d commits", s.store.Writes["part"])
	}
	if left, failed := s.Bodies("tasks"), s.Bodies("failed"); len(left) > 0 || len(failed) > 0 {
		s.t.Errorf("left in the queue: %q; failed: %q", left, failed)
	}
}

// count is how many calls there were that f is true for.
func (s *sky) count(f func(testenv.Call) bool) int {
	n := 0
	for _, c := range s.Calls() {
		if f(c) {
			n++
		}
	}
	return n
}

func deliveries(c testenv.Call) bool { return c.Op == "ReceiveMessage" && c.Message != "" }

func during(began time.Time, from, to time.Duration) bool {
	d := time.Since(began)
	return d >= from && d < to
}

// Five workers get the same task at once: one commit, four duplicates.
func TestFiveDeliveriesOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSky(t, nil)
		var ends []func()
		done, duplicate := 0.0, 0.0
		var all []*Worker
		for n := range 5 {
			s.send()
			w, _, end := s.worker(fmt.Sprint("w", n), time.Minute)
			ends, all = append(ends, end), append(all, w)
		}
		time.Sleep(10 * time.Minute)
		for n, end := range ends {
			end()
			done += testutil.ToFloat64(all[n].Metrics.settled.WithLabelValues(outcomeDone))
			duplicate += testutil.ToFloat64(all[n].Metrics.settled.WithLabelValues(outcomeDuplicate))
		}
		s.committed()
		if done != 1 || duplicate != 4 {
			t.Errorf("%v done, %v duplicates", done, duplicate)
		}
	})
}

// The end of a message goes wrong after the commit: it comes again, and is found
// done at once.
func TestDeleteGoesWrong(t *testing.T) {
	for name, fault := range map[string]testenv.Fault{
		"500":                     {Code: "InternalError", Status: http.StatusInternalServerError},
		"500, though it worked":   {Code: "InternalError", Status: http.StatusInternalServerError, After: true},
		"no answer":               {Hang: true},
		"200, and nothing is so":  {Skip: true},
		"answered late, too late": {Hang: true, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSky(t, func(c testenv.Call) testenv.Fault {
					if c.Op == "DeleteMessage" && c.N <= 5 { // the SDK tries an error three times
						return fault
					}
					return testenv.Fault{}
				})
				s.send()
				_, _, end := s.worker("w1", time.Minute)
				time.Sleep(20 * time.Minute)
				end()
				s.committed()
				for _, r := range s.runs[1:] {
					if took := r.end.Sub(r.began); took > 2*time.Second {
						t.Errorf("done again in %s", took)
					}
				}
			})
		})
	}
}

// Heartbeats answer 200 and do nothing, so that a second worker gets the task while
// the first is at it. Both think it is theirs; one commits.
func TestHeartbeatsDoNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSky(t, func(c testenv.Call) testenv.Fault {
			return testenv.Fault{Skip: c.Op == "ChangeMessageVisibility" && strings.HasSuffix(c.Handle, "#1")}
		})
		s.send()
		_, _, end1 := s.worker("w1", 5*time.Minute)
		synctest.Wait()
		_, _, end2 := s.worker("w2", 5*time.Minute)
		time.Sleep(time.Hour)
		end1()
		end2()
		s.committed()
		if len(s.runs) != 2 || s.count(deliveries) != 2 {
			t.Errorf("runs %+v", s.runs)
		}
	})
}

// The queue says that the message is somebody else's: the work is ended within
// seconds, and nothing is written or deleted by who lost it.
func TestHeartbeatIsRefused(t *testing.T) {
	for _, code := range []string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSky(t, func(c testenv.Call) testenv.Fault {
					if c.Op == "ChangeMessageVisibility" && strings.HasSuffix(c.Handle, "#1") {
						return testenv.Fault{Code: code}
					}
					return testenv.Fault{}
				})
				s.send()
				began := time.Now()
				_, _, end := s.worker("w1", 5*time.Minute)
				time.Sleep(time.Minute)
				end()
				if len(s.runs) == 0 || s.runs[0].end.Sub(began) > testLease/4+5*time.Second || s.runs[0].err == nil {
					t.Errorf("runs %+v", s.runs)
				}
				if n := s.count(func(c testenv.Call) bool { return c.Op == "DeleteMessage" || c.Op == "SendMessage" && c.N > 1 }); n > 0 || len(s.store.Objects) > 0 {
					t.Errorf("%d calls and %d objects after the loss", n, len(s.store.Objects))
				}
			})
		})
	}
}

// SQS cannot be reached for a while: a minute is survived without a second
// delivery; after three the lease is lost, and somebody does it anew.
func TestQueueIsUnreachable(t *testing.T) {
	for _, tc := range []struct {
		outage     time.Duration
		deliveries int
	}{{time.Minute, 1}, {3 * time.Minute, 2}} {
		t.Run(tc.outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := newSky(t, func(testenv.Call) testenv.Fault {
					return testenv.Fault{Hang: during(began, 20*time.Second, 20*time.Second+tc.outage)}
				})
				s.send()
				_, _, end := s.worker("w1", 10*time.Minute)
				time.Sleep(time.Hour)
				end()
				s.committed()
				if n := s.count(deliveries); n != tc.deliveries {
					t.Errorf("%d deliveries", n)
				}
				if tc.deliveries > 1 && !errors.Is(s.runs[0].err, context.Canceled) {
					t.Errorf("runs %+v", s.runs)
				}
			})
		})
	}
}

// A poll that is never answered is given up, and the next brings the message.
func TestPollIsNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSky(t, func(c testenv.Call) testenv.Fault { return testenv.Fault{Hang: c.Op == "ReceiveMessage" && c.N == 1} })
		s.send()
		began := time.Now()
		_, _, end := s.worker("w1", time.Second)
		time.Sleep(time.Minute)
		end()
		s.committed()
		if len(s.runs) != 1 || s.runs[0].began.Sub(began) > 35*time.Second {
			t.Errorf("runs %+v", s.runs)
		}
	})
}

// SIGTERM comes during a poll, and a message 50 ms later: it is done, or is there
// for others at once.
func TestShutdownDuringPoll(t *testing.T) {
	for name, takes := range map[string]time.Duration{"done": 3 * time.Second, "handed back": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSky(t, nil)
				_, stop, end := s.worker("w1", takes)
				time.Sleep(3 * time.Second)
				stop()
				time.Sleep(50 * time.Millisecond)
				s.send()
				began := time.Now()
				end()
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it ended %s after the message came", took)
				}
				b, err := s.tasks.Backlog(t.Context())
				must(t, err)
				if done := len(s.Bodies("tasks")) == 0; done != (takes < time.Minute) || b.InFlight > 0 {
					t.Errorf("%+v", b)
				}
			})
		})
	}
}

// SQS holds a message for 12 hours, not a second more. A task of 11 hours is done
// without a second delivery; one of 13 is given up while it is ours, with a reason,
// instead of starting over for ever.
func TestTwelveHours(t *testing.T) {
	for _, hours := range []int{11, 13} {
		t.Run(fmt.Sprint(hours), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSky(t, nil)
				s.send()
				_, _, end := s.worker("w1", time.Duration(hours)*time.Hour)
				time.Sleep(26 * time.Hour)
				end()
				if n := s.count(deliveries); n != 1 {
					t.Errorf("%d deliveries", n)
				}
				if n := s.count(func(c testenv.Call) bool { return strings.Contains(c.Fault, "43200") }); n > 0 {
					t.Errorf("%d calls asked for too much", n)
				}
				if hours == 11 {
					s.committed()
					return
				}
				failed := s.Bodies("failed")
				var f job.Failure
				if len(failed) != 1 || json.Unmarshal([]byte(failed[0]), &f) != nil || f.Reason != "too_slow" || len(s.Bodies("tasks")) > 0 {
					t.Errorf("failed: %q", failed)
				}
			})
		})
	}
}

// Hosts are taken away fifteen times while they are at one task; it is done in the
// end, and nobody has counted.
func TestInterruptionsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSky(t, nil)
		s.send()
		for range 15 {
			_, stop, end := s.worker("spot", 10*time.Minute)
			time.Sleep(time.Minute)
			stop()
			end()
		}
		_, _, end := s.worker("last", 10*time.Minute)
		time.Sleep(20 * time.Minute)
		end()
		s.committed()
		if len(s.runs) != 16 {
			t.Errorf("%d runs", len(s.runs))
		}
	})
}

// Three workers die without a word; the fourth gives the task up as a crash loop.
// The queue's own redrive policy is far from that.
func TestSilentDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSky(t, nil)
		s.send()
		for range maxReceives { // received, and never heard of again
			if d, err := s.tasks.Receive(t.Context(), testLease); d == nil || err != nil {
				t.Fatalf("%v, %v", d, err)
			}
			time.Sleep(testLease + time.Second)
		}
		_, _, end := s.worker("w1", time.Minute)
		time.Sleep(time.Minute)
		end()
		failed := s.Bodies("failed")
		var f job.Failure
		if len(failed) != 1 || json.Unmarshal([]byte(failed[0]), &f) != nil || f.Class != "crash-loop" || len(s.runs) > 0 {
			t.Errorf("failed: %q, runs %+v", failed, s.runs)
		}
	})
}

// Messages that nobody could do go to the failed queue, each with its reason, and
// keep nobody from doing the others.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSky(t, nil)
		recording := func(key string) string {
			return string(mustJSON(map[string]any{"v": 1, "kind": "recording", "key": key}))
		}
		bad := []string{
			"{", "null", "[]", "42", `"text"`, " ", `{"v":99,"kind":"chunk"}`, `{"v":1,"kind":"dance"}`, `{"v":1,"kind":"recording"}`,
			recording("recordings/../../etc/passwd"), recording("recordings/a\x00b.flv"), recording("recordings/" + strings.Repeat("é", 512) + ".flv"),
			strings.Repeat("x", 1<<20),
		}
		good := []string{recording("recordings/😀.flv"), recording("recordings/a+b.flv"), recording("recordings/a%2Bb.flv"), recording("recordings/a%252Fb.flv"), recording("recordings/a .flv")}
		for i := range max(len(bad), len(good)) {
			for _, list := range [][]string{bad, good} {
				if i < len(list) {
					must(t, s.tasks.Send(t.Context(), []byte(list[i]), 0))
				}
			}
		}
		var keys []string
		_, _, end := s.worker("w1", 0, func(w *Worker) {
			w.Do = func(_ context.Context, task job.Task, _ *Lease) error { keys = append(keys, task.Key); return nil }
		})
		time.Sleep(time.Minute)
		end()
		if len(s.Bodies("tasks")) > 0 || len(s.Bodies("failed")) != len(bad) || len(keys) != len(good) {
			t.Errorf("%d left, %d failed of %d, done %q", len(s.Bodies("tasks")), len(s.Bodies("failed")), len(bad), keys)
		}
		for _, body := range s.Bodies("failed") {
			var f job.Failure
			if err := json.Unmarshal([]byte(body), &f); (err != nil || f.Reason != "bad_message") && len(body) != 1<<20 {
				t.Errorf("failed: %.200s", body)
			}
		}
		if !slices.Contains(keys, "recordings/a%2Bb.flv") {
			t.Errorf("a key of ours is not to be decoded: %q", keys)
		}
	})
}
