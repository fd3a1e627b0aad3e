package server

import (
	"os"
	"runtime/debug"
)

const (
	// memoryGoal is where Go's runtime stops saving its work and collects what is
	// no longer used, if need be all the time. Without it the process would take
	// twice what it holds, of what others have sent it as well.
	memoryGoal = 56 << 20
	// A listener holds 5 MB that are in use. With Go's 100 percent it collects
	// after each 5 MB that it uses besides: in a rush 35 times a second, which takes
	// a seventh of its time. With 400 percent it takes 15 MB more.
	garbage       = 100
	garbageInRush = 400
)

// These are for the whole process; whoever runs it can set others.

func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
}

// Rush has Go's runtime collect what is no longer used more rarely, while many
// people wait for answers at once; and then again as it did, and give back what
// that took.
func Rush(on bool) {
	switch {
	case os.Getenv("GOGC") != "":
	case on:
		debug.SetGCPercent(garbageInRush)
	default:
		debug.SetGCPercent(garbage)
		debug.FreeOSMemory()
	}
}
