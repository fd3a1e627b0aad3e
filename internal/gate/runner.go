package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

const (
	// pollEvery is how often the store is asked for what another process wrote.
	pollEvery = time.Second
	// endWithin is how long, told to end, a call under way may still take.
	endWithin = 3 * time.Second
)

// Run works on what is due until ctx ends, then lets calls under way finish for
// a few seconds, puts down what it holds, and returns nil. What is unfinished is
// gone on with by the next process, at once.
func (g *Gate) Run(ctx context.Context) error {
	// Another process may keep the database busy for a moment; that is no reason
	// not to start.
	for try := 1; ; try++ {
		err := g.notePolicy(ctx)
		if err == nil {
			break
		}
		if try == 5 || !pause(ctx, pollEvery) {
			return err
		}
	}
	// Workers outlive ctx a little, but not for long.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	var workers sync.WaitGroup
	remind := g.reminding(work, &workers)
	free := make(chan struct{}, g.workers)
	for range g.workers {
		free <- struct{}{}
	}
	var asked time.Time // the store, what is due
	resting := 0        // workers that are free, and kept back by a rush
	rushing := false
	for ctx.Err() == nil {
		if lately := g.rush.lately(); lately != rushing {
			rushing = lately
			g.rushed(rushing)
		}
		n := g.take(free) + resting
		resting = 0
		if g.rush.on() {
			resting = min(n, max(0, g.workers-rushWorkers))
			n -= resting
		}
		mrs, err := g.claim(ctx, n)
		if err != nil && ctx.Err() == nil {
			g.log.Error("cannot take work from the database", "err", err)
			pause(ctx, pollEvery) // it says what is due, and takes no writes
		}
		for range n - len(mrs) {
			free <- struct{}{}
		}
		for _, mr := range mrs {
			workers.Go(func() {
				defer func() { free <- struct{}{} }()
				g.reconcile(work, mr)
			})
		}
		full := len(mrs) == n // nobody is free, or there may be more
		wait := pollEvery - time.Since(asked)
		if !full || wait <= 0 { // reminders become due also while there is work all the time
			asked = time.Now()
			if wait = g.next(ctx, len(free) == cap(free), remind); full {
				wait = pollEvery // what is due has to wait for a worker
			}
		}
		if resting > 0 {
			wait = min(wait, rushWithin)
		}
		if !full || n == 0 {
			g.idle(ctx, free, n == 0, wait)
		}
	}

	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(endWithin):
		stop()
		<-ended
	}
	return nil
}

// pause waits; false: ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// take takes all free workers.
func (g *Gate) take(free chan struct{}) int {
	for n := 0; ; n++ {
		select {
		case <-free:
		default:
			return n
		}
	}
}

func (g *Gate) claim(ctx context.Context, n int) ([]*MergeRequest, error) {
	if n == 0 {
		return nil, nil
	}
	// A token for each claim: a worker that was paused while its row was taken
	// by another of the same process must not pass for that one.
	return g.store.Claim(ctx, rand.Text(), n, leaseFor)
}

// next says in how long to ask the store again what is due. It has the
// reminders sent that are due, beside the work.
func (g *Gate) next(ctx context.Context, unoccupied bool, remind func(quiet bool)) time.Duration {
	row, reminder, err := g.store.NextDue(ctx, g.rules.Load().dry)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			g.log.Error("cannot ask the database what is due", "err", err)
		}
		return pollEvery
	}
	if reminder == 0 {
		remind(row > 0 && unoccupied)
		reminder = pollEvery // whatever becomes of it
	}
	return min(pollEvery, row, reminder)
}

// idle waits until something may be due; with all workers busy, for one of them.
func (g *Gate) idle(ctx context.Context, free chan struct{}, busy bool, wait time.Duration) {
	nudged, ended := g.nudged, free
	if busy {
		nudged = nil
	} else {
		ended = nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-nudged:
	case <-ended:
		free <- struct{}{}
	case <-ctx.Done():
	}
}
