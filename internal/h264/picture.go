package h264

import (
	"bytes"
	"errors"

	"github.com/Eyevinn/mp4ff/sei"
)

// Picture is what one picture's NAL units say.
type Picture struct {
	Form      Form // that is in force
	Field     bool // it is one field, half a frame
	IDR       bool // decoding may start here, and nothing before it is referred to again
	Reference bool // later pictures may refer to it
	Recovery  int  // reference pictures until all is whole, if decoding starts here; -1: it isn't said
	Rotation  int  // degrees, anticlockwise, that it is to be turned by for display; -1: it isn't said
	Captions  Captions
}

// Captions are the kinds of closed captions that a picture carries (ANSI/SCTE 128-1, A/53
// part 4).
type Captions struct {
	Field1 bool `json:"field1,omitempty"` // CEA-608: CC1, CC2
	Field2 bool `json:"field2,omitempty"` // CEA-608: CC3, CC4
	DTVCC  bool `json:"dtvcc,omitempty"`  // CEA-708
}

// Read takes in a picture: parameter sets that come with it hold from now on.
func (s *Stream) Read(picture []byte) Picture {
	p := Picture{Form: s.last, Recovery: -1, Rotation: -1}
	for unit := range Units(picture, s.lengthSize) {
		switch unit[0] & 0x1f {
		case unitSPS, unitPPS:
			_, _ = s.set(unit) // what cannot be read changes nothing
		case unitSEI:
			p.supplement(unit[1:])
		case unitSlice, unitIDR, 2: // 2: the first of three partitions
			p.IDR = unit[0]&0x1f == unitIDR
			p.Reference = unit[0]>>5&3 != 0
			p.Field = s.use(unit)
			p.Form = s.last
			return p
		}
	}
	return p
}

// use makes the parameter sets of a slice those in force: its header names a picture
// parameter set, and that a sequence parameter set (7.3.3). It tells whether the slice is
// of a field.
func (s *Stream) use(slice []byte) (field bool) {
	r := reader(slice)
	_, _, picture := r.ReadExpGolomb(), r.ReadExpGolomb(), r.ReadExpGolomb() // first macroblock, type
	sequence, ok := s.pictures[picture]
	if f, known := s.forms[sequence]; ok && known && r.AccError() == nil {
		s.last = f.Form
		if f.Interlaced {
			if f.planes { // separate_colour_plane_flag: colour_plane_id
				r.Read(2)
			}
			r.Read(f.frameNumber)
			return r.ReadFlag() && r.AccError() == nil
		}
	}
	return false
}

// supplement reads supplemental enhancement information (annex D).
func (p *Picture) supplement(body []byte) {
	if len(body) > maxSupplement {
		return
	}
	messages, err := sei.ExtractSEIData(bytes.NewReader(body))
	if err != nil && !errors.Is(err, sei.ErrRbspTrailingBitsMissing) {
		return
	}
	for i := range messages {
		switch m := &messages[i]; m.Type() {
		case sei.SEIRecoveryPointType:
			if point, err := sei.DecodeRecoveryPointAvcSEI(m); err == nil {
				p.Recovery = int(min(point.(*sei.RecoveryPointAvcSEI).RecoveryFrameCnt, maxRecovery)) //nolint:forcetypeassert // what that function returns
			}
		case sei.SEIUserDataRegisteredITUtT35Type:
			p.Captions = p.Captions.Add(captions(m.Payload()))
		case sei.SEIDisplayOrientationType:
			p.Rotation = orientation(m.Payload())
		}
	}
}

const (
	maxSupplement = 8 << 10 // bytes: a message of a few bytes may claim 255 times as many
	maxRecovery   = 1 << 16 // MaxFrameNum, at most (7.4.2.1.1)
)

// orientation is a turn by whole quarters; -1: none, or one that also mirrors.
func orientation(b []byte) int {
	if len(b) < 3 || b[0]&0xe0 != 0 { // cancelled, or flipped
		return -1
	}
	// After three flags come 16 bits, the turn in 1/65536 of a circle.
	turn := int(b[0]&0x1f)<<11 | int(b[1])<<3 | int(b[2])>>5
	quarters := (turn + 1<<13) >> 14 & 3
	return 90 * quarters
}

// ForgetOrientation makes a picture's display orientation a message that nobody knows, in
// place; it looks at the units that b holds whole. ffmpeg starts its filters anew where the
// orientation of a frame is another than that of the one before.
func ForgetOrientation(b []byte, lengthSize int) {
	const reserved = 254
	for unit := range Units(b, lengthSize) {
		if unit[0]&0x1f != unitSEI {
			continue
		}
		for at := 1; at+2 < len(unit); { // a message: its type and its size, each a sum of bytes up to one that isn't 255
			if unit[at] == sei.SEIDisplayOrientationType {
				unit[at] = reserved
			}
			for at < len(unit) && unit[at] == 0xff {
				at++
			}
			size := 0
			for at++; at < len(unit) && unit[at] == 0xff; at++ {
				size += 0xff
			}
			if at < len(unit) {
				size += int(unit[at])
			}
			at += 1 + size
		}
	}
}

// captions looks at user data for captions that hold anything.
func captions(b []byte) (c Captions) {
	const header = "\xb5\x00\x31GA94\x03"
	if len(b) < len(header)+2 || string(b[:len(header)]) != header {
		return c
	}
	count := int(b[len(header)] & 0x1f)
	for triple := b[len(header)+2:]; count > 0 && len(triple) >= 3; count, triple = count-1, triple[3:] {
		valid, kind := triple[0]&4 != 0, triple[0]&3
		padding := triple[1]&0x7f == 0 && triple[2]&0x7f == 0
		switch {
		case !valid || padding && kind < 2:
		case kind == 0:
			c.Field1 = true
		case kind == 1:
			c.Field2 = true
		case kind == 3:
			c.DTVCC = true
		}
	}
	return c
}

// Add is c and d together.
func (c Captions) Add(d Captions) Captions {
	return Captions{Field1: c.Field1 || d.Field1, Field2: c.Field2 || d.Field2, DTVCC: c.DTVCC || d.DTVCC}
}
