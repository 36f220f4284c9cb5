package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
)

var images = flag.Bool("image", false, "run the images: make image-test")

// docker runs a command of docker's to its end.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "docker", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// container is a running container, as hardened as the task definition has it.
type container string

// hardened starts an image as another user, on a read-only root, without any
// capability, nor a way to one. What it writes is in memory.
func hardened(t *testing.T, cloud *testenv.Cloud, image, scratch string, options, args []string) container {
	t.Helper()
	run := []string{
		"run", "-d", "--network", "host", "--read-only", "--user", "65532:65532", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--tmpfs", scratch + ":rw,size=1g,mode=0755,uid=65532,gid=65532", "--pids-limit", "128", "--memory", "1g",
	}
	for _, kv := range cloud.Env {
		run = append(run, "-e", kv)
	}
	run = append(append(append(run, options...), "afterlive/"+image+":latest"), args...)
	c := container(docker(t, run...))
	t.Cleanup(func() {
		if t.Failed() {
			out, err := exec.Command("docker", "logs", "--tail", "40", string(c)).CombinedOutput()
			t.Logf("%s: %s %v", image, out, err)
		}
		if out, err := exec.Command("docker", "rm", "-f", "-v", string(c)).CombinedOutput(); err != nil {
			t.Errorf("docker rm: %v: %s", err, out)
		}
	})
	return c
}

func (c container) inspect(t *testing.T, format string) string {
	t.Helper()
	return docker(t, "inspect", "-f", "{{"+format+"}}", string(c))
}

func (c container) logs(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "logs", string(c)).CombinedOutput()
	must(t, err)
	return string(out)
}

// encoders are the process ids, on this machine, of the container's ffmpegs.
func (c container) encoders(t *testing.T) (pids []string) {
	t.Helper()
	for line := range strings.SplitSeq(docker(t, "top", string(c), "-eo", "pid,comm"), "\n") {
		if pid, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.TrimSpace(name) == "ffmpeg" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// powerless checks what the kernel says of a container's first process.
func (c container) powerless(t *testing.T) {
	t.Helper()
	status, err := os.ReadFile("/proc/" + c.inspect(t, ".State.Pid") + "/status")
	must(t, err)
	fields := strings.Join(strings.Fields(string(status)), " ")
	for _, want := range []string{"Uid: 65532 65532 65532 65532", "CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"} {
		if !strings.Contains(fields, want) {
			t.Errorf("the container's process has no %s", want)
		}
	}
}

// ended waits for a container's end, and returns its status.
func (c container) ended(t *testing.T) string {
	t.Helper()
	return docker(t, "wait", string(c))
}

// A container is stopped while it encodes: it hands the chunk back, takes its ffmpeg
// with it, and another container finishes the job.
func TestImageWorker(t *testing.T) {
	if !*images {
		t.Skip("needs docker: make image-test")
	}
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", true)
	place := []string{"--queue", cloud.Queue(t, "tasks"), "--failed", cloud.Queue(t, "failed"), "--recordings", "s3://recs", "--store", "s3://vod"}
	own := writeFile(t, filepath.Join(folder(t), "profiles.yaml"), profiles+`
- name: container
  chunk: 6s
  ladders:
    - {name: flat, projection: flat, rungs: [{height: 720, crf: 20, maxrate: 5000k, bufsize: 7500k, preset: slower}, {height: 180, crf: 28, maxrate: 500k, bufsize: 750k, preset: ultrafast}]}
`)
	enqueue(t, append([]string{"send", "--as", "talk", "--profile", "container", source(t, "1280x720", fps, 40)}, place...)...)
	start := func(args ...string) container {
		return hardened(t, cloud, "worker", "/scratch", []string{"-v", own + ":/profiles.yaml:ro"},
			append(append([]string{"--profiles", "/profiles.yaml", "--lease", "20s", "--drain", "1s"}, place...), args...))
	}
	first := start()
	first.powerless(t)
	eventually(t, time.Minute, "it is healthy", func() bool { return first.inspect(t, ".State.Health.Status") == "healthy" })
	if log := first.logs(t); !strings.Contains(log, `"ffmpeg_seccomp":true,"ffmpeg_landlock":true`) {
		t.Errorf("in a container, ffmpeg is not isolated:\n%s", log)
	}
	begun := strings.Count(first.logs(t), "part begun")
	var encoders []string
	eventually(t, time.Minute, "it has just begun a chunk", func() bool {
		encoders = first.encoders(t)
		return len(encoders) > 0 && strings.Count(first.logs(t), "part begun") > begun
	})

	began := time.Now()
	docker(t, "stop", "-t", "30", string(first))
	took := time.Since(began)
	if code := first.inspect(t, ".State.ExitCode"); code != "0" || took > 10*time.Second {
		t.Errorf("stopped after %s with status %s", took, code)
	}
	for _, pid := range encoders {
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil && strings.TrimSpace(string(name)) == "ffmpeg" {
			t.Errorf("ffmpeg %s is left", pid)
		}
	}
	if log := first.logs(t); !strings.Contains(log, `"outcome":"interrupted"`) {
		t.Errorf("the first container has handed nothing back:\n%s", log)
	}
	before := status(t, place...)
	if len(before.Jobs) != 1 || before.Jobs[0].State == "published" || before.Queue.Waiting == 0 || before.Failed != 0 {
		t.Fatalf("after the first container: %+v", before)
	}

	second := start("--exit-when-idle")
	if code := second.ended(t); code != "0" {
		t.Errorf("the second container has ended with status %s", code)
	}
	after := status(t, place...)
	if len(after.Jobs) != 1 || after.Jobs[0].State != "published" || after.Failed != 0 || after.Queue.Waiting+after.Queue.InFlight != 0 {
		t.Fatalf("after the second container: %+v", after)
	}
	checkHLS(t, cloud.Endpoint+"/vod/vod/talk/master.m3u8", after.Jobs[0].Duration, []string{"1280x720", "320x180"})
	if version := docker(t, "run", "--rm", "--network", "none", "--entrypoint", "ffmpeg", "afterlive/worker:latest", "-version"); !strings.HasPrefix(version, "ffmpeg version 7.") {
		t.Errorf("the image has %.40s", version)
	}
	t.Logf("stopped after %s", took.Round(10*time.Millisecond))
}

// The live origin in a container: a publisher without the key is refused; what one
// with it streams is served live, recorded, and becomes video on demand.
func TestImageOrigin(t *testing.T) {
	if !*images {
		t.Skip("needs docker: make image-test")
	}
	for _, addr := range []string{"127.0.0.1:1935", "127.0.0.1:8081"} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("the origin's container needs %s: %v", addr, err)
		}
		must(t, listener.Close())
	}
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", true)
	queue, failed := cloud.Queue(t, "tasks"), cloud.Queue(t, "failed")
	place := []string{"--queue", queue, "--failed", failed, "--recordings", "s3://recs", "--store", "s3://vod"}
	data := folder(t)
	for _, dir := range []string{"", "/rec", "/tmp"} {
		must(t, os.MkdirAll(data+dir, 0o755))
		must(t, os.Chown(data+dir, 65532, 65532))
	}
	writeFile(t, data+"/publish.conf", `if ($arg_key != "open-sesame") { return 403; }`)
	origin := hardened(t, cloud, "origin", "/tmp", []string{
		"-v", data + ":/var/lib/afterlive",
		"-e", "AFTERLIVE_QUEUE=" + queue, "-e", "AFTERLIVE_FAILED=" + failed, "-e", "AFTERLIVE_RECORDINGS=s3://recs", "-e", "AFTERLIVE_STORE=s3://vod",
	}, nil)
	origin.powerless(t)
	eventually(t, time.Minute, "it is healthy", func() bool { return origin.inspect(t, ".State.Health.Status") == "healthy" })
	stream := func(key string, seconds int) error {
		return exec.CommandContext(t.Context(), "ffmpeg", "-v", "quiet", "-nostdin", "-re",
			"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=320x180:r=%d", fps), "-f", "lavfi", "-i", "sine=f=440:r=44100", "-t", fmt.Sprint(seconds),
			"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac", "-f", "flv", "rtmp://127.0.0.1:1935/live/talk"+key).Run()
	}
	for _, key := range []string{"", "?key=wrong"} {
		if err := stream(key, 2); err == nil {
			t.Errorf("a publisher with %q was let in", key)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- stream("?key=open-sesame", 12) }()
	eventually(t, 12*time.Second, "the live stream plays", func() bool {
		body, _ := get(t, "http://127.0.0.1:8081/hls/talk/index.m3u8")
		return strings.Contains(body, ".ts")
	})
	must(t, <-ended)
	eventually(t, 10*time.Second, "the recording is enqueued", func() bool { return status(t, place...).Queue.Waiting == 1 })
	worker := hardened(t, cloud, "worker", "/scratch", nil, append([]string{"--exit-when-idle"}, place...))
	if code := worker.ended(t); code != "0" {
		t.Errorf("the worker has ended with status %s", code)
	}
	r := status(t, place...)
	if len(r.Jobs) != 1 || r.Jobs[0].State != "published" {
		t.Fatalf("status %+v", r)
	}
	checkHLS(t, cloud.Endpoint+"/vod/vod/"+r.Jobs[0].Asset+"/master.m3u8", r.Jobs[0].Duration, []string{"320x180"})
	began := time.Now()
	docker(t, "stop", "-t", "30", string(origin))
	if code := origin.inspect(t, ".State.ExitCode"); code != "0" {
		t.Errorf("the origin has stopped after %s with status %s", time.Since(began), code)
	}
}
