package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"afterlive.alt/ladder"
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

// What the profiles' largest recordings cost, with every rung: the simulation reckons
// with these.
func BenchmarkCosts(b *testing.B) {
	const seconds = 12
	profiles, err := ladder.ParseProfiles(nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, c := range []struct{ profile, filter, rate string }{
			{"flat", drift(1920, 1080), "6M"},
			{"360", "null", "25M"},
		} {
			file := filepath.Join(made, fmt.Sprintf("largest-%s-%ds.flv", c.profile, seconds))
			unlessMade(b, file, fmt.Sprintf("ffmpeg -v error -nostdin -y -stream_loop -1 -i %s -t %d -vf %s "+
				"-c:v libx264 -preset ultrafast -b:v %s -g 60 -f flv $OUT", planet(b, 3840), seconds, c.filter, c.rate))
			recording, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			plan := planOf(b, file, func(p *ladder.Profile) {
				whole := p.Chunk
				*p = profiles[c.profile]
				p.Chunk = whole
			})
			o := inChunks(b, recording, plan)
			subject := fmt.Sprintf("profile %s, %dx%d", c.profile, plan.Source.Width, plan.Source.Height)
			report(b, "cost", subject, "processor time / length of the recording", o.cpu.Seconds()/seconds, "")
		}
	}
}

// What memory and scratch a recording of two hours takes, against one of a minute, in one
// slot and in chunks of one length: those of a short recording would be shorter.
func BenchmarkFlat(b *testing.B) {
	profile := variant(b, "even", "  ladders:", "  chunk: 30s\n  ladders:")
	for b.Loop() {
		do := func(minutes int) outcome {
			return embedded(b, job{file: bars(b, "416x234", 15, 60*minutes), profile: "even", flags: []string{"--profiles", profile, "--slots", "1"}, watched: true})
		}
		var short outcome
		for range 10 { // each is over before much was looked at
			one := do(1)
			short.peak, short.disk = max(short.peak, one.peak), max(short.disk, one.disk)
		}
		long := do(120)
		report(b, "2 h against 1 min", "memory of worker and encoders", "at most / at most", float64(long.peak)/float64(short.peak), "<= 1.25")
		report(b, "2 h against 1 min", "scratch", "at most / at most", float64(long.disk)/float64(short.disk), "<= 1.25")
	}
}
