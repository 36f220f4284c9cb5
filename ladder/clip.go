package ladder

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// Clip says of which job's result a plan is a part. Segments that are whole within it are that job's own; only what lies between an end
// of the clip and the next segment is encoded. Frames are counted as there, so both are made by the same rules.
type Clip struct {
	Asset  string `json:"asset"` // that it is cut from
	Job    string `json:"job"`
	Span          // frames of that job's output
	Live   bool   `json:"live,omitempty"`   // it was, when the clip was made: its audio is as it was then
	Poster string `json:"poster,omitempty"` // a file in the clip's own folder, called as in the asset's
}

// Piece is a stretch of a clip: whole segments of one chunk of the job that it is cut from, or, at its ends, what is encoded.
type Piece struct {
	Span
	Of int // the chunk; [Encoded]: none
}

// Encoded stands in the place of a chunk where a piece is encoded.
const Encoded = -1

// ShortestClip is how long a clip is at least.
const ShortestClip = time.Second

// ErrTopIsCopy is a clip that would have no rendition: the only one is the recording's own video, which can be cut only where segments begin.
var ErrTopIsCopy = errors.New("its only rendition is the recording's own video, which cannot be cut between keyframes: cut it at segments")

// ClipsPrefix is what the keys start with that name the clips of a job: as long as there are some, its segments are needed.
func ClipsPrefix(job string) string { return JobPrefix(job) + "clips/" }

// ClipKey is where a clip is named with the job that it is cut from.
func ClipKey(of, clip string) string { return ClipsPrefix(of) + clip + ".json" }

// First is the frame with which a job's result begins: 0, but for a clip.
func (j *Job) First() int {
	if len(j.Chunks) == 0 {
		return 0
	}
	return j.Chunks[0].From
}

// AtSegments are the whole segments of a job in which frames are.
func (j *Job) AtSegments(s Span) Span {
	s.From = s.From / j.SegmentFrames * j.SegmentFrames
	s.To = min(j.Frames, (s.To+j.SegmentFrames-1)/j.SegmentFrames*j.SegmentFrames)
	return s
}

// Pieces divide a clip of a job.
func (j *Job) Pieces(s Span) (all []Piece) {
	whole := Span{(s.From + j.SegmentFrames - 1) / j.SegmentFrames * j.SegmentFrames, s.To / j.SegmentFrames * j.SegmentFrames}
	if s.To == j.Frames {
		whole.To = s.To
	}
	if whole.From > whole.To { // all of it is within one segment
		return []Piece{{s, Encoded}}
	}
	if s.From < whole.From {
		all = append(all, Piece{Span{s.From, whole.From}, Encoded})
	}
	for k, c := range j.Chunks {
		if c = (Span{max(c.From, whole.From), min(c.To, whole.To)}); c.From < c.To {
			all = append(all, Piece{c, k})
		}
	}
	if whole.To < s.To {
		all = append(all, Piece{Span{whole.To, s.To}, Encoded})
	}
	return all
}

// PlanClip plans a clip of a job of which these renditions are published, by ladder. The caller fills in the job, the asset and the time.
// gain is the filter that brought the job's audio to its loudness.
func (j *Job) PlanClip(s Span, pieces []Piece, published []AssetLadder, gain string) (*Job, error) {
	p := *j.Plan
	p.Version, p.Clip = max(p.Version, PlanClip), &Clip{Asset: j.Asset, Job: j.Job, Span: s}
	p.Grows, p.Quality, p.Fit, p.Scan = false, 0, nil, 0
	p.Recording.Indexed, p.Keep = true, Keep{} // who makes a clip wants it
	p.Accept = accepted                        // who cuts it has seen it
	encodes := slices.ContainsFunc(pieces, func(c Piece) bool { return c.Of == Encoded })
	p.Ladders = nil
	for _, l := range j.Ladders {
		l.Renditions = slices.DeleteFunc(slices.Clone(l.Renditions), func(r Rendition) bool {
			return !isPublished(published, l.Name, r.Name) || encodes && r.Copy
		})
		if len(l.Renditions) == 0 {
			return nil, ErrTopIsCopy
		}
		p.Ladders = append(p.Ladders, l)
	}
	if j.Audio != nil {
		audio := *j.Audio
		if j.AudioApart() {
			audio.Loudness, audio.Filter = 0, gain
		}
		p.Audio = &audio
	}
	e := &End{Version: EndVersion, Frames: s.To - s.From, Epochs: 1, VideoFrames: s.To - s.From, Abandoned: j.Abandoned}
	e.Duration = p.seconds(e.Frames)
	if p.Audio != nil {
		e.AudioFrames = p.Packet(s.To) - p.Packet(s.From)
	}
	for _, piece := range pieces {
		e.Chunks = append(e.Chunks, piece.Span)
	}
	begin := p.seconds(s.From)
	for _, m := range j.Missing { // nobody knows of which part
		m.Why += " (of the whole asset)"
		e.Missing = append(e.Missing, m)
	}
	for i, o := range j.Origins {
		if i+1 < len(j.Origins) && j.Origins[i+1].From <= begin || o.From >= begin+e.Duration {
			continue
		}
		e.Origins = append(e.Origins, Origin{o.Name, max(0, o.From-begin)})
	}
	for _, d := range j.Discontinuities {
		if d.At -= begin; d.At >= 0 && d.At < e.Duration {
			e.Discontinuities = append(e.Discontinuities, d)
		}
	}
	return &Job{&p, e}, nil
}

func isPublished(all []AssetLadder, ladder, rendition string) bool {
	return slices.ContainsFunc(all, func(l AssetLadder) bool {
		return l.Name == ladder && slices.ContainsFunc(l.Renditions, func(r AssetRendition) bool { return r.Name == rendition })
	})
}

// LeftOut are the renditions of a job that its clip lacks, though they are published: of the recording's own video, which isn't encoded.
func (j *Job) LeftOut(clip *Job, published []AssetLadder) (names []string) {
	for i, l := range j.Ladders {
		for _, r := range l.Renditions {
			in := slices.ContainsFunc(clip.Ladders[i].Renditions, func(other Rendition) bool { return other.Name == r.Name })
			if !in && isPublished(published, l.Name, r.Name) {
				names = append(names, l.Name+"/"+r.Name)
			}
		}
	}
	return names
}

// Borrow is the part that a piece is in a clip: what a chunk's part has of it, and that of its audio, if there is one, under addresses as the clip's own
// files see them.
func (j *Job) Borrow(n int, piece Piece, of *Job, parts ...Part) Part {
	chunk := of.Chunks[piece.Of]
	out := Part{Version: PartVersion, Name: ChunkPart(n), Span: piece.Span, Of: of.Job}
	share := float64(piece.To-piece.From) / float64(chunk.To-chunk.From)
	for _, part := range parts {
		out.Away = max(out.Away, part.Away)
		out.Lost.Frames += int(math.Ceil(share * float64(part.Lost.Frames)))
		out.Lost.Audio += int(math.Ceil(share * float64(part.Lost.Audio)))
		for _, t := range part.Tracks {
			if !j.has(t) || t.Ladder == AudioLadder && len(parts) > 1 && part.Name == ChunkPart(piece.Of) {
				continue
			}
			span := j.SegmentFrames
			if t.Rendition == IFramesRendition {
				span = j.IFrameSpan()
			}
			from := min(len(t.Segments), (piece.From-chunk.From)/span)
			to := min(len(t.Segments), from+(piece.To-piece.From+span-1)/span)
			t.Init = j.address(of.Plan, t.Ladder, t.Rendition, t.Init)
			t.Segments = slices.Clone(t.Segments[from:to])
			for i := range t.Segments {
				t.Segments[i].URI = j.address(of.Plan, t.Ladder, t.Rendition, t.Segments[i].URI)
			}
			out.Tracks = append(out.Tracks, t)
		}
		if part.Name == ChunkPart(piece.Of) {
			out.Images = j.borrowImages(piece, of, part.Images)
		}
	}
	return out
}

// has tells whether a track is one of the plan's.
func (p *Plan) has(t Track) bool {
	if t.Ladder == AudioLadder {
		return slices.ContainsFunc(p.audioRenditions(), func(r AudioRendition) bool { return r.Name == t.Rendition })
	}
	return slices.ContainsFunc(p.Ladders, func(l Ladder) bool {
		return l.Name == t.Ladder && (t.Rendition == IFramesRendition && l.IFrames != nil ||
			slices.ContainsFunc(l.Renditions, func(r Rendition) bool { return r.Name == t.Rendition }))
	})
}

// borrowImages are the sheets that show a piece.
func (j *Job) borrowImages(piece Piece, of *Job, images Images) (out Images) {
	if j.Storyboard == nil {
		return out
	}
	each := j.Storyboard.Columns * j.Storyboard.Rows
	before := len(j.Tiles(Span{of.Chunks[piece.Of].From, piece.From}))
	n := len(j.Tiles(piece.Span))
	if n == 0 {
		return out
	}
	out.Skip = before % each
	for _, sheet := range images.Sheets[before/each : min(len(images.Sheets), (before+n+each-1)/each)] {
		sheet.URI = j.address(of.Plan, StoryboardFolder, "", sheet.URI)
		out.Sheets = append(out.Sheets, sheet)
	}
	return out
}

// address is where a file of another job is, as seen from the folder of the same name of this one. It isn't escaped.
func (p *Plan) address(of *Plan, folder, rendition, file string) string {
	up := strings.Count(path.Join(p.Asset, p.Job, folder, rendition), "/") + 1
	return strings.Repeat("../", up) + path.Join(of.Asset, of.Job, folder, rendition, file)
}

// escaped is an address as playlists have it.
func escaped(address string) string { return (&url.URL{Path: address}).String() }

// String is how people write a clip's ends.
func (c Clip) String() string { return fmt.Sprintf("frames %d to %d of %s", c.From, c.To, c.Asset) }
