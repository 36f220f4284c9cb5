// Package fleet simulates the workers of a queue, event by event and in virtual time:
// how soon recordings are published, for how many hours tasks run, and how much work is done
// again because spot instances are taken away. A message is a recording or one of its chunks, as
// in package pipeline; scaling goes by the policies of a CloudFormation template.
//
// Of AWS it assumes what its documents say; see the fields of [Cloud]. The same
// configuration has the same result, always.
package fleet

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Work is what a recording costs, in seconds of one task.
type Work struct {
	Chunk    float64 // seconds of recording in a message, at most
	Uneven   bool    // short recordings have shorter chunks, and others have shorter ones at their end
	Speed    float64 // seconds of recording that a task encodes in one second
	Scan     float64 // bytes of recording that are planned in one second
	Upload   float64 // bytes a second from the origin to S3, before there is a message
	Overhead float64 // seconds of every message, beside: start, fetch, upload
}

// Live is how recordings are worked on while they grow.
type Live struct {
	Head     float64 // seconds of recording that there must be before it is planned
	Chunk    float64 // seconds of recording in a message
	Last     float64 // the same when it has ended
	Worth    float64 // seconds of recording that must have come before workers are told
	Every    float64 // seconds between two times that what has come is brought into the store; at the end it is at once
	Look     float64 // seconds that it takes to look what has come, and to send what is due
	Overhead float64 // as of Work
}

// Cloud is how AWS behaves.
type Cloud struct {
	Start         [2]float64 // least and most seconds from a task's launch to its first poll
	MetricDelay   int        // minutes after which a minute's figures are seen
	Scheduler     float64    // mean seconds between two looks of ECS at what runs and what is wanted
	Interruptions float64    // an hour and task, with Notice
	Losses        float64    // an hour and task, without
	Notice        float64    // seconds from SIGTERM to the end
}

// Worker is how workers behave.
type Worker struct {
	Lease     float64 // seconds; extended every quarter
	Drain     float64 // seconds that a message may take after SIGTERM; others are handed back
	Poll      float64 // seconds of a long poll
	Pause     float64 // seconds without protection, after a poll in vain, and
	Within    float64 // after the first message that ends so many seconds after the pause before
	Protected bool    // from scale-in, but for the pauses
}

// Recording is one that ends.
type Recording struct {
	End    float64 // seconds since the start of the trace
	Length float64 // seconds
	Bytes  float64
}

// Kill takes the task away that was launched as the n-th, from 0, and launches another
// after a while.
type Kill struct {
	At, Again float64
	Task      int
}

// Config is what to simulate.
type Config struct {
	Work   Work
	Live   *Live // nil: recordings are known when they have ended
	Cloud  Cloud
	Worker Worker
	Policy *Policy // nil: Fixed tasks, from the start
	Fixed  int
	Kills  []Kill // of Fixed tasks
	Whole  bool   // the alternative: one message a recording, begun anew after every interruption
	Trace  []Recording
	Until  float64 // seconds that are simulated at least; then until all is done, and no task left
	Seed   uint64
}

// Sample is a minute.
type Sample struct {
	Visible, InFlight, Live, Running, Desired float64
}

// Result is what came of it.
type Result struct {
	Wait        []float64 // seconds from each recording's end to its publication, in the order of the trace
	End         float64   // when the last was published
	TaskSeconds float64   // that are paid
	OnDemand    float64   // of them, those of tasks that are not spot
	Work        float64   // seconds of messages that were done
	Redone      float64   // seconds of messages that were begun in vain
	Interrupted int       // messages that a task's end cut off
	MostRedone  float64   // of one of them, seconds
	BusyRemoved int       // tasks that scaling in removed at work
	Lag         []float64 // seconds from the end of what is in a message to its end, while the recording grows
	Messages    int
	Launched    int // tasks
	Requests    int // to receive, to extend, to delete and to hand back; sending is Messages
	Minutes     []Sample
}

// horizon is when the simulation gives up, beyond Until: seconds.
const horizon = 30 * 86400

// Run simulates. It fails where not all is published in the end.
func Run(c Config) (*Result, error) {
	if c.Policy != nil && (len(c.Kills) > 0 || c.Fixed > 0 || c.Cloud.Scheduler <= 0) || c.Policy == nil && c.Fixed < 1 {
		return nil, errors.New("simulate: either a policy with a scheduler, or fixed tasks and kills")
	}
	s := &simulation{Config: c, random: rand.New(rand.NewPCG(c.Seed, 1)), result: &Result{Wait: make([]float64, len(c.Trace))}} //nolint:gosec // it must be repeatable
	for i := range c.Trace {
		s.jobs = append(s.jobs, &simJob{recording: &c.Trace[i], n: i})
		if c.Live != nil {
			s.follow(s.jobs[i])
			continue
		}
		s.at(c.Trace[i].End+c.Trace[i].Bytes/c.Work.Upload, func() { s.send(&message{job: s.jobs[i], kind: planKind}) })
	}
	if c.Policy == nil {
		for range c.Fixed {
			s.launch(0)
		}
	} else {
		s.scaler = newScaler(s)
		s.at(60, s.scaler.minute)
		s.at(s.Cloud.Scheduler, s.scaler.look)
	}
	for _, k := range c.Kills {
		s.at(k.At, func() {
			s.tasks[k.Task].lost()
			s.at(s.now+k.Again, func() { s.launch(0) })
		})
	}
	for s.events.Len() > 0 && s.now < c.Until+horizon && (s.published < len(s.jobs) || c.Policy != nil && (s.now < c.Until || s.alive() > 0)) {
		e := heap.Pop(&s.events).(event) //nolint:forcetypeassert // nothing else is pushed
		s.now = e.at
		e.do()
	}
	if s.published < len(s.jobs) {
		return nil, fmt.Errorf("simulate: %d of %d recordings are published after %.0f s; %d messages wait, %d are in flight, %d tasks", s.published, len(s.jobs), s.now, len(s.queue.visible), s.queue.inFlight, s.alive())
	}
	for _, t := range s.tasks {
		t.pay()
	}
	return s.result, nil
}

type simulation struct {
	Config

	now       float64
	events    events
	order     int
	random    *rand.Rand
	jobs      []*simJob
	queue     queue
	tasks     []*task
	scaler    *scaler
	published int
	live      int // recordings that grow, and are known
	result    *Result
}

// event is something that will happen; of two at once, the one that was planned first.
type event struct {
	at    float64
	order int
	do    func()
}

type events []event

func (e *events) Len() int { return len(*e) }
func (e *events) Less(i, j int) bool {
	a, b := (*e)[i], (*e)[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}
func (e *events) Swap(i, j int) { (*e)[i], (*e)[j] = (*e)[j], (*e)[i] }
func (e *events) Push(x any)    { *e = append(*e, x.(event)) } //nolint:forcetypeassert // as heap wants it
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *simulation) at(t float64, do func()) {
	s.order++
	heap.Push(&s.events, event{math.Max(t, s.now), s.order, do})
}

func (s *simulation) alive() (n int) {
	for _, t := range s.tasks {
		if t.state != gone {
			n++
		}
	}
	return n
}
