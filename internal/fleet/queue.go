package fleet

import "math"

type kind int

const (
	planKind kind = iota
	soundKind
	chunkKind
)

// simJob is a recording on its way.
type simJob struct {
	recording *Recording
	n         int
	parts     int // that are not yet there
}

// message is a task in the queue.
type message struct {
	job      *simJob
	kind     kind
	length   float64 // seconds of recording
	inFlight bool
	done     bool
	receipt  int // of its last delivery
}

// seconds is how long a message takes.
func (s *simulation) seconds(m *message) float64 {
	w, r := s.Work, m.job.recording
	switch {
	case s.Whole:
		return w.Overhead + r.Bytes/w.Scan + r.Length/w.Speed + r.Length/w.Sound
	case m.kind == planKind:
		return w.Overhead + r.Bytes/w.Scan
	case m.kind == soundKind:
		return w.Overhead + r.Length/w.Sound
	}
	return w.Overhead + m.length/w.Speed
}

// queue hands messages out in the order in which they became visible.
type queue struct {
	visible  []*message
	inFlight int
	waiting  []*task // in long polls, the longest first
	active   float64 // when it was last asked for anything
}

func (s *simulation) send(m *message) {
	s.result.Messages++
	s.show(m)
}

// show makes a message visible, to who waits if anybody does.
func (s *simulation) show(m *message) {
	q := &s.queue
	q.active = s.now
	m.inFlight = false
	q.visible = append(q.visible, m)
	for len(q.waiting) > 0 && len(q.visible) > 0 {
		t := q.waiting[0]
		q.waiting = q.waiting[1:]
		if t.state == polling {
			t.receive()
		}
	}
}

// take hands out a message under a lease; nil: there is none.
func (s *simulation) take() *message {
	q := &s.queue
	q.active = s.now
	if len(q.visible) == 0 {
		return nil
	}
	m := q.visible[0]
	q.visible = q.visible[1:]
	m.inFlight = true
	m.receipt++
	q.inFlight++
	return m
}

// back returns a message at a time, unless it is done by then.
func (s *simulation) back(m *message, at float64) {
	receipt := m.receipt
	s.at(at, func() {
		if m.inFlight && !m.done && m.receipt == receipt {
			s.queue.inFlight--
			s.show(m)
		}
	})
}

// finish does what a message leads to.
func (s *simulation) finish(m *message) {
	s.queue.inFlight--
	s.queue.active = s.now
	m.inFlight, m.done = false, true
	j := m.job
	switch {
	case s.Whole:
		s.publish(j)
	case m.kind == planKind:
		chunks := s.Work.chunks(j.recording.Length)
		j.parts = chunks + 1
		s.send(&message{job: j, kind: soundKind, length: j.recording.Length})
		for k := range chunks {
			s.send(&message{job: j, kind: chunkKind, length: s.Work.lengthOf(k, chunks, j.recording.Length)})
		}
	default:
		j.parts--
		if j.parts == 0 {
			s.publish(j)
		}
	}
}

func (s *simulation) publish(j *simJob) {
	s.published++
	s.result.Wait[j.n] = s.now - j.recording.End
	s.result.End = s.now
}

// chunks is how many a recording has: ladder.ChunkCount, with which a test compares it.
// What that package needs is nothing for a simulation.
func (w Work) chunks(length float64) int {
	const fewest, shortest = 20, 15
	n := int(math.Ceil(length / w.Chunk))
	if w.Short {
		n = max(n, min(fewest, int(length/shortest)))
	}
	return max(1, n)
}

// lengthOf is how long a recording's k-th chunk is.
func (w Work) lengthOf(k, chunks int, length float64) float64 {
	if w.Short {
		return length / float64(chunks)
	}
	return min(w.Chunk, length-float64(k)*w.Chunk)
}
