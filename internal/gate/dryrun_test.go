package gate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

func dryRun(p *gate.Parts) { p.DryRun = true }

// writes are the calls that would change something in the forge.
func (b *bench) writes() []string {
	return slices.DeleteFunc(b.forge.Calls(), func(c string) bool {
		return strings.HasPrefix(c, "get ") || strings.HasPrefix(c, "contents ")
	})
}

func (b *bench) wroteNothing() {
	b.Helper()
	if calls := b.writes(); len(calls) > 0 {
		b.Errorf("the forge was written to: %v", calls)
	}
}

func TestDryRunWritesNothingNowOrLater(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(r *policy.Rule)
		action  gate.ActionID
		answer  string
		state   gate.State
		reads   string // on the cards
		isTold  string // the author
		counted int    // decisions
	}{
		{"approved", func(*policy.Rule) {}, gate.ActionApprove, "Dry run: recorded, nothing will be merged", gate.Approved, "Dry run: it would now be merged into main", "Alice approved payments/api !1. Dry run: it would now be merged", 1},
		{"approved, to be merged by others", func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove }, gate.ActionApprove, "Dry run: recorded", gate.Approved, "it would now be approved in GitLab", "it would now be approved in GitLab", 1},
		{"rejected", func(*policy.Rule) {}, gate.ActionReject, "Dry run: recorded, nothing will be closed", gate.Rejected, "Dry run: it would now be closed", "Alice rejected payments/api !1: as you like. Dry run: it would now be closed", 1},
		{"sent back", func(r *policy.Rule) { r.OnReject = policy.OnRejectComment }, gate.ActionReject, "Dry run: recorded", gate.Rejected, "it would now get a note", "it would now get a note", 1},
		{"half approved", func(r *policy.Rule) { r.Required = 2 }, gate.ActionApprove, "Dry run: recorded", gate.Pending, "1 more needed", "was sent for approval", 1},
		{"undecided", func(*policy.Rule) {}, "", "", gate.Pending, "Dry run: nothing is changed in GitLab", "was sent for approval", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				c.change(&b.policy.Rules[0])
				g := b.start(dryRun)
				ref := b.opened(g)
				const says = "Dry run: nothing is changed in GitLab, now or later"
				for _, m := range append(b.cards(b.alice), b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})...) {
					if !strings.HasPrefix(statusOf(m.Card), says) || !strings.HasPrefix(m.Card.Summary, "Dry run · ") {
						t.Errorf("a message does not say first that it is a dry run: %q, %q", m.Card.Summary, statusOf(m.Card))
					}
				}
				if c.action != "" {
					if a := b.click(g, b.alice, c.action, "as you like"); a.Kind != gate.AnswerOK || !strings.HasPrefix(a.Text, c.answer) || !strings.HasPrefix(statusOf(*a.Card), says) {
						t.Errorf("answer %+v", a)
					}
				}
				wait(10 * time.Minute)
				r := row(b, g, ref).Current()
				if r.State != c.state || !r.Dry || len(r.Decisions) != c.counted {
					t.Errorf("the request is %s with %d decisions, dry: %t", r.State, len(r.Decisions), r.Dry)
				}
				for _, who := range []gate.Person{b.alice, b.carol} {
					if got := statusOf(b.cards(who)[0].Card); !strings.Contains(got, c.reads) {
						t.Errorf("%s reads %q", who.Name, got)
					}
				}
				told := b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})
				if got := statusOf(told[len(told)-1].Card); !strings.Contains(got, c.isTold) {
					t.Errorf("the author reads %q", got)
				}
				if got := row(b, g, ref).Standing(r.ID); got != gate.StandingPending {
					t.Errorf("to whoever waits it is %s", got)
				}
				old := b.cards(b.alice)[0]
				b.stop(g)

				// Started for real, it asks anew; also while it still reads the forge,
				// the old card counts for nothing.
				b.forge.Delay(func(string) time.Duration { return 2 * time.Second })
				g = b.start()
				defer b.stop(g)
				if a := g.Click(context.Background(), old.Click(gate.ActionApprove, b.carol, "")); a.Kind != gate.AnswerError || !strings.Contains(a.Text, "dry run is over") {
					t.Errorf("a click on a card of the dry run: %+v", a)
				}
				b.forge.Delay(nil)
				wait(10 * time.Minute)
				b.wroteNothing()
				if got := b.cards(b.alice)[0].Card.Title; got != "Dry run over · payments/api !1" {
					t.Errorf("the card of the dry run reads %q", got)
				}
				cards := b.cards(b.alice)
				if got := statusOf(cards[len(cards)-1].Card); len(cards) != 2 || strings.Contains(got, "Dry run") || strings.Contains(got, "ejected before") {
					t.Errorf("Alice has %d cards, the last reads %q", len(cards), got)
				}
				r = row(b, g, ref).Current()
				if r.State != gate.Pending || r.Dry || len(r.Decisions) != 0 {
					t.Errorf("the request is %s with %d decisions, dry: %t", r.State, len(r.Decisions), r.Dry)
				}
				b.click(g, b.alice, gate.ActionApprove, "")
				b.click(g, b.carol, gate.ActionApprove, "")
				wait(time.Minute)
				merged := b.calls("merge") == 1
				if b.calls("approve") != 1 || merged != (r.Rule.OnApprove == policy.OnApproveMerge) {
					t.Errorf("calls %v", b.forge.Calls())
				}
			})
		})
	}
}

func TestDryRunPausesRealRequests(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		g := b.start()
		pending := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		open := func(title string) gate.Ref {
			ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: title})
			b.forge.SetConflict(ref, true)
			b.look(g, ref)
			wait(time.Second)
			b.click(g, b.alice, gate.ActionApprove, "")
			b.click(g, b.carol, gate.ActionApprove, "")
			wait(3 * time.Second)
			return ref
		}
		blocked, pushed := open("Blocked"), open("Pushed")
		renewed := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Pushed before anybody decided"})
		b.look(g, renewed)
		wait(time.Second)
		b.stop(g)
		b.forge.Forget()

		// Another policy, under which Alice may not decide.
		before := b.policy
		b.policy = usualPolicy()
		b.policy.Rules[0].Approvers = []policy.Identity{email("carol"), email("dave")}
		g = b.start(dryRun)
		for _, ref := range []gate.Ref{blocked, pushed} {
			b.forge.SetConflict(ref, false)
			b.look(g, ref)
		}
		b.forge.Push(pushed)
		b.forge.Push(renewed)
		b.look(g, renewed)
		wait(time.Hour)
		card := b.cards(b.carol)[0]
		for _, action := range []gate.ActionID{gate.ActionApprove, gate.ActionReject} {
			if a := g.Click(context.Background(), card.Click(action, b.carol, "")); a.Kind != gate.AnswerError || !strings.HasPrefix(a.Text, "Paused during a dry run") || a.Card != nil {
				t.Errorf("%s on a real card in a dry run: %+v", action, a)
			}
		}
		if a := g.Click(context.Background(), b.cards(b.alice)[1].Click(gate.ActionRetry, b.alice, "")); a.Kind != gate.AnswerError {
			t.Errorf("retry on a real card in a dry run: %+v", a)
		}
		// A real card never turns into one of a dry run, nor the other way round.
		if cards := b.cards(b.carol); len(cards) != 6 || !strings.HasPrefix(cards[3].Card.Title, "Outdated") {
			t.Errorf("Carol has %d cards, the last reads %q", len(cards), b.title(b.carol))
		}
		if cards := b.cards(b.dave); len(cards) != 2 || !strings.HasPrefix(cards[1].Card.Title, "Approval needed ·") {
			t.Errorf("Dave has %d cards, the last reads %q", len(cards), b.title(b.dave))
		}
		wait(time.Hour)
		b.wroteNothing()
		if n := len(b.forge.Calls()); n > 12 {
			t.Errorf("%d calls in an hour of nothing new: %v", n, b.forge.Calls())
		}
		for ref, want := range map[gate.Ref]gate.State{pending: gate.Pending, blocked: gate.BlockedNow} {
			if r := row(b, g, ref).Current(); r.State != want || r.Dry {
				t.Errorf("%s is %s, dry: %t", ref, r.State, r.Dry)
			}
		}
		if mr := row(b, g, pushed); len(mr.Requests) != 2 || mr.Requests[0].State != gate.Superseded || !mr.Current().Dry {
			t.Errorf("of what was pushed: %d requests, the last is %+v", len(mr.Requests), mr.Current())
		}
		b.stop(g)

		b.policy = before
		g = b.start()
		defer b.stop(g)
		wait(time.Minute)
		if s := b.forge.Look(blocked); s.State != gate.ForgeMerged {
			t.Errorf("what was approved before is not merged after: %+v", s)
		}
		if s := b.forge.Look(pushed); s.State != gate.ForgeOpen || s.Approved {
			t.Errorf("the approval of a commit that is outdated was not taken back: %+v", s)
		}
		if r := row(b, g, pushed).Current(); r.State != gate.Pending || r.Dry || len(r.Decisions) != 0 {
			t.Errorf("what was pushed is %s, dry: %t", r.State, r.Dry)
		}
		if a := g.Click(context.Background(), card.Click(gate.ActionApprove, b.carol, "")); a.Kind != gate.AnswerOK {
			t.Errorf("the card from before: %+v", a)
		}
		wait(time.Minute)
		if s := b.forge.Look(pending); s.State != gate.ForgeMerged {
			t.Errorf("one approval before and one after are not two: %+v", s)
		}
		if b.calls("merge") != 2 {
			t.Errorf("calls %v", b.forge.Calls())
		}
	})
}

func TestClaimCountsOnlyInItsOwnMode(t *testing.T) {
	for name, dry := range map[string]bool{"of a dry run": true, "from before a dry run": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				mode := func(p *gate.Parts) { p.DryRun = dry }
				other := func(p *gate.Parts) { p.DryRun = !dry }
				g := b.start(mode)
				ref := b.opened(g)
				b.stop(g)
				// The policy has changed and the directory is down: a click has to wait.
				b.policy = usualPolicy()
				b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, policy.Identity{Kind: policy.KindEmail, Value: "erin@example.com"})
				b.chat.Fail(func(m string) error {
					if m == "resolve" {
						return errors.New("the directory is down")
					}
					return nil
				})
				g = b.start(mode)
				wait(time.Second)
				if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Text != "Recorded, being checked" {
					t.Fatalf("answer %+v", a)
				}
				wait(time.Second)
				b.stop(g)
				b.chat.Fail(nil)
				g = b.start(other)
				wait(10 * time.Minute)
				b.wroteNothing()
				if r := row(b, g, ref).Current(); r.State != gate.Pending || len(r.Decisions) != 0 {
					t.Errorf("the request is %s with %d decisions", r.State, len(r.Decisions))
				}
				b.stop(g)
				g = b.start()
				defer b.stop(g)
				wait(time.Hour)
				if merged := b.forge.Look(ref).State == gate.ForgeMerged; merged == dry {
					t.Errorf("merged: %t", merged)
				}
			})
		})
	}
}

func TestJobsCardClickedInADryRunCountsForNothing(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.AdoptCards = policy.AdoptTrust
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
		b.ask(ref, nil)
		b.forge.Fail(func(string) error { return errors.New("502") })
		g := b.start(dryRun)
		if a := b.press(g, b.alice); a.Text != "Recorded, being checked" {
			t.Fatalf("answer %+v", a)
		}
		wait(time.Second)
		b.stop(g)
		b.forge.Fail(nil)
		g = b.start()
		defer b.stop(g)
		wait(10 * time.Minute)
		b.wroteNothing()
		if got := b.title(b.alice); got != "Approval needed · payments/api !1" || len(b.cards(b.alice)) != 1 {
			t.Errorf("Alice has %d cards and reads %q", len(b.cards(b.alice)), got)
		}
	})
}

func TestJobsCardForARealRequestCountsForNothingInADryRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.AdoptCards = policy.AdoptTrust
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
		b.ask(ref, nil)
		b.policy.Rules[0].CardsTo = []policy.Identity{email("carol")}
		g := b.start()
		b.look(g, ref)
		wait(time.Second)
		b.stop(g)
		g = b.start(dryRun)
		b.press(g, b.alice)
		wait(time.Minute)
		b.stop(g)
		g = b.start()
		defer b.stop(g)
		wait(time.Minute)
		b.wroteNothing()
		if r := row(b, g, ref).Current(); r.State != gate.Pending || len(r.Decisions) != 0 {
			t.Errorf("the request is %s with %d decisions", r.State, len(r.Decisions))
		}
	})
}

func TestNobodyAsksAgainForARealRequestInADryRun(t *testing.T) {
	withMinutes(t, func(b *bench) {
		g := b.start()
		ref := b.expires(g)
		b.stop(g)
		g = b.start(dryRun)
		if a := b.again(g, b.bob, b.result()); a.Kind != gate.AnswerError || !strings.HasPrefix(a.Text, "Paused during a dry run") {
			t.Errorf("answer %+v", a)
		}
		wait(time.Minute)
		b.stop(g)
		g = b.start()
		defer b.stop(g)
		wait(time.Minute)
		if mr := row(b, g, ref); len(b.cards(b.alice)) != 1 || !mr.AgainAt.IsZero() {
			t.Errorf("Alice has %d cards; asked again at %s", len(b.cards(b.alice)), mr.AgainAt)
		}
		if a := b.again(g, b.bob, b.result()); a.Kind != gate.AnswerOK {
			t.Errorf("answer %+v", a)
		}
	})
}

func TestWhatExpiredInADryRunIsAskedForReal(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].ExpireAfter = time.Hour
		g := b.start(dryRun)
		ref := b.opened(g)
		wait(2 * time.Hour)
		if r := row(b, g, ref).Current(); r.State != gate.Expired {
			t.Fatalf("the request is %s", r.State)
		}
		b.stop(g)
		g = b.start()
		defer b.stop(g)
		wait(time.Minute)
		if r := row(b, g, ref).Current(); r.State != gate.Pending || r.Dry {
			t.Errorf("the request is %s, dry: %t", r.State, r.Dry)
		}
	})
}

func TestApprovalInADryRunIsNoneOfAMergeByHand(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start(dryRun)
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Minute)
		b.forge.MergeByHand(ref)
		b.look(g, ref)
		wait(time.Minute)
		mr := row(b, g, ref)
		if r := mr.Current(); r.State != gate.Withdrawn || r.Cause != gate.CauseMerged || mr.Landing == nil || mr.Landing.Around != gate.BypassDryRun {
			t.Errorf("the request is %s: %s, the merge %+v", r.State, r.Cause, mr.Landing)
		}
		if got := b.title(b.alice); !strings.HasPrefix(got, "Merged in GitLab") {
			t.Errorf("Alice reads %q", got)
		}
	})
}

func TestRejectionBeforeADryRunIsStillSaidAfterIt(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].OnReject = policy.OnRejectComment
		g := b.start()
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionReject, "not on a Friday")
		wait(time.Minute)
		b.stop(g)
		g = b.start(dryRun)
		b.forge.Push(ref)
		b.look(g, ref)
		wait(time.Minute)
		b.click(g, b.carol, gate.ActionReject, "not in a dry run")
		wait(time.Minute)
		b.stop(g)
		g = b.start()
		defer b.stop(g)
		wait(time.Minute)
		cards := b.cards(b.carol)
		if got := statusOf(cards[len(cards)-1].Card); !strings.Contains(got, "Rejected before by Alice: not on a Friday") || strings.Contains(got, "not in a dry run") {
			t.Errorf("Carol reads %q", got)
		}
	})
}

func TestNobodyDecidesForRealOnADatabaseInADryRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start(dryRun)
		ref := b.opened(g)
		operator := gate.New(gate.Parts{Forge: b.forge, Store: g.store, Policy: b.policy, Log: quiet()})
		order := gate.Order{Verdict: gate.Approve, Operator: "root@build-3"}
		if _, _, err := operator.Decide(context.Background(), ref, 0, order); !errors.Is(err, gate.ErrDryRun) {
			t.Errorf("decide beside a dry run: %v", err)
		}
		b.wroteNothing()
		if _, _, err := g.Decide(context.Background(), ref, 0, order); !errors.Is(err, gate.ErrDryRun) {
			t.Errorf("decide through a dry run: %v", err)
		}
		wait(time.Minute)
		b.wroteNothing()
		if r := row(b, g, ref).Current(); r.State != gate.Pending || len(r.Decisions) != 0 {
			t.Errorf("the request is %s with %d decisions", r.State, len(r.Decisions))
		}
		b.stop(g)

		// After it, an operator who is faster than the listener gets a request of
		// his own to decide on.
		b.forge.Delay(func(string) time.Duration { return 2 * time.Second })
		g = b.start()
		defer b.stop(g)
		wait(time.Second)
		operator = gate.New(gate.Parts{Forge: b.forge, Store: g.store, Policy: b.policy, Log: quiet()})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		outcome, mr, err := operator.Decide(ctx, ref, 0, order)
		if err != nil || outcome != gate.OutcomeDone || mr.Current().Dry || b.calls("merge") != 1 {
			t.Errorf("decide after a dry run: %s, %v, calls %v", outcome, err, b.forge.Calls())
		}
	})
}
