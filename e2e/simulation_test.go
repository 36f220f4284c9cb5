package e2e

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"afterlive.alt/internal/fleet"
)

var simulate = flag.Bool("simulate", false, "compare a real run with the simulated one: make simulate")

// steady has chunks that take one core a few seconds each.
const steady = `
- name: steady
  chunk: 12s
  ladders: [{name: flat, projection: flat, rungs: [{height: 480, crf: 23, maxrate: 4000k, bufsize: 6000k, preset: slow}]}]
`

// Two workers, of a core each, are killed again and again, and others come in their
// place. The simulation, told how long a chunk takes and when workers were killed, must
// come to the same time for it all, and to the same work done again.
func TestSimulationAgrees(t *testing.T) {
	if !*simulate {
		t.Skip("needs both cores alone: make simulate")
	}
	const seconds, lease, again = 288, 4, 2
	data := t.TempDir()
	own := writeFile(t, filepath.Join(t.TempDir(), "steady.yaml"), steady)
	recording := source(t, "854x480", fps, seconds)
	began := time.Now()
	start := func() *worker {
		return startWorker(t, "--data", data, "--profiles", own, "--threads", "1", "--lease", "4s")
	}
	enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "steady", recording)
	sent := time.Now()
	workers := []*worker{start(), start()}
	var kills []fleet.Kill
	for n, at := range []int{9, 20, 31, 42, 53} { // seconds, and the n-th worker that was started
		<-time.After(time.Until(sent.Add(time.Duration(at) * time.Second)))
		kills = append(kills, fleet.Kill{At: time.Since(sent).Seconds(), Again: again, Task: n})
		must(t, workers[n].Process.Kill())
		<-time.After(time.Until(sent.Add(time.Duration(kills[n].At*1e9) + again*time.Second)))
		workers = append(workers, start())
	}
	enqueue(t, "status", "--watch", "--timeout", "5m", "--data", data)

	seen := observe(t, workers, kills, sent)
	info, err := os.Stat(recording)
	must(t, err)
	simulated, err := fleet.Run(fleet.Config{
		Work: fleet.Work{Chunk: 12, Speed: 12 / seen.chunk, Scan: float64(info.Size()) / assetOf(t, data).Effort.Scan, Upload: 1e12},
		// A worker needs a moment to start, and to find the next message.
		Worker: fleet.Worker{Lease: lease, Poll: 1, Pause: 0},
		Fixed:  2, Kills: kills, Trace: []fleet.Recording{{Length: seconds, Bytes: float64(info.Size())}},
	})
	must(t, err)
	t.Logf("a chunk takes %.2f s; prepared in %s", seen.chunk, sent.Sub(began))
	for _, c := range []struct {
		what            string
		seen, simulated float64
	}{{"from the first message to publication", seen.end, simulated.End}, {"work done again", seen.redone, simulated.Redone}} {
		off := c.simulated/c.seen - 1
		t.Logf("%s: %.2f s, simulated %.2f s (%+.1f %%)", c.what, c.seen, c.simulated, 100*off)
		if math.Abs(off) > 0.15 {
			t.Errorf("%s: the simulation is off by more than 15 %%", c.what)
		}
	}
	t.Logf("messages cut off: %d, simulated %d", seen.cut, simulated.Interrupted)
	if seen.cut != simulated.Interrupted || seen.cut < 4 {
		t.Error("not as many messages were cut off")
	}
}

// observation is what the workers' logs tell, in seconds.
type observation struct {
	chunk       float64 // of those that were done, on average
	end, redone float64
	cut         int
}

func observe(t *testing.T, workers []*worker, kills []fleet.Kill, sent time.Time) (o observation) {
	t.Helper()
	chunks := 0.0
	for n, w := range workers {
		begun := map[string]float64{}
		for _, e := range w.events(t) {
			at := e.Time.Sub(sent).Seconds()
			switch e.Message {
			case "part begun":
				begun[e.Task] = at
			case "part done":
				o.chunk += at - begun[e.Task]
				chunks++
				delete(begun, e.Task)
			case "asset published":
				o.end = at
			}
		}
		for _, at := range begun { // what was begun and never done, until the kill
			if n >= len(kills) {
				t.Errorf("worker %d was not killed, and has not done all that it began", n)
				continue
			}
			o.redone += kills[n].At - at
			o.cut++
		}
	}
	o.chunk /= chunks
	return o
}
