package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// liveness is a worker's signs of life: answers of the queue, and tasks that end once
// they are told to. How long a task takes is none of its business.
type liveness struct {
	mu    sync.Mutex
	last  time.Time                     // that the queue answered; zero: nobody asks it
	tasks map[context.Context]time.Time // under way, and when each was first seen to be cancelled
}

const (
	// A worker asks the queue at least every 20 s or so, and while that fails, every
	// 30 s at the latest.
	queueTimeout = 2 * time.Minute
	// ffmpeg is killed within seconds; a task that outlives its end by more hangs.
	killGrace = 30 * time.Second
)

func (p *liveness) heartbeat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

// end says that the queue will not be asked any more.
func (p *liveness) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Time{}
}

// watch looks at the task of ctx until it is done.
func (p *liveness) watch(ctx context.Context) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tasks == nil {
		p.tasks = map[context.Context]time.Time{}
	}
	p.tasks[ctx] = time.Time{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.tasks, ctx)
	}
}

// Healthy tells what is wrong with a worker that should be replaced. A queue that
// cannot be reached is, and a store that has nothing of what messages speak of; a long
// task is not. It is to be asked now and then: a task's
// end is noticed by asking.
func (w *Worker) Healthy() error {
	faults := []error{w.astray.fault()}
	p := &w.liveness
	p.mu.Lock()
	defer p.mu.Unlock()
	if quiet := time.Since(p.last); !p.last.IsZero() && quiet > max(queueTimeout, w.Lease/4+time.Minute) { // a task's heartbeats
		faults = append(faults, fmt.Errorf("the queue has not answered for %s", quiet.Round(time.Second)))
	}
	for ctx, since := range p.tasks {
		if ctx.Err() != nil && since.IsZero() {
			since = time.Now()
			p.tasks[ctx] = since
		}
		if since.IsZero() {
			continue
		}
		if over := time.Since(since); over > killGrace {
			faults = append(faults, fmt.Errorf("a task still runs %s after it was cancelled", over.Round(time.Second)))
		}
	}
	return errors.Join(faults...)
}
