package ladder

import (
	"fmt"
	"path"
	"slices"
	"time"
)

// Part is what one finished task contributed, stored as
// jobs/<job>/parts/<name>.json. It names exactly the segments of the attempt
// that won; playlists are made from parts and from nothing else.
type Part struct {
	Version int           `json:"v"`
	Name    string        `json:"name"`
	Span    Span          `json:"span,omitzero"`  // frames, of a chunk
	Away    time.Duration `json:"away,omitempty"` // as of the chunk
	Of      string        `json:"of,omitempty"`   // the job that has made it, if that is another
	Attempt string        `json:"attempt"`
	Worker  string        `json:"worker"`
	Host    Host          `json:"host"`
	Made    time.Time     `json:"made,omitzero"` // when it was done
	Tracks  []Track       `json:"tracks"`
	Images  Images        `json:"images,omitzero"`
	Lost    Lost          `json:"lost,omitzero"`

	Loudness *Loudness `json:"loudness,omitempty"` // of the chunk's audio, if that is to be brought to another

	Effort `json:"effort"`
}

// Images are what a chunk contributes to the storyboard.
type Images struct {
	Sheets []Image `json:"sheets"`
	Skip   int     `json:"skip,omitempty"` // thumbnails on the first sheet that are of what comes before
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
	Ticks int64  `json:"ticks"`         // duration, in 1/Timescale s
	Gap   bool   `json:"gap,omitempty"` // there is no such file: its chunk was given up

	Frames []Range `json:"frames,omitempty"` // of I-frames: where each one is, with what is needed to decode it
}

// ChunkPart is the name of chunk k's part.
func ChunkPart(k int) string { return fmt.Sprintf("chunk-%05d", k) }

// AudioPart is the name of the part that has chunk k's audio where that is brought to another
// loudness: how much is missing to it is known only when all of it was measured.
func AudioPart(k int) string { return fmt.Sprintf("audio-%05d", k) }

// PublishTask is what failures of publishing are noted as: the task with which it went
// wrong is done, and its part is there.
const PublishTask = "publish"

// AudioApart tells whether chunks only measure their audio, and it is encoded once all chunks were measured.
func (p *Plan) AudioApart() bool { return p.Audio != nil && p.Audio.Loudness != 0 }

// DispatchKey is where it is said how many of a job's tasks were sent.
func DispatchKey(job string) string { return "jobs/" + job + "/dispatch.json" }

// ClaimsPrefix is what the keys of all of a job's claims start with.
func ClaimsPrefix(job string) string { return "jobs/" + job + "/claims/" }

// ClaimKey is where a worker says that it makes a part.
func ClaimKey(job, part string) string { return ClaimsPrefix(job) + part + ".json" }

// WatchKey is where it is said when a job's recording is looked at next, while it grows.
func WatchKey(job string) string { return "jobs/" + job + "/watch.json" }

// LoudnessKey is where it is said how loud a job's audio is, once all chunks are there.
func LoudnessKey(job string) string { return "jobs/" + job + "/loudness.json" }

// The store's layout. jobs/ is private; vod/ is what a CDN may serve.

// PlanKey is where a job's plan is.
func PlanKey(job string) string { return "jobs/" + job + "/plan.json" }

// ChunkKey is where chunk n of a job is.
func ChunkKey(job string, n int) string { return fmt.Sprintf("jobs/%s/chunks/%05d.json", job, n) }

// EndKey is where it is said how a job's recording has ended.
func EndKey(job string) string { return "jobs/" + job + "/end.json" }

// LiveKey is where the fold of a job's first parts is, while its recording grows.
func LiveKey(job string) string { return "jobs/" + job + "/live.json" }

// JobPrefix is what the keys of all of a job's documents start with.
func JobPrefix(job string) string { return "jobs/" + job + "/" }

// RemovedKey is where it is said that a job is being removed: what is left of it is no longer at work.
func RemovedKey(job string) string { return JobPrefix(job) + "removed.json" }

// UnrecordedKey is where it is said that a job's recording was removed, as its time was over.
func UnrecordedKey(job string) string { return JobPrefix(job) + "unrecorded.json" }

// RetriesPrefix is what the keys of a job's retries start with: tasks that failed, and will be tried again.
func RetriesPrefix(job string) string { return JobPrefix(job) + "retries/" }

// RetryKey is where the last retry of a task is.
func RetryKey(job, task string) string { return RetriesPrefix(job) + task + ".json" }

// PartsPrefix is what the keys of all of a job's parts start with.
func PartsPrefix(job string) string { return "jobs/" + job + "/parts/" }

// PartKey is where a part is.
func PartKey(job, name string) string { return PartsPrefix(job) + name + ".json" }

// FailuresPrefix is what the keys of a job's failures start with: tasks that were
// given up, as the failed queue has them.
func FailuresPrefix(job string) string { return "jobs/" + job + "/failures/" }

// FailurePrefix is what the keys of one task's failures start with.
func FailurePrefix(job, task string) string { return FailuresPrefix(job) + task + "-" }

// FailureKey is where a failure is.
func FailureKey(job, task string, at time.Time) string {
	return fmt.Sprintf("%s%d-failed.json", FailurePrefix(job, task), at.UnixMilli())
}

// DroppedKey is where it is noted that an operator gave a task up.
func DroppedKey(job, task string) string { return FailurePrefix(job, task) + "dropped.json" }

// PointerKey is the asset's pointer: which job is the published one.
func PointerKey(asset string) string { return "vod/" + asset + "/" + PointerFile }

// StableMasterKey is the asset's own multivariant playlist, whose URL stays.
func StableMasterKey(asset string) string { return "vod/" + asset + "/" + MasterFile }

// Reserved tells whether an element of an asset's name is called like a file that
// every asset has: "talk/master.m3u8" would have its folder where "talk" has that.
func Reserved(element string) bool {
	return element == PointerFile || element == MasterFile || element == LatestFile || element == LatestMasterFile
}

// Key is a published object of this job.
func (p *Plan) Key(elements ...string) string {
	return path.Join(append([]string{"vod", p.Asset, p.Job}, elements...)...)
}

// Names of the playlists in a rendition's and in a ladder's folder, and of the pointer.
const (
	MediaPlaylistFile = "index.m3u8"
	MasterFile        = "master.m3u8"
	PointerFile       = "asset.json"

	// What they are called while a recording grows.
	EventPlaylistFile   = "event.m3u8"
	EventMasterFile     = "live.m3u8"
	EventStoryboardFile = "event.vtt"
)
