package server

import (
	"sync"
	"time"
)

const (
	// maxWaits is how many calls may wait at a time: a third of all connections (see
	// maxGuests), so that clicks and hooks always find one. maxJobWaits is how many
	// of one project's jobs: whoever can write a pipeline can have as many.
	maxWaits    = 400
	maxJobWaits = 100
	// waitAgain is when somebody who found no place may ask again.
	waitAgain = 5 * time.Second

	// maxVerifying is how many ID tokens are looked at at a time. It takes no
	// millisecond, unless the code host's keys have to be had and it does not answer:
	// then whoever makes tokens up would hold all connections.
	maxVerifying = 200

	// maxForkLooks is how many merge requests a minute are read for jobs of other
	// projects, of which only GitLab can say whether they are forks. On a GitLab for
	// everybody anybody has a job, and the token's own limit is for all that mrgate
	// does.
	maxForkLooks = 60
	// refusedEvery is how often the log tells of tokens that were refused: anybody can
	// make some up.
	refusedEvery = time.Minute
)

// waits counts who waits.
type waits struct {
	mu   sync.Mutex
	all  int
	jobs map[int64]int // by their project
}

// begin says whether there is a place for one more; end gives it back.
func (w *waits) begin(by caller) (end func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= maxWaits || by.job != nil && w.jobs[by.job.Project] >= maxJobWaits {
		return nil, false
	}
	w.count(by, 1)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.count(by, -1)
	}, true
}

// count counts. The lock is held.
func (w *waits) count(by caller, n int) {
	w.all += n
	if by.job == nil {
		return
	}
	if w.jobs == nil {
		w.jobs = map[int64]int{}
	}
	if w.jobs[by.job.Project] += n; w.jobs[by.job.Project] == 0 {
		delete(w.jobs, by.job.Project)
	}
}

// allowance is how often something may be done in a span of time.
type allowance struct {
	most  int
	every time.Duration

	mu    sync.Mutex
	began time.Time
	used  int
	over  int // how often it was asked in vain
}

// take says whether it may be done once more, and how often it was asked in vain
// before, which is told once.
func (a *allowance) take() (inVain int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); a.began.IsZero() || now.Sub(a.began) >= a.every {
		a.began, a.used = now, 0
	}
	if a.used >= a.most {
		a.over++
		return 0, false
	}
	a.used++
	inVain, a.over = a.over, 0
	return inVain, true
}
