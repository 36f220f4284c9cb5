package ladder

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Storyboard is how the thumbnails are made that a player shows above its seek bar,
// and the one that stands for the recording before it is played. They are of the
// recording as it is: a sphere's are equirectangular, whatever its ladders' projection.
type Storyboard struct {
	Step    int `json:"step"` // frames from one thumbnail to the next; the first is frame 0
	Width   int `json:"width"`
	Height  int `json:"height"`
	Columns int `json:"columns"` // of a sheet of thumbnails
	Rows    int `json:"rows"`    // at most

	PosterWidth  int `json:"poster_width"`
	PosterHeight int `json:"poster_height"`
}

// Image is a JPEG that a part has made.
type Image struct {
	URI    string `json:"uri"` // file name; it carries the attempt
	Bytes  int64  `json:"bytes"`
	Tiles  int    `json:"tiles,omitempty"` // thumbnails on a sheet, from left to right and top to bottom
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

// Names of what belongs to the storyboard in a job's folder, and in a task's scratch
// folder.
const (
	StoryboardFolder = "storyboard"
	StoryboardFile   = "index.vtt"
	PosterFile       = "poster.jpg"
	sheetPattern     = "sheet-%05d.jpg"
)

// SheetFile is the name of sheet n of a chunk in the scratch folder.
func SheetFile(n int) string { return fmt.Sprintf(sheetPattern, n) }

const (
	tileWidth, posterWidth = 240, 1280 // pixels, at most
	sheetColumns           = 5
	sheetRows              = 6
	maxTiles               = 1200 // that players are told of, where that is not more than one a minute
	jpegQuality            = 4    // of mjpeg: 2 is best, 31 worst
	posterChoice           = 10   // frames of which the most typical becomes the poster: none is black that has others around
)

// storyboard plans thumbnails, one every two seconds.
func (p *Plan) storyboard() *Storyboard {
	if len(p.Ladders) == 0 {
		return nil
	}
	fit := func(most int) (width, height int) {
		width = min(most, p.Source.Width) / 2 * 2
		return max(2, width), even(float64(width) * float64(p.Source.Height) / float64(p.Source.Width))
	}
	s := &Storyboard{Step: p.GOPFrames, Columns: sheetColumns, Rows: sheetRows}
	s.Width, s.Height = fit(tileWidth)
	s.PosterWidth, s.PosterHeight = fit(posterWidth)
	return s
}

// HasPoster tells whether a chunk makes an image that may stand for the recording: chunks 0, 1, 2,
// 4, 8 and so on do, since nobody knows how many there will be. A clip has one of the asset's.
func (p *Plan) HasPoster(chunk int) bool {
	return p.Storyboard != nil && p.Clip == nil && chunk&(chunk-1) == 0
}

// poster is the chunk whose poster is the recording's: the last that begins in its first third.
func (j *Job) poster() (chunk int) {
	for k, c := range j.Chunks {
		if j.HasPoster(k) && c.From <= j.Frames/3 {
			chunk = k
		}
	}
	return chunk
}

// told is how many of the thumbnails are passed over for each that players are told of: of
// what is long, they need fewer.
func (j *Job) told() int {
	step, longest, n := j.Storyboard.Step, int(time.Minute.Seconds()*j.Rate.FPS()), 1
	for n*step < longest && j.Frames/(n*step) > maxTiles {
		n++
	}
	return n
}

// Tiles are the frames of a chunk that its sheets show.
func (p *Plan) Tiles(c Span) (frames []int) {
	if p.Storyboard == nil {
		return nil
	}
	step := p.Storyboard.Step
	for n := (c.From + step - 1) / step * step; n < c.To; n += step {
		frames = append(frames, n)
	}
	return frames
}

// Sheets are how many thumbnails each of a chunk's sheets has.
func (p *Plan) Sheets(c Span) (tiles []int) {
	left := len(p.Tiles(c))
	for left > 0 {
		n := min(left, p.Storyboard.Columns*p.Storyboard.Rows)
		tiles = append(tiles, n)
		left -= n
	}
	return tiles
}

// sheets is how many sheets show a chunk of which so many thumbnails on the first are of what comes before.
func (p *Plan) sheets(c Span, skip int) int {
	if skip == 0 {
		return len(p.Sheets(c))
	}
	each := p.Storyboard.Columns * p.Storyboard.Rows
	return (skip + len(p.Tiles(c)) + each - 1) / each
}

// SheetSize is a chunk's sheets' size in pixels.
func (p *Plan) SheetSize(c Span) (width, height int) {
	s := p.Storyboard
	rows := min(s.Rows, (len(p.Tiles(c))+s.Columns-1)/s.Columns)
	return s.Columns * s.Width, rows * s.Height
}

// jpegColours are those of JPEG: BT.601, of full range (JFIF 1.02).
func (p *Plan) jpegColours() string {
	return "in_color_matrix=" + matrixName(p.Source.Video.Colour.Matrix) + ":out_color_matrix=bt601:out_range=pc"
}

const jpegFormat = "setsar=1,format=yuvj420p"

// images are a chunk's filters that make images, each from a tap of the video as it
// is, and the outputs that they go to.
func (p *Plan) images(c Chunk) (filters []string, outputs []string) {
	s, tiles := p.Storyboard, p.Tiles(c.Span)
	if len(tiles) == 0 {
		return nil, nil
	}
	// n counts from the chunk's first frame.
	pick := fmt.Sprintf(`select=not(mod(n+%d\,%d))`, c.From, s.Step)
	add := func(filter, file string, frames int, naming ...string) {
		pad := "[j" + strconv.Itoa(len(filters)) + "]"
		filters = append(filters, filter+pad)
		outputs = append(outputs, "-map", pad, "-f", "image2", "-fps_mode", "passthrough", "-frames:v", strconv.Itoa(frames),
			"-c:v", "mjpeg", "-q:v", strconv.Itoa(jpegQuality), "-threads", "1")
		outputs = append(append(outputs, naming...), StoryboardFolder+"/"+file)
	}
	_, height := p.SheetSize(c.Span)
	add(fmt.Sprintf("%s,scale=%d:%d:flags=area:%s,%s,tile=%dx%d", pick, s.Width, s.Height, p.jpegColours(), jpegFormat, s.Columns, height/s.Height),
		sheetPattern, len(p.Sheets(c.Span)), "-start_number", "0")
	if p.HasPoster(c.Number) {
		add(fmt.Sprintf("%s,scale=%d:%d:flags=bicubic:%s,%s,thumbnail=n=%d,%s", pick, s.PosterWidth, s.PosterHeight, p.jpegColours(), jpegFormat, posterChoice, jpegFormat),
			PosterFile, 1, "-update", "1")
	}
	return filters, outputs
}

// StoryboardTrack is the WebVTT file that says when to show which part of which sheet
// (the common form of thumbnail tracks: a cue's text is the image's URL, with a spatial
// fragment of Media Fragments URI 1.0, 4.2.2).
func (p *Presentation) StoryboardTrack() []byte {
	plan := p.plan
	if plan.Storyboard == nil {
		return nil
	}
	var out strings.Builder
	out.WriteString("WEBVTT\n")
	lasts := plan.Storyboard.Step
	if !p.event { // else it may become long yet, and what was told stays
		lasts *= plan.told()
	}
	first, begun := plan.First(), false
	for k, c := range plan.Chunks {
		images := p.fold.Images[k]
		if len(images.Sheets) == 0 { // it was given up
			continue
		}
		for i, frame := range plan.Tiles(c) {
			if frame%lasts != 0 {
				continue
			}
			each := plan.Storyboard.Columns * plan.Storyboard.Rows
			begin, end := frame-first, min(frame+lasts-first, plan.Frames)
			if !begun { // what comes before it in a clip is like it
				begin, begun = 0, true
			}
			i += images.Skip
			at := i % each
			fmt.Fprintf(&out, "\n%s --> %s\n%s#xywh=%d,%d,%d,%d\n", clock(plan.seconds(begin)), clock(plan.seconds(end)), escaped(images.Sheets[i/each].URI),
				at%plan.Storyboard.Columns*plan.Storyboard.Width, at/plan.Storyboard.Columns*plan.Storyboard.Height, plan.Storyboard.Width, plan.Storyboard.Height)
		}
	}
	return []byte(out.String())
}

// clock is a WebVTT timestamp.
func clock(seconds float64) string {
	ms := int64(seconds*1000 + 0.5)
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3600000, ms/60000%60, ms/1000%60, ms%1000)
}
