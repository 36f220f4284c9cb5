package ladder

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"afterlive.alt/internal/flv"
)

// Projection is how the video maps to the viewer's surroundings.
type Projection string

// The projections that a ladder can have. All but Flat show a whole sphere, and
// are made from equirectangular recordings.
const (
	Flat            Projection = "flat"
	Equirectangular Projection = "equirectangular" // 2:1, longitude by latitude
	Cubemap         Projection = "cubemap"         // 3:2, six gnomonic faces
	EquiAngular     Projection = "eac"             // 3:2, six faces of equal angles
)

var projections = []Projection{Flat, Equirectangular, Cubemap, EquiAngular}

func projectionNames() []string {
	var names []string
	for _, p := range projections {
		names = append(names, string(p))
	}
	return names
}

func (p Projection) cube() bool { return p == Cubemap || p == EquiAngular }

// Layout is how the faces of a cubemap lie in the video, in the words of
// ffmpeg's v360. The default is what ffmpeg, Shaka Player, videojs-vr and egjs
// View360 agree on: right, left, up above down, front, back, none turned. The
// faces of an equi-angular cubemap always lie as YouTube's do.
type Layout struct {
	Order    string `yaml:"order"    json:"order,omitempty"`    // rludfb in some order
	Rotation string `yaml:"rotation" json:"rotation,omitempty"` // of each face, in quarter turns
	Pad      int    `yaml:"pad"      json:"pad,omitempty"`      // pixels that a face repeats of its neighbours
}

const (
	faceStep = 16          // a macroblock: none straddles two faces
	maxFaces = 1 / math.Pi // edge by source width at which a face's centre has the source's own density

	// Measured (docs/360.md): larger faces cost more bits than they show, smaller ones lose detail; linear
	// interpolation takes less than half the time of cubic, and costs bits for ever after.
	defaultFaces         = 0.25
	defaultInterpolation = "cubic"
)

// eacLayout is fixed in v360 and in the players that know it: YouTube's.
var eacLayout = Layout{Order: "lfrdbu", Rotation: "000313", Pad: 2}

func (l ProfileLadder) withDefaults() ProfileLadder {
	if l.Projection.cube() {
		l.Faces = cmp.Or(l.Faces, defaultFaces)
		l.Interpolation = cmp.Or(l.Interpolation, defaultInterpolation)
	}
	if l.Projection == Cubemap {
		if l.Layout.Order == "" {
			l.Layout.Order = "rludfb"
		}
		if l.Layout.Rotation == "" {
			l.Layout.Rotation = "000000"
		}
	}
	return l
}

var rotations = regexp.MustCompile(`^[0-3]{6}$`)

func (l Layout) validate(f *faultList, p Projection) {
	if p != Cubemap {
		f.addf(l != Layout{}, "layout is for cubemaps")
		return
	}
	letters := strings.Split(l.Order, "")
	slices.Sort(letters)
	f.addf(strings.Join(letters, "") != "bdflru", "layout: order is %q, it must be the letters rludfb in some order", l.Order)
	f.addf(!rotations.MatchString(l.Rotation), "layout: rotation is %q, it must be six digits from 0 to 3, quarter turns", l.Rotation)
	f.addf(l.Pad < 0 || l.Pad > 100, "layout: pad is %d, it must be 0 to 100 pixels", l.Pad)
}

// NotSphere is the reason for which a recording is refused that a profile would
// have to take for a whole sphere.
const NotSphere flv.Code = "not_equirectangular"

// checkSphere refuses what would come out distorted. Encoders round: a hundredth
// of the height is let pass.
func checkSphere(width, height int, l ProfileLadder) error {
	if l.Projection == Flat || math.Abs(float64(width)-2*float64(height)) <= float64(height)/100 {
		return nil
	}
	hint := "use a flat profile, or auto"
	if width == height {
		hint = "if it is stereo, top above bottom, record one eye: stereo is not supported"
	}
	return &flv.Error{Reason: NotSphere, Detail: fmt.Sprintf("its video is shown as %dx%d; a whole sphere for ladder %q is 2:1; %s", width, height, l.Name, hint)}
}

// fitFaces leaves the rungs whose faces the source can fill; a source below all
// of them gets one of its own size. A cube's video is three faces by two.
func (p *Plan) fitFaces(l ProfileLadder) []Rendition {
	most := max(faceStep, int(l.Faces*float64(p.Source.Width))/faceStep*faceStep)
	var out []Rendition
	for _, r := range l.Rungs {
		if r.Face <= most {
			out = append(out, p.rendition(r, 3*r.Face, 2*r.Face))
		}
	}
	if len(out) > 0 {
		return out
	}
	return []Rendition{p.rendition(l.Rungs[len(l.Rungs)-1], 3*most, 2*most)}
}

// v360 is the filter that turns an equirectangular frame into a ladder's
// projection, once, at its largest size; smaller rungs are scaled from that, which
// is cheaper and, v360 having no filter against aliasing, better.
func (l Ladder) v360() string {
	interpolation := cmp.Or(l.Interpolation, "linear") // plans from before there was a choice
	filter := fmt.Sprintf("v360=input=e:interp=%s:w=%d:h=%d:%s", interpolation, l.Renditions[0].Width, l.Renditions[0].Height, l.layout("out"))
	if l.Sharpen > 0 {
		filter += fmt.Sprintf(",unsharp=3:3:%s:3:3:0", decimal(l.Sharpen))
	}
	return filter
}

// layout describes the ladder's video to v360, which has such options for its
// input ("in") and its output ("out").
func (l Ladder) layout(side string) string {
	switch l.Projection {
	case EquiAngular:
		return side + "put=eac"
	case Cubemap:
		return fmt.Sprintf("%[1]sput=c3x2:%[1]s_forder=%[2]s:%[1]s_frot=%[3]s:f%[1]s_pad=%[4]d", side, l.Layout.Order, l.Layout.Rotation, l.Layout.Pad)
	}
	return side + "put=e"
}

// signal says a ladder's projection in one line, for EXT-X-SESSION-DATA.
func (l Ladder) signal() string {
	text := "projection=" + string(l.Projection)
	switch l.Projection {
	case Cubemap:
		text += fmt.Sprintf(";layout=c3x2;order=%s;rotation=%s;pad=%d", l.Layout.Order, l.Layout.Rotation, l.Layout.Pad)
	case EquiAngular:
		text += fmt.Sprintf(";layout=youtube;pad=%d", eacLayout.Pad)
	}
	return text
}
