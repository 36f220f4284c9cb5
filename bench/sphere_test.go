package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/flv"
	"afterlive.alt/ladder"
)

// Everything is run with fewFrames and with manyFrames, and the difference counts:
// v360 takes seconds to start, once a chunk.
const fewFrames, manyFrames = 8, 56

// sphere makes an equirectangular recording of 3840x1920.
func sphere(b *testing.B, frames int) (recording []byte, index *flv.Index) {
	b.Helper()
	file := filepath.Join(made, fmt.Sprintf("sphere-%d.flv", frames))
	unlessMade(b, file, fmt.Sprintf("ffmpeg -v error -nostdin -y -f lavfi -i testsrc2=s=3840x1920:r=24 -frames:v %d -pix_fmt yuv420p "+
		"-c:v libx264 -preset ultrafast -crf 18 -g 48 -f flv $OUT", frames))
	recording, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	if index, err = flv.Scan(bytes.NewReader(recording)); err != nil {
		b.Fatal(err)
	}
	return recording, index
}

// frameCost is what a frame takes: seconds of processor time; and ffmpeg's peak memory.
func frameCost(b *testing.B, command func(frames int) (args []string, stdin []byte)) (cpu, peak float64) {
	b.Helper()
	args, stdin := command(fewFrames)
	few, _ := ffmpeg(b, args, stdin)
	args, stdin = command(manyFrames)
	many, _ := ffmpeg(b, args, stdin)
	return (many.cpu - few.cpu).Seconds() / (manyFrames - fewFrames), float64(many.peak)
}

// What a projection costs, against the profile "360": processor time for every frame of
// 3840x1920, all renditions encoded, and peak memory.
func BenchmarkProjections(b *testing.B) {
	profiles, err := ladder.ParseProfiles(nil)
	if err != nil {
		b.Fatal(err)
	}
	linear := profiles["cubemap"]
	linear.Ladders = []ladder.ProfileLadder{linear.Ladders[0]}
	linear.Ladders[0].Interpolation = "linear"
	profiles["cubemap, linear"] = linear
	for b.Loop() {
		cpu, peak := 0.0, 0.0
		for _, name := range []string{"360", "cubemap, linear", "cubemap", "eac", "compare"} {
			frame, most := frameCost(b, func(frames int) ([]string, []byte) {
				recording, index := sphere(b, frames)
				plan, err := ladder.New(index, profiles[name], ladder.Trim{})
				if err != nil {
					b.Fatal(err)
				}
				chunks := plan.Due(index, nil)
				return plan.ChunkArgs(chunks[0], 0), recording
			})
			if name == "360" {
				cpu, peak = frame, most
				continue
			}
			report(b, "projections", name, "processor time of a frame / of profile 360", frame/cpu, "")
			report(b, "projections", name, "peak memory / of profile 360", most/peak, "")
		}
	}
}

// The ways to make a cubemap's renditions, filters alone, against ours of the same
// interpolation: once at the largest size, then scaled.
func BenchmarkCubemapFilters(b *testing.B) {
	faces := []int{960, 640, 480, 320, 240, 160}
	graph := func(whole, each string) string { // each is given a face's edge and 2, 3 and 4 of them
		graph, outputs := "", ""
		for _, f := range faces {
			outputs += fmt.Sprintf("[s%d]", f)
			graph += ";" + strings.NewReplacer("$1", fmt.Sprint(f), "$2", fmt.Sprint(2*f), "$3", fmt.Sprint(3*f), "$4", fmt.Sprint(4*f)).Replace("[s$1]"+each+"[o$1]")
		}
		return fmt.Sprintf("[0:v]%ssplit=%d%s%s", whole, len(faces), outputs, graph)
	}
	for b.Loop() {
		once := 0.0
		for _, way := range []struct{ interpolation, name, graph string }{
			{"cubic", "", graph("v360=e:c3x2:interp=cubic:w=2880:h=1920,", "scale=$3:$2:flags=bicubic")},
			{"cubic", "v360 for each rendition", graph("", "v360=e:c3x2:interp=cubic:w=$3:h=$2")},
			{"cubic", "scaled, then v360 for each", graph("", "scale=$4:$2:flags=bicubic,v360=e:c3x2:interp=cubic:w=$3:h=$2")},
			{"linear", "", graph("v360=e:c3x2:interp=linear:w=2880:h=1920,", "scale=$3:$2:flags=bicubic")},
			{"linear", "v360 for each rendition", graph("", "v360=e:c3x2:interp=linear:w=$3:h=$2")},
		} {
			frame, _ := frameCost(b, func(frames int) ([]string, []byte) {
				args := []string{"-f", "lavfi", "-i", "color=gray:s=3840x1920:r=24,format=yuv420p", "-filter_complex", way.graph}
				for _, f := range faces {
					args = append(args, "-map", fmt.Sprintf("[o%d]", f), "-frames:v", fmt.Sprint(frames), "-f", "null", "-")
				}
				return args, nil
			})
			if way.name == "" {
				once = frame
				continue
			}
			report(b, "cubemaps", way.interpolation+", "+way.name, "processor time of the filters / v360 once, at the largest size", frame/once, "")
		}
	}
}
