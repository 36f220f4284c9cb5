package pipeline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// uploaded is a small recording as an uploader leaves it, and the keys of what lies beside it.
func uploaded(t *testing.T, body []byte) (p *Pipeline, store *testenv.Memory, queue *testenv.Messages, index string) {
	t.Helper()
	p, store, queue = newSmall(t, body)
	file := filepath.Join(t.TempDir(), "talk.flv")
	must(t, os.WriteFile(file, body, 0o600))
	etag := store.ETag(smallTask.Key)
	for range 2 { // an uploader comes back
		scanned, err := ScanFile(t.Context(), file)
		must(t, err)
		must(t, scanned.Store(t.Context(), store, smallTask.Key, etag, ""))
	}
	return p, store, queue, indexKey(smallTask.Key, etag)
}

// Where the uploader left its index, the recording is read by chunks alone; and what is
// made is what a scan leads to.
func TestIndexOfTheUploader(t *testing.T) {
	t.Parallel()
	recording := smallRecording(t)
	plain, _, _ := newSmall(t, recording)
	must(t, plain.Do(t.Context(), smallTask, nil))
	want := onlyPlan(t, plain.Store)

	p, store, queue, index := uploaded(t, recording)
	reads := map[string]int{}
	store.Before = func(op, key string) error {
		if op == "read" {
			reads[key]++
		}
		return nil
	}
	must(t, p.Do(t.Context(), smallTask, nil))
	plan := onlyPlan(t, store)
	if len(reads) > 0 || !plan.Recording.Indexed {
		t.Errorf("read to plan: %v; %+v", reads, plan.Recording)
	}
	plan.Recording.Indexed = false
	plan.Scan, plan.Created = want.Scan, want.Created
	if !reflect.DeepEqual(plan, want) {
		t.Errorf("the plan is\n%+v\nand by a scan\n%+v", plan, want)
	}
	drain(t, p, queue)
	checkPublished(t, store)
	if reads[smallTask.Key] != len(plan.Chunks) {
		t.Errorf("read: %v; there are %d chunks", reads, len(plan.Chunks))
	}
	if _, _, err := store.Get(index); err != nil {
		t.Error(err)
	}
}

// What lies beside a recording is a convenience: without it, or with nonsense in its
// place, all is done as if it had never been.
func TestIndexIsNoUse(t *testing.T) {
	t.Parallel()
	mediaHeavy(t)
	replaced := func(store *testenv.Memory, index, old, by string) {
		body, _, _ := store.Get(index)
		spoilt := bytes.Replace(body, []byte(old), []byte(by), 1)
		if bytes.Equal(body, spoilt) {
			t.Fatalf("%q is not in the index", old)
		}
		store.Objects[index] = spoilt
	}
	for _, tc := range []struct {
		name  string
		spoil func(store *testenv.Memory, index string)
	}{
		{name: "of another version", spoil: func(store *testenv.Memory, index string) { replaced(store, index, `"v":4`, `"v":0`) }},
		{name: "of another file", spoil: func(store *testenv.Memory, index string) { replaced(store, index, `"size":`, `"size":9`) }},
		{name: "not JSON", spoil: func(store *testenv.Memory, index string) { store.Objects[index] = []byte("once upon a time") }},
		{name: "not to be read", spoil: func(store *testenv.Memory, index string) {
			store.Before = func(op, key string) error {
				if op == "load" && key == index {
					return errors.New("no")
				}
				return nil
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, store, queue, index := uploaded(t, smallRecording(t))
			tc.spoil(store, index)
			must(t, p.Do(t.Context(), smallTask, nil))
			if onlyPlan(t, store).Recording.Indexed {
				t.Error("the index was used")
			}
			drain(t, p, queue)
			checkPublished(t, store)
		})
	}
}

// meddling is a context that does something when it is asked whether it has ended.
type meddling struct {
	context.Context
	once sync.Once
	do   func()
}

func (m *meddling) Err() error {
	m.once.Do(m.do)
	return m.Context.Err()
}

// What a worker will refuse gets no index. A file that changes after the scan gets none either.
func TestNoIndex(t *testing.T) {
	store := testenv.NewMemory()
	file := filepath.Join(t.TempDir(), "talk.flv")
	must(t, os.WriteFile(file, []byte("once upon a time"), 0o600))
	_, err := ScanFile(t.Context(), file)
	if _, refused := errors.AsType[*flv.Error](err); !refused {
		t.Errorf("got %v", err)
	}
	must(t, os.WriteFile(file, smallRecording(t), 0o600))
	ctx := &meddling{Context: t.Context(), do: func() { // the scan has begun
		must(t, os.Chtimes(file, time.Time{}, time.Unix(1, 0)))
	}}
	scanned, err := ScanFile(ctx, file)
	must(t, err)
	if err := scanned.Store(t.Context(), store, smallTask.Key, "x", ""); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("got %v", err)
	}
	for key := range store.Objects {
		if strings.HasSuffix(key, ".json") {
			t.Errorf("%s was stored", key)
		}
	}
	if tasks, err := job.Parse([]byte(`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"recs"},"object":{"key":"` + indexKey(smallTask.Key, "x") + `"}}}]}`)); err != nil || len(tasks) > 0 {
		t.Errorf("a notification of what lies beside a recording is taken for %v, %v", tasks, err)
	}
	if _, err := flv.ParseIndex([]byte("{}"), 0); !errors.Is(err, flv.ErrForeignIndex) {
		t.Errorf("got %v", err)
	}
}
