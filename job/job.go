// Package job defines the messages on the queue ([Task]), the name of the job that a recording becomes ([Task.JobID]), and the
// codes of failures (reasons.go). It needs the standard library only, so that other programs may import it.
//
// A task is JSON. It asks a worker to plan a recording, to encode a chunk, to adjust a chunk's loudness, or to measure the
// quality of what was published:
//
//	{"v":1,"kind":"recording","bucket":"recs","key":"recordings/live/talk-1764000000.flv","etag":"9b2c…","profile":"auto"}
//	{"v":1,"kind":"chunk","job":"1f0c77d2a1b94c3e","chunk":3}
//	{"v":1,"kind":"audio","job":"1f0c77d2a1b94c3e","chunk":3,"failures":1}
//	{"v":1,"kind":"quality","job":"1f0c77d2a1b94c3e"}
//
// [Parse] also takes S3's own notifications (plain, through EventBridge or
// wrapped by SNS) as recordings. Unknown fields are ignored; an unknown version
// is refused.
package job

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Version is the version of the message form that this package writes.
const Version = 1

// Kind says what a task is.
type Kind string

// The kinds of task.
const (
	Recording Kind = "recording"
	Chunk     Kind = "chunk"
	Audio     Kind = "audio"
	Quality   Kind = "quality"
)

// Task is one unit of work. Which fields count depends on Kind.
type Task struct {
	Version int  `json:"v"`
	Kind    Kind `json:"kind"`

	// Kind "recording".
	Bucket  string `json:"bucket,omitempty"` // empty: the worker's own
	Key     string `json:"key,omitempty"`
	ETag    string `json:"etag,omitempty"` // without quotes; empty: whatever is there
	Profile string `json:"profile,omitempty"`
	// The video that the stream had announced, such as "1280x720": a recording without any
	// then fails, instead of being published as audio alone.
	Promised string `json:"promised,omitempty"`
	Trim     Trim   `json:"trim,omitzero"` // what of the recording is to be left out
	// What people call it: becomes the title of its asset.
	Title string `json:"title,omitempty"`
	// Send every task of its job whose part doesn't exist, though it was sent before.
	Repair bool `json:"repair,omitempty"`

	// A bucket told of it, which tells of each version that comes into its place, too.
	Notified bool `json:"-"`

	// It is looked at again and again, until it has ended, or nothing of it has come for too long.
	Watch Watch `json:"watch,omitzero"`

	// Kinds "chunk", "audio" and "quality".
	Job   string `json:"job,omitempty"`
	Chunk int    `json:"chunk,omitempty"` // from 0

	Failures int `json:"failures,omitempty"` // attempts that failed so far; interruptions are none
}

// Trim is what is to be left out of a recording, in milliseconds: so much at its start, and at its end. Another trim makes another job of it,
// whose result takes the place of what was published of that recording before.
type Trim struct {
	Start int64 `json:"start_ms,omitempty"`
	End   int64 `json:"end_ms,omitempty"`
}

// Watch is what was seen of a recording that grows.
type Watch struct {
	Look  int       `json:"look"`    // its number: of two of one number, one is followed by another
	Every int       `json:"every_s"` // seconds between what its recorder brings
	Seen  int64     `json:"seen"`    // bytes
	Since time.Time `json:"since"`   // when so many were there for the first time, by a worker's clock
}

// Name says which task of its job this is.
func (t Task) Name() string {
	if t.Kind == Chunk || t.Kind == Audio {
		return fmt.Sprintf("%s-%05d", t.Kind, t.Chunk)
	}
	return string(t.Kind)
}

// In is the task where a recording whose message names no bucket is in this one: the job
// that it becomes depends on it.
func (t Task) In(bucket string) Task {
	if t.Kind == Recording && t.Bucket == "" {
		t.Bucket = bucket
	}
	return t
}

// JobID is the job that a task belongs to; "" where a recording's version isn't
// known yet.
func (t Task) JobID() string {
	if t.Kind != Recording || t.ETag == "" {
		return t.Job
	}
	return t.JobOf(t.ETag)
}

// JobOf is the job that a version of a task's recording becomes.
func (t Task) JobOf(etag string) string {
	how := cmp.Or(t.Profile, DefaultProfile)
	if t.Trim != (Trim{}) {
		how += fmt.Sprintf("\x00trim %d %d", t.Trim.Start, t.Trim.End)
	}
	return ID(t.Bucket, t.Key, etag, how)
}

const maxTitle = 500 // bytes

// ValidTitle refuses titles that are no single line of text.
func ValidTitle(title string) error {
	switch {
	case len(title) > maxTitle:
		return fmt.Errorf("the title has %d bytes, at most %d are allowed", len(title), maxTitle)
	case !utf8.ValidString(title) || strings.ContainsFunc(title, unicode.IsControl):
		return fmt.Errorf("the title %q is not one line of text (UTF-8)", title)
	}
	return nil
}

// DefaultProfile is that of a recording whose message names none.
const DefaultProfile = "auto"

// Body is the task as a message.
func (t Task) Body() []byte {
	t.Version = Version
	body, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and numbers cannot fail
	}
	return body
}

// PlanForm is the form of plans (ladder.PlanOldest). It is part of a job's name: a
// recording that was planned by a version whose plans are no longer understood becomes
// another job when it is sent again.
const PlanForm = 3

// ID is the job that a recording becomes, as [Task.JobOf] says: a hash of what is transcoded and how,
// never of a message, so that duplicates collide on purpose.
func ID(bucket, key, etag, profile string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{bucket, key, etag, profile, strconv.Itoa(PlanForm)}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// ClipID is the job that a part of another's result becomes, the frames [from, to) of it under a name.
func ClipID(of, asset string, from, to int) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"clip", of, asset, strconv.Itoa(from), strconv.Itoa(to)}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// Prefix is where recordings are in their bucket. Objects elsewhere are none,
// our own output among them.
const Prefix = "recordings/"

// IsFLV tells whether a name is that of an FLV file. Recorders write .FLV too.
func IsFLV(name string) bool { return strings.EqualFold(path.Ext(name), ".flv") }

// Asset is the name under which a recording is published: its key without
// prefix and extension.
func Asset(key string) string {
	return strings.TrimSuffix(strings.TrimPrefix(key, Prefix), path.Ext(key))
}

var jobID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// IsID tells whether a word has the form of a job's name.
func IsID(word string) bool { return jobID.MatchString(word) }

// validate refuses what no worker could do.
func (t Task) validate() error {
	switch {
	case t.Version != Version:
		return fmt.Errorf("its version is %d; this program understands %d: is it older than what sent the message?", t.Version, Version)
	case t.Trim.Start < 0 || t.Trim.End < 0:
		return fmt.Errorf("it is to be trimmed by %d and %d ms", t.Trim.Start, t.Trim.End)
	case t.Trim != (Trim{}) && !t.Watch.Since.IsZero():
		return errors.New("what grows cannot be trimmed: send it again when it has ended")
	case ValidTitle(t.Title) != nil:
		return ValidTitle(t.Title)
	case t.Kind == Recording && t.Failures >= 0:
		return ValidKey(t.Key)
	case t.Kind != Chunk && t.Kind != Audio && t.Kind != Quality:
		return fmt.Errorf("its kind is %q; there are %s, %s, %s and %s", t.Kind, Recording, Chunk, Audio, Quality)
	case !jobID.MatchString(t.Job):
		return fmt.Errorf("its job %q is not 16 hexadecimal digits", t.Job)
	case t.Chunk < 0:
		return fmt.Errorf("its chunk is %d", t.Chunk)
	case t.Failures < 0:
		return fmt.Errorf("it has failed %d times", t.Failures)
	}
	return nil
}

// ValidKey refuses keys of recordings that could leave their folder once they name files.
func ValidKey(key string) error {
	name := strings.TrimPrefix(key, Prefix)
	switch {
	case key == "":
		return errors.New("it has no key")
	case !strings.HasPrefix(key, Prefix) || strings.Trim(path.Base(Asset(key)), ".") == "" || strings.HasSuffix(Asset(key), "/"):
		return fmt.Errorf("its key %q is not %s<name>", key, Prefix)
	case path.Clean("/"+name) != "/"+name || strings.ContainsAny(key, "\x00\n\r"):
		return fmt.Errorf("its key %q has empty or dotted elements, or control characters", key)
	case len(key) > 900: // S3 allows 1,024 bytes; the output's keys are longer than the recording's
		return fmt.Errorf("its key is %d bytes long, 900 are allowed", len(key))
	}
	return nil
}

// Delivery is one receipt of one message.
type Delivery struct {
	Body     []byte
	Receipt  string // valid for this receipt only
	Receives int    // how often the message was received, this time included
}

// ErrNotHeld is returned by a queue that knows that a receipt has expired: the
// message belongs to somebody else, or to nobody.
var ErrNotHeld = errors.New("the message is no longer held by this receipt")

// ErrQueueGone is returned by a queue that is no longer where it was: what is sent to it, or received, is nobody else's.
var ErrQueueGone = errors.New("the queue is gone")

// Failure is a message of the failed queue: a task that no further attempt is
// made for, and why.
type Failure struct {
	Version int             `json:"v"`
	Class   string          `json:"class"`            // permanent, transient (too often) or crash-loop
	Reason  string          `json:"reason"`           // a stable word
	Detail  string          `json:"detail"`           // for people
	Advice  string          `json:"advice,omitempty"` // what to do about it
	Log     string          `json:"log,omitempty"`    // the end of ffmpeg's, where it was that
	Job     string          `json:"job,omitempty"`
	Task    string          `json:"task,omitempty"`
	Source  string          `json:"source,omitempty"` // the recording's key
	ETag    string          `json:"etag,omitempty"`   // and version
	Message json.RawMessage `json:"message"`          // the task as it was; a string where it was not JSON
	Time    time.Time       `json:"time"`
	Worker  string          `json:"worker"`
	Program string          `json:"program,omitempty"` // its version, and ffmpeg's
}
