package gate

import (
	"sync"
	"time"
)

// throttle lets something be mentioned once a minute, whoever brings it about.
type throttle struct {
	mu     sync.Mutex
	last   time.Time
	unsaid int // since then
}

// say says whether to mention it now, and how many times it was not mentioned.
func (t *throttle) say() (unsaid int, now bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.IsZero() && time.Since(t.last) < time.Minute {
		t.unsaid++
		return 0, false
	}
	unsaid, t.unsaid, t.last = t.unsaid, 0, time.Now()
	return unsaid, true
}
