// Package player is the page that plays what afterlive publishes, flat or spheres,
// alone or side by side. It is plain files: any web server or bucket can hold it.
package player

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

//go:embed web
var web embed.FS

// Policy is the Content-Security-Policy for the page. It runs its own scripts, and the import
// map in the page, which is known by its hash; it may read any stream, as its address asks
// for. The CDN's template says the same.
const Policy = "default-src 'none'; script-src 'self' 'sha256-upsutkkVmZOZ1ZIRcrLwva+XsqQlmLLxxTWgojr8Tow='; style-src 'self'; img-src * blob: data:; " +
	"media-src * blob: data:; connect-src * blob: data:; worker-src 'self' blob:; frame-src 'self'; base-uri 'none'; form-action 'self'"

// Files are the page's files, index.html at the root. hls.js comes from npm, so it
// is not there in a program that was built without "make build": that is an
// error, and the files are there beside it.
func Files() (fs.FS, error) {
	files, err := fs.Sub(web, "web")
	if err != nil {
		return nil, fmt.Errorf("open player: %w", err)
	}
	if _, err := fs.Stat(files, "hls.mjs"); err != nil {
		return files, errors.New("the player was built without hls.js and cannot play: build it with make build")
	}
	return files, nil
}
