package blob

import (
	"os"

	"golang.org/x/sys/unix"
)

// isFAT tells whether a folder is on FAT or exFAT.
func isFAT(folder string) (bool, error) {
	var system unix.Statfs_t
	err := unix.Statfs(folder, &system)
	return system.Type == unix.MSDOS_SUPER_MAGIC || system.Type == unix.EXFAT_SUPER_MAGIC, err
}

// renameNew renames a file, and fails where the name is taken.
func renameNew(file, name string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, name, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: file, New: name, Err: err}
	}
	return nil
}
