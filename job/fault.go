package job

import (
	"errors"
	"time"
)

// TaskError is an error of a task that says what to do about it.
type TaskError struct {
	Reason string // a stable word for operators
	Final  bool   // another attempt cannot mend it
	Err    error
	Log    string // the end of ffmpeg's, if it was that
}

func (f *TaskError) Error() string { return f.Err.Error() }

// Unwrap is the error itself.
func (f *TaskError) Unwrap() error { return f.Err }

// Permanent marks an error that another attempt cannot mend.
func Permanent(reason string, err error) error {
	return &TaskError{Reason: reason, Final: true, Err: err}
}

// Transient gives an error that another attempt may mend its reason.
func Transient(reason string, err error) error { return &TaskError{Reason: reason, Err: err} }

// LastWords are ffmpeg's, if it was ffmpeg that failed.
func LastWords(err error) string {
	if f, ok := errors.AsType[*TaskError](err); ok {
		return f.Log
	}
	return ""
}

// refusal is an error of a package that knows nothing of tasks, and judges its input for good.
type refusal interface {
	error

	Refusal() (reason string)
}

// Verdict is the reason of an error, and whether it is final.
func Verdict(err error) (reason string, final bool) {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.Refusal(), true
	}
	if f, ok := errors.AsType[*TaskError](err); ok {
		return f.Reason, f.Final
	}
	return "error", false
}

// left is an error by which a task is not at fault, and better left to others for a while.
type left interface {
	error

	LeaveFor() time.Duration
}

// LeaveFor tells for how long a task is to be left to other workers; ok is false where its error is a failure.
func LeaveFor(err error) (d time.Duration, ok bool) {
	l, ok := errors.AsType[left](err)
	if !ok {
		return 0, false
	}
	return l.LeaveFor(), true
}

// named is a failure of something else than the task with which it came.
type named struct {
	error

	task string
}

func (e named) Unwrap() error { return e.error }

// Of says which task an error is a failure of, whatever the task with which it came.
func Of(task string, err error) error { return named{err, task} }

// FailedTask is the task that an error is a failure of; "": the one that was done.
func FailedTask(err error) string {
	e, _ := errors.AsType[named](err)
	return e.task
}
