package gate_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

func TestWhatEndsAPendingRequest(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(b *bench, ref gate.Ref)
		reads   string
	}{
		"closed in the forge": {func(b *bench, ref gate.Ref) { b.forge.CloseByHand(ref) }, "Closed ·"},
		"merged in the forge": {func(b *bench, ref gate.Ref) { b.forge.MergeByHand(ref) }, "Merged in GitLab ·"},
		"turned into a draft": {func(b *bench, ref gate.Ref) { b.forge.SetDraft(ref, true) }, "Now a draft ·"},
		"no rule covers that": {func(b *bench, ref gate.Ref) { b.forge.Retarget(ref, "develop") }, "Target changed ·"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				g := b.start()
				defer b.stop(g)
				ref := b.opened(g)
				c.happens(b, ref)
				b.look(g, ref)
				wait(2 * time.Second)
				for _, who := range []gate.Person{b.alice, b.carol} {
					if got := b.title(who); !strings.HasPrefix(got, c.reads) {
						t.Errorf("%s reads %q, want %s", who.Name, got, c.reads)
					}
				}
				b.forge.Forget()
				if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Kind == gate.AnswerOK {
					t.Errorf("a click on it was taken: %+v", a)
				}
				wait(time.Minute)
				if calls := b.calls("approve") + b.calls("merge"); calls != 0 {
					t.Errorf("calls: %v", b.forge.Calls())
				}
			})
		})
	}
}

func TestPushSupersedesWhatWasApproved(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		old := b.forge.Look(ref).Head
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		if !strings.HasPrefix(b.title(b.carol), "Approved, but blocked") || !b.forge.Look(ref).Approved {
			t.Fatalf("Carol reads %q", b.title(b.carol))
		}
		head := b.forge.Push(ref)
		b.forge.SetConflict(ref, false)
		b.look(g, ref)
		wait(2 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeOpen || s.Approved {
			t.Errorf("in the forge: %+v, want open, and the approval of %s taken back", s, old.Short())
		}
		// Alice had decided: her card stays, outdated, and she gets a new one.
		// Carol's changes in place.
		if n := len(b.cards(b.alice)); n != 2 {
			t.Errorf("Alice has %d cards, want 2", n)
		}
		if n := len(b.cards(b.carol)); n != 1 {
			t.Errorf("Carol has %d cards, want 1", n)
		}
		if first := b.cards(b.alice)[0].Card; !strings.HasPrefix(first.Title, "Outdated") {
			t.Errorf("Alice's first card reads %q", first.Title)
		}
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.calls("merge 1 "+head.Short()) != 1 || b.calls("merge") != 1 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
	})
}

func TestPushSeenOnlyBeforeTheMerge(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Push(ref)
		b.forge.Forget()
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.calls("merge") != 0 || b.forge.Look(ref).State != gate.ForgeOpen {
			t.Errorf("calls: %v", b.forge.Calls())
		}
		if got := b.title(b.alice); !strings.HasPrefix(got, "Approval needed") {
			t.Errorf("Alice's newest card reads %q", got)
		}
	})
}

func TestRejectionCloses(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Forget()
		b.click(g, b.carol, gate.ActionReject, "too risky on a Friday")
		wait(3 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeClosed || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "too risky on a Friday") {
			t.Errorf("in the forge: %+v", s)
		}
		if got := b.title(b.alice); got != "Rejected · payments/api !1" {
			t.Errorf("Alice reads %q", got)
		}
		told := b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})
		if len(told) != 2 || !strings.Contains(statusOf(told[1].Card), "too risky on a Friday") {
			t.Errorf("Bob was told %+v", told)
		}
	})
}

func TestPushBetweenARejectionAndItsClose(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Push(ref) // nobody told mrgate
		b.click(g, b.carol, gate.ActionReject, "no")
		wait(3 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeOpen {
			t.Errorf("a commit that nobody saw was closed: %+v", s)
		}
		cards := b.cards(b.alice)
		if last := cards[len(cards)-1].Card; !strings.Contains(statusOf(last), "Rejected before by Carol: no") {
			t.Errorf("the new card does not say that it was rejected before: %q", statusOf(last))
		}
	})
}

func TestRejectionIsSaidUntilSomebodyDecides(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].OnReject = policy.OnRejectComment
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.carol, gate.ActionReject, "no tests")
		wait(time.Minute)
		first := func() string {
			cards := b.cards(b.alice)
			return cards[len(cards)-1].Card.Facts[0].String()
		}
		for _, again := range []func(){
			func() { b.forge.Push(ref) },
			func() { b.forge.Push(ref) },
			func() { b.forge.CloseByHand(ref); b.look(g, ref); wait(time.Minute); b.forge.Reopen(ref) },
		} {
			again()
			b.look(g, ref)
			wait(2 * time.Minute)
			if got := first(); got != "Rejected before by Carol: no tests" || !strings.HasPrefix(b.title(b.alice), "Approval needed") {
				t.Errorf("Alice reads %q: %q first", b.title(b.alice), got)
			}
		}
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Minute)
		b.forge.Push(ref)
		b.look(g, ref)
		wait(2 * time.Minute)
		if got := first(); strings.Contains(got, "no tests") || !strings.HasPrefix(b.title(b.alice), "Approval needed") {
			t.Errorf("after an approval Alice reads %q: %q first", b.title(b.alice), got)
		}
	})
}

func statusOf(c gate.Card) string {
	var lines []string
	for _, t := range append(c.Facts, c.Status...) {
		lines = append(lines, t.String())
	}
	return strings.Join(lines, "\n")
}

func TestWhoIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(b *bench)
		who   func(b *bench) gate.Person
		says  string
	}{
		"an outsider":            {nil, func(b *bench) gate.Person { return b.dave }, "not an approver"},
		"somebody without an ID": {nil, func(*bench) gate.Person { return gate.Person{} }, "not an approver"},
		"the author": {
			func(b *bench) { b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, email("bob")) },
			func(b *bench) gate.Person { return b.bob }, "cannot approve your own",
		},
		"a committer by account": {
			func(b *bench) { b.policy.Users["al"] = email("alice") },
			func(b *bench) gate.Person { return b.alice }, "have commits",
		},
		"a committer by address": {nil, func(b *bench) gate.Person { return b.carol }, "have commits"},
		"perhaps the author": {
			func(b *bench) { b.policy.Users = nil },
			func(b *bench) gate.Person { return b.alice }, "bob",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				if c.setup != nil {
					c.setup(b)
				}
				g := b.start()
				defer b.stop(g)
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
				b.forge.SetContents(ref, func(contents *gate.Contents) {
					switch name {
					case "a committer by account":
						contents.Committers = append(contents.Committers, gate.Committer{User: gate.User{ID: 12, Username: "al"}, Email: "al@home.example"})
					case "a committer by address":
						contents.Committers = append(contents.Committers, gate.Committer{Email: "Carol@example.com"})
					}
				})
				b.look(g, ref)
				wait(time.Second)
				b.forge.Forget()
				card := b.cards(b.alice)[0]
				a := g.Click(context.Background(), card.Click(gate.ActionApprove, c.who(b), ""))
				if a.Kind != gate.AnswerError || !strings.Contains(a.Text, c.says) || a.Card != nil {
					t.Errorf("answer %+v, want an error that says %q, and no card", a, c.says)
				}
				wait(time.Minute)
				if calls := b.forge.Calls(); len(calls) != 0 {
					t.Errorf("calls: %v", calls)
				}
				if got := b.title(b.alice); !strings.HasPrefix(got, "Approval needed") {
					t.Errorf("Alice reads %q", got)
				}
				if name == "perhaps the author" && !strings.Contains(b.log.String(), "username=bob") {
					t.Errorf("it was not foretold:\n%s", b.log)
				}
			})
		})
	}
}

func TestWhoCanBeToldFromTheAuthor(t *testing.T) {
	inBubble(t, func(b *bench) {
		// Nobody knows who bob is in the chat, but Alice's account is known, and
		// it is not his.
		b.policy.Users = map[string]policy.Identity{"alice": email("alice")}
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		if a := b.click(g, b.carol, gate.ActionApprove, ""); a.Kind != gate.AnswerError {
			t.Errorf("Carol: %+v", a)
		}
		if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Kind != gate.AnswerOK {
			t.Errorf("Alice: %+v", a)
		}
	})
}

func TestQuorumAndLateRejection(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Kind != gate.AnswerOK || a.Text != "Approved, 1 more needed" {
			t.Errorf("answer %+v", a)
		}
		wait(2 * time.Second)
		if got := b.title(b.carol); got != "Approved 1 of 2 · payments/api !1" || b.calls("approve") != 0 {
			t.Errorf("Carol reads %q; calls %v", got, b.forge.Calls())
		}
		b.forge.SetMerging(ref, gate.MergeSoon, "checking")
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(2 * time.Second)
		if a := b.click(g, b.alice, gate.ActionReject, ""); a.Kind != gate.AnswerInfo {
			t.Errorf("a second thought was taken: %+v", a)
		}
		if b.forge.Look(ref).State != gate.ForgeOpen {
			t.Error("it was merged while the forge was still computing")
		}
		b.forge.SetMerging(ref, gate.MergeGo, "mergeable")
		wait(time.Minute)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("not merged: %v", b.forge.Calls())
		}
	})
}

func TestManyClicksAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		g, other := b.start(), b.start() // two listeners' worth of workers on one database
		ref := b.opened(g)
		b.forge.Forget()
		card := b.cards(b.alice)[0]
		var all sync.WaitGroup
		kinds := make([]gate.AnswerKind, 20)
		for i := range kinds {
			all.Go(func() {
				at := g
				if i%2 == 1 {
					at = other
				}
				kinds[i] = at.Click(context.Background(), card.Click(gate.ActionApprove, b.alice, "")).Kind
			})
		}
		all.Wait()
		taken := 0
		for _, k := range kinds {
			if k == gate.AnswerOK {
				taken++
			}
			if k == gate.AnswerError {
				t.Error("an equal click was refused")
			}
		}
		wait(20 * time.Second)
		if taken != 1 || b.calls("approve") != 1 || b.calls("merge") != 1 || b.calls("note") != 1 {
			t.Errorf("%d taken; calls %v", taken, b.forge.Calls())
		}
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Error("not merged")
		}
		b.stop(g)
		b.stop(other)
	})
}

func TestRepeatedLooksOpenOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		g, other := b.start(), b.start()
		ref := b.opened(g)
		for range 5 {
			b.look(g, ref)
			b.look(other, ref)
			wait(300 * time.Millisecond)
		}
		if n := len(b.cards(b.alice)); n != 1 {
			t.Errorf("Alice has %d cards", n)
		}
		b.stop(g)
		b.stop(other)
	})
}

func TestHintThatShowsNothingNewCostsNothing(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Forget()
		s, err := b.forge.Get(context.Background(), ref)
		if err != nil {
			t.Fatal(err)
		}
		b.forge.Forget()
		said, err := g.Look(context.Background(), gate.Hint{Ref: ref, Path: "payments/api", Snapshot: &s})
		if err != nil || said != "nothing new" {
			t.Errorf("said %q, %v", said, err)
		}
		said, err = g.Look(context.Background(), gate.Hint{Ref: gate.Ref{Forge: "gitlab", Project: 9, Number: 1}, Path: "other/project"})
		if err != nil || said != "no rule covers this project" {
			t.Errorf("said %q, %v", said, err)
		}
		wait(time.Minute)
		if calls := b.forge.Calls(); len(calls) != 0 {
			t.Errorf("calls: %v", calls)
		}
	})
}

func TestAnotherPolicyTakesApprovalsBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		ref := b.opened(g)
		b.forge.SetMerging(ref, gate.MergeBlocked, "discussions_not_resolved")
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.stop(g)
		if !b.forge.Look(ref).Approved {
			t.Fatal("not approved in the forge")
		}
		b.policy = usualPolicy()
		b.policy.Rules[0].Approvers = []policy.Identity{email("carol")}
		b.forge.SetMerging(ref, gate.MergeGo, "mergeable")
		g = b.start()
		defer b.stop(g)
		wait(3 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeOpen || s.Approved {
			t.Errorf("in the forge: %+v", s)
		}
		if got := b.title(b.carol); !strings.HasPrefix(got, "Approval needed") {
			t.Errorf("Carol reads %q", got)
		}
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("not merged: %v", b.forge.Calls())
		}
	})
}

func TestReopenedIsAskedAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.CloseByHand(ref)
		b.look(g, ref)
		wait(2 * time.Second)
		b.forge.Reopen(ref)
		b.look(g, ref)
		wait(2 * time.Second)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Approval needed") || len(b.cards(b.alice)) != 2 {
			t.Errorf("Alice has %d cards, the last reads %q", len(b.cards(b.alice)), got)
		}
	})
}
