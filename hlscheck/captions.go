package hlscheck

import (
	"bytes"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/sei"

	"afterlive.alt/internal/h264"
)

// nalLength is how many bytes the length of a NAL unit has of which avcC says nothing here.
const nalLength = 4

// isIDR tells whether a picture of H.264 is an IDR picture.
func isIDR(picture []byte, lengthSize int) bool {
	for unit := range h264.Units(picture, lengthSize) {
		if avc.GetNaluType(unit[0]) == avc.NALU_IDR {
			return true
		}
	}
	return false
}

// hasCaptions tells whether a picture carries CEA-608 or CEA-708 captions.
func (i *initSegment) hasCaptions(picture []byte) bool {
	if !i.h264 && !i.hevc {
		return false
	}
	for unit := range h264.Units(picture, i.lengthSize) {
		switch {
		case i.h264 && avc.GetNaluType(unit[0]) == avc.NALU_SEI:
			unit = unit[1:]
		case i.hevc && hevc.GetNaluType(unit[0]) == hevc.NALU_SEI_PREFIX && len(unit) > 1:
			unit = unit[2:]
		default:
			continue
		}
		if seiHasCaptions(unit) {
			return true
		}
	}
	return false
}

// seiHasCaptions looks at SEI messages, behind the NAL unit's header. An encoder that
// sends empty ones all the time has no captions.
func seiHasCaptions(unit []byte) bool {
	messages, _ := sei.ExtractSEIData(bytes.NewReader(unit)) // as far as they can be read
	for _, m := range messages {
		if m.Type() == sei.SEIUserDataRegisteredITUtT35Type && ccData(m.Payload()) {
			return true
		}
	}
	return false
}

// ccData tells whether a message is one of captions (ATSC A/53, part 4, 6.2.3), and says
// anything.
func ccData(message []byte) bool {
	header := sei.CTA608ITUData().Encode()
	data, ok := bytes.CutPrefix(message, header)
	if !ok || len(data) < 2 {
		return false
	}
	const field2, begins708, valid = 1, 3, 4
	count := int(data[0] & 0x1f)
	for triple := data[2:]; count > 0 && len(triple) >= 3; count, triple = count-1, triple[3:] {
		kind := triple[0] & 3
		isText := kind == begins708 || kind <= field2 && (triple[1]&0x7f != 0 || triple[2]&0x7f != 0) // CEA-608 pads with zeros, and a bit of parity
		if triple[0]&valid != 0 && isText {
			return true
		}
	}
	return false
}
