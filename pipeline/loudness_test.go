package pipeline

import (
	"cmp"
	"errors"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

const loudProfile = `
- name: loud
  loudness: -16
  chunk: 12s
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 90, crf: 30, maxrate: 200k, bufsize: 300k, preset: ultrafast}
        - {height: 48, crf: 30, maxrate: 90k, bufsize: 90k, preset: ultrafast, audio: 48k}
`

var integrated = regexp.MustCompile(`(?m)^\s+I:\s+(-?[0-9.]+) LUFS`)

// The audio gets as loud as is wanted, in every rendition, however loud it was; only
// silence stays what it is.
func TestLoudness(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	mediaHeavy(t)
	for n, tc := range []struct {
		name, source string
		silent       bool
		off          float64 // LU; 0: 1
	}{
		{name: "quiet", source: "sine=f=440:d=20,volume=-20dB"},
		{name: "loud", source: "sine=f=440:d=20,volume=15dB"},
		{name: "quiet with peaks", source: "aevalsrc='0.01*sin(2*PI*440*t)+0.6*eq(mod(floor(t*48000),48000),0)':s=48000:d=20", off: 1.5}, // what is limited is no longer heard
		{name: "silence", source: "anullsrc=r=48000:d=20", silent: true},
	} {
		if !chosen(n, 2) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "talk.flv")
			runFFmpeg(t, "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc=s=160x90:r=10:d=20", "-f", "lavfi", "-i", tc.source,
				"-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-c:a", "aac", "-t", "20", "-f", "flv", file)
			recording, err := os.ReadFile(file)
			must(t, err)
			store, queue := testenv.NewMemory(), &testenv.Messages{}
			store.Put(smallTask.Key, recording)
			p := newPipeline(t, store, queue, loudProfile)
			task := smallTask
			task.Profile = "loud"
			must(t, p.Do(t.Context(), task, nil))
			drain(t, p, queue)
			checkPublished(t, store)
			plan := onlyPlan(t, store)
			var measured ladder.Loudness
			_, err = ledger.Load(t.Context(), store, ladder.LoudnessKey(plan.Job), &measured)
			must(t, err)
			if _, heard := measured.Integrated(); heard == tc.silent {
				t.Fatalf("measured: %+v", measured)
			}
			var tracks []ladder.Track
			for k := range plan.Chunks {
				var part ladder.Part
				_, err = ledger.Load(t.Context(), store, ladder.PartKey(plan.Job, ladder.AudioPart(k)), &part)
				must(t, err)
				for i, track := range part.Tracks {
					if k == 0 {
						tracks = append(tracks, track)
					} else {
						tracks[i].Segments = append(tracks[i].Segments, track.Segments...)
					}
				}
			}
			if len(tracks) != 2 || len(plan.Chunks) < 2 {
				t.Fatalf("%d renditions of the audio in %d chunks", len(tracks), len(plan.Chunks))
			}
			for _, track := range tracks {
				if got := loudnessOf(t, store, plan, track); !tc.silent && math.Abs(got - -16) > cmp.Or(tc.off, 1) || tc.silent && got > -60 {
					t.Errorf("%s has %g LUFS", track.Rendition, got)
				}
			}
		})
	}
}

// A job whose chunks are all there, but not how loud they are together, is repaired like any other.
func TestRepairOfLoudness(t *testing.T) {
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(smallTask.Key, smallRecording(t))
	p := newPipeline(t, store, queue, loudProfile)
	task := smallTask
	task.Profile = "loud"
	must(t, p.Do(t.Context(), task, nil))
	lost := errors.New("killed")
	store.Before = func(op, key string) error { // before it says how loud all is
		if op == "write" && strings.HasSuffix(key, "/loudness.json") {
			return lost
		}
		return nil
	}
	for d := queue.Take(time.Hour); d != nil; d = queue.Take(time.Hour) {
		tasks, err := job.Parse(d.Body)
		must(t, err)
		if err := p.Do(t.Context(), tasks[0], nil); err != nil && !errors.Is(err, lost) {
			t.Fatal(err)
		}
	}
	store.Before = nil
	queue.Clear()
	task.Repair = true
	must(t, p.Do(t.Context(), task, nil))
	if len(queue.Bodies()) == 0 {
		t.Fatal("nothing was sent")
	}
	drain(t, p, queue)
	checkPublished(t, store)
}

// loudnessOf measures a published rendition with another of ffmpeg's filters.
func loudnessOf(t *testing.T, store *testenv.Memory, plan *ladder.Job, track ladder.Track) float64 {
	t.Helper()
	file := filepath.Join(t.TempDir(), "audio.mp4")
	var whole []byte
	for _, name := range append([]string{track.Init}, uris(track)...) {
		body, _, err := store.Get(plan.Key(path.Join(track.Ladder, track.Rendition), name))
		must(t, err)
		whole = append(whole, body...)
	}
	must(t, os.WriteFile(file, whole, 0o600))
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-i", file, "-af", "ebur128=framelog=verbose", "-f", "null", "-").CombinedOutput()
	must(t, err)
	m := integrated.FindAllStringSubmatch(string(out), -1)
	if len(m) == 0 {
		t.Fatalf("ffmpeg says:\n%s", out[max(0, len(out)-1000):])
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(m[len(m)-1][1]), 64)
	must(t, err)
	return value
}

func uris(track ladder.Track) (all []string) {
	for _, s := range track.Segments {
		all = append(all, s.URI)
	}
	return all
}
