package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

const sphereProfile = `
- name: all
  chunk: 6s
  ladders:
    - name: equirectangular
      projection: equirectangular
      rungs:
        - {height: 256, crf: 10, maxrate: 9000k, bufsize: 9000k, preset: veryfast}
        - {height: 128, crf: 16, maxrate: 4000k, bufsize: 4000k, preset: veryfast}
    - name: cubemap
      projection: cubemap
      rungs:
        - {face: 128, crf: 10, maxrate: 9000k, bufsize: 9000k, preset: veryfast}
        - {face: 64, crf: 16, maxrate: 4000k, bufsize: 4000k, preset: veryfast}
    - name: eac
      projection: eac
      rungs:
        - {face: 128, crf: 10, maxrate: 9000k, bufsize: 9000k, preset: veryfast}
        - {face: 64, crf: 16, maxrate: 4000k, bufsize: 4000k, preset: veryfast}
`

// sphere makes an equirectangular recording of 8 s: soft colours all around, so that
// no two faces look alike. The colours are named: ffmpeg takes those that are not at
// random, whatever the seed, and the comparison below then varied by 5 dB.
func sphere(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sphere.flv")
	runFFmpeg(t, "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "gradients=s=512x256:r=25:d=8:speed=0.03:n=6:seed=7:"+
		"c0=0xc04040:c1=0xc0c040:c2=0x40a040:c3=0x40a0c0:c4=0x4040c0:c5=0xa040a0",
		"-f", "lavfi", "-i", "sine=f=300:r=44100:d=8", "-pix_fmt", "yuv420p",
		"-c:v", "libx264", "-preset", "ultrafast", "-crf", "5", "-g", "50", "-c:a", "aac", "-f", "flv", file)
	return file
}

// psnr compares two videos, each after filters of its own, in dB.
func psnr(t *testing.T, a, filterA, b, filterB string) float64 {
	t.Helper()
	args := append([]string{"-nostdin"}, hlstest.Reading(a)...)
	args = append(args, hlstest.Reading(b)...)
	log := filepath.Join(t.TempDir(), "psnr")
	args = append(args, "-filter_complex", fmt.Sprintf("[0:v]%s,setpts=N[a];[1:v]%s,setpts=N[b];[a][b]psnr=stats_file=%s:stats_version=2", filterA, filterB, log), "-f", "null", "-")
	runFFmpeg(t, args...)
	body, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	worst := 100.0
	for _, m := range regexp.MustCompile(`psnr_avg:([0-9.]+)`).FindAllStringSubmatch(string(body), -1) {
		db, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		worst = min(worst, db)
	}
	if worst == 100 {
		t.Fatalf("nothing compared: %s", body)
	}
	return worst
}

// One decode, three projections: each is its own presentation, signalled as what
// it is, and shows the same sphere.
func TestProjections(t *testing.T) {
	t.Parallel()
	mediaHeavy(t)
	body, err := os.ReadFile(sphere(t))
	must(t, err)
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put("recordings/r.flv", body)
	p := newPipeline(t, store, queue, sphereProfile)
	must(t, queue.Send(t.Context(), job.Task{Kind: job.Recording, Key: "recordings/r.flv", Profile: "all"}.Body(), 0))
	drain(t, p, queue)
	jobs, err := catalog.Of(t.Context(), store, "r")
	if err != nil || len(jobs) != 1 || jobs[0].State != catalog.Published {
		t.Fatalf("jobs %+v, %v", jobs, err)
	}
	plan := wholeJob(t, store, jobs[0].Job)
	dir := export(t, store, "vod/r/")

	for _, tc := range []struct {
		ladder, sizes, spherical, signal, back string
		least                                  float64 // dB, against the equirectangular rendition
	}{
		{"equirectangular", "512x256 256x128", "equirectangular", "projection=equirectangular", "null", 0},
		{"cubemap", "384x256 192x128", "cubemap", "projection=cubemap;layout=c3x2;order=rludfb;rotation=000000;pad=0", "v360=c3x2:e:w=512:h=256", 34},
		{"eac", "384x256 192x128", "", "projection=eac;layout=youtube;pad=2", "v360=eac:e:w=512:h=256", 34},
	} {
		t.Run(tc.ladder, func(t *testing.T) {
			master, err := os.ReadFile(filepath.Join(dir, plan.Job, tc.ladder, "master.m3u8"))
			must(t, err)
			var sizes []string
			for _, m := range regexp.MustCompile(`(?m)^#EXT-X-STREAM-INF:.*RESOLUTION=(\S+?),`).FindAllStringSubmatch(string(master), -1) {
				sizes = append(sizes, m[1])
			}
			if got := strings.Join(sizes, " "); got != tc.sizes {
				t.Errorf("sizes %s, want %s", got, tc.sizes)
			}
			if !strings.Contains(string(master), `#EXT-X-SESSION-DATA:DATA-ID="afterlive.projection",VALUE="`+tc.signal+"\"\n") {
				t.Errorf("no session data %q in\n%s", tc.signal, master)
			}
			names, err := filepath.Glob(filepath.Join(dir, plan.Job, tc.ladder, "*p", "index.m3u8"))
			if err != nil || len(names) != 2 {
				t.Fatalf("renditions %v, %v", names, err)
			}
			for _, name := range names {
				checkTrack(t, plan, packets(t, name, "v"))
				out, err := hlstest.Run(t.Context(), "ffprobe", append(hlstest.Reading(name), "-show_entries", "stream_side_data=projection")...)
				must(t, err)
				got := ""
				if said := regexp.MustCompile(`projection=(\w+)`).FindStringSubmatch(string(out)); said != nil {
					got = said[1]
				}
				if got != tc.spherical {
					t.Errorf("ffprobe of %s says %q, want %q", name, got, tc.spherical)
				}
			}
			if tc.least > 0 {
				top := filepath.Join(dir, plan.Job, tc.ladder, "256p", "index.m3u8")
				flat := filepath.Join(dir, plan.Job, "equirectangular", "256p", "index.m3u8")
				if db := psnr(t, top, tc.back, flat, "null"); db < tc.least {
					t.Errorf("turned back, it is %.1f dB from the equirectangular rendition: another sphere", db)
				} else {
					t.Logf("turned back, %.1f dB from the equirectangular rendition", db)
				}
			}
		})
	}
	var asset ladder.Asset
	if _, err := ledger.Load(t.Context(), store, ladder.PointerKey("r"), &asset); err != nil || len(asset.Ladders) != 3 || asset.Ladders[1].Layout.Order != "rludfb" || asset.Ladders[2].Layout.Pad != 2 {
		t.Errorf("asset %+v, %v", asset, err)
	}
}
