package job

import (
	"os"
	"path/filepath"
	"strings"
)

// CLI is what operators type for cmd/enqueue, as messages name it: "enqueue", or "afterlive" where the Debian package
// installed it, whose names may not be those of other packages.
var CLI = calledBy(os.Args[0])

// calledBy is CLI for a program that was started as this.
func calledBy(program string) string {
	if strings.HasPrefix(filepath.Base(program), "afterlive") {
		return "afterlive"
	}
	return "enqueue"
}
