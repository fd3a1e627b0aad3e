package gate_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// busy is a store that cannot note a policy.
type busy struct {
	gate.Store
	on atomic.Bool
}

func (b *busy) Policy(ctx context.Context, hash, text string, dry bool) error {
	if b.on.Load() {
		return errors.New("the database is locked")
	}
	return b.Store.Policy(ctx, hash, text, dry)
}

func TestPolicyHoldsBeforeItCanBeNoted(t *testing.T) {
	inBubble(t, func(b *bench) {
		store := &busy{}
		g := b.start(func(p *gate.Parts) { store.Store = p.Store; p.Store = store })
		defer b.stop(g)
		ref := b.opened(g)
		without := usualPolicy()
		without.Rules[0].Approvers = []policy.Identity{email("carol")}
		store.on.Store(true)
		set := make(chan error, 1)
		go func() { set <- g.SetPolicy(context.Background(), without) }()
		wait(3 * time.Second)
		if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Text != "Recorded, being checked" {
			t.Errorf("a click under a policy that is over was answered %+v", a)
		}
		wait(10 * time.Second)
		if b.calls("approve")+b.calls("merge") != 0 || len(set) != 0 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
		store.on.Store(false)
		wait(3 * time.Second)
		if err := <-set; err != nil {
			t.Errorf("set policy: %v", err)
		}
		if hash, _, err := g.store.InForce(context.Background()); err != nil || hash != without.Hash() {
			t.Errorf("in force is %s, %v", hash, err)
		}
		if s := b.title(b.alice); !strings.HasPrefix(s, "Approval needed") {
			t.Errorf("Alice reads %q", s)
		}
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("not merged: %v", b.forge.Calls())
		}
	})
}

func TestSetPolicyEndsWithItsContext(t *testing.T) {
	inBubble(t, func(b *bench) {
		store := &busy{}
		g := b.start(func(p *gate.Parts) { store.Store = p.Store; p.Store = store })
		defer b.stop(g)
		wait(time.Second)
		store.on.Store(true)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := g.SetPolicy(ctx, usualPolicy()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("set policy: %v", err)
		}
	})
}
