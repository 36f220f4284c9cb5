package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// recorder is a recording that grows in the store of a pipeline.
type recorder struct {
	p       *Pipeline
	store   *testenv.Memory
	queue   *testenv.Messages
	key     string
	profile string
	file    *os.File // that somebody writes
	reader  *os.File
	shipper *growing.Shipper
	seen    map[string][]byte // of what only grows, by key
	offered int               // tasks that were done when it could be watched
	done    int
}

func follow(t *testing.T, key, profile, profiles string) *recorder {
	t.Helper()
	name := filepath.Join(t.TempDir(), "recording.flv")
	file, err := os.Create(name)
	must(t, err)
	reader, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(file.Close(), reader.Close())) })
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	p := newPipeline(t, store, queue, profiles)
	p.FFmpeg.Threads = 1
	p.Recordings = growing.Recordings{Store: store}
	return &recorder{p: p, store: store, queue: queue, key: key, profile: profile, file: file, reader: reader, seen: map[string][]byte{}}
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
		d := f.queue.Take(time.Hour)
		if d == nil {
			return
		}
		tasks, err := job.Parse(d.Body)
		must(t, err)
		if err := f.p.Do(t.Context(), tasks[0], nil); err != nil {
			t.Fatalf("%s: %v", tasks[0].Name(), err)
		}
		must(t, f.queue.Delete(t.Context(), d.Receipt))
		f.done++
		f.look(t)
	}
}

// look looks at the event as a player does that polls: what it has seen stays, what a playlist names is there, and
// the rules for events are kept.
func (f *recorder) look(t *testing.T) {
	t.Helper()
	for key := range f.store.Objects {
		if name := path.Base(key); name != ladder.EventPlaylistFile && name != ladder.EventStoryboardFile {
			continue
		}
		body, _, err := f.store.Get(key)
		must(t, err)
		before := bytes.TrimSuffix(f.seen[key], []byte("#EXT-X-ENDLIST\n"))
		if !bytes.HasPrefix(body, before) && path.Ext(key) == ".m3u8" || len(body) < len(before) {
			t.Errorf("%s was\n%s\nand is\n%s", key, before, body)
		}
		f.seen[key] = body
	}
	asset := job.Asset(f.key)
	if _, _, err := f.store.Get(ladder.StableMasterKey(asset)); err != nil {
		return
	}
	if f.offered == 0 {
		f.offered = f.done
	}
	if problem := reachable(f.store, ladder.StableMasterKey(asset)); problem != "" {
		t.Error(problem)
	}
}

// end ends the recording, and does all that is left.
func (f *recorder) end(t *testing.T) *ladder.Job {
	t.Helper()
	f.ship(t, false, true)
	f.work(t, 1000)
	jobs, err := catalog.Of(t.Context(), f.store, job.Asset(f.key))
	if err != nil || len(jobs) != 1 || jobs[0].State != catalog.Published {
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
	testenv.InTurn(t)
	for n, s := range []spec{
		{rate: flv.Rate{Num: 30, Den: 1}, seconds: 31, gop: 2, bframes: 2, jitter: true},
		{rate: flv.Rate{Num: 25, Den: 1}, seconds: 37, gop: 8, bframes: 3, open: true, drops: true},
		{rate: flv.Rate{Num: 30000, Den: 1001}, seconds: 26, gop: 3, late: 7.5, jitter: true},
		{rate: flv.Rate{Num: 24, Den: 1}, seconds: 26, gop: 2, bframes: 2, late: 0.4, tail: 14},
	} {
		if !chosen(n, 2) {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			checkStitching(t, s, 6, uint64(n), whileItGrows(uint64(n)))
		})
	}
}

// Where a recording's head was not like the rest, nothing that was decided by it is final: the event goes on as
// it began, and the video on demand is planned from the whole.
func TestHeadMisleads(t *testing.T) {
	testenv.InTurn(t)
	slate := source{seconds: 18, size: "160x90", rate: "10", audio: aacAudio}.make(t)
	show := source{seconds: 26, size: "320x180", rate: "25", audio: aacAudio}.make(t)
	for n, tc := range []struct {
		name      string
		recording []byte
		why       string
		width     int
		rate      float64
	}{
		{"a slate of another size", inBand(source{seconds: 13, size: "160x90", audio: aacAudio}.make(t), show, 13_000), "its head is 160x90", 320, 25},
		{"another rate", inBand(source{seconds: 13, size: "320x180", rate: "10", audio: aacAudio}.make(t), show, 13_000), "frames a second", 320, 25},
		{"the video comes late", followed(without(slate, func(f flvTag) bool { return f.kind() != 8 }), show), "its head has no video", 320, 25},
	} {
		if !chosen(n, 3) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
			for body := tc.recording; len(body) > 0; {
				n := min(len(body), len(tc.recording)/150)
				f.grow(t, body[:n], false)
				body = body[n:]
				f.work(t, 100)
			}
			f.ship(t, false, true)
			f.work(t, 1000)
			jobs, err := catalog.Of(t.Context(), f.store, "live/talk")
			must(t, err)
			if len(jobs) != 2 || jobs[0].State != catalog.Superseded || jobs[1].State != catalog.Published {
				t.Fatalf("%+v", jobs)
			}
			head, whole := wholeJob(t, f.store, jobs[0].Job), wholeJob(t, f.store, jobs[1].Job)
			if !head.Grows || whole.Grows || !strings.Contains(head.Replan, tc.why) || whole.Source.Width != tc.width || whole.Rate.FPS() < tc.rate {
				t.Errorf("head %+v, %q\nwhole %+v", head.Source, head.Replan, whole.Source)
			}
			for key := range f.store.Objects {
				if strings.HasPrefix(key, head.Key()+"/") && path.Base(key) == ladder.MediaPlaylistFile {
					t.Errorf("%s was published", key)
				}
			}
			checkRules(t, f.store, false)
			if event, _, err := f.store.Get(head.Key("flat", "90p", ladder.EventPlaylistFile)); tc.name == "a slate of another size" && (err != nil || !bytes.HasSuffix(event, []byte("#EXT-X-ENDLIST\n"))) {
				t.Errorf("the event has not ended: %v\n%s", err, event)
			}
		})
	}
}

// Recordings whose clocks jump, wrap or begin late, or that end torn, are followed as they are done when they are whole.
func TestFollowedDamage(t *testing.T) {
	for n, d := range damages[1:] {
		if !chosen(n, 6) {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := source{seconds: 21, audio: aacAudio, video: []string{"-preset", "veryfast", "-bf", "2"}}
			d.set(&s)
			recording := s.make(t)
			out := publishGrowing(t, recording)
			if !out.plan.Grows || out.plan.Replan != "" {
				t.Errorf("grows %t, planned anew: %q", out.plan.Grows, out.plan.Replan)
			}
			like(t, out, recording)
			sameLength(t, out, recording)
		})
	}
}

// publishGrowing does a recording while it grows in random pieces: like [publish].
func publishGrowing(t *testing.T, recording []byte) outcome {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(len(recording)), 3)) //nolint:gosec // a test
	f := follow(t, smallTask.Key, "recorded", recordedProfile)
	for body, most := recording, len(recording)/12; len(body) > 0; {
		n := min(len(body), 1+random.IntN(most))
		f.grow(t, body[:n], random.IntN(3) == 0)
		body = body[n:]
		f.work(t, random.IntN(4))
	}
	out := outcome{plan: f.end(t), store: f.store}
	_, err := ledger.Load(t.Context(), f.store, ladder.PointerKey(out.plan.Asset), &out.asset)
	must(t, err)
	out.folder = filepath.Join(export(t, f.store, "vod/"+out.plan.Asset+"/"), out.plan.Job)
	return out
}

// Recordings in which video and audio are apart, or pause, become the same when they are followed as when they are
// whole.
func TestFollowedApart(t *testing.T) {
	testenv.InTurn(t)
	audio := func(f func(tag flvTag) (flvTag, bool)) func([]byte) []byte {
		return func(b []byte) []byte {
			var out []flvTag
			for _, tag := range split(b) {
				keep := true
				if tag.kind() == 8 {
					tag, keep = f(tag)
				}
				if keep {
					out = append(out, tag)
				}
			}
			return joined(out...)
		}
	}
	pause := func(from, to uint32) func(flvTag) (flvTag, bool) {
		return func(tag flvTag) (flvTag, bool) { return tag, tag.at() < from || tag.at() >= to }
	}
	for n, tc := range []struct {
		name string
		source
	}{
		{"the audio is 15 s ahead", source{seconds: 24, alter: audio(func(tag flvTag) (flvTag, bool) { return tag.moved(tag.at() + 15_000), true })}},
		{"the audio pauses for 20 s", source{seconds: 36, alter: audio(pause(9_500, 29_500))}},
		{"the audio ends", source{seconds: 36, alter: audio(pause(9_500, 99_000))}},
		{"it ends a frame behind a chunk", source{seconds: 30, rate: "60000/1001", video: []string{"-t", "24.0407"}}},
	} {
		if !chosen(n, 4) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := tc.source
			s.size, s.audio = "160x90", aacAudio
			recording := s.make(t)
			whole, err := publish(t, recording, "")
			must(t, err)
			grown := publishGrowing(t, recording)
			if !grown.plan.Grows || grown.plan.Replan != "" || grown.plan.Frames != whole.plan.Frames {
				t.Errorf("%d frames, as a whole %d; planned anew: %q", grown.plan.Frames, whole.plan.Frames, grown.plan.Replan)
			}
			near := func(what string, a, b []float64) {
				if len(a) != len(b) {
					t.Errorf("%s at %v, as a whole at %v", what, a, b)
					return
				}
				for i := range a {
					if math.Abs(a[i]-b[i]) > 0.03 {
						t.Errorf("%s at %v, as a whole at %v", what, a, b)
						return
					}
				}
			}
			a, _, _ := frames(t, grown.top(t), "bt709")
			b, _, _ := frames(t, whole.top(t), "bt709")
			near("flashes", flashes(a), flashes(b))
			near("beeps", beepTimes(t, grown.file(t, "audio/aac")), beepTimes(t, whole.file(t, "audio/aac")))
		})
	}
}

// A recorder that is gone, and its disk with it, without a word: the recording ends with what there is, once nothing has
// come for long enough, and says so. One that only paused goes on.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
	f.p.Abandon = time.Minute
	watch := job.Task{Kind: job.Recording, Key: f.key, Profile: "recorded", Failures: 3}
	every := 5
	watched := func(seen int64, silent time.Duration) (next *job.Task) {
		t.Helper()
		watch.Watch.Seen, watch.Watch.Since, watch.Watch.Every = seen, time.Now().Add(-silent), every
		must(t, f.p.Do(t.Context(), watch, nil))
		for _, body := range f.queue.Clear() {
			tasks, err := job.Parse([]byte(body))
			must(t, err)
			if tasks[0].Watch.Since.IsZero() {
				must(t, f.queue.Send(t.Context(), []byte(body), 0))
			} else {
				next = &tasks[0]
			}
		}
		f.work(t, 1000)
		if next != nil {
			watch.Watch.Look = next.Watch.Look
		}
		return next
	}
	if next := watched(0, time.Minute); next == nil || next.Watch.Seen != 0 || next.Failures != 0 {
		t.Errorf("nothing has come yet, and the next look is %+v", next)
	}
	pieces := growsFor(t, 22)
	for _, piece := range pieces[:20] {
		f.grow(t, piece, false)
	}
	state, _, err := growing.Load(t.Context(), f.store, f.key)
	must(t, err)
	if next := watched(state.End-1, time.Hour); next == nil || next.Watch.Seen != state.End || time.Since(next.Watch.Since) > time.Minute {
		t.Errorf("it has grown, and the next look is %+v", next)
	}
	if next := watched(state.End, 30*time.Second); next == nil || next.Watch.Seen != state.End || time.Since(next.Watch.Since) < 30*time.Second {
		t.Errorf("it may go on, and the next look is %+v", next)
	}
	watch.Watch.Look-- // it is delivered once more
	if next := watched(state.End, 30*time.Second); next != nil {
		t.Errorf("a copy of a look is followed by another: %+v", next)
	}
	watch.Watch.Look++
	every = 40
	if next := watched(state.End, time.Minute); next == nil {
		t.Error("it is abandoned though its recorder brings something every 40 s")
	}
	every = 5
	must(t, f.shipper.Wait(t.Context(), time.Now().Add(20*time.Minute)))
	if next := watched(state.End, time.Hour); next == nil {
		t.Error("it is abandoned though its publisher may come back for 20 minutes")
	}
	if _, err := growing.AskToEnd(t.Context(), f.store, f.key); err != nil { // nobody waits any more, and its recorder should have seen that
		t.Fatal(err)
	}
	if next := watched(state.End, time.Minute); next != nil {
		t.Errorf("it is abandoned, and the next look is %+v", next)
	}
	checkRules(t, f.store, false)
	var asset ladder.Asset
	_, err = ledger.Load(t.Context(), f.store, ladder.PointerKey("live/talk"), &asset)
	must(t, err)
	if asset.Live || !asset.Abandoned || !asset.Waiting.IsZero() || asset.Duration < 18 {
		t.Errorf("%+v", asset)
	}
	if next := watched(state.End, time.Hour); next != nil {
		t.Errorf("it was abandoned before, and the next look is %+v", next)
	}
}
