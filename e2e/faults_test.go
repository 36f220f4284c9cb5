package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
)

// A second signal ends a worker at once, and so does a third; the task is handed back
// all the same.
func TestSecondSignal(t *testing.T) {
	alongside(t)
	recording := source(t, "640x360", 25, 60)
	for _, signals := range [][]syscall.Signal{{syscall.SIGTERM, syscall.SIGTERM}, {syscall.SIGTERM, syscall.SIGINT}, {syscall.SIGINT, syscall.SIGINT, syscall.SIGTERM, syscall.SIGTERM}} {
		data := t.TempDir()
		enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "slow", recording)
		w := startWorker(t, "--data", data, "--drain", "10m")
		eventually(t, patience, "a chunk is being encoded", func() bool { return strings.Contains(w.output(t), `"task":"chunk-00000","attempt_id"`) })
		for _, s := range signals {
			terminate(t, w, s)
			// Two of a kind at once would be one.
			eventually(t, patience, "the signal is taken", func() bool { return strings.Contains(w.output(t), "shutting down") })
		}
		w.finish(t)
		if r := status(t, "--data", data); r.Queue.Waiting != 1 || r.Queue.InFlight > 0 || len(w.encoders()) > 0 {
			t.Errorf("after %v: %+v, encoders %v", signals, r, w.encoders())
		}
	}
}

// A worker that is told to end while it still looks for its store ends well: it has taken
// nothing.
func TestSignalBeforeTheStoreIsThere(t *testing.T) {
	alongside(t)
	s := newSky(t)
	s.proxy.Script(func(testenv.Call) testenv.Fault { return testenv.Fault{Code: "SlowDown", Status: 503} })
	w := startWorker(t, s.place...)
	eventually(t, patience, "it looks for its store", func() bool { return strings.Contains(w.output(t), "cannot be reached yet") })
	terminate(t, w, syscall.SIGTERM)
	w.finish(t)
}

// Nor does an idle worker wait for its poll to end.
func TestSecondSignalWhileIdle(t *testing.T) {
	s := newSky(t)
	polls := make(chan time.Time, 1)
	s.strict.Script(func(c testenv.Call) testenv.Fault {
		if c.Op != "ReceiveMessage" {
			return testenv.Fault{}
		}
		select {
		case polls <- c.Time:
		default:
		}
		return testenv.Fault{Hang: true} // until the worker gives it up
	})
	w := startWorker(t, s.place...)
	began := <-polls
	terminate(t, w, syscall.SIGTERM)
	eventually(t, patience, "the signal is taken", func() bool { return strings.Contains(w.output(t), "shutting down") })
	terminate(t, w, syscall.SIGTERM)
	w.finish(t)
	const poll = 20 * time.Second
	if took := time.Since(began); took > poll {
		t.Errorf("the worker has ended after %s, its poll would have after %s", took, poll)
	}
}

// The disk fills up while ffmpeg writes, and ffmpeg says nothing and exits with 0:
// that is found out, named, and tried again; nothing is published, and the scratch is
// empty afterwards.
func TestDiskFull(t *testing.T) {
	alongside(t)
	scratch := t.TempDir()
	small := func(size string) error {
		return exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "none", scratch).Run()
	}
	if err := small("64k"); err != nil {
		t.Skipf("only root can make a small disk: %v", err)
	}
	t.Cleanup(func() { _ = exec.Command("umount", scratch).Run() })
	recording := source(t, "320x180", 25, 14)
	for _, size := range []string{"150k", "400k"} { // filled at the start, and near the end
		if out, err := exec.Command("mount", "-o", "remount,size="+size, scratch).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		data := t.TempDir()
		enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "quick", recording)
		w := startWorker(t, "--data", data, "--scratch", scratch, "--min-free", "0")
		eventually(t, patience, "a full disk is noticed", func() bool { return strings.Contains(w.output(t), `"reason":"scratch_full"`) })
		eventually(t, patience, "nothing is tried at once", func() bool { q := status(t, "--data", data).Queue; return q.Waiting+q.InFlight == 0 })
		if r := status(t, "--data", data); r.Failed > 0 || r.Jobs[0].State != "retrying" || r.Jobs[0].Reason != "scratch_full" {
			t.Errorf("%+v", r)
		}
		if published, err := filepath.Glob(data + "/vod/talk/*.*"); err != nil || len(published) > 0 {
			t.Errorf("published: %v, %v", published, err)
		}
		if left, err := filepath.Glob(scratch + "/worker-*/*-*"); err != nil || len(left) > 0 {
			t.Errorf("in the scratch: %v, %v", left, err)
		}
		terminate(t, w, syscall.SIGTERM)
		w.finish(t)
	}
}

// A recording of ten hours: memory stays flat, and the work goes on, chunk by chunk.
// "make soak" does it.
func TestTenHours(t *testing.T) {
	if !*soak {
		t.Skip("make soak runs this: it takes minutes")
	}
	data := t.TempDir()
	file := filepath.Join(t.TempDir(), "long.flv")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=10", "-f", "lavfi", "-i", "sine=r=8000", "-t", "36000",
		"-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", "-pix_fmt", "yuv420p", "-g", "20", "-c:a", "aac", "-b:a", "16k", "-f", "flv", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	enqueue(t, "send", "--data", data, "--as", "long", "--profile", "flat", file)
	w := startWorker(t, "--data", data, "--slots", "2", "--exit-when-idle")
	peak, looks := int64(0), 0
	eventually(t, time.Hour, "it is published", func() bool {
		peak = max(peak, highWater(w.Process.Pid))
		looks++
		if looks%50 > 0 {
			return false
		}
		r := status(t, "--data", data)
		return len(r.Jobs) == 1 && r.Jobs[0].State == "published"
	})
	w.finish(t)
	t.Logf("memory of the worker at its peak: %d MiB", peak>>20)
	if peak > 150<<20 {
		t.Errorf("%d MiB", peak>>20)
	}
}
