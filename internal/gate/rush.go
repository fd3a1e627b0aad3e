package gate

import (
	"sync"
	"time"
)

const (
	// rushClicks within rushWithin are a rush.
	rushClicks = 10
	rushWithin = 100 * time.Millisecond
	// rushWorkers is how many workers begin something in a rush. What follows from
	// a click costs ten times as much as its answer, and people wait for answers.
	rushWorkers = 2
)

// rush tells when many people click at once.
type rush struct {
	mu     sync.Mutex
	recent [rushClicks]time.Time // when the last ones clicked: a ring
	oldest int                   // in it
}

// click notes that somebody has clicked.
func (r *rush) click() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recent[r.oldest] = time.Now()
	r.oldest = (r.oldest + 1) % rushClicks
}

// on says that there is a rush.
func (r *rush) on() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.recent[r.oldest]) < rushWithin
}
