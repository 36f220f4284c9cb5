package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testLease = 2 * time.Minute

var chunkTask = job.Task{Kind: job.Chunk, Job: "0123456789abcdef", Chunk: 3}

// bench is a worker on virtual time, with its queues.
type bench struct {
	*Worker
	queue, failed *testenv.Messages
	hold          *Lease // of the task at hand
	stop          context.CancelFunc
	done          chan error
}

// start runs a worker whose tasks are do, with body waiting in the queue, once
// prepared.
func start(t *testing.T, body []byte, do func(ctx context.Context, b *bench) error, prepare ...func(*bench)) *bench {
	b := &bench{queue: &testenv.Messages{}, failed: &testenv.Messages{}, done: make(chan error, 1)}
	if err := b.queue.Send(t.Context(), body, 0); err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(t.Context())
	b.stop = cancel
	b.Worker = &Worker{
		Queue: b.queue, Failed: b.failed, Slots: 1, Lease: testLease, Drain: 5 * time.Second, Name: "w1", Log: zaptest.NewLogger(t),
		Metrics: NewMetrics(prometheus.NewRegistry()),
		Do:      func(ctx context.Context, _ job.Task, hold *Lease) error { b.hold = hold; return do(ctx, b) },
	}
	for _, f := range prepare {
		f(b)
	}
	go func() { b.done <- b.Run(stop, t.Context()) }()
	return b
}

// end stops the worker and waits until it has.
func (b *bench) end(t *testing.T) {
	b.stop()
	if err := <-b.done; err != nil {
		t.Error(err)
	}
}

func (b *bench) failure(t *testing.T) job.Failure {
	t.Helper()
	bodies := b.failed.Bodies()
	if len(bodies) != 1 {
		t.Fatalf("%d messages in the failed queue", len(bodies))
	}
	var f job.Failure
	if err := json.Unmarshal([]byte(bodies[0]), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSettle(t *testing.T) {
	body := string(chunkTask.Body())
	again := func(failures int) string {
		next := chunkTask
		next.Failures = failures
		return string(next.Body())
	}
	tired := chunkTask
	tired.Failures = maxFailures - 1
	for _, tc := range []struct {
		name   string
		body   string
		do     func(ctx context.Context, b *bench) error
		queue  []string // bodies left
		class  string   // of the failure, if any
		reason string
	}{
		{"done", body, func(context.Context, *bench) error { return nil }, nil, "", ""},
		{"long, but done", body, func(ctx context.Context, _ *bench) error { sleep(ctx, 3*time.Hour); return ctx.Err() }, nil, "", ""},
		{"transient", body, func(context.Context, *bench) error { return errors.New("S3 says 503") }, []string{again(1)}, "", ""},
		{"transient too often", string(tired.Body()), func(context.Context, *bench) error { return errors.New("S3 says 503") }, nil, "transient", "error"},
		{"ffmpeg failed", string(tired.Body()), func(context.Context, *bench) error {
			return job.Transient("ffmpeg_failed", errors.New("exit status 1"))
		}, nil, "transient", "ffmpeg_failed"},
		{"permanent", body, func(context.Context, *bench) error { return job.Permanent("wrong_bucket", errors.New("elsewhere")) }, nil, "permanent", "wrong_bucket"},
		{"bad recording", body, func(context.Context, *bench) error {
			return fmt.Errorf("scan: %w", &flv.Error{Reason: flv.NotFLV, Detail: "a text"})
		}, nil, "permanent", "not_flv"},
		{"a panic", string(tired.Body()), func(context.Context, *bench) error { panic("index out of range") }, nil, "transient", "panic"},
		{"not JSON", "{", nil, nil, "permanent", "bad_message"},
		{"a version to come", `{"v":9,"kind":"chunk"}`, nil, nil, "permanent", "bad_message"},
		{"S3's test event", `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, nil, nil, "", ""},
		{"shutdown, done while draining", body, func(ctx context.Context, b *bench) error {
			b.stop()
			sleep(ctx, 4*time.Second)
			return ctx.Err()
		}, nil, "", ""},
		{"shutdown, handed back", body, func(ctx context.Context, b *bench) error { b.stop(); <-ctx.Done(); return ctx.Err() }, []string{body}, "", ""},
		{"shutdown doesn't count", string(tired.Body()), func(ctx context.Context, b *bench) error {
			b.stop()
			<-ctx.Done()
			return fmt.Errorf("run ffmpeg: %w", ctx.Err())
		}, []string{string(tired.Body())}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries atomic.Int32
				b := start(t, []byte(tc.body), func(ctx context.Context, b *bench) error {
					if tries.Add(1) > 1 {
						<-ctx.Done() // what was put back is left alone
						return ctx.Err()
					}
					return tc.do(ctx, b)
				})
				synctest.Wait()
				if strings.HasPrefix(tc.name, "long") {
					time.Sleep(4 * time.Hour)
				}
				time.Sleep(5 * time.Second) // less than any backoff
				b.end(t)
				if got := b.queue.Bodies(); !slices.Equal(got, tc.queue) {
					t.Errorf("in the queue: %q, want %q", got, tc.queue)
				}
				if tc.class == "" {
					if got := b.failed.Bodies(); len(got) > 0 {
						t.Errorf("in the failed queue: %q", got)
					}
					return
				}
				f := b.failure(t)
				if f.Class != tc.class || f.Reason != tc.reason || f.Detail == "" || f.Worker != "w1" || len(f.Message) == 0 {
					t.Errorf("failure %+v", f)
				}
			})
		})
	}
}

func TestSeveralRecordingsInOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := func(key string) string {
			return `{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"recordings/` + key + `","eTag":"e"}}}`
		}
		body := `{"Records":[` + record("a.flv") + `,` + record("b.flv") + `,` + record("thumb.jpg") + `]}`
		var seen []string
		b := start(t, []byte(body), nil, func(b *bench) {
			b.Do = func(_ context.Context, task job.Task, _ *Lease) error { seen = append(seen, task.Key); return nil }
		})
		time.Sleep(time.Minute)
		b.end(t)
		if !slices.Equal(seen, []string{"recordings/a.flv", "recordings/b.flv"}) || len(b.queue.Bodies()) > 0 {
			t.Errorf("done %q, left %q", seen, b.queue.Bodies())
		}
	})
}

// A store that hangs, which may be why a task failed, keeps its message out of the
// failed queue no longer than a note is worth.
func TestHangingNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error { return job.Permanent("no_plan", errors.New("gone")) }, func(b *bench) {
			b.Note = func(ctx context.Context, _ *job.Failure) error { <-ctx.Done(); return ctx.Err() }
		})
		time.Sleep(time.Minute)
		b.end(t)
		if f := b.failure(t); f.Reason != "no_plan" || len(b.queue.Bodies()) > 0 {
			t.Errorf("failure %+v, left %q", f, b.queue.Bodies())
		}
	})
}

// A message of several recordings that cannot be divided at the moment is divided
// later.
func TestSeveralRecordingsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := `{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"recordings/a.flv","eTag":"e"}}}`
		done, sends := 0, 0
		b := start(t, []byte(`{"Records":[`+record+`,`+record+`]}`), nil, func(b *bench) {
			b.Do = func(context.Context, job.Task, *Lease) error { done++; return nil }
			b.Queue = &busy{Messages: b.queue, fails: func() bool { sends++; return sends <= 2 }}
		})
		time.Sleep(5 * time.Minute)
		b.end(t)
		if done < 2 || len(b.queue.Bodies()) > 0 || len(b.failed.Bodies()) > 0 {
			t.Errorf("%d done, left %q, failed %q", done, b.queue.Bodies(), b.failed.Bodies())
		}
	})
}

// busy is a queue that doesn't take every message.
type busy struct {
	*testenv.Messages
	fails func() bool
}

func (q *busy) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if delay == 0 && q.fails() {
		return errors.New("throttled")
	}
	return q.Messages.Send(ctx, body, delay)
}

// A message that was received again and again without a word has killed its
// workers.
func TestCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error { t.Error("it was tried again"); return nil },
			func(b *bench) { b.queue.Received(maxReceives) })
		time.Sleep(time.Second)
		b.end(t)
		if f := b.failure(t); f.Class != "crash-loop" || f.Task != "chunk-00003" {
			t.Errorf("failure %+v", f)
		}
	})
}

func TestLease(t *testing.T) {
	unreachable := errors.New("connection refused")
	for _, tc := range []struct {
		name   string
		extend func(began time.Time) error
		lost   time.Duration // after which the work must be cancelled; 0: never
	}{
		{"held for 11 hours", func(time.Time) error { return nil }, 0},
		{"told that it is gone", func(time.Time) error { return job.ErrNotHeld }, testLease / 4},
		{"queue is down for a minute", func(began time.Time) error {
			if d := time.Since(began); d > 20*time.Second && d < 80*time.Second {
				return unreachable
			}
			return nil
		}, 0},
		{"queue is down for good", func(time.Time) error { return unreachable }, testLease - testLease/8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var cancelled time.Duration
				b := start(t, chunkTask.Body(), func(ctx context.Context, b *bench) error {
					if sleep(ctx, 11*time.Hour) {
						return nil
					}
					cancelled = time.Since(began)
					b.stop()
					return ctx.Err()
				}, func(b *bench) { b.queue.OnExtend = func() error { return tc.extend(began) } })
				time.Sleep(12 * time.Hour)
				b.end(t)
				if tc.lost == 0 && cancelled > 0 || tc.lost > 0 && (cancelled == 0 || cancelled > tc.lost+time.Second) {
					t.Errorf("work was cancelled after %s, want %s", cancelled, tc.lost)
				}
				if lost := tc.lost > 0; lost != (len(b.queue.Bodies()) == 1) {
					t.Errorf("left in the queue: %q; who lost the lease must touch nothing", b.queue.Bodies())
				}
				if len(b.failed.Bodies()) > 0 {
					t.Errorf("failed: %q", b.failed.Bodies())
				}
			})
		})
	}
}

// A long poll may use up the lease that is counted from before it: then the first
// heartbeat comes at once, and the work goes on.
func TestLeaseUsedUpByThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &testenv.Messages{}
		began := time.Now()
		time.Sleep(19 * time.Second)
		must(t, q.Send(t.Context(), chunkTask.Body(), 0))
		const length = 4 * time.Second
		d := q.Take(length)
		l := lease{queue: q, receipt: d.Receipt, length: length, began: began, until: began.Add(length), log: zaptest.NewLogger(t), alive: func() {}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := l.keep(ctx); err != nil || ctx.Err() == nil {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// A queue that can't be read is asked less and less often.
func TestReceiveErrorsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := &down{}
		stop, cancel := context.WithCancel(t.Context())
		w := &Worker{Queue: down, Slots: 1, Lease: testLease, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t)}
		done := make(chan error)
		go func() { done <- w.Run(stop, t.Context()) }()
		time.Sleep(30 * time.Minute)
		cancel()
		<-done
		if n := down.calls.Load(); n < 60 || n > 400 { // full jitter: 15 s on average
			t.Errorf("%d calls in half an hour", n)
		}
	})
}

type down struct {
	testenv.Messages
	calls atomic.Int32
}

func (d *down) Receive(context.Context, time.Duration) (*job.Delivery, error) {
	d.calls.Add(1)
	return nil, errors.New("connection refused")
}

// No more messages are held than are worked on.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		q := &testenv.Messages{}
		for range 20 {
			if err := q.Send(t.Context(), chunkTask.Body(), 0); err != nil {
				t.Fatal(err)
			}
		}
		w := &Worker{Queue: q, Slots: 3, Lease: testLease, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t)}
		w.Do = func(ctx context.Context, _ job.Task, _ *Lease) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			sleep(ctx, time.Minute)
			return nil
		}
		w.Idle = func(context.Context) (bool, error) { return len(q.Bodies()) == 0, nil }
		if err := w.Run(t.Context(), t.Context()); err != nil {
			t.Fatal(err)
		}
		if most.Load() != 3 || len(q.Bodies()) > 0 {
			t.Errorf("%d at once, %d left", most.Load(), len(q.Bodies()))
		}
	})
}

func TestBackoff(t *testing.T) {
	for n, want := range []time.Duration{1: 15 * time.Second, 2: 30 * time.Second, 4: 2 * time.Minute, 9: 750 * time.Second} {
		if want == 0 {
			continue
		}
		for range 100 {
			if d := backoff(n); d < want*4/5 || d > want*6/5+time.Second || d > 15*time.Minute {
				t.Fatalf("after %d failures %s, want about %s", n, d, want)
			}
		}
	}
}

// A worker that ECS protects is protected from before it asks for a message until
// that is settled. While it is refused, it takes nothing, and is well.
func TestProtect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		var refusing atomic.Bool
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error {
			log = append(log, "work")
			refusing.Store(len(log) == 2) // after the first
			return nil
		}, func(b *bench) {
			b.Protect = func(context.Context) (func(), bool) {
				if refusing.Load() {
					return nil, false
				}
				log = append(log, "hold")
				return func() { log = append(log, "release") }, true
			}
		})
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		if err := b.queue.Send(t.Context(), chunkTask.Body(), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(log, " "); got != "hold work release" || len(b.queue.Bodies()) != 1 {
			t.Errorf("it went %s; %d messages are left", got, len(b.queue.Bodies()))
		}
		if err := b.Healthy(); err != nil {
			t.Errorf("while it is refused: %v", err)
		}
		refusing.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(log, " "); !strings.HasPrefix(got, "hold work release hold work release") || len(b.queue.Bodies()) != 0 {
			t.Errorf("when it is no longer refused, it went %s; %d messages are left", got, len(b.queue.Bodies()))
		}
		b.end(t)
	})
}

// A worker with much to do in short tasks pauses once a minute, in which it may be ended.
func TestProtectedOverShortTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		holds, done := 0, 0
		b := start(t, chunkTask.Body(), func(context.Context, *bench) error {
			done++
			time.Sleep(9 * time.Second) // of the bubble's clock
			return nil
		}, func(b *bench) {
			b.Protect = func(context.Context) (func(), bool) {
				holds++
				return func() {}, true
			}
		})
		const tasks = 200
		for range tasks {
			if err := b.queue.Send(t.Context(), chunkTask.Body(), 0); err != nil {
				t.Fatal(err)
			}
		}
		const least, most = tasks*9/60 - 10, tasks*9/60 + 1
		time.Sleep(tasks * 9 * time.Second)
		synctest.Wait()
		if holds < least || holds > most || done < tasks*9/10 {
			t.Errorf("%d tasks of 9 s were done under %d protections, want %d to %d", done, holds, least, most)
		}
		b.end(t)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// later is an error of what is better left to others.
type later time.Duration

func (l later) Error() string           { return "somebody else is at it" }
func (l later) LeaveFor() time.Duration { return time.Duration(l) }
