package hlscheck

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/Eyevinn/mp4ff/sei"
)

// fixtures break one rule each, and what goes with it.
func fixtures(t *testing.T) map[string]func(f files) {
	m := func(from, to string) func(files) {
		return func(f files) { f.replace(t, "master.m3u8", from, to) }
	}
	list := func(name, from, to string) func(files) {
		return func(f files) { f.replace(t, name+"/index.m3u8", from, to) }
	}
	attribute := func(name, value string) func(files) { // of every variant
		return func(f files) {
			f["master.m3u8"] = regexp.MustCompile(`([:,])`+name+`=("[^"]*"|[^,\n]*),?`).ReplaceAll(f["master.m3u8"], []byte("${1}"+value))
		}
	}
	first := func(name, value string) func(files) { // of the first
		return func(f files) {
			re := regexp.MustCompile(`(#EXT-X-STREAM-INF:(?:[^\n]*,)?)` + name + `=("[^"]*"|[^,\n]*)`)
			at := re.FindSubmatchIndex(f["master.m3u8"])
			if at == nil {
				t.Fatalf("no %s", name)
			}
			body := f["master.m3u8"]
			f["master.m3u8"] = slices.Concat(body[:at[3]], []byte(value), body[at[1]:])
		}
	}
	swap := func(from, to string) func(files) { // one rendition for another
		return m("\n"+from+"/index.m3u8", "\n"+to+"/index.m3u8")
	}
	return map[string]func(f files){
		"9.1":  attribute("CODECS", ""),
		"9.2":  attribute("RESOLUTION", ""),
		"9.14": attribute("AVERAGE-BANDWIDTH", ""),
		"9.15": attribute("FRAME-RATE", ""),
		"9.10": func(f files) {
			f["master.m3u8"] = regexp.MustCompile(`#EXT-X-STREAM-INF.*\nsame.*\n`).ReplaceAll(f["master.m3u8"], nil)
		},
		"9.11": m("#EXT-X-INDEPENDENT-SEGMENTS\n", ""),
		"1.26": first("AVERAGE-BANDWIDTH", "AVERAGE-BANDWIDTH=5000"),
		"1.27": first("BANDWIDTH", "BANDWIDTH=9000000"),
		"1.30": func(f files) { pad(f, "top/s01.m4s", 4_000_000) },
		"1.32": func(f files) {
			f["master.m3u8"] = regexp.MustCompile(`(?s)(#EXT-X-STREAM-INF[^\n]*\ntop[^\n]*\n)(.*)(#EXT-X-I-FRAME)`).ReplaceAll(f["master.m3u8"], []byte("$2$1$3"))
		},
		"1.33": first("RESOLUTION", "RESOLUTION=180x180"),
		"1.34": func(f files) {
			first("RESOLUTION", "RESOLUTION=3840x2160")(f)
			first("AVERAGE-BANDWIDTH", "AVERAGE-BANDWIDTH=20000000")(f)
		},
		"1.3a": attribute("CODECS", `CODECS="avc1.640033",`),
		"1.3b": first("CODECS", `CODECS="avc1.64003c,mp4a.40.2"`),
		"1.4":  first("CODECS", `CODECS="avc1.4d4015,mp4a.40.2"`),
		"1.5": func(f files) {
			first("CODECS", `CODECS="hvc1.1.6.L93.B0,mp4a.40.2"`)(f)
			list("top", `#EXT-X-MAP:URI="init.mp4"`, "")(f)
		},
		"1.11":            first("CODECS", `CODECS="avc1.640028,mp4a.40.2"`),
		"1.19":            first("FRAME-RATE", "FRAME-RATE=120.000"),
		"8.10":            m(`LANGUAGE="und",`, ""),
		"2.9":             func(f files) { pad(f, "audio/s00.m4s", 400_000) },
		"9.5":             m(`,AUDIO="a"`, ""),
		"9.20":            m("#EXT-X-I-FRAME", "#EXT-X-STREAM-INF:BANDWIDTH=66000,AVERAGE-BANDWIDTH=66000,CODECS=\"mp4a.40.2\"\nmono/index.m3u8\n#EXT-X-I-FRAME"),
		"9.21":            func(f files) { swap("low", "same")(f); attribute("BANDWIDTH", "BANDWIDTH=700000,")(f) },
		"1.38":            first("FRAME-RATE", `FRAME-RATE=25.000,REQ-VIDEO-LAYOUT="PROJ-EQUI"`),
		"RFC8216-7":       list("top", "#EXT-X-VERSION:7", "#EXT-X-VERSION:3"),
		"8.6":             list("top", "#EXT-X-PLAYLIST-TYPE:VOD\n", ""),
		"RFC8216-4.3.3.4": list("same", "#EXT-X-ENDLIST", ""),
		"8.4":             underWay,
		"8.11":            underWay,
		"7.7": func(f files) {
			for _, r := range []string{"top", "same", "low", "audio"} {
				list(r, "#EXT-X-TARGETDURATION:6", "#EXT-X-TARGETDURATION:5")(f)
			}
		},
		"7.5": func(f files) {
			for _, r := range []string{"top", "same", "low", "audio"} {
				list(r, "#EXT-X-TARGETDURATION:6", "#EXT-X-TARGETDURATION:10")(f)
			}
		},
		"8.2":  list("audio", "#EXT-X-TARGETDURATION:6", "#EXT-X-TARGETDURATION:7"),
		"8.3":  list("same", "#EXTINF:6.000000,\ns01.m4s\n", ""),
		"8.20": list("low", `#EXT-X-MAP:URI="init.mp4"`, ""),
		"8.22": list("same", "#EXTINF:6.000000,\ns00", "#EXTINF:5.900000,\ns00"),
		"RFC8216-4.3.2.5": func(f files) {
			f["top/other.mp4"] = f["top/init.mp4"]
			list("top", "#EXTINF:6.000000,\ns01", "#EXT-X-MAP:URI=\"other.mp4\"\n#EXTINF:6.000000,\ns01")(f)
		},
		"RFC8216-4.1": list("top", "s01.m4s", "s09.m4s"),
		"6.1": func(f files) {
			f["master.m3u8"] = regexp.MustCompile(`#EXT-X-I-FRAME.*\n`).ReplaceAll(f["master.m3u8"], nil)
		},
		"6.2": func(f files) {
			list("frames", "#EXTINF:1.000000,\n", "#EXTINF:2.000000,\n")(f)
			f["frames/index.m3u8"] = half(f["frames/index.m3u8"])
		},
		"6.8": list("frames", "#EXT-X-I-FRAMES-ONLY\n", ""),
		"6.9": func(f files) {
			f["master.m3u8"] = regexp.MustCompile(`(I-FRAME-STREAM-INF:)BANDWIDTH=\d+`).ReplaceAll(f["master.m3u8"], []byte("${1}BANDWIDTH=9"))
		},
		"6.10":            func(f files) { f["frames/s01.m4s"] = f["top/s01.m4s"] },
		"RFC8216-4.3.2.2": list("frames", "#EXTINF:1.000000,\n", "#EXTINF:1.000000,\n#EXT-X-BYTERANGE:0@0\n"),
		"7.3": func(f files) {
			f.change(t, "top/s01.m4s", func(x *mp4.Fragment) {
				x.Moof.Traf.Tfdt.SetBaseMediaDecodeTime(x.Moof.Traf.Tfdt.BaseMediaDecodeTime() + 512)
			})
		},
		"7.4": func(f files) {
			f.change(t, "top/s01.m4s", func(x *mp4.Fragment) {
				x.Moof.Traf.Trun.SetFirstSampleFlags(mp4.NonSyncSampleFlags)
				x.Moof.Traf.Trun.Samples[0].Flags = mp4.NonSyncSampleFlags
			})
		},
		"1.13":            func(f files) { swap("top", "slow")(f) },
		"8.1":             list("top", "#EXTINF:6.000000,\ns00", "#EXTINF:5.900000,\ns00"),
		"2.3":             func(f files) { f["audio/init.mp4"] = f["mono/init.mp4"] },
		"1.10":            func(f files) { f.replace(t, "top/init.mp4", "avc1", "avc3") },
		"9.16":            swap("top", "hdr"),
		"4.4":             swap("top", "captions"),
		"RFC8216-4.3.4.2": m(`,AUDIO="a"`, `,AUDIO="b"`),
		"13.2":            list("top", "#EXT-X-MAP", "#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n#EXT-X-MAP"),
		"13.11":           list("top", "#EXT-X-MAP", "#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:,k\",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"\n#EXT-X-MAP"),
	}
}

// transportFixtures break what is looked for in transport streams.
func transportFixtures(t *testing.T) map[string]func(f files) {
	list := func(name, from, to string) func(files) {
		return func(f files) { f.replace(t, name+"/index.m3u8", from, to) }
	}
	return map[string]func(f files){
		"7.3": list("top", "s01.ts", "s02.ts"),
		"7.4": func(f files) { // the first slice of an IDR frame is called one of another
			f["top/s01.ts"] = bytes.Replace(f["top/s01.ts"], []byte{0, 0, 1, 0x65}, []byte{0, 0, 1, 0x61}, 1)
		},
		"1.13":        func(f files) { f.replace(t, "master.m3u8", "\ntop/index.m3u8", "\nslow/index.m3u8") },
		"8.1":         list("top", "#EXTINF:6.000000,\ns00", "#EXTINF:5.900000,\ns00"),
		"2.3":         list("audio", "s00.ts", "../mono/s00.ts"),
		"1.11":        func(f files) { f.replace(t, "master.m3u8", `CODECS="avc1.64000c`, `CODECS="avc1.640028`) },
		"6.10":        func(f files) { f["frames/s01.ts"] = f["top/s01.ts"] },
		"9.16":        func(f files) { f.replace(t, "master.m3u8", "\ntop/index.m3u8", "\nhdr/index.m3u8") },
		"4.4":         func(f files) { f.replace(t, "master.m3u8", "\ntop/index.m3u8", "\ncaptions/index.m3u8") },
		"RFC8216-4.1": func(f files) { f["top/s01.ts"] = slices.Delete(slices.Clone(f["top/s01.ts"]), 4*packet, 5*packet) },
	}
}

// caption puts a message of captions (CEA-608, one pair of bytes) before each frame of
// a stream of H.264.
func caption(t *testing.T, from, to string, pair [2]byte) {
	t.Helper()
	stream, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	message, err := avc.CreateSEINalu([]sei.SEIMessage{sei.CreateCTA608SEIMessage([]byte{0x41, 0xff, 0xfc, pair[0], pair[1], 0xff})})
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, unit := range avc.ExtractNalusFromByteStream(stream) {
		if kind := avc.GetNaluType(unit[0]); (kind == avc.NALU_IDR || kind == avc.NALU_NON_IDR) && unit[1]&0x80 != 0 { // its first slice
			out = append(append(out, 0, 0, 0, 1), message...)
		}
		out = append(append(out, 0, 0, 0, 1), unit...)
	}
	if err := os.WriteFile(to, out, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pad makes a segment longer by a box that nobody reads.
func pad(f files, name string, n int) {
	box := make([]byte, n)
	copy(box, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 'f', 'r', 'e', 'e'})
	f[name] = slices.Concat(f[name], box)
}

// half leaves every second frame out of a playlist.
func half(list []byte) []byte {
	n := 0
	return regexp.MustCompile(`#EXTINF[^#]*\n`).ReplaceAllFunc(list, func(one []byte) []byte {
		n++
		if n%2 == 0 {
			return nil
		}
		return one
	})
}

// underWay makes an event of a presentation that has not ended.
func underWay(f files) {
	for name, body := range f {
		if strings.HasSuffix(name, "index.m3u8") {
			body = bytes.ReplaceAll(body, []byte("TYPE:VOD"), []byte("TYPE:EVENT"))
			body = bytes.ReplaceAll(body, []byte("#EXT-X-ENDLIST\n"), nil)
			if !bytes.Contains(body, []byte("TYPE:EVENT")) {
				body = bytes.Replace(body, []byte("#EXTM3U\n"), []byte("#EXTM3U\n#EXT-X-PLAYLIST-TYPE:EVENT\n"), 1)
			}
			f[name] = body
		}
	}
}
