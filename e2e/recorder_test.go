package e2e

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// publish streams moving bars and a tone to an origin.
func publish(t *testing.T, o origin, name string, seconds int) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "quiet", "-nostdin", "-re",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=320x180:r=%d", fps), "-f", "lavfi", "-i", "sine=r=44100", "-t", fmt.Sprint(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", "-f", "flv", "rtmp://"+o.rtmp+"/live/"+name)
	must(t, cmd.Start())
	return cmd
}

// nginx is stopped at once, restarted with a publisher on line, or its process
// killed: recordings are left without a hook. A sweep finds them, once; while they are
// live, it leaves them alone.
func TestOrphanIsSwept(t *testing.T) {
	alongside(t)
	for name, end := range map[string]func(t *testing.T, o origin){
		"stop": func(t *testing.T, o origin) { must(t, syscall.Kill(o.master(t), syscall.SIGTERM)) },
		"worker is killed": func(t *testing.T, o origin) {
			for _, pid := range o.workers(t) {
				must(t, syscall.Kill(pid, syscall.SIGKILL))
			}
		},
		"all is killed": func(t *testing.T, o origin) { // as systemd does, 5 s after a restart was asked for
			workers := o.workers(t)
			must(t, syscall.Kill(o.master(t), syscall.SIGKILL))
			for _, pid := range workers {
				must(t, syscall.Kill(pid, syscall.SIGKILL))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := folder(t)
			o := startOrigin(t, "data: "+data+"\n")
			stream := publish(t, o, "lost", 600)
			eventually(t, patience, "some seconds are recorded", func() bool { return size(o.dir+"/rec") > 300_000 })
			sweep := []string{"sweep", "--data", data, "--profile", "quick", "--older", "0s", o.dir + "/rec"}
			enqueue(t, sweep...)
			if r := status(t, "--data", data); r.Queue.Waiting != 0 {
				t.Fatalf("a live recording was swept: %+v", r)
			}
			end(t, o)
			_ = stream.Wait() // its connection is cut
			eventually(t, patience, "the recording is swept", func() bool {
				enqueue(t, sweep...)
				return status(t, "--data", data).Queue.Waiting == 1
			})
			enqueue(t, sweep...)
			startWorker(t, "--data", data, "--exit-when-idle").finish(t)
			r := status(t, "--data", data)
			if len(r.Jobs) != 1 || r.Jobs[0].State != "published" || r.Jobs[0].Duration < 2 || !strings.HasPrefix(r.Jobs[0].Asset, "live/lost/lost-") {
				t.Errorf("status %+v", r)
			}
		})
	}
}

func (o origin) master(t *testing.T) int {
	t.Helper()
	body, err := os.ReadFile(o.dir + "/nginx.pid")
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(body)))
	must(t, err)
	return pid
}

// workers are the processes that the master has started.
func (o origin) workers(t *testing.T) (pids []int) {
	t.Helper()
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", o.master(t), o.master(t)))
	must(t, err)
	for field := range strings.FieldsSeq(string(body)) {
		pid, err := strconv.Atoi(field)
		must(t, err)
		pids = append(pids, pid)
	}
	if len(pids) == 0 {
		t.Fatal("nginx has no workers")
	}
	return pids
}

// A recorder that starts a new file every few seconds: the parts are joined into one
// asset, as long as the stream, without a seam.
func TestRolledOverPartsAreJoined(t *testing.T) {
	alongside(t)
	data := folder(t)
	must(t, os.Chmod(data, 0o777)) // hooks run as nginx's user
	o := startOrigin(t, "data: "+data+"\n", [2]string{"record_lock on;", "record_lock on; record_interval 4s;"})
	const seconds = 14
	_ = publish(t, o, "rolled", seconds).Wait()
	recorded := func() []string {
		parts, err := filepath.Glob(data + "/recordings/live/rolled/*.flv")
		must(t, err)
		return parts
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(o.dir + "/hook.log")
			t.Logf("in the store: %q; %+v; hooks say:\n%s", recorded(), status(t, "--data", data), log)
		}
	})
	eventually(t, patience, "all parts are in the store", func() bool {
		return status(t, "--data", data).Queue.Waiting == len(recorded()) && len(recorded()) >= 3 && size(o.dir+"/rec") < 10_000
	})
	parts := recorded()
	enqueue(t, append([]string{"send", "--data", data, "--profile", "quick", "--join", "--as", "live/whole"}, parts...)...)
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	r := status(t, "--data", data, "live/whole")
	if len(r.Jobs) != 1 || r.Jobs[0].State != "published" || math.Abs(r.Jobs[0].Duration-seconds) > 0.3 {
		t.Fatalf("of %d parts: %+v", len(parts), r)
	}
	checkHLS(t, data+"/vod/live/whole/master.m3u8", r.Jobs[0].Duration, []string{"320x180", "160x90"})
	asset, err := os.ReadFile(data + "/vod/live/whole/asset.json")
	if err != nil || strings.Contains(string(asset), "discontinuities") {
		t.Errorf("%s, %v", asset, err)
	}
	// Without the second part, what is missing is closed up, and told of.
	enqueue(t, append([]string{"send", "--data", data, "--profile", "quick", "--join", "--as", "live/holey", parts[0]}, parts[2:]...)...)
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	asset, err = os.ReadFile(data + "/vod/live/holey/asset.json")
	if err != nil || strings.Count(string(asset), "lost_s") != 1 {
		t.Errorf("%s, %v", asset, err)
	}
}
