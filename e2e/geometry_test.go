package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"afterlive/internal/inspect"
	"afterlive/internal/planet"
	"afterlive/internal/standin"
)

// world makes an equirectangular recording of 14 s: three chunks of the "sphere"
// profile. It turns through all colours, so that no two frames are alike.
func world(t *testing.T) string {
	t.Helper()
	scene := planet.Scene{Width: 1024, Octaves: 6}
	file := filepath.Join(t.TempDir(), "world.flv")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-y",
		"-f", "rawvideo", "-s", "1024x512", "-pix_fmt", "yuv420p", "-r", "25", "-i", "pipe:0", "-f", "lavfi", "-i", "sine=f=440:r=44100:d=14",
		"-vf", "loop=-1:1,hue=h=10*t", "-t", "14",
		"-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "50", "-c:a", "aac", "-f", "flv", file)
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
	data, address = t.TempDir(), "127.0.0.1:"+standin.FreePort(t)
	enqueue(t, "send", "--data", data, "--as", "world", "--profile", "sphere", world(t))
	enqueue(t, "send", "--data", data, "--as", "short", "--profile", "quick", source(t, "320x180", 25, 5))
	startWorker(t, "--data", data, "--http", address)
	enqueue(t, "status", "--watch", "--timeout", "3m", "--data", data)
	return data, "http://" + address
}

// truth is what ffmpeg shows of a published ladder's frame, looking the same way.
func truth(t *testing.T, playlist, projection string, frame int, size image.Point, yaw, pitch, fov float64) image.Image {
	t.Helper()
	wide := 2 * math.Atan(math.Tan(fov*math.Pi/360)*float64(size.X)/float64(size.Y)) * 180 / math.Pi
	filter := fmt.Sprintf("select=eq(n\\,%d),v360=output=flat:input=%s:w=%d:h=%d:h_fov=%f:v_fov=%f:yaw=%f:pitch=%f:interp=linear,scale=in_color_matrix=bt709", frame, projection, size.X, size.Y, wide, fov, yaw, pitch)
	args := append(inspect.Reading(playlist), "-vf", filter, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	raw, err := inspect.Run(t.Context(), "ffmpeg", args...)
	if err != nil || len(raw) != 3*size.X*size.Y {
		t.Fatalf("ffmpeg shows %d bytes: %v", len(raw), err)
	}
	picture := image.NewRGBA(image.Rectangle{Max: size})
	for i := range size.X * size.Y {
		picture.SetRGBA(i%size.X, i/size.X, color.RGBA{raw[3*i], raw[3*i+1], raw[3*i+2], 255})
	}
	return picture
}

// luma is a pixel's brightness, from 0 to 255.
func luma(p image.Image, x, y int) float64 {
	r, g, b, _ := p.At(x, y).RGBA()
	return (0.299*float64(r) + 0.587*float64(g) + 0.114*float64(b)) / 257
}

// likeness is the PSNR of two pictures' brightness in dB, of the pixels for which
// where is true.
func likeness(a, b image.Image, where func(x, y int) bool) float64 {
	sum, count := 0.0, 0.0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if where(x, y) {
				d := luma(a, x, y) - luma(b, x, y)
				sum, count = sum+d*d, count+1
			}
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

// still opens a ladder at 5 s, paused, and returns the number of the frame shown.
func (b browser) still(address, ladder string) int {
	b.Helper()
	b.visit(address + "/player/?asset=world&ladder=" + ladder)
	b.run("player.stage.sync.pause(); Object.assign(document.getElementById('stage').style, {flex: 'none', width: '400px', height: '400px'}); player.stage.sync.seek(5)")
	b.wait(10*time.Second, "!player.stage.panes[0].video.seeking && Math.abs(player.stage.panes[0].shown.time - 5) < 0.1")
	return int(math.Round(evaluate[float64](b, "player.stage.panes[0].shown.time") * 25))
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
			for _, d := range [][2]float64{{0, 0}, {90, 0}, {180, 0}, {-90, 0}, {0, 90}, {0, -90}, {45, 35}, {-135, -35}, {170, 10}} {
				got := b.look(d[0], d[1], 90)
				want := truth(t, playlist, p.input, frame, got.Bounds().Size(), d[0], d[1], 90)
				db := likeness(got, want, everywhere)
				t.Logf("yaw %g pitch %g: %.1f dB", d[0], d[1], db)
				if db < 36 {
					t.Errorf("yaw %g pitch %g: %.1f dB from what ffmpeg shows", d[0], d[1], db)
				}
			}
			if p.ladder != "equirectangular" {
				seams(b, flat, frame)
			}
		})
	}
}

// seams looks along all twelve edges of the cube, and holds a band of 5 pixels on
// each against the equirectangular ladder, which has no edges there: the error in the
// band must be about that beside it.
func seams(b browser, flat string, frame int) {
	b.Helper()
	const fov = 50
	for _, e := range [][3]float64{ // yaw, pitch; and which plane the edge is in
		{45, 0}, {135, 0}, {-135, 0}, {-45, 0},
		{0, 45}, {90, 45}, {180, 45}, {-90, 45}, {0, -45}, {90, -45}, {180, -45}, {-90, -45},
	} {
		yaw, pitch := e[0], e[1]
		got := b.look(yaw, pitch, fov)
		size := got.Bounds().Size()
		want := truth(b.T, flat, "e", frame, size, yaw, pitch, fov)
		onEdge := func(x, y int) bool { // through the middle: upright between side faces, level above and below
			if pitch == 0 {
				return abs(x-size.X/2) <= 2
			}
			return abs(y-size.Y/2) <= 2
		}
		edge := likeness(got, want, onEdge)
		beside := likeness(got, want, func(x, y int) bool { return !onEdge(x, y) })
		b.Logf("edge at yaw %g pitch %g: %.1f dB, beside it %.1f dB", yaw, pitch, edge, beside)
		if edge < beside-3 || edge < 30 {
			b.Errorf("edge at yaw %g pitch %g: %.1f dB, beside it %.1f dB: the seam shows", yaw, pitch, edge, beside)
		}
	}
}

func abs(n int) int { return max(n, -n) }
