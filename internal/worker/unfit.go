package worker

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"
)

// unfit remembers why a worker can take no work for now, say for want of room on its disk, and logs when that begins and ends.
type unfit struct {
	mu  sync.Mutex
	why string
}

// look asks whether work can be taken.
func (u *unfit) look(ready func() error, log *zap.Logger) bool {
	if ready == nil {
		return false
	}
	err := ready()
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil && u.why != "":
		log.Info("worker takes tasks again")
		u.why = ""
	case err != nil && u.why == "":
		log.Error("worker takes no tasks for now", zap.Error(err))
		u.why = err.Error()
	}
	return err != nil
}

// unlessIdle is why no work can be taken, unless there is none.
func (w *Worker) unlessIdle(ctx context.Context) error {
	idle, err := w.Idle(ctx)
	if idle || err != nil {
		return err
	}
	w.unfit.mu.Lock()
	defer w.unfit.mu.Unlock()
	return errors.New("worker cannot take tasks: " + w.unfit.why)
}
