package gitlab

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// everyMinute is how often refused calls are logged: anybody can make them, and
// they must not fill a disk.
const everyMinute = time.Minute

// refusals counts the calls that were turned away and logs them: the first at
// once, then at most one line a minute, with how many there were since the line
// before. Of what a call held nothing is logged; why is this package's own text.
type refusals struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	count int
	next  time.Time
}

func (f *refusals) note(ctx context.Context, why, from string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	now := f.now()
	if now.Before(f.next) {
		return
	}
	f.log.WarnContext(ctx, "GitLab webhook calls refused", "count", f.count, "last_why", why, "last_from", from)
	f.count, f.next = 0, now.Add(everyMinute)
}
