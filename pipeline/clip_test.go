package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"afterlive.alt/hlscheck"
	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// clipped is a store with an asset to cut from.
type clipped struct {
	*Pipeline

	store *testenv.Memory
	queue *testenv.Messages
	asset string
	job   *ladder.Job
}

// toClip publishes a recording with a profile.
func toClip(t *testing.T, key string, recording []byte, profiles, profile string) *clipped {
	t.Helper()
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(key, recording)
	c := &clipped{newPipeline(t, store, queue, profiles), store, queue, job.Asset(key), nil}
	must(t, c.Do(t.Context(), job.Task{Kind: job.Recording, Key: key, Profile: profile}, nil))
	drain(t, c.Pipeline, queue)
	c.job = c.published(t, c.asset)
	return c
}

// published is the job that an asset is.
func (c *clipped) published(t *testing.T, asset string) *ladder.Job {
	t.Helper()
	var pointer ladder.Asset
	_, err := ledger.Load(t.Context(), c.store, ladder.PointerKey(asset), &pointer)
	must(t, err)
	return wholeJob(t, c.store, pointer.Job)
}

func (c *clipped) clipper() Clipper {
	return Clipper{Store: c.store, Recordings: c.store, Queue: c.queue}
}

// clip makes one, and has workers do what is to be done for it.
func (c *clipped) clip(t *testing.T, w ClipWish) (*Clipped, *ladder.Job) {
	t.Helper()
	w.Asset = c.asset
	made, err := c.clipper().Clip(t.Context(), w)
	must(t, err)
	if tasks := len(c.queue.Bodies()); tasks != made.Encodes {
		t.Errorf("%d tasks were sent, %d announced", tasks, made.Encodes)
	}
	drain(t, c.Pipeline, c.queue)
	return made, c.published(t, made.Asset)
}

// check holds a clip against Apple's rules, and returns the folder of its result, beside the asset's, and where that is served.
func (c *clipped) check(t *testing.T, clip *ladder.Job) (folder, address string) {
	t.Helper()
	dir := export(t, c.store, "vod/")
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	report, err := hlscheck.Check(t.Context(), hlscheck.Dir(os.DirFS(dir)), path.Join(clip.Asset, ladder.MasterFile), hlscheck.Media)
	must(t, err)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if garbage, err := operate.Garbage(t.Context(), c.store, clip.Job); err != nil || len(garbage) > 0 {
		t.Errorf("garbage %v, %v", garbage, err)
	}
	return filepath.Join(dir, filepath.FromSlash(clip.Asset), clip.Job), server.URL + (&url.URL{Path: path.Join("/", clip.Asset, clip.Job)}).String()
}

// own are the segments of a rendition that a clip has made itself.
func own(t *testing.T, folder, group, rendition string) (n int) {
	t.Helper()
	for _, pattern := range []string{"*.m4s", "*.ts"} {
		files, err := filepath.Glob(filepath.Join(folder, group, rendition, pattern))
		must(t, err)
		n += len(files)
	}
	return n
}

var long = spec{rate: flv.Rate{Num: 25, Den: 1}, seconds: 31, gop: 2, bframes: 2}

// A clip has exactly the frames that are asked for, and the audio of their time. What is whole within it is not encoded again.
func TestClip(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	recording, err := os.ReadFile(long.make(t, 0))
	must(t, err)
	c := toClip(t, "recordings/live/50% of a talk.flv", recording, fmt.Sprintf(stitchProfile, 12), "stitch")
	second := 25
	for _, tc := range []struct {
		name     string
		from, to time.Duration
		segments bool
		want     ladder.Span
		encodes  int
	}{
		{"both ends within segments", 7*time.Second + 400*time.Millisecond, 25 * time.Second, false, ladder.Span{From: 185, To: 625}, 2},
		{"begins with a segment", 12 * time.Second, 20 * time.Second, false, ladder.Span{From: 12 * second, To: 20 * second}, 1},
		{"ends with the asset", 3 * time.Second, 0, false, ladder.Span{From: 3 * second, To: c.job.Frames}, 1},
		{"within one segment", 13 * time.Second, 16 * time.Second, false, ladder.Span{From: 13 * second, To: 16 * second}, 1},
		{"two ends, and nothing between", 16 * time.Second, 20 * time.Second, false, ladder.Span{From: 16 * second, To: 20 * second}, 2},
		{"at segments", 13 * time.Second, 25 * time.Second, true, ladder.Span{From: 12 * second, To: 30 * second}, 0},
		{"a frame before a segment, and one behind", 11*time.Second + 960*time.Millisecond, 24*time.Second + 40*time.Millisecond, false, ladder.Span{From: 299, To: 601}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			made, clip := c.clip(t, ClipWish{From: tc.from, To: tc.to, Segments: tc.segments, As: "clips/" + strings.NewReplacer(" ", "-", ",", "").Replace(tc.name)})
			if made.Encodes != tc.encodes || clip.Frames != tc.want.To-tc.want.From || math.Abs(made.From-float64(tc.want.From)/25) > 1e-6 {
				t.Errorf("made %+v, %d frames", made, clip.Frames)
			}
			folder, address := c.check(t, clip)
			checkClip(t, folder, address, clip, tc.want, tc.encodes)
			audio := address + "/audio/aac/index.m3u8"
			begin := packets(t, audio, "a")[0].PTS - ladder.StartOffset
			for i, at := range beeps(t, audio, begin) {
				if off := at - math.Round(at); math.Abs(off) > 0.02 && at-begin > 0.1 { // of the very first packet, half is missing
					t.Errorf("beep %d comes %.0f ms after a full second", i, off*1000)
				}
			}
		})
	}
	if s, err := catalog.Look(t.Context(), c.store, c.job.Job); err != nil || s.State != catalog.Published {
		t.Errorf("the asset itself is %+v, %v", s, err)
	}
}

// checkClip wants these frames of the asset in each rendition, of which so many segments were encoded.
func checkClip(t *testing.T, folder, address string, clip *ladder.Job, want ladder.Span, encodes int) {
	t.Helper()
	for _, r := range clip.Ladders[0].Renditions {
		list := address + "/flat/" + r.Name + "/index.m3u8"
		if n := own(t, folder, "flat", r.Name); n != encodes {
			t.Errorf("%d segments of %s were encoded", n, r.Name)
		}
		shown := packets(t, list, "v")
		times := make([]float64, len(shown))
		for i, p := range shown {
			times[i] = p.PTS
		}
		slices.Sort(times)
		for i, at := range times {
			if place := ladder.StartOffset + float64(want.From+i)/25; math.Abs(at-place) > 1e-3 {
				t.Fatalf("frame %d is shown at %f, not %f", want.From+i, at, place)
			}
		}
		if len(times) != want.To-want.From {
			t.Errorf("%d frames, not %d", len(times), want.To-want.From)
		}
	}
	got := numbers(t, address+"/flat/"+clip.Ladders[0].Renditions[0].Name+"/index.m3u8")
	for i, n := range got {
		if n != min(want.From+i, long.seconds*25-1) { // the audio is a little longer: the last one is held
			t.Fatalf("frame %d of the clip is frame %d of the asset, not %d", i, n, want.From+i)
		}
	}
	board, err := os.ReadFile(filepath.Join(folder, ladder.StoryboardFolder, ladder.StoryboardFile))
	must(t, err)
	for line := range strings.Lines(string(board)) {
		if sheet, _, ok := strings.Cut(line, "#"); ok {
			name := filepath.Join(folder, ladder.StoryboardFolder, filepath.FromSlash(unescaped(sheet)))
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// Clips are made of transport streams, of audio that was brought to another loudness, and of what has the recording's own video.
func TestClipsOfAllKinds(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	mediaHeavy(t)
	recording := streamed(t, "30", 20, 0, "-g", "60", "-bf", "2", "-crf", "25")
	for _, tc := range []struct {
		profiles, profile string
		leftOut           int
	}{
		{containerProfiles, "ts", 0},
		{loudProfile, "loud", 0},
		{copyProfile, "copy", 1},
	} {
		t.Run(tc.profile, func(t *testing.T) {
			c := toClip(t, smallTask.Key, recording, tc.profiles, tc.profile)
			made, clip := c.clip(t, ClipWish{From: 4 * time.Second, To: 17 * time.Second, As: "clip"})
			if made.Encodes != 2 || len(made.LeftOut) != tc.leftOut {
				t.Errorf("made %+v", made)
			}
			_, address := c.check(t, clip)
			for _, r := range clip.Ladders[0].Renditions {
				if shown := packets(t, address+"/flat/"+r.Name+"/index.m3u8", "v"); len(shown) != 13*30 {
					t.Errorf("%s has %d frames", r.Name, len(shown))
				}
			}
			for _, r := range clip.Audio.Renditions {
				checkClipAudio(t, address+"/audio/"+r.Name+"/index.m3u8", 4, 17, clip.Audio.Rate, clip.Container == ladder.TS)
			}
			if tc.leftOut > 0 {
				_, whole := c.clip(t, ClipWish{From: 4 * time.Second, To: 17 * time.Second, As: "whole", Segments: true})
				if !whole.Ladders[0].Renditions[0].Copy {
					t.Error("at segments, the recording's own video is missing too")
				}
				c.check(t, whole)
			}
		})
	}
}

// checkClipAudio wants audio packets one after the other, over the time of a clip.
func checkClipAudio(t *testing.T, list string, from, to float64, rate int, together bool) {
	t.Helper()
	all := packets(t, list, "a")
	packet := float64(ladder.PacketSamples) / float64(rate)
	if first := all[0].PTS - ladder.StartOffset; first < from-packet || first > from+2*packet {
		t.Errorf("the audio begins at %f", first)
	}
	if last := all[len(all)-1].PTS - ladder.StartOffset + packet; math.Abs(last-to) > 2*packet {
		t.Errorf("the audio ends at %f", last)
	}
	for i := range all[1:] {
		if step := all[i+1].PTS - all[i].PTS; math.Abs(step-packet) > 1e-3 && !together { // several have one time in a transport stream
			t.Fatalf("packet %d follows after %f s", i+1, step)
		}
	}
	if err := hlstest.Decode(t.Context(), list); err != nil {
		t.Error(err)
	}
}

// A clip of an asset that still grows is of what there is by now, and stays what it is.
func TestClipOfAnEvent(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
	for _, piece := range growsFor(t, 50) {
		f.grow(t, piece, false)
		f.work(t, 100)
	}
	clipper := Clipper{Store: f.store, Recordings: f.p.Recordings, Queue: f.queue}
	made, err := clipper.Clip(t.Context(), ClipWish{Asset: "live/talk", From: 8 * time.Second, To: 27 * time.Second, As: "clip"})
	must(t, err)
	f.work(t, 100)
	look := func() {
		t.Helper()
		s, err := catalog.Look(t.Context(), f.store, made.Job)
		must(t, err)
		if s.State != catalog.Published || s.Duration != 19 || s.Clip == nil || s.Recording != "" {
			t.Errorf("the clip is %+v", s)
		}
		if problem := reachable(f.store, ladder.StableMasterKey("clip")); problem != "" {
			t.Error(problem)
		}
	}
	look()
	f.end(t)
	look()
}

// What cannot be cut is refused, with a reason, and nothing is stored of it.
func TestNoClip(t *testing.T) {
	t.Parallel()
	p, store, queue := newSmall(t, smallRecording(t))
	must(t, p.Do(t.Context(), smallTask, nil))
	drain(t, p, queue)
	store.Put("recordings/other.flv", smallRecording(t))
	must(t, p.Do(t.Context(), job.Task{Kind: job.Recording, Key: "recordings/other.flv", Profile: "stitch"}, nil))
	drain(t, p, queue)
	clipper := Clipper{Store: store, Recordings: store, Queue: queue}
	objects := len(store.Objects)
	refuse := func(w ClipWish, want error, text string) {
		t.Helper()
		if w.Asset == "" {
			w.Asset = "live/talk"
		}
		if _, err := clipper.Clip(t.Context(), w); !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v", w, err)
		}
	}
	refuse(ClipWish{Asset: "live/nothing"}, ErrNoAsset, "no such asset")
	refuse(ClipWish{Asset: "../talk"}, ErrNoAsset, "no such asset")
	refuse(ClipWish{From: time.Minute}, ErrNoClip, "the asset has 13s")
	refuse(ClipWish{To: time.Minute}, ErrNoClip, "the asset has 13s")
	refuse(ClipWish{From: 5 * time.Second, To: 5500 * time.Millisecond}, ErrNoClip, "at least 1s")
	refuse(ClipWish{From: 5 * time.Second, To: 2 * time.Second}, ErrNoClip, "at least 1s")
	refuse(ClipWish{From: 5 * time.Second, As: "live/talk"}, ErrNameTaken, "not a clip of")
	refuse(ClipWish{From: 5 * time.Second, As: "other"}, ErrNameTaken, "not a clip of")
	refuse(ClipWish{From: 5 * time.Second, As: "live/talk/master.m3u8"}, ErrNameTaken, "master.m3u8")
	refuse(ClipWish{From: 5 * time.Second, As: "a/../b"}, ErrNoClip, "dotted")
	if len(store.Objects) != objects {
		t.Errorf("%d objects more", len(store.Objects)-objects)
	}
	must(t, store.Delete(t.Context(), smallTask.Key))
	refuse(ClipWish{From: 5 * time.Second}, ErrNoClip, "cut it at segments")
	made, err := clipper.Clip(t.Context(), ClipWish{Asset: "live/talk", From: 5 * time.Second, Segments: true})
	if err != nil || made.From != 0 || made.Encodes != 0 {
		t.Errorf("without the recording: %+v, %v", made, err)
	}
	refuse(ClipWish{Asset: made.Asset, From: 5 * time.Second}, ErrNoClip, "it is a clip of live/talk")
}

// As long as there are clips of an asset, it stays; and a clip goes without touching anything of the asset.
func TestClipsKeepTheirAsset(t *testing.T) {
	t.Parallel()
	p, store, queue := newSmall(t, smallRecording(t))
	must(t, p.Do(t.Context(), smallTask, nil))
	drain(t, p, queue)
	before := slices.Collect(func(yield func(string) bool) {
		for key := range store.Objects {
			if !yield(key) {
				return
			}
		}
	})
	clipper := Clipper{Store: store, Recordings: store, Queue: queue}
	made, err := clipper.Clip(t.Context(), ClipWish{Asset: "live/talk", From: 3 * time.Second})
	must(t, err)
	if made.Asset != "live/talk-clip-0m03s-0m13s" {
		t.Errorf("it is called %s", made.Asset)
	}
	drain(t, p, queue)
	again, err := clipper.Clip(t.Context(), ClipWish{Asset: "live/talk", From: 3 * time.Second})
	if err != nil || !again.Before || again.Job != made.Job || len(queue.Bodies()) > 0 {
		t.Errorf("again: %+v, %v, %d tasks", again, err, len(queue.Bodies()))
	}
	o := operate.Operator{Store: store}
	if _, err := o.FindBelongings(t.Context(), "live/talk", store, false); !errors.Is(err, operate.ErrClipped) || !strings.Contains(err.Error(), made.Asset) {
		t.Errorf("the asset can be removed: %v", err)
	}
	if _, err := ledger.Load(t.Context(), store, ladder.LatestKey("live"), new(ladder.Latest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	found, err := o.FindBelongings(t.Context(), made.Asset, store, false)
	must(t, err)
	if len(found.Recordings) > 0 {
		t.Errorf("with a clip goes %v", found.Recordings)
	}
	must(t, o.Remove(t.Context(), found, store))
	for _, key := range before {
		if _, _, err := store.Get(key); err != nil {
			t.Errorf("%s went with the clip", key)
		}
	}
	for key := range store.Objects {
		if !slices.Contains(before, key) && !strings.HasPrefix(key, "index/outbox/") {
			t.Errorf("%s is left", key)
		}
	}
	if _, err := o.FindBelongings(t.Context(), "live/talk", store, false); err != nil {
		t.Errorf("the asset cannot be removed: %v", err)
	}
}

// Whoever makes a clip may be killed before any write, and does it again: then it is whole. In between, nothing is half there, and both the clip
// and its asset can be removed.
func TestClipIsBrokenOff(t *testing.T) {
	t.Parallel()
	p, base, queue := newSmall(t, smallRecording(t))
	must(t, p.Do(t.Context(), smallTask, nil))
	drain(t, p, queue)
	wish := ClipWish{Asset: "live/talk", From: time.Second, As: "cut", Segments: true}
	killed := errors.New("killed")
	for n := 0; ; n++ {
		store := testenv.NewMemory()
		for key, body := range base.Objects {
			store.Put(key, body)
		}
		var writes atomic.Int64
		store.Before = func(op, _ string) error {
			if op != "write" && op != "upload" {
				return nil
			}
			if writes.Add(1) > int64(n) {
				return killed
			}
			return nil
		}
		clipper := Clipper{Store: store, Recordings: store, Queue: queue}
		_, err := clipper.Clip(t.Context(), wish)
		whole := err == nil
		store.Before = nil
		if _, _, err := store.Get(ladder.StableMasterKey("cut")); err == nil {
			if problem := reachable(store, ladder.StableMasterKey("cut")); problem != "" {
				t.Errorf("killed before write %d: %s", n, problem)
			}
		}
		if n%2 == 0 || whole {
			_, err = clipper.Clip(t.Context(), wish)
			must(t, err)
			if s, err := catalog.Named(t.Context(), store, "cut"); err != nil || len(s) != 1 || s[0].State != catalog.Published {
				t.Errorf("killed before write %d, done again: %+v, %v", n, s, err)
			}
			if problem := reachable(store, ladder.StableMasterKey("cut")); problem != "" {
				t.Errorf("killed before write %d, done again: %s", n, problem)
			}
		}
		o := operate.Operator{Store: store}
		found, err := o.FindBelongings(t.Context(), "cut", store, true)
		must(t, err)
		must(t, o.Remove(t.Context(), found, store))
		if _, err := o.FindBelongings(t.Context(), "live/talk", store, false); err != nil {
			t.Errorf("killed before write %d, and the clip removed: %v", n, err)
		}
		if whole {
			t.Logf("%d writes", n)
			break
		}
	}
}
