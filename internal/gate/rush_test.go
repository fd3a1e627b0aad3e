package gate_test

import (
	"context"
	"fmt"
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
		r := b.start()
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
		if n := most.Load(); n == 0 || n > 2 {
			t.Errorf("in a rush of clicks %d merge requests were read at a time, want 1 or 2", n)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if n := most.Load(); n != 8 {
			t.Errorf("after the rush %d merge requests were read at a time, want 8", n)
		}
	})
}
