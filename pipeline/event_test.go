package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"afterlive.alt/hlscheck"
	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/internal/worker"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// growsFor is a recording of so many seconds, in as many pieces.
func growsFor(t *testing.T, seconds int) (pieces [][]byte) {
	t.Helper()
	body := source{seconds: seconds, audio: aacAudio, size: "160x90"}.make(t)
	at := 0
	for _, tag := range split(body) {
		if len(pieces) == 0 || int(tag.at()/1000) >= at {
			pieces = append(pieces, nil)
			at++
		}
		if len(pieces) == 1 && len(pieces[0]) == 0 {
			pieces[0] = slices.Clone(body[:13])
		}
		last := len(pieces) - 1
		pieces[last] = append(pieces[last], tag...)
	}
	return pieces
}

// While a recording grows it can be watched from its start, up to a few seconds ago. At its end the same URL is
// the video on demand; and who still plays the event is told that it has ended.
func TestEvent(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
	pieces := growsFor(t, 50)
	lag := 0.0
	for second, piece := range pieces {
		f.grow(t, piece, false)
		f.work(t, 100)
		if f.offered == 0 {
			continue
		}
		var asset ladder.Asset
		_, err := ledger.Load(t.Context(), f.store, ladder.PointerKey("live/talk"), &asset)
		must(t, err)
		if lag = max(lag, float64(second+1)-asset.Duration); !asset.Live || asset.Began.Unix() != 1764000000 {
			t.Errorf("after %d s: %+v", second, asset)
		}
		if second%10 == 0 {
			checkRules(t, f.store, true)
		}
	}
	if f.offered == 0 || lag > 12 {
		t.Errorf("it could be watched after %d tasks, and was up to %.1f s behind", f.offered, lag)
	}
	if segments := bytes.Count(f.seen[f.anEvent(t)], []byte("#EXTINF")); segments < 7 {
		t.Errorf("%d segments before the end:\n%s", segments, f.seen[f.anEvent(t)])
	}
	whole := f.end(t)
	checkRules(t, f.store, false)
	if event := f.seen[f.anEvent(t)]; !bytes.HasSuffix(event, []byte("#EXT-X-ENDLIST\n")) {
		t.Errorf("the event has not ended:\n%s", event)
	}
	if master, _, err := f.store.Get(ladder.StableMasterKey("live/talk")); err != nil || !bytes.Contains(master, []byte("/index.m3u8")) || bytes.Contains(master, []byte("event")) {
		t.Errorf("the stable playlist is\n%s, %v", master, err)
	}
	for key, n := range f.store.Writes {
		if strings.HasPrefix(key, ladder.PartsPrefix(whole.Job)) && n != 1 {
			t.Errorf("%s was written %d times", key, n)
		}
	}
}

// anEvent is the key of a playlist of the event.
func (f *recorder) anEvent(t *testing.T) string {
	t.Helper()
	for key := range f.seen {
		if strings.HasSuffix(key, "90p/"+ladder.EventPlaylistFile) {
			return key
		}
	}
	t.Fatalf("there is no event: %v", slices.Sorted(maps.Keys(f.seen)))
	return ""
}

// checkRules holds what the stable URL shows against the rules.
func checkRules(t *testing.T, store *testenv.Memory, live bool) {
	t.Helper()
	dir := export(t, store, "vod/live/talk/")
	report, err := hlscheck.Check(t.Context(), hlscheck.Dir(os.DirFS(dir)), ladder.MasterFile, hlscheck.Media)
	must(t, err)
	if err := report.Err(); err != nil {
		t.Errorf("live %t: %v", live, err)
	}
}

// A chunk that is given up while a recording grows leaves a gap in the event, which goes on. Replayed, it is
// in the video on demand.
func TestEventGoesOnBehindAGap(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
	fails := job.Task{Version: job.Version, Kind: job.Chunk, Chunk: 2}
	for _, piece := range growsFor(t, 56) {
		f.grow(t, piece, false)
		f.without(t, &fails)
	}
	event := f.seen[f.anEvent(t)]
	if gaps := bytes.Count(event, []byte("#EXT-X-GAP")); gaps != 1 || bytes.Count(event, []byte("#EXTINF")) < 8 {
		t.Errorf("%d gaps in\n%s", gaps, event)
	}
	checkRules(t, f.store, true)
	f.ship(t, false, true)
	f.without(t, &fails)
	if event := f.seen[f.anEvent(t)]; !bytes.HasSuffix(event, []byte("#EXT-X-ENDLIST\n")) || bytes.Count(event, []byte("#EXT-X-GAP")) != 1 {
		t.Errorf("the event has not ended:\n%s", event)
	}
	jobs, err := catalog.Of(t.Context(), f.store, "live/talk")
	must(t, err)
	if jobs[0].State != catalog.Failed || jobs[0].Task != "chunk-00002" {
		t.Errorf("%+v", jobs[0])
	}
	must(t, f.queue.Send(t.Context(), fails.Body(), 0)) // as replay does
	f.work(t, 10)
	checkRules(t, f.store, false)
	whole := wholeJob(t, f.store, fails.Job)
	if list, _, err := f.store.Get(whole.Key("flat", "90p", ladder.MediaPlaylistFile)); err != nil || bytes.Contains(list, []byte("GAP")) || bytes.Count(list, []byte("#EXTINF")) != 10 {
		t.Errorf("on demand: %v\n%s", err, list)
	}
}

// without does all tasks that wait but one, which is given up.
func (f *recorder) without(t *testing.T, fails *job.Task) {
	t.Helper()
	for d := f.queue.Take(time.Hour); d != nil; d = f.queue.Take(time.Hour) {
		tasks, err := job.Parse(d.Body)
		must(t, err)
		if tasks[0].Kind == fails.Kind && tasks[0].Chunk == fails.Chunk {
			fails.Job = tasks[0].Job
			givenUp(t, f.p, tasks[0], func(context.Context, job.Task, *worker.Lease) error {
				return job.Permanent("ffmpeg_failed", errors.New("it is broken"))
			})
		} else {
			must(t, f.p.Do(t.Context(), tasks[0], nil))
		}
		must(t, f.queue.Delete(t.Context(), d.Receipt))
		f.done++
		f.look(t)
	}
}

// Audio that is brought to another loudness is in the event as it is, and in the video on demand as it should be.
func TestEventBeforeItsLoudness(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "loud", recordedProfile)
	for _, piece := range growsFor(t, 43) {
		f.grow(t, piece, false)
		f.work(t, 100)
	}
	checkRules(t, f.store, true)
	if audio, _, err := f.store.Get(strings.Replace(f.anEvent(t), "flat/90p", "audio/aac", 1)); err != nil || bytes.Count(audio, []byte("#EXTINF")) < 6 {
		t.Errorf("%v\n%s", err, audio)
	}
	whole := f.end(t)
	checkRules(t, f.store, false)
	var loud ladder.Track
	for k := range whole.Chunks {
		var part ladder.Part
		_, err := ledger.Load(t.Context(), f.store, ladder.PartKey(whole.Job, ladder.AudioPart(k)), &part)
		must(t, err)
		loud.Segments, loud.Init, loud.Ladder, loud.Rendition = append(loud.Segments, part.Tracks[0].Segments...), part.Tracks[0].Init, part.Tracks[0].Ladder, part.Tracks[0].Rendition
	}
	list, _, err := f.store.Get(whole.Key("audio", "aac", ladder.MediaPlaylistFile))
	must(t, err)
	for _, s := range loud.Segments {
		if !bytes.Contains(list, []byte(s.URI)) {
			t.Errorf("%s is not in\n%s", s.URI, list)
		}
	}
	if lufs := loudnessOf(t, f.store, whole, loud); math.Abs(lufs+16) > 1 {
		t.Errorf("it is at %.1f LUFS", lufs)
	}
}

// A part costs as many requests to publish when five hundred are before it as when ten are.
func TestRequestsAPart(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
	for _, piece := range growsFor(t, 20) {
		f.grow(t, piece, false)
		f.work(t, 100)
	}
	jobs, err := catalog.Of(t.Context(), f.store, "live/talk")
	must(t, err)
	plan, err := ledger.Plan(t.Context(), f.store, jobs[0].Job)
	must(t, err)
	var part ladder.Part
	_, err = ledger.Load(t.Context(), f.store, ladder.PartKey(plan.Job, ladder.ChunkPart(0)), &part)
	must(t, err)
	delete(f.store.Objects, ladder.LiveKey(plan.Job))
	var requests [501]atomic.Int64
	for n := range 501 {
		part.Name, part.Span = ladder.ChunkPart(n), ladder.Span{From: n * plan.SegmentFrames, To: (n + 1) * plan.SegmentFrames}
		f.store.Put(ladder.PartKey(plan.Job, part.Name), mustJSON(part))
		f.store.Before = func(string, string) error { requests[n].Add(1); return nil }
		must(t, f.p.goOn(t.Context(), plan, nil))
		f.store.Before = nil
	}
	tenth, last := requests[10].Load(), requests[500].Load()
	t.Logf("%d requests for the 10th part, %d for the 500th", tenth, last)
	if tenth == 0 || tenth != last {
		t.Errorf("%d requests for the 10th part, %d for the 500th", tenth, last)
	}
	if event, _, err := f.store.Get(plan.Key("flat", "90p", ladder.EventPlaylistFile)); err != nil || bytes.Count(event, []byte("#EXTINF")) != 501 {
		t.Errorf("%v: %d segments", err, bytes.Count(event, []byte("#EXTINF")))
	}
}

// While a recording grows, all rungs are made of it. What was measured says which of them are on demand.
func TestFitAfterwards(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	const profiles = `
- name: fitted
  fit: true
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 180, crf: 36, maxrate: 2000k, bufsize: 3000k, preset: ultrafast}
        - {height: 144, crf: 18, maxrate: 2000k, bufsize: 3000k, preset: ultrafast}
        - {height: 90, crf: 36, maxrate: 2000k, bufsize: 3000k, preset: ultrafast}
`
	f := follow(t, "recordings/live/talk.flv", "fitted", profiles)
	body := source{seconds: 45, audio: aacAudio}.make(t)
	for n := 0; n < len(body); n += len(body) / 30 {
		f.grow(t, body[n:min(len(body), n+len(body)/30)], false)
		f.work(t, 100)
	}
	event, _, err := f.store.Get(ladder.StableMasterKey("live/talk"))
	if err != nil || bytes.Count(event, []byte("#EXT-X-STREAM-INF")) != 3 {
		t.Errorf("event: %v\n%s", err, event)
	}
	whole := f.end(t)
	checkRules(t, f.store, false)
	var asset ladder.Asset
	_, err = ledger.Load(t.Context(), f.store, ladder.PointerKey("live/talk"), &asset)
	must(t, err)
	if len(asset.Fit) != 3 || asset.Fit[1].Kept || len(asset.Ladders[0].Renditions) != 2 || asset.Ladders[0].Renditions[1].Name != "90p" {
		t.Errorf("%+v\n%+v", asset.Fit, asset.Ladders)
	}
	if _, _, err := f.store.Get(whole.Key("flat", "144p", ladder.MediaPlaylistFile)); err == nil {
		t.Error("144p is on demand")
	}
}

// A recording that grew may end with a frame or two behind its last whole segment: they make a segment that follows on the one before.
func TestEndsJustBehindASegment(t *testing.T) {
	t.Parallel()
	for _, frames := range []int{1, 2} {
		t.Run(fmt.Sprint(frames), func(t *testing.T) {
			f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
			f.grow(t, source{seconds: 13, size: "160x90", video: []string{"-frames:v", fmt.Sprint(2*150 + frames)}}.make(t), false)
			f.work(t, 100)
			whole := f.end(t)
			if whole.Frames != 2*150+frames || whole.Chunks[len(whole.Chunks)-1] != (ladder.Span{From: 300, To: 300 + frames}) {
				t.Fatalf("%d frames in %v", whole.Frames, whole.Chunks)
			}
			checkRules(t, f.store, false)
		})
	}
}
