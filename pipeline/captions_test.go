package pipeline

import (
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
)

// captioned has "HI" with its frames, as CEA-608 in channel 1 of the first field (ANSI/SCTE
// 128-1): roll-up, then the two letters, again and again.
func captioned(b []byte) []byte {
	odd := func(c byte) byte {
		ones := 0
		for i := range 8 {
			ones += int(c >> i & 1)
		}
		if ones%2 == 1 {
			return c
		}
		return c | 0x80
	}
	script := [][2]byte{{0x14, 0x25}, {0x14, 0x2d}, {0x14, 0x70}, {'H', 'I'}}
	n, tags := 0, split(b)
	for i, tag := range tags {
		body := tag.body()
		if tag.kind() != 9 || body[1] != 1 {
			continue
		}
		if n%5 == 0 {
			pair := script[n/5%len(script)]
			data := append([]byte("\xb5\x00\x31GA94\x03\x41\xff\xfc"), odd(pair[0]), odd(pair[1]), 0xff)
			unit := append(append([]byte{6, 4, byte(len(data))}, data...), 0x80)
			body = append(append(append([]byte{}, body[:5]...), append([]byte{0, 0, 0, byte(len(unit))}, unit...)...), body[5:]...)
			tags[i] = newTag(9, tag.at(), body)
		}
		n++
	}
	return joined(tags...)
}

// Closed captions go through, and playlists say that they are there, in the language that
// the profile names; where there are none, they say that.
func TestCaptions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		alter func([]byte) []byte
		want  []string
	}{
		"with captions":    {captioned, []string{`TYPE=CLOSED-CAPTIONS,GROUP-ID="cc"`, `LANGUAGE="und"`, `INSTREAM-ID="CC1"`, `CLOSED-CAPTIONS="cc"`}},
		"without captions": {nil, []string{"CLOSED-CAPTIONS=NONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := publish(t, source{alter: tc.alter}.make(t), "")
			must(t, err)
			master, _, err := out.store.Get(out.plan.Key("flat", "master.m3u8"))
			must(t, err)
			for _, want := range tc.want {
				if !strings.Contains(string(master), want) {
					t.Errorf("the playlist doesn't say %s:\n%s", want, master)
				}
			}
			text := filepath.Join(t.TempDir(), "captions.srt")
			if tc.alter == nil {
				return
			}
			_, err = hlstest.Run(t.Context(), "ffmpeg", "-v", "quiet", "-nostdin", "-f", "lavfi", "-i", "movie="+out.top(t)+"[out0+subcc]", "-map", "0:s", "-f", "srt", text)
			must(t, err)
			said, err := hlstest.Run(t.Context(), "cat", text)
			must(t, err)
			if !strings.Contains(string(said), "HI") {
				t.Errorf("the captions say %q", said)
			}
		})
	}
}
