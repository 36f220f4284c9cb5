package worker

import (
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"
)

// astray notices a worker that looks for things where they are not. It would be faster
// than those that look in the right place, and give up all that they could do.
//
// The rule: as many jobs in a row as maxAstray, of which each is said not to be where its
// message says, and no task done between them; or a single error that says that the place
// itself is gone. Such a worker takes no more work, and is unwell.
type astray struct {
	mu   sync.Mutex
	jobs map[string]bool // in a row
	err  error           // why no more work is taken
}

const maxAstray = 10

// whereabouts are the reasons by which either the message is wrong or this worker's flags.
var whereabouts = []string{"no_recording", "no_plan", "wrong_bucket", "no_profile"}

// judge takes note of a verdict on a job's task; reason "": it was done. It tells why no
// more work is to be taken, if it is this verdict that says so.
func (a *astray) judge(id, reason string, verdict error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.err != nil:
		return nil
	case reason == "":
		clear(a.jobs)
		return nil
	case !slices.Contains(whereabouts, reason):
		return nil
	case a.jobs == nil:
		a.jobs = map[string]bool{}
	}
	a.jobs[id] = true
	if len(a.jobs) < maxAstray {
		return nil
	}
	a.err = fmt.Errorf("the last %d jobs are not where their messages say; of the last one: %w: "+
		"this worker takes no more tasks; restart it with the right --recordings, --store and --profiles", len(a.jobs), verdict)
	return a.err
}

// lost takes note that the place itself is gone.
func (a *astray) lost(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return nil
	}
	a.err = fmt.Errorf("%w: this worker takes no more tasks; restart it", err)
	return a.err
}

// fault is why no more work is taken, if that is so.
func (a *astray) fault() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// whetherAstray judges the worker by a settled message.
func (w *Worker) whetherAstray(s settlement, reason string) {
	var err error
	switch {
	case w.isLost(s.err):
		err = w.astray.lost(s.err)
	case len(s.tasks) != 1:
	case s.err == nil:
		err = w.astray.judge("", "", nil)
	default:
		t := s.tasks[0]
		err = w.astray.judge(t.JobID()+" "+t.Key, reason, s.err)
	}
	if err != nil {
		w.Log.Error("worker takes no more tasks", zap.Error(err))
	}
}

func (w *Worker) isLost(err error) bool { return err != nil && w.Lost != nil && w.Lost(err) }
