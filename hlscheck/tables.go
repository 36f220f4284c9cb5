package hlscheck

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"
)

// decode reads MP4 that may be damaged.
func decode(body []byte) (*mp4.File, error) {
	if err := tables(body); err != nil {
		return nil, err
	}
	return mp4.DecodeFile(bytes.NewReader(body))
}

// maxEntries is more than a table of a segment has: an hour at 60 fps is a fifth of it.
const maxEntries = 1 << 20

// containers are the boxes whose boxes are looked at (ISO/IEC 14496-12).
var containers = []string{"moov", "trak", "mdia", "minf", "stbl", "edts", "mvex", "moof", "traf"}

// counts are where a table's count of entries is, behind its box's header.
var counts = map[string]int{
	"stts": 4, "ctts": 4, "stsc": 4, "stss": 4, "stco": 4, "co64": 4, "elst": 4, "trun": 4, "senc": 4, "subs": 4,
	"stsz": 8, "sbgp": 8, "sgpd": 8,
}

// tables refuses MP4 whose tables claim more entries than any have: mp4ff takes memory for
// what is claimed before it reads what is there.
func tables(b []byte) error {
	for len(b) >= 8 {
		size, name := int(binary.BigEndian.Uint32(b)), string(b[4:8])
		if size < 8 || size > len(b) { // to the end, or of 64 bits: none of these is as long
			size = len(b)
		}
		payload := b[8:size]
		if at, ok := counts[name]; ok && len(payload) >= at+4 {
			if n := binary.BigEndian.Uint32(payload[at:]); n > maxEntries {
				return fmt.Errorf("its box %s claims %d entries", name, n)
			}
		}
		if slices.Contains(containers, name) {
			if err := tables(payload); err != nil {
				return err
			}
		}
		b = b[size:]
	}
	return nil
}
