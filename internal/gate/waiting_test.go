package gate_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
)

func TestApprovedIsMergedOnceAndSaidOnAllCards(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Forget()
		if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Kind != gate.AnswerOK || a.Card == nil {
			t.Fatalf("answer %+v", a)
		}
		wait(3 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged || len(s.Notes) != 1 {
			t.Errorf("in the forge: %+v", s)
		}
		got := strings.Join(b.forge.Calls(), ", ")
		head := b.forge.Look(ref).Head.Short()
		if want := "approve 1 " + head + ", get 1, merge 1 " + head + ", note 1 "; !strings.HasPrefix(got, want) {
			t.Errorf("calls %s, want %s…", got, want)
		}
		for _, who := range []gate.Person{b.alice, b.carol} {
			if got := b.title(who); got != "Merged · payments/api !1" {
				t.Errorf("%s reads %q", who.Name, got)
			}
		}
	})
}

func TestClickedCardIsLeftAloneForASecond(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		b.chat.Forget()
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(900 * time.Millisecond)
		for _, c := range b.chat.Calls() {
			if strings.HasPrefix(c, "update person:"+b.alice.ID) {
				t.Errorf("the clicked card was updated within a second: %s", c)
			}
		}
		wait(time.Second)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Merged") {
			t.Errorf("Alice reads %q", got)
		}
	})
}

func TestForgeDownIsTriedAgainWithBackoff(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Forget()
		b.forge.Fail(func(string) error { return errors.New("502 Bad Gateway") })
		if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Kind != gate.AnswerOK {
			t.Errorf("the click was answered %+v", a)
		}
		wait(time.Hour)
		if n := len(b.forge.Calls()); n < 10 || n > 30 {
			t.Errorf("%d calls in an hour of failures, want some, but not many", n)
		}
		if got := b.title(b.carol); !strings.HasPrefix(got, "Approved, waiting for GitLab") {
			t.Errorf("meanwhile Carol reads %q", got)
		}
		b.forge.Fail(nil)
		wait(6 * time.Minute)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("in the forge: %+v", s)
		}
		if b.calls("merge") != 1 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
	})
}

func TestRetryAfterIsKept(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		b.forge.Forget()
		b.forge.FailNext("approve", &gate.RetryAfter{After: 90 * time.Second, Err: errors.New("429")})
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(89 * time.Second)
		if calls := b.forge.Calls(); len(calls) != 1 {
			t.Errorf("calls within the 90 s: %v", calls)
		}
		wait(5 * time.Second)
		if b.calls("merge") != 1 {
			t.Errorf("calls afterwards: %v", b.forge.Calls())
		}
	})
}

func TestLostAnswerOfAMergeIsLookedAt(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Lose(func(method string) error {
			if method == "merge" {
				return errors.New("connection reset")
			}
			return nil
		})
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(10 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged || len(s.Notes) != 1 {
			t.Errorf("in the forge: %+v", s)
		}
		if b.calls("merge") != 1 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
		if got := b.title(b.carol); !strings.HasPrefix(got, "Merged ·") {
			t.Errorf("Carol reads %q", got)
		}
	})
}

func TestDeadChatNeverHoldsUpTheMerge(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.chat.Fail(func(string) error { return errors.New("503") })
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(10 * time.Millisecond)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("in the forge: %+v", s)
		}
		b.chat.Fail(nil)
		wait(6 * time.Minute)
		if got := b.title(b.carol); !strings.HasPrefix(got, "Merged ·") {
			t.Errorf("Carol reads %q", got)
		}
	})
}

func TestHangingChatMakesRoomForAClick(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		// A push has the cards changed; the chat hangs, and meanwhile the push's
		// card is clicked.
		b.chat.Delay(func(method string) time.Duration {
			if method == "update" {
				return time.Minute
			}
			return 0
		})
		b.forge.Edit(ref, func(s *gate.Snapshot) { s.Title = "Add more retries" })
		b.look(g, ref)
		wait(2 * time.Second)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("a second after the click, in the forge: %+v", s)
		}
	})
}

func TestDeadForgeNeverHoldsUpACard(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		b.forge.Fail(func(string) error { return errors.New("502") })
		b.click(g, b.alice, gate.ActionReject, "not now")
		wait(2 * time.Second)
		for _, who := range []gate.Person{b.alice, b.carol} {
			if got := b.title(who); !strings.HasPrefix(got, "Rejected, closing") {
				t.Errorf("%s reads %q", who.Name, got)
			}
		}
	})
}

func TestPushesChangeTheCardAtOnceThenOnceAMinute(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		versions := func() int { return len(b.cards(b.carol)[0].History) }
		push := func() string {
			head := b.forge.Push(ref)
			b.look(g, ref)
			return head.Short()
		}
		push()
		wait(2 * time.Second)
		if n := versions(); n != 2 {
			t.Fatalf("after the first push the card had %d faces, want 2", n)
		}
		var head string
		for range 5 {
			head = push()
			wait(5 * time.Second)
		}
		if n := versions(); n != 2 {
			t.Errorf("within the minute the card had %d faces, want 2", n)
		}
		wait(time.Minute)
		if n := versions(); n != 3 {
			t.Errorf("a minute later the card had %d faces, want 3", n)
		}
		if n := len(b.cards(b.carol)); n != 1 {
			t.Errorf("Carol has %d cards", n)
		}
		if foot := b.cards(b.carol)[0].Card.Foot; !strings.Contains(foot, head) {
			t.Errorf("the card shows %q, want commit %s", foot, head)
		}
		// A change of state does not wait for the minute; and a click on what the
		// card shows meanwhile is a click on an old commit.
		push()
		wait(time.Second)
		if a := b.click(g, b.alice, gate.ActionReject, "no"); a.Kind != gate.AnswerInfo || !strings.Contains(a.Text, "has changed") {
			t.Errorf("the click on the old commit was answered %+v", a)
		}
		b.click(g, b.alice, gate.ActionReject, "no")
		wait(2 * time.Second)
		if got := b.title(b.carol); got != "Rejected · payments/api !1" {
			t.Errorf("after the rejection Carol reads %q", got)
		}
	})
}

func TestBlockedMergeGoesOnWhenTheCauseIsGone(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(2 * time.Hour)
		if got := b.title(b.carol); !strings.HasPrefix(got, "Approved, but blocked") {
			t.Errorf("Carol reads %q", got)
		}
		b.chat.Forget()
		b.forge.Forget()
		wait(time.Hour)
		if n := len(b.forge.Calls()); n < 4 || n > 10 {
			t.Errorf("%d looks in an hour of waiting for a person", n)
		}
		if calls := b.chat.Calls(); len(calls) != 0 {
			t.Errorf("nothing changed, and yet: %v", calls)
		}
		b.forge.SetConflict(ref, false)
		wait(11 * time.Minute)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("in the forge: %+v", s)
		}
		if n := len(b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})); n != 3 {
			t.Errorf("Bob has %d messages, want that it was asked, blocked, merged", n)
		}
	})
}

func TestExpiresInItsTime(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].ExpireAfter = time.Hour
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		wait(time.Hour - 3*time.Second)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Approval needed") {
			t.Errorf("a second before, Alice reads %q", got)
		}
		wait(4 * time.Second)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Expired") {
			t.Errorf("afterwards Alice reads %q", got)
		}
	})
}

// pausing hangs in its next Approve and does not care about the context, as in a
// process that the system has stopped.
type pausing struct {
	*gatetest.FakeForge
	pause time.Duration
	armed atomic.Bool
}

func (p *pausing) Approve(ctx context.Context, ref gate.Ref, head gate.CommitID) error {
	if p.armed.Swap(false) {
		time.Sleep(p.pause)
	}
	return p.FakeForge.Approve(ctx, ref, head)
}

func TestPausedHolderDoesNothingMore(t *testing.T) {
	inBubble(t, func(b *bench) {
		slow := &pausing{FakeForge: b.forge, pause: time.Minute}
		first := b.start(func(p *gate.Parts) { p.Forge = slow })
		ref := b.opened(first)
		second := b.start()
		b.forge.Forget()
		slow.armed.Store(true)
		b.click(first, b.alice, gate.ActionApprove, "")
		wait(40 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("nobody went on after the lease: %+v\n%s", s, b.log)
		}
		wait(2 * time.Minute)
		if b.calls("merge") != 1 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
		b.stop(first)
		b.stop(second)
	})
}

func TestEndedGateHandsOverAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		first := b.start()
		ref := b.opened(first)
		b.forge.Delay(func(string) time.Duration { return 8 * time.Second })
		b.click(first, b.alice, gate.ActionApprove, "")
		wait(time.Second)
		began := time.Now()
		b.stop(first)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %s to end", took)
		}
		b.forge.Delay(nil)
		second := b.start()
		defer b.stop(second)
		wait(2 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("in the forge: %+v\n%s", s, b.log)
		}
	})
}
