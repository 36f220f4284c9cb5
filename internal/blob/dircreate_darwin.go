package blob

import (
	"os"

	"golang.org/x/sys/unix"
)

// isFAT tells whether a folder is on FAT or exFAT.
func isFAT(folder string) (bool, error) {
	var system unix.Statfs_t
	err := unix.Statfs(folder, &system)
	kind := unix.ByteSliceToString(system.Fstypename[:])
	return kind == "msdos" || kind == "exfat", err
}

// renameNew renames a file, and fails where the name is taken.
func renameNew(file, name string) error {
	if err := unix.RenamexNp(file, name, unix.RENAME_EXCL); err != nil {
		return &os.LinkError{Op: "rename", Old: file, New: name, Err: err}
	}
	return nil
}
