package pipeline

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterlive/internal/flv"
	"afterlive/ladder"
)

// Everything is run with fewFrames and with manyFrames, and the difference counts:
// v360 takes seconds to start, once a chunk.
const fewFrames, manyFrames = 8, 56

// bench4K makes an equirectangular recording of 3840x1920.
func bench4K(b *testing.B, frames int) (recording []byte, index *flv.Index) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "sphere.flv")
	out, err := exec.CommandContext(b.Context(), "ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=s=3840x1920:r=24",
		"-frames:v", fmt.Sprint(frames), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-g", "48", "-f", "flv", file).CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	if recording, err = os.ReadFile(file); err != nil {
		b.Fatal(err)
	}
	if index, err = flv.Scan(bytes.NewReader(recording)); err != nil {
		b.Fatal(err)
	}
	return recording, index
}

// cost runs ffmpeg and returns its processor time and its peak memory in KiB.
func cost(b *testing.B, input []byte, args []string) (cpu time.Duration, peak int64) {
	b.Helper()
	dir := b.TempDir()
	for _, folder := range ladder.Folders(args) {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.CommandContext(b.Context(), "ffmpeg", append([]string{"-v", "error", "-y"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		b.Skip("this system doesn't tell what a process used")
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Maxrss
}

// measure reports what a frame costs, also against base, which is 0 for the first,
// and returns it. run is given a number of frames.
func measure(b *testing.B, base time.Duration, against string, run func(frames int) (time.Duration, int64)) time.Duration {
	b.Helper()
	var total time.Duration
	var most int64
	for b.Loop() {
		few, _ := run(fewFrames)
		many, peak := run(manyFrames)
		total, most = total+(many-few)/(manyFrames-fewFrames), max(most, peak)
	}
	frame := total / time.Duration(b.N)
	if base == 0 {
		base = frame
	}
	b.ReportMetric(0, "ns/op") // a run's length says nothing
	b.ReportMetric(float64(frame.Microseconds())/1000, "cpu-ms/frame")
	b.ReportMetric(float64(frame)/float64(base), against)
	b.ReportMetric(float64(most)/1024, "peak-MB")
	return frame
}

// What a projection costs, against the profile "360": processor time for every frame
// of 3840x1920, all renditions encoded, and peak memory.
func BenchmarkProfiles(b *testing.B) {
	profiles, err := ladder.ParseProfiles([]byte(linearProfile))
	if err != nil {
		b.Fatal(err)
	}
	recordings, indexes := map[int][]byte{}, map[int]*flv.Index{}
	for _, n := range []int{fewFrames, manyFrames} {
		recordings[n], indexes[n] = bench4K(b, n)
	}
	var base time.Duration
	for _, name := range []string{"360", "cubemap-linear", "cubemap", "eac", "compare"} {
		b.Run(name, func(b *testing.B) {
			frame := measure(b, base, "x-360", func(frames int) (time.Duration, int64) {
				plan, err := ladder.New(indexes[frames], profiles[name])
				if err != nil {
					b.Fatal(err)
				}
				return cost(b, recordings[frames], plan.ChunkArgs(0, 0))
			})
			base = cmp.Or(base, frame)
		})
	}
}

// linearProfile is the built-in cubemap, interpolated linearly.
const linearProfile = `
- name: cubemap-linear
  ladders:
    - name: cubemap
      projection: cubemap
      interpolation: linear
      rungs:
        - {face: 960, crf: 22, maxrate: 12000k, bufsize: 18000k, preset: veryfast}
        - {face: 640, crf: 22, maxrate: 7000k, bufsize: 10500k, preset: veryfast}
        - {face: 480, crf: 22, maxrate: 4200k, bufsize: 6300k, preset: faster}
        - {face: 320, crf: 23, maxrate: 2000k, bufsize: 3000k, preset: fast}
        - {face: 240, crf: 24, maxrate: 1000k, bufsize: 1500k, preset: fast}
        - {face: 160, crf: 25, maxrate: 500k, bufsize: 750k, preset: fast}
`

// The ways to make a cubemap's renditions, filters alone, against ours of the same
// interpolation: once at the largest size, then scaled.
func BenchmarkCubemapFilters(b *testing.B) {
	faces := []int{960, 720, 576, 384, 256, 192}
	once := func(interpolation string) string {
		graph := fmt.Sprintf("v360=e:c3x2:interp=%s:w=2880:h=1920,split=%d%s", interpolation, len(faces), each(faces, "[s%d]"))
		for _, f := range faces {
			graph += fmt.Sprintf(";[s%d]scale=%d:%d:flags=bicubic[o%[1]d]", f, 3*f, 2*f)
		}
		return graph
	}
	perRung := func(interpolation string) string {
		graph := fmt.Sprintf("split=%d%s", len(faces), each(faces, "[s%d]"))
		for _, f := range faces {
			graph += fmt.Sprintf(";[s%d]v360=e:c3x2:interp=%s:w=%d:h=%d[o%[1]d]", f, interpolation, 3*f, 2*f)
		}
		return graph
	}
	scaledFirst := fmt.Sprintf("split=%d%s", len(faces), each(faces, "[s%d]"))
	for _, f := range faces {
		scaledFirst += fmt.Sprintf(";[s%d]scale=%d:%d:flags=bicubic,v360=e:c3x2:interp=cubic:w=%d:h=%d[o%[1]d]", f, 4*f, 2*f, 3*f, 2*f)
	}
	var base time.Duration
	for _, way := range []struct{ name, graph string }{
		{"once-cubic", once("cubic")}, {"each-cubic", perRung("cubic")}, {"scaled-first-cubic", scaledFirst},
		{"once-linear", once("linear")}, {"each-linear", perRung("linear")},
	} {
		b.Run(way.name, func(b *testing.B) {
			if strings.HasPrefix(way.name, "once") {
				base = 0 // that of its interpolation
			}
			frame := measure(b, base, "x-once", func(frames int) (time.Duration, int64) {
				args := []string{"-f", "lavfi", "-i", "color=gray:s=3840x1920:r=24,format=yuv420p", "-filter_complex", "[0:v]" + way.graph}
				for _, f := range faces {
					args = append(args, "-map", fmt.Sprintf("[o%d]", f), "-frames:v", fmt.Sprint(frames), "-f", "null", "-")
				}
				return cost(b, nil, args)
			})
			base = cmp.Or(base, frame)
		})
	}
}

func each(faces []int, format string) string {
	var all strings.Builder
	for _, f := range faces {
		fmt.Fprintf(&all, format, f)
	}
	return all.String()
}
