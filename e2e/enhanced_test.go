package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/hlstest"
)

// encodedStream is one of so many seconds, as an encoder sends it.
func encodedStream(t *testing.T, seconds string, video bool) (tags []rtmpTag) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stream.flv")
	args := []string{"-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=r=44100"}
	if video {
		args = append(args, "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25")
	}
	_, err := hlstest.Run(t.Context(), "ffmpeg", append(args, "-c:a", "aac", "-t", seconds, "-f", "flv", file)...)
	must(t, err)
	b, err := os.ReadFile(file)
	must(t, err)
	for p := 13; p+15 <= len(b); {
		n := int(b[p+1])<<16 | int(b[p+2])<<8 | int(b[p+3])
		at := int(b[p+4])<<16 | int(b[p+5])<<8 | int(b[p+6])
		tag := rtmpTag{b[p], time.Duration(at) * time.Millisecond, bytes.Clone(b[p+11 : p+11+n])}
		if tag.kind == 18 {
			tag.body = append(amf("@setDataFrame"), tag.body...)
		}
		tags = append(tags, tag)
		p += 15 + n
	}
	return tags
}

// enhanced says a stream's video as enhanced RTMP does: with a FourCC.
func enhanced(tags []rtmpTag, fourCC string) (all []rtmpTag) {
	for _, tag := range tags {
		if v := tag.body; tag.kind == 9 {
			tag.body = append([]byte{0x80 | v[0]&0x70 | v[1]}, fourCC...)
			if v[1] == 1 { // with a composition time
				tag.body = append(tag.body, v[2:]...)
			} else {
				tag.body = append(tag.body, v[5:]...)
			}
		}
		all = append(all, tag)
	}
	return all
}

// nginx-rtmp records no video of enhanced RTMP. Nobody gets to see that as a success: the
// encoder has announced video, and the job fails for the lack of it. Audio alone that
// announced nothing else is published.
func TestEnhancedRTMP(t *testing.T) {
	alongside(t)
	data := folder(t)
	must(t, os.Chmod(data, 0o777)) // hooks run as nginx's user
	o := startOrigin(t, "data: "+data+"\n")
	whole, radio := encodedStream(t, "5", true), encodedStream(t, "5", false)
	for name, tags := range map[string][]rtmpTag{"hevc": enhanced(whole, "hvc1"), "avc": enhanced(whole, "avc1"), "radio": radio, "plain": whole} {
		must(t, pushRTMP(t.Context(), o.rtmp, "live", name, tags))
	}
	t.Cleanup(func() {
		if log, _ := os.ReadFile(o.dir + "/hook.log"); t.Failed() {
			t.Logf("hooks say:\n%s", log)
		}
	})
	eventually(t, patience, "all recordings are enqueued", func() bool { return status(t, "--data", data).Queue.Waiting == 4 })
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	got := map[string]string{}
	for _, j := range status(t, "--data", data).Jobs {
		got[strings.Split(j.Asset, "/")[1]] = j.State + " " + j.Reason
	}
	want := map[string]string{"hevc": "failed no_picture", "avc": "failed no_picture", "radio": "published ", "plain": "published "}
	for name, state := range want {
		if got[name] != state {
			t.Errorf("%s is %q, want %q", name, got[name], state)
		}
	}
	// Where the audio alone will do.
	enqueue(t, "replay", "--data", data, "--reason", "no_picture", "--profile", "audio")
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	published := 0
	for _, j := range status(t, "--data", data).Jobs {
		if j.State == "published" && (strings.Contains(j.Asset, "hevc") || strings.Contains(j.Asset, "/avc")) {
			published++
		}
	}
	if published != 2 {
		t.Errorf("%d of two recordings are published as audio alone: %+v", published, status(t, "--data", data).Jobs)
	}
}
