package testenv

import (
	"crypto/md5" //nolint:gosec // SQS's own checksum of a body
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

type strictQueue struct {
	name, dead string
	most       int
	messages   []*strictMessage
	changed    chan struct{} // closed when a message comes or a hidden one is seen again
	count      map[string]int
}

type strictMessage struct {
	id       string
	body     string
	sent     time.Time
	visible  time.Time
	received time.Time // last
	receives int
	handle   string // the newest
}

func (q *strictQueue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

const largestMessage = 1 << 20

func (s *Strict) send(q *strictQueue, call *Call, in strictRequest) (any, error) {
	switch {
	case in.MessageBody == "":
		return nil, &strictError{code: "MissingParameter", message: "The request must contain the parameter MessageBody."}
	case len(in.MessageBody) > largestMessage:
		return nil, invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", largestMessage)
	case strings.ContainsFunc(in.MessageBody, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }):
		return nil, &strictError{code: "InvalidMessageContents", message: "Invalid characters found."}
	case in.DelaySeconds < 0 || in.DelaySeconds > 900:
		return nil, invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", in.DelaySeconds)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	m := &strictMessage{id: "m" + strconv.Itoa(s.messages), body: in.MessageBody, sent: s.now()}
	m.visible = m.sent.Add(time.Duration(in.DelaySeconds) * time.Second)
	q.messages = append(q.messages, m)
	q.wake()
	call.Message = m.id
	return map[string]any{"MessageId": m.id, "MD5OfMessageBody": sum(m.body)}, nil
}

// sendBatch sends up to 10 messages with names that differ.
func (s *Strict) sendBatch(q *strictQueue, call *Call, in strictRequest) (any, error) {
	if n := len(in.Entries); n < 1 || n > 10 {
		return nil, &strictError{code: "TooManyEntriesInBatchRequest", message: fmt.Sprintf("%d entries; at most 10 are allowed.", n)}
	}
	ids := map[string]bool{}
	var all []any
	for _, e := range in.Entries {
		if ids[e.ID] {
			return nil, &strictError{code: "BatchEntryIdsNotDistinct", message: e.ID}
		}
		ids[e.ID] = true
		out, err := s.send(q, call, strictRequest{MessageBody: e.MessageBody, DelaySeconds: e.DelaySeconds})
		if err != nil {
			return nil, err
		}
		sent, _ := out.(map[string]any)
		sent["Id"] = e.ID
		all = append(all, sent)
	}
	return map[string]any{"Successful": all, "Failed": []any{}}, nil
}

func sum(body string) string {
	digest := md5.Sum([]byte(body)) //nolint:gosec // see the import
	return hex.EncodeToString(digest[:])
}

// receive waits as long as it was asked to, whether or not the client does: what
// comes for a client that hung up is hidden from the others.
func (s *Strict) receive(q *strictQueue, call *Call, in strictRequest) (any, error) {
	hide := 30
	if in.VisibilityTimeout != nil {
		hide = *in.VisibilityTimeout
	}
	if hide < 0 || hide > 43200 || in.WaitTimeSeconds < 0 || in.WaitTimeSeconds > 20 || in.MaxMessages > 1 {
		return nil, invalidParameter("VisibilityTimeout %d, WaitTimeSeconds %d or MaxNumberOfMessages %d is invalid.", hide, in.WaitTimeSeconds, in.MaxMessages)
	}
	var end time.Time
	for {
		s.mu.Lock()
		if end.IsZero() {
			end = s.now().Add(time.Duration(in.WaitTimeSeconds) * time.Second)
		}
		wait := end.Sub(s.now())
		m, next := s.take(q, time.Duration(hide)*time.Second)
		changed := q.changed
		s.mu.Unlock()
		if m != nil {
			call.Message, call.Handle = m.id, m.handle
			return map[string]any{"Messages": []any{map[string]any{
				"MessageId": m.id, "ReceiptHandle": m.handle, "Body": m.body, "MD5OfBody": sum(m.body),
				"Attributes": map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.receives)},
			}}}, nil
		}
		if wait <= 0 {
			return struct{}{}, nil
		}
		if next > 0 {
			wait = min(wait, next)
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-timer.C:
		case <-changed:
		}
		timer.Stop()
	}
}

// take hands out a message that can be seen, or tells how long until there is one.
func (s *Strict) take(q *strictQueue, hide time.Duration) (taken *strictMessage, next time.Duration) {
	now := s.now()
	for i := 0; i < len(q.messages); i++ {
		m := q.messages[i]
		if m.visible.After(now) {
			if d := m.visible.Sub(now); next == 0 || d < next {
				next = d
			}
			continue
		}
		if q.most > 0 && m.receives >= q.most {
			q.messages = append(q.messages[:i], q.messages[i+1:]...)
			m.receives, m.handle = 0, ""
			dead := s.queues[q.dead]
			dead.messages = append(dead.messages, m)
			dead.wake()
			i--
			continue
		}
		s.handles++
		m.receives++
		m.received, m.visible, m.handle = now, now.Add(hide), fmt.Sprintf("%s#%d", m.id, s.handles)
		copied := *m
		return &copied, next
	}
	return nil, next
}

func messageOf(handle string) string {
	id, _, _ := strings.Cut(handle, "#")
	return id
}

// find returns the message of a handle that was once given out, if it is there.
func (s *Strict) find(q *strictQueue, handle string) (*strictMessage, error) {
	id, number, ok := strings.Cut(handle, "#")
	if n, err := strconv.Atoi(number); !ok || err != nil || n < 1 || n > s.handles {
		return nil, &strictError{code: "ReceiptHandleIsInvalid", message: fmt.Sprintf("The input receipt handle %q is not a valid receipt handle.", handle)}
	}
	for _, m := range q.messages {
		if m.id == id {
			return m, nil
		}
	}
	return nil, nil //nolint:nilnil // it was deleted, which is no error
}

// remove deletes with the newest handle; with an older one it answers 200, and the
// message stays.
func (s *Strict) remove(q *strictQueue, in strictRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(q, in.ReceiptHandle)
	if err != nil || m == nil || m.handle != in.ReceiptHandle {
		return err
	}
	for i := range q.messages {
		if q.messages[i] == m {
			q.messages = append(q.messages[:i], q.messages[i+1:]...)
			break
		}
	}
	return nil
}

// change extends a hold, at most to 12 hours after the receipt. For a hold that
// has ended it answers 200 and does nothing, unless somebody else has the message,
// or it is gone.
func (s *Strict) change(q *strictQueue, in strictRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(q, in.ReceiptHandle)
	if err != nil {
		return err
	}
	if m == nil || m.handle != in.ReceiptHandle {
		return invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", in.ReceiptHandle)
	}
	if in.VisibilityTimeout == nil || *in.VisibilityTimeout < 0 {
		return invalidParameter("VisibilityTimeout is missing or negative.")
	}
	now := s.now()
	d := time.Duration(*in.VisibilityTimeout) * time.Second
	if now.Sub(m.received)+d > 12*time.Hour {
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", *in.VisibilityTimeout)
	}
	if m.visible.After(now) {
		m.visible = now.Add(d)
		q.wake()
	}
	return nil
}

func (s *Strict) attributes(q *strictQueue) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, inFlight, delayed := 0, 0, 0
	for _, m := range q.messages {
		switch now := s.now(); {
		case !m.visible.After(now):
			waiting++
		case m.handle != "":
			inFlight++
		default:
			delayed++
		}
	}
	return map[string]any{"Attributes": map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(waiting),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
	}}
}
