package pipeline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// thief is an ffmpeg that takes something away from what the real one does: before is
// shell that may change the arguments in args, after is run in its folder when it has ended.
func thief(t *testing.T, before, after string) string {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	must(t, err)
	name := filepath.Join(t.TempDir(), "ffmpeg")
	script := fmt.Sprintf("#!/bin/bash\nargs=(\"$@\")\n%s\n%s \"${args[@]}\"\nstatus=$?\n%s\nexit $status\n", before, ffmpeg, after)
	must(t, os.WriteFile(name, []byte(script), 0o755))
	return name
}

// Nothing is lost silently: whatever ffmpeg leaves out, the job fails, or says so.
func TestNothingIsLostSilently(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	const change = `for i in "${!args[@]}"; do args[i]=${args[i]//%s/%s}; done`
	recording := source{seconds: 12, audio: aacAudio}.make(t)
	for _, tc := range []struct {
		name          string
		before, after string
		reason        string
		told          string
	}{
		{name: "nothing"},
		{name: "the audio", after: "rm -f audio/aac/encoded.mp4", reason: "bad_output"},
		{name: "the list of what was decoded", after: "rm -f audio.txt", reason: "bad_output"},
		{name: "the last second of what was decoded", after: "if [ -f audio.txt ]; then head -n -47 audio.txt >s && mv s audio.txt; fi", reason: "audio_missing"},
		{name: "the video", after: "rm -rf flat/180p", reason: "bad_output"},
		{name: "every tenth frame", before: fmt.Sprintf(change, "fps=25", `select=mod(n+5\\,10),fps=25`), reason: "frames_missing"},
		{name: "every fortieth frame", before: fmt.Sprintf(change, "fps=25", `select=mod(n+5\\,40),fps=25`), told: ladder.LostFrames},
		{name: "a third of the length", before: fmt.Sprintf(change, "end_pts=", "end_pts=1*100+0*"), after: "rm -f flat/180p/s00000.m4s", reason: "bad_output"},
		{name: "a third of the audio", before: `if [[ ${args[-1]} == *encoded.mp4 ]]; then args=("${args[@]:0:${#args[@]}-1}" -t 8 "${args[-1]}"); fi`, reason: "bad_output"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := publishWith(t, recording, "", func(p *Pipeline) { p.FFmpeg.Path = thief(t, tc.before, tc.after) })
			if got := reasonOf(err); got != tc.reason {
				t.Fatalf("failed for %q, want %q: %v", got, tc.reason, err)
			}
			if err != nil {
				return
			}
			var told []string
			for _, m := range out.asset.Missing {
				told = append(told, m.What)
			}
			if strings.Join(told, " ") != tc.told {
				t.Errorf("told to be missing: %+v, want %q", out.asset.Missing, tc.told)
			}
		})
	}
}

// Damage that decoders hide, by repeating frames and by silence, is told of, and too much
// of it is a failure.
func TestDamageIsTold(t *testing.T) {
	t.Parallel()
	good := source{seconds: 12, audio: aacAudio, video: []string{"-g", "10"}}.make(t)
	spoil := func(kind byte, each int) []byte {
		n, tags := 0, split(good)
		for i, tag := range tags {
			if tag.kind() != kind || tag.body()[1] != 1 {
				continue
			}
			n++
			if n%each != each/2 {
				continue
			}
			body := append([]byte{}, tag.body()...)
			for j := min(len(body), 9); j < len(body); j++ {
				body[j] = 0xff
			}
			tags[i] = newTag(kind, tag.at(), body)
		}
		return joined(tags...)
	}
	for _, tc := range []struct {
		name      string
		recording []byte
		reason    string
		told      string
	}{
		{"all audio", spoil(8, 1), "audio_missing", ""},
		{"every third audio packet", spoil(8, 3), "audio_missing", ""},
		{"every 150th audio packet", spoil(8, 150), "", ladder.LostAudio},
		{"an eighth of the bytes", holed(good, 8), "time_missing", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := publish(t, tc.recording, "")
			if got := reasonOf(err); got != tc.reason {
				t.Fatalf("failed for %q, want %q: %v", got, tc.reason, err)
			}
			if err == nil && (len(out.asset.Missing) != 1 || out.asset.Missing[0].What != tc.told) {
				t.Errorf("told to be missing: %+v, want %s", out.asset.Missing, tc.told)
			}
		})
	}
}

// holed has one byte of n overwritten, in one piece in the middle.
func holed(b []byte, n int) []byte {
	b = append([]byte{}, b...)
	from := len(b) / 2
	clear(b[from : from+len(b)/n])
	return b
}

// No byte that ffmpeg's filters read is outside of a frame, whatever sizes follow each
// other: what they read would be seen.
func TestSizesUnderValgrind(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		t.Skip("valgrind is not installed")
	}
	tiny := source{size: "64x32", seconds: 1, rate: "5", video: []string{"-tune", "zerolatency"}}.make(t)
	for _, tc := range []struct{ name, size, profile string }{
		{"a sphere shrinks", "256x128", "cubemap"},
		{"a frame changes its shape", "160x120", "recorded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			recording := inBand(source{size: tc.size, seconds: 1, rate: "5", video: []string{"-tune", "zerolatency"}}.make(t), tiny, 1000)
			log := filepath.Join(t.TempDir(), "valgrind")
			_, err := publishWith(t, recording, tc.profile, func(p *Pipeline) {
				p.FFmpeg.Stall = 5 * time.Minute
				p.FFmpeg.Path = thief(t, fmt.Sprintf(`if [[ " ${args[*]} " == *" -filter_complex "* ]]; then exec %s -q --log-file=%s.%%p --undef-value-errors=no ffmpeg -cpuflags 0 "${args[@]}"; fi`, valgrind, log), "")
			})
			must(t, err)
			logs, err := filepath.Glob(log + ".*")
			must(t, err)
			if len(logs) == 0 {
				t.Fatal("valgrind was not run")
			}
			for _, name := range logs {
				said, err := os.ReadFile(name)
				must(t, err)
				if strings.Contains(string(said), "Invalid read") || strings.Contains(string(said), "Invalid write") {
					t.Errorf("%s", said[:min(len(said), 3000)])
				}
			}
		})
	}
}
