package sandbox

import "syscall"

// dependent has the child die with this process, however that ends, and keeps it
// out of the terminal's reach: Ctrl-C is for the sandbox alone.
func dependent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
