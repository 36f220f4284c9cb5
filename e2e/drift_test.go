package e2e

import (
	"bufio"
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// A stream of two hours, whose sound card runs faster than the encoder's clock by 100 millionths, is followed as it grows: at its end, too, video
// and audio are in step to 20 ms. By count, the audio would be 0.7 s late by then. "make soak" does it.
func TestTwoHoursOfDrift(t *testing.T) {
	if !*soak {
		t.Skip("make soak runs this: it takes minutes")
	}
	const lasts, fast, every = 7200, 1.0001, 60
	recorded := drifting(t, lasts, fast, every)
	data, rec := t.TempDir(), t.TempDir()
	startFollow(t, "--data", data, "--profile", "quick", "--every", "1s", rec)
	startWorker(t, "--data", data, "--http", "127.0.0.1:"+testenv.FreePort(t), "--slots", "2")
	name := "talk-1764000000"
	file, err := os.Create(filepath.Join(rec, name+".flv"))
	must(t, err)
	store, err := blob.NewDir(data)
	must(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for left := recorded; len(left) > 0; {
		n := min(len(left), 1+random.IntN(len(recorded)/20))
		_, err := file.Write(left[:n])
		must(t, err)
		left = left[n:]
		written := int64(len(recorded) - len(left))
		eventually(t, patience, "it is shipped", func() bool {
			s, _, err := growing.Load(t.Context(), store, "recordings/live/talk/"+name+".flv")
			return err == nil && s.End > written-100_000
		})
	}
	must(t, file.Close())
	asset := data + "/vod/live/talk/" + name + "/"
	eventually(t, 4*patience, "it is on demand", func() bool {
		body, err := os.ReadFile(asset + ladder.PointerFile)
		return err == nil && !bytes.Contains(body, []byte(`"live"`))
	})
	flashes, beeps := flashesOf(t, asset+ladder.MasterFile), beepsOf(t, asset+ladder.MasterFile)
	if len(flashes) < lasts/every || len(flashes) != len(beeps) {
		t.Fatalf("flashes at %v, beeps at %v", flashes, beeps)
	}
	flashes = flashes[:lasts/every-1] // behind the last one, it ends
	worst := 0.0
	for i, at := range flashes {
		worst = max(worst, math.Abs(beeps[i]-at))
	}
	t.Logf("%d flashes and beeps, at most %.1f ms apart; the last %.1f ms", len(flashes), 1000*worst, 1000*(beeps[len(flashes)-1]-flashes[len(flashes)-1]))
	if worst > 0.02 {
		t.Errorf("video and audio are up to %.1f ms apart", 1000*worst)
	}
}

// drifting is a recording with a flash and a beep every so many seconds. Its audio has more samples than belong to its timestamps.
func drifting(t *testing.T, seconds int, fast float64, every int) []byte {
	t.Helper()
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	made := filepath.Join(t.TempDir(), "made.flv")
	at := func(clock string) string {
		return "lt(mod(" + clock + "+" + number(float64(every)-0.5) + "," + strconv.Itoa(every) + "),0.5)"
	}
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=10,eq=brightness=-0.6,drawbox=c=white:t=fill:enable='"+at("t")+"'",
		"-f", "lavfi", "-i", "aevalsrc='if("+at("t/"+number(fast))+",0.5*sin(5000*t),0)':s=48000", "-t", strconv.Itoa(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "20", "-c:a", "aac", "-b:a", "48k", "-flvflags", "no_duration_filesize", made).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body, err := os.ReadFile(made)
	must(t, err)
	for tags := flv.ReadTags(bytes.NewReader(body), 0); ; {
		x, err := tags.Next()
		if err != nil {
			return body
		}
		if x.Kind == flv.AudioFrame {
			flv.Retime(body[x.Offset:x.Offset+x.Size], int64(math.Round(float64(x.Time)/fast)))
		}
	}
}

// flashesOf are the times at which the video is no longer dark.
func flashesOf(t *testing.T, master string) []float64 {
	t.Helper()
	return timesOf(t, `black_end:([0-9.]+)`, "-i", master, "-map", "0:v:0", "-an", "-vf", "blackdetect=d=1:pix_th=0.6", "-f", "null", "-")
}

// beepsOf are the times at which silence ends.
func beepsOf(t *testing.T, master string) []float64 {
	t.Helper()
	return timesOf(t, `silence_end: ([0-9.]+)`, "-i", master, "-map", "0:a:0", "-vn", "-af", "silencedetect=n=-30dB:d=1", "-f", "null", "-")
}

func timesOf(t *testing.T, pattern string, args ...string) (all []float64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-hide_banner", "-nostats", "-copyts"}, args...)...)
	out, err := cmd.CombinedOutput()
	must(t, err)
	says := regexp.MustCompile(pattern)
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if m := says.FindStringSubmatch(lines.Text()); m != nil {
			at, err := strconv.ParseFloat(m[1], 64)
			must(t, err)
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return all
}
