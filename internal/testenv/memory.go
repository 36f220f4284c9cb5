package testenv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"afterlive.alt/job"
)

// Memory is a store, and recordings, in memory.
type Memory struct {
	mu sync.Mutex

	Objects map[string][]byte
	Writes  map[string]int             // how often a key was written; its ETag
	Before  func(op, key string) error // of an operation; its error is the operation's
	Lags    bool                       // lists don't show parts yet

	Unlisted map[string]bool // nor these
}

// NewMemory is an empty one.
func NewMemory() *Memory {
	return &Memory{Objects: map[string][]byte{}, Writes: map[string]int{}}
}

// ETag is the version of a key.
func (m *Memory) ETag(key string) string { return fmt.Sprintf("%s#%d", key, m.Writes[key]) }

func (m *Memory) op(op, key string) error {
	if m.Before != nil {
		return m.Before(op, key)
	}
	return nil
}

// Get is an object, and its version.
func (m *Memory) Get(key string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.Objects[key]
	if !ok {
		return nil, "", fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return body, m.ETag(key), nil
}

// Put writes an object, whatever there was.
func (m *Memory) Put(key string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Objects[key] = bytes.Clone(body)
	m.Writes[key]++
}

// Stat is part of every store.
func (m *Memory) Stat(_ context.Context, key string) (int64, string, error) {
	if err := m.op("stat", key); err != nil {
		return 0, "", err
	}
	body, etag, err := m.Get(key)
	return int64(len(body)), etag, err
}

// Read delivers bytes of a version.
func (m *Memory) Read(ctx context.Context, key, etag string, from, to int64) (io.ReadCloser, error) {
	if err := m.op("read", key); err != nil {
		return nil, err
	}
	body, now, err := m.Get(key)
	if err == nil && now != etag {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(body[from:to])), ctx.Err()
}

// Load is Get, as a store has it.
func (m *Memory) Load(_ context.Context, key string) ([]byte, string, error) {
	if err := m.op("load", key); err != nil {
		return nil, "", err
	}
	return m.Get(key)
}

// Write is conditional on a version; "": none.
func (m *Memory) Write(_ context.Context, key string, body []byte, etag string) error {
	if err := m.op("write", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.Objects[key]; ok != (etag != "") || (ok && m.ETag(key) != etag) {
		return fmt.Errorf("%s: %w", key, fs.ErrExist)
	}
	m.Objects[key] = bytes.Clone(body)
	m.Writes[key]++
	return nil
}

// Upload writes a file.
func (m *Memory) Upload(ctx context.Context, key, file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return m.Write(ctx, key, body, "")
}

// Delete removes an object.
func (m *Memory) Delete(_ context.Context, key string) error {
	if err := m.op("delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.Objects, key)
	return nil
}

// List names the objects under a prefix.
func (m *Memory) List(_ context.Context, prefix string) ([]string, error) {
	if !strings.HasSuffix(prefix, "/") { // no other store has them
		return nil, fmt.Errorf("list %s: %w: it is not a folder", prefix, fs.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.Objects {
		if strings.HasPrefix(key, prefix) && !m.Unlisted[key] && (!m.Lags || !strings.Contains(key, "/parts/")) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// ListFrom names the first n objects under a prefix that come behind after.
func (m *Memory) ListFrom(ctx context.Context, prefix, after string, n int) ([]string, error) {
	keys, err := m.List(ctx, prefix)
	keys = slices.DeleteFunc(keys, func(key string) bool { return key <= after })
	return keys[:min(len(keys), n)], err
}

// Messages is a queue with leases, on whatever clock the test runs.
type Messages struct {
	mu sync.Mutex

	all      []*message
	next     int
	Quick    bool         // it never waits for messages
	OnExtend func() error // what an extension answers, before it does anything
}

type message struct {
	id, receives int
	body         []byte
	hidden       time.Time
}

func (m *message) receipt() string { return fmt.Sprintf("%d/%d", m.id, m.receives) }

// Send is part of every queue.
func (q *Messages) Send(_ context.Context, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next++
	q.all = append(q.all, &message{id: q.next, body: bytes.Clone(body), hidden: time.Now().Add(delay)})
	return nil
}

// SendAll sends several.
func (q *Messages) SendAll(ctx context.Context, bodies [][]byte) error {
	for _, body := range bodies {
		if err := q.Send(ctx, body, 0); err != nil {
			return err
		}
	}
	return nil
}

const memoryPoll = 20 * time.Second

// Receive polls for up to 20 s.
func (q *Messages) Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error) {
	for end := time.Now().Add(memoryPoll); ; {
		if d := q.Take(lease); d != nil {
			return d, nil
		}
		if q.Quick || time.Now().After(end) {
			return nil, nil //nolint:nilnil // none came, and nothing failed
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Take is a message that waits; nil: none does.
func (q *Messages) Take(lease time.Duration) *job.Delivery {
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

func (q *Messages) held(receipt string) int {
	return slices.IndexFunc(q.all, func(m *message) bool { return m.receipt() == receipt })
}

// Extend makes a lease longer.
func (q *Messages) Extend(_ context.Context, receipt string, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.OnExtend != nil {
		if err := q.OnExtend(); err != nil {
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

// Delete removes a message.
func (q *Messages) Delete(_ context.Context, receipt string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.held(receipt); i >= 0 {
		q.all = slices.Delete(q.all, i, i+1)
	}
	return nil
}

// Bodies are those of all messages.
func (q *Messages) Bodies() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []string
	for _, m := range q.all {
		out = append(out, string(m.body))
	}
	return out
}

// Clear removes all messages, and returns their bodies.
func (q *Messages) Clear() []string {
	all := q.Bodies()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = nil
	return all
}

// RemoveLast removes the newest message, and returns its body.
func (q *Messages) RemoveLast() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := q.all[len(q.all)-1]
	q.all = q.all[:len(q.all)-1]
	return string(last.body)
}

// Expire ends all leases and delays.
func (q *Messages) Expire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.all {
		m.hidden = time.Time{}
	}
}

// Received has messages as if they had been received so often.
func (q *Messages) Received(times int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.all {
		m.receives = times
	}
}
