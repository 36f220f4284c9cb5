package main

import (
	"errors"
	"fmt"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/job"
)

// done tells whether there is nothing left to watch.
func (r report) done() bool {
	for _, s := range r.Jobs {
		if !s.State.Settled() {
			return false
		}
	}
	return len(r.Jobs) > 0
}

// watch decides when there is nothing more to see.
type watch struct {
	name    string // of a job or an asset; "": all
	patient bool   // what is not there may yet be enqueued: a timeout says how long to wait
	empty   int    // how often in a row the queue was
}

// look is told how things are. Once it has ended, err is why it didn't end well.
func (w *watch) look(r report) (ended bool, err error) {
	if r.done() && (w.name != "" || r.Queue == counts{}) {
		return true, r.failure(w.name)
	}
	w.empty++
	if (r.Queue != counts{}) || len(r.Jobs) == 0 && w.patient {
		w.empty = 0
	}
	if w.empty < r.looks() {
		return false, nil
	}
	return true, r.stuck(w.name)
}

// failure is an error if any of the jobs has failed, or was dropped and is asked for by
// name: what was dropped long ago is no news to who watches all.
func (r report) failure(name string) error {
	var faults []error
	for _, s := range r.Jobs {
		if s.State == catalog.Failed || s.State == catalog.Dropped && name != "" {
			faults = append(faults, fmt.Errorf("job %s (%s) %s: %s", s.Job, s.Asset, ended[s.State], s.Reason))
		}
	}
	return errors.Join(faults...)
}

var ended = map[catalog.State]string{catalog.Failed: "failed", catalog.Dropped: "was dropped"}

// How often in a row the queue must look empty before nobody will go on with what is
// watched. SQS counts roughly: a message that is handed from one to the next may be missing
// for a while, and where none has failed there should be one.
const looksFailed, looksLost = 3, 60

func (r report) looks() int {
	if r.Failed > 0 || len(r.Jobs) == 0 {
		return looksFailed
	}
	return looksLost
}

// stuck is why there is nothing to wait for.
func (r report) stuck(name string) error {
	switch {
	case len(r.Jobs) == 0:
		return fmt.Errorf("there is no job or asset %q, and nothing is left to be planned; %d tasks are in the failed queue ("+job.CLI+" status and "+job.CLI+" failed list what there is)", name, r.Failed)
	case r.Failed == 0:
		return errors.New("nothing is left to do, but it isn't published: its messages are gone. Send the recording again: only what is missing is made")
	}
	return fmt.Errorf("nothing is left to do, but it isn't published: %d tasks are in the failed queue ("+job.CLI+" failed tells)", r.Failed)
}
