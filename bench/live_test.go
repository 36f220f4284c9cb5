package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

var streams = flag.String("streams", "1,5,20", "lengths of the streams of BenchmarkLive, in minutes")

// liveProfile is what two cores make in less than 0.7 of real time of a stream of 720p, also if they are two threads of one
// core in a virtual machine: both at work, each is slower by half.
const liveProfile = `
- name: live
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 720, crf: 24, maxrate: 4000k, bufsize: 6000k, preset: superfast}
        - {height: 432, crf: 24, maxrate: 1800k, bufsize: 2700k, preset: superfast}
        - {height: 270, crf: 24, maxrate: 700k, bufsize: 1050k, preset: veryfast}
`

// How long after a stream's end it is on demand, if it is followed and if it isn't: streams of several
// lengths, sent by ffmpeg through nginx-rtmp, one worker with a slot for each of two cores. It takes as long
// as the streams do, and then as their encoding.
func BenchmarkLive(b *testing.B) {
	for b.Loop() {
		var first float64
		for word := range strings.SplitSeq(*streams, ",") {
			var minutes int
			if _, err := fmt.Sscan(word, &minutes); err != nil {
				b.Fatal(err)
			}
			s := newStage(b)
			event, vod, slot := s.followed(b, minutes)
			b.Logf("stream of %d min: event %.1f s, VOD %.1f s, slot %.1f s", minutes, event, vod, slot)
			whole := s.hooked(b)
			subject := fmt.Sprintf("stream of %d min", minutes)
			b.Logf("%s: the event ends %.1f s after it, it is on demand after %.1f s; one chunk takes a slot %.1f s; without follow: %.1f s", subject, event, vod, slot, whole)
			report(b, "time to VOD", subject, "s from its end to EXT-X-ENDLIST", event, "")
			report(b, "time to VOD", subject, "s from its end to the VOD", vod, "<= 12")
			report(b, "time to VOD", subject, "that / (1.5 times one chunk's slot, and 2 s)", vod/(1.5*slot+2), "<= 1")
			report(b, "time to VOD", subject, "that without follow / with", whole/vod, "")
			report(b, "time to VOD", subject, "encoding / real time, on this machine", whole/float64(60*minutes), "<= 0.7")
			if first == 0 {
				first = vod
			}
			report(b, "time to VOD", subject, "the VOD's, to that of the shortest", vod/first, "<= 1.25")
		}
	}
}

// stage is an origin, a follower and a worker on one folder.
type stage struct{ dir, rec, data, rtmp, profiles string }

func newStage(b *testing.B) *stage {
	b.Helper()
	dir := b.TempDir()
	s := &stage{dir: dir, rec: filepath.Join(dir, "rec"), data: filepath.Join(dir, "data"), rtmp: "127.0.0.1:" + testenv.FreePort(b), profiles: filepath.Join(dir, "profiles.yaml")}
	write := func(name, body string) {
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Mkdir(s.rec, 0o777); err != nil {
		b.Fatal(err)
	}
	write(s.profiles, liveProfile)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	write(filepath.Join(dir, "nginx.conf"), "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n"+user+"daemon off; worker_processes 1; pid "+dir+"/nginx.pid; error_log "+dir+`/nginx.log;
events {}
rtmp { server { listen `+s.rtmp+`; application live { live on; record all; record_path `+s.rec+`; record_unique on; record_lock on; } } }
`)
	s.start(b, "nginx", "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
	s.start(b, filepath.Join(bin, "worker"), "--data", s.data, "--profiles", s.profiles, "--scratch", filepath.Join(dir, "scratch"), "--slots", "2")
	return s
}

// start starts a process, and ends it with the benchmark.
func (s *stage) start(b *testing.B, name string, args ...string) *exec.Cmd {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = logFile(b)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	return cmd
}

// followed streams for some minutes, and returns how many seconds after its end the event has ended, the VOD is
// there, and how long its last whole chunk kept a slot.
func (s *stage) followed(b *testing.B, minutes int) (event, vod, slot float64) {
	b.Helper()
	follow := s.start(b, filepath.Join(bin, "enqueue"), "follow", s.rec, "--data", s.data, "--profile", "live")
	for err := error(nil); err == nil && !s.listens(); {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // a server starts
	}
	encoder := exec.CommandContext(b.Context(), "ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", camera(b, 1), "-t", fmt.Sprint(60*minutes),
		"-c", "copy", "-f", "flv", "rtmp://"+s.rtmp+"/live/talk")
	if out, err := encoder.CombinedOutput(); err != nil {
		b.Fatalf("stream: %v\n%s", err, out)
	}
	ended := time.Now()
	for event == 0 || vod == 0 {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // a player polls
		if time.Since(ended) > 2*time.Minute {
			b.Fatalf("it is not on demand\n%s", readLog(b, follow))
		}
		if event == 0 && s.eventEnded(b) {
			event = time.Since(ended).Seconds()
		}
		if a := s.asset(b); vod == 0 && a != nil && !a.Live {
			vod = time.Since(ended).Seconds()
			if math.Abs(a.Duration-float64(60*minutes)) > 1 {
				b.Errorf("it lasts %g s", a.Duration)
			}
		}
	}
	return event, vod, s.lastSlot(b)
}

func (s *stage) listens() bool {
	_, err := os.Stat(s.dir + "/nginx.pid")
	return err == nil
}

func (s *stage) eventEnded(b *testing.B) bool {
	lists := glob(b, s.data+"/vod/live/talk/*/*/flat/720p/event.m3u8")
	if len(lists) == 0 {
		return false
	}
	body, err := os.ReadFile(lists[0])
	return err == nil && strings.Contains(string(body), "#EXT-X-ENDLIST")
}

func (s *stage) asset(b *testing.B) *ladder.Asset {
	for _, name := range glob(b, s.data+"/vod/live/talk/*/asset.json") {
		var a ladder.Asset
		if body, err := os.ReadFile(name); err == nil && json.Unmarshal(body, &a) == nil {
			return &a
		}
	}
	return nil
}

// lastSlot is the longest that one of the last chunks but one kept a slot.
func (s *stage) lastSlot(b *testing.B) (longest float64) {
	parts := glob(b, s.data+"/jobs/*/parts/chunk-*.json")
	for _, name := range parts[max(0, len(parts)-4):] {
		var p ladder.Part
		body, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(body, &p)
		}
		if err != nil {
			b.Fatal(err)
		}
		longest = math.Max(longest, p.Slot)
	}
	return longest
}

// hooked sends the recording once more, as where nothing is followed, and returns how many seconds it takes.
func (s *stage) hooked(b *testing.B) float64 {
	b.Helper()
	deadline := time.Now().Add(time.Minute)
	var recordings []string
	for len(recordings) == 0 && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // it is handed over
		recordings = glob(b, s.data+"/recordings/live/talk/*.flv")
	}
	if len(recordings) == 0 {
		b.Fatal("the recording is not one object")
	}
	began := time.Now()
	send := exec.CommandContext(b.Context(), filepath.Join(bin, "enqueue"), "send", "--data", s.data, "--as", "whole", "--profile", "live", recordings[0])
	if out, err := send.CombinedOutput(); err != nil {
		b.Fatalf("send: %v\n%s", err, out)
	}
	for len(glob(b, s.data+"/vod/whole/asset.json")) == 0 {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // a player polls
	}
	return time.Since(began).Seconds()
}

func glob(b *testing.B, pattern string) []string {
	b.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		b.Fatal(err)
	}
	return found
}
