//go:build !unix

package cli

import "errors"

// mayWrite says why this process may not write to a file or directory. Here that
// shows only when it is tried.
func mayWrite(string) error { return nil }

// freeSpace is how many bytes this process may still write below dir.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
