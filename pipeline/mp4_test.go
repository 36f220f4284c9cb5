package pipeline

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/ladder"
)

// hashes are those of a stream's packets, in the order of decoding.
func hashes(t *testing.T, file, stream string) (all []string) {
	t.Helper()
	args := hlstest.Reading(file)
	if filepath.Ext(file) == ".mp4" { // what lies before its beginning, too
		args = append([]string{"-ignore_editlist", "1"}, args...)
	}
	out := runFFmpeg(t, append(args, "-map", "0:"+stream, "-c", "copy", "-f", "framemd5", "-")...)
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(strings.TrimSpace(line), ","); len(fields) == 6 {
			all = append(all, strings.TrimSpace(fields[5]))
		}
	}
	return all
}

// toMP4 writes a rendition of an asset as one MP4.
func (c *clipped) toMP4(t *testing.T, asset, name string) (*Rendition, string) {
	t.Helper()
	r, err := FindRendition(t.Context(), c.store, asset, name)
	must(t, err)
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "talk.mp4"))
	must(t, err)
	defer out.Close()
	scratch, err := os.Create(filepath.Join(dir, "scratch"))
	must(t, err)
	defer scratch.Close()
	must(t, r.WriteMP4(t.Context(), c.store, out, scratch))
	return r, out.Name()
}

const sphereToClip = `
- name: sphere
  chunk: 12s
  ladders:
    - {name: equirectangular, projection: equirectangular, rungs: [{height: 64, crf: 30, maxrate: 300k, bufsize: 300k, preset: ultrafast}, {height: 32, crf: 30, maxrate: 100k, bufsize: 100k, preset: ultrafast}]}
`

// An MP4 has the packets of the rendition that was published, at their times, its index first, and says what a sphere is. So has that of a clip.
func TestMP4(t *testing.T) {
	t.Parallel()
	recording := filepath.Join(t.TempDir(), "sphere.flv")
	runFFmpeg(t, "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=128x64:r=25:d=21", "-f", "lavfi", "-i", "sine=f=440:r=44100:d=21",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-c:a", "aac", "-f", "flv", recording)
	body, err := os.ReadFile(recording)
	must(t, err)
	c := toClip(t, smallTask.Key, body, sphereToClip, "sphere")
	_, clip := c.clip(t, ClipWish{From: 2 * time.Second, To: 19 * time.Second, As: "clip"})
	dir := export(t, c.store, "vod/")
	for _, j := range []*ladder.Job{c.job, clip} {
		r, file := c.toMP4(t, j.Asset, "32p")
		if r.Name != "equirectangular/32p" || len(r.Tracks) != 2 {
			t.Fatalf("%s: %s, %d tracks", j.Asset, r.Name, len(r.Tracks))
		}
		folder := filepath.Join(dir, filepath.FromSlash(j.Asset), j.Job)
		for kind, list := range map[string]string{"v": "equirectangular/32p", "a": "audio/aac"} {
			list = filepath.Join(folder, list, "index.m3u8")
			if got, want := hashes(t, file, kind), hashes(t, list, kind); len(got) < 100 || !slices.Equal(got, want) {
				t.Errorf("%s, %s: %d packets, the rendition has %d, or they differ", j.Asset, kind, len(got), len(want))
			}
			got, want := packets(t, file, kind), packets(t, list, kind)
			if len(got) != len(want) {
				t.Errorf("%s, %s: %d packets, the rendition has %d", j.Asset, kind, len(got), len(want))
			}
			for i := range min(len(got), len(want)) {
				if off := want[i].PTS - r.Begins - got[i].PTS; math.Abs(off) > 1e-3 {
					t.Fatalf("%s, %s: packet %d is at %f, that of the rendition at %f", j.Asset, kind, i, got[i].PTS, want[i].PTS-r.Begins)
				}
			}
		}
		lasts := strings.Trim(string(runFFmpegProbe(t, "-select_streams", "v", "-show_entries", "stream=duration", "-of", "csv=p=0", file)), ",\n") // side data leave a comma
		if lasts != fmt.Sprintf("%.6f", j.Rate.Time(j.Frames).Seconds()) {
			t.Errorf("%s: the video lasts %s s, and should last %s", j.Asset, lasts, j.Rate.Time(j.Frames))
		}
		if said := string(runProbe(t, file)); !strings.Contains(said, "Spherical Mapping") || !strings.Contains(said, "equirectangular") {
			t.Errorf("%s doesn't say that it is a sphere: %s", j.Asset, said)
		}
		if err := hlstest.Decode(t.Context(), file); err != nil {
			t.Error(err)
		}
		written, err := os.ReadFile(file)
		must(t, err)
		if index, media := bytes.Index(written, []byte("moov")), bytes.Index(written, []byte("mdat")); index < 0 || media < index {
			t.Errorf("the index is at %d, the packets at %d", index, media)
		}
	}
	if _, err := FindRendition(t.Context(), c.store, "live/talk", "1080p"); err == nil || !strings.Contains(err.Error(), "equirectangular/64p, equirectangular/32p") {
		t.Errorf("a rendition that it hasn't: %v", err)
	}
}

func runProbe(t *testing.T, file string) []byte {
	t.Helper()
	return runFFmpegProbe(t, "-show_streams", file)
}

func runFFmpegProbe(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := hlstest.Run(t.Context(), "ffprobe", append([]string{"-v", "error"}, args...)...)
	must(t, err)
	return out
}
