package hlscheck

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/sei"
)

// Captions are found in messages of H.264 and HEVC, wherever they are in a picture. What
// says nothing is none: padding, invalid pairs, messages of others.
func TestCaptions(t *testing.T) {
	picture := func(units ...[]byte) (all []byte) {
		for _, u := range units {
			all = append(binary.BigEndian.AppendUint32(all, uint32(len(u))), u...)
		}
		return all
	}
	const field1, field2, start708, goesOn708, invalid = 0xfc, 0xfd, 0xff, 0xfe, 0xf8
	for name, tc := range map[string]struct {
		data []byte // triples
		want bool
	}{
		"CEA-608":          {[]byte{field1, 0xc8, 0xe9}, true},
		"the second field": {[]byte{field2, 0x80, 0xe9}, true},
		"behind padding":   {[]byte{field1, 0x80, 0x80, field1, 0xc8, 0xe9}, true},
		"CEA-708":          {[]byte{start708, 0x02, 0x21}, true},
		"padding":          {[]byte{field1, 0x80, 0x80, field2, 0x80, 0x80}, false},
		"no beginning":     {[]byte{goesOn708, 0x02, 0x21}, false},
		"not valid":        {[]byte{invalid, 0xc8, 0xe9}, false},
		"nothing":          {nil, false},
		"cut in a triple":  {[]byte{field1, 0xc8}, false},
	} {
		message := []sei.SEIMessage{
			sei.NewSEIData(sei.SEIUserDataUnregisteredType, make([]byte, 20)),
			sei.CreateCTA608SEIMessage(slices.Concat([]byte{0x40 | byte((len(tc.data)+2)/3), 0xff}, tc.data)),
		}
		h264, err := avc.CreateSEINalu(message)
		if err != nil {
			t.Fatal(err)
		}
		h265, err := hevc.CreateSEINalu(message)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&initSegment{h264: true, lengthSize: 4}).hasCaptions(picture([]byte{9, 0xf0}, h264, []byte{0x65, 1, 2})); got != tc.want {
			t.Errorf("%s, H.264: %t", name, got)
		}
		if got := (&initSegment{hevc: true, lengthSize: 4}).hasCaptions(picture([]byte{0x46, 1, 0x50}, h265, []byte{0x26, 1, 2})); got != tc.want {
			t.Errorf("%s, HEVC: %t", name, got)
		}
	}
	for _, damaged := range [][]byte{nil, {0}, {0, 0, 0, 1, 6}, {0, 0, 0, 3, 6, 4, 0xff}, {0, 0, 0, 2, 0x4e, 1}} {
		if (&initSegment{h264: true, lengthSize: 4}).hasCaptions(damaged) || (&initSegment{hevc: true, lengthSize: 4}).hasCaptions(damaged) {
			t.Errorf("%x has captions", damaged)
		}
	}
}

// VIDEO-RANGE follows from the transfer characteristics, where they are clear.
func TestVideoRange(t *testing.T) {
	for transfer, want := range map[int]string{16: "PQ", 18: "HLG", 1: "SDR", 6: "SDR", 14: "", 2: "", 0: ""} {
		if got := (&initSegment{transfer: transfer}).videoRange(); got != want {
			t.Errorf("%d: %q, want %q", transfer, got, want)
		}
	}
}
