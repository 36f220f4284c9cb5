package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// How much sooner a recording of ten minutes is there with a second worker. Each has
// one core.
func BenchmarkWorkers(b *testing.B) {
	for b.Loop() {
		file := bars(b, "960x540", 30, 600)
		core := func(n int) []string { return []string{"taskset", "-c", fmt.Sprint(n)} }
		one := embedded(b, job{file: file, workers: [][]string{core(0)}})
		two := embedded(b, job{file: file, workers: [][]string{core(0), core(1)}})
		report(b, "workers of one core", "10 min", "time of one / time of two", one.wall.Seconds()/two.wall.Seconds(), ">= 1.9")
	}
}

// How long it takes until a recording is there, against how long it is, with one slot
// of many threads and with a slot for every core.
func BenchmarkLength(b *testing.B) {
	for b.Loop() {
		for _, seconds := range []int{30, 60, 120, 240, 480} {
			file := bars(b, "640x360", 30, seconds)
			one := embedded(b, job{file: file, flags: []string{"--slots", "1"}})
			two := embedded(b, job{file: file, flags: []string{"--slots", "2"}})
			subject := fmt.Sprintf("%d s", seconds)
			report(b, "time to VOD", subject, "time with 1 slot / length", one.wall.Seconds()/float64(seconds), "")
			report(b, "time to VOD", subject, "time with 2 slots / time with 1", two.wall.Seconds()/one.wall.Seconds(), "")
		}
	}
}

// What memory and scratch a recording of two hours takes, against one of a minute.
func BenchmarkFlat(b *testing.B) {
	profile := filepath.Join(b.TempDir(), "own.yaml")
	const own = `
- name: small
  chunk: 30s # as of a short recording: those of a long one are longer, and need more room
  ladders:
    - name: flat
      projection: flat
      rungs: [{height: 90, crf: 30, maxrate: 200k, bufsize: 300k, preset: ultrafast}]
`
	if err := os.WriteFile(profile, []byte(own), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		do := func(minutes int) outcome {
			return embedded(b, job{file: bars(b, "160x90", 10, 60*minutes), profile: "small", flags: []string{"--profiles", profile}})
		}
		var short outcome
		for range 20 { // each is over before much was looked at
			one := do(1)
			short.peak, short.disk = max(short.peak, one.peak), max(short.disk, one.disk)
		}
		long := do(120)
		report(b, "2 h against 1 min", "memory of worker and encoders", "at most / at most", float64(long.peak)/float64(short.peak), "<= 1.25")
		report(b, "2 h against 1 min", "scratch", "at most / at most", float64(long.disk)/float64(short.disk), "<= 1.25")
	}
}
