package pipeline

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/hlscheck"
	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

const containerProfiles = `
- name: fmp4
  chunk: 6s
  ladders: &ladders
    - {name: flat, projection: flat, rungs: [{height: 180, crf: 22, maxrate: 4000k, bufsize: 6000k, preset: fast}, {height: 90, crf: 24, maxrate: 300k, bufsize: 450k, preset: fast}]}
- name: ts
  container: ts
  chunk: 6s
  ladders: *ladders
`

// published publishes a recording with a profile into a folder, and keeps the rules.
func published(t *testing.T, recording []byte, profiles, profile string) (plan *ladder.Job, dir string) {
	t.Helper()
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(smallTask.Key, recording)
	p := newPipeline(t, store, queue, profiles)
	p.FFmpeg.Threads = 1 // with more, x264 doesn't always write the same
	must(t, p.Do(t.Context(), job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: profile}, nil))
	drain(t, p, queue)
	checkPublished(t, store)
	dir = export(t, store, "")
	report, err := hlscheck.Check(t.Context(), hlscheck.Dir(os.DirFS(dir+"/vod/live/talk")), "master.m3u8", hlscheck.Media)
	must(t, err)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	plan = onlyPlan(t, store)
	if garbage, err := operate.Garbage(t.Context(), store, plan.Job); err != nil || len(garbage) > 0 {
		t.Errorf("garbage: %v, %v", garbage, err)
	}
	return plan, filepath.Join(dir, filepath.FromSlash(plan.Key()))
}

// A transport stream holds the same frames and the same audio as fMP4 does, bit for
// bit, at the same times, to a tick of its clock.
func TestTransportStreamsAreTheSame(t *testing.T) {
	testenv.InTurn(t)
	for n, rate := range []string{"24000/1001", "30", "60000/1001"} {
		if !chosen(n, 3) {
			continue
		}
		t.Run(strings.ReplaceAll(rate, "/", ":"), func(t *testing.T) {
			t.Parallel()
			recording := streamed(t, rate, 15, 0, "-g", "100", "-bf", "2")
			_, mp4 := published(t, recording, containerProfiles, "fmp4")
			plan, ts := published(t, recording, containerProfiles, "ts")
			if names, err := filepath.Glob(ts + "/*/*/*.m[4p]*"); err != nil || len(names) > 0 {
				t.Errorf("there is %v, %v", names, err)
			}
			for _, rendition := range []string{"flat/180p", "flat/90p", "audio/aac"} {
				a, b := filepath.Join(mp4, rendition, "index.m3u8"), filepath.Join(ts, rendition, "index.m3u8")
				kind := "v"
				if rendition == "audio/aac" {
					kind = "a"
					copied := func(list string) []byte {
						return runFFmpeg(t, append(append([]string{"-nostdin"}, hlstest.Reading(list)...), "-c", "copy", "-f", "adts", "-")...)
					}
					if x, y := copied(a), copied(b); !bytes.Equal(x, y) {
						t.Errorf("other audio: %d bytes, and %d in fMP4", len(y), len(x))
					}
				} else if x, y := units(t, hlstest.Reading(a)...), units(t, hlstest.Reading(b)...); !bytes.Equal(x, y) {
					t.Errorf("%s: other frames: %d bytes, and %d in fMP4", rendition, len(y), len(x))
				}
				if x, y := extinfs(t, a), extinfs(t, b); !slices.Equal(x, y) {
					t.Errorf("%s: segments of %v, in fMP4 of %v", rendition, y, x)
				}
				sameTimes(t, rendition, packets(t, a, kind), packets(t, concatenated(t, filepath.Dir(b)), kind))
				must(t, hlstest.Decode(t.Context(), b))
			}
			checkTrack(t, plan, packets(t, ts+"/flat/180p/index.m3u8", "v"))
			durations := extinfs(t, ts+"/flat/iframes/index.m3u8")
			if want := extinfs(t, mp4+"/flat/iframes/index.m3u8"); !slices.Equal(durations, want) {
				t.Errorf("I-frames of %v, in fMP4 of %v", durations, want)
			}
		})
	}
}

// concatenated puts a rendition's segments into one file: of HLS, ffprobe tells the first
// audio packet twice.
func concatenated(t *testing.T, folder string) string {
	t.Helper()
	names, err := filepath.Glob(folder + "/*.ts")
	must(t, err)
	slices.Sort(names)
	var all []byte
	for _, name := range names {
		body, err := os.ReadFile(name)
		must(t, err)
		all = append(all, body...)
	}
	file := filepath.Join(t.TempDir(), "whole.ts")
	must(t, os.WriteFile(file, all, 0o644))
	return file
}

func sameTimes(t *testing.T, rendition string, want, got []hlstest.Packet) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d packets, in fMP4 %d", rendition, len(got), len(want))
		return
	}
	const tick = 2.0 / 90_000 // of several packets in a PES, ffprobe reckons the times
	for i, p := range got {
		if math.Abs(p.PTS-want[i].PTS) > tick || math.Abs(p.DTS-want[i].DTS) > tick || p.Key != want[i].Key {
			t.Errorf("%s: packet %d is %+v, in fMP4 %+v", rendition, i, p, want[i])
			return
		}
	}
}

// A recording's own video is in a transport stream what it was in FLV.
func TestCopyIntoTransportStreams(t *testing.T) {
	t.Parallel()
	recording := streamed(t, "30000/1001", 27, 0.05, "-g", "50", "-bf", "2", "-crf", "25")
	plan, dir, file := copied(t, recording, strings.Replace(copyProfile, "source:", "container: ts\n  source:", 1))
	top := plan.Ladders[0].Renditions[0]
	if !top.Copy || len(plan.Chunks) < 2 {
		t.Fatalf("copied: %+v, %d chunks", plan.Copy, len(plan.Chunks))
	}
	list := filepath.Join(dir, "flat", top.Name, "index.m3u8")
	if a, b := units(t, "-i", file), units(t, hlstest.Reading(list)...); !bytes.Equal(a, b) {
		t.Errorf("other frames: %d bytes, the recording has %d", len(b), len(a))
	}
	checkTrack(t, plan, packets(t, list, "v"))
}

// A frame that is copied may be damaged: what is whole of it is published.
func TestCopyOfDamageIntoTransportStreams(t *testing.T) {
	recording := streamed(t, "30", 14, 0, "-g", "60", "-bf", "0", "-crf", "25")
	frames := 0
	retime(recording, func(tag []byte, at int) int {
		if tag[0] == 9 && tag[12] == 1 { // a frame
			frames++
			if frames == 40 {
				copy(tag[16:20], []byte{0xff, 0xff, 0xff, 0xff}) // how long its first NAL unit is
			}
		}
		return at
	})
	plan, _, _ := copied(t, recording, strings.Replace(copyProfile, "source:", "container: ts\n  source:", 1))
	if frames < 400 || plan.Copy.Fault != "" {
		t.Errorf("of %d frames: %+v", frames, plan.Copy)
	}
}
