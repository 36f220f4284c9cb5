// Package h264 reads what an H.264 stream says of itself: the form of its pictures,
// where decoding may start, which captions it carries.
//
// The format is ISO/IEC 14496-10; NAL units behind lengths, and the configuration that
// goes with them, are ISO/IEC 14496-15's. Streams come from outside, so nothing in them
// is trusted: what cannot be read is left out.
package h264

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/bits"
)

// NAL unit types (ISO/IEC 14496-10, table 7-1).
const (
	unitSlice = 1
	unitIDR   = 5
	unitSEI   = 6
	unitSPS   = 7
	unitPPS   = 8
)

// MaxSide is the longest side of a picture, in pixels, that is believed; level 6.2
// allows 16,888 in one direction.
const MaxSide = 16384

// Form is what a sequence parameter set says of its pictures.
type Form struct {
	Width      int    `json:"width"` // in pixels, after cropping
	Height     int    `json:"height"`
	SARNum     int    `json:"sar_num"` // sample aspect ratio, 1:1 where the stream says nothing
	SARDen     int    `json:"sar_den"`
	Profile    int    `json:"profile"`              // profile_idc
	Level      int    `json:"level"`                // level_idc
	Interlaced bool   `json:"interlaced,omitempty"` // pictures may be coded as fields
	Chroma     int    `json:"chroma"`               // chroma_format_idc: 1 is 4:2:0
	Depth      int    `json:"depth"`                // bits of a sample
	Colour     Colour `json:"colour"`
}

// Plain tells whether all players can show such pictures: progressive, 4:2:0, of 8 bits.
func (f Form) Plain() bool { return !f.Interlaced && f.Depth == 8 && f.Chroma == 1 }

// Colour says what samples mean, in the code points of ISO/IEC 23091-2.
type Colour struct {
	Primaries int  `json:"primaries"`
	Transfer  int  `json:"transfer"`
	Matrix    int  `json:"matrix"`
	Full      bool `json:"full,omitempty"` // range
}

// Unspecified is the code point of what a stream doesn't say.
const Unspecified = 2

var errNoSPS = errors.New("it has no sequence parameter set")

// Stream follows a stream's parameter sets, those in its configuration and those between
// its pictures.
type Stream struct {
	lengthSize int // bytes of a NAL unit's length
	forms      map[uint]sequence
	pictures   map[uint]uint // by picture parameter set, its sequence's
	last       Form
}

// sequence is what a sequence parameter set says.
type sequence struct {
	Form

	frameNumber int  // bits of a frame's number
	planes      bool // the three colours are coded apart
	id          uint
}

// Configure reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), and
// returns the form that its first sequence parameter set has. The lengths of NAL units
// may have 1, 2 or 4 bytes.
func (s *Stream) Configure(record []byte) (Form, error) {
	if len(record) < 7 || record[0] != 1 {
		return Form{}, fmt.Errorf("it is not a configuration of version 1: % x", record[:min(len(record), 7)])
	}
	next := Stream{lengthSize: int(record[4]&3) + 1, forms: map[uint]sequence{}, pictures: map[uint]uint{}}
	if next.lengthSize == 3 {
		return Form{}, errors.New("its NAL units have lengths of 3 bytes")
	}
	rest, err := next.sets(record[6:], int(record[5]&0x1f))
	if err == nil && len(next.forms) == 0 {
		err = errNoSPS
	}
	if err == nil && len(rest) > 0 { // some leave out the number of picture parameter sets
		_, err = next.sets(rest[1:], int(rest[0]))
	}
	if err != nil {
		return Form{}, err
	}
	*s = next
	return s.last, nil
}

// sets reads n parameter sets, each behind its length in two bytes.
func (s *Stream) sets(b []byte, n int) (rest []byte, err error) {
	for range n {
		if len(b) < 2 || len(b)-2 < int(b[0])<<8|int(b[1]) {
			return nil, errors.New("it ends inside a parameter set")
		}
		size := int(b[0])<<8 | int(b[1])
		first := len(s.forms) == 0
		unit := b[2 : 2+size]
		b = b[2+size:]
		if len(unit) == 0 {
			continue
		}
		f, err := s.set(unit)
		if err != nil && first {
			return nil, err
		}
		if err == nil && first {
			s.last = f
		}
	}
	return b, nil
}

// set takes in a parameter set, if the unit is one.
func (s *Stream) set(unit []byte) (f Form, err error) {
	switch unit[0] & 0x1f {
	case unitSPS:
		parsed, err := parse(unit)
		if err != nil {
			return f, fmt.Errorf("its sequence parameter set: %w", err)
		}
		f = parsed.Form
		if f.Width < 2 || f.Height < 2 || f.Width > MaxSide || f.Height > MaxSide {
			return f, fmt.Errorf("its picture is said to be %dx%d", f.Width, f.Height)
		}
		s.forms[parsed.id] = parsed
	case unitPPS:
		r := reader(unit)
		picture, sequence := r.ReadExpGolomb(), r.ReadExpGolomb()
		if r.AccError() == nil {
			s.pictures[picture] = sequence
		}
	}
	return f, nil
}

// ParseSPS reads a sequence parameter set, up to what it says of colours: the rest is not
// needed, and some cameras write it wrongly.
func ParseSPS(unit []byte) (Form, error) {
	s, err := parse(unit)
	return s.Form, err
}

func parse(unit []byte) (s sequence, err error) {
	sps, err := avc.ParseSPSNALUnit(unit, false)
	if err != nil {
		return s, err
	}
	s = sequence{form(sps), int(sps.Log2MaxFrameNumMinus4) + 4, sps.SeparateColourPlaneFlag, uint(sps.ParameterID)}
	s.Colour = colour(unit)
	return s, nil
}

func form(sps *avc.SPS) Form {
	f := Form{
		Width: int(sps.Width), Height: int(sps.Height), SARNum: 1, SARDen: 1,
		Profile: int(sps.Profile), Level: int(sps.Level), Interlaced: !sps.FrameMbsOnlyFlag,
		Chroma: int(sps.ChromaFormatIDC), Depth: 8 + int(max(sps.BitDepthLumaMinus8, sps.BitDepthChromaMinus8)),
	}
	vui := sps.VUI
	if vui == nil {
		return f
	}
	// Beyond four to one, either way, it is a mistake.
	if num, den := int(vui.SampleAspectRatioWidth), int(vui.SampleAspectRatioHeight); num > 0 && den > 0 && num <= 4*den && den <= 4*num {
		f.SARNum, f.SARDen = num, den
	}
	return f
}

// reader reads the first few numbers behind a NAL unit's header.
func reader(unit []byte) *bits.EBSPReader {
	const few = 32 // bytes
	return bits.NewEBSPReader(bytes.NewReader(unit[1:min(len(unit), 1+few)]))
}

// Units are the NAL units of a picture, each behind its length in so many bytes (ISO/IEC
// 14496-15, 5.3.2), up to the first that is damaged; none is empty.
func Units(picture []byte, lengthSize int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for lengthSize > 0 && len(picture) > lengthSize {
			size := 0
			for _, b := range picture[:lengthSize] {
				size = size<<8 | int(b)
			}
			picture = picture[lengthSize:]
			if size == 0 || size > len(picture) || !yield(picture[:size]) {
				return
			}
			picture = picture[size:]
		}
	}
}
