package fleet

import "math"

type state int

const (
	starting state = iota
	polling        // or between two polls
	busy
	draining // SIGTERM has come: it does what it does, and nothing more
	gone
)

// task is one of ECS, with a worker in it.
type task struct {
	s         *simulation
	state     state
	launched  float64
	paid      bool
	onDemand  bool // nobody takes it away
	protected bool
	rested    float64 // when it had its last pause
	poll      int     // the number of the present one
	message   *message
	began     float64
	done      float64 // when the message will be
}

// launch starts a task; delay is that of its start, drawn if it is negative.
func (s *simulation) launch(delay float64) {
	if delay < 0 {
		delay = s.Cloud.Start[0] + s.random.Float64()*(s.Cloud.Start[1]-s.Cloud.Start[0])
	}
	t := &task{s: s, launched: s.now, onDemand: s.Policy != nil && s.onDemand() < s.Policy.OnDemand}
	s.tasks = append(s.tasks, t)
	s.result.Launched++
	s.at(s.now+delay, func() {
		if t.state == starting {
			t.state, t.rested = polling, s.now
			t.ask()
		}
	})
	for _, end := range []struct {
		rate float64
		do   func()
	}{{s.Cloud.Interruptions, t.interrupted}, {s.Cloud.Losses, t.lost}} {
		if end.rate > 0 && !t.onDemand {
			s.at(s.now+s.random.ExpFloat64()*3600/end.rate, end.do)
		}
	}
}

// onDemand counts the tasks that are not spot.
func (s *simulation) onDemand() (n int) {
	for _, t := range s.tasks {
		if t.onDemand && t.state != gone {
			n++
		}
	}
	return n
}

// ask polls: protected, for a message or until the poll ends; then a pause follows, in
// which ECS may stop the task.
func (t *task) ask() {
	if t.state != polling {
		return
	}
	t.protected = t.s.Worker.Protected
	t.poll++
	t.s.result.Requests++
	poll := t.poll
	if m := t.s.take(); m != nil {
		t.work(m)
		return
	}
	t.s.queue.waiting = append(t.s.queue.waiting, t)
	t.s.at(t.s.now+t.s.Worker.Poll, func() {
		if t.state == polling && t.poll == poll {
			t.pause()
		}
	})
}

// receive is the answer to a poll that waited.
func (t *task) receive() {
	if m := t.s.take(); m != nil {
		t.work(m)
	}
}

func (t *task) work(m *message) {
	t.poll++
	t.state, t.message, t.began = busy, m, t.s.now
	t.done = t.s.now + t.s.seconds(m)
	t.s.at(t.done, func() {
		if t.message == m && (t.state == busy || t.state == draining) {
			t.finish()
		}
	})
}

func (t *task) finish() {
	t.s.result.Work += t.s.now - t.began
	m := t.message
	t.s.result.Requests += t.heartbeats() + 1
	t.message = nil
	t.s.finish(m)
	if t.state == draining {
		t.end()
		return
	}
	t.state = polling
	if t.s.now-t.rested < t.s.Worker.Within {
		t.ask()
		return
	}
	t.pause()
}

// pause leaves the task unprotected for a moment, in which scaling in may end it.
func (t *task) pause() {
	t.poll++
	for i, w := range t.s.queue.waiting {
		if w == t {
			t.s.queue.waiting = append(t.s.queue.waiting[:i], t.s.queue.waiting[i+1:]...)
			break
		}
	}
	t.protected = false
	t.rested = t.s.now + t.s.Worker.Pause
	t.s.at(t.rested, t.ask)
}

// interrupted is SIGTERM, of a spot interruption.
func (t *task) interrupted() {
	switch {
	case t.state == gone || t.state == draining:
		return
	case t.state == busy && t.done <= t.s.now+t.s.patience(t.message):
		t.state = draining
		t.s.at(t.s.now+t.s.Cloud.Notice, t.lost)
	case t.state == busy: // handed back at once
		t.s.handBack(t)
		t.end()
	default:
		t.end()
	}
}

// unannounced is what a message gets at SIGTERM whose task cannot say how long it will
// take, in seconds, as in the worker: one that is planned.
const unannounced = 5

func (s *simulation) patience(m *message) float64 {
	if m.kind != chunkKind && !s.Whole {
		return min(s.Worker.Drain, unannounced)
	}
	return s.Worker.Drain
}

// handBack replaces a task's message by another like it.
func (s *simulation) handBack(t *task) {
	m := t.message
	t.cut()
	s.result.Requests += 2
	s.back(m, s.now)
}

// lost is the end without a word: the message is held until its lease is over.
func (t *task) lost() {
	if t.state == gone {
		return
	}
	m := t.message
	if m != nil {
		lease := t.s.Worker.Lease
		beats := math.Floor((t.s.now - t.began) / (lease / 4))
		t.cut()
		t.s.back(m, t.began+beats*lease/4+lease)
	}
	t.end()
}

// cut counts what the task has begun in vain.
func (t *task) cut() {
	r := t.s.result
	r.Requests += t.heartbeats()
	r.Interrupted++
	r.Redone += t.s.now - t.began
	r.MostRedone = math.Max(r.MostRedone, t.s.now-t.began)
	t.message = nil
}

func (t *task) heartbeats() int { return int((t.s.now - t.began) / (t.s.Worker.Lease / 4)) }

func (t *task) end() {
	t.state = gone
	t.pay()
}

// pay counts what a task costs: from its launch, and a minute at least.
func (t *task) pay() {
	if !t.paid {
		t.paid = true
		seconds := math.Max(60, t.s.now-t.launched)
		t.s.result.TaskSeconds += seconds
		if t.onDemand {
			t.s.result.OnDemand += seconds
		}
	}
}
