package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// arrivals watches the calls that arrive at GitLab.
type arrivals struct {
	total  atomic.Int64
	single atomic.Int64 // those about one merge request

	mu      sync.Mutex
	awaited map[string]*arrival // by the path of a merge request
}

// arrival is the first call about a merge request since it was awaited.
type arrival struct {
	at     time.Time // zero: none yet
	before int64     // calls about others that came before it
	since  int64
}

// await watches for the first call about the merge request.
func (a *arrivals) await(project int64, iid int) *arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.awaited == nil {
		a.awaited = make(map[string]*arrival)
	}
	w := &arrival{since: a.total.Load()}
	a.awaited[fmt.Sprintf("/api/v4/projects/%d/merge_requests/%d", project, iid)] = w
	return w
}

func (a *arrivals) arrived(path string) {
	now, n := time.Now(), a.total.Add(1)
	if i := strings.Index(path, "/merge_requests/"); i >= 0 {
		a.single.Add(1)
		end := i + len("/merge_requests/")
		if j := strings.IndexByte(path[end:], '/'); j >= 0 {
			path = path[:end+j]
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.awaited[path]; w != nil {
		w.at, w.before = now, n-1-w.since
		delete(a.awaited, path)
	}
}

// come says whether it has, when, and how many others came before.
func (a *arrivals) come(w *arrival) (at time.Time, before int64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return w.at, w.before, !w.at.IsZero()
}
