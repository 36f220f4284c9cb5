package pipeline

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/segment"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// spec is a recording to be made by ffmpeg. Every frame shows its own number in
// black and white bars; the audio is a beep at every full second.
type spec struct {
	rate    flv.Rate
	seconds int
	gop     int     // seconds between keyframes
	bframes int     // in a row
	open    bool    // frames before a keyframe refer to it: none but the first is an IDR
	jitter  bool    // of 1 ms, on every video timestamp
	drops   bool    // frames now and then
	late    float64 // seconds by which the video starts after the audio
	tail    float64 // seconds by which the audio outlives the video
}

func (s spec) String() string {
	return fmt.Sprintf("%sfps gop %ds bf %d open %t jitter %t drops %t late %g tail %g", s.rate, s.gop, s.bframes, s.open, s.jitter, s.drops, s.late, s.tail)
}

const (
	barBits = 11
	width   = barBits * 8
	height  = 48
)

func runFFmpeg(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := hlstest.Run(t.Context(), "ffmpeg", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// make writes the recording to a file.
func (s spec) make(t *testing.T, seed uint64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recording.flv")
	gop := int(math.Round(s.rate.FPS() * float64(s.gop)))
	pattern := fmt.Sprintf("nullsrc=s=%dx%d:r=%s:d=%d,geq=lum='if(mod(floor(N/pow(2,floor(X/8))),2),235,16)':cb=128:cr=128", width, height, s.rate, s.seconds)
	if s.drops {
		pattern += ",select='not(eq(mod(n,37),5)+eq(mod(n,101),50)+eq(mod(n,101),51))'"
	}
	length := fmt.Sprint(float64(s.seconds) + s.late + s.tail)
	runFFmpeg(t, "-v", "error", "-nostdin", "-y", "-itsoffset", fmt.Sprint(s.late), "-f", "lavfi", "-i", pattern,
		"-f", "lavfi", "-i", "aevalsrc='if(lt(mod(t,1),0.1),0.8*sin(2*PI*1000*t),0)':s=44100:d="+length,
		"-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p",
		"-g", fmt.Sprint(gop), "-keyint_min", fmt.Sprint(gop), "-sc_threshold", "0", "-bf", fmt.Sprint(s.bframes),
		"-x264-params", fmt.Sprintf("open-gop=%d", map[bool]int{true: 1}[s.open]),
		"-c:a", "aac", "-f", "flv", file)
	if s.jitter {
		jitterVideo(t, file, rand.New(rand.NewPCG(seed, 1)))
	}
	return file
}

// jitterVideo moves every video tag but the first by up to a millisecond.
func jitterVideo(t *testing.T, file string, random *rand.Rand) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first := true
	retime(b, func(tag []byte, at int) int {
		if tag[0] == 9 && tag[12] == 1 {
			if !first {
				at += random.IntN(3) - 1
			}
			first = false
		}
		return at
	})
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// retime gives every tag of a recording another time, in ms.
func retime(b []byte, move func(tag []byte, at int) int) {
	for p := 13; p < len(b); {
		size := int(b[p+1])<<16 | int(b[p+2])<<8 | int(b[p+3])
		at := move(b[p:], int(b[p+4])<<16|int(b[p+5])<<8|int(b[p+6]))
		b[p+4], b[p+5], b[p+6] = byte(at>>16), byte(at>>8), byte(at)
		p += 15 + size
	}
}

const stitchProfile = `
- name: stitch
  chunk: %ds
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 48, crf: 14, maxrate: 4000k, bufsize: 6000k, preset: ultrafast}
        - {height: 32, crf: 20, maxrate: 2000k, bufsize: 3000k, preset: ultrafast}
`

// transcode runs a recording through the pipeline and writes what it publishes
// to a folder, which it returns with the plan.
func transcode(t *testing.T, recording string, chunk int) (*ladder.Job, string) {
	t.Helper()
	body, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put("recordings/r.flv", body)
	p := newPipeline(t, store, queue, fmt.Sprintf(stitchProfile, chunk))
	if err := queue.Send(t.Context(), job.Task{Kind: job.Recording, Key: "recordings/r.flv", Profile: "stitch"}.Body(), 0); err != nil {
		t.Fatal(err)
	}
	drain(t, p, queue)
	jobs, err := catalog.Of(t.Context(), store, "r")
	if err != nil || len(jobs) != 1 || jobs[0].State != catalog.Published {
		t.Fatalf("jobs %+v, %v", jobs, err)
	}
	return wholeJob(t, store, jobs[0].Job), export(t, store, "vod/r/")
}

// export writes what is below a prefix to a folder, which it returns.
func export(t *testing.T, store *testenv.Memory, prefix string) string {
	t.Helper()
	dir := t.TempDir()
	for key, body := range store.Objects {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			name := filepath.Join(dir, rest)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// singlePass encodes the video with one plain ffmpeg, straight from the file:
// what the stitched result has to equal. Of the plan it knows sizes and length.
func singlePass(t *testing.T, recording string, plan *ladder.Job, origin float64) string {
	t.Helper()
	dir := t.TempDir()
	r := plan.Ladders[0].Renditions[0]
	runFFmpeg(t, "-v", "error", "-nostdin", "-y", "-copyts", "-itsoffset", fmt.Sprint(-origin), "-i", recording, "-map", "0:v:0",
		"-color_primaries", "smpte170m", "-color_trc", "smpte170m", "-colorspace", "smpte170m", // which an untagged frame of this size has
		"-vf", fmt.Sprintf("fps=%s:start_time=0,tpad=stop_mode=clone:stop=-1,trim=end_pts=%d,scale=%d:%d:out_range=tv,setsar=1,format=yuv420p,setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m", plan.Rate, plan.Frames, r.Width, r.Height),
		"-fps_mode", "passthrough", "-c:v", "libx264", "-profile:v", "high", "-preset", r.Preset, "-crf", fmt.Sprint(r.CRF),
		"-maxrate", fmt.Sprint(int(r.Maxrate)), "-bufsize", fmt.Sprint(int(r.Bufsize)),
		"-g", fmt.Sprint(plan.GOPFrames), "-keyint_min", fmt.Sprint(plan.GOPFrames), "-sc_threshold", "0", "-flags", "+cgop", "-bf", "2",
		"-output_ts_offset", "10", "-f", "hls", "-hls_time", fmt.Sprint(plan.SegmentTime), "-hls_playlist_type", "vod",
		"-hls_segment_type", "fmp4", "-hls_segment_options", "movflags=+frag_discont:use_editlist=0:avoid_negative_ts=disabled",
		"-hls_segment_filename", filepath.Join(dir, "s%05d.m4s"), filepath.Join(dir, "index.m3u8"))
	return filepath.Join(dir, "index.m3u8")
}

// origin is the recording's zero, in its own seconds: the first frame if it comes at
// most a tenth of a second after the first audio; else that, or the frame before it on the
// video's grid.
func origin(s spec, video, audio float64) float64 {
	if video <= audio+0.1 {
		return math.Round(video*1000) / 1000
	}
	for video > audio {
		video -= 1 / s.rate.FPS()
	}
	return math.Round(video*1000) / 1000
}

func packets(t *testing.T, file, kind string) []hlstest.Packet {
	t.Helper()
	all, err := hlstest.Packets(t.Context(), file, kind)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func extinfs(t *testing.T, playlist string) []string {
	t.Helper()
	body, err := os.ReadFile(playlist)
	if err != nil {
		t.Fatal(err)
	}
	return hlstest.Durations(body)
}

// numbers decodes a video and reads the number that every frame shows.
func numbers(t *testing.T, file string) []int {
	t.Helper()
	out := runFFmpeg(t, append(hlstest.Reading(file), "-map", "0:v", "-vf", "setpts=N/TB", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-")...)
	const size = width * height
	var all []int
	for ; len(out) >= size; out = out[size:] {
		n := 0
		for bit := range barBits {
			if out[width*height/2+bit*8+4] > 125 {
				n |= 1 << bit
			}
		}
		all = append(all, n)
	}
	return all
}

// initHash is that of an init segment, without the names of programs in it.
func initHash(t *testing.T, file string) string {
	t.Helper()
	init, err := mp4.ReadMP4File(file)
	if err != nil {
		t.Fatal(err)
	}
	body, err := segment.Anonymous(init)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(body))
}

// checkTrack checks a video rendition packet by packet.
func checkTrack(t *testing.T, plan *ladder.Job, all []hlstest.Packet) {
	t.Helper()
	if err := hlstest.Video(all, ladder.StartOffset, plan.Rate.FPS(), plan.Frames, plan.GOPFrames); err != nil {
		t.Error(err)
	}
}

// beeps finds where beeps start, in seconds, in a decoded mono track that starts
// at time start.
func beeps(t *testing.T, file string, start float64) []float64 {
	t.Helper()
	out := runFFmpeg(t, append(hlstest.Reading(file), "-map", "0:a", "-f", "s16le", "-ac", "1", "-ar", "48000", "-")...)
	var onsets []float64
	quiet := 48000
	for i := 0; i+1 < len(out); i += 2 {
		level := int(int16(uint16(out[i]) | uint16(out[i+1])<<8))
		if level > 6000 || level < -6000 {
			if quiet > 24000 {
				onsets = append(onsets, start+float64(i/2)/48000)
			}
			quiet = 0
		} else {
			quiet++
		}
	}
	return onsets
}

// syncOf is by how much a file's audio is behind its video, on average: frame n
// belongs to second late+n/rate, beep k to second k.
func syncOf(t *testing.T, s spec, shown []hlstest.Packet, frames []int, onsets []float64) float64 {
	t.Helper()
	if len(onsets) < s.seconds-1 {
		t.Fatalf("%d beeps in %d s", len(onsets), s.seconds)
	}
	var audio, video float64
	for k, at := range onsets {
		audio += (at - float64(k)) / float64(len(onsets))
	}
	pts := make([]float64, len(shown))
	for i, p := range shown {
		pts[i] = p.PTS
	}
	slices.Sort(pts)
	seen, count := -1, 0
	for i, n := range frames {
		if n != seen && i > 0 { // the first may be shown early, the others when their time comes
			video += pts[i] - s.late - float64(n)/s.rate.FPS()
			count++
		}
		seen = n
	}
	return audio - video/float64(count)
}

// Chunks that were encoded apart are one recording: the same frames at the same
// times in the same segments as a single pass, with the audio where it was.
func TestStitchingIsInvisible(t *testing.T) {
	testenv.InTurn(t)
	rates := []flv.Rate{{Num: 24, Den: 1}, {Num: 25, Den: 1}, {Num: 30000, Den: 1001}, {Num: 30, Den: 1}, {Num: 50, Den: 1}, {Num: 60, Den: 1}}
	lates := []float64{0, 0.4, 7.5}
	n := uint64(0)
	for i, rate := range rates {
		for j, chunk := range []int{6, 12, 18} {
			n++
			// A Latin square of features: each is on in some case of every rate and of
			// every chunk length.
			s := spec{
				rate: rate, seconds: 26, gop: []int{2, 8, 3}[(i+j)%3], bframes: []int{2, 0, 3}[(i+2*j)%3],
				open: j == (i+1)%3, jitter: (i+j)%2 == 0, drops: (i+j)%3 != 1, late: lates[(i/2+j)%3],
			}
			if !chosen(int(n), 6) {
				continue
			}
			t.Run(fmt.Sprintf("%s chunk %ds", s, chunk), func(t *testing.T) {
				t.Parallel()
				checkStitching(t, s, chunk, n, transcode)
			})
		}
	}
}

// Audio may begin long before the video, and outlive it by long: the first frame is
// shown early, the last is held, and that is work of chunks like all others.
func TestChunksBesideTheVideo(t *testing.T) {
	for n, s := range []spec{
		{rate: flv.Rate{Num: 25, Den: 1}, seconds: 8, gop: 2, bframes: 2, tail: 31},
		{rate: flv.Rate{Num: 30000, Den: 1001}, seconds: 8, gop: 2, bframes: 2, late: 31.3},
		{rate: flv.Rate{Num: 30, Den: 1}, seconds: 9, gop: 8, late: 13, tail: 13.2},
	} {
		if !chosen(n, 3) {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			plan := checkStitching(t, s, 6, uint64(n), transcode)
			for _, c := range plan.Chunks {
				if float64(c.To-c.From) > float64(s.gop+6+6)*s.rate.FPS() {
					t.Errorf("a chunk is [%d, %d) of %d frames", c.From, c.To, plan.Frames)
				}
			}
		})
	}
}

// checkStitching compares what the pipeline makes of a recording with a single pass.
func checkStitching(t *testing.T, s spec, chunk int, seed uint64, by func(t *testing.T, recording string, chunk int) (*ladder.Job, string)) *ladder.Job {
	t.Helper()
	mediaHeavy(t)
	recording := s.make(t, seed)
	plan, dir := by(t, recording, chunk)
	if plan.Rate != s.rate {
		t.Fatalf("rate %s", plan.Rate)
	}
	if want := float64(s.seconds) + s.late + s.tail; math.Abs(plan.Duration-want) > 2/s.rate.FPS()+0.05 { // the encoder's own padding is up to 50 ms
		t.Errorf("duration %f, recorded %f", plan.Duration, want)
	}
	if s.late == 0 && s.gop <= chunk && len(plan.Chunks) < 26/chunk {
		t.Errorf("only %d chunks", len(plan.Chunks))
	}
	playlist := func(ladder, rendition string) string {
		return filepath.Join(dir, plan.Job, ladder, rendition, "index.m3u8")
	}
	top, low := playlist("flat", "48p"), playlist("flat", "32p")
	sourceShown, sourceHeard := packets(t, recording, "v"), packets(t, recording, "a")
	single := singlePass(t, recording, plan, origin(s, sourceShown[0].PTS, sourceHeard[0].PTS))

	shown := packets(t, top, "v")
	checkTrack(t, plan, shown)
	checkTrack(t, plan, packets(t, low, "v"))
	reference := packets(t, single, "v")
	if len(reference) != len(shown) {
		t.Fatalf("%d packets, a single pass %d", len(shown), len(reference))
	}
	if a, b := numbers(t, top), numbers(t, single); !slices.Equal(a, b) {
		t.Errorf("other frames than in a single pass:\n%v\n%v", a, b)
	}
	want := extinfs(t, single)
	for _, list := range []string{top, low} {
		if got := extinfs(t, list); !slices.Equal(got, want) {
			t.Errorf("EXTINF %v, a single pass %v", got, want)
		}
	}
	inits, err := filepath.Glob(filepath.Join(path.Dir(top), "init-*.mp4"))
	if err != nil || len(inits) != 1 {
		t.Fatalf("init segments %v, %v", inits, err)
	}
	if a, b := initHash(t, inits[0]), initHash(t, filepath.Join(filepath.Dir(single), "init.mp4")); a != b {
		t.Error("the init segment is not a single pass's")
	}
	before := syncOf(t, s, sourceShown, numbers(t, recording), beeps(t, recording, sourceHeard[0].PTS))
	audio := playlist("audio", "aac")
	after := syncOf(t, s, shown, numbers(t, top), beeps(t, audio, packets(t, audio, "a")[0].PTS))
	if off := math.Abs(after - before); off > 0.020 {
		t.Errorf("audio moved by %.1f ms against the video", off*1000)
	}
	t.Logf("%d frames in %d chunks; audio against video: %.1f ms before, %.1f ms after", plan.Frames, len(plan.Chunks), before*1000, after*1000)
	return plan
}
