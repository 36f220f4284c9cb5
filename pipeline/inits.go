package pipeline

import (
	"sync"
	"time"

	"afterlive.alt/ladder"
)

// inits remembers which init segments are stored: all parts of a job share them, and a store charges for each that is uploaded in vain.
type inits struct {
	lock sync.Mutex
	at   map[string]time.Time
}

const (
	maxInits  = 1000             // beyond which all is forgotten: some dozens of jobs
	initsTime = 10 * time.Minute // after which a worker uploads it again, as somebody may have removed it by mistake
)

func (i *inits) has(plan *ladder.Plan, key string) bool {
	i.lock.Lock()
	defer i.lock.Unlock()
	at, ok := i.at[ofPlan(plan, key)]
	return ok && time.Since(at) < initsTime
}

func (i *inits) add(plan *ladder.Plan, key string) {
	i.lock.Lock()
	defer i.lock.Unlock()
	if i.at == nil || len(i.at) > maxInits {
		i.at = map[string]time.Time{}
	}
	i.at[ofPlan(plan, key)] = time.Now()
}

// ofPlan tells a job from one of the same name that was removed: that job's files are gone.
func ofPlan(plan *ladder.Plan, key string) string {
	return plan.Created.Format(time.RFC3339Nano) + " " + key
}
