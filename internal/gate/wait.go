package gate

import (
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// leaseFor is how long a worker holds a row after each of its writes. A
	// process that dies is followed after at most this.
	leaseFor = 15 * time.Second
	// callTimeout bounds every call to the forge and the chat. It is shorter than
	// the lease, so that a call ends before somebody else can take the row.
	callTimeout = 10 * time.Second
	// effectWithin is when, after the write that announces it, an effect must
	// have started: a worker that was paused longer has perhaps been replaced.
	effectWithin = leaseFor / 2
	// freshFor is how old a reading may be when a merge starts.
	freshFor = 2 * time.Second

	// mergeTurn is how long a worker waits for another merge of the same project:
	// one that waits is one that other projects lack.
	mergeTurn = 200 * time.Millisecond

	retryMin = time.Second
	retryMax = 5 * time.Minute
	// personMin and personMax bound how often it is looked whether somebody has
	// removed what blocks a merge, or given a missing permission.
	personMin = 30 * time.Second
	personMax = 10 * time.Minute
	soonMin   = time.Second
	soonMax   = time.Minute
	// stuckAfter is how long a merge that should be possible may not happen, or the
	// forge be at it.
	stuckAfter = 5 * time.Minute
	// tryAfter is how long the forge may say that it is still finding out, before
	// it is told to merge all the same.
	tryAfter = 15 * time.Second
)

// backoff is how long to wait after the tries-th failure in a row: doubling,
// with a fifth of it at random so that many rows don't come back at once; or
// what the other side asked for. What only a person can mend is tried more
// rarely, and what is not there (any more) hardly at all.
func backoff(tries int, err error) time.Duration {
	var told *RetryAfter
	if errors.As(err, &told) && told.After > 0 {
		return told.After
	}
	least, most := retryMin, retryMax
	switch {
	case errors.Is(err, ErrNotPermitted):
		least, most = personMax, time.Hour
	case errors.Is(err, ErrNotFound):
		least, most = retryMin, 24*time.Hour
	}
	d := most
	if tries < 20 {
		d = min(least<<max(tries-1, 0), most)
	}
	return d - time.Duration(rand.Int64N(int64(d)/5)) //nolint:gosec // spreads load, hides nothing
}

// patience is how long to wait for something that has taken a while already: a
// quarter of that, within bounds. So a wait needs no counter.
func patience(waited, least, most time.Duration) time.Duration {
	return min(max(waited/4, least), most)
}
