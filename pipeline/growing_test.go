package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"afterlive/internal/flv"
	"afterlive/internal/growing"
	"afterlive/internal/job"
	"afterlive/ladder"
)

// recorder is a recording that grows in the store of a pipeline.
type recorder struct {
	p       *Pipeline
	store   *memory
	queue   *messages
	key     string
	profile string
	file    *os.File // that somebody writes
	reader  *os.File
	shipper *growing.Shipper
}

func follow(t *testing.T, key, profile, profiles string) *recorder {
	t.Helper()
	name := filepath.Join(t.TempDir(), "recording.flv")
	file, err := os.Create(name)
	must(t, err)
	reader, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(file.Close(), reader.Close())) })
	store, queue := newMemory(), &messages{}
	p := newPipeline(t, store, queue, profiles)
	p.FFmpeg.Threads = 1
	p.Recordings = growing.Recordings[*memory]{Store: store}
	return &recorder{p: p, store: store, queue: queue, key: key, profile: profile, file: file, reader: reader}
}

// grow adds to the recording, ships what is there and says so. killed: it is another shipper that does.
func (f *recorder) grow(t *testing.T, more []byte, killed bool) {
	t.Helper()
	_, err := f.file.Write(more)
	must(t, err)
	f.ship(t, killed, false)
}

func (f *recorder) ship(t *testing.T, killed, ended bool) {
	t.Helper()
	if f.shipper == nil || killed {
		var err error
		f.shipper, err = growing.Open(t.Context(), f.store, f.key, f.reader, time.Unix(1764000000, 0), "")
		must(t, err)
	}
	must(t, f.shipper.Ship(t.Context(), ended))
	if s := f.shipper.Shipped(); s.Index != nil {
		must(t, f.queue.Send(t.Context(), job.Task{Version: job.Version, Kind: job.Recording, Key: f.key, ETag: s.ID, Profile: f.profile}.Body(), 0))
	}
}

// work does so many of the tasks that wait.
func (f *recorder) work(t *testing.T, n int) {
	t.Helper()
	for range n {
		d := f.queue.take(time.Hour)
		if d == nil {
			return
		}
		tasks, err := job.Parse(d.Body)
		must(t, err)
		if err := f.p.Do(t.Context(), tasks[0], nil); err != nil {
			t.Fatalf("%s: %v", tasks[0].Name(), err)
		}
		must(t, f.queue.Delete(t.Context(), d.Receipt))
	}
}

// end ends the recording, and does all that is left.
func (f *recorder) end(t *testing.T) *ladder.Job {
	t.Helper()
	f.ship(t, false, true)
	drain(t, f.p, f.queue)
	jobs, err := FindJobs(t.Context(), f.store, job.Asset(f.key))
	if err != nil || len(jobs) != 1 || jobs[0].State != Published {
		t.Fatalf("jobs %+v, %v", jobs, err)
	}
	return wholeJob(t, f.store, jobs[0].Job)
}

// whileItGrows transcodes a recording that grows in random pieces, while who ships it is killed now and
// then: like [transcode].
func whileItGrows(seed uint64) func(t *testing.T, recording string, chunk int) (*ladder.Job, string) {
	return func(t *testing.T, recording string, chunk int) (*ladder.Job, string) {
		t.Helper()
		body, err := os.ReadFile(recording)
		must(t, err)
		random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a test
		f := follow(t, "recordings/r.flv", "stitch", fmt.Sprintf(stitchProfile, chunk))
		for most := len(body) / 12; len(body) > 0; {
			n := min(len(body), 1+random.IntN(most))
			f.grow(t, body[:n], random.IntN(3) == 0)
			body = body[n:]
			f.work(t, random.IntN(4))
		}
		plan := f.end(t)
		if !plan.Grows {
			t.Error("it was planned when it had ended")
		}
		for n, c := range plan.Chunks {
			if c.To-c.From > plan.SegmentFrames*4 {
				t.Errorf("chunk %d has frames %v", n, c)
			}
		}
		return plan, export(t, f.store, "vod/r/")
	}
}

// What is made of a recording while it grows is what is made of it when it is whole.
func TestFollowedIsWhole(t *testing.T) {
	for n, s := range []spec{
		{rate: flv.Rate{Num: 30, Den: 1}, seconds: 31, gop: 2, bframes: 2, jitter: true},
		{rate: flv.Rate{Num: 25, Den: 1}, seconds: 37, gop: 8, bframes: 3, open: true, drops: true},
		{rate: flv.Rate{Num: 30000, Den: 1001}, seconds: 26, gop: 3, late: 7.5, jitter: true},
		{rate: flv.Rate{Num: 24, Den: 1}, seconds: 26, gop: 2, bframes: 2, late: 0.4, tail: 14},
	} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			checkStitching(t, s, 6, uint64(n), whileItGrows(uint64(n)))
		})
	}
}
