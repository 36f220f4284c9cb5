package flv

import (
	"fmt"
	"math"
)

// Steady says whether frames come so evenly that they can be copied onto the output's
// grid as they are.
type Steady struct {
	GOP     int    `json:"gop,omitempty"`     // frames from each keyframe to the next; 0: see Fault
	Reorder int    `json:"reorder,omitempty"` // frames by which keyframes are shown after they are decoded
	Fault   string `json:"fault,omitempty"`   // why they don't
}

// farOff is by how much a frame may miss its place, in ms: timestamps are whole
// milliseconds, and encoders round as they like.
const farOff = 2.0

// steadiness watches frames in the order in which they are decoded. Which rate is meant
// is known only at the end, so they are held against all that there are.
type steadiness struct {
	n       int   // frames so far
	first   int64 // DTS of the first, ms
	lastKey int
	gop     int
	key     int64 // composition of keyframes, ms
	off     [gridCount]float64
	fault   string
}

func (s *steadiness) add(dts, composition int64, key, idr bool) {
	if s.n == 0 {
		s.first, s.key = dts, composition
	}
	for i, r := range gridRates {
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
		s.fault = fmt.Sprintf("keyframe at frame %d is not an IDR frame: its GOP is open", s.n)
	case math.Abs(float64(composition-s.key)) > farOff:
		s.fault = fmt.Sprintf("keyframe at frame %d is shown %d ms after decoding, the first %d ms", s.n, composition, s.key)
	case s.n > 0 && s.gop == 0:
		s.gop = distance
	case s.n > 0 && distance != s.gop:
		s.fault = fmt.Sprintf("keyframe at frame %d is %d frames after the one before, the first two are %d apart", s.n, distance, s.gop)
	}
	s.lastKey = s.n
}

// steady is the verdict at a rate.
func (s *steadiness) steady(rate Rate) Steady {
	fault := s.fault
	for i, r := range gridRates {
		if r == rate && s.off[i] > farOff && fault == "" {
			fault = fmt.Sprintf("frames are up to %.0f ms off their places at %s fps: some are missing, or the rate is not steady", s.off[i], rate)
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
