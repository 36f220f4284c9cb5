package bench

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/ladder"
)

// contents are three kinds of recording of a minute each, 1280x720 at 30 fps.
func contents(b *testing.B) map[string]string {
	b.Helper()
	all := map[string]string{"camera": camera(b, 1)}
	for name, pattern := range map[string]string{
		"slides": "testsrc2=s=1280x720:r=1/10,fps=30",
		"stage":  "life=s=320x180:r=30:mold=10:ratio=0.2:death_color=#402010:life_color=#f0e0a0,scale=1280:720:flags=bilinear,noise=alls=12:allf=t",
	} {
		file := filepath.Join(made, name+"-1min.flv")
		unlessMade(b, file, "ffmpeg -v error -nostdin -y -f lavfi -i '"+pattern+"' -f lavfi -i sine=f=440:r=44100 -t 60 "+
			"-c:v libx264 -preset veryfast -crf 18 -maxrate 8M -bufsize 16M -pix_fmt yuv420p -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac -b:a 128k -f flv $OUT")
		all[name] = file
	}
	return all
}

// What a ladder that fits the recording saves, against the profile as it is: bits that
// are stored, processor time; and what a viewer sees of it, whose network has some rate
// between 150 kb/s and 8 Mb/s.
func BenchmarkFit(b *testing.B) {
	profile := variant(b, "plain", "fit: true", "fit: false")
	for b.Loop() {
		all := contents(b)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			file := all[name]
			fitted := published(b, job{file: file})
			whole := published(b, job{file: file, profile: "plain", flags: []string{"--profiles", profile}})
			report(b, "fitted ladder", name, "renditions / renditions of the profile", float64(len(fitted.rungs))/float64(len(whole.rungs)), "")
			report(b, "fitted ladder", name, "bits / without", float64(fitted.bits)/float64(whole.bits), "")
			report(b, "fitted ladder", name, "processor time / without", fitted.cpu.Seconds()/whole.cpu.Seconds(), "")
			report(b, "fitted ladder", name, "SSIM that viewers see, of all networks, less that without", fitted.seen()-whole.seen(), ">= -0.005")
			for _, r := range whole.rungs {
				if i := index(fitted.rungs, r.name); i >= 0 {
					report(b, "fitted ladder", name+", "+r.name, "bits / without", fitted.rungs[i].rate/r.rate, "")
					report(b, "fitted ladder", name+", "+r.name, "SSIM less that without", fitted.rungs[i].ssim-r.ssim, "")
				}
			}
		}
	}
}

// variant is a file with the flat profile under another name, and with a change.
func variant(b *testing.B, name, from, to string) string {
	b.Helper()
	built, err := os.ReadFile("../ladder/profiles.yaml")
	if err != nil {
		b.Fatal(err)
	}
	first, end := bytes.Index(built, []byte("- name: flat")), bytes.Index(built, []byte(`- name: "360"`))
	text := strings.Replace(string(built[first:end]), "- name: flat", "- name: "+name, 1)
	if !strings.Contains(text, from) {
		b.Fatalf("the profile has no %q", from)
	}
	file := filepath.Join(b.TempDir(), name+".yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(text, from, to, 1)), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}

// rung is a rendition as it turned out, held against the recording at its own size.
type rung struct {
	name string
	rate float64 // bit/s
	ssim float64
}

type measured struct {
	outcome

	rungs []rung // from the top
}

// published publishes a recording and measures every rendition.
func published(b *testing.B, j job) measured {
	b.Helper()
	data := b.TempDir()
	j.data = data
	m := measured{outcome: embedded(b, j)}
	asset := inFolder(data)()
	for _, r := range asset.Ladders[0].Renditions {
		m.rungs = append(m.rungs, rung{name: r.Name, rate: float64(r.Average), ssim: ssim(b, data+"/vod/bench/"+r.MediaList, j.file, m.plan)})
	}
	return m
}

func index(all []rung, name string) int {
	for i, r := range all {
		if r.name == name {
			return i
		}
	}
	return -1
}

// seen is the mean over networks of the best SSIM that each can play.
func (m measured) seen() float64 {
	const networks, least, most, audio = 60, 150e3, 8e6, 128e3
	total := 0.0
	for i := range networks {
		rate := least * math.Pow(most/least, float64(i)/(networks-1))
		best := m.rungs[len(m.rungs)-1].ssim // of those that are too much for it, the least
		for _, r := range m.rungs {
			if r.rate+audio <= rate {
				best = max(best, r.ssim)
			}
		}
		total += best
	}
	return total / networks
}

var allSSIM = regexp.MustCompile(`SSIM .*All:([0-9.]+)`)

// ssim compares a rendition, scaled to the recording's size, with the recording.
func ssim(b *testing.B, playlist, file string, plan *ladder.Plan) float64 {
	b.Helper()
	graph := fmt.Sprintf("[0:v]scale=%d:%d:flags=bicubic,settb=1/1000,setpts=N[a];[1:v]fps=%s:start_time=0,settb=1/1000,setpts=N[b];[a][b]ssim=shortest=1", plan.Source.Width, plan.Source.Height, plan.Rate)
	args := append(hlstest.Reading(playlist), "-i", file, "-filter_complex", graph, "-an", "-v", "info", "-f", "null", "-")
	out, err := exec.CommandContext(b.Context(), "ffmpeg", append([]string{"-nostdin", "-hide_banner"}, args...)...).CombinedOutput()
	if err != nil {
		b.Fatalf("ssim: %v\n%s", err, out)
	}
	m := allSSIM.FindSubmatch(out)
	if m == nil {
		b.Fatalf("ssim says:\n%s", out)
	}
	value, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return value
}
