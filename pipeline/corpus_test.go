package pipeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Generators of recordings that nobody should have to bear. Each makes one out of a
// good one, or of nothing.

// kept is what tests have made with ffmpeg, by what it was made of: many need the same.
var kept sync.Map

// once makes something, or returns a copy of what was made before.
func once(of string, produce func() []byte) []byte {
	body, ok := kept.Load(of)
	if !ok {
		body, _ = kept.LoadOrStore(of, produce())
	}
	whole, ok := body.([]byte)
	if !ok {
		panic("only bytes are kept")
	}
	return bytes.Clone(whole)
}

// movieLength is that of movies, in seconds: three chunks of newSmall.
const movieLength = 20

// movie is a good recording with bits enough for damage to be small.
func movie(t *testing.T, args ...string) []byte {
	t.Helper()
	return encoded(t, "flv", append([]string{"-c:v", "libx264", "-preset", "ultrafast", "-qp", "12", "-g", "50", "-c:a", "aac"}, args...)...)
}

// encoded is what ffmpeg makes of moving bars and a tone.
func encoded(t *testing.T, format string, args ...string) []byte {
	t.Helper()
	return once(format+" "+strings.Join(args, " "), func() []byte { return encode(t, format, args) })
}

func encode(t *testing.T, format string, args []string) []byte {
	t.Helper()
	mediaHeavy(t)
	size := "320x180"
	if i := slices.Index(args, "-s"); i >= 0 {
		size = args[i+1]
	}
	file := filepath.Join(t.TempDir(), "movie")
	runFFmpeg(t, slices.Concat([]string{
		"-v", "error", "-nostdin", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=r=25:d=%d:s=%s", movieLength, size), "-f", "lavfi", "-i", fmt.Sprintf("sine=d=%d", movieLength),
		"-pix_fmt", "yuv420p",
	}, args, []string{"-f", format, file})...)
	body, err := os.ReadFile(file)
	must(t, err)
	return body
}

// A tag of an FLV, its sizes included.
type flvTag []byte

func newTag(kind byte, at uint32, body []byte) flvTag {
	n := len(body)
	b := []byte{kind, byte(n >> 16), byte(n >> 8), byte(n), byte(at >> 16), byte(at >> 8), byte(at), byte(at >> 24), 0, 0, 0}
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, uint32(n+11))
}

func (f flvTag) kind() byte   { return f[0] }
func (f flvTag) body() []byte { return f[11 : len(f)-4] }
func (f flvTag) at() uint32 {
	return uint32(f[4])<<16 | uint32(f[5])<<8 | uint32(f[6]) | uint32(f[7])<<24
}
func (f flvTag) moved(at uint32) flvTag { return newTag(f.kind(), at, f.body()) }

// split is a recording's tags.
func split(b []byte) (tags []flvTag) {
	for b = b[13:]; len(b) > 15; {
		n := 15 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
		tags = append(tags, b[:n])
		b = b[n:]
	}
	return tags
}

func joined(tags ...flvTag) []byte {
	b := []byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
	for _, t := range tags {
		b = append(b, t...)
	}
	return b
}

// retimed gives every tag another time.
func retimed(b []byte, f func(at uint32) uint32) []byte {
	tags := split(b)
	for i, t := range tags {
		tags[i] = t.moved(f(t.at()))
	}
	return joined(tags...)
}

// without leaves out the tags that f is true for.
func without(b []byte, f func(flvTag) bool) []byte { return joined(slices.DeleteFunc(split(b), f)...) }

func scriptTag(body []byte) flvTag { return newTag(18, 0, body) }

// metadata is onMetaData with a duration in seconds.
func metadata(duration float64) flvTag {
	b := []byte("\x02\x00\x0aonMetaData\x08\x00\x00\x00\x01\x00\x08duration\x00")
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(duration))
	return scriptTag(append(b, 0, 0, 9))
}

// nested is a strict array in a strict array, and so on.
func nested(deep int) flvTag {
	return scriptTag(append([]byte("\x02\x00\x0aonMetaData"), bytes.Repeat([]byte("\x0a\x00\x00\x00\x01"), deep)...))
}

// flipped has n bits flipped, behind its first bytes.
func flipped(b []byte, n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	b = bytes.Clone(b)
	for range n {
		b[2000+random.IntN(len(b)-2000)] ^= 1 << random.IntN(8)
	}
	return b
}

// followed is one recording behind another, as where a recorder appends.
func followed(a, b []byte) []byte {
	tags := split(a)
	end := tags[len(tags)-1].at() + 40
	for _, t := range split(b) {
		tags = append(tags, t.moved(t.at()+end))
	}
	return joined(tags...)
}

// claiming is a recording whose H.264 header says another size: the video's, in
// macroblocks.
func claiming(width, height int) []byte {
	var bits strings.Builder
	put := func(n int) { // unsigned Exp-Golomb (ITU-T H.264, 9.1)
		length := 0
		for v := n + 1; v > 1; v >>= 1 {
			length++
		}
		bits.WriteString(strings.Repeat("0", length))
		for i := length; i >= 0; i-- {
			bits.WriteByte('0' + byte((n+1)>>i&1))
		}
	}
	for _, n := range []int{0, 0, 2, 1} { // id, frame number, order of frames, references
		put(n)
	}
	bits.WriteByte('0')
	put(width/16 - 1)
	put(height/16 - 1)
	bits.WriteString("110001") // frames only, 8x8 inference, no cropping, no VUI, end
	text := bits.String() + strings.Repeat("0", (8-bits.Len()%8)%8)
	sps := []byte{0x67, 66, 0, 51}
	for i := 0; i < len(text); i += 8 {
		var b byte
		for _, c := range text[i : i+8] {
			b = b<<1 | byte(c-'0')
		}
		sps = append(sps, b)
	}
	pps := []byte{0x68, 0xce, 0x38, 0x80}
	header := slices.Concat([]byte{0x17, 0, 0, 0, 0, 1, 66, 0, 51, 0xff, 0xe1, 0, byte(len(sps))}, sps, []byte{1, 0, byte(len(pps))}, pps)
	return joined(newTag(9, 0, header), newTag(9, 0, []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65}), newTag(9, 40, []byte{0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41}))
}
