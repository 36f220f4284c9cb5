package pipeline

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"afterlive.alt/ladder"
)

// An init segment is uploaded once in a while, and for a job that is made again after it was removed.
func TestInits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var known inits
		plan, again := &ladder.Plan{Created: time.Now()}, &ladder.Plan{Created: time.Now().Add(time.Second)}
		known.add(plan, "a")
		if !known.has(plan, "a") || known.has(plan, "b") || known.has(again, "a") {
			t.Error("it knows something else than what it was told")
		}
		time.Sleep(initsTime)
		if known.has(plan, "a") {
			t.Error("it is known for ever")
		}
		for n := range 3 * maxInits {
			known.add(plan, strconv.Itoa(n))
		}
		if len(known.at) > maxInits+1 || !known.has(plan, strconv.Itoa(3*maxInits-1)) {
			t.Errorf("%d are known", len(known.at))
		}
	})
}
