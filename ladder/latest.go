package ladder

import (
	"bytes"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"time"
)

// Latest says which asset of a stream, the folder that it is in, is the newest.
//
// Stored as vod/<stream>/latest.json.
type Latest struct {
	Version int       `json:"v"`
	Asset   string    `json:"asset"`   // its whole name
	Pointer string    `json:"pointer"` // its asset.json, relative to this file
	Job     string    `json:"job"`
	Live    bool      `json:"live,omitempty"`
	Began   time.Time `json:"began"`
}

// LatestVersion is that of [Latest].
const LatestVersion = 1

// Names of what leads to a stream's latest asset, in the stream's folder.
const (
	LatestFile       = "latest.json"
	LatestMasterFile = "latest.m3u8"
)

// LatestKey is where it is said which asset of a stream is the latest.
func LatestKey(stream string) string { return "vod/" + stream + "/" + LatestFile }

// LatestMasterKey is a stream's multivariant playlist: that of its latest asset.
func LatestMasterKey(stream string) string { return "vod/" + stream + "/" + LatestMasterFile }

// stamped is how nginx-rtmp names recordings (record_unique): the time follows the name, in seconds since 1970. A recording that found its name
// taken, or an origin, has more behind that.
var stamped = regexp.MustCompile(`-(\d{9,11})(-[^/]*)?$`)

// LatestOf is what an asset would be as the latest. When it began, its name says, as recorders give it; else what is known of it does, or
// when it was planned first.
func LatestOf(asset string, a Asset) Latest {
	began := a.Began
	if began.IsZero() {
		began = a.Planned
	}
	if found := stamped.FindStringSubmatch(asset); found != nil {
		seconds, _ := strconv.ParseInt(found[1], 10, 64) // it has but digits
		began = time.Unix(seconds, 0)
	}
	return Latest{Version: LatestVersion, Asset: asset, Pointer: folderOf(asset) + PointerFile, Job: a.Job, Live: a.Live, Began: began.UTC()}
}

// folderOf is an asset's folder as an address relative to its stream's.
func folderOf(asset string) string { return (&url.URL{Path: path.Base(asset) + "/"}).String() }

// uri is the address in a line of a multivariant playlist, on a line of its own or in quotes.
var uri = regexp.MustCompile(`(?m)^[^#\n].*$|URI="[^"]*"`)

// Rebase turns an asset's own multivariant playlist into one for the stream's folder, above the asset's.
func (l Latest) Rebase(master []byte) []byte {
	folder := folderOf(l.Asset)
	return uri.ReplaceAllFunc(master, func(address []byte) []byte {
		if quoted, ok := bytes.CutPrefix(address, []byte(`URI="`)); ok {
			return append([]byte(`URI="`+folder), quoted...)
		}
		return append([]byte(folder), address...)
	})
}
