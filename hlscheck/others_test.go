package hlscheck

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/internal/testenv"
)

// broken are the rules that MUST be kept and are not, sorted.
func broken(t *testing.T, f files, depth Depth) (rules []string, text string) {
	t.Helper()
	r, err := Check(t.Context(), f.source(), "master.m3u8", depth)
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range r.Broken(Must) {
		if text += finding.String() + "\n"; !slices.Contains(rules, finding.Rule) {
			rules = append(rules, finding.Rule)
		}
	}
	slices.Sort(rules)
	return rules, text
}

// breaks wants these rules to be broken, at depth Media, and no others but some that may be.
func breaks(t *testing.T, f files, may []string, want ...string) {
	t.Helper()
	for _, depth := range []Depth{Media, Playlists} {
		got, text := broken(t, f, depth)
		for _, rule := range got {
			if !slices.Contains(may, rule) && !slices.Contains(want, rule) {
				t.Errorf("depth %d: breaks %s, too\n%s\n%s", depth, rule, text, f["master.m3u8"])
			}
		}
		for _, rule := range want {
			if depth == Media && !slices.Contains(got, rule) {
				t.Errorf("breaks %q, and not %s\n%s", got, rule, f["master.m3u8"])
			}
		}
	}
}

// What ffmpeg's own muxer writes can be looked at, and breaks the rules that ffmpeg breaks.
func TestOfFFmpeg(t *testing.T) {
	testenv.InTurn(t)
	dir := t.TempDir()
	video := []string{"-c:v", "libx264", "-profile:v", "high", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-sc_threshold", "0", "-maxrate", "300k", "-bufsize", "300k"}
	hevc := []string{"-an", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=50:scenecut=0:log-level=none:open-gop=0"}
	audio := []string{"-c:a", "aac", "-ac", "2", "-b:a", "64k"}
	join := slices.Concat[[]string]
	hdr := func(transfer string) []string {
		return join(hevc, []string{"-vf", "format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=" + transfer + ":colorspace=bt2020nc"})
	}
	for name, args := range map[string][]string{
		"h264": join(video, audio), "slow": join(video, audio, []string{"-r", "5", "-g", "10"}), "ac-3": join(video, []string{"-c:a", "ac3"}), "mp3": join(video, []string{"-c:a", "libmp3lame"}),
		"hevc": hevc, "pq": hdr("smpte2084"), "hlg": hdr("arib-std-b67"), "av1": {"-an", "-c:v", "libsvtav1", "-preset", "12", "-g", "50"},
	} {
		ffmpeg(t, dir, join([]string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=12", "-f", "lavfi", "-i", "sine=f=440:r=48000:d=12"}, args, []string{name + ".mp4"})...)
	}
	fmp4, oneFile := []string{"-hls_segment_type", "fmp4"}, []string{"-hls_flags", "single_file"}
	apart := []string{"-map", "0:v", "-map", "0:a", "-var_stream_map", "v:0,agroup:a a:0,agroup:a,language:en"}
	hvc1 := join(fmp4, []string{"-tag:v", "hvc1"})
	// Its multivariant playlist lacks most attributes, by its version; and I-frames. From version 7 on, bandwidths are too low beside audio apart.
	lacks, noFrames := []string{"9.1", "9.14", "9.15"}, []string{"6.1"}
	tooLow := map[string][]string{"audio apart": {"1.26", "1.27"}, "audio apart in ts": {"1.26", "1.27"}}
	for _, tc := range []struct {
		name, from string
		args       []string
		want       []string
	}{
		{"fmp4", "h264", fmp4, noFrames},
		{"ts", "h264", nil, noFrames},
		{"fmp4 in one file", "h264", join(fmp4, oneFile), noFrames},
		{"ts in one file", "h264", oneFile, noFrames},
		{"audio alone", "h264", join(fmp4, []string{"-vn"}), nil},
		{"audio alone in ts", "h264", []string{"-vn"}, nil},
		{"video alone", "h264", join(fmp4, []string{"-an"}), noFrames},
		{"audio apart", "h264", join(fmp4, apart), noFrames},
		{"audio apart in ts", "h264", apart, noFrames},
		{"two variants", "h264", []string{"-map", "0:v", "-map", "0:a", "-map", "0:v", "-map", "0:a", "-var_stream_map", "v:0,a:0 v:1,a:1"}, noFrames},
		{"five frames a second", "slow", fmp4, noFrames},
		{"an event", "h264", []string{"-hls_playlist_type", "event"}, []string{"6.1", "8.6"}},
		{"hevc", "hevc", hvc1, noFrames},
		{"hev1", "hevc", join(fmp4, []string{"-tag:v", "hev1"}), []string{"6.1", "1.10"}},
		{"pq", "pq", hvc1, []string{"6.1", "9.16"}},
		{"hlg", "hlg", hvc1, []string{"6.1", "9.16"}},
		{"av1", "av1", fmp4, noFrames},
		{"ac-3", "ac-3", fmp4, []string{"6.1", "2.3"}},
		{"mp3", "mp3", nil, []string{"6.1", "2.3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, list := t.TempDir(), "index.m3u8"
			if slices.Contains(tc.args, "-var_stream_map") {
				list = "v%v.m3u8"
			}
			ffmpeg(t, out, join([]string{"-i", filepath.Join(dir, tc.from+".mp4"), "-c", "copy", "-f", "hls", "-hls_time", "6", "-hls_playlist_type", "vod", "-master_pl_name", "master.m3u8"}, tc.args, []string{list})...)
			breaks(t, read(t, out), slices.Concat(lacks, tooLow[tc.name]), tc.want...)
		})
	}
}

// packager is Shaka Packager: no part of what tests install, since it has 16 MB.
func packager(t *testing.T) string {
	t.Helper()
	name := "packager-linux-" + map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if file := filepath.Join(testenv.Root(), "tools", "shaka", "node_modules", "shaka-packager", "bin", name); os.Chmod(file, 0o755) == nil {
		return file
	}
	file, err := exec.LookPath("packager")
	if err != nil {
		t.Skip("Shaka Packager is not installed: npm install --prefix tools/shaka shaka-packager@3.4.2")
	}
	return file
}

// What Shaka Packager writes keeps the rules, but for I-frames where it wasn't asked for
// them.
func TestOfShakaPackager(t *testing.T) {
	program, dir := packager(t), t.TempDir()
	for name, rate := range map[string]string{"high.mp4": "600k", "low.mp4": "200k"} {
		ffmpeg(t, dir, "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=18", "-c:v", "libx264", "-profile:v", "high", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
			"-g", "50", "-sc_threshold", "0", "-b:v", rate, "-maxrate", rate, "-bufsize", rate, name)
	}
	ffmpeg(t, dir, "-f", "lavfi", "-i", "sine=f=440:r=48000:d=18", "-c:a", "aac", "-ac", "2", "-b:a", "64k", "audio.mp4")
	text := "WEBVTT\n\n00:00.000 --> 00:05.000\nHello\n\n00:07.000 --> 00:17.000\nworld\n"
	if err := os.WriteFile(filepath.Join(dir, "text.vtt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := []string{"--enable_raw_key_encryption", "--clear_lead", "0", "--protection_systems", "FairPlay", "--keys", "label=:key_id=abba271e8bcf552bbd2e86a434a9a5d9:key=69eaa802a6763af979e8d1940fb88392"}
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"ranges", []string{
			"in=high.mp4,stream=video,output=OUT/high.mp4,playlist_name=high.m3u8,iframe_playlist_name=highi.m3u8", "in=low.mp4,stream=video,output=OUT/low.mp4,playlist_name=low.m3u8,iframe_playlist_name=lowi.m3u8",
			"in=audio.mp4,stream=audio,output=OUT/audio.mp4,playlist_name=audio.m3u8,language=en",
		}, nil},
		{"segments and text", []string{
			"in=high.mp4,stream=video,init_segment=OUT/v/init.mp4,segment_template=OUT/v/$Number$.m4s,playlist_name=v.m3u8,iframe_playlist_name=vi.m3u8",
			"in=audio.mp4,stream=audio,init_segment=OUT/a/init.mp4,segment_template=OUT/a/$Number$.m4s,playlist_name=a.m3u8,language=en",
			"in=text.vtt,stream=text,segment_template=OUT/t/$Number$.vtt,playlist_name=t.m3u8,hls_group_id=text,language=en",
		}, nil},
		{"ts and packed audio", []string{
			"in=high.mp4,stream=video,segment_template=OUT/v/$Number$.ts,playlist_name=v.m3u8", "in=audio.mp4,stream=audio,segment_template=OUT/a/$Number$.aac,playlist_name=a.m3u8,language=en",
		}, []string{"6.1"}},
		{"cbcs", append([]string{
			"in=high.mp4,stream=video,output=OUT/high.mp4,playlist_name=high.m3u8", "in=audio.mp4,stream=audio,output=OUT/audio.mp4,playlist_name=audio.m3u8,language=en", "--protection_scheme", "cbcs",
		}, raw...), []string{"6.1"}},
		{"SAMPLE-AES", append([]string{
			"in=high.mp4,stream=video,segment_template=OUT/v/$Number$.ts,playlist_name=v.m3u8", "in=audio.mp4,stream=audio,segment_template=OUT/a/$Number$.aac,playlist_name=a.m3u8,language=en",
		}, raw...), []string{"6.1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := t.TempDir()
			args := []string{"--quiet", "--hls_playlist_type", "VOD", "--segment_duration", "6", "--hls_master_playlist_output", out + "/master.m3u8"}
			for _, a := range tc.args {
				args = append(args, strings.ReplaceAll(a, "OUT/", out+"/"))
			}
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Dir = dir
			if printed, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			breaks(t, read(t, out), nil, tc.want...)
		})
	}
}

// ranged puts all segments of a rendition into one file, as byte ranges; of those behind
// another, every second one without its offset.
func (f files) ranged(name, extension string) {
	whole, n := slices.Clone(f[name+"/init.mp4"]), 0
	list := bytes.ReplaceAll(f[name+"/index.m3u8"], []byte(`URI="init.mp4"`), fmt.Appendf(nil, `URI="all%s",BYTERANGE="%d@0"`, extension, len(whole)))
	list = regexp.MustCompile(`s\d+`+regexp.QuoteMeta(extension)).ReplaceAllFunc(list, func(segment []byte) []byte {
		body := f[name+"/"+string(segment)]
		part := fmt.Sprintf("#EXT-X-BYTERANGE:%d@%d", len(body), len(whole))
		n++
		if n%2 == 0 {
			part, _, _ = strings.Cut(part, "@")
		}
		whole = append(whole, body...)
		return []byte(part + "\nall" + extension)
	})
	f[name+"/all"+extension], f[name+"/index.m3u8"] = whole, list
}

// iframesOf makes an I-frame playlist of a rendition's own frames, the first of each segment:
// ranges that end within the mdat, behind the frame.
func (f files) iframesOf(t *testing.T, name string) {
	t.Helper()
	list := []byte("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"init.mp4\"\n")
	bits := 0
	for i := range 3 {
		segment := fmt.Sprintf("s%02d.m4s", i)
		file, err := mp4.DecodeFile(bytes.NewReader(f[name+"/"+segment]))
		if err != nil {
			t.Fatal(err)
		}
		one := file.Segments[0].Fragments[0]
		size := int(one.Mdat.PayloadAbsoluteOffset()-one.Moof.StartPos) + int(one.Moof.Traf.Trun.Samples[0].Size)
		bits = max(bits, 8*size/6)
		list = fmt.Appendf(list, "#EXTINF:6.000,\n#EXT-X-BYTERANGE:%d@%d\n%s\n", size, one.Moof.StartPos, segment)
	}
	f[name+"/iframes.m3u8"] = append(list, "#EXT-X-ENDLIST\n"...)
	f.replace(t, "master.m3u8", `RESOLUTION=320x180,URI="frames/index.m3u8"`, `RESOLUTION=320x180,URI="`+name+`/iframes.m3u8"`)
	f.replace(t, "master.m3u8", f.codecs(t, "frames")+`",RES`, f.codecs(t, name)+`",RES`)
	f["master.m3u8"] = regexp.MustCompile(`(I-FRAME-STREAM-INF:)BANDWIDTH=\d+`).ReplaceAll(f["master.m3u8"], fmt.Appendf(nil, "${1}BANDWIDTH=%d", bits))
}

// become puts another rendition's files in the place of "same".
func (f files) become(t *testing.T, other string) {
	t.Helper()
	for file := range maps.Clone(f) {
		if base, ok := strings.CutPrefix(file, other+"/"); ok {
			f["same/"+base] = f[file]
		}
	}
	f.master(t)
}

// Presentations as the specifications have them.
func TestOfTheSpecifications(t *testing.T) {
	const key = `#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://a",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"` + "\n#EXT-X-MAP"
	for name, tc := range map[string]struct {
		kind   string
		change func(t *testing.T, f files)
		want   []string
	}{
		"byte ranges": {"fmp4", func(_ *testing.T, f files) {
			for _, r := range []string{"top", "same", "low", "audio"} {
				f.ranged(r, ".m4s")
			}
		}, nil},
		"byte ranges of ts":                {"mpegts", func(_ *testing.T, f files) { f.ranged("top", ".ts") }, nil},
		"I-frames of the rendition itself": {"fmp4", func(t *testing.T, f files) { f.iframesOf(t, "top") }, nil},
		"groups": {"fmp4", func(t *testing.T, f files) {
			f["text/index.m3u8"] = []byte("#EXTM3U\n#EXT-X-TARGETDURATION:30\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:20,\nall.vtt\n#EXT-X-ENDLIST\n")
			f["text/all.vtt"] = []byte("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n00:00.000 --> 00:05.000\nHello\n")
			f.replace(t, "master.m3u8", `AUDIO="a"`, `AUDIO="a",SUBTITLES="text",CLOSED-CAPTIONS="cc"`)
			f.replace(t, "master.m3u8", "#EXT-X-MEDIA", `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME="English",LANGUAGE="en",AUTOSELECT=YES,FORCED=NO,URI="text/index.m3u8"
#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="cc",NAME="English",LANGUAGE="en",INSTREAM-ID="CC1"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="mono",NAME="Mono",LANGUAGE="en",CHANNELS="1",URI="mono/index.m3u8"
#EXT-X-MEDIA`)
			// The same frames once more, with other audio.
			again := regexp.MustCompile(`#EXT-X-STREAM-INF[^\n]*\n[^\n]*\n`).FindAll(f["master.m3u8"], -1)
			f["master.m3u8"] = slices.Concat(f["master.m3u8"], bytes.ReplaceAll(bytes.Join(again, nil), []byte(`AUDIO="a"`), []byte(`AUDIO="mono"`)))
		}, nil},
		"captions declared": {"fmp4", func(t *testing.T, f files) {
			f.become(t, "captions")
			f.replace(t, "master.m3u8", `AUDIO="a"`, `AUDIO="a",CLOSED-CAPTIONS="cc"`)
			f.replace(t, "master.m3u8", "#EXT-X-MEDIA", "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"English\",LANGUAGE=\"en\",INSTREAM-ID=\"CC1\"\n#EXT-X-MEDIA")
		}, nil},
		"captions denied": {"mpegts", func(t *testing.T, f files) {
			f.become(t, "captions")
			f.replace(t, "master.m3u8", `AUDIO="a"`, `AUDIO="a",CLOSED-CAPTIONS=NONE`)
		}, []string{"4.4"}},
		"empty captions":       {"fmp4", func(t *testing.T, f files) { f.become(t, "padding") }, nil},
		"empty captions in ts": {"mpegts", func(t *testing.T, f files) { f.become(t, "padding") }, nil},
		"HDR": {"fmp4", func(t *testing.T, f files) {
			for _, r := range []string{"top", "same", "low"} {
				f[r+"/init.mp4"] = f["hdr/init.mp4"]
			}
			f.replace(t, "master.m3u8", `AUDIO="a"`, `AUDIO="a",VIDEO-RANGE=PQ`)
			f.replace(t, "master.m3u8", `,URI="frames`, `,VIDEO-RANGE=SDR,URI="frames`)
			f["master.m3u8"] = regexp.MustCompile(`avc1\.[0-9a-f]{6},mp4a`).ReplaceAll(f["master.m3u8"], []byte(f.codecs(t, "hdr")+",mp4a"))
		}, nil},
		"HDR that says it is of another kind": {"fmp4", func(t *testing.T, f files) {
			f["top/init.mp4"] = f["hdr/init.mp4"]
			f.replace(t, "master.m3u8", `AUDIO="a"`, `AUDIO="a",VIDEO-RANGE=SDR`)
		}, []string{"9.16", "1.11"}},
		"FairPlay": {"fmp4", func(t *testing.T, f files) {
			for _, r := range []string{"top", "same", "low", "audio"} {
				f.replace(t, r+"/index.m3u8", "#EXT-X-MAP", key)
			}
		}, nil},
		"AES-128": {"mpegts", func(t *testing.T, f files) {
			f.replace(t, "low/index.m3u8", "#EXTINF:6.000000,\ns00", "#EXT-X-KEY:METHOD=AES-128,URI=\"key\",IV=0x00000000000000000000000000000001\n#EXTINF:6.000000,\ns00")
			for i := range 3 {
				f[fmt.Sprintf("low/s%02d.ts", i)] = bytes.Repeat([]byte{0xa5}, len(f[fmt.Sprintf("low/s%02d.ts", i)]))
			}
		}, nil},
		"a key that ends": {"fmp4", func(t *testing.T, f files) {
			f.replace(t, "low/index.m3u8", "#EXTINF:6.000000,\ns00", "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF:6.000000,\ns00")
			f.replace(t, "low/index.m3u8", "#EXTINF:6.000000,\ns01", "#EXT-X-KEY:METHOD=NONE\n#EXTINF:6.000000,\ns01")
			f["low/s00.m4s"] = bytes.Repeat([]byte{0xa5}, len(f["low/s00.m4s"]))
		}, nil},
		"variables, advertisements and steering": {"fmp4", func(t *testing.T, f files) {
			f.replace(t, "master.m3u8", "#EXT-X-VERSION:7\n", "#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"where\",VALUE=\"top\"\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s\",PATHWAY-ID=\"A\"\n#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"b,c=d\"\n# a comment\n#EXT-OTHERS:1\n")
			f.replace(t, "master.m3u8", "\ntop/index.m3u8", "\n{$where}/index.m3u8")
			f.replace(t, "top/index.m3u8", "#EXT-X-VERSION:7\n", "#EXT-X-VERSION:8\n#EXT-X-DEFINE:IMPORT=\"where\"\n")
			f.replace(t, "top/index.m3u8", "\ns01", "\n../{$where}/s01")
			f.replace(t, "top/index.m3u8", "#EXT-X-ENDLIST", "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:00Z\",SCTE35-OUT=0xFC00\n#EXT-X-ENDLIST")
		}, nil},
		"a gap": {"fmp4", func(t *testing.T, f files) {
			f.replace(t, "mono/index.m3u8", "\ns01", "\n#EXT-X-GAP\ns09")
			f.replace(t, "master.m3u8", "#EXT-X-MEDIA", "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"m\",NAME=\"M\",LANGUAGE=\"en\",URI=\"mono/index.m3u8\"\n#EXT-X-MEDIA")
		}, nil},
		"an event that has ended": {"fmp4", func(t *testing.T, f files) {
			for _, r := range []string{"top", "same", "low", "audio"} {
				f.replace(t, r+"/index.m3u8", "TYPE:VOD", "TYPE:EVENT")
			}
		}, []string{"8.6"}},
		"lines of Windows": {"fmp4", func(_ *testing.T, f files) {
			for name := range f {
				if strings.HasSuffix(name, ".m3u8") {
					f[name] = bytes.ReplaceAll(f[name], []byte("\n"), []byte("\r\n"))
				}
			}
		}, nil},
		"names with spaces and queries": {"fmp4", func(t *testing.T, f files) {
			f["top/a b%.m4s"] = f["top/s01.m4s"]
			delete(f, "top/s01.m4s")
			f.replace(t, "top/index.m3u8", "s01.m4s", "a%20b%25.m4s?token=a/b/../c")
		}, nil},
		"a multivariant playlist in a media playlist's place": {"fmp4", func(_ *testing.T, f files) { f["low/index.m3u8"] = f["master.m3u8"] }, []string{"RFC8216-4.3.4.2"}},
		"a media playlist that is not there":                  {"fmp4", func(_ *testing.T, f files) { delete(f, "low/index.m3u8") }, []string{"RFC8216-4.3.4.2"}},
		"a media playlist that is none":                       {"fmp4", func(_ *testing.T, f files) { f["low/index.m3u8"] = []byte("<html>") }, []string{"RFC8216-4.3.4.2"}},
		"a range without its beginning":                       {"fmp4", func(t *testing.T, f files) { f.replace(t, "low/index.m3u8", "\ns00", "\n#EXT-X-BYTERANGE:100\ns00") }, []string{"RFC8216-4.3.4.2"}},
		"a range beyond the file": {"fmp4", func(t *testing.T, f files) {
			f.ranged("low", ".m4s")
			f["low/all.m4s"] = f["low/all.m4s"][:len(f["low/all.m4s"])-1]
		}, []string{"8.3", "RFC8216-4.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := maps.Clone(good(t, tc.kind))
			tc.change(t, f)
			breaks(t, f, nil, tc.want...)
		})
	}
}

// What this is no checker of is refused, and the words say why.
func TestRefuses(t *testing.T) {
	live := "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.0\n#EXT-X-PART-INF:PART-TARGET=1.0\n#EXT-X-MEDIA-SEQUENCE:266\n" +
		"#EXT-X-PROGRAM-DATE-TIME:2026-02-14T02:13:36.106Z\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:6.0,\ns00.m4s\n#EXT-X-PART:DURATION=1.0,URI=\"p.mp4\",INDEPENDENT=YES\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q.mp4\"\n"
	all := func(f files, list string) {
		for _, r := range []string{"top", "same", "low", "audio"} {
			f[r+"/index.m3u8"] = []byte(list)
		}
		f["master.m3u8"] = regexp.MustCompile(`#EXT-X-I-FRAME.*\n`).ReplaceAll(f["master.m3u8"], nil)
	}
	for name, tc := range map[string]struct {
		change func(f files)
		want   string
	}{
		"live with low latency": {func(f files) { all(f, live) }, "it is live"},
		"live": {func(f files) {
			all(f, "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:6,\ns00.m4s\n")
		}, "it is live"},
		"a media playlist":    {func(f files) { f["master.m3u8"] = f["top/index.m3u8"] }, "it is a media playlist; the multivariant one is wanted"},
		"a page":              {func(f files) { f["master.m3u8"] = []byte("<!doctype html>") }, "it is not a playlist"},
		"nothing":             {func(f files) { f["master.m3u8"] = nil }, "it is not a playlist"},
		"no variant":          {func(f files) { f["master.m3u8"] = []byte("#EXTM3U\n") }, "it names no variant"},
		"a byte order mark":   {func(f files) { f["master.m3u8"] = append([]byte("\ufeff"), f["master.m3u8"]...) }, "it begins with a byte order mark"},
		"a rate in words":     {func(f files) { f["master.m3u8"] = []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=much\na.m3u8\n") }, `#EXT-X-STREAM-INF: "much" is not a whole number`},
		"an open quotation":   {func(f files) { f["master.m3u8"] = []byte("#EXTM3U\n#EXT-X-STREAM-INF:CODECS=\"avc1\na.m3u8\n") }, "#EXT-X-STREAM-INF: a quotation mark is missing in CODECS"},
		"an unknown variable": {func(f files) { f["master.m3u8"] = []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$a}.m3u8\n") }, "the variable {$a} is not defined"},
		"another server": {func(f files) {
			f["master.m3u8"] = bytes.ReplaceAll(f["master.m3u8"], []byte("\nlow/"), []byte("\nhttps://a.test/low/"))
		}, "check the presentation by its URL"},
		"a server's root": {func(f files) {
			f["low/index.m3u8"] = bytes.ReplaceAll(f["low/index.m3u8"], []byte("\ns00"), []byte("\n/low/s00"))
		}, "check the presentation by its URL"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good(t, "fmp4")
			tc.change(f)
			if _, err := Check(t.Context(), f.source(), "master.m3u8", Media); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
