package gate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
	"mrgate/internal/sqlite"
)

// ask sends the cards for a merge request as a job does, without a listener. lie
// changes what the job says it is about.
func (b *bench) ask(ref gate.Ref, lie func(a *gate.Asking)) {
	b.Helper()
	s, err := b.forge.Get(b.Context(), ref)
	if err != nil {
		b.Fatal(err)
	}
	a := gate.Asking{Ref: ref, Snapshot: s, Starter: "Bob"}
	if lie != nil {
		lie(&a)
	}
	people, err := b.chat.Resolve(b.Context(), gate.Concerned(b.policy, a))
	if err != nil {
		b.Fatal(err)
	}
	_, letters, ok := gate.Preview(b.policy, a, func(id policy.Identity) gate.Person { return people[id] }, time.Now())
	if !ok {
		b.Fatal("nobody is to be asked")
	}
	for _, l := range letters {
		if err := gate.Deliver(b.Context(), b.chat, l); err != nil {
			b.Fatal(err)
		}
	}
	b.forge.Forget()
}

// press approves on a card that a job sent.
func (b *bench) press(r *running, who gate.Person) gate.Answer {
	b.Helper()
	m := b.cards(who)[0]
	click := m.Click(gate.ActionApprove, who, "")
	click.Origin, click.Ref = m.Card.Origin, &m.Ref
	a := r.Click(context.Background(), click)
	if a.Card != nil {
		b.chat.Answered(m.Ref, *a.Card)
	}
	return a
}

func TestJobsCardIsTurnedIntoTheListenersOwn(t *testing.T) {
	for _, mode := range []policy.AdoptMode{policy.AdoptConfirm, policy.AdoptTrust, policy.AdoptRefuse} {
		t.Run(string(mode), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.policy.AdoptCards = mode
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
				b.ask(ref, nil)
				g := b.start()
				defer b.stop(g)
				a := b.press(g, b.alice)
				if mode == policy.AdoptRefuse {
					if a.Kind != gate.AnswerError || a.Card != nil {
						t.Errorf("answer %+v", a)
					}
					wait(time.Minute)
					if calls := b.forge.Calls(); len(calls) != 0 {
						t.Errorf("calls: %v", calls)
					}
					return
				}
				if a.Kind != gate.AnswerInfo || a.Card == nil || len(a.Card.Actions) != 0 {
					t.Errorf("answer %+v", a)
				}
				wait(3 * time.Second)
				if mode == policy.AdoptConfirm {
					if b.calls("approve") != 0 {
						t.Error("the first click counted")
					}
					if got := b.title(b.alice); got != "Approval needed · payments/api !1" {
						t.Fatalf("Alice reads %q", got)
					}
					if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Kind != gate.AnswerOK {
						t.Errorf("the second click was answered %+v", a)
					}
					wait(3 * time.Second)
				}
				if b.forge.Look(ref).State != gate.ForgeMerged {
					t.Errorf("not merged: %v\n%s", b.forge.Calls(), b.log)
				}
				asked := []gate.Person{b.alice, b.carol}
				if mode == policy.AdoptTrust {
					asked = asked[:1] // a job's card that nobody clicked before it was over is followed by nobody
				}
				for _, who := range asked {
					if got := b.title(who); got != "Merged · payments/api !1" || len(b.cards(who)) != 1 {
						t.Errorf("%s has %d cards and reads %q", who.Name, len(b.cards(who)), got)
					}
				}
			})
		})
	}
}

func TestJobsCardNamesAnotherMergeRequestThanItsWords(t *testing.T) {
	inBubble(t, func(b *bench) {
		harmless := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Fix a typo"})
		evil := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Send me the money"})
		s, err := b.forge.Get(b.Context(), evil)
		if err != nil {
			t.Fatal(err)
		}
		b.ask(harmless, func(a *gate.Asking) {
			a.Ref, a.Snapshot.Head = evil, s.Head // the words are the harmless one's
		})
		g := b.start()
		defer b.stop(g)
		if shown := b.cards(b.alice)[0].Card.Subtitle; shown != "Fix a typo" {
			t.Fatalf("the card reads %q", shown)
		}
		b.press(g, b.alice)
		wait(3 * time.Second)
		if b.calls("approve")+b.calls("merge") != 0 {
			t.Errorf("something counted before the person saw what it is: %v", b.forge.Calls())
		}
		if shown := b.cards(b.alice)[0].Card.Subtitle; shown != "Send me the money" {
			t.Errorf("the card reads %q, want the forge's facts", shown)
		}
	})
}

func TestJobsCardThatComesToNothing(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(b *bench, ref gate.Ref)
		says    string
	}{
		"no rule":     {func(b *bench, ref gate.Ref) { b.forge.Retarget(ref, "develop") }, "No rule covers develop"},
		"merged":      {func(b *bench, ref gate.Ref) { b.forge.MergeByHand(ref) }, "already merged or closed"},
		"a new draft": {func(b *bench, ref gate.Ref) { b.forge.SetDraft(ref, true) }, "when it is ready"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
				b.ask(ref, nil)
				c.happens(b, ref)
				g := b.start()
				defer b.stop(g)
				b.press(g, b.alice)
				wait(3 * time.Second)
				if got := statusOf(b.cards(b.alice)[0].Card); !strings.Contains(got, c.says) {
					t.Errorf("Alice reads %q, want %q", got, c.says)
				}
				row, err := g.store.Peek(b.Context(), gate.By{Ref: &ref})
				if err != nil || len(row.Claims) != 0 || !row.DueAt.IsZero() {
					t.Errorf("left over: %+v, %v", row, err)
				}
			})
		})
	}
}

func TestForgedOriginIsTurnedAway(t *testing.T) {
	inBubble(t, func(b *bench) {
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
		b.ask(ref, nil)
		g := b.start()
		defer b.stop(g)
		m := b.cards(b.alice)[0]
		for name, change := range map[string]func(c *gate.Click){
			"another head":        func(c *gate.Click) { o := *c.Origin; o.Head = "1234"; c.Origin = &o },
			"another person":      func(c *gate.Click) { c.By = b.dave },
			"another key":         func(c *gate.Click) { c.Key = strings.Repeat("0", 48) },
			"no message":          func(c *gate.Click) { c.Ref = nil },
			"no origin":           func(c *gate.Click) { c.Origin = nil },
			"nobody":              func(c *gate.Click) { c.By = gate.Person{} },
			"a retry":             func(c *gate.Click) { c.Action = gate.ActionRetry },
			"an action not known": func(c *gate.Click) { c.Action = "explode" },
		} {
			click := m.Click(gate.ActionApprove, b.alice, "")
			click.Origin, click.Ref = m.Card.Origin, &m.Ref
			change(&click)
			if a := g.Click(b.Context(), click); a.Kind != gate.AnswerError || a.Card != nil {
				t.Errorf("%s: answer %+v", name, a)
			}
		}
		wait(time.Minute)
		if calls := b.forge.Calls(); len(calls) != 0 {
			t.Errorf("calls: %v", calls)
		}
	})
}

func TestClaimUnderAnotherPolicyIsTurnedDownInWords(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		ref := b.opened(g)
		b.stop(g)
		b.policy = usualPolicy()
		b.policy.Rules[0].Approvers = []policy.Identity{email("carol")}
		b.forge.Fail(func(string) error { return errors.New("502") })
		g = b.start()
		defer b.stop(g)
		if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Kind != gate.AnswerInfo || a.Text != "Recorded, being checked" {
			t.Errorf("answer %+v", a)
		}
		b.forge.Fail(nil)
		wait(10 * time.Second)
		if b.calls("approve") != 0 || b.forge.Look(ref).State != gate.ForgeOpen {
			t.Errorf("it counted: %v", b.forge.Calls())
		}
		if got := statusOf(b.cards(b.alice)[0].Card); !strings.Contains(got, "not an approver") {
			t.Errorf("Alice reads %q", got)
		}
	})
}

func TestOperatorDecides(t *testing.T) {
	for _, listening := range []bool{true, false} {
		for _, verdict := range []gate.Verdict{gate.Approve, gate.Reject} {
			t.Run(fmt.Sprintf("%s, a listener: %v", verdict, listening), func(t *testing.T) {
				inBubble(t, func(b *bench) {
					b.policy.Rules[0].Required = 2
					var ref gate.Ref
					if listening {
						g := b.start()
						defer b.stop(g)
						ref = b.opened(g)
					} else {
						ref = b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
					}
					shell := b.shell()
					defer b.stop(shell)
					outcome, mr, err := shell.Decide(b.Context(), ref, 0, gate.Order{Verdict: verdict, Operator: "root@build", By: "Carol", Reason: "fire"})
					if err != nil || outcome != gate.OutcomeDone {
						t.Fatalf("outcome %s, %v", outcome, err)
					}
					want := map[gate.Verdict]gate.ForgeState{gate.Approve: gate.ForgeMerged, gate.Reject: gate.ForgeClosed}[verdict]
					s := b.forge.Look(ref)
					if s.State != want || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "root@build") || !strings.Contains(s.Notes[0], "operator") {
						t.Errorf("in the forge: %+v", s)
					}
					if d := mr.Current().Decisions; len(d) != 1 || d[0].Via != "operator" || d[0].Reason != "fire" {
						t.Errorf("decisions %+v", d)
					}
					if listening {
						wait(3 * time.Second)
						if got := statusOf(b.cards(b.alice)[0].Card); !strings.Contains(got, "root@build") {
							t.Errorf("Alice reads %q", got)
						}
					}
					again, _, err := shell.Decide(b.Context(), ref, 0, gate.Order{Verdict: verdict, Operator: "root@build"})
					if err != nil || again != gate.OutcomeDone || b.calls("merge")+b.calls("close") != 1 {
						t.Errorf("ordered again: %s, %v; calls %v", again, err, b.forge.Calls())
					}
					if other, _, err := shell.Decide(b.Context(), ref, 0, gate.Order{Verdict: verdict, Operator: "eve@build"}); err != nil || other == gate.OutcomeDone {
						t.Errorf("another operator, afterwards: %s, %v", other, err)
					}
				})
			})
		}
	}
}

// shell is a gate without a chat and without a runner, as mrgate decide is.
func (b *bench) shell() *running {
	b.Helper()
	store, err := sqlite.Open(b.Context(), b.path, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := &running{store: store, cancel: func() {}, ended: make(chan error, 1)}
	r.Gate = gate.New(gate.Parts{Forge: b.forge, Store: store, Policy: b.policy, Log: quiet()})
	r.ended <- nil
	return r
}

func TestOperatorIsRefused(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		other := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Elsewhere", Target: "develop"})
		shell := b.shell()
		if _, _, err := shell.Decide(b.Context(), other, 0, gate.Order{Verdict: gate.Approve, Operator: "root@build"}); !errors.Is(err, gate.ErrNoRule) {
			t.Errorf("without a rule: %v", err)
		}
		b.stop(shell)

		// The listener works under this policy; a shell under another one must not.
		listeners := b.policy
		b.policy = usualPolicy()
		b.policy.Rules[0].Required = 2
		store := g.store
		shell2 := gate.New(gate.Parts{Forge: b.forge, Store: store, Policy: b.policy, Log: quiet()})
		ref := gate.Ref{Forge: "gitlab", Project: 101, Number: 1}
		if _, _, err := shell2.Decide(b.Context(), ref, 0, gate.Order{Verdict: gate.Approve, Operator: "root@build"}); !errors.Is(err, gate.ErrOtherPolicy) {
			t.Errorf("under another policy: %v", err)
		}
		b.policy = listeners
		denying := *listeners
		denying.OperatorDecisions = policy.OperatorDeny
		shell3 := gate.New(gate.Parts{Forge: b.forge, Store: store, Policy: &denying, Log: quiet()})
		if _, _, err := shell3.Decide(b.Context(), ref, 0, gate.Order{Verdict: gate.Approve, Operator: "root@build"}); !errors.Is(err, gate.ErrDenied) {
			t.Errorf("denied: %v", err)
		}
		wait(time.Minute)
		if b.calls("approve")+b.calls("merge") != 0 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
	})
}

func TestOperatorWhatStandsInTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(b *bench, g *running, ref gate.Ref)
		want    gate.Outcome
	}{
		"a conflict":            {func(b *bench, _ *running, ref gate.Ref) { b.forge.SetConflict(ref, true) }, gate.OutcomeBlocked},
		"a push nobody told":    {func(b *bench, _ *running, ref gate.Ref) { b.forge.Push(ref) }, gate.OutcomeOvertaken},
		"merged in the forge":   {func(b *bench, _ *running, ref gate.Ref) { b.forge.CloseByHand(ref) }, gate.OutcomeOvertaken},
		"the forge is down":     {func(b *bench, _ *running, _ gate.Ref) { b.forge.Fail(func(string) error { return errors.New("502") }) }, gate.OutcomeRecorded},
		"a person rejected it":  {func(b *bench, g *running, _ gate.Ref) { b.click(g, b.carol, gate.ActionReject, "no") }, gate.OutcomeRejected},
		"it is still computing": {func(b *bench, _ *running, ref gate.Ref) { b.forge.SetMerging(ref, gate.MergeSoon, "checking") }, gate.OutcomeRecorded},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				g := b.start()
				defer b.stop(g)
				ref := b.opened(g)
				c.happens(b, g, ref)
				shell := b.shell()
				defer b.stop(shell)
				ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
				defer cancel()
				got, mr, err := shell.Decide(ctx, ref, mustCurrent(b, g, ref), gate.Order{Verdict: gate.Approve, Operator: "root@build"})
				if got != c.want {
					t.Errorf("outcome %q, %v, want %q; the request is %s", got, err, c.want, mr.Current().State)
				}
			})
		})
	}
}

func mustCurrent(b *bench, g *running, ref gate.Ref) int64 {
	b.Helper()
	mr, err := g.store.Peek(b.Context(), gate.By{Ref: &ref})
	if err != nil {
		b.Fatal(err)
	}
	return mr.Current().ID
}
