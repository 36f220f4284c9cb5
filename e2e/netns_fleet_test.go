package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
)

// An origin and two workers, each in a network of its own, from which nothing but the queue (PostgreSQL) and the store can be reached.
// Streams are recorded, workers killed all the time; every recording is published. What is killed four times is given up, as what kills
// its worker must be, and an operator replays it. "make soak" does it with 100.
func TestFleetInNamespaces(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	streams, every := 4, 2*time.Second
	if *soak {
		streams, every = 100, 5*time.Second
	}
	address := testenv.Postgres(t)
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", true)
	db, err := url.Parse(address)
	must(t, err)
	both := []string{db.Host, strings.TrimPrefix(cloud.Endpoint, "http://")}
	origin, homes := newNetns(t, both...), []*netns{newNetns(t, both...), newNetns(t, both...)}
	place := []string{"--queue", address, "--recordings", "s3://recs", "--store", "s3://vod"}
	o := startOriginIn(t, origin, fmt.Sprintf("queue: %s\nrecordings: s3://recs\nstore: s3://vod\nprofile: quick\n", address))
	startFollowIn(t, origin, append([]string{"--profile", "quick", "--spool", o.dir + "/rec/.spool", o.dir + "/rec"}, place...)...)
	work := func(home *netns) *worker {
		return startWorkerIn(t, home, append([]string{"--lease", "5s"}, place...)...)
	}
	workers := []*worker{work(homes[0]), work(homes[1])}

	live := make(chan struct{}, 4) // at a time
	published, killed, replayed := 0, 0, 0
	ended := make(chan struct{}, streams)
	for n := range streams {
		go func() {
			live <- struct{}{}
			defer func() { <-live; ended <- struct{}{} }()
			_ = publish(t, o, fmt.Sprintf("show-%03d", n), 6).Wait() // what came of it is seen below
		}()
	}
	next := time.Now().Add(every)
	took := eventually(t, time.Hour, "all is published", func() bool {
		if len(ended) < streams || killed < 3 {
			if time.Now().After(next) {
				n := rand.IntN(len(workers))
				must(t, workers[n].Process.Kill())
				<-workers[n].ended
				workers[n], killed, next = work(homes[n]), killed+1, time.Now().Add(every)
			}
			return false
		}
		published = 0
		r := status(t, append([]string{"--limit", "1000"}, place...)...)
		for _, j := range r.Jobs {
			if j.State == "published" {
				published++
			}
		}
		if idle := r.Queue.Waiting+r.Queue.InFlight == 0; idle && r.Failed > 0 {
			if list := enqueue(t, append([]string{"failed"}, place...)...); strings.Count(list, "crash_loop") < r.Failed {
				t.Fatalf("failed lists:\n%s", list)
			}
			enqueue(t, append([]string{"replay", "--all"}, place...)...)
			replayed += r.Failed
			return false
		}
		return published == streams && r.Queue.Waiting+r.Queue.InFlight == 0
	})
	r := status(t, append([]string{"--limit", "1000"}, place...)...)
	if len(r.Jobs) != streams || r.Failed != 0 {
		t.Errorf("%d jobs of %d streams, %d failed", len(r.Jobs), streams, r.Failed)
	}
	for _, j := range r.Jobs {
		if j.Duration < 5.5 {
			t.Errorf("%s lasts %g s", j.Asset, j.Duration)
		}
		checkHLS(t, cloud.Endpoint+"/vod/vod/"+j.Asset+"/master.m3u8", j.Duration, []string{"320x180", "160x90"})
	}
	if left, err := os.ReadDir(o.dir + "/rec"); err != nil || strings.Contains(fmt.Sprint(left), ".flv") {
		t.Errorf("on the origin's disk: %v, %v", left, err)
	}
	t.Logf("%d streams, %d workers killed, %d tasks replayed, all published after %s", streams, killed, replayed, took.Round(time.Second))
}
