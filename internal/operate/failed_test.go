package operate

import (
	"testing"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// A recording whose message names no bucket belongs to the job that it is planned as.
func TestJobOfMessageWithoutBucket(t *testing.T) {
	task := job.Task{Kind: job.Recording, Key: "recordings/a.flv", ETag: "e"}
	o := Operator{Bucket: "recs", Store: testenv.NewMemory()}
	if got, want := o.read(t.Context(), task.Body()).Job, job.ID("recs", task.Key, task.ETag, job.DefaultProfile); got != want {
		t.Errorf("operators see job %s, want %s", got, want)
	}
}
