package feishu

import (
	"sync"
	"time"
)

// complainEvery is how often the same trouble is mentioned in the log.
const complainEvery = time.Minute

// complaints keeps what others can bring about as often as they like from filling
// the log.
type complaints struct {
	mu     sync.Mutex
	last   time.Time
	unsaid int // since then
}

// due says whether to mention it now, and how many were not mentioned before.
func (c *complaints) due(now time.Time) (unsaid int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && now.Sub(c.last) < complainEvery {
		c.unsaid++
		return 0, false
	}
	unsaid, c.last, c.unsaid = c.unsaid, now, 0
	return unsaid, true
}
