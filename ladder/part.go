package ladder

import (
	"fmt"
	"path"
	"slices"
)

// Part is what one finished task contributed, stored as
// jobs/<job>/parts/<name>.json. It names exactly the segments of the attempt
// that won; playlists are made from parts and from nothing else.
type Part struct {
	Version int     `json:"v"`
	Name    string  `json:"name"`
	Attempt string  `json:"attempt"`
	Worker  string  `json:"worker"`
	Host    Host    `json:"host"`
	Tracks  []Track `json:"tracks"`
	Images  Images  `json:"images,omitzero"`
	Lost    Lost    `json:"lost,omitzero"`

	Loudness *Loudness `json:"loudness,omitempty"` // of the recording's sound, if that is to be brought to another

	Effort `json:"effort"`
}

// Images are what a chunk contributes to the storyboard.
type Images struct {
	Sheets []Image `json:"sheets"`
	Poster *Image  `json:"poster,omitempty"`
}

// All are the sheets and the poster.
func (i Images) All() []Image {
	if i.Poster == nil {
		return i.Sheets
	}
	return append(slices.Clip(i.Sheets), *i.Poster)
}

// Track is a part's share of one rendition.
type Track struct {
	Ladder    string    `json:"ladder"`
	Rendition string    `json:"rendition"`
	Init      string    `json:"init"`   // file name of the init segment, made from its content; in transport streams it only tells what can be joined
	Codecs    string    `json:"codecs"` // RFC 6381, as the init segment says
	Timescale int       `json:"timescale"`
	Segments  []Segment `json:"segments"`
}

// Segment is one media segment.
type Segment struct {
	URI   string `json:"uri"` // file name; it carries the attempt
	Bytes int64  `json:"bytes"`
	Ticks int64  `json:"ticks"` // duration, in 1/Timescale s

	Frames []Range `json:"frames,omitempty"` // of I-frames: where each picture is, with what is needed to decode it
}

// ChunkPart is the name of chunk k's part.
func ChunkPart(k int) string { return fmt.Sprintf("chunk-%05d", k) }

// AudioPart is the name of the sound's part.
const AudioPart = "audio"

// PartNames are the parts that a plan needs before it can be published, in the
// order in which they play.
func (p *Plan) PartNames() []string {
	var names []string
	for k := range p.Chunks {
		names = append(names, ChunkPart(k))
	}
	if p.Audio != nil {
		names = append(names, AudioPart)
	}
	return names
}

// The store's layout. jobs/ is private; vod/ is what a CDN may serve.

// PlanKey is where a job's plan is.
func PlanKey(job string) string { return "jobs/" + job + "/plan.json" }

// PartsPrefix is what the keys of all of a job's parts start with.
func PartsPrefix(job string) string { return "jobs/" + job + "/parts/" }

// PartKey is where a part is.
func PartKey(job, name string) string { return PartsPrefix(job) + name + ".json" }

// FailuresPrefix is what the keys of a job's failures start with: tasks that were
// given up, as the failed queue has them.
func FailuresPrefix(job string) string { return "jobs/" + job + "/failures/" }

// PointerKey is the asset's pointer: which job is the published one.
func PointerKey(asset string) string { return "vod/" + asset + "/asset.json" }

// StableMasterKey is the asset's own multivariant playlist, whose URL stays.
func StableMasterKey(asset string) string { return "vod/" + asset + "/master.m3u8" }

// Key is a published object of this job.
func (p *Plan) Key(elements ...string) string {
	return path.Join(append([]string{"vod", p.Asset, p.Job}, elements...)...)
}

// Names of the playlists in a rendition's and in a ladder's folder.
const (
	MediaPlaylistFile = "index.m3u8"
	MasterFile        = "master.m3u8"
)
