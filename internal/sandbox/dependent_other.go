//go:build !linux

package sandbox

import "syscall"

// dependent is nothing here: the child ends with this process unless that is
// killed itself.
func dependent() *syscall.SysProcAttr { return nil }
