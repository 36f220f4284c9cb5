package ladder

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

func TestFaces(t *testing.T) {
	for _, tc := range []struct {
		width, height int
		faces         float64
		want          string
	}{
		{3840, 1920, 0.25, "2880x1920 1920x1280 1440x960 960x640 720x480 480x320"},
		{3840, 1920, 0.2, "1920x1280 1440x960 960x640 720x480 480x320"},
		{4096, 2048, 0.318, "2880x1920 1920x1280 1440x960 960x640 720x480 480x320"},
		{1920, 960, 0.25, "1440x960 960x640 720x480 480x320"},
		{644, 322, 0.25, "480x320"}, // below all rungs: 161 pixels, in steps of 16
		{64, 32, 0.25, "48x32"},
	} {
		p := profile(t, "cubemap")
		p.Ladders[0].Faces = tc.faces
		out := plan(t, index(tc.width, tc.height, flv.Rate{Num: 30, Den: 1}, time.Minute, time.Second), p)
		var got []string
		for _, r := range out.Ladders[0].Renditions {
			got = append(got, fmt.Sprintf("%dx%d", r.Width, r.Height))
			if edge := r.Height / 2; 3*edge != r.Width || edge%16 != 0 || float64(edge) > tc.faces*float64(tc.width) {
				t.Errorf("%dx%d from %d: a face's edge is %d", r.Width, r.Height, tc.width, edge)
			}
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%dx%d at %g: %s, want %s", tc.width, tc.height, tc.faces, s, tc.want)
		}
	}
}

// What is no whole sphere is refused by profiles that need one, never distorted.
func TestNotASphere(t *testing.T) {
	for _, name := range []string{"360", "cubemap", "eac", "compare"} {
		for size, want := range map[[2]int]string{
			{3840, 1920}: "", {1920, 962}: "", {1920, 1080}: "flat", {2048, 2048}: "stereo", {3840, 2160}: "flat", {1920, 1920}: "stereo",
		} {
			_, err := New(index(size[0], size[1], flv.Rate{Num: 30, Den: 1}, time.Minute, time.Second), profile(t, name), Trim{})
			refused, ok := errors.AsType[*flv.Error](err)
			if (want == "") != (err == nil) || (want != "" && (!ok || refused.Reason != NotSphere || !strings.Contains(refused.Detail, want))) {
				t.Errorf("%s of %v: %v, want %q", name, size, err, want)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	p := plan(t, index(1280, 640, flv.Rate{Num: 30, Den: 1}, time.Minute, 2*time.Second), profile(t, "compare"))
	golden(t, "args-compare.txt", strings.Join(p.ChunkArgs(p.Chunks[0], 0), "\n")+"\n")
	out, err := Assemble(p.Job, made(p, 400_000))
	if err != nil {
		t.Fatal(err)
	}
	masters := out.Masters()
	if len(masters) != 3 {
		t.Fatalf("%d masters", len(masters))
	}
	golden(t, "master-cubemap.m3u8", string(masters[1].Body))
	golden(t, "master-eac.m3u8", string(masters[2].Body))
}

func TestSphereProfileFaults(t *testing.T) {
	_, err := ParseProfiles([]byte(`
- name: a
  ladders:
    - {name: c, projection: cubemap, faces: 0.5, layout: {order: rludff, rotation: "000004", pad: -1}, rungs: [{height: 100, face: 100, crf: 20, maxrate: 1M, bufsize: 1M, preset: fast}]}
    - {name: e, projection: eac, layout: {pad: 1}, rungs: [{face: 16, crf: 20, maxrate: 1M, bufsize: 1M, preset: fast}]}
    - {name: f, projection: flat, faces: 0.2, rungs: [{face: 16, crf: 20, maxrate: 1M, bufsize: 1M, preset: fast}]}
`))
	for _, want := range []string{"faces is 0.5", "order is \"rludff\"", "rotation is \"000004\"", "pad is -1", "face is 100", "layout is for cubemaps", "faces, interpolation and sharpen are for cubes", "height is 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in: %v", want, err)
		}
	}
}
