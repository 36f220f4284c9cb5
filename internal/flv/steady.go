package flv

import (
	"fmt"
	"iter"
	"math"
)

// Steady says whether pictures come so evenly that they can be copied onto the output's
// grid as they are.
type Steady struct {
	GOP     int    `json:"gop,omitempty"`     // pictures from each keyframe to the next; 0: see Fault
	Reorder int    `json:"reorder,omitempty"` // pictures by which keyframes are shown after they are decoded
	Fault   string `json:"fault,omitempty"`   // why they don't
}

// farOff is by how much a picture may miss its place, in ms: timestamps are whole
// milliseconds, and encoders round as they like.
const farOff = 2.0

// steadiness watches pictures in the order in which they are decoded. Which rate is meant
// is known only at the end, so they are held against all that there are.
type steadiness struct {
	n       int   // pictures so far
	first   int64 // DTS of the first, ms
	lastKey int
	gop     int
	key     int64 // composition of keyframes, ms
	off     [len(standardRates)]float64
	fault   string
}

func (s *steadiness) add(dts, composition int64, key, idr bool) {
	if s.n == 0 {
		s.first, s.key = dts, composition
	}
	for i, r := range standardRates {
		place := float64(dts-s.first) - float64(s.n)*1000/r.FPS()
		whole := float64(composition) * r.FPS() / 1000
		s.off[i] = max(s.off[i], math.Abs(place), math.Abs(whole-math.Round(whole))*1000/r.FPS())
	}
	if key {
		s.keyframe(composition, idr)
	}
	s.n++
}

func (s *steadiness) keyframe(composition int64, idr bool) {
	distance := s.n - s.lastKey
	switch {
	case s.fault != "":
	case !idr:
		s.fault = fmt.Sprintf("keyframe at picture %d is no IDR: its GOP is open", s.n)
	case math.Abs(float64(composition-s.key)) > farOff:
		s.fault = fmt.Sprintf("keyframe at picture %d is shown %d ms after decoding, the first %d ms", s.n, composition, s.key)
	case s.n > 0 && s.gop == 0:
		s.gop = distance
	case s.n > 0 && distance != s.gop:
		s.fault = fmt.Sprintf("keyframe at picture %d is %d pictures after the one before, the first two are %d apart", s.n, distance, s.gop)
	}
	s.lastKey = s.n
}

// steady is the verdict at a rate.
func (s *steadiness) steady(rate Rate) Steady {
	fault := s.fault
	for i, r := range standardRates {
		if r == rate && s.off[i] > farOff && fault == "" {
			fault = fmt.Sprintf("pictures are up to %.0f ms off their places at %s fps: some are missing, or the rate is not steady", s.off[i], rate)
		}
	}
	if fault == "" && s.gop == 0 {
		fault = "it has one keyframe"
	}
	if fault != "" {
		return Steady{Fault: fault}
	}
	return Steady{GOP: s.gop, Reorder: int(math.Round(float64(s.key) * rate.FPS() / 1000))}
}

// holdsIDR tells whether a picture's NAL units are of an IDR picture (ISO/IEC 14496-10,
// table 7-1: 5; 1 is another one).
func holdsIDR(units []byte, lengthSize int) bool {
	for unit := range NALUnits(units, lengthSize) {
		switch unit[0] & 0x1f {
		case 5:
			return true
		case 1:
			return false
		}
	}
	return false
}

// NALUnits are those of a picture, each behind its length in so many bytes (ISO/IEC
// 14496-15, 5.3.2), up to the first that is damaged; none is empty.
func NALUnits(picture []byte, lengthSize int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(picture) > lengthSize {
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
