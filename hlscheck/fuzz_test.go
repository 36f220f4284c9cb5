package hlscheck

import (
	"maps"
	"testing"
)

// Whatever is in playlists, looking at them ends soon, in findings or in an error.
func FuzzPlaylists(f *testing.F) {
	for _, seed := range [][2]string{
		{"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f\",RESOLUTION=1x1,AUDIO=\"a\"\nmedia.m3u8\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"media.m3u8\"\n", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na\n#EXT-X-ENDLIST\n"},
		{"#EXTM3U\n#EXT-X-DEFINE:NAME=\"v\",VALUE=\"media\"\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"{$v}.m3u8\"\n", "#EXTM3U\n#EXT-X-MAP:URI=\"a\",BYTERANGE=\"1@0\"\n#EXTINF:0,\n#EXT-X-BYTERANGE:1@1\na\n#EXTINF:1.5,\n#EXT-X-BYTERANGE:2\na\n#EXT-X-ENDLIST\n"},
		{"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmaster.m3u8\n", "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-DISCONTINUITY\n#EXT-X-GAP\n#EXTINF:1,\nhttp://a/b\n"},
	} {
		f.Add(seed[0], seed[1], []byte("ID3\x04\x00\x00\x00\x00\x00\x00\xff\xf1\x50\x80\x01\x3f\xfc"))
	}
	f.Fuzz(func(t *testing.T, master, media string, segment []byte) {
		all := files{"master.m3u8": []byte(master), "media.m3u8": []byte(media), "a": segment}
		for _, depth := range []Depth{Playlists, Media} {
			r, err := Check(t.Context(), maps.Clone(all).source(), "master.m3u8", depth)
			if (r == nil) == (err == nil) {
				t.Errorf("report %v, error %v", r, err)
			}
		}
	})
}
