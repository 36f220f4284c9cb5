package ladder

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Names of what a measurement reads in its scratch folder.
const (
	ReferenceFile = "reference.gray" // brightness of the recording's sampled frames
	RenditionFile = "rendition"      // init and sampled segments
)

// QualityFile is where a job's measured quality is, in the job's folder.
const QualityFile = "quality.json"

// perSegment is how many frames of a sampled segment are compared: spread over it,
// so that no kind of frame is preferred.
const perSegment = 4

// Quality is what was measured of a job's spheres, stored as quality.json.
//
// Two measures, since each has its favourite. Sphere-weighted PSNR compares all of
// the sphere in equal areas, but on the grid of the equirectangular source.
// Viewport PSNR compares what is seen, but in some directions only. Both are of
// brightness, in dB, from the mean square error over all frames.
type Quality struct {
	Version  int              `json:"v"`
	Job      string           `json:"job"`
	Frames   int              `json:"frames"`
	Segments []int            `json:"segments"` // that were sampled, from 0
	ViewSize int              `json:"view_px"`  // of the views' edge
	Views    []View           `json:"views"`
	Anchor   string           `json:"anchor,omitempty"` // the ladder that the others are held against
	Ladders  []MeasuredLadder `json:"ladders"`
}

// View is a direction in degrees; right and up are positive.
type View struct {
	Yaw   float64 `json:"yaw"`
	Pitch float64 `json:"pitch"`
}

// MeasuredLadder is one ladder's part of [Quality].
type MeasuredLadder struct {
	Name       string              `json:"name"`
	Projection Projection          `json:"projection"`
	Renditions []MeasuredRendition `json:"renditions"`
	BDRate     *BDRates            `json:"bd_rate,omitempty"` // against the anchor
}

// MeasuredRendition is one rendition's part of [Quality].
type MeasuredRendition struct {
	Name         string    `json:"name"`
	Width        int       `json:"width"`
	Height       int       `json:"height"`
	Bitrate      int       `json:"bitrate"` // bit/s, of the sampled segments
	Sphere       float64   `json:"ws_psnr_db"`
	Viewports    float64   `json:"viewport_psnr_db"`  // over all views
	EachViewport []float64 `json:"viewports_psnr_db"` // in the order of Views
}

// BDRates are a ladder's bits against the anchor's at equal quality, in percent.
type BDRates struct {
	Sphere    Percent `json:"ws_psnr"`
	Viewports Percent `json:"viewport_psnr"`
}

// Percent is a number, or the reason for which there is none.
type Percent struct {
	Percent float64 `json:"percent"`
	WhyNot  string  `json:"why_not,omitempty"`
}

// views are the directions that are compared: the middles of the cube's faces, both
// poles among them, and half of its corners, where three faces meet.
var views = func() []View {
	corner := math.Atan(1/math.Sqrt2) * 180 / math.Pi
	return []View{{0, 0}, {90, 0}, {180, 0}, {-90, 0}, {0, 90}, {0, -90}, {45, corner}, {135, -corner}, {-45, -corner}, {-135, corner}}
}()

const viewAngle = 90 // degrees across

// viewSize is a view's edge in pixels: at a quarter of the source's width, 90 degrees
// have as many pixels in the view as along the source's equator.
func (p *Plan) viewSize() int { return min(max(p.Source.Width/4/16*16, 128), 1088) }

// referenceSize is the recording's, in square pixels and exactly 2:1.
func (p *Plan) referenceSize() (width, height int) {
	height = max(2, p.Source.Height/2*2)
	return 2 * height, height
}

// QualitySegments are the segments to sample, evenly over the recording. The last
// one, which may be short, is sampled only if it is the only one.
func (p *Job) QualitySegments() []int {
	whole := p.Frames / p.SegmentFrames
	if whole == 0 {
		return []int{0}
	}
	n := min(whole, (p.Quality+perSegment-1)/perSegment)
	segments := make([]int, n)
	for i := range segments {
		segments[i] = (2*i + 1) * whole / (2 * n)
	}
	return segments
}

// sampled is how many frames the sampled segments have each, and how many of them
// are compared: one in the middle of each of that many equal parts.
func (p *Job) sampled() (frames, compared int) {
	frames = min(p.SegmentFrames, p.Frames)
	return frames, min(frames, perSegment)
}

// QualityFrames is how many frames are compared.
func (p *Job) QualityFrames() int {
	_, compared := p.sampled()
	return len(p.QualitySegments()) * compared
}

// pick is the filter that leaves the frames to compare of segments in a row, as
// brightness, numbered from 0. The numbers count as they are: what is taken for video's
// narrower range, later filters would stretch.
func (p *Job) pick() string {
	frames, compared := p.sampled()
	step := frames / compared
	return fmt.Sprintf("select='lt(mod(n,%d),%d)*eq(mod(mod(n,%d),%d),%d)',extractplanes=y,setparams=range=pc,settb=1/25,setpts=N", frames, step*compared, frames, step, step/2)
}

// ReferenceArgs is the ffmpeg command line that writes the frames to compare of a
// segment, as the recording has them. It reads the cut of the chunk that holds the
// segment, ChunkOf, on standard input.
func (p *Job) ReferenceArgs(c Chunk, segment int, file string) []string {
	from := segment * p.SegmentFrames
	width, height := p.referenceSize()
	filter := fmt.Sprintf("[0:v:0]%s,scale=%d:%d:flags=bicubic,format=yuv420p,%s[v]", p.grid(c, from, min(from+p.SegmentFrames, p.Frames)), width, height, p.pick())
	args := append(p.decoderArgs(c.Cut, 0), "-filter_complex", filter)
	return append(args, "-map", "[v]", "-fps_mode", "passthrough", "-f", "rawvideo", file)
}

// ChunkOf is the chunk that holds a segment.
func (p *Job) ChunkOf(segment int) int {
	for k, c := range p.Chunks {
		if segment*p.SegmentFrames < c.To {
			return k
		}
	}
	return len(p.Chunks) - 1
}

// CompareArgs is the ffmpeg command line that compares a rendition's sampled frames
// with the recording's. It writes a list of mean square errors to every file of
// [ErrorFiles].
//
// Sphere-weighted: JVET's WS-PSNR (JVET-H0022) weighs the error of each
// equirectangular pixel by the area that it covers, cos of its latitude. Here both
// frames are mapped to Lambert's cylinder instead, where all pixels cover the
// same: by nearest neighbour, since interpolation would blur the errors away. Other
// projections are turned back to the source's first (cubic).
//
// Viewports: 90 degrees across; the recording's interpolated as well as can be
// (cubic), the rendition's as players do it (linear).
//
// Renditions are first scaled to their ladder's largest size: there a cube's padding
// is whole pixels, which is all that v360 can read.
func (p *Job) CompareArgs(l Ladder, r Rendition) []string {
	width, height := p.referenceSize()
	args := []string{
		"-f", "rawvideo", "-pixel_format", "gray", "-video_size", fmt.Sprintf("%dx%d", width, height), "-framerate", "25", "-i", ReferenceFile,
		"-f", p.Container.format(), "-protocol_whitelist", "file", "-codec_whitelist", "h264", "-i", RenditionFile,
	}
	back := fmt.Sprintf("scale=%d:%d:flags=bicubic", width, height)
	if l.Projection.cube() {
		back = fmt.Sprintf("v360=%s:output=e:interp=cubic:w=%d:h=%d", l.layout("in"), width, height)
	}
	enlarge := ""
	if top := l.Renditions[0]; r.Width != top.Width {
		enlarge = fmt.Sprintf(",scale=%d:%d:flags=bicubic", top.Width, top.Height)
	}
	n := len(views) + 1
	graph := []string{
		"[0:v]settb=1/25,setpts=N,split=" + strconv.Itoa(n) + pads("a", n),
		"[1:v]" + p.pick() + enlarge + ",split=" + strconv.Itoa(n) + pads("b", n),
	}
	compare := func(i int, reference, rendition string) {
		graph = append(graph, fmt.Sprintf("[a%[1]d]%[2]s[x%[1]d];[b%[1]d]%[3]s[y%[1]d];[x%[1]d][y%[1]d]psnr=shortest=1,metadata=print:key=lavfi.psnr.mse.y:file=%[4]s[o%[1]d]",
			i, reference, rendition, ErrorFiles()[i]))
	}
	const cylinder = "v360=e:cylindricalea:interp=near"
	compare(0, cylinder, back+","+cylinder)
	for i, v := range views {
		flat := fmt.Sprintf("output=flat:h_fov=%d:v_fov=%[1]d:w=%d:h=%[2]d:yaw=%s:pitch=%s", viewAngle, p.viewSize(), decimal(v.Yaw), decimal(v.Pitch))
		compare(i+1, "v360=input=e:interp=cubic:"+flat, "v360="+l.layout("in")+":interp=linear:"+flat)
	}
	args = append(args, "-filter_complex", strings.Join(graph, ";"))
	for i := range n {
		args = append(args, "-map", fmt.Sprintf("[o%d]", i), "-fps_mode", "passthrough", "-f", "null", "-")
	}
	return args
}

// ErrorFiles are the files that a comparison writes: of the sphere, and then of
// every view.
func ErrorFiles() []string {
	names := []string{"sphere.txt"}
	for i := range views {
		names = append(names, fmt.Sprintf("view-%02d.txt", i))
	}
	return names
}

func pads(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[%s%d]", name, i)
	}
	return b.String()
}

// NewQuality is a measurement of which nothing is measured yet.
func (p *Job) NewQuality() *Quality {
	return &Quality{Version: QualityVersion, Job: p.Job, Frames: p.QualityFrames(), Segments: p.QualitySegments(), ViewSize: p.viewSize(), Views: views}
}

// MeasuredRendition is what the mean square errors of a rendition's frames mean, one
// list for each of [ErrorFiles].
func (p *Job) MeasuredRendition(r Rendition, bytes int64, errs [][]float64) MeasuredRendition {
	frames, _ := p.sampled()
	seconds := p.seconds(frames * len(p.QualitySegments()))
	out := MeasuredRendition{Name: r.Name, Width: r.Width, Height: r.Height, Bitrate: int(math.Round(8 * float64(bytes) / seconds)), Sphere: psnr(errs[0])}
	var all []float64
	for _, view := range errs[1:] {
		out.EachViewport = append(out.EachViewport, psnr(view))
		all = append(all, view...)
	}
	out.Viewports = psnr(all)
	return out
}

// best is the PSNR of equal frames, which has no number.
const best = 100.0

// psnr is 10 log10(255² / mean of the errors), in dB to a hundredth.
func psnr(errs []float64) float64 {
	sum := 0.0
	for _, e := range errs {
		sum += e
	}
	if sum == 0 {
		return best
	}
	return math.Round(1000*math.Log10(255*255*float64(len(errs))/sum)) / 100
}

// Rate holds every ladder against the first equirectangular one.
func (q *Quality) Rate() {
	anchor := -1
	for i, l := range q.Ladders {
		if l.Projection == Equirectangular && anchor < 0 {
			anchor, q.Anchor = i, l.Name
		}
	}
	for i := range q.Ladders {
		if anchor < 0 || i == anchor {
			continue
		}
		q.Ladders[i].BDRate = &BDRates{
			Sphere:    bdRate(q.Ladders[anchor], q.Ladders[i], func(r MeasuredRendition) float64 { return r.Sphere }),
			Viewports: bdRate(q.Ladders[anchor], q.Ladders[i], func(r MeasuredRendition) float64 { return r.Viewports }),
		}
	}
}

func bdRate(anchor, test MeasuredLadder, quality func(MeasuredRendition) float64) Percent {
	points := func(l MeasuredLadder) []RatePoint {
		var out []RatePoint
		for _, r := range l.Renditions {
			out = append(out, RatePoint{Rate: float64(r.Bitrate), Quality: quality(r)})
		}
		return out
	}
	percent, err := BDRate(points(anchor), points(test))
	if err != nil {
		return Percent{WhyNot: err.Error()}
	}
	return Percent{Percent: math.Round(100*percent) / 100}
}
