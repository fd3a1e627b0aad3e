package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// logged gives what the log has of a kind.
func logged[T any](b *bench, g *running, kind gate.EntryKind) (all []T) {
	b.Helper()
	for e, err := range g.store.Log(context.Background(), gate.LogFilter{}) {
		if err != nil {
			b.Fatal(err)
		}
		if e.Kind != kind {
			continue
		}
		var data T
		if err := json.Unmarshal(e.Data, &data); err != nil {
			b.Fatalf("entry %d: %v: %s", e.Number, err, e.Data)
		}
		all = append(all, data)
	}
	return all
}

func TestFloodOfRefusedClicksIsLoggedOnceAMinute(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, email("bob"))
		g := b.start()
		b.opened(g)
		card := b.cards(b.alice)[0]
		flood := func() {
			b.Helper()
			for range 20 {
				click := card.Click(gate.ActionApprove, b.dave, "let me in")
				click.Way, click.Event, click.Chat = "new-style callback", "e1", "oc_1"
				g.Click(context.Background(), click)
				g.Click(context.Background(), card.Click(gate.ActionReject, b.dave, ""))
				g.Click(context.Background(), card.Click(gate.ActionApprove, b.bob, ""))
			}
		}
		flood()
		all := logged[gate.ClickData](b, g, gate.EntryClick)
		if len(all) != 2 {
			t.Fatalf("%d entries, want one of Dave's and one of Bob's: %+v", len(all), all)
		}
		d := all[0]
		if d.Person.ID != b.dave.ID || d.Became != gate.BecameRefused || d.Why != gate.RefusedOutsider || d.Action != gate.ActionApprove ||
			d.Text != "let me in" || !strings.Contains(d.Said, "not an approver") || d.At.IsZero() ||
			d.Way != "new-style callback" || d.Event != "e1" || d.Chat != "oc_1" || d.Ref != card.Ref.Data || d.Message != card.Card.Key {
			t.Errorf("Dave's: %+v", d)
		}
		if all[1].Person.ID != b.bob.ID || all[1].Why != gate.RefusedAuthor {
			t.Errorf("Bob's: %+v", all[1])
		}
		wait(30 * time.Second)
		b.stop(g)
		g = b.start() // which changes nothing
		defer b.stop(g)
		flood()
		if all := logged[gate.ClickData](b, g, gate.EntryClick); len(all) != 2 {
			t.Errorf("%d entries after a restart within the minute, want 2", len(all))
		}
		wait(31 * time.Second)
		flood()
		if all := logged[gate.ClickData](b, g, gate.EntryClick); len(all) != 4 {
			t.Errorf("%d entries after a minute, want 4", len(all))
		}
	})
}

func TestManyPeopleCannotFloodTheLogEither(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		card := b.cards(b.alice)[0]
		for i := range 200 {
			g.Click(context.Background(), card.Click(gate.ActionApprove, gate.Person{ID: fmt.Sprint("ou_", i)}, ""))
		}
		if all := logged[gate.ClickData](b, g, gate.EntryClick); len(all) != 50 {
			t.Errorf("%d entries, want 50", len(all))
		}
	})
}

func TestWhyAClickChangedNothingIsLogged(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].RequireReason = true
		b.policy.Rules[0].Required = 2
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionReject, " ")
		b.click(g, b.alice, gate.ActionApprove, "")
		b.click(g, b.alice, gate.ActionReject, "second thoughts")
		b.forge.SetConflict(ref, true)
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.click(g, b.alice, gate.ActionRetry, "")
		stale := b.cards(b.carol)[0]
		b.forge.CloseByHand(ref)
		b.look(g, ref)
		wait(2 * time.Second)
		g.Click(context.Background(), stale.Click(gate.ActionReject, b.alice, ""))
		g.Click(context.Background(), stale.Click(gate.ActionReject, b.dave, ""))
		g.Click(context.Background(), stale.Click("sing", b.dave, ""))
		var got []string
		for _, d := range logged[gate.ClickData](b, g, gate.EntryClick) {
			got = append(got, fmt.Sprint(d.Person.Name, " ", d.Action, " ", d.Became, " ", d.Why))
		}
		want := []string{
			"Alice reject refused no reason", "Alice reject refused decided before", "Alice retry retry ",
			"Alice reject refused decided before", "Dave reject refused over", "Dave sing refused other",
		}
		// Within the minute Alice's second "decided before" is not told again.
		want = slices.Delete(want, 3, 4)
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestDecisionIsLoggedWithWhatTheCardShowed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "fine")
		// Carol's card does not show Alice's approval yet.
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(time.Second)
		decided := logged[gate.DecidedData](b, g, gate.EntryDecided)
		if len(decided) != 2 {
			t.Fatalf("decisions: %+v", decided)
		}
		s := b.forge.Look(ref)
		d := decided[0]
		if d.Person != b.alice.ID || d.Name != "Alice" || d.Verdict != gate.Approve || d.Reason != "fine" || d.Via != "card" ||
			d.Head != s.Head || d.Target != "main" || d.Rule != "production" || d.Policy != b.policy.Hash() || d.Message == "" || d.Ref == "" {
			t.Errorf("decision: %+v", d)
		}
		if d.Shown == "" || d.Showed == nil || d.Unknown != "" {
			t.Fatalf("evidence: %+v", d.Evidence)
		}
		if d.Showed.Title != "Approval needed · payments/api !1" || d.Showed.Subtitle != "Add retries" ||
			!strings.Contains(strings.Join(d.Showed.Facts, "\n"), "into main") ||
			!strings.Contains(strings.Join(d.Showed.Status, "\n"), "2") ||
			!slices.Contains(d.Showed.Buttons, "Approve") || !strings.Contains(d.Showed.Foot, s.Head.Short()) {
			t.Errorf("the card showed %+v", d.Showed)
		}
		if d := decided[1]; d.Showed != nil || d.Shown == "" || d.Unknown == "" {
			t.Errorf("of a card that is behind: %+v", d.Evidence)
		}
		r := row(b, g, ref).Current()
		if r.Decisions[0].Shown != d.Shown {
			t.Errorf("the decision's digest %q is not the entry's %q", r.Decisions[0].Shown, d.Shown)
		}
	})
}

func TestClaimAndItsVerdictAreLogged(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		b.opened(g)
		b.stop(g)
		b.policy = usualPolicy()
		b.policy.Rules[0].Approvers = []policy.Identity{email("carol")}
		b.forge.Fail(func(string) error { return errors.New("down") })
		g = b.start()
		defer b.stop(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		b.click(g, b.carol, gate.ActionApprove, "")
		b.forge.Fail(nil)
		wait(time.Minute)
		var got []string
		for _, d := range logged[gate.ClickData](b, g, gate.EntryClick) {
			got = append(got, fmt.Sprint(d.Person.Name, " ", d.Became, " ", d.Why))
		}
		if want := []string{"Alice checking ", "Carol checking ", "Alice refused outsider"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		decided := logged[gate.DecidedData](b, g, gate.EntryDecided)
		if len(decided) != 1 || decided[0].Person != b.carol.ID || decided[0].Showed == nil || decided[0].Shown == "" || decided[0].Ref == "" {
			t.Errorf("decisions: %+v", decided)
		}
		policies := logged[gate.PolicyData](b, g, gate.EntryPolicy)
		if len(policies) != 2 || policies[1].Policy != b.policy.Hash() || policies[1].Before != policies[0].Policy || policies[1].Since.IsZero() {
			t.Errorf("policies: %+v", policies)
		}
	})
}

func TestJobsCardIsLoggedWithWhatItClaims(t *testing.T) {
	for mode, want := range map[policy.AdoptMode][]string{
		policy.AdoptConfirm: {"checking", "adopted"},
		policy.AdoptTrust:   {"checking"},
		policy.AdoptRefuse:  nil,
	} {
		t.Run(string(mode), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.policy.AdoptCards = mode
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
				b.ask(ref, nil)
				g := b.start()
				defer b.stop(g)
				for range 5 {
					b.press(g, b.alice)
				}
				wait(time.Minute)
				var got []string
				for _, d := range logged[gate.ClickData](b, g, gate.EntryClick) {
					got = append(got, string(d.Became))
					if d.Origin == nil || d.Origin.Ref != ref || d.Showed != nil || d.Unknown != "a job sent it" {
						t.Errorf("entry: %+v", d)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				for _, d := range logged[gate.DecidedData](b, g, gate.EntryDecided) {
					if mode != policy.AdoptTrust || d.Showed != nil || d.Unknown == "" {
						t.Errorf("decision: %+v", d)
					}
				}
				// Of a card that nothing is known of, the process's log tells once.
				if n := strings.Count(b.log.String(), "a click on a card that is not known"); n != 1 && mode == policy.AdoptRefuse || n > 1 {
					t.Errorf("mentioned %d times:\n%s", n, b.log)
				}
			})
		})
	}
}

func TestAttemptsAreLoggedButNotEachOfThem(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Fail(func(method string) error {
			if method == "merge" {
				return errors.New("503 from a proxy")
			}
			return nil
		})
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(5 * time.Hour)
		b.forge.Fail(nil)
		wait(10 * time.Minute)
		var none, done int
		for _, d := range logged[gate.EffectData](b, g, gate.EntryEffect) {
			switch {
			case d.Effect != "merge":
			case d.Answer == gate.AnswerNone && d.Error != "" && d.Tries > 0 && d.Head == b.forge.Look(ref).Head:
				none++
			case d.Answer == string(gate.Merged):
				done++
			default:
				t.Errorf("effect: %+v", d)
			}
		}
		if tried := b.calls("merge"); tried < 50 || none < 5 || none > 8 || done != 1 {
			t.Errorf("%d tries made %d entries that there was no answer, and %d that it was merged", tried, none, done)
		}
	})
}

func TestMergeThatIsTriedForLongIsToldOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetProtected(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(2 * time.Hour)
		told := 0
		for _, d := range logged[gate.EffectData](b, g, gate.EntryEffect) {
			if d.Effect == "merge" {
				told++
			}
		}
		if tried := b.calls("merge"); tried < 5 || told != 1 {
			t.Errorf("%d tries made %d entries, want 1", tried, told)
		}
	})
}

func TestMessagesAreLoggedWhenTheyChangeState(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		for i := range 5 { // repaints of the same state
			b.forge.Edit(ref, func(s *gate.Snapshot) { s.Title = fmt.Sprint("Title ", i) })
			b.look(g, ref)
			wait(2 * time.Minute)
		}
		b.forge.Push(ref)
		b.look(g, ref)
		wait(2 * time.Second)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Minute)
		var got []string
		for _, d := range logged[gate.MessageData](b, g, gate.EntryMessage) {
			if d.To.ID == b.alice.ID {
				got = append(got, fmt.Sprint(d.Did, " ", d.Kind, ": ", d.Shows))
				if d.Key == "" || d.Ref == "" {
					t.Errorf("message: %+v", d)
				}
			}
		}
		want := []string{
			"sent card: pending 0/1", "changed card: pending 0/1", "answered card: approved 1/1", "changed card: merged 1/1",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestApprovalThatNoLongerCountsIsLogged(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		g := b.start()
		b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(2 * time.Second)
		for _, approver := range []string{"bob", "alice"} {
			b.stop(g)
			b.policy = usualPolicy()
			b.policy.Rules[0].Required = 2
			b.policy.Rules[0].Approvers = []policy.Identity{email("carol"), email(approver)}
			g = b.start()
			wait(5 * time.Second)
		}
		defer b.stop(g)
		counts := logged[gate.CountsData](b, g, gate.EntryCounts)
		if len(counts) != 2 || counts[0].Counts || !counts[1].Counts || counts[0].Person != b.alice.ID || counts[1].Policy != b.policy.Hash() {
			t.Errorf("entries: %+v", counts)
		}
	})
}

func TestOutsiderOnAnOutdatedCardCostsAnEntryAMinute(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		old := b.cards(b.alice)[0]
		b.forge.Push(ref)
		b.look(g, ref)
		wait(3 * time.Second)
		var rows []string
		for range 10 {
			a := g.Click(context.Background(), old.Click(gate.ActionApprove, b.dave, ""))
			if a.Kind != gate.AnswerInfo || a.Card != nil {
				t.Errorf("answer %+v", a)
			}
			mr, err := g.store.Peek(context.Background(), gate.By{Message: old.Card.Key})
			if err != nil {
				t.Fatal(err)
			}
			mr.Now = time.Time{}
			now, err := json.Marshal(mr)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, string(now))
			wait(2 * time.Second)
		}
		if slices.Sort(rows); rows[0] != rows[len(rows)-1] {
			t.Errorf("clicks of somebody who may not decide changed the row:\n%s", strings.Join(rows, "\n"))
		}
		all := logged[gate.ClickData](b, g, gate.EntryClick)
		if len(all) != 1 || all[0].Why != gate.RefusedSuperseded || all[0].Person.ID != b.dave.ID {
			t.Errorf("entries: %+v", all)
		}
	})
}
