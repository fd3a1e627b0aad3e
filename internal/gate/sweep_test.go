package gate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// sweeping is a gate that sweeps every minute, and is told nothing.
type sweeping struct {
	*running
	b      *bench
	cancel context.CancelFunc
	ended  chan struct{}
}

func (b *bench) sweeping(backfill bool, change ...func(*gate.Parts)) *sweeping {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	sweeps := func(p *gate.Parts) { p.Sweeps = true }
	s := &sweeping{b.start(append(change, sweeps)...), b, cancel, make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.Sweep(ctx, time.Minute, backfill)
	}()
	wait(10 * time.Second) // the first sweep is over
	return s
}

func (s *sweeping) stop() {
	s.cancel()
	<-s.ended
	s.b.stop(s.running)
}

func TestSweepFindsWhatNobodyTold(t *testing.T) {
	closed := func(s *gate.Snapshot) { s.State = gate.ForgeClosed }
	for name, c := range map[string]struct {
		happens func(b *bench, ref gate.Ref)
		reads   string // Alice, on her newest card
	}{
		"merged":     {func(b *bench, ref gate.Ref) { b.forge.MergeByHand(ref) }, "Merged in GitLab ·"},
		"closed":     {func(b *bench, ref gate.Ref) { b.forge.CloseByHand(ref) }, "Closed ·"},
		"retargeted": {func(b *bench, ref gate.Ref) { b.forge.Retarget(ref, "develop") }, "Target changed ·"},
		"a draft":    {func(b *bench, ref gate.Ref) { b.forge.SetDraft(ref, true) }, "Now a draft ·"},
		"pushed":     {func(b *bench, ref gate.Ref) { b.forge.Push(ref) }, "Approval needed, updated ·"},
		"moved by a silent push": {func(b *bench, ref gate.Ref) {
			b.forge.EditSilently(ref, func(s *gate.Snapshot) { s.Head = "0123456789" })
		}, "Approval needed, updated ·"},
		"in a renamed project": {func(b *bench, ref gate.Ref) {
			b.forge.EditSilently(ref, func(s *gate.Snapshot) { s.Path = "payments/moved" })
		}, "Approval needed · payments/moved !1"},
		"where no rule is now": {func(b *bench, ref gate.Ref) {
			b.forge.EditSilently(ref, func(s *gate.Snapshot) { s.Path = "other/moved" })
		}, "No longer needed ·"},
		"where no list shows it": {func(b *bench, ref gate.Ref) {
			b.forge.EditSilently(ref, func(s *gate.Snapshot) { s.State = gate.ForgeClosed })
		}, "Closed ·"},
		"closed and reopened": {func(b *bench, ref gate.Ref) {
			b.forge.Edit(ref, closed)
			wait(time.Minute)
			b.forge.Reopen(ref)
		}, "Approval needed ·"},
		"a draft and ready again": {func(b *bench, ref gate.Ref) {
			b.forge.SetDraft(ref, true)
			wait(time.Minute)
			b.forge.SetDraft(ref, false)
		}, "Approval needed"},
		"pushed, and back to where it was": {func(b *bench, ref gate.Ref) {
			head := b.forge.Look(ref).Head
			b.forge.Push(ref)
			wait(time.Minute)
			b.forge.EditSilently(ref, func(s *gate.Snapshot) { s.Head = head })
			wait(time.Minute)
			if c := b.cards(b.alice); !strings.Contains(fmt.Sprint(c[len(c)-1].Card), head.Short()) {
				b.Errorf("the card shows another commit than %s: %+v", head.Short(), c[len(c)-1].Card)
			}
		}, "Approval needed"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				g := b.sweeping(false)
				defer g.stop()
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
				wait(time.Minute)
				if got := b.title(b.alice); !strings.HasPrefix(got, "Approval needed ·") {
					t.Fatalf("opened, and Alice reads %q", got)
				}
				c.happens(b, ref)
				wait(2 * time.Minute)
				if got := b.title(b.alice); !strings.HasPrefix(got, c.reads) {
					t.Errorf("Alice reads %q, want %q", got, c.reads)
				}
				b.forge.Forget()
				wait(10 * time.Minute)
				if n := b.calls("get"); n != 0 {
					t.Errorf("with nothing new it was read %d times: %v", n, b.forge.Calls())
				}
			})
		})
	}
}

func TestSweepCarriesAnApprovalThrough(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.sweeping(false)
		defer g.stop()
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api"})
		wait(time.Minute)
		b.click(g.running, b.alice, gate.ActionApprove, "")
		wait(time.Minute)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged || b.calls("merge") != 1 {
			t.Errorf("in the forge: %+v", s)
		}
	})
}

func TestFirstSweepTakesOnlyWhatIsNew(t *testing.T) {
	for _, backfill := range []bool{false, true} {
		inBubble(t, func(b *bench) {
			b.forge.MergeByHand(b.forge.Open(gate.Snapshot{Path: "payments/api"}))
			b.forge.CloseByHand(b.forge.Open(gate.Snapshot{Path: "payments/api"}))
			for range 120 {
				b.forge.Open(gate.Snapshot{Path: "payments/api"})
			}
			b.forge.Open(gate.Snapshot{Path: "other/api"})
			g := b.sweeping(backfill)
			defer g.stop()
			wait(10 * time.Minute)
			if got, want := len(b.cards(b.alice)), map[bool]int{true: 120}[backfill]; got != want {
				t.Errorf("backfill %v: Alice has %d cards, want %d", backfill, got, want)
			}
			b.forge.Open(gate.Snapshot{Path: "payments/api"})
			wait(time.Minute)
			if got, want := len(b.cards(b.alice)), map[bool]int{false: 1, true: 121}[backfill]; got != want {
				t.Errorf("backfill %v: with one more Alice has %d cards, want %d", backfill, got, want)
			}
		})
	}
}

func TestSweepCatchesUpAfterDaysOfBeingDown(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.sweeping(false)
		pending := b.forge.Open(gate.Snapshot{Path: "payments/api"})
		wait(time.Minute)
		g.stop()
		wait(72 * time.Hour)
		b.forge.CloseByHand(pending)
		b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Opened meanwhile"})
		over := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Its whole life"})
		b.forge.CloseByHand(over)
		g = b.sweeping(false)
		defer g.stop()
		var titles []string
		for _, m := range b.cards(b.alice) {
			titles = append(titles, m.Card.Title)
		}
		if len(titles) != 2 || !strings.HasPrefix(titles[0], "Closed ·") || !strings.HasPrefix(titles[1], "Approval needed ·") {
			t.Errorf("Alice reads %q", titles)
		}
	})
}

func TestIdleSweepMakesNoCallPerMergeRequest(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.sweeping(false)
		defer g.stop()
		for range 110 {
			b.forge.Open(gate.Snapshot{Path: "payments/api"})
		}
		wait(5 * time.Minute)
		b.forge.Forget()
		wait(30 * time.Minute)
		if got := b.forge.Calls(); len(got) != 3*30 || b.calls("changed") != 30 || b.calls("open") != 30 || b.calls("lists") != 30 {
			t.Errorf("%d calls in 30 sweeps: %v", len(got), got)
		}
		if at := g.LastSweep(); time.Since(at) > time.Minute {
			t.Errorf("the last sweep was at %s", at)
		}
	})
}

func TestSweepGoesOnWhereItWas(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.sweeping(false)
		for range 2500 {
			b.forge.CloseByHand(b.forge.Open(gate.Snapshot{Path: "payments/api"})) // nobody's business
		}
		last := b.forge.Open(gate.Snapshot{Path: "payments/api"})
		b.forge.Forget()
		wait(time.Minute)
		if n := b.calls("changed"); n != 10 || len(b.cards(b.alice)) != 0 {
			t.Errorf("one sweep read %d pages, want 10", n)
		}
		g.stop() // and goes on in another process
		g = b.sweeping(false)
		defer g.stop()
		wait(time.Minute)
		if len(b.cards(b.alice)) != 1 {
			t.Errorf("!%d was not found", last.Number)
		}
		if n := b.calls("changed"); n != 26 {
			t.Errorf("it read %d pages, want 26", n)
		}
	})
}

// lists is a forge with some lists more, which cannot be read.
type lists struct {
	gate.Forge
	first []gate.List
	err   func(list gate.List) error

	mu   sync.Mutex
	read map[string]int
}

func (l *lists) Lists(ctx context.Context, scope policy.Scope) ([]gate.List, error) {
	all, err := l.Forge.Lists(ctx, scope)
	return append(l.first, all...), err
}

func (l *lists) Changed(ctx context.Context, list gate.List, mark gate.Mark) (gate.Page, error) {
	l.mu.Lock()
	l.read[list.Of]++
	l.mu.Unlock()
	if err := l.err(list); err != nil {
		return gate.Page{}, err
	}
	return l.Forge.Changed(ctx, list, mark)
}

func TestListThatFailsKeepsNoOtherFromItsTurn(t *testing.T) {
	gone := fmt.Errorf("read it: %w", gate.ErrNotFound)
	for name, c := range map[string]struct {
		lists []gate.List
		err   error
		read  int // lists that fail, in the first minute
	}{
		"one is gone":   {[]gate.List{{Of: "gone"}}, gone, 1},
		"many are gone": {[]gate.List{{Of: "a"}, {Of: "b"}, {Of: "c"}, {Of: "d"}}, gone, 4},
		"many time out": {[]gate.List{{Of: "a"}, {Of: "b"}, {Of: "c"}, {Of: "d"}}, context.DeadlineExceeded, 3},
		"a 429":         {[]gate.List{{Of: "a"}, {Of: "b"}}, &gate.RetryAfter{After: time.Second, Err: errors.New("too many")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				var over atomic.Bool
				l := &lists{Forge: b.forge, first: c.lists, read: map[string]int{}, err: func(list gate.List) error {
					if list.Of != "projects" && !over.Load() {
						return c.err
					}
					return nil
				}}
				g := b.sweeping(false, func(p *gate.Parts) { p.Forge = l })
				defer g.stop()
				l.mu.Lock()
				if n := len(l.read); n != c.read && n != c.read+1 { // and the one that can be read
					t.Errorf("in the first sweep were read: %v", l.read)
				}
				l.mu.Unlock()
				wait(5 * time.Minute)
				b.forge.Open(gate.Snapshot{Path: "payments/api"})
				wait(5 * time.Minute)
				if n := len(b.cards(b.alice)); n != 1 {
					t.Errorf("Alice has %d cards; were read: %v\n%s", n, l.read, b.log)
				}
				if !g.LastSweep().IsZero() {
					t.Error("a sweep with trouble counts as one without")
				}
				if n := strings.Count(b.log.String(), "changed in "+c.lists[0].Of); n != 1 {
					t.Errorf("the trouble is said %d times:\n%s", n, b.log)
				}
				over.Store(true)
				wait(5 * time.Minute)
				if g.LastSweep().IsZero() || !strings.Contains(b.log.String(), "again") {
					t.Errorf("with the trouble over:\n%s", b.log)
				}
			})
		})
	}
}

// Two listeners on one database sweep both: nothing is left out, nobody is asked twice.
func TestTwoSweepsOnOneDatabase(t *testing.T) {
	inBubble(t, func(b *bench) {
		first, second := b.sweeping(false), b.sweeping(false)
		defer second.stop()
		for range 3 {
			for range 60 {
				b.forge.Open(gate.Snapshot{Path: "payments/api"})
			}
			wait(time.Minute)
		}
		first.stop()
		b.forge.Open(gate.Snapshot{Path: "payments/api"})
		wait(2 * time.Minute)
		if n := len(b.cards(b.alice)); n != 181 {
			t.Errorf("Alice has %d cards, want 181", n)
		}
	})
}

// What fails is looked at again when its time has come, not with every sweep.
func TestSweepDoesNotHurryWhatFails(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.sweeping(false)
		defer g.stop()
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api"})
		wait(time.Minute)
		b.forge.Push(ref)
		b.forge.Fail(func(method string) error {
			if method == "get" {
				return gate.ErrNotPermitted
			}
			return nil
		})
		b.forge.Forget()
		wait(25 * time.Minute)
		if n := b.calls("get"); n == 0 || n > 3 {
			t.Errorf("it was tried %d times in 25 minutes", n)
		}
		b.forge.Fail(nil)
		wait(time.Hour)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Approval needed, updated") {
			t.Errorf("Alice reads %q", got)
		}
	})
}
