//go:build unix

package cli

import "golang.org/x/sys/unix"

// mayWrite says why this process may not write to a file or directory; it tries
// nothing.
func mayWrite(path string) error { return unix.Access(path, unix.W_OK) }

// freeSpace is how many bytes this process may still write below dir.
func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil //nolint:gosec,unconvert // their types differ between systems
}
