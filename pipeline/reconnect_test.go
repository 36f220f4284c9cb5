package pipeline

import (
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// comesBack is a recording whose publisher was away, and came back with another one.
func comesBack(first, second []byte, away time.Duration) []byte {
	body := append([]byte(nil), first...)
	return append(append(body, flv.ReconnectTag(away)...), second[flv.HeaderSize:]...)
}

// apart is by how much beeps come after flashes, before a moment and from it on.
func apart(t *testing.T, file, audio string, at float64) (before, after float64, ok bool) {
	t.Helper()
	all, _, _ := frames(t, file, "fcc")
	seen, heard := flashes(all), beepTimes(t, audio)
	share := func(times []float64, from, to float64) (in []float64) {
		for _, x := range times {
			if x >= from && x < to {
				in = append(in, x)
			}
		}
		return in
	}
	before, ok1 := offset(share(seen, 0, at), share(heard, 0, at))
	after, ok2 := offset(share(seen, at, math.Inf(1)), share(heard, at, math.Inf(1)))
	return before, after, ok1 && ok2
}

// A publisher that comes back, even with another encoder, goes on with its recording: nothing of either is lost, audio and video are as far apart
// as in each file, and the asset says for how long it was away.
func TestPublisherComesBack(t *testing.T) {
	testenv.InTurn(t)
	first := source{seconds: 9, audio: aacAudio}
	for n, tc := range []struct {
		name   string
		second source
		frames int // at 25 a second; 0: it cannot be said
	}{
		{"with the same encoder", source{seconds: 9, audio: aacAudio}, 450},
		{"with B-frames and a long GOP", source{seconds: 9, audio: aacAudio, video: []string{"-preset", "veryfast", "-bf", "3", "-g", "250"}}, 450},
		{"with another size", source{seconds: 9, size: "426x240", audio: aacAudio}, 450},
		{"with another rate", source{seconds: 9, rate: "50", audio: aacAudio}, 0},
		{"with other audio", source{seconds: 9, audio: []string{"-c:a", "aac", "-ar", "44100", "-b:a", "64k"}, layout: "stereo"}, 450},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !chosen(n, 5) && n > 0 {
				t.Skip("make soak has all")
			}
			t.Parallel()
			recording := comesBack(first.make(t), tc.second.make(t), 7*time.Second)
			out, err := publish(t, recording, "tolerant")
			must(t, err)
			gaps := out.asset.Discontinuities
			if len(gaps) != 1 || !gaps[0].Reconnect || gaps[0].Lost != 7 || math.Abs(gaps[0].At-9) > 0.1 {
				t.Fatalf("gaps %+v", gaps)
			}
			top := out.top(t)
			if got := len(packets(t, top, "v")); tc.frames > 0 && (got < tc.frames || got > tc.frames+2 || len(out.asset.Missing) > 0) {
				t.Errorf("%d frames, of the recording %d; missing %+v", got, tc.frames, out.asset.Missing)
			}
			before, after, ok := apart(t, top, out.file(t, "audio/aac"), 10+gaps[0].At) // segments begin at 10 s
			if !ok || math.Abs(before) > 0.06 || math.Abs(after) > 0.06 || math.Abs(after-before) > 0.03 {
				t.Errorf("the audio comes %.3f s after the video, and then %.3f s (%v)", before, after, ok)
			}
		})
	}
}

// A recording that grows over its publisher's return is, in the end, as if it had been there whole; and what can be seen of it before is not lost.
func TestPublisherComesBackWhileItGrows(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	recording := comesBack(source{seconds: 14, audio: aacAudio}.make(t), source{seconds: 13, audio: aacAudio}.make(t), 3*time.Second)
	file := filepath.Join(t.TempDir(), "recording.flv")
	must(t, os.WriteFile(file, recording, 0o644))
	grown, _ := whileItGrows(3)(t, file, 150)
	whole, _ := transcode(t, file, 150)
	if grown.Frames != whole.Frames || len(grown.Discontinuities) != 1 || grown.Discontinuities[0] != whole.Discontinuities[0] {
		t.Errorf("grown: %d frames, %+v; whole: %d, %+v", grown.Frames, grown.Discontinuities, whole.Frames, whole.Discontinuities)
	}
}

// While its publisher is waited for, an event says so; and no longer when that is back.
func TestEventWaits(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	f := follow(t, "recordings/live/talk.flv", "recorded", recordedProfile)
	pieces := growsFor(t, 60)
	waiting := func() time.Time {
		t.Helper()
		f.ship(t, false, false) // and workers look
		f.work(t, 1000)
		var asset ladder.Asset
		_, err := ledger.Load(t.Context(), f.store, ladder.PointerKey("live/talk"), &asset)
		must(t, err)
		jobs, err := catalog.Of(t.Context(), f.store, "live/talk")
		if err != nil || len(jobs) != 1 || jobs[0].State != map[bool]catalog.State{true: catalog.Live, false: catalog.Waiting}[asset.Waiting.IsZero()] || !jobs[0].Waiting.Equal(asset.Waiting) {
			t.Errorf("%+v, %v", jobs, err)
		}
		return asset.Waiting
	}
	for _, piece := range pieces[:45] {
		f.grow(t, piece, false)
	}
	early := time.Now().Add(time.Second).Round(time.Second).UTC()
	must(t, f.shipper.Wait(t.Context(), early)) // when it cannot be watched yet
	if at := waiting(); !at.Equal(early) {
		t.Errorf("waits until %s, want %s", at, early)
	}
	until := time.Now().Add(time.Minute).Round(time.Second).UTC()
	must(t, f.shipper.Wait(t.Context(), until))
	if at := waiting(); !at.Equal(until) {
		t.Errorf("waits until %s, want %s", at, until)
	}
	f.grow(t, flv.ReconnectTag(5*time.Second), false)
	f.grow(t, pieces[45], false) // less than a segment
	if at := waiting(); !at.IsZero() {
		t.Errorf("its publisher is back, and it waits until %s", at)
	}
	for _, piece := range pieces[46:] {
		f.grow(t, piece, false)
	}
	f.work(t, 1000)
	seen := 0
	for key, body := range f.seen {
		if path.Base(key) != ladder.EventPlaylistFile {
			continue
		}
		seen++
		if away := stoodStill(t, string(body)); away.Round(50*time.Millisecond) != 5*time.Second {
			t.Errorf("by the times of day in %s, the publisher was away for %s:\n%s", key, away, body)
		}
	}
	if seen == 0 {
		t.Error("no playlist was seen")
	}
}

// stoodStill is by how much the times of day in a playlist are further apart than its segments last.
func stoodStill(t *testing.T, playlist string) time.Duration {
	t.Helper()
	var first, last time.Time
	lasts, all := 0.0, 0.0
	for line := range strings.Lines(playlist) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), "#EXT-X-PROGRAM-DATE-TIME:"); ok {
			now, err := time.Parse(time.RFC3339, at)
			must(t, err)
			if first.IsZero() {
				first = now
			}
			last, lasts = now, all
		}
		if seconds, ok := strings.CutPrefix(line, "#EXTINF:"); ok {
			var s float64
			_, err := fmt.Sscanf(seconds, "%g", &s)
			must(t, err)
			all += s
		}
	}
	return last.Sub(first) - time.Duration(lasts*float64(time.Second))
}
