package gate_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// observed is what an observer was told.
type observed struct {
	mu     sync.Mutex
	calls  map[string]int // "forge merge done"
	merges []time.Duration
}

func (o *observed) Called(call gate.Call, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calls == nil {
		o.calls = map[string]int{}
	}
	became := "failed"
	if done {
		became = "done"
	}
	if !slices.Contains(gate.Calls(), call) {
		became += ", and unheard of"
	}
	o.calls[fmt.Sprintf("%s %s %s", call.Target, call.Name, became)]++
}

func (o *observed) Merged(after time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.merges = append(o.merges, after)
}

// told demands what was told of these calls so far.
func (o *observed) told(b *bench, want map[string]int) {
	b.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for call, n := range want {
		if o.calls[call] != n {
			b.Errorf("%q was told %d times, want %d; all: %v", call, o.calls[call], n, o.calls)
		}
	}
}

func TestObserverIsToldWhatWasDoneAndWhatFailed(t *testing.T) {
	inBubble(t, func(b *bench) {
		o := &observed{}
		g := b.start(func(p *gate.Parts) { p.Observer = o })
		defer b.stop(g)
		b.forge.FailNext("get", errors.New("down"))
		ref := b.opened(g)
		o.told(b, map[string]int{"forge read failed": 1, "forge read done": 0, "chat send failed": 0, "chat send done": 3})

		// A conflict is the author's to mend, and no failure of the forge.
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		o.told(b, map[string]int{"forge approve done": 1, "forge merge done": 0, "forge merge failed": 0})
		if len(o.merges) > 0 {
			b.Errorf("told of merges: %v", o.merges)
		}

		b.forge.FailNext("merge", errors.New("down"), gate.ErrNotPermitted)
		b.forge.SetConflict(ref, false)
		wait(time.Hour)
		o.told(b, map[string]int{"forge merge failed": 2, "forge merge done": 1, "forge note failed": 0})
		if r := row(b, g, ref).Current(); len(o.merges) != 1 || o.merges[0] != r.EndedAt.Sub(r.DecidedAt) || o.merges[0] < 3*time.Second {
			b.Errorf("told of merges after %v, decided %s and ended %s", o.merges, r.DecidedAt, r.EndedAt)
		}
	})
}

func TestObserverIsToldOfNoMergeAroundTheGate(t *testing.T) {
	inBubble(t, func(b *bench) {
		o := &observed{}
		g := b.start(func(p *gate.Parts) { p.Observer = o })
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.MergeByHand(ref)
		b.look(g, ref)
		wait(time.Minute)
		o.told(b, map[string]int{"forge merge done": 0, "forge merge failed": 0})
		if len(o.merges) > 0 {
			b.Errorf("told of merges: %v", o.merges)
		}
	})
}
