package gate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// These are guards, too: of places where two parts meet.

func (b *bench) waitsForCI(ref gate.Ref) {
	b.forge.SetPipeline(ref, "running")
	b.forge.SetMerging(ref, gate.MergeCI, "ci_still_running")
}

func (b *bench) asks(g *running, ref gate.Ref, again bool) gate.Standing {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	mr, err := g.Ask(ctx, gate.Hint{Ref: ref, Path: "payments/api", Again: again})
	if err != nil {
		b.Fatal(err)
	}
	return mr.Standing(0)
}

func TestApprovalThatWasTakenBackIsGivenAgainThoughTheAnswerWasLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.forge.Lose(func(m string) error {
			if m == "retract" {
				return context.DeadlineExceeded
			}
			return nil
		})
		p := usualPolicy()
		p.Rules[0].Approvers = p.Rules[0].Approvers[1:]
		_ = g.SetPolicy(context.Background(), p)
		wait(500 * time.Millisecond)
		b.forge.SetConflict(ref, false)
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(10 * time.Minute)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged || !s.Approved {
			t.Errorf("it is %s, approved: %v, after %v", s.State, s.Approved, b.forge.Calls())
		}
	})
}

func TestMergeThatIsUnderWayStaysOneUnderAnotherPolicy(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.waitsForCI(ref)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		p := usualPolicy()
		p.Rules[0].OnApprove = policy.OnApproveApprove
		_ = g.SetPolicy(context.Background(), p)
		wait(time.Hour)
		b.click(g, b.carol, gate.ActionReject, "stop")
		wait(time.Minute)
		if s := b.forge.Look(ref); s.AutoMerge || s.State != gate.ForgeClosed {
			t.Errorf("the rejection did not stop it: %s, auto-merge %v", s.State, s.AutoMerge)
		}
	})
}

func TestJobIsNotToldOfTheRequestBefore(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionReject, "no")
		wait(time.Minute)
		b.forge.Push(ref)
		b.forge.Reopen(ref)
		b.forge.SetContents(ref, func(c *gate.Contents) { c.Size = nil })
		b.forge.SetMerging(ref, gate.MergeSoon, "preparing")
		if st := b.asks(g, ref, false); st.Final() {
			t.Errorf("while GitLab prepares the new commit, the job hears %q", st)
		}
		wait(time.Minute)
		if st := b.asks(g, ref, false); st != gate.StandingPending {
			t.Errorf("then it hears %q", st)
		}
	})
}

func TestOutsiderDoesNotCrowdOutApprovers(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Fail(func(string) error { return errors.New("502") })
		p := usualPolicy()
		p.Rules[0].RequireReason = true
		_ = g.SetPolicy(context.Background(), p)
		m := b.cards(b.alice)[0]
		for range 55 {
			g.Click(context.Background(), m.Click(gate.ActionApprove, b.dave, ""))
			wait(time.Second)
		}
		b.click(g, b.carol, gate.ActionApprove, "")
		b.forge.Fail(nil)
		wait(15 * time.Minute)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("Carol's approval was lost: %s", s.State)
		}
	})
}

func TestMergeRequestThatIsNotThereIsLetBe(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		ref.Number = 4711
		b.asks(g, ref, false)
		wait(time.Hour)
		b.forge.Forget()
		wait(3 * time.Hour)
		if n := b.calls("get 4711"); n > 0 {
			t.Errorf("it was asked for %d times", n)
		}
	})
}

func TestRehearsedRejectionClosesNothing(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start(func(p *gate.Parts) { p.DryRun = true })
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionReject, "no")
		wait(3 * time.Second)
		b.forge.CloseByHand(ref)
		b.look(g, ref)
		wait(time.Minute)
		if r := row(b, g, ref).Current(); r.State != gate.Withdrawn {
			t.Errorf("closed by hand, it is %s", r.State)
		}
	})
}
