package hlscheck

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/internal/testenv"
)

// files is a presentation in memory.
type files map[string][]byte

func (f files) source() Source {
	root := fstest.MapFS{}
	for name, body := range f {
		root[name] = &fstest.MapFile{Data: body}
	}
	return Dir(root)
}

// replace changes a file's text, which must be there.
func (f files) replace(t *testing.T, name, from, to string) {
	t.Helper()
	if !bytes.Contains(f[name], []byte(from)) {
		t.Fatalf("%s has no %q:\n%s", name, from, f[name])
	}
	f[name] = bytes.ReplaceAll(f[name], []byte(from), []byte(to))
}

// change edits one fragmented file.
func (f files) change(t *testing.T, name string, edit func(*mp4.Fragment)) {
	t.Helper()
	file, err := mp4.DecodeFile(bytes.NewReader(f[name]))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range file.Segments {
		for _, fragment := range s.Fragments {
			edit(fragment)
			fragment.Moof.Traf.Trun.DataOffset = int32(fragment.Moof.Size()) + 8 // behind the mdat's header
		}
	}
	var out bytes.Buffer
	file.FragEncMode = mp4.EncModeBoxTree
	if err := file.Encode(&out); err != nil {
		t.Fatal(err)
	}
	f[name] = out.Bytes()
}

var extensions = map[string]string{"fmp4": ".m4s", "mpegts": ".ts"}

// rendition is one that ffmpeg makes.
type rendition struct {
	name string
	args []string
}

// ffmpeg runs it in a folder.
func ffmpeg(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-v", "error", "-nostdin", "-y"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %q: %v\n%s", args, err, out)
	}
}

// read takes what is in a folder.
func read(t *testing.T, dir string) files {
	t.Helper()
	f := files{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		f[filepath.ToSlash(relative)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const duration = "18"

// made are presentations that were made already, by kind.
var made = map[string]files{}

// good is a presentation that breaks no rule, and beside it renditions that do. kind is
// ffmpeg's name of what segments are.
func good(t *testing.T, kind string) files {
	t.Helper()
	if made[kind] == nil {
		made[kind] = makeGood(t, kind)
	}
	return maps.Clone(made[kind])
}

func makeGood(t *testing.T, kind string) files {
	t.Helper()
	dir := t.TempDir()
	video := func(size string, gop int, more ...string) []string {
		return append([]string{"-map", "0:v", "-vf", "scale=" + size, "-c:v", "libx264", "-profile:v", "high", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", fmt.Sprint(gop), "-keyint_min", fmt.Sprint(gop), "-sc_threshold", "0", "-flags", "+cgop"}, more...)
	}
	audio := func(channels string) []string {
		return []string{"-map", "1:a", "-c:a", "aac", "-b:a", "64k", "-ac", channels}
	}
	frames := append(video("320x180,select='not(mod(n,25))'", 1, "-crf", "30", "-fps_mode", "passthrough", "-enc_time_base", "1:25"), "-hls_time", "1", "-hls_flags", "independent_segments+iframes_only")
	hls := func(name string, from, args []string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		args = slices.Concat(from, []string{"-f", "hls", "-hls_time", "6", "-hls_playlist_type", "vod", "-hls_segment_type", kind, "-hls_flags", "independent_segments"},
			args, []string{"-hls_segment_filename", "s%02d" + extensions[kind], "index.m3u8"})
		ffmpeg(t, filepath.Join(dir, name), args...)
	}
	from := []string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=" + duration, "-f", "lavfi", "-i", "sine=f=440:r=48000:d=" + duration, "-t", duration}
	for _, r := range []rendition{
		{"top", video("320x180", 50, "-crf", "22", "-maxrate", "900k", "-bufsize", "900k")},
		{"same", video("320x180", 50, "-crf", "28", "-maxrate", "500k", "-bufsize", "500k")},
		{"low", video("160x90", 50, "-crf", "34", "-maxrate", "90k", "-bufsize", "90k")},
		{"slow", video("320x180", 150, "-crf", "22")},
		{"square", video("180x180", 50, "-crf", "28")},
		{"hdr", video("320x180", 50, "-crf", "28", "-vf", "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc")},
		{"audio", audio("2")},
		{"mono", audio("1")},
		{"frames", frames},
	} {
		hls(r.name, from, r.args)
	}
	ffmpeg(t, dir, append(from, append(video("320x180", 50, "-crf", "28", "-bf", "0"), "-f", "h264", "plain.h264")...)...)
	for name, pair := range map[string][2]byte{"captions": {0xc8, 0xe9}, "padding": {0x80, 0x80}} {
		caption(t, filepath.Join(dir, "plain.h264"), filepath.Join(dir, name+".h264"), pair)
		hls(name, []string{"-r", "25", "-i", "../" + name + ".h264"}, []string{"-c", "copy"})
	}
	f := read(t, dir)
	f.replace(t, "frames/index.m3u8", "#EXTINF:0.040000", "#EXTINF:1.000000") // as long as it is shown
	f.master(t)
	return f
}

// master writes a multivariant playlist with what is measured.
func (f files) master(t *testing.T) {
	t.Helper()
	rate := func(name string) (average, peak float64) {
		f["master.m3u8"] = []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + name + "/index.m3u8\n")
		p, err := load(t.Context(), f.source(), "master.m3u8", Playlists)
		if err != nil {
			t.Fatal(err)
		}
		return p.variants[0].track.average, p.variants[0].track.peak
	}
	audioAverage, audioPeak := rate("audio")
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n")
	b.WriteString(`#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Audio",LANGUAGE="und",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio/index.m3u8"` + "\n")
	for _, v := range []struct{ name, size string }{{"top", "320x180"}, {"same", "320x180"}, {"low", "160x90"}} {
		average, peak := rate(v.name)
		fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d,CODECS=\"%s,mp4a.40.2\",RESOLUTION=%s,FRAME-RATE=25.000,AUDIO=\"a\"\n%s/index.m3u8\n",
			int(math.Ceil(peak+audioPeak)), int(math.Ceil(average+audioAverage)), f.codecs(t, v.name), v.size, v.name)
	}
	average, peak := rate("frames")
	fmt.Fprintf(&b, "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d,CODECS=\"%s\",RESOLUTION=320x180,URI=\"frames/index.m3u8\"\n", int(math.Ceil(peak)), int(math.Ceil(average)), f.codecs(t, "frames"))
	f["master.m3u8"] = []byte(b.String())
}

func (f files) codecs(t *testing.T, name string) string {
	t.Helper()
	init, err := parseInit(f[name+"/init.mp4"])
	if ts, ok := f[name+"/s00.ts"]; ok {
		_, init, err = parseTS(t.Context(), ts)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("avc1.%02x00%02x", init.profile, init.level)
}

func rulesOf(r *Report) (numbers []string) {
	for _, f := range r.Findings {
		if !slices.Contains(numbers, f.Rule) {
			numbers = append(numbers, f.Rule)
		}
	}
	return numbers
}

func TestGoodBreaksNothing(t *testing.T) {
	testenv.InTurn(t)
	for kind := range extensions {
		r, err := Check(t.Context(), good(t, kind).source(), "master.m3u8", Media)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			t.Error(kind, f)
		}
		if len(r.Renditions) != 5 || math.Abs(r.Renditions[0].Duration-18) > 0.001 {
			t.Errorf("measured %+v", r.Renditions)
		}
	}
}

// breakEach breaks each rule by itself.
func breakEach(t *testing.T, whole files, broken map[string]func(f files)) {
	t.Helper()
	for number, breach := range broken {
		t.Run(number, func(t *testing.T) {
			f := maps.Clone(whole)
			breach(f)
			r, err := Check(t.Context(), f.source(), "master.m3u8", Media)
			if err != nil {
				t.Fatal(err)
			}
			if got := rulesOf(r); !slices.Contains(got, number) {
				t.Errorf("breaks %v", got)
			}
		})
	}
}

// What is read of segments is read of transport streams too.
func TestTransportStreams(t *testing.T) {
	breakEach(t, good(t, "mpegts"), transportFixtures(t))
	a, b := &media{ts: true, ticks: 90_000, start: clockWraps - 540_000, end: clockWraps - 1}, &media{ts: true, ticks: 90_000}
	if !a.before(b) || b.before(a) {
		t.Error("where the clock wraps there is a gap")
	}
}

func TestEveryRuleHasAFixture(t *testing.T) {
	broken := fixtures(t)
	breakEach(t, good(t, "fmp4"), broken)
	for _, r := range Rules() {
		if broken[r.Number] == nil && !strings.HasPrefix(r.Number, "10.") {
			t.Errorf("rule %s has no fixture", r.Number)
		}
	}
}

func TestDelivery(t *testing.T) {
	f := good(t, "fmp4")
	for name, tc := range map[string]struct {
		gzip  bool
		kinds map[string][]string
		want  []string
	}{
		"as it should be": {true, types, nil},
		"not compressed":  {false, types, []string{"10.1"}},
		"as octets":       {true, map[string][]string{".m3u8": {"application/octet-stream"}}, []string{"10.4"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, ok := f[strings.TrimPrefix(r.URL.Path, "/")]
				if !ok {
					http.NotFound(w, r)
					return
				}
				w.Header()["Content-Type"] = tc.kinds[path.Ext(r.URL.Path)][:min(1, len(tc.kinds[path.Ext(r.URL.Path)]))]
				if path.Ext(r.URL.Path) == ".m3u8" && tc.gzip {
					var packed bytes.Buffer
					z := gzip.NewWriter(&packed)
					_, _ = z.Write(body)
					_ = z.Close()
					body = packed.Bytes()
					w.Header().Set("Content-Encoding", "gzip")
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				_, _ = w.Write(body)
			}))
			defer server.Close()
			base, err := url.Parse(server.URL + "/master.m3u8")
			if err != nil {
				t.Fatal(err)
			}
			for _, depth := range []Depth{Playlists, Media} {
				r, err := Check(t.Context(), Web(base), "master.m3u8", depth)
				if err != nil {
					t.Fatal(err)
				}
				if got := rulesOf(r); !slices.Equal(got, tc.want) {
					t.Errorf("depth %d: breaks %v, want %v", depth, got, tc.want)
				}
			}
		})
	}
}

// Whatever is in a segment, it ends in findings.
// A table that claims more than there is takes no memory for it.
func TestTables(t *testing.T) {
	table := func(name string, at int) []byte {
		b := make([]byte, 8+at+4)
		b[3] = byte(len(b))
		copy(b[4:], name)
		copy(b[8+at:], "\xff\xff\xff\xff")
		return b
	}
	inside := func(name string, body []byte) []byte {
		return append([]byte{0, 0, 0, byte(8 + len(body)), name[0], name[1], name[2], name[3]}, body...)
	}
	for name, at := range counts {
		if err := tables(inside("moov", inside("trak", table(name, at)))); err == nil {
			t.Errorf("%s may have four thousand million entries", name)
		}
	}
	for _, b := range [][]byte{nil, []byte("moov"), {0, 0, 0, 0, 'm', 'o', 'o', 'v'}, {0, 0, 0, 1, 'm', 'o', 'o', 'f', 0, 0}, table("mdat", 4)} {
		if err := tables(b); err != nil {
			t.Errorf("% x: %v", b, err)
		}
	}
}

func TestDamagedSegments(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for kind, extension := range extensions {
		whole := good(t, kind)
		f := files{}
		for name, body := range whole { // one segment each is enough
			if !strings.Contains(name, "/s0") || strings.HasSuffix(name, "/s01"+extension) {
				f[name] = body
			}
		}
		for range 60 {
			broken := maps.Clone(f)
			for name, body := range f {
				if path.Ext(name) != extension && path.Ext(name) != ".mp4" {
					continue
				}
				body = slices.Clone(body)
				for range 1 + random.IntN(20) {
					at := random.IntN(min(len(body), 4000))
					body[at] = [...]byte{0, 0xff, 0xfc, byte(random.IntN(256))}[random.IntN(4)]
				}
				broken[name] = body
			}
			if _, err := Check(t.Context(), broken.source(), "master.m3u8", Media); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
	// A length that leads back to where it is.
	if isIDR([]byte{0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4}, 4) || isIDR([]byte{0, 0, 0}, 4) {
		t.Error("that is not an IDR frame")
	}
}
