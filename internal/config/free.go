package config

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free is how many bytes a folder's file system has left for this user.
func Free(folder string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", folder, err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil //nolint:gosec,unconvert // not an int64 on macOS; disks are smaller than 2^63 bytes
}
