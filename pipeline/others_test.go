package pipeline

import (
	"errors"
	"regexp"
	"testing"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// Which tasks are no crash loop, since only their messages come back: those of parts,
// recordings and quality alike.
func TestDoneIsNotDeadly(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	tasks := []job.Task{smallTask, {Kind: job.Recording, Key: smallTask.Key}}
	wanted := func(want bool) {
		t.Helper()
		for _, task := range tasks {
			if done, err := p.Done(t.Context(), task); err != nil || done != want {
				t.Errorf("%s %s: done is %t, %v", task.Name(), task.Profile, done, err)
			}
		}
	}
	wanted(false)
	must(t, p.Do(t.Context(), smallTask, nil))
	plan := onlyPlan(t, store)
	tasks = []job.Task{smallTask, {Kind: job.Recording, Key: smallTask.Key, Profile: smallTask.Profile, ETag: plan.Recording.ETag}}
	wanted(true)
	tasks = []job.Task{
		{Kind: job.Chunk, Job: plan.Job}, {Kind: job.Quality, Job: plan.Job},
		{Kind: job.Quality, Job: "0123456789abcdef"}, {Kind: job.Recording, Key: "recordings/none.flv"},
	}
	wanted(false)
	drain(t, p, queue)
	store.Put(plan.Key("quality.json"), []byte("{}"))
	tasks = tasks[:2]
	wanted(true)
}

// A list that lags behind, however long, delays nothing: parts are asked for by name.
func TestListLags(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	store.Lags = true
	must(t, queue.Send(t.Context(), smallTask.Body(), 0))
	drain(t, p, queue)
	must(t, queue.Send(t.Context(), smallTask.Body(), 0)) // parts that the list lacks are sent, and found done
	drain(t, p, queue)
	store.Lags = false // who looks, lists
	checkPublished(t, store)
}

// What a newer program wrote is left to it: whoever meets it says so, and nothing is
// published over it.
func TestNewerDocuments(t *testing.T) {
	const pointer = "vod/live/talk/asset.json"
	for name, rewrite := range map[string]func(store *testenv.Memory, id string){
		"plan":  func(store *testenv.Memory, id string) { raise(store, "jobs/"+id+"/plan.json") },
		"part":  func(store *testenv.Memory, id string) { raise(store, "jobs/"+id+"/parts/chunk-00000.json") },
		"asset": func(store *testenv.Memory, _ string) { store.Put(pointer, []byte(`{"v":2,"job":["of another form"]}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			p, store, queue := newSmall(t, smallRecording(t))
			must(t, p.Do(t.Context(), smallTask, nil))
			plan := onlyPlan(t, store)
			bodies := queue.Bodies()
			for _, body := range bodies[:len(bodies)-1] {
				tasks, err := job.Parse([]byte(body))
				must(t, err)
				must(t, p.Do(t.Context(), tasks[0], nil))
			}
			rewrite(store, plan.Job)
			before := store.Writes[pointer]
			last := job.Task{Kind: job.Chunk, Job: plan.Job, Chunk: len(plan.Chunks) - 1}
			for _, task := range []job.Task{last, smallTask} { // to do, and to repair
				if err := p.Do(t.Context(), task, nil); !newer(err) {
					t.Errorf("%s: %v", task.Name(), err)
				}
			}
			if store.Writes[pointer] != before {
				t.Error("it is published")
			}
		})
	}
}

// newer tells whether an error is of a document of a newer program.
func newer(err error) bool {
	_, ok := errors.AsType[*ledger.NewerError](err)
	return ok
}

func raise(store *testenv.Memory, key string) {
	body, _, err := store.Get(key)
	if err != nil {
		panic(err)
	}
	store.Put(key, regexp.MustCompile(`"v": \d+`).ReplaceAll(body, []byte(`"v": 99`)))
}
