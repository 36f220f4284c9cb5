package h264

import (
	"bytes"
	"slices"

	"github.com/Eyevinn/mp4ff/bits"
)

// colour is what a sequence parameter set says of colours. mp4ff reads that too, but with
// the rest of the usability information, in which a few damaged bits may claim gigabytes.
func colour(sps []byte) Colour {
	c := Colour{Primaries: Unspecified, Transfer: Unspecified, Matrix: Unspecified}
	r := bits.NewEBSPReader(bytes.NewReader(sps))
	if !skipToVUI(r) || !r.ReadFlag() {
		return c
	}
	const extendedSAR = 255
	if r.ReadFlag() && r.Read(8) == extendedSAR { // aspect_ratio_idc (E.1.1)
		r.Read(32)
	}
	if r.ReadFlag() { // overscan
		r.ReadFlag()
	}
	if !r.ReadFlag() { // video_signal_type_present_flag
		return c
	}
	r.Read(3)
	full := r.ReadFlag()
	said := c
	if r.ReadFlag() {
		said = Colour{Primaries: int(r.Read(8)), Transfer: int(r.Read(8)), Matrix: int(r.Read(8))}
	}
	if r.AccError() != nil {
		return c
	}
	said.Full = full
	return said
}

// withChroma are the profiles whose parameter sets say more of samples (7.3.2.1.1).
var withChroma = []uint{100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}

// skipToVUI reads up to vui_parameters_present_flag (7.3.2.1.1). Numbers with a sign are as
// long as those without.
func skipToVUI(r *bits.EBSPReader) bool {
	r.Read(8)
	profile := r.Read(8)
	r.Read(16)
	r.ReadExpGolomb()
	if slices.Contains(withChroma, profile) {
		skipChroma(r)
	}
	r.ReadExpGolomb()
	switch r.ReadExpGolomb() { // pic_order_cnt_type
	case 0:
		r.ReadExpGolomb()
	case 1:
		r.ReadFlag()
		r.ReadExpGolomb()
		r.ReadExpGolomb()
		for n := r.ReadExpGolomb(); n > 0 && r.AccError() == nil; n-- {
			r.ReadExpGolomb()
		}
	}
	r.ReadExpGolomb()
	r.ReadFlag()
	r.ReadExpGolomb()
	r.ReadExpGolomb()
	if !r.ReadFlag() { // frame_mbs_only_flag
		r.ReadFlag()
	}
	r.ReadFlag()
	if r.ReadFlag() { // frame_cropping_flag
		for range 4 {
			r.ReadExpGolomb()
		}
	}
	return r.AccError() == nil
}

func skipChroma(r *bits.EBSPReader) {
	lists := 8
	if r.ReadExpGolomb() == 3 { // chroma_format_idc
		lists = 12
		r.ReadFlag()
	}
	r.ReadExpGolomb()
	r.ReadExpGolomb()
	r.ReadFlag()
	if !r.ReadFlag() { // seq_scaling_matrix_present_flag
		return
	}
	for i := range lists {
		if r.ReadFlag() {
			skipScaling(r, map[bool]int{true: 16, false: 64}[i < 6])
		}
	}
}

// skipScaling reads a scaling list (7.3.2.1.1.1): it ends where the next scale is zero.
func skipScaling(r *bits.EBSPReader, size int) {
	last := 8
	for range size {
		next := (last + r.ReadSignedGolomb() + 256) % 256
		if next == 0 {
			return
		}
		last = next
	}
}
