package pipeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// process does a recording as workers would. It returns the plan, if it came so far.
func process(t *testing.T, recording []byte) (*ladder.Job, error) {
	t.Helper()
	plan, _, err := processIn(t, recording)
	return plan, err
}

func processIn(t *testing.T, recording []byte) (*ladder.Job, *testenv.Memory, error) {
	t.Helper()
	p, store, queue := newSmall(t, recording)
	p.Limits = Limits{Pixels: 8192 * 4320, Duration: 48 * time.Hour, Scratch: 1 << 30, Slowness: 30}
	p.FFmpeg.Pixels, p.FFmpeg.Alloc, p.FFmpeg.File = p.Limits.Pixels, 256<<20, p.Limits.Scratch
	if err := p.Do(t.Context(), smallTask, nil); err != nil {
		for key := range store.Objects {
			if !strings.HasPrefix(key, "recordings/") {
				t.Errorf("%s was left behind", key)
			}
		}
		return nil, store, err
	}
	drain(t, p, queue)
	checkPublished(t, store)
	return onlyPlan(t, store), store, nil
}

// Strangers' media: what can be saved is published, as long as its content; the rest
// is refused, with a reason, by reading it.
func TestHostileMedia(t *testing.T) {
	testenv.InTurn(t)
	good := movie(t)
	small := movie(t, "-s", "160x120")
	hour, day := uint32(3600_000), uint32(86_400_000)
	from := func(at, by uint32) func(uint32) uint32 { // moved by so much from then on
		return func(t uint32) uint32 {
			if t >= at {
				return t + by
			}
			return t
		}
	}
	nth := func(b []byte, n int, f func(tag []byte)) []byte {
		b = bytes.Clone(b)
		at := 13
		for range n {
			at += 15 + int(b[at+1])<<16 + int(b[at+2])<<8 + int(b[at+3])
		}
		f(b[at:])
		return b
	}
	type expect struct {
		seconds float64 // published, so long
		reason  string  // refused
	}
	for n, tc := range []struct {
		name string
		make func(t *testing.T) []byte
		want expect
	}{
		{"good", func(t *testing.T) []byte { return good }, expect{movieLength, ""}},

		{"32 nothing", func(t *testing.T) []byte { return nil }, expect{0, "not_flv"}},
		{"32 9 bytes", func(t *testing.T) []byte { return good[:9] }, expect{0, "not_flv"}},
		{"32 13 bytes", func(t *testing.T) []byte { return good[:13] }, expect{0, "zero_duration"}},
		{"32 random", func(t *testing.T) []byte { return flipped(make([]byte, 100_000), 400_000, 1)[2000:] }, expect{0, "not_flv"}},
		{"32 text", func(t *testing.T) []byte { return []byte(strings.Repeat("Lorem ipsum ", 1000)) }, expect{0, "not_flv"}},
		{"32 MP4", func(t *testing.T) []byte { return encoded(t, "mp4", "-c:v", "libx264", "-preset", "ultrafast") }, expect{0, "not_flv"}},
		{"32 Matroska", func(t *testing.T) []byte { return encoded(t, "matroska", "-c:v", "libx264", "-preset", "ultrafast") }, expect{0, "not_flv"}},
		{"32 MPEG-TS", func(t *testing.T) []byte { return encoded(t, "mpegts", "-c:v", "libx264", "-preset", "ultrafast") }, expect{0, "not_flv"}},
		{"33 playlist", func(t *testing.T) []byte {
			return []byte("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n#EXT-X-ENDLIST\n")
		}, expect{0, "not_flv"}},
		{"33 concat", func(t *testing.T) []byte { return []byte("ffconcat version 1.0\nfile /etc/passwd\n") }, expect{0, "not_flv"}},

		{"35 hole of 64 KiB", func(t *testing.T) []byte { b := bytes.Clone(good); clear(b[len(b)/2 : len(b)/2+64<<10]); return b }, expect{movieLength, ""}},
		{"35 2,000 bits flipped", func(t *testing.T) []byte { return flipped(good, 2000, 7) }, expect{movieLength, ""}},
		{"35 sizes behind tags are wrong", func(t *testing.T) []byte {
			tags := split(bytes.Clone(good))
			for _, tag := range tags[:len(tags)-1] {
				binary.BigEndian.PutUint32(tag[len(tag)-4:], 1)
			}
			return joined(tags...)
		}, expect{movieLength, ""}},
		{"35 size 0", func(t *testing.T) []byte { return nth(good, 300, func(tag []byte) { clear(tag[1:4]) }) }, expect{movieLength, ""}},
		{"35 size 0xFFFFFF", func(t *testing.T) []byte { return nth(good, 300, func(tag []byte) { copy(tag[1:], "\xff\xff\xff") }) }, expect{movieLength, ""}},

		{"36 an hour ahead", func(t *testing.T) []byte { return retimed(good, from(10_000, hour)) }, expect{movieLength, ""}},
		{"36 a day ahead", func(t *testing.T) []byte { return retimed(good, from(10_000, day)) }, expect{movieLength, ""}},
		{"36 8 s back", func(t *testing.T) []byte { return retimed(good, from(10_000, math.MaxUint32-7999)) }, expect{movieLength, ""}},
		{"36 reset at reconnect", func(t *testing.T) []byte { return joined(append(split(good), split(good)...)...) }, expect{2 * movieLength, ""}},
		{"36 wrap", func(t *testing.T) []byte { return retimed(good, func(at uint32) uint32 { return at - 10_000 }) }, expect{movieLength, ""}},
		{"36 all zero", func(t *testing.T) []byte { return retimed(good, func(uint32) uint32 { return 0 }) }, expect{0, "zero_duration"}},
		{"36 first second clamped to 0", func(t *testing.T) []byte {
			return retimed(good, func(at uint32) uint32 { return max(at, 1000) - 1000 })
		}, expect{movieLength - 1, ""}},

		{"37 audio only, and the header says both", func(t *testing.T) []byte { return without(good, func(f flvTag) bool { return f.kind() != 8 }) }, expect{movieLength, ""}},
		{"37 audio only, and the metadata speaks of video", func(t *testing.T) []byte { return without(good, func(f flvTag) bool { return f.kind() == 9 }) }, expect{0, "no_picture"}},
		{"37 video only", func(t *testing.T) []byte { return without(good, func(f flvTag) bool { return f.kind() == 8 }) }, expect{movieLength, ""}},
		{"37 no metadata", func(t *testing.T) []byte { return without(good, func(f flvTag) bool { return f.kind() == 18 }) }, expect{movieLength, ""}},
		{"37 duration 0", func(t *testing.T) []byte { return joined(append([]flvTag{metadata(0)}, split(good)...)...) }, expect{movieLength, ""}},
		{"37 duration 1e9", func(t *testing.T) []byte { return joined(append([]flvTag{metadata(1e9)}, split(good)...)...) }, expect{movieLength, ""}},
		{"37 duration NaN", func(t *testing.T) []byte { return joined(append([]flvTag{metadata(math.NaN())}, split(good)...)...) }, expect{movieLength, ""}},
		{"37 AMF 50,000 deep", func(t *testing.T) []byte { return joined(append([]flvTag{nested(50_000)}, split(good)...)...) }, expect{movieLength, ""}},
		{"37 script of 16 MB", func(t *testing.T) []byte {
			return joined(append([]flvTag{scriptTag(make([]byte, 1<<24-1))}, split(good)...)...)
		}, expect{movieLength, ""}},

		{"38 size changes", func(t *testing.T) []byte { return followed(good, small) }, expect{2 * movieLength, ""}},
		{"38 size grows", func(t *testing.T) []byte { return followed(small, good) }, expect{2 * movieLength, ""}},
		{"38 sampling rate changes", func(t *testing.T) []byte { return followed(good, movie(t, "-ar", "22050", "-ac", "1")) }, expect{2 * movieLength, ""}},
		{"38 second part has no header", func(t *testing.T) []byte {
			return followed(good, without(small, func(f flvTag) bool { return f.kind() == 9 && f.body()[1] == 0 }))
		}, expect{2 * movieLength, ""}},
		{"38 a broken header on the way", func(t *testing.T) []byte {
			tags := split(good)
			for i, body := range [][]byte{{0x57, 0}, {0x17, 0, 0, 0, 0}} {
				n := 400 + 300*i
				tags = slices.Insert(tags, n, newTag(9, tags[n].at(), body))
			}
			return joined(tags...)
		}, expect{movieLength, ""}},
		{"38 size changes from an odd one", func(t *testing.T) []byte { return followed(movie(t, "-s", "321x181", "-pix_fmt", "yuv444p"), small) }, expect{2 * movieLength, ""}},
		{"38 a bomb of 8192x8192", func(t *testing.T) []byte { return claiming(8192, 8192) }, expect{0, "too_large"}},
		{"38 a bomb in the second part", func(t *testing.T) []byte { return followed(good, claiming(8192, 8192)) }, expect{0, "too_large"}},
		{"38 16384x16384 and more", func(t *testing.T) []byte { return claiming(32768, 32768) }, expect{0, "bad_codec_header"}},
		{"38 odd size", func(t *testing.T) []byte { return movie(t, "-s", "321x181", "-pix_fmt", "yuv444p") }, expect{movieLength, ""}},
		{"38 1000 fps", func(t *testing.T) []byte {
			n := uint32(0)
			return retimed(without(good, func(f flvTag) bool { return f.kind() != 9 }), func(uint32) uint32 { n++; return n })
		}, expect{movieLength * 25 / 1000.0, ""}},
		{"38 a frame every 5 s", func(t *testing.T) []byte {
			return movie(t, "-vf", "fps=1/5", "-fps_mode", "vfr", "-g", "1")
		}, expect{movieLength, ""}},
		{"38 pixels that are not square", func(t *testing.T) []byte { return movie(t, "-vf", "setsar=16/11") }, expect{movieLength, ""}},

		{"39 Sorenson", func(t *testing.T) []byte { return encoded(t, "flv", "-c:v", "flv1", "-an") }, expect{0, "unsupported_codec"}},
		{"39 Nellymoser", func(t *testing.T) []byte {
			return encoded(t, "flv", "-c:v", "libx264", "-c:a", "nellymoser", "-ar", "22050")
		}, expect{movieLength, ""}},
		{"39 VP6", func(t *testing.T) []byte { return joined(newTag(9, 0, []byte{0x14, 0, 1, 2, 3, 4})) }, expect{0, "unsupported_codec"}},
		{"39 Opus", func(t *testing.T) []byte { return joined(newTag(8, 0, []byte("\x91Opus\x00"))) }, expect{0, "unsupported_codec"}},
		{"39 HEVC", func(t *testing.T) []byte { return joined(newTag(9, 0, []byte("\x90hvc1\x00"))) }, expect{0, "unsupported_codec"}},
		{"39 AV1", func(t *testing.T) []byte { return joined(newTag(9, 0, []byte("\x90av01\x00"))) }, expect{0, "unsupported_codec"}},
	} {
		if tc.want.reason == "" && !chosen(n, 10) { // what is refused costs nothing
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			plan, err := process(t, tc.make(t))
			if reason, final := job.Verdict(err); err != nil && (!final || reason != tc.want.reason) || err == nil && tc.want.reason != "" {
				t.Fatalf("got %v, want %q", err, tc.want.reason)
			}
			if err == nil && math.Abs(plan.Duration-tc.want.seconds) > 1 {
				t.Errorf("it lasts %.2f s, want %g", plan.Duration, tc.want.seconds)
			}
		})
	}
}

// What changes on the way changes nothing of the output: a frame of another shape
// is put in the middle, audio of another rate goes on.
func TestChangesOnTheWay(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	first := movie(t)
	_, store, err := processIn(t, followed(first, movie(t, "-s", "160x120", "-ar", "22050", "-ac", "1")))
	must(t, err)
	dir := export(t, store, "vod/")
	lists, err := filepath.Glob(dir + "/live/talk/*/*/*/index.m3u8")
	must(t, err)
	for _, list := range lists {
		if strings.Contains(list, "/"+ladder.IFramesRendition+"/") {
			continue
		}
		if strings.Contains(list, "/audio/") {
			for _, at := range []string{"12", "35"} { // seconds; the first is 10
				said, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-i", list, "-af", "atrim=start="+at+":duration=5,volumedetect", "-f", "null", "-").CombinedOutput()
				must(t, err)
				if !strings.Contains(string(said), "mean_volume: -24") {
					t.Errorf("audio at %s s:\n%s", at, said)
				}
			}
			continue
		}
		for n, black := range map[string]bool{"100": false, "900": true} {
			out := runFFmpeg(t, "-v", "error", "-nostdin", "-i", list, "-vf", "select=eq(n\\,"+n+"),format=gray", "-frames:v", "1", "-f", "rawvideo", "-")
			height := 48
			if strings.Contains(list, "/32p/") {
				height = 32
			}
			width := len(out) / height
			row := out[width*height/2 : width*(height/2+1)]
			if isBlack := row[2] < 25 && row[width-3] < 25; isBlack != black || row[width/2] < 25 {
				t.Errorf("%s, frame %s: %v", list, n, row)
			}
		}
	}
	if len(lists) != 4 {
		t.Errorf("looked at %q", lists)
	}
}

// A recorder is killed anywhere: what was recorded until then is published, all of it.
func TestTruncatedAnywhere(t *testing.T) {
	good := movie(t)
	random := rand.New(rand.NewPCG(34, 0))
	for k := range 20 {
		n := 20_000 + random.IntN(len(good)-20_000)
		if !chosen(k, 3) {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			x, err := flv.Scan(bytes.NewReader(good[:n]))
			must(t, err)
			plan, err := process(t, good[:n])
			must(t, err)
			is, about := (x.Duration - x.Video.First).Seconds(), movieLength*float64(n)/float64(len(good))
			if math.Abs(plan.Duration-is) > 0.05 || math.Abs(plan.Duration-about) > 2 || plan.Torn == 0 {
				t.Errorf("cut at %d of %d: %.2f s, %d bytes torn", n, len(good), plan.Duration, plan.Torn)
			}
		})
	}
}

// Even what our scanner would let pass opens nothing: ffmpeg takes its input for FLV,
// and knows no protocol but the pipe.
func TestFFmpegOpensNothing(t *testing.T) {
	t.Parallel()
	plan, store, err := processIn(t, movie(t))
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	connected := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connected <- struct{}{}
			_ = conn.Close()
		}
	}()
	url := "http://" + listener.Addr().String() + "/x.ts"
	secret := filepath.Join(t.TempDir(), "secret.flv")
	must(t, os.WriteFile(secret, movie(t), 0o644))
	f := ffmpeg.Program{Path: "ffmpeg", Stall: time.Minute}
	for name, input := range map[string]string{
		"playlist, network": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + url + "\n#EXT-X-ENDLIST\n",
		"playlist, file":    "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://" + secret + "\n#EXT-X-ENDLIST\n",
		"concat":            "ffconcat version 1.0\nfile " + secret + "\n",
		"concat, network":   "ffconcat version 1.0\nfile " + url + "\n",
	} {
		folder := t.TempDir()
		for _, r := range plan.Ladders[0].Renditions {
			must(t, os.MkdirAll(filepath.Join(folder, plan.Ladders[0].Name, r.Name), 0o755))
		}
		if _, err := f.Run(t.Context(), folder, plan.ChunkArgs(*firstChunk(t, store), 0), strings.NewReader(input), func(ffmpeg.Progress) {}); err == nil {
			t.Errorf("%s: ffmpeg is content", name)
		}
		if made, err := filepath.Glob(folder + "/*/*/*.m4s"); err != nil || len(made) > 0 {
			t.Errorf("%s: made %v", name, made)
		}
	}
	if len(connected) > 0 {
		t.Errorf("%d connections were made", len(connected))
	}
}
