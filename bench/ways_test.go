package bench

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/ladder"
)

// outcome is what a way to publish a recording took.
type outcome struct {
	wall time.Duration
	cpu  time.Duration // of all processes but servers
	own  time.Duration // of them, the worker's own
	peak int64         // KiB that all of its processes held at once
	disk int64         // bytes that its scratch held at once
	read int64         // bytes of the recording
	plan *ladder.Plan  // what was to be made, where a worker has decided
	bits int64         // of video, in bytes that came of it, I-frames for trick play aside
}

// job is a recording to be published by workers.
type job struct {
	file    string
	profile string
	place   []string             // the flags that say where all is
	there   func() *ladder.Asset // what was published, once it is
	planned func() []byte        // how, where that can be seen
	workers [][]string           // what stands before each one's command
	flags   []string             // of all workers
	watched bool                 // whether memory and scratch count: looking takes time
	data    string               // the folder, where it is to be looked at afterwards
}

// publish does a job, and takes the time from the begin of enqueue to the recording's
// being there.
func publish(b *testing.B, j job) outcome {
	b.Helper()
	scratch := b.TempDir()
	var started []*exec.Cmd
	ended := make(chan error, len(j.workers))
	began := time.Now()
	for _, before := range j.workers {
		args := slices.Concat(before, []string{filepath.Join(bin, "worker"), "--scratch", scratch}, j.place, j.flags)
		cmd := exec.CommandContext(b.Context(), args[0], args[1:]...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.Stderr = logFile(b)
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		started = append(started, cmd)
		go func() { ended <- cmd.Wait() }()
	}
	size := func() (int64, int64) { return 0, 0 }
	if j.watched {
		size = watch(b, scratch, started)
	}
	enqueue := exec.CommandContext(b.Context(), filepath.Join(bin, "enqueue"), slices.Concat([]string{"send", "--as", "bench", "--profile", j.profile}, j.place, []string{j.file})...)
	if out, err := enqueue.CombinedOutput(); err != nil {
		b.Fatalf("enqueue: %v\n%s", err, out)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	asset := j.there()
	for ; asset == nil; asset = j.there() {
		select {
		case <-tick.C:
		case err := <-ended:
			b.Fatalf("a worker has ended: %v\n%s", err, readLog(b, started[0]))
		}
	}
	o := outcome{wall: time.Since(began), cpu: cpuOf(enqueue), read: asset.Effort.Read}
	for _, cmd := range started {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			b.Fatal(err)
		}
	}
	for range started {
		if err := <-ended; err != nil {
			b.Fatalf("worker: %v\n%s", err, readLog(b, started[0]))
		}
	}
	for _, cmd := range started {
		o.cpu += cpuOf(cmd)
	}
	o.own = o.cpu - time.Duration(asset.Effort.CPU*float64(time.Second))
	o.peak, o.disk = size()
	if j.planned != nil {
		o.plan = &ladder.Plan{}
		if err := json.Unmarshal(j.planned(), o.plan); err != nil {
			b.Fatal(err)
		}
	}
	for _, r := range asset.Ladders[0].Renditions {
		o.bits += int64(float64(r.Average) * asset.Duration / 8)
	}
	return o
}

func logFile(b *testing.B) *os.File {
	b.Helper()
	f, err := os.CreateTemp(b.TempDir(), "log-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() }) // read before, if at all
	return f
}

func readLog(b *testing.B, cmd *exec.Cmd) string {
	b.Helper()
	if f, ok := cmd.Stderr.(*os.File); ok {
		if body, err := os.ReadFile(f.Name()); err == nil {
			return string(body[max(0, len(body)-2000):])
		}
	}
	return ""
}

// cpuOf is the processor time of a process and of those that it has started.
func cpuOf(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// alone is a worker that has the whole machine.
var alone = [][]string{{"env"}}

// embedded publishes in a folder.
func embedded(b *testing.B, j job) outcome {
	b.Helper()
	data := cmp.Or(j.data, b.TempDir())
	j.place, j.there = []string{"--data", data}, inFolder(data)
	j.planned = func() []byte {
		found, err := filepath.Glob(data + "/jobs/*/plan.json")
		if err != nil || len(found) != 1 {
			b.Fatalf("plans %q, %v", found, err)
		}
		body, err := os.ReadFile(found[0])
		if err != nil {
			b.Fatal(err)
		}
		return body
	}
	if j.workers == nil {
		j.workers = alone
	}
	if j.profile == "" {
		j.profile = ladder.Auto
	}
	return publish(b, j)
}

func inFolder(data string) func() *ladder.Asset {
	return func() *ladder.Asset {
		body, err := os.ReadFile(data + "/vod/bench/asset.json")
		if err != nil {
			return nil
		}
		return parseAsset(body)
	}
}

func parseAsset(body []byte) *ladder.Asset {
	var a ladder.Asset
	if err := json.Unmarshal(body, &a); err != nil {
		return nil // half written; objects are whole, so it is not
	}
	return &a
}

// planned is a plan and its chunks.
type planned struct {
	*ladder.Plan

	chunks []ladder.Chunk
}

// planOf is how afterlive would publish a recording, but in one piece.
func planOf(b *testing.B, file string, change func(*ladder.Profile)) planned {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	index, err := flv.Scan(f)
	if err != nil {
		b.Fatal(err)
	}
	all, err := ladder.ParseProfiles(nil)
	if err != nil {
		b.Fatal(err)
	}
	profile, err := all.Choose(ladder.Auto, index)
	if err != nil {
		b.Fatal(err)
	}
	profile.Chunk = 1000 * time.Hour
	if change != nil {
		change(&profile)
	}
	plan, err := ladder.New(index, profile, ladder.Trim{})
	if err != nil {
		b.Fatal(err)
	}
	chunks := plan.Due(index, nil)
	return planned{plan, chunks}
}

// ffmpeg runs it in a new folder, with folders for the outputs of args.
func ffmpeg(b *testing.B, args []string, stdin []byte) (outcome, string) {
	b.Helper()
	dir := b.TempDir()
	for _, folder := range ladder.Folders(args) {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.CommandContext(b.Context(), "ffmpeg", append([]string{"-v", "error", "-y"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	cmd.Stderr = logFile(b)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	size := watch(b, "", []*exec.Cmd{cmd})
	if err := cmd.Wait(); err != nil {
		b.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, readLog(b, cmd))
	}
	o := outcome{wall: time.Since(began), cpu: cpuOf(cmd)}
	o.peak, _ = size()
	return o, dir
}

// oneProcess is a single ffmpeg that makes the same renditions, from local disk to
// local disk, as one would call it by hand.
func oneProcess(b *testing.B, file string, plan planned) outcome {
	b.Helper()
	args := []string{"-nostdin", "-i", file}
	args = append(args, behindInput(plan.ChunkArgs(plan.chunks[0], 0))...)
	if plan.Audio != nil {
		for _, r := range plan.Audio.Renditions {
			args = append(args, "-map", "0:a:0", "-af", "aresample=async=1000", "-c:a", "aac", "-b:a", fmt.Sprint(int(r.Bitrate)), "-ac", "2", r.Name+".m4a")
		}
	}
	o, dir := ffmpeg(b, args, nil)
	o.bits = bytesOf(b, dir, plan.Plan)
	return o
}

// behindInput leaves out how a part's input is read.
func behindInput(args []string) []string { return args[slices.Index(args, "-filter_complex"):] }

// bytesOf is what the video's renditions take.
func bytesOf(b *testing.B, dir string, plan *ladder.Plan) (total int64) {
	b.Helper()
	for _, r := range plan.Ladders[0].Renditions {
		segments, err := filepath.Glob(filepath.Join(dir, plan.Ladders[0].Name, r.Name, "*.m4s"))
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range segments {
			info, err := os.Stat(s)
			if err != nil {
				b.Fatal(err)
			}
			total += info.Size()
		}
	}
	return total
}

// rungByRung is one process for each rendition, and one for the audio.
func rungByRung(b *testing.B, file string, whole planned) outcome {
	b.Helper()
	var all outcome
	began := time.Now()
	for i := range whole.Ladders[0].Renditions {
		plan, l := *whole.Plan, whole.Ladders[0]
		l.Renditions = l.Renditions[i : i+1]
		if i > 0 {
			l.IFrames, plan.Audio, plan.Storyboard = nil, nil, nil
		}
		plan.Ladders = []ladder.Ladder{l}
		o := oneProcess(b, file, planned{&plan, whole.chunks})
		all.cpu += o.cpu
		all.bits += o.bits
		all.peak = max(all.peak, o.peak)
	}
	all.wall = time.Since(began)
	return all
}

func name(file string) string { return strings.TrimSuffix(filepath.Base(file), ".flv") }
