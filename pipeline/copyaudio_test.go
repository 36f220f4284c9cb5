package pipeline

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

const audioProfiles = `
- {name: fmp4, audio: copy, chunk: 6s, ladders: &ladders [{name: flat, projection: flat, rungs: [{height: 90, crf: 30, maxrate: 300k, bufsize: 450k, preset: ultrafast}, {height: 48, crf: 30, maxrate: 100k, bufsize: 100k, preset: ultrafast, audio: 48k}]}]}
- {name: ts, audio: copy, container: ts, chunk: 6s, ladders: *ladders}
`

// packet is one of audio: when it is heard, in seconds, and what it has.
type packet struct {
	at   float64
	hash string
}

// ownPackets are those of a file's audio.
func ownPackets(t *testing.T, file string, options ...string) (all []packet) {
	t.Helper()
	args := append([]string{"-v", "error", "-nostdin", "-copyts", "-i", file, "-map", "0:a:0", "-c", "copy"}, options...)
	second := 0.0
	for line := range strings.Lines(string(runFFmpeg(t, append(args, "-f", "framemd5", "-")...))) {
		if base, found := strings.CutPrefix(line, "#tb 0: "); found {
			var n, of float64
			_, err := fmt.Sscanf(base, "%g/%g", &n, &of)
			must(t, err)
			second = n / of
		}
		if fields := strings.Split(line, ","); line[0] != '#' && len(fields) > 5 {
			at, err := strconv.ParseFloat(strings.TrimSpace(fields[2]), 64)
			must(t, err)
			all = append(all, packet{at * second, strings.TrimSpace(fields[5])})
		}
	}
	return all
}

// spoiledPacket is a recording whose n-th audio packet cannot be decoded.
func spoiledPacket(b []byte, n int) []byte {
	var out []flvTag
	for _, tag := range split(b) {
		if tag.kind() == 8 && tag.body()[1] == 1 {
			if n == 0 {
				body := slices.Clone(tag.body())
				for i := 2; i < len(body); i++ {
					body[i] = 0xff
				}
				tag = newTag(8, tag.at(), body)
			}
			n--
		}
		out = append(out, tag)
	}
	return joined(out...)
}

// The audio that viewers get is the recording's own, packet for packet, each at the recording's moment; where there is
// none, or one is broken, there is silence.
func TestOwnAudio(t *testing.T) {
	testenv.InTurn(t)
	audio := "aevalsrc='0.3*sin(2*PI*330*t)+0.1*random(0)|0.3*sin(2*PI*440*t)':s=44100"
	for n, tc := range []struct {
		name, profile string
		audio         string
		options       []string
		spoil         int
		silent, lost  int // packets at least; told
	}{
		{name: "like the video", profile: "fmp4", audio: audio + ":d=14", options: []string{"-bf", "2"}},
		{name: "transport streams", profile: "ts", audio: audio + ":d=14"},
		{name: "late and short", profile: "fmp4", audio: audio + ":d=9,asetpts=PTS+0.7/TB", silent: 5 * 43},
		{name: "longer", profile: "fmp4", audio: audio + ":d=20"},
		{name: "one is broken", profile: "fmp4", audio: audio + ":d=14", spoil: 150, silent: 1, lost: 1},
	} {
		if !chosen(n, 2) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "talk.flv")
			args := append([]string{"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc=s=160x90:r=25:d=14", "-f", "lavfi", "-i", tc.audio, "-c:v", "libx264", "-preset", "ultrafast", "-g", "50"}, tc.options...)
			runFFmpeg(t, append(args, "-c:a", "aac", "-f", "flv", file)...)
			recording, err := os.ReadFile(file)
			must(t, err)
			if tc.spoil > 0 {
				recording = spoiledPacket(recording, tc.spoil)
				must(t, os.WriteFile(file, recording, 0o600))
			}
			plan, folder := published(t, recording, audioProfiles, tc.profile)
			if plan.Audio.Copy.Fault != "" {
				t.Fatal(plan.Audio.Copy.Fault)
			}
			var options []string
			if tc.profile == "ts" {
				options = []string{"-bsf:a", "aac_adtstoasc"}
			}
			got := ownPackets(t, filepath.Join(folder, ladder.AudioLadder, "aac", ladder.MediaPlaylistFile), options...)
			if own := ownPackets(t, filepath.Join(folder, ladder.AudioLadder, "aac-48k", ladder.MediaPlaylistFile), options...); len(own) != len(got) || math.Abs(own[0].at-got[0].at) > 1e-3 {
				t.Errorf("the audio that is encoded has %d packets from %g s on, the copied one %d from %g s on", len(own), own[0].at, len(got), got[0].at)
			}
			begins := ladder.StartOffset - firstFrame(t, file)
			compareAudio(t, plan, begins, ownPackets(t, file), got, tc.silent, tc.lost)
			if lost := lostAudio(t, folder); lost != tc.lost {
				t.Errorf("%d packets are told to be lost, %d are", lost, tc.lost)
			}
		})
	}
}

// compareAudio finds every packet of a recording, all but those that are broken, in what is published.
func compareAudio(t *testing.T, plan *ladder.Job, begins float64, want, got []packet, silent, broken int) {
	t.Helper()
	i, found, off := 0, 0, 0.0
	length := plan.Rate.Time(plan.Frames).Seconds()
	for _, w := range want {
		heard := w.at + begins - ladder.StartOffset
		if heard < 0 || heard > length-0.05 {
			continue
		}
		j := slices.IndexFunc(got[i:], func(g packet) bool { return g.hash == w.hash })
		if j < 0 {
			broken--
			continue
		}
		i += j
		found++
		off = max(off, math.Abs(got[i].at-w.at-begins))
	}
	if ts := plan.Container == ladder.TS; broken != 0 || found < 300 || off > 0.0015 && !ts {
		t.Errorf("%d packets of the recording found, %d too many are missing; they are up to %.4f s off", found, -broken, off)
	}
	if quiet := len(got) - found; quiet < silent || quiet > silent+10 {
		t.Errorf("%d packets are not the recording's, about %d should be", quiet, silent)
	}
	for k := range got[1:] {
		if lasts := got[k+1].at - got[k].at; math.Abs(lasts-1024.0/44100) > 1e-4 && plan.Container != ladder.TS { // where several share one time
			t.Fatalf("packet %d lasts %g s", k, lasts)
		}
	}
}

// firstFrame is when a recording's first frame is shown, in seconds.
func firstFrame(t *testing.T, file string) float64 {
	t.Helper()
	return slices.MinFunc(packets(t, file, "v"), func(a, b hlstest.Packet) int { return cmp.Compare(a.PTS, b.PTS) }).PTS
}

var lostPackets = regexp.MustCompile(`"(\d+) of \d+ audio packets could not be decoded`)

// lostAudio is how many packets asset.json tells to be lost.
func lostAudio(t *testing.T, folder string) (lost int) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(filepath.Dir(folder), ladder.PointerFile))
	must(t, err)
	if found := lostPackets.FindSubmatch(body); found != nil {
		lost, err = strconv.Atoi(string(found[1]))
		must(t, err)
	}
	return lost
}
