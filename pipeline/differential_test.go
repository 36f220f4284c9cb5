package pipeline

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
)

var (
	wholeCorpus = flag.Bool("corpus", false, "tests of many cases of a kind go through all of them, not a share")
	corpusSeed  = flag.Uint64("corpus-seed", 1, "which share of their cases they choose")
)

// chosen tells whether case n of many is one of the share, one of so many, that is tried unless all are.
func chosen(n, of int) bool {
	return *wholeCorpus || rand.New(rand.NewPCG(*corpusSeed, uint64(n/of))).IntN(of) == n%of
}

// mediaHeavy skips a test whose time ffmpeg takes: the race detector would find nothing in it, slowly.
func mediaHeavy(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("mostly ffmpeg's work")
	}
}

// choice is a way in which recordings differ.
type choice struct {
	name string
	set  func(*source)
}

func video(args ...string) func(*source) {
	return func(s *source) { s.video = append(s.video, args...) }
}

func withAudio(args ...string) func(*source) {
	return func(s *source) { s.audio = args }
}

var rates = []choice{}

func init() {
	for _, r := range []string{"1", "2", "5", "7.5", "10", "12", "12.5", "15", "18", "20", "24000/1001", "24", "25", "27", "30000/1001", "30", "36", "48", "50", "60000/1001", "60", "100", "120"} {
		rates = append(rates, choice{r + " fps", func(s *source) { s.rate = r }})
	}
}

var codecs = []choice{
	{"baseline", video("-profile:v", "baseline")},
	{"two B-frames", video("-preset", "veryfast", "-bf", "2")},
	{"B-frame pyramid", video("-preset", "veryfast", "-bf", "7", "-b_strategy", "2")},
	{"open GOPs", video("-preset", "veryfast", "-x264-params", "open-gop=1:keyint=40:bframes=3:b-adapt=0")},
	{"intra refresh", video("-x264-params", "intra-refresh=1:keyint=40:bframes=0")},
	{"all intra", video("-g", "1")},
	{"one GOP", video("-g", "10000", "-sc_threshold", "0")},
	{"slices", video("-slices", "4")},
	{"10 bits", video("-pix_fmt", "yuv420p10le")},
	{"4:2:2", video("-pix_fmt", "yuv422p")},
	{"4:4:4", video("-pix_fmt", "yuv444p")},
	{"full range", func(s *source) { s.filter += ",scale=out_range=pc"; video("-pix_fmt", "yuvj420p")(s) }},
	{"RGB", video("-c:v", "libx264rgb", "-pix_fmt", "rgb24")},
	{"BT.709", func(s *source) {
		s.filter += ",scale=out_color_matrix=bt709"
		video("-vf", "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709")(s)
	}},
	{"BT.601", func(s *source) {
		s.filter += ",scale=out_color_matrix=bt601"
		video("-vf", "setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m")(s)
	}},
	{"anamorphic", func(s *source) { s.size = "240x180"; s.filter += ",setsar=4/3" }},
	{"upright", func(s *source) { s.size = "180x320" }},
	{"odd among even", func(s *source) { s.size = "322x182" }},
	{"lengths of 2 bytes", func(s *source) {
		video("-crf", "24")(s)
		s.alter = func(b []byte) []byte { return replacedAVC(b, 2) }
	}},
	{"no timing", video("-bsf:v", "h264_metadata=tick_rate=0")},
}

var audioKinds = []choice{
	{"AAC", withAudio("-c:a", "aac", "-ar", "44100")},
	{"AAC at 48 kHz, stereo", func(s *source) { s.layout = "stereo"; withAudio("-c:a", "aac")(s) }},
	{"AAC Main", withAudio("-c:a", "aac", "-profile:a", "aac_main")},
	{"AAC LTP", withAudio("-strict", "-2", "-c:a", "aac", "-profile:a", "aac_ltp", "-ar", "44100")},
	{"AAC at 8 kHz", withAudio("-c:a", "aac", "-ar", "8000")},
	{"MP3", withAudio("-c:a", "libmp3lame", "-ar", "44100")},
	{"MP3 at 22 kHz", withAudio("-c:a", "libmp3lame", "-ar", "22050")},
	{"Speex", withAudio("-c:a", "libspeex", "-ar", "16000")},
	{"A-law", withAudio("-c:a", "pcm_alaw", "-ar", "8000")},
	{"mu-law", withAudio("-c:a", "pcm_mulaw", "-ar", "8000")},
	{"ADPCM", withAudio("-c:a", "adpcm_swf", "-ar", "22050")},
	{"PCM", withAudio("-c:a", "pcm_s16le", "-ar", "44100")},
	{"none", func(*source) {}},
}

// after lets a change be the last.
func after(s *source, f func([]byte) []byte) {
	first := s.alter
	s.alter = func(b []byte) []byte {
		if first != nil {
			b = first(b)
		}
		return f(b)
	}
}

var damages = []choice{
	{"none", func(*source) {}},
	{"times off by a millisecond", func(s *source) {
		after(s, func(b []byte) []byte {
			random := rand.New(rand.NewPCG(1, 1))
			return retimed(b, func(at uint32) uint32 { return max(at, 1) + uint32(random.IntN(2)) })
		})
	}},
	{"a torn tail", func(s *source) { after(s, func(b []byte) []byte { return b[:len(b)-1000] }) }},
	{"the clock jumps by an hour", func(s *source) {
		after(s, func(b []byte) []byte {
			return retimed(b, func(at uint32) uint32 {
				if at < 5000 {
					return at
				}
				return at + 3_600_000
			})
		})
	}},
	{"the clock wraps", func(s *source) {
		after(s, func(b []byte) []byte { return retimed(b, func(at uint32) uint32 { return at - 5000 }) })
	}},
	{"it begins at ten hours", func(s *source) {
		after(s, func(b []byte) []byte { return retimed(b, func(at uint32) uint32 { return at + 36_000_000 }) })
	}},
	{"no metadata", func(s *source) {
		after(s, func(b []byte) []byte { return without(b, func(f flvTag) bool { return f.kind() == 18 }) })
	}},
}

// corpus combines all choices, each of them several times: their numbers have no common
// divisors, so all pairs come up in time.
func corpus() (names []string, sources []source) {
	for i := range 69 {
		s := source{seconds: 9}
		var parts []string
		for _, c := range []choice{rates[i%len(rates)], codecs[(i*7)%len(codecs)], audioKinds[(i*5)%len(audioKinds)], damages[(i*3)%len(damages)]} {
			c.set(&s)
			parts = append(parts, c.name)
		}
		names, sources = append(names, strings.Join(parts, ", ")), append(sources, s)
	}
	return names, sources
}

// A recording becomes what plain ffmpeg decodes of it: as many frames, as long, of that
// shape, in those colours, with the audio where it belongs.
func TestDifferential(t *testing.T) {
	testenv.InTurn(t)
	names, sources := corpus()
	order := rand.New(rand.NewPCG(*corpusSeed, 0)).Perm(len(sources))
	if !*wholeCorpus {
		order = order[:(len(order)+19)/20]
	}
	for _, i := range order {
		t.Run(fmt.Sprintf("%02d %s", i, names[i]), func(t *testing.T) {
			t.Parallel()
			recording := sources[i].make(t)
			out, err := publish(t, recording, "")
			must(t, err)
			like(t, out, recording)
			sameLength(t, out, recording)
		})
	}
}

// sameLength holds the count of frames and the length against those of plain ffmpeg,
// which closes up no jumps of the clock: there, what it decodes is counted.
func sameLength(t *testing.T, out outcome, recording []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recording.flv")
	must(t, os.WriteFile(file, recording, 0o644))
	decoded, width, height := frames(t, file, "bt709")
	x, err := flv.Scan(bytes.NewReader(recording))
	must(t, err)
	fps := out.plan.Rate.FPS()
	thinned := max(1, x.Video.Thinned)
	least := math.Max(float64(len(decoded)/thinned), (x.Duration.Seconds()-0.1)*fps-2)
	most := math.Max(float64(len(decoded)/thinned), x.Duration.Seconds()*fps) // audio may outlive the video
	if got := float64(out.plan.Frames); got < least || got > most+3+0.05*fps*float64(len(x.Gaps)) {
		t.Errorf("%d frames at %.3f fps; plain ffmpeg decodes %d frames, it lasts %s", out.plan.Frames, fps, len(decoded), x.Duration)
	}
	if lost := len(decoded) - x.Video.Frames; lost < 0 && len(out.asset.Missing) == 0 {
		t.Errorf("%d of %d frames aren't decoded, and nothing is told of that", -lost, x.Video.Frames)
	}
	f := x.Video.Forms[0]
	if shape := float64(width) / float64(height) * float64(f.SARNum) / float64(f.SARDen); math.Abs(shape-float64(out.plan.Source.Width)/float64(out.plan.Source.Height)) > 0.02 {
		t.Errorf("it is shown as %dx%d, plain ffmpeg decodes %dx%d", out.plan.Source.Width, out.plan.Source.Height, width, height)
	}
}
