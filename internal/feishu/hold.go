package feishu

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A limit that does not say how long it lasts is waited out for a second, then
// twice as long each time; none is believed to last longer than maxHold, since
// all of Feishu's count calls by the second or by the minute
// (https://open.larkoffice.com/document/ukTMukTMukTM/uUzN04SN3QjL1cDN.md).
const (
	firstHold = time.Second
	longStep  = time.Minute
	maxHold   = 10 * time.Minute
)

// hold keeps back every call of the app while Feishu limits it: calls against a
// limit count too, and would prolong it.
type hold struct {
	mu    sync.Mutex
	until time.Time
	step  time.Duration // of the last limit that said nothing
}

// left is how long to wait; 0: go on.
func (h *hold) left(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.until.Sub(now), 0)
}

// begin starts a hold of the asked length, 0 being none known, and says how long
// it is to last.
func (h *hold) begin(now time.Time, asked time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if asked <= 0 {
		h.step = min(max(2*h.step, firstHold), longStep)
		asked = h.step
	}
	until := now.Add(min(max(asked, firstHold), maxHold))
	if until.After(h.until) {
		h.until = until
	}
	return h.until.Sub(now)
}

// end is told that a call went through.
func (h *hold) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.step = 0
}

// resetAfter reads how long a limit lasts; 0: it does not say.
func resetAfter(header http.Header, now time.Time) time.Duration {
	for _, name := range []string{"x-ogw-ratelimit-reset", "Retry-After"} {
		value := header.Get(name)
		if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
			return max(time.Duration(seconds)*time.Second, firstHold)
		}
		if at, err := http.ParseTime(value); err == nil && at.After(now) {
			return at.Sub(now)
		}
	}
	return 0
}
