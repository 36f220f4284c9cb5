package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// An origin dies at a random moment of a stream, with all that runs on it, and its disk is gone: what follow had brought
// into the store is on demand by itself. At most what came in its last interval is lost. "make soak" has ten.
func TestOriginDies(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	s := newSky(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	random := rand.New(rand.NewPCG(seed, 0))
	origins := 2
	if *soak {
		origins = 10
	}
	t.Logf("seed %d", seed)
	startWorker(t, append([]string{"--abandon-after", "20s"}, s.place...)...)
	lost := make([]float64, origins)
	var all sync.WaitGroup
	for n := range origins {
		o := startOrigin(t, fmt.Sprintf("queue: %s\nfailed: %s\nrecordings: s3://recs\nstore: s3://vod\n", s.place[1], s.place[3]))
		f := startFollow(t, append([]string{"--profile", "quick", o.dir + "/rec"}, s.place...)...)
		name := fmt.Sprintf("doomed%02d", n)
		publisher := publish(t, o, name, 70)
		after := time.Duration(10+random.IntN(50)) * time.Second
		all.Go(func() {
			began := time.Now()
			eventually(t, patience, "its time is over", func() bool { return time.Since(began) >= after })
			file, lasts := o.die(t, f)
			_ = publisher.Process.Kill() // it may have ended
			_ = publisher.Wait()
			asset := s.cloud.Endpoint + "/vod/vod/live/" + name + "/" + file + "/"
			var whole ladder.Asset
			eventually(t, patience, "it is on demand", func() (ok bool) { whole, ok = onDemand(t, asset); return ok })
			if lost[n] = lasts - whole.Duration; !whole.Abandoned {
				t.Errorf("%+v", whole)
			}
			keepsTheRules(t, asset+ladder.MasterFile)
			t.Logf("killed after %s: %.2f s were recorded, %.2f s are on demand", after, lasts, whole.Duration)
		})
	}
	all.Wait()
	slices.Sort(lost)
	t.Logf("lost, in seconds: %.2f", lost)
	if most := 6 + 25.0/fps; *soak && lost[len(lost)-1] > most { // a keyframe is every 25 frames; on a busy machine, follow may come late
		t.Errorf("more than %g s are lost", most)
	}
}

// die kills all that runs on an origin, and removes its disk. It returns what was recorded there, and how many seconds of it.
func (o origin) die(t *testing.T, f *follower) (file string, lasts float64) {
	t.Helper()
	for _, pid := range append([]int{o.master(t)}, o.workers(t)...) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	f.kill()
	files, err := filepath.Glob(o.dir + "/rec/*.flv")
	if err != nil || len(files) != 1 {
		t.Errorf("recorded: %v, %v", files, err)
		return "", 0
	}
	recording, err := os.Open(files[0])
	if err != nil {
		t.Error(err)
		return "", 0
	}
	defer recording.Close()
	index, err := flv.Scan(recording)
	if err != nil {
		t.Error(err)
		return "", 0
	}
	if err := os.RemoveAll(o.dir + "/rec"); err != nil {
		t.Error(err)
	}
	return strings.TrimSuffix(filepath.Base(files[0]), ".flv"), index.Duration.Seconds()
}
