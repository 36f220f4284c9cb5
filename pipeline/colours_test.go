package pipeline

import (
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// redStill is a recording of a still red image, tagged by ffmpeg or not.
func redStill(t *testing.T, size string, tags ...string) []byte {
	mediaHeavy(t)
	t.Helper()
	file := filepath.Join(t.TempDir(), "still.flv")
	args := []string{"-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "color=c=0xE01818:s=" + size + ":r=10:d=4"}
	runFFmpeg(t, append(append(args, tags...), "-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-g", "20", "-f", "flv", file)...)
	body, err := os.ReadFile(file)
	must(t, err)
	return body
}

// tagged are the arguments that convert video to a matrix, and say so; untagged only
// convert it.
func tagged(matrix, name string) []string {
	args := untagged(matrix)
	args[1] += ",setparams=color_primaries=" + name + ":color_trc=" + name + ":colorspace=" + name // ffmpeg 7 takes it from frames alone
	return args
}

func untagged(matrix string) []string {
	return []string{"-vf", "scale=out_color_matrix=" + matrix + ":out_range=tv,format=yuv420p"}
}

// Red is red, whatever the recording says of its colours, and when it says something else:
// in every frame, on the poster, in the thumbnails.
func TestColours(t *testing.T) {
	bt601, bt709 := tagged("bt601", "smpte170m"), tagged("bt709", "bt709")
	full := []string{"-vf", "scale=out_color_matrix=bt709:out_range=pc,format=yuvj420p,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=pc"}
	const size, hd = "320x180", "1280x720"
	for _, tc := range []struct {
		name      string
		recording []byte
	}{
		{"BT.601, tagged", redStill(t, size, bt601...)},
		{"BT.709, tagged", redStill(t, size, bt709...)},
		{"BT.709 of full range", redStill(t, size, full...)},
		{"untagged, small", redStill(t, size, untagged("bt601")...)},
		{"untagged, HD", redStill(t, hd, untagged("bt709")...)},
		{"RGB", redStill(t, size, "-pix_fmt", "rgb24", "-c:v", "libx264rgb")},
		{"BT.601, then BT.709", followed(redStill(t, size, bt601...), redStill(t, size, bt709...))},
		{"BT.709, then BT.601", followed(redStill(t, size, bt709...), redStill(t, size, bt601...))},
		{"BT.709, then BT.601 between the frames", inBand(redStill(t, size, bt709...), redStill(t, size, bt601...), 4000)},
		{"BT.709, then of full range", followed(redStill(t, size, bt709...), redStill(t, size, full...))},
		{"untagged, then BT.709", followed(redStill(t, size, untagged("bt601")...), redStill(t, size, bt709...))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out, err := publish(t, tc.recording, "")
			must(t, err)
			want := frame{red: 0xE0, green: 0x18, blue: 0x18}
			check := func(where string, p frame) {
				if max(math.Abs(p.red-want.red), math.Abs(p.green-want.green), math.Abs(p.blue-want.blue)) > 8 {
					t.Errorf("%s: red %.0f green %.0f blue %.0f", where, p.red, p.green, p.blue)
				}
			}
			all, _, _ := frames(t, out.top(t), "fcc") // which nobody has: the result must say its own
			for _, p := range []frame{all[0], all[len(all)/2], all[len(all)-1]} {
				check("frame", p)
			}
			for _, name := range []string{out.asset.Poster, filepath.Join(out.plan.Job, "storyboard", "*.jpg")} {
				files, err := filepath.Glob(filepath.Join(filepath.Dir(out.folder), name))
				must(t, err)
				if len(files) == 0 {
					t.Errorf("there is no %s", name)
				}
				for _, file := range files {
					f, err := os.Open(file)
					must(t, err)
					image, err := jpeg.Decode(f)
					must(t, err)
					f.Close()
					r, g, b, _ := image.At(3, 3).RGBA()
					check(filepath.Base(file), frame{red: float64(r >> 8), green: float64(g >> 8), blue: float64(b >> 8)})
				}
			}
		})
	}
}
