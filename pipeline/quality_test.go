package pipeline

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/internal/testsphere"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

const qualityProfile = `
- name: all
  chunk: 6s
  quality: 8
  ladders:
    - name: equirectangular
      projection: equirectangular
      rungs: [&big {height: 256, crf: 20, maxrate: 9000k, bufsize: 9000k, preset: veryfast}, &less {height: 256, crf: 26, maxrate: 9000k, bufsize: 9000k, preset: veryfast}, &small {height: 128, crf: 28, maxrate: 9000k, bufsize: 9000k, preset: veryfast}]
    - name: cubemap
      projection: cubemap
      layout: {order: lfrdbu, rotation: "000313", pad: 4}
      rungs: [&bigface {face: 128, crf: 20, maxrate: 9000k, bufsize: 9000k, preset: veryfast}, &lessface {face: 128, crf: 26, maxrate: 9000k, bufsize: 9000k, preset: veryfast}, &smallface {face: 64, crf: 28, maxrate: 9000k, bufsize: 9000k, preset: veryfast}]
    - name: eac
      projection: eac
      rungs: [*bigface, *lessface, *smallface]
`

// drifting makes an equirectangular recording of 12 s: five new frames a second.
func drifting(t *testing.T) []byte {
	mediaHeavy(t)
	t.Helper()
	return once("drifting", func() []byte { return drift(t) })
}

func drift(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "drifting.flv")
	scene := testsphere.Scene{Width: 512, Octaves: 6, Grain: 1}
	frames, source := io.Pipe()
	go func() {
		for n := range 60 {
			if _, err := source.Write(scene.Frame(float64(n) / 5)); err != nil {
				break // ffmpeg will say why it no longer reads
			}
		}
		_ = source.Close() // never fails
	}()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-y",
		"-f", "rawvideo", "-s", "512x256", "-pix_fmt", "yuv420p", "-r", "5", "-i", "pipe:0", "-vf", "fps=25",
		"-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-g", "50", "-f", "flv", file)
	cmd.Stdin = frames
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	body, err := os.ReadFile(file)
	must(t, err)
	return body
}

const transportQuality = `
- name: all
  container: ts
  chunk: 6s
  quality: 4
  ladders:
    - {name: equirectangular, projection: equirectangular, rungs: [{height: 256, crf: 20, maxrate: 9000k, bufsize: 9000k, preset: veryfast}]}
`

// Transport streams are measured like fMP4: the frames are the same.
func TestQualityOfTransportStreams(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	recording := drifting(t)
	var spheres []float64
	for _, profiles := range []string{transportQuality, strings.ReplaceAll(transportQuality, "  container: ts\n", "")} {
		store, queue := testenv.NewMemory(), &testenv.Messages{}
		store.Put("recordings/r.flv", recording)
		_, q := qualityOf(t, newPipeline(t, store, queue, profiles), store, queue)
		spheres = append(spheres, q.Ladders[0].Renditions[0].Sphere)
	}
	if spheres[0] != spheres[1] || spheres[0] < 30 {
		t.Errorf("measured %v dB", spheres)
	}
}

// qualityOf publishes the recording with profile "all", and returns what was measured.
func qualityOf(t *testing.T, p *Pipeline, store *testenv.Memory, queue *testenv.Messages) (asset ladder.Asset, q ladder.Quality) {
	t.Helper()
	must(t, queue.Send(t.Context(), job.Task{Kind: job.Recording, Key: "recordings/r.flv", Profile: "all"}.Body(), 0))
	drain(t, p, queue)
	_, err := ledger.Load(t.Context(), store, ladder.PointerKey("r"), &asset)
	must(t, err)
	_, err = ledger.Load(t.Context(), store, "vod/r/"+asset.Quality, &q)
	must(t, err)
	return asset, q
}

// gray decodes the given frames of an input after a filter, as brightness.
func gray(t *testing.T, input, filter string, frames []int) [][]byte {
	t.Helper()
	var wanted []string
	for _, n := range frames {
		wanted = append(wanted, fmt.Sprintf("eq(n\\,%d)", n))
	}
	filter = "select=" + strings.Join(wanted, "+") + "," + filter + ",format=yuv420p,extractplanes=y"
	raw := runFFmpeg(t, append(append([]string{"-nostdin"}, hlstest.Reading(input)...), "-vf", filter, "-fps_mode", "passthrough", "-f", "rawvideo", "-")...)
	const size = 512 * 256
	var out [][]byte
	for i := range frames {
		out = append(out, raw[i*size:(i+1)*size])
	}
	return out
}

// exactWSPSNR is the definition itself: every pixel's error weighed by the area that
// it covers on the sphere, cos((y + 0.5 - H/2) pi/H) (JVET-H0022).
func exactWSPSNR(a, b [][]byte, width, height int) float64 {
	sum, weights := 0.0, 0.0
	for f := range a {
		for y := range height {
			w := math.Cos((float64(y) + 0.5 - float64(height)/2) * math.Pi / float64(height))
			for x := range width {
				d := float64(a[f][y*width+x]) - float64(b[f][y*width+x])
				sum, weights = sum+w*d*d, weights+w
			}
		}
	}
	return 10 * math.Log10(255*255*weights/sum)
}

// What is measured of published renditions is what the definition gives, and orders
// them as their bits do.
func TestQuality(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	recording := drifting(t)
	store.Put("recordings/r.flv", recording)
	p := newPipeline(t, store, queue, qualityProfile)
	asset, q := qualityOf(t, p, store, queue)
	if q.Anchor != "equirectangular" || q.Frames != 8 || fmt.Sprint(q.Segments) != "[0 1]" || len(q.Ladders) != 3 {
		t.Errorf("measured %+v", q)
	}

	dir := export(t, store, "vod/r/"+asset.Job+"/")
	file := filepath.Join(t.TempDir(), "r.flv")
	must(t, os.WriteFile(file, recording, 0o644))
	sampled := []int{18, 55, 92, 129, 168, 205, 242, 279}
	want := gray(t, file, "null", sampled)
	for i, l := range q.Ladders {
		back := [3]string{"scale=512:256:flags=bicubic", "scale=384:256:flags=bicubic,v360=c3x2:e:in_forder=lfrdbu:in_frot=000313:fin_pad=4:interp=cubic:w=512:h=256", "scale=384:256:flags=bicubic,v360=eac:e:interp=cubic:w=512:h=256"}[i]
		for j, r := range l.Renditions {
			exact := exactWSPSNR(gray(t, filepath.Join(dir, l.Name, r.Name, "index.m3u8"), back, sampled), want, 512, 256)
			t.Logf("%s/%s: %d bit/s, sphere-weighted %.2f dB (exactly %.2f), views %.2f dB", l.Name, r.Name, r.Bitrate, r.Sphere, exact, r.Viewports)
			if math.Abs(exact-r.Sphere) > 0.1 {
				t.Errorf("%s/%s: measured %.2f dB, the definition gives %.2f", l.Name, r.Name, r.Sphere, exact)
			}
			if j > 0 && (r.Bitrate >= l.Renditions[j-1].Bitrate || r.Sphere >= l.Renditions[j-1].Sphere || r.Viewports >= l.Renditions[j-1].Viewports) {
				t.Errorf("%s/%s isn't worse than the one above", l.Name, r.Name)
			}
		}
		if (l.BDRate == nil) != (i == 0) || i > 0 && l.BDRate.Sphere.WhyNot+l.BDRate.Viewports.WhyNot != "" {
			t.Errorf("%s: BD-rate %+v", l.Name, l.BDRate)
		} else if i > 0 {
			t.Logf("%s: %+v", l.Name, *l.BDRate)
		}
	}

	// Once measured, it is not measured again, whoever asks.
	store.Before = func(op, key string) error {
		if op == "load" && strings.HasSuffix(key, ".m4s") {
			return errors.New("nothing is to be measured")
		}
		return nil
	}
	must(t, queue.Send(t.Context(), job.Task{Kind: job.Recording, Key: "recordings/r.flv", Profile: "all"}.Body(), 0))
	must(t, queue.Send(t.Context(), job.Task{Kind: job.Quality, Job: asset.Job}.Body(), 0))
	drain(t, p, queue)
}
