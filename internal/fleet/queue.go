package fleet

import "math"

type kind int

const (
	planKind kind = iota
	chunkKind
	lookKind
)

// simJob is a recording on its way.
type simJob struct {
	recording *Recording
	n         int
	parts     int     // that are not yet there
	shipped   float64 // seconds of it that are in the store, while it grows
	sent      float64 // that are in messages
}

// message is a task in the queue.
type message struct {
	job      *simJob
	kind     kind
	length   float64 // seconds of recording
	until    float64 // where in the recording that ends
	inFlight bool
	done     bool
	receipt  int // of its last delivery
}

// seconds is how long a message takes.
func (s *simulation) seconds(m *message) float64 {
	w, r := s.Work, m.job.recording
	switch {
	case s.Whole:
		return w.Overhead + r.Bytes/w.Scan + r.Length/w.Speed
	case m.kind == planKind:
		return w.Overhead + r.Bytes/w.Scan
	case m.kind == lookKind:
		return s.Live.Look
	case s.Live != nil:
		return s.Live.Overhead + m.length/w.Speed
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
	case m.kind == lookKind:
		s.dispatch(j)
	case m.kind == planKind:
		chunks := s.Work.chunks(j.recording.Length)
		j.parts = len(chunks)
		for _, length := range chunks {
			s.send(&message{job: j, kind: chunkKind, length: length})
		}
	default:
		j.parts--
		if s.Live != nil {
			s.result.Lag = append(s.result.Lag, s.now-(j.recording.End-j.recording.Length+m.until))
		}
		if j.parts == 0 && (s.Live == nil || j.sent == j.recording.Length) {
			s.publish(j)
		}
	}
}

// follow brings a recording into the store while it grows, and has workers look at it whenever a segment's
// worth has come.
func (s *simulation) follow(j *simJob) {
	r, l := j.recording, s.Live
	begins := r.End - r.Length
	s.at(begins, func() { s.live++ })
	s.at(r.End, func() { s.live-- })
	told := 0.0
	for at := l.Every * (1 + s.random.Float64()); ; at += l.Every {
		upTo := min(at, r.Length)
		if ends := upTo == r.Length; ends || upTo >= l.Head && upTo-told >= l.Worth {
			told = upTo
			s.at(begins+upTo, func() {
				j.shipped = upTo
				s.send(&message{job: j, kind: lookKind})
			})
			if ends {
				return
			}
		}
	}
}

// dispatch sends what is due of a recording that grows.
func (s *simulation) dispatch(j *simJob) {
	for j.sent < j.shipped {
		upTo, ended := j.sent+s.Live.Chunk, j.shipped == j.recording.Length
		if ended {
			upTo = j.sent + s.Live.Last
		} else if upTo > j.shipped {
			return
		}
		upTo = min(upTo, j.recording.Length)
		j.parts++
		s.send(&message{job: j, kind: chunkKind, length: upTo - j.sent, until: upTo})
		j.sent = upTo
	}
}

func (s *simulation) publish(j *simJob) {
	s.published++
	s.result.Wait[j.n] = s.now - j.recording.End
	s.result.End = s.now
}

// chunks are how long those of a recording are. Uneven ones are those of ladder.ChunkEnds,
// with which a test compares them: what that package needs is nothing for a simulation.
func (w Work) chunks(recording float64) (lengths []float64) {
	n := max(1, int(math.Ceil(recording/w.Chunk)))
	if !w.Uneven {
		for k := range n {
			lengths = append(lengths, min(w.Chunk, recording-float64(k)*w.Chunk))
		}
		return lengths
	}
	const fewest, shortest = 20, 15
	n = max(n, min(fewest, int(recording/shortest)))
	each := recording / float64(n)
	for k := range n {
		pieces := 1
		if each >= shortest {
			pieces = [...]int{4, 2, 2, 1}[min(n-1-k, 3)]
		}
		for range pieces {
			lengths = append(lengths, each/float64(pieces))
		}
	}
	return lengths
}
