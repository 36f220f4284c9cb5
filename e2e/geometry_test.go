package e2e

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/internal/testsphere"
)

// world makes an equirectangular recording of 14 s: three chunks of the "sphere"
// profile. It turns through all colours, so that no two frames are alike.
func world(t *testing.T) string {
	t.Helper()
	scene := testsphere.Scene{Width: 1024, Octaves: 6}
	file := filepath.Join(t.TempDir(), "world.flv")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-y",
		"-f", "rawvideo", "-s", "1024x512", "-pix_fmt", "yuv420p", "-r", "10", "-i", "pipe:0", "-f", "lavfi", "-i", "sine=f=440:r=44100:d=14",
		"-vf", "loop=-1:1,hue=h=10*t", "-t", "14",
		"-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "20", "-c:a", "aac", "-f", "flv", file)
	cmd.Stdin = bytes.NewReader(scene.Frame(0))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make world: %v\n%s", err, out)
	}
	return file
}

// published publishes the world in a folder, and returns the folder and the
// address of the worker that serves it.
func published(t *testing.T) (data, address string) {
	t.Helper()
	data, address = t.TempDir(), "127.0.0.1:"+testenv.FreePort(t)
	enqueue(t, "send", "--data", data, "--as", "world", "--profile", "sphere", world(t))
	enqueue(t, "send", "--data", data, "--as", "short", "--profile", "quick", source(t, "320x180", 25, 5))
	startWorker(t, "--data", data, "--http", address)
	enqueue(t, "status", "--watch", "--timeout", patience.String(), "--data", data)
	return data, "http://" + address
}

// view is a direction to look in, and a field of view, in degrees.
type view struct{ yaw, pitch, fov float64 }

// truth is what ffmpeg shows of a published ladder's frame, looking the same ways.
func truth(t *testing.T, playlist, projection string, frame int, size image.Point, views []view) (pictures []brightness) {
	t.Helper()
	var taps, graph strings.Builder
	for i, v := range views {
		wide := 2 * math.Atan(math.Tan(v.fov*math.Pi/360)*float64(size.X)/float64(size.Y)) * 180 / math.Pi
		fmt.Fprintf(&taps, "[a%d]", i)
		fmt.Fprintf(&graph, ";[a%d]v360=output=flat:input=%s:w=%d:h=%d:h_fov=%f:v_fov=%f:yaw=%f:pitch=%f:interp=linear,scale=in_color_matrix=auto,format=rgb24[b%d]",
			i, projection, size.X, size.Y, wide, v.fov, v.yaw, v.pitch, i)
	}
	filter := fmt.Sprintf("[0:v]select=eq(n\\,%d),split=%d%s%s;%svstack=inputs=%d", frame, len(views), taps.String(), graph.String(), strings.ReplaceAll(taps.String(), "a", "b"), len(views))
	args := append(hlstest.Reading(playlist), "-filter_complex", filter, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	raw, err := hlstest.Run(t.Context(), "ffmpeg", args...)
	one := 3 * size.X * size.Y
	if err != nil || len(raw) != one*len(views) {
		t.Fatalf("ffmpeg shows %d bytes: %v", len(raw), err)
	}
	for ; len(raw) > 0; raw = raw[one:] {
		p := brightness{size.X, make([]float64, 0, one/3)}
		for i := 0; i < one; i += 3 {
			p.pixels = append(p.pixels, 0.299*float64(raw[i])+0.587*float64(raw[i+1])+0.114*float64(raw[i+2]))
		}
		pictures = append(pictures, p)
	}
	return pictures
}

// brightness is that of a picture's pixels, row by row, from 0 to 255.
type brightness struct {
	width  int
	pixels []float64
}

func brightnessOf(p image.Image) brightness {
	size := p.Bounds().Size()
	b := brightness{size.X, make([]float64, 0, size.X*size.Y)}
	for y := range size.Y {
		for x := range size.X {
			b.pixels = append(b.pixels, luma(p, x, y))
		}
	}
	return b
}

// luma is a pixel's brightness, from 0 to 255.
func luma(p image.Image, x, y int) float64 {
	r, g, b, _ := p.At(x, y).RGBA()
	return (0.299*float64(r) + 0.587*float64(g) + 0.114*float64(b)) / 257
}

// likeness is the PSNR of two pictures' brightness in dB, of the pixels for which
// where is true.
func likeness(a, b brightness, where func(x, y int) bool) float64 {
	sum, count := 0.0, 0.0
	for i := range a.pixels {
		if where(i%a.width, i/a.width) {
			d := a.pixels[i] - b.pixels[i]
			sum, count = sum+d*d, count+1
		}
	}
	return 10 * math.Log10(255*255*count/sum)
}

func everywhere(int, int) bool { return true }

// projections are the ladders of the "sphere" profile, in v360's words.
var projections = []struct{ ladder, input string }{
	{"equirectangular", "e"},
	{"cubemap", "c3x2"},
	{"turned", "c3x2:in_forder=lfrdbu:in_frot=000313:fin_pad=8"},
	{"eac", "eac"},
}

// everyWay is ahead and behind, left and right, up and down, and between.
var everyWay = []view{{0, 0, 90}, {90, 0, 90}, {180, 0, 90}, {-90, 0, 90}, {0, 90, 90}, {0, -90, 90}, {45, 35, 90}, {-135, -35, 90}, {170, 10, 90}}

// stage is the size of the player's, where it is held against what ffmpeg shows.
var stage = image.Point{X: 256, Y: 256}

// still opens a ladder at 5 s, paused, and returns the number of the frame shown.
func (b browser) still(address, ladder string) int {
	b.Helper()
	b.visit(address + "/player/?asset=world&ladder=" + ladder)
	b.run("player.stage.sync.pause(); Object.assign(document.getElementById('stage').style, {flex: 'none', width: '256px', height: '256px'}); player.stage.sync.seek(5)")
	b.wait("!player.stage.panes[0].video.seeking && Math.abs(player.stage.panes[0].shown.time - 5) < 0.1")
	return int(math.Round(evaluate[float64](b, "player.stage.panes[0].shown.time") * 10))
}

func playlistOf(t *testing.T, data, ladder string) string {
	t.Helper()
	names, err := filepath.Glob(data + "/vod/world/*/" + ladder + "/*p/index.m3u8")
	if err != nil || len(names) != 1 {
		t.Fatalf("playlists of %s: %v, %v", ladder, names, err)
	}
	return names[0]
}

// The player shows what ffmpeg shows, whatever the projection and wherever one
// looks, and no face ends visibly.
func playerGeometry(t *testing.T, data, address string) {
	b := openBrowser(t)
	flat := playlistOf(t, data, "equirectangular")
	for _, p := range projections {
		t.Run(p.ladder, func(t *testing.T) {
			b := browser{t, b.ctx}
			frame := b.still(address, p.ladder)
			playlist := playlistOf(t, data, p.ladder)
			var shown []brightness
			for _, v := range everyWay {
				shown = append(shown, brightnessOf(b.look(v.yaw, v.pitch, v.fov)))
			}
			for i, want := range truth(t, playlist, p.input, frame, stage, everyWay) {
				db := likeness(shown[i], want, everywhere)
				t.Logf("%+v: %.1f dB", everyWay[i], db)
				if db < 36 {
					t.Errorf("%+v: %.1f dB from what ffmpeg shows", everyWay[i], db)
				}
			}
			if p.ladder != "equirectangular" {
				seams(b, flat, frame)
			}
		})
	}
}

// seams looks along all twelve edges of the cube, and holds a band of 3 pixels on
// each against the equirectangular ladder, which has no edges there: the error in the
// band must be about that beside it.
func seams(b browser, flat string, frame int) {
	b.Helper()
	var edges []view
	var shown []brightness
	for _, yaw := range []float64{45, 135, -135, -45} {
		edges = append(edges, view{yaw, 0, 50})
	}
	for _, yaw := range []float64{0, 90, 180, -90} {
		edges = append(edges, view{yaw, 45, 50}, view{yaw, -45, 50})
	}
	for _, v := range edges {
		shown = append(shown, brightnessOf(b.look(v.yaw, v.pitch, v.fov)))
	}
	for i, want := range truth(b.T, flat, "e", frame, stage, edges) {
		onEdge := func(x, y int) bool { // through the middle: upright between side faces, level above and below
			if edges[i].pitch == 0 {
				return abs(x-stage.X/2) <= 1
			}
			return abs(y-stage.Y/2) <= 1
		}
		edge := likeness(shown[i], want, onEdge)
		beside := likeness(shown[i], want, func(x, y int) bool { return !onEdge(x, y) })
		b.Logf("edge at %+v: %.1f dB, beside it %.1f dB", edges[i], edge, beside)
		if edge < beside-3 || edge < 30 {
			b.Errorf("edge at %+v: %.1f dB, beside it %.1f dB: the seam shows", edges[i], edge, beside)
		}
	}
}

func abs(n int) int { return max(n, -n) }
