package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"afterlive/internal/ffmpeg"
	"afterlive/internal/job"
	"afterlive/ladder"
)

// memory is a store, and recordings, in memory.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	writes  map[string]int // how often a key was written; its ETag
	before  func(op, key string) error
	lags    bool // lists don't show parts yet

	unlisted map[string]bool // nor these
}

func newMemory() *memory {
	return &memory{objects: map[string][]byte{}, writes: map[string]int{}}
}

func (m *memory) etag(key string) string { return fmt.Sprintf("%s#%d", key, m.writes[key]) }

func (m *memory) op(op, key string) error {
	if m.before != nil {
		return m.before(op, key)
	}
	return nil
}

func (m *memory) get(key string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.objects[key]
	if !ok {
		return nil, "", fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return body, m.etag(key), nil
}

func (m *memory) put(key string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = bytes.Clone(body)
	m.writes[key]++
}

func (m *memory) Stat(_ context.Context, key string) (int64, string, error) {
	if err := m.op("stat", key); err != nil {
		return 0, "", err
	}
	body, etag, err := m.get(key)
	return int64(len(body)), etag, err
}

func (m *memory) Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error) {
	if err := m.op("read", key); err != nil {
		return nil, err
	}
	body, now, err := m.get(key)
	if err == nil && now != etag {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(body[from:to])), ctx.Err()
}

func (m *memory) Load(_ context.Context, key string) ([]byte, string, error) {
	if err := m.op("load", key); err != nil {
		return nil, "", err
	}
	return m.get(key)
}

func (m *memory) Write(_ context.Context, key string, body []byte, etag string) error {
	if err := m.op("write", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[key]; ok != (etag != "") || (ok && m.etag(key) != etag) {
		return fmt.Errorf("%s: %w", key, fs.ErrExist)
	}
	m.objects[key] = bytes.Clone(body)
	m.writes[key]++
	return nil
}

func (m *memory) Upload(ctx context.Context, key, file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return m.Write(ctx, key, body, "")
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

func (m *memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.objects {
		if strings.HasPrefix(key, prefix) && !m.unlisted[key] && (!m.lags || !strings.Contains(key, "/parts/")) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// messages is a queue with leases, on whatever clock the test runs.
type messages struct {
	mu     sync.Mutex
	all    []*message
	next   int
	extend func() error // what an extension answers, before it does anything
}

type message struct {
	id, receives int
	body         []byte
	hidden       time.Time
}

func (m *message) receipt() string { return fmt.Sprintf("%d/%d", m.id, m.receives) }

func (q *messages) Send(_ context.Context, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next++
	q.all = append(q.all, &message{id: q.next, body: bytes.Clone(body), hidden: time.Now().Add(delay)})
	return nil
}

func (q *messages) SendAll(ctx context.Context, bodies [][]byte) error {
	for _, body := range bodies {
		if err := q.Send(ctx, body, 0); err != nil {
			return err
		}
	}
	return nil
}

const memoryPoll = 20 * time.Second

func (q *messages) Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error) {
	for end := time.Now().Add(memoryPoll); ; {
		if d := q.take(lease); d != nil {
			return d, nil
		}
		if time.Now().After(end) {
			return nil, nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

func (q *messages) take(lease time.Duration) *job.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.all {
		if !m.hidden.After(time.Now()) {
			m.receives++
			m.hidden = time.Now().Add(lease)
			return &job.Delivery{Body: m.body, Receipt: m.receipt(), Receives: m.receives}
		}
	}
	return nil
}

func (q *messages) held(receipt string) int {
	return slices.IndexFunc(q.all, func(m *message) bool { return m.receipt() == receipt })
}

func (q *messages) Extend(_ context.Context, receipt string, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.extend != nil {
		if err := q.extend(); err != nil {
			return err
		}
	}
	i := q.held(receipt)
	if i < 0 {
		return job.ErrNotHeld
	}
	q.all[i].hidden = time.Now().Add(d)
	return nil
}

func (q *messages) Delete(_ context.Context, receipt string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.held(receipt); i >= 0 {
		q.all = slices.Delete(q.all, i, i+1)
	}
	return nil
}

func (q *messages) bodies() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []string
	for _, m := range q.all {
		out = append(out, string(m.body))
	}
	return out
}

// newPipeline is a pipeline on memory, with real ffmpeg.
func newPipeline(t *testing.T, store *memory, queue Batches, profiles string) *Pipeline {
	t.Helper()
	all, err := ladder.ParseProfiles([]byte(profiles))
	if err != nil {
		t.Fatal(err)
	}
	scratch, err := ffmpeg.NewScratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { scratch.Close() })
	return &Pipeline{
		Queue: queue, Recordings: store, Store: store, Profiles: all, Scratch: scratch, Worker: "test",
		FFmpeg: ffmpeg.Program{Path: "ffmpeg", Stall: time.Minute}, Metrics: NewMetrics(nil), Log: zaptest.NewLogger(t),
	}
}

// onlyPlan is the small recording's only job.
func onlyPlan(t *testing.T, store Store) *ladder.Job {
	t.Helper()
	jobs, err := FindJobs(t.Context(), store, "live/talk")
	must(t, err)
	return wholeJob(t, store, jobs[0].Job)
}

func wholeJob(t *testing.T, store Store, id string) *ladder.Job {
	t.Helper()
	plan, err := LoadPlan(t.Context(), store, id)
	must(t, err)
	whole, err := LoadJob(t.Context(), store, plan)
	must(t, err)
	return whole
}

// firstChunk is that of the small recording's only job.
func firstChunk(t *testing.T, store Store) *ladder.Chunk {
	t.Helper()
	c, err := LoadChunk(t.Context(), store, onlyPlan(t, store).Job, 0)
	must(t, err)
	return c
}

// drain does all tasks of a queue, in order, and fails on the first error.
func drain(t *testing.T, p *Pipeline, q *messages) {
	t.Helper()
	for d := q.take(time.Hour); d != nil; d = q.take(time.Hour) {
		tasks, err := job.Parse(d.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if err := p.Do(t.Context(), task, nil); err != nil {
				t.Fatalf("%s: %v", task.Name(), err)
			}
		}
		if err := q.Delete(t.Context(), d.Receipt); err != nil {
			t.Fatal(err)
		}
	}
}

// script is a stand-in for ffmpeg.
func script(t *testing.T, body string) ffmpeg.Program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ffmpeg")
	must(t, os.WriteFile(file, []byte("#!/bin/bash\n"+body+"\n"), 0o755))
	return ffmpeg.Program{Path: file, Stall: time.Minute, File: 1 << 20}
}
