package e2e

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

var seedFlag = flag.Uint64("seed", 0, "of the soak, to repeat it as far as time allows; 0: a new one")

// storm is a soak under way.
type storm struct {
	*sky

	jobs    int
	scratch string
	profile string

	mu     sync.Mutex
	random *rand.Rand
	outage time.Time // of S3, until when
	dead   []casualty
	living []*worker
}

// casualty is a worker that was killed or terminated.
type casualty struct {
	*worker

	at     time.Time
	killed bool
}

// TestSoak: many short jobs, workers killed and terminated at random, a twentieth of
// all calls to SQS and S3 failing before or after they take effect, and somebody
// who looks at what is published all the time. "make soak" runs 300 jobs, "make
// test" a few.
func TestSoak(t *testing.T) {
	alongside(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	s := &storm{sky: newSky(t), jobs: 12, scratch: t.TempDir(), profile: "quick", random: rand.New(rand.NewPCG(seed, 0))}
	every, kills := time.Second, 6
	if *soak {
		s.jobs, every, kills = 300, 3*time.Second, 1000
	}
	t.Logf("seed %d, %d jobs", seed, s.jobs)
	s.upload(t)
	veteran := s.recruit(t, "--http", "127.0.0.1:"+testenv.FreePort(t))
	s.send(t, 0, 2) // until it has opened all that it needs
	s.settled(t, patience)
	before := healthOf(t, veteran)

	s.proxy.Script(s.s3Fault)
	s.strict.Script(s.sqsFault)
	s.living = []*worker{s.recruit(t)}
	began := time.Now()
	s.send(t, 2, s.jobs)
	stop, looked := make(chan struct{}), make(chan int)
	go func() { looked <- s.look(t, stop) }()
	var killer sync.WaitGroup
	killer.Go(func() { s.kill(t, stop, every, kills) })
	s.settled(t, time.Hour) // how long it takes depends on what else the machine does
	took := time.Since(began)
	close(stop)
	killer.Wait()
	t.Logf("%d looks at published assets; %s for all jobs", <-looked, took.Round(time.Second))

	calls := s.proxy.Calls()
	s.proxy.Script(nil)
	s.strict.Script(nil)
	s.complete(t)
	s.commits(t, calls)
	after := healthOf(t, veteran)
	t.Logf("descriptors, goroutines of a worker that lived through it: %+v, then %+v", before, after)
	if after.files != before.files || after.goroutines > before.goroutines+2 {
		t.Error("it leaks")
	}
	s.dismiss(t, veteran)
	s.reconcile(t)
	s.lost(t)
	s.clean(t)
}

func (s *storm) asset(n int) string { return fmt.Sprintf("soak-%03d", n) }

func (s *storm) upload(t *testing.T) {
	t.Helper()
	recording := source(t, "320x180", 25, 12)
	up := blob.NewS3(s.cloud.Config, "recs", "")
	for n := range s.jobs {
		must(t, up.Upload(t.Context(), job.Prefix+s.asset(n)+".flv", recording))
	}
}

func (s *storm) send(t *testing.T, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		enqueueTask := job.Task{Kind: job.Recording, Key: job.Prefix + s.asset(n) + ".flv", Profile: s.profile}
		must(t, s.direct().Send(t.Context(), enqueueTask.Body(), 0))
	}
}

// direct is the tasks' queue without faults.
func (s *storm) direct() *queue.SQS { return queue.NewSQS(s.strict.Config(), "http://strict/tasks", 0) }

func (s *storm) recruit(t *testing.T, args ...string) *worker {
	t.Helper()
	w := s.start(t, "quick", append([]string{"--scratch", s.scratch}, args...)...)
	w.scratch = s.scratch
	w.Args = append(w.Args, args...)
	return w
}

// chance is true in one of n cases.
func (s *storm) chance(n int) bool { return s.random.IntN(n) == 0 }

func (s *storm) s3Fault(c testenv.Call) testenv.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case time.Now().Before(s.outage):
		return testenv.Fault{Code: "SlowDown", Status: http.StatusServiceUnavailable}
	case s.chance(2000): // rarely, all of it for a while
		s.outage = time.Now().Add(2 * time.Second)
	case !s.chance(20):
		return testenv.Fault{}
	}
	after := s.chance(2)
	switch s.random.IntN(4) {
	case 0:
		return testenv.Fault{Code: "SlowDown", Status: http.StatusServiceUnavailable}
	case 1:
		return testenv.Fault{Code: "InternalError", Status: http.StatusInternalServerError, After: after}
	case 2:
		return testenv.Fault{Half: c.Op == http.MethodGet, Break: c.Op != http.MethodGet, After: after}
	}
	return testenv.Fault{Break: true, After: after}
}

func (s *storm) sqsFault(c testenv.Call) testenv.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.chance(20) {
		return testenv.Fault{}
	}
	skip := (c.Op == "DeleteMessage" || c.Op == "ChangeMessageVisibility") && s.chance(3)
	if skip { // 200, and nothing is so
		return testenv.Fault{Skip: true}
	}
	return testenv.Fault{Code: "InternalError", Status: http.StatusInternalServerError, After: s.chance(2)}
}

// kill kills or terminates the workers but the veteran, and replaces them.
func (s *storm) kill(t *testing.T, stop <-chan struct{}, every time.Duration, kills int) {
	for range kills {
		s.mu.Lock()
		pause := every/2 + time.Duration(s.random.Int64N(int64(every)))
		kill, who := s.chance(2), s.random.IntN(len(s.living))
		s.mu.Unlock()
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		victim := casualty{s.living[who], time.Now(), kill}
		s.living[who] = s.recruit(t)
		if kill {
			terminate(t, victim.worker, syscall.SIGKILL)
		} else {
			terminate(t, victim.worker, syscall.SIGTERM)
		}
		s.dead = append(s.dead, victim)
	}
}

// settled waits until all that was sent is done. What was given up, since its workers
// were killed once too often, is replayed as an operator would.
func (s *storm) settled(t *testing.T, within time.Duration) {
	t.Helper()
	eventually(t, within, "all tasks are settled", func() bool {
		if failed := s.strict.Bodies("failed"); len(failed) > 0 {
			t.Logf("replayed: %.300q", failed)
			if _, err := commandError(t.Context(), t, "enqueue", append([]string{"replay", "--all"}, s.place...)...); err != nil {
				t.Logf("replay: %v", err) // it fails like all others, and can be repeated
			}
			return false
		}
		return len(s.strict.Bodies("tasks")) == 0
	})
}

// look looks at everything that is published, again and again.
func (s *storm) look(t *testing.T, stop <-chan struct{}) (looks int) {
	whole := map[string]string{}
	random := rand.New(rand.NewPCG(1, 2))
	for {
		for n := range s.jobs {
			select {
			case <-stop:
				return looks
			default:
			}
			if whole[s.asset(n)] != "" && random.IntN(20) > 0 {
				continue
			}
			seen, err := s.viewer.see(t.Context(), s.asset(n))
			if err != nil {
				t.Errorf("%s: %v", s.asset(n), err)
			}
			if was := whole[s.asset(n)]; was != "" && seen != was {
				t.Errorf("%s was %s, and is %q", s.asset(n), was, seen)
			}
			whole[s.asset(n)] = seen
			if seen != "" {
				looks++
			}
		}
		select {
		case <-stop:
			return looks
		case <-time.After(50 * time.Millisecond): // the workers need the machine, too
		}
	}
}

// complete wants every job published, whole.
func (s *storm) complete(t *testing.T) {
	t.Helper()
	for n := range s.jobs {
		if seen, err := s.viewer.see(t.Context(), s.asset(n)); seen == "" || err != nil {
			t.Errorf("%s is lost: %q, %v", s.asset(n), seen, err)
		}
	}
}

// again is what is written again and again: claims, which are renewed, and notes, which decide nothing; and what of several recordings is the latest.
var again = regexp.MustCompile(`/(claims|retries|workers)/|/(dispatch|state|latest)\.json$|/latest\.m3u8$`)

// commits wants each write that means something to have succeeded exactly once.
func (s *storm) commits(t *testing.T, calls []testenv.Call) {
	t.Helper()
	done := map[string]int{}
	kinds := map[string]int{}
	for _, c := range calls {
		if c.Op != http.MethodPut || c.Status != http.StatusOK || again.MatchString(c.Message) {
			continue
		}
		done[c.Message]++
		switch name := filepath.Base(c.Message); {
		case strings.Contains(c.Message, "/parts/"):
			kinds["part"]++
		case name == "plan.json" || name == "asset.json":
			kinds[name]++
		}
	}
	for key, n := range done {
		if n > 1 {
			t.Errorf("%s was written %d times", key, n)
		}
	}
	t.Logf("%d calls to S3; commits: %v", len(calls), kinds)
	if kinds["asset.json"] != s.jobs-2 || kinds["plan.json"] != s.jobs-2 || kinds["part"] != 2*(s.jobs-2) {
		t.Errorf("%d jobs, commits %v", s.jobs-2, kinds)
	}
}

// vitals are what a process holds.
type vitals struct{ files, sockets, goroutines int }

// healthOf asks a worker. Of idle connections there may be more or less: each is a
// socket and two goroutines.
func healthOf(t *testing.T, w *worker) vitals {
	t.Helper()
	var v vitals
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", w.Process.Pid))
	must(t, err)
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:") {
			v.sockets++
		} else if err == nil {
			v.files++
		}
	}
	addr := w.Args[slices.Index(w.Args, "--http")+1]
	body, _ := get(t, "http://"+addr+"/metrics")
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			v.goroutines, err = strconv.Atoi(strings.TrimSpace(text))
			must(t, err)
		}
	}
	v.goroutines -= 2 * v.sockets
	return v
}

// dismiss ends everybody, gently.
func (s *storm) dismiss(t *testing.T, veteran *worker) {
	t.Helper()
	for _, w := range append(s.living, veteran) {
		terminate(t, w, syscall.SIGTERM)
		s.dead = append(s.dead, casualty{w, time.Now(), false})
	}
	s.strict.Advance(time.Minute) // polls end
	for _, c := range s.dead {
		c.finishAnyhow(t)
	}
}

func (c casualty) finishAnyhow(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.ended:
		begun := c.output(t) != "" // one that is told to end before it has begun dies of the signal, and has taken nothing
		if err != nil && !c.killed && begun {
			t.Errorf("a worker ended badly: %v\n%s", err, c.output(t))
		}
	case <-time.After(time.Minute):
		t.Fatal("a worker doesn't end")
	}
}

// event is a line of a worker's log.
type event struct {
	Time     time.Time      `json:"ts"`
	Message  string         `json:"msg"`
	Outcome  string         `json:"outcome"`
	Job      string         `json:"job"`
	Task     string         `json:"task"`
	Messages map[string]int `json:"messages"`
}

func (w *worker) events(t *testing.T) (all []event) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(w.output(t)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("a line of the log is no JSON: %s", lines.Text())
		}
		all = append(all, e)
	}
	return all
}

// reconcile compares what the queue handed out with what the workers say of it.
func (s *storm) reconcile(t *testing.T) {
	t.Helper()
	delivered, kills := 0, 0
	for _, c := range s.strict.Calls() {
		if c.Op == "ReceiveMessage" && c.Message != "" && c.Fault == "" {
			delivered++
		}
	}
	outcomes := map[string]int{}
	settled, givenUp := 0, 0 // the latter: polls, to which a message may come all the same
	for _, c := range s.dead {
		lines, tally := 0, map[string]int(nil)
		for _, e := range c.events(t) {
			if e.Message == "task settled" {
				lines++
				outcomes[e.Outcome]++
			}
			if e.Message == "queue cannot be read" {
				givenUp++
			}
			if e.Messages != nil {
				tally = e.Messages
			}
		}
		settled += lines
		if c.killed {
			kills++
			continue
		}
		sum := 0
		for name, n := range tally {
			if name != "received" {
				sum += n
			}
		}
		if sum != lines || tally["received"] != lines {
			t.Errorf("a worker logged %d messages, and counted %v", lines, tally)
		}
	}
	t.Logf("%d workers, %d of them killed; the queue handed out %d messages, %d were settled: %v", len(s.dead), kills, delivered, settled, outcomes)
	if delivered < settled || delivered > settled+kills+givenUp {
		t.Errorf("%d messages are not accounted for, with %d kills and %d polls that were given up", delivered-settled, kills, givenUp)
	}
}

// lost says how much work each kill cost: what was begun and not finished.
func (s *storm) lost(t *testing.T) {
	t.Helper()
	var seconds []float64
	for _, c := range s.dead {
		if !c.killed {
			continue
		}
		begun := map[string]time.Time{}
		for _, e := range c.events(t) {
			switch e.Message {
			case "part begun":
				begun[e.Job+e.Task] = e.Time
			case "part done", "task settled":
				delete(begun, e.Job+e.Task)
			}
		}
		if len(begun) > 1 {
			t.Errorf("a kill cost %d parts: %v", len(begun), begun)
		}
		cost := 0.0
		for _, since := range begun {
			cost = c.at.Sub(since).Seconds()
		}
		seconds = append(seconds, max(0, cost))
	}
	slices.Sort(seconds)
	if n := len(seconds); n > 0 {
		busy := n - slices.IndexFunc(append(seconds, 1), func(x float64) bool { return x > 0 })
		t.Logf("work lost per kill (at most one part a slot): %d of %d hit a part at work; median %.2f s, 90th %.2f s, most %.2f s",
			max(0, busy), n, seconds[n/2], seconds[n*9/10], seconds[n-1])
	}
}

// clean wants nothing left of all the workers: no encoder, no scratch.
func (s *storm) clean(t *testing.T) {
	t.Helper()
	if left := s.dead[0].encoders(); len(left) > 0 {
		t.Errorf("encoders are left: %v", left)
	}
	last := s.recruit(t) // sweeps what killed ones left
	eventually(t, patience, "a worker has started", func() bool { return strings.Contains(last.output(t), "worker started") })
	terminate(t, last, syscall.SIGTERM)
	s.strict.Advance(time.Minute)
	last.finish(t)
	left, err := filepath.Glob(s.scratch + "/*")
	must(t, err)
	if len(left) > 1 || (len(left) == 1 && filepath.Base(left[0]) != "lock") {
		t.Errorf("in the scratch: %v", left)
	}
}
