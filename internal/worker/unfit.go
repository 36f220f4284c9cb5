package worker

import (
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
		log.Info("work is taken again")
		u.why = ""
	case err != nil && u.why == "":
		log.Error("no work is taken for now", zap.Error(err))
		u.why = err.Error()
	}
	return err != nil
}
