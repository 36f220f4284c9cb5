package segment

import (
	"encoding/binary"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/ladder"
)

// markSphere says in a sample entry what the video shows: st3d (mono) and sv3d,
// after the "Spherical Video V2 RFC" of google/spatial-media. ffmpeg's HLS muxer
// drops both. The RFC has no word for equi-angular cubes, other than a mesh.
func markSphere(entry *mp4.VisualSampleEntryBox, l ladder.Ladder) {
	var projection []byte
	switch l.Projection {
	case ladder.Equirectangular: // bounds: top, bottom, left, right; nothing is cut off
		projection = fullBox("equi", 0, 0, 0, 0)
	case ladder.Cubemap: // layout 0, the only one there is; padding in pixels
		projection = fullBox("cbmp", 0, uint32(l.Layout.Pad))
	default:
		return
	}
	header := box("svhd", append([]byte{0, 0, 0, 0}, "afterlive\x00"...))
	pose := fullBox("prhd", 0, 0, 0) // yaw, pitch, roll
	addBox(entry, box("st3d", []byte{0, 0, 0, 0, 0}))
	addBox(entry, box("sv3d", append(header, box("proj", append(pose, projection...))...)))
}

// box is an ISO BMFF box (ISO/IEC 14496-12, 4.2).
func box(name string, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(payload)))
	return append(append(b, name...), payload...)
}

// fullBox is a box with version and flags 0, and 32-bit fields.
func fullBox(name string, fields ...uint32) []byte {
	payload := []byte{0, 0, 0, 0}
	for _, f := range fields {
		payload = binary.BigEndian.AppendUint32(payload, f)
	}
	return box(name, payload)
}

func addBox(entry *mp4.VisualSampleEntryBox, b []byte) {
	entry.AddChild(mp4.CreateUnknownBox(string(b[4:8]), uint64(len(b)), b[8:]))
}
