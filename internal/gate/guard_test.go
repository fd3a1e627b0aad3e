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

// These are guards: each was broken once.

func row(b *bench, g *running, ref gate.Ref) *gate.MergeRequest {
	b.Helper()
	mr, err := g.store.Peek(context.Background(), gate.By{Ref: &ref})
	if err != nil {
		b.Fatal(err)
	}
	return mr
}

func TestRejectionStopsAMergeThatWaitsItsTurn(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].OnReject = policy.OnRejectComment
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		two := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Two"})
		b.forge.SetMerging(two, gate.MergeBlocked, "conflict")
		b.look(g, two)
		wait(time.Second)
		cards := b.cards(b.alice)
		g.Click(context.Background(), cards[1].Click(gate.ActionApprove, b.alice, ""))
		wait(3 * time.Second)
		if s := row(b, g, two).Current().State; s != gate.BlockedNow {
			t.Fatalf("state %s", s)
		}
		b.forge.Delay(func(m string) time.Duration {
			if m == "merge" {
				return 1500 * time.Millisecond
			}
			return 0
		})
		g.Click(context.Background(), cards[0].Click(gate.ActionApprove, b.alice, "")) // one: holds the lock 1.5 s
		wait(100 * time.Millisecond)
		b.forge.SetMerging(two, gate.MergeGo, "mergeable")
		b.look(g, two)
		wait(400 * time.Millisecond)
		g.Click(context.Background(), b.cards(b.carol)[1].Click(gate.ActionReject, b.carol, "stop"))
		wait(20 * time.Second)
		if b.forge.Look(two).State == gate.ForgeMerged {
			t.Error("merged after a rejection")
		}
	})
}

func TestNothingIsMergedUnderAnOldPolicy(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		ref := b.opened(g)
		b.forge.SetMerging(ref, gate.MergeBlocked, "discussions_not_resolved")
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.stop(g)
		b.policy = usualPolicy()
		b.policy.Rules[0].Approvers = []policy.Identity{email("dave")}
		b.forge.SetMerging(ref, gate.MergeGo, "mergeable")
		b.chat.Fail(func(m string) error {
			if m == "resolve" {
				return errors.New("directory is down")
			}
			return nil
		})
		g = b.start()
		defer b.stop(g)
		wait(3 * time.Second)
		if s := b.forge.Look(ref); s.State == gate.ForgeMerged {
			t.Errorf("merged with the approval of Alice, who is no approver any more; calls %v", b.forge.Calls())
		}
	})
}

func TestClaimIsJudgedWhenTheDirectoryIsBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		ref := b.opened(g)
		b.stop(g)
		b.policy = usualPolicy()
		b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, email("dave"))
		var n atomic.Int64
		b.chat.Fail(func(m string) error {
			if m == "resolve" && n.Add(1) <= 3 {
				return errors.New("directory is down")
			}
			return nil
		})
		g = b.start()
		defer b.stop(g)
		wait(3 * time.Second)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(time.Hour)
		mr := row(b, g, ref)
		if len(mr.Claims) > 0 || b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("a day later: %d claims, state %s, due %v lookAt %v now %v", len(mr.Claims), mr.Current().State, mr.DueAt, mr.LookAt, mr.Now)
		}
	})
}

func TestRefusedApprovalIsTriedAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetMerging(ref, gate.MergeBlocked, "not_approved")
		b.forge.FailNext("approve", gate.ErrNotPermitted)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Minute)
		b.click(g, b.alice, gate.ActionRetry, "")
		wait(time.Hour)
		if b.calls("approve") < 2 {
			t.Error("mrgate never approves again, though it may by now")
		}
	})
}

func TestSlowForgeIsNotTooSlow(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.forge.Delay(func(m string) time.Duration { return 8 * time.Second })
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api"})
		b.look(g, ref)
		wait(30 * time.Minute)
		if len(b.cards(b.alice)) == 0 {
			t.Errorf("nobody was asked; %d gets, %d contents", b.calls("get"), b.calls("contents"))
		}
		b.forge.Delay(nil)
		wait(time.Minute)
	})
}

func TestClickDoesNotMakeAPushForgotten(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		head := b.forge.Push(ref)
		b.forge.Fail(func(m string) error { return errors.New("502") })
		b.look(g, ref)
		wait(500 * time.Millisecond)
		b.click(g, b.alice, gate.ActionApprove, "")
		b.forge.Fail(nil)
		wait(time.Hour)
		if r := row(b, g, ref).Current(); r.Head != head {
			t.Errorf("the push, of which a webhook told, was never looked at: request %d is %s", r.ID, r.State)
		}
	})
}

func TestExpiryTakesAutoMergeBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].ExpireAfter = 20 * time.Minute
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetPipeline(ref, "running")
		b.forge.SetMerging(ref, gate.MergeCI, "ci_still_running")
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		if !row(b, g, ref).Current().Scheduled {
			t.Fatal("not scheduled")
		}
		for range 1300 {
			wait(time.Second)
			if row(b, g, ref).Current().State == gate.Expired {
				break
			}
		}
		n := 0
		for ; b.calls("retract") == 0 && n < 3600; n++ {
			wait(time.Second)
		}
		if n > 20 {
			t.Error("auto-merge stays on")
		}
	})
}

func TestKeyOnAnotherMessageCountsForNothing(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		s := b.forge.Look(ref)
		key := gate.MessageKey(ref, s.Head, "main", 1, gate.KindCard, gate.Recipient{ID: b.alice.ID})
		g.Click(context.Background(), gate.Click{
			Key: key, Action: gate.ActionApprove, By: b.alice, Ref: &gate.CardRef{Data: "om_free_pizza", Left: -1},
			Origin: &gate.Origin{Ref: ref, Head: s.Head, Target: "main"},
		})
		wait(3 * time.Second)
		if b.forge.Look(ref).State == gate.ForgeMerged {
			t.Error("merged by a click on a message that mrgate never sent; adopt_cards is confirm")
		}
	})
}

func TestAnotherPolicyDoesNotTurnAnApprovalIntoAMerge(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].OnApprove = policy.OnApproveApprove
		g := b.start()
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Hour)
		b.stop(g)
		b.policy = usualPolicy()
		g = b.start()
		defer b.stop(g)
		wait(5 * time.Second)
		if b.forge.Look(ref).State == gate.ForgeMerged {
			t.Error("what was approved under a button that merges nothing is merged")
		}
	})
}

func TestAnotherPolicyDoesNotTurnACommentIntoAClose(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].OnReject = policy.OnRejectComment
		g := b.start()
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionReject, "x")
		wait(time.Hour)
		b.stop(g)
		b.policy = usualPolicy()
		g = b.start()
		defer b.stop(g)
		wait(5 * time.Second)
		if b.forge.Look(ref).State == gate.ForgeClosed {
			t.Error("what was only commented on is closed")
		}
	})
}

func TestDeadDirectoryDoesNotKeepAnApproval(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.chat.Fail(func(m string) error { return errors.New("chat is down") })
		b.forge.Push(ref)
		b.forge.SetContents(ref, func(c *gate.Contents) { c.Committers = append(c.Committers, gate.Committer{Email: "new@example.com"}) })
		b.look(g, ref)
		wait(time.Hour)
		if b.forge.Look(ref).Approved {
			t.Errorf("an hour after the push mrgate's approval still stands on a commit that nobody approved; resolves %d gets %d", strings.Count(strings.Join(b.chat.Calls(), "\n"), "resolve"), b.calls("get"))
		}
	})
}

func TestUnreadableCommitsDoNotKeepAnApproval(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetMerging(ref, gate.MergeBlocked, "discussions_not_resolved")
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(10 * time.Second)
		b.forge.Fail(func(m string) error {
			if m == "contents" {
				return errors.New("500")
			}
			return nil
		})
		b.forge.Push(ref)
		b.look(g, ref)
		wait(20 * time.Minute)
		if b.calls("retract") == 0 {
			t.Error("approval never taken back")
		}
	})
}

func TestCardThatWasNeverSentCountsForNothing(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.chat.Fail(func(m string) error {
			if m == "send" {
				return errors.Join(errors.New("outside of the app's range"), gate.ErrNotPermitted)
			}
			return nil
		})
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
		b.look(g, ref)
		wait(10 * time.Second)
		r := row(b, g, ref).Current()
		key := ""
		for _, m := range r.Messages {
			if m.To.ID == b.alice.ID && m.Kind == gate.KindCard {
				key = m.Key
			}
		}
		g.Click(context.Background(), gate.Click{Key: key, Action: gate.ActionApprove, By: b.alice, Ref: &gate.CardRef{Data: "forged", Left: -1}})
		wait(10 * time.Second)
		if b.forge.Look(ref).State == gate.ForgeMerged {
			t.Error("a card that was never sent counted, under adopt_cards: confirm")
		}
	})
}
