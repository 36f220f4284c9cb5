package ladder

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	ffmpeg "github.com/u2takey/ffmpeg-go"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/h264"
)

// VideoFormat is what every decoded frame is brought to before anything else is made of it.
// It is decided once, for all chunks: no filter ever gets a frame of a size that it was
// not made for, and all renditions have the same colours.
type VideoFormat struct {
	Width       int         `json:"width"` // coded, in pixels
	Height      int         `json:"height"`
	Aspect      float64     `json:"aspect"`                // width by height as displayed
	Mixed       bool        `json:"mixed,omitempty"`       // shapes change on the way: the others are put in the middle
	Deinterlace Deinterlace `json:"deinterlace,omitempty"` // none: frames are progressive
	FieldPairs  bool        `json:"field_pairs,omitempty"` // fields are coded apart from each other
	Rotation    int         `json:"rotation,omitempty"`    // degrees, anticlockwise
	Untagged    Colour      `json:"untagged"`              // of frames that don't say it
	Colour      Colour      `json:"colour"`                // of the output
	Convert     bool        `json:"convert,omitempty"`     // some frames have another
	HDR         bool        `json:"hdr,omitempty"`         // some are PQ or HLG: they are mapped to the output's
}

// Colour says what samples mean, in the code points of ISO/IEC 23091-2.
type Colour struct {
	Primaries int `json:"primaries"`
	Transfer  int `json:"transfer"`
	Matrix    int `json:"matrix"`
}

// Deinterlace is how often an interlaced recording shows a frame.
type Deinterlace string

// Frames: as often as it has frames, half as often as fields. Fields: once for every field.
const (
	Frames Deinterlace = "frame"
	Fields Deinterlace = "field"
)

// The colours that frames have whose stream doesn't say it, by their size: players take
// HD for BT.709, and smaller ones for BT.601 as it was in 625 or 525 lines.
var (
	bt709  = Colour{1, 1, 1}
	bt601E = Colour{5, 6, 5}
	bt601A = Colour{6, 6, 6}
)

const (
	matrixRGB           = 0
	transferPQ          = 16
	transferHLG         = 18
	shortest            = 3 * time.Second // that a shape must last to become that of all
	hdWidth, hdHeight   = 1280, 720
	europeanLines       = 288 // and multiples
	matrixBT470         = 5
	matrixSMPTE170      = 6
	transpose, opposite = 90, 180
)

func implied(width, height int) Colour {
	switch {
	case width >= hdWidth || height >= hdHeight:
		return bt709
	case height%europeanLines == 0:
		return bt601E
	}
	return bt601A
}

// or fills in what isn't said. A matrix that is said tells of the rest.
func (c Colour) or(d Colour) Colour {
	if c.Matrix != h264.Unspecified && c.Matrix != matrixRGB {
		switch c.Matrix {
		case 1:
			d = bt709
		case matrixBT470:
			d = bt601E
		case matrixSMPTE170:
			d = bt601A
		}
	}
	fill := func(a *int, b int) {
		if *a == h264.Unspecified || *a == 0 || *a == 3 { // reserved
			*a = b
		}
	}
	fill(&c.Primaries, d.Primaries)
	fill(&c.Transfer, d.Transfer)
	if c.Matrix == h264.Unspecified || c.Matrix == 3 {
		c.Matrix = d.Matrix
	}
	return c
}

func (c Colour) hdr() bool { return c.Transfer == transferPQ || c.Transfer == transferHLG }

func colourOf(f flv.Form) Colour {
	return Colour{f.Colour.Primaries, f.Colour.Transfer, f.Colour.Matrix}
}

// sameMatrix: the two of BT.601 have the same coefficients.
func sameMatrix(a, b int) bool {
	sd := func(m int) bool { return m == matrixBT470 || m == matrixSMPTE170 }
	return a == b || sd(a) && sd(b)
}

// aspect is a frame's, as displayed.
func aspect(f flv.Form) float64 {
	return float64(f.Width) * float64(f.SARNum) / (float64(f.Height) * float64(f.SARDen))
}

// mainForm is the largest form that lasts more than a few seconds: senders that adapt to
// their network start small. If none lasts, it is the one that lasts longest.
func mainForm(v *flv.Video) flv.Form {
	lasting := slices.DeleteFunc(slices.Clone(v.Forms), func(f flv.Form) bool { return f.Time < shortest })
	if len(lasting) == 0 {
		return slices.MaxFunc(v.Forms, func(a, b flv.Form) int { return int(a.Time - b.Time) })
	}
	return slices.MaxFunc(lasting, func(a, b flv.Form) int { return a.Width*a.Height - b.Width*b.Height })
}

// newVideoFormat decides what a recording's frames are brought to.
// Of one that still grows (open), any shape and any colours may come yet.
func newVideoFormat(v *flv.Video, wish Deinterlace, open bool) VideoFormat {
	f := mainForm(v)
	p := VideoFormat{Width: f.Width, Height: f.Height, Aspect: aspect(f), Rotation: v.Rotation, Untagged: implied(f.Width, f.Height), Mixed: open, Convert: open}
	p.FieldPairs = v.Fields > v.Frames/2
	p.Colour = colourOf(f).or(p.Untagged)
	if p.Colour.Matrix == matrixRGB {
		p.Colour.Matrix = implied(f.Width, f.Height).Matrix
	}
	for _, other := range v.Forms {
		c := colourOf(other).or(p.Untagged)
		p.Mixed = p.Mixed || other.Width != f.Width || other.Height != f.Height || other.SARNum*f.SARDen != f.SARNum*other.SARDen
		p.HDR = p.HDR || c.hdr()
		p.Convert = p.Convert || !sameMatrix(c.Matrix, p.Colour.Matrix)
		if other.Interlaced {
			p.Deinterlace = wish
		}
	}
	if p.HDR {
		p.Colour = bt709
	}
	if p.Mixed {
		p.Width, p.Height = max(2, p.Width/2*2), max(2, p.Height/2*2) // pad rounds to whole chroma samples
	}
	return p
}

// size is a frame's in square pixels, upright.
func (v VideoFormat) size() (width, height int) {
	width, height = int(math.Round(v.Aspect*float64(v.Height))), v.Height
	if v.Rotation%opposite != 0 {
		return height, width
	}
	return width, height
}

// Shown is how many frames so many coded ones are on their way to the output's grid.
func (v VideoFormat) Shown(coded int) int {
	if v.FieldPairs {
		return coded / 2
	}
	return coded // at least: deinterlacing may make two of one
}

// filters bring decoded frames to what they are to be. The first of them always is
// scale: it is the one filter that takes frames of any size, and passes on those that
// need nothing.
func (v VideoFormat) filters() string {
	all := []string{v.scale()}
	if v.Mixed {
		all = append(all, fmt.Sprintf("pad=%d:%d:-1:-1:eval=frame,setsar=1", v.Width, v.Height))
	}
	switch v.Deinterlace {
	case Frames:
		all = append(all, "bwdif=mode=send_frame:deint=interlaced")
	case Fields:
		all = append(all, "bwdif=mode=send_field:deint=interlaced")
	}
	if v.HDR {
		all = append(all, "zscale=transfer=linear:npl=203,format=gbrpf32le,zscale=primaries=bt709,tonemap=hable:desat=0", "zscale=transfer=bt709:matrix=bt709:range=tv,format=yuv420p")
	}
	switch v.Rotation {
	case transpose:
		all = append(all, "transpose=cclock")
	case opposite:
		all = append(all, "hflip,vflip")
	case transpose + opposite:
		all = append(all, "transpose=clock")
	}
	c := v.Colour
	return strings.Join(append(all, fmt.Sprintf("setparams=color_primaries=%d:color_trc=%d:colorspace=%d", c.Primaries, c.Transfer, c.Matrix)), ",")
}

func (v VideoFormat) scale() string {
	scale := fmt.Sprintf("scale=%d:%d", v.Width, v.Height)
	if v.Mixed {
		// As large as fits, in the aspect that the video is displayed with; dar is ffmpeg's.
		pixel := decimal(v.Aspect * float64(v.Height) / float64(v.Width))
		scale = fmt.Sprintf(`scale=w=min(%d\,round(%d*dar/%s/2)*2):h=min(%d\,round(%d/dar*%s/2)*2):flags=bicubic`, v.Width, v.Height, pixel, v.Height, v.Width, pixel)
	}
	if v.Deinterlace != "" {
		scale += ":interl=-1"
	}
	if v.Convert && !v.HDR {
		scale += ":in_color_matrix=auto:out_color_matrix=" + matrixName(v.Colour.Matrix)
	}
	return scale
}

// matrixName is what ffmpeg's scale filter calls a matrix. It knows those below; the
// others are rare, and left as they are.
func matrixName(code int) string {
	switch code {
	case 1:
		return "bt709"
	case 4:
		return "fcc"
	case matrixBT470, matrixSMPTE170:
		return "bt601"
	case 7:
		return "smpte240m"
	case 9, 10:
		return "bt2020"
	}
	return "auto"
}

// decoderArgs are the input of a cut's frames. One of another size must not start the
// filters, and their count of frames, anew. threads are the decoder's, and the filters'.
func (p *Plan) decoderArgs(c flv.Cut, threads int) []string {
	u := p.Source.Video.Untagged
	args := input("h264", c, ffmpeg.KwArgs{
		"reinit_filter": 0, "threads": threads,
		"color_primaries": u.Primaries, "color_trc": u.Transfer, "colorspace": u.Matrix, // where the stream says it, that counts
	})
	return append(args, "-filter_complex_threads", strconv.Itoa(threads))
}
