package pipeline

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/ladder"
)

const copyProfile = `
- name: copy
  source: copy
  chunk: 6s
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 360, crf: 22, maxrate: 4000k, bufsize: 6000k, preset: ultrafast}
        - {height: 90, crf: 24, maxrate: 300k, bufsize: 450k, preset: ultrafast}
`

// streamed makes a recording as an encoder of live streams would, with options of its own.
func streamed(t *testing.T, rate string, seconds int, audioAhead float64, options ...string) []byte {
	mediaHeavy(t)
	t.Helper()
	file := filepath.Join(t.TempDir(), "talk.flv")
	args := []string{
		"-v", "error", "-nostdin", "-itsoffset", fmt.Sprint(audioAhead), "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=320x180:r=%s:d=%d", rate, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=f=440:r=44100:d=%d", seconds), "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-sc_threshold", "0",
	}
	args = append(append(args, options...), "-c:a", "aac", "-f", "flv", file)
	runFFmpeg(t, args...)
	recording, err := os.ReadFile(file)
	must(t, err)
	return recording
}

// copied publishes a recording with a profile as the one above into a folder.
func copied(t *testing.T, recording []byte, profiles string) (plan *ladder.Job, dir, file string) {
	t.Helper()
	plan, dir = published(t, recording, profiles, "copy")
	file = filepath.Join(t.TempDir(), "talk.flv")
	must(t, os.WriteFile(file, recording, 0o644))
	return plan, dir, file
}

// units are a stream's coded frames, without what containers add.
func units(t *testing.T, input ...string) []byte {
	t.Helper()
	args := append(append([]string{"-v", "error", "-nostdin"}, input...), "-map", "0:v:0", "-c", "copy", "-bsf:v", "filter_units=remove_types=6-9", "-f", "h264", "-")
	return runFFmpeg(t, args...)
}

// A recording that allows it is its own top rendition: frame for frame the same, in
// segments that are those of the others, at moments that are those of the grid.
func TestTopRenditionIsCopied(t *testing.T) {
	for n, tc := range []struct {
		name, rate string
		ahead      float64
		options    []string
	}{
		{"B-frames", "30", 0, []string{"-g", "60", "-bf", "3"}},
		{"no B-frames", "25", 0, []string{"-g", "50", "-bf", "0", "-profile:v", "baseline"}},
		{"GOPs of 1.6 s at 29.97 fps", "30000/1001", 0, []string{"-g", "48", "-bf", "2"}},
		{"audio begins before the video", "30", 0.2, []string{"-g", "60", "-bf", "2"}},
		{"GOPs of half a second at 50 fps", "50", 0.07, []string{"-g", "25", "-bf", "2"}},
	} {
		if !chosen(n, 3) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			recording := streamed(t, tc.rate, 22, tc.ahead, append(tc.options, "-crf", "25")...)
			plan, dir, file := copied(t, recording, copyProfile)
			top := plan.Ladders[0].Renditions[0]
			if plan.Copy.Fault != "" || !top.Copy || top.Width != 320 || len(plan.Chunks) < 3 {
				t.Fatalf("copied: %+v, %+v, %d chunks", plan.Copy, top, len(plan.Chunks))
			}
			list := filepath.Join(dir, "flat", top.Name, "index.m3u8")
			if a, b := units(t, "-i", file), units(t, hlstest.Reading(list)...); !bytes.Equal(a, b) {
				t.Errorf("other frames: %d bytes, the recording has %d", len(b), len(a))
			}
			low := filepath.Join(dir, "flat", "90p", "index.m3u8")
			if a, b := extinfs(t, list), extinfs(t, low); !slices.Equal(a, b) {
				t.Errorf("segments of %v, the others' are %v", a, b)
			}
			checkTrack(t, plan, packets(t, list, "v"))
			if a, b := len(packets(t, list, "v")), len(packets(t, low, "v")); a != b || a != plan.Frames {
				t.Errorf("%d frames copied, %d encoded, %d planned", a, b, plan.Frames)
			}
		})
	}
}

// Where a recording can't be copied, it is encoded, and the plan says why.
func TestCopyFallsBack(t *testing.T) {
	whole := []string{"-g", "60", "-bf", "2", "-crf", "25"}
	for n, tc := range []struct {
		name, want string
		recording  func(t *testing.T) []byte
	}{
		{"GOPs of 4 s", "keyframes are 4s apart", func(t *testing.T) []byte { return streamed(t, "30", 9, 0, "-g", "120", "-crf", "25") }},
		{"open GOPs", "GOP is open", func(t *testing.T) []byte {
			return streamed(t, "30", 9, 0, "-g", "60", "-bf", "2", "-x264-params", "open-gop=1", "-crf", "25")
		}},
		{"keyframes where scenes change", "frames after the one before", func(t *testing.T) []byte {
			return streamed(t, "30", 9, 0, "-g", "60", "-force_key_frames", "5.5", "-crf", "25")
		}},
		{"frames are missing", "off their places", func(t *testing.T) []byte {
			return streamed(t, "30", 9, 0, append(whole, "-vf", "select='not(eq(mod(n,37),5))'", "-fps_mode", "passthrough")...)
		}},
		{"too many bits", "a rung of its size at most 4000", func(t *testing.T) []byte {
			return streamed(t, "30", 9, 0, append(whole, "-vf", "noise=alls=60:allf=t", "-crf", "10")...)
		}},
		{"too many lines", "the profile's largest rung 360", func(t *testing.T) []byte {
			return streamed(t, "30", 5, 0, append(whole, "-vf", "scale=640:362,setsar=1")...)
		}},
		{"4:4:4", "profile 244", func(t *testing.T) []byte {
			return streamed(t, "30", 9, 0, "-g", "60", "-crf", "0", "-profile:v", "high444")
		}},
		{"4:2:2", "4:2:0", func(t *testing.T) []byte {
			return streamed(t, "30", 9, 0, "-g", "60", "-crf", "25", "-pix_fmt", "yuv422p")
		}},
		{"audio goes on", "before the audio", func(t *testing.T) []byte { return streamed(t, "30", 9, 0, append(whole, "-vf", "trim=end=7")...) }},
		{"the clock jumps", "clock jumps", func(t *testing.T) []byte {
			return shifted(streamed(t, "30", 9, 0, whole...), 5000, 60_000)
		}},
	} {
		if !chosen(n, 3) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			plan, dir, _ := copied(t, tc.recording(t), copyProfile)
			top := plan.Ladders[0].Renditions[0]
			if !strings.Contains(plan.Copy.Fault, tc.want) || top.Copy {
				t.Errorf("copied: %+v, want %q", plan.Copy, tc.want)
			}
			checkTrack(t, plan, packets(t, path.Join(dir, "flat", top.Name, "index.m3u8"), "v"))
		})
	}
}

// shifted moves all tags from a moment on, in ms.
func shifted(b []byte, from, by int) []byte {
	retime(b, func(_ []byte, at int) int {
		if at >= from {
			at += by
		}
		return at
	})
	return b
}
