package gate

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// rushClicks within rushWithin are a rush.
	rushClicks = 10
	rushWithin = 100 * time.Millisecond
	// What follows from a click costs ten times as much as its answer, and people
	// wait for answers: in a rush so many workers begin something, and pause so long
	// before each step. The rest is done when it is over.
	rushWorkers = 1
	rushPause   = 5 * time.Millisecond
	// rushOver is how long after a rush it counts as over.
	rushOver = 10 * time.Second
	// wayFor is how long work makes way for answers at most, at each of its steps: it
	// goes on also where there is always somebody who waits for one.
	wayFor = 20 * time.Millisecond
)

// rush tells when people wait for the answers to their clicks, and when many do.
type rush struct {
	waiting atomic.Int64 // for an answer

	mu     sync.Mutex
	recent [rushClicks]time.Time // when the last ones clicked: a ring
	oldest int                   // in it
	last   time.Time             // when there was a rush
}

// click notes that somebody has clicked, and gives what to call when the answer is
// known.
func (r *rush) click() (answered func()) {
	r.waiting.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.recent[r.oldest] = now
	r.oldest = (r.oldest + 1) % rushClicks
	if r.isOn(now) {
		r.last = now
	}
	return func() { r.waiting.Add(-1) }
}

// isOn is on, under the lock.
func (r *rush) isOn(now time.Time) bool { return now.Sub(r.recent[r.oldest]) < rushWithin }

// on says that there is a rush.
func (r *rush) on() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isOn(time.Now())
}

// lately says that there is one, or was a moment ago.
func (r *rush) lately() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.last) < rushOver
}

// makeWay waits for a moment while somebody waits for an answer, or in a rush soon
// will: they share the processor, the writer and the disk.
func (r *rush) makeWay() {
	for began := time.Now(); r.waiting.Load() > 0 && time.Since(began) < wayFor; {
		time.Sleep(time.Millisecond)
	}
	if r.on() {
		time.Sleep(rushPause)
	}
}
