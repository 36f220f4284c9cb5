package worker

import (
	"slices"
	"sync"
	"time"

	"afterlive.alt/job"
)

// Doing is a task under way.
type Doing struct {
	Job   string // "": its recording's version isn't known yet
	Task  string
	Since time.Time
}

// doing are the tasks under way.
type doing struct {
	mu  sync.Mutex
	all []*Doing
}

// begin notes the tasks of a message, until they have ended.
func (d *doing) begin(tasks []job.Task, since time.Time) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var mine []*Doing
	for _, t := range tasks {
		one := &Doing{t.JobID(), t.Name(), since}
		if t.Key != "" {
			one.Task += " " + t.Key
		}
		mine = append(mine, one)
	}
	d.all = append(d.all, mine...)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all = slices.DeleteFunc(d.all, func(one *Doing) bool { return slices.Contains(mine, one) })
	}
}

// Doing are the tasks that a worker does now, and why it takes no others, if that is so.
func (w *Worker) Doing() (all []Doing, why string) {
	w.doing.mu.Lock()
	for _, one := range w.doing.all {
		all = append(all, *one)
	}
	w.doing.mu.Unlock()
	if err := w.astray.fault(); err != nil {
		return all, err.Error()
	}
	w.unfit.mu.Lock()
	defer w.unfit.mu.Unlock()
	return all, w.unfit.why
}
