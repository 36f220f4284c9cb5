package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/testenv"
)

// soak makes long tests run whole; "make soak" sets it.
var soak = flag.Bool("soak", false, "run the long tests whole")

// sky is an S3 that we didn't write behind a proxy that lets it fail, and an SQS by
// the rules: what workers are tormented on.
type sky struct {
	strict *testenv.Strict
	proxy  *testenv.Proxy
	cloud  *testenv.Cloud
	place  []string
	viewer viewer
}

func newSky(t *testing.T) *sky {
	t.Helper()
	s := &sky{strict: testenv.NewStrict(), cloud: testenv.Start(t)}
	s.cloud.Bucket(t, "recs", false)
	s.cloud.Bucket(t, "vod", true)
	s.viewer = viewer{s.cloud.Endpoint + "/vod"}
	s.proxy = s.cloud.Proxy(t)
	url := s.strict.Serve(t)
	failed := s.strict.AddQueue(url, "failed", "", 0)
	tasks := s.strict.AddQueue(url, "tasks", "failed", 20)
	s.place = []string{"--queue", tasks, "--failed", failed, "--recordings", "s3://recs", "--store", "s3://vod"}
	return s
}

// another is a profile like quick by another name, so that it makes another job of
// the same recording.
func another(t *testing.T, name string) string {
	t.Helper()
	one, _, _ := strings.Cut(profiles, "- name: sphere")
	return writeFile(t, filepath.Join(t.TempDir(), name+".yaml"), strings.Replace(one, "name: quick", "name: "+name, 1))
}

// A worker is killed at every operation on the store of one job, before it takes
// effect and after: whoever looks sees the old result or the new one, whole, and the
// next worker finishes. "make test" tries some of them.
func TestCrashAtEveryS3Operation(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	s := newSky(t)
	const most = 200
	up := blob.NewS3(s.cloud.Config, "recs", "")
	must(t, up.Upload(t.Context(), "recordings/talk.flv", source(t, "320x180", 25, 12)))
	seen := s.publish(t, "quick0", nil)
	if seen == "" {
		t.Fatal("nothing is published")
	}
	operations := len(s.proxy.Calls())
	t.Logf("%d operations", operations)
	if operations < 40 || operations > most {
		t.Fatalf("%d operations", operations)
	}
	begin, step := 1+rand.IntN(19), 19
	if *soak {
		begin, step = 1, 1
	}
	old, kept, changed := seen, 0, 0
	for k := begin; k <= operations; k += step {
		for i, after := range []bool{false, true} {
			started := make(chan *worker, 1) // a worker looks at its buckets as soon as it runs
			crash := func(c testenv.Call) testenv.Fault {
				if c.N != k {
					return testenv.Fault{}
				}
				return testenv.Fault{Break: true, After: after, Then: func() { _ = (<-started).Process.Kill() }}
			}
			profile := fmt.Sprintf("quick%d", 2*k+i-1)
			seen := s.publish(t, profile, crash, started)
			if seen == old {
				kept++
			} else {
				changed++
			}
			old = s.finish(t, profile, old, seen)
		}
		if t.Failed() {
			t.Fatalf("at operation %d", k)
		}
	}
	t.Logf("killed %d times: the old result was seen %d times, the new one %d times", kept+changed, kept, changed)
	if kept == 0 {
		t.Error("no crash left the old result in place")
	}
}

// publish sends the recording with a profile, and runs a worker until all is done or
// it dies of the script. It returns the job that is seen then.
func (s *sky) publish(t *testing.T, profile string, script func(testenv.Call) testenv.Fault, started ...chan *worker) string {
	t.Helper()
	s.proxy.Script(nil)
	enqueue(t, append([]string{"send", "--force", "s3://recs/recordings/talk.flv", "--profile", profile}, s.place...)...) // those who died knew other profiles
	s.proxy.Script(script)
	w := s.start(t, profile)
	for _, told := range started {
		told <- w
	}
	s.idle(t, w)
	seen, err := s.viewer.see(t.Context(), "talk")
	if err != nil {
		t.Error(err)
	}
	return seen
}

// start starts a worker that has a profile.
func (s *sky) start(t *testing.T, profile string, args ...string) *worker {
	t.Helper()
	return startWorker(t, append(append([]string{"--profiles", another(t, profile), "--lease", "8s"}, s.place...), args...)...)
}

// idle waits until the queue is empty or the worker is dead, and kills it.
func (s *sky) idle(t *testing.T, w *worker) {
	t.Helper()
	eventually(t, patience, "the worker has done all, or died", func() bool {
		select {
		case err := <-w.ended:
			w.ended <- err
			return true
		default:
			return len(s.strict.Bodies("tasks")) == 0
		}
	})
	_ = w.Process.Kill()
	<-w.ended
	s.strict.Advance(time.Minute) // its lease ends, and the poll that it left behind
}

// finish lets another worker do what the dead one left, and wants a new result, whole.
func (s *sky) finish(t *testing.T, profile, old, seen string) string {
	t.Helper()
	s.proxy.Script(nil)
	s.idle(t, s.start(t, profile))
	now, err := s.viewer.see(t.Context(), "talk")
	if err != nil || now == old || (seen != old && seen != now) {
		t.Errorf("published was %s, then %s, now %s: %v", old, seen, now, err)
	}
	if failed := s.strict.Bodies("failed"); len(failed) > 0 {
		t.Errorf("failed: %q", failed)
	}
	return now
}
