package gate_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mrgate/internal/gate"
)

// Many people click at once, while merge requests wait to be read: few are worked
// on, so that the answers come first, and all workers go on when it is over.
func TestRushOfClicksComesFirst(t *testing.T) {
	inBubble(t, func(b *bench) {
		told := make(chan bool, 3)
		r := b.start(func(p *gate.Parts) { p.Rush = func(on bool) { told <- on } })
		defer b.stop(r)
		var reading, most atomic.Int64
		b.forge.Delay(func(string) time.Duration {
			most.Store(max(most.Load(), reading.Add(1)))
			return 50 * time.Millisecond
		})
		b.forge.Lose(func(string) error { reading.Add(-1); return nil })
		click := func() {
			r.Click(context.Background(), gate.Click{Key: fmt.Sprint("nobody's ", time.Now()), Action: gate.ActionApprove, By: b.alice})
			time.Sleep(5 * time.Millisecond)
		}
		for range 20 {
			click()
		}
		for range 40 {
			b.look(r, b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"}))
		}
		for range 60 {
			click()
		}
		if n := most.Load(); n != 1 {
			t.Errorf("in a rush of clicks %d merge requests were read at a time, want 1", n)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if n := most.Load(); n != 8 {
			t.Errorf("after the rush %d merge requests were read at a time, want 8", n)
		}
		if n := len(told); n != 1 || !<-told {
			t.Errorf("told %d times of a rush, want once that it began", n)
		}
		wait(15 * time.Second)
		if n := len(told); n != 1 || <-told {
			t.Errorf("told %d times after the rush, want once that it is over", n)
		}
	})
}

// slowClicks is a store in which clicks take their time.
type slowClicks struct {
	gate.Store
	take   time.Duration
	worked chan time.Time // when a worker came to write
}

func (s *slowClicks) Change(ctx context.Context, by gate.By, f func(mr *gate.MergeRequest) error) error {
	switch {
	case by.Message != "":
		time.Sleep(s.take)
	case by.Lease != nil:
		s.worked <- time.Now()
	}
	return s.Store.Change(ctx, by, f)
}

// Work makes way for who waits for an answer, but not for long.
func TestWorkMakesWayForAnswers(t *testing.T) {
	for _, tt := range []struct {
		name           string
		take           time.Duration // an answer
		earliest, last time.Duration // of the work
	}{
		{"quick answer", 10 * time.Millisecond, 10 * time.Millisecond, 15 * time.Millisecond},
		{"slow answer", 500 * time.Millisecond, 20 * time.Millisecond, 25 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				worked := make(chan time.Time, 100)
				r := b.start(func(p *gate.Parts) { p.Store = &slowClicks{p.Store, tt.take, worked} })
				defer b.stop(r)
				wait(time.Second)
				began := time.Now()
				var answered sync.WaitGroup
				answered.Go(func() {
					r.Click(context.Background(), gate.Click{Key: "nobody's", Action: gate.ActionApprove, By: b.alice})
				})
				synctest.Wait() // until the click waits for the store
				b.look(r, b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"}))
				if after := (<-worked).Sub(began); after < tt.earliest || after > tt.last {
					t.Errorf("work began %v after a click that took %v, want %v to %v", after, tt.take, tt.earliest, tt.last)
				}
				answered.Wait()
			})
		})
	}
}
