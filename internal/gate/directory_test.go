package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// later lets the bench's clock run while no gate does, which takes no time at all,
// and gives one that goes on.
func (b *bench) later(g *running, d time.Duration) *running {
	b.Helper()
	b.stop(g)
	time.Sleep(d)
	g = b.start()
	wait(3 * time.Second)
	return g
}

// entries are the log's of the kind.
func (b *bench) entries(g *running, kind gate.EntryKind) []gate.Entry {
	b.Helper()
	var list []gate.Entry
	for e, err := range g.store.Log(context.Background(), gate.LogFilter{}) {
		if err != nil {
			b.Fatal(err)
		}
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

func dataOf[T any](t *testing.T, e gate.Entry) T {
	t.Helper()
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	return data
}

func (b *bench) resolves() int {
	n := 0
	for _, c := range b.chat.Calls() {
		if strings.HasPrefix(c, "resolve ") {
			n++
		}
	}
	return n
}

// notice is what the author read first, and how many messages they have.
func (b *bench) notice() reading {
	b.Helper()
	all := b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})
	if len(all) == 0 {
		b.Fatal("Bob was told nothing")
	}
	return reading{len(all), all[0].Card.Title, statusOf(all[0].Card)}
}

type reading struct {
	messages    int
	title, text string
}

func TestApproverWhoIsFoundLaterGetsACard(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, email("erin"))
		g := b.start()
		defer func() { b.stop(g) }()
		ref := b.opened(g)
		if n := len(b.cards(b.carol)); n != 1 {
			t.Errorf("Carol has %d cards", n)
		}
		opened := b.entries(g, gate.EntryOpened)
		if d := dataOf[gate.OpenedData](t, opened[0]); !slices.Equal(d.Missing, []string{"erin@example.com"}) {
			t.Errorf("the log names %v", d.Missing)
		}
		if !strings.Contains(b.log.String(), "is not in the chat's directory") || !strings.Contains(b.log.String(), "erin@example.com") {
			t.Errorf("it was not said:\n%s", b.log)
		}
		b.forge.Forget()
		b.chat.Forget()
		wait(time.Hour)
		if n := b.resolves(); n < 4 || n > 6 {
			t.Errorf("she was looked for %d times in an hour", n)
		}
		if calls := b.forge.Calls(); len(calls) > 0 {
			t.Errorf("the forge was asked about people: %v", calls)
		}
		erin := b.chat.AddPerson("Erin", "erin@example.com", "")
		wait(21 * time.Minute)
		if n := len(b.cards(erin)); n != 1 {
			t.Fatalf("Erin has %d cards", n)
		}
		if n := b.notice(); n.messages != 1 || !strings.Contains(n.text, "Alice, Carol and Erin") {
			t.Errorf("Bob reads %+v", n)
		}
		people := b.entries(g, gate.EntryPeople)
		if len(people) != 1 || len(dataOf[gate.PeopleData](t, people[0]).Missing) != 0 {
			t.Errorf("the log says %v", people)
		}
		if !strings.Contains(b.log.String(), "an approver is now in the chat's directory") {
			t.Errorf("it was not said:\n%s", b.log)
		}
		b.chat.Forget()
		g = b.later(g, 20*time.Hour)
		if calls := b.chat.Calls(); len(calls) != 0 {
			t.Errorf("all are known, and yet: %v", calls)
		}
		b.click(g, erin, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("not merged: %v", b.forge.Calls())
		}
	})
}

func TestRuleWithNobodyTellsTheAuthorUntilSomebodyIsFound(t *testing.T) {
	for name, cardsTo := range map[string]func(b *bench) []policy.Identity{
		"cards to approvers": func(*bench) []policy.Identity { return nil },
		"cards to a group": func(b *bench) []policy.Identity {
			return []policy.Identity{{Kind: policy.KindGroup, Value: b.chat.AddGroup()}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.policy.Rules[0].Approvers = []policy.Identity{email("erin"), email("frank")}
				b.policy.Rules[0].CardsTo = cardsTo(b)
				g := b.start()
				defer func() { b.stop(g) }()
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
				b.look(g, ref)
				wait(time.Second)
				if n := b.notice(); n.messages != 1 || !strings.Contains(n.text, `has no reachable approver (nobody of rule "production" was found in Feishu)`) {
					t.Errorf("Bob reads %+v", n)
				}
				listed, err := g.store.List(context.Background(), gate.Filter{})
				if err != nil || len(listed) != 1 || len(listed[0].Awaited) != 0 || !slices.Equal(listed[0].Missing, []string{"erin@example.com", "frank@example.com"}) {
					t.Errorf("listed %+v, %v", listed, err)
				}
				erin := b.chat.AddPerson("Erin", "erin@example.com", "")
				wait(11 * time.Minute)
				if n := b.notice(); n.messages != 1 || !strings.Contains(n.text, "was sent for approval to Erin") {
					t.Errorf("Bob reads %+v", n)
				}
				if n := len(b.cards(erin)); n != 1 && len(b.policy.Rules[0].CardsTo) == 0 {
					t.Errorf("Erin has %d cards", n)
				}
			})
		})
	}
}

func TestIdentityOfAnotherPersonDoesNotCount(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		g := b.start()
		defer func() { b.stop(g) }()
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		// Her address is given to somebody else.
		other := gate.Person{ID: "ou_other_alice", Name: "Alice Other"}
		b.chat.Know(other, email("alice"))
		g = b.later(g, 25*time.Hour)
		if got := b.title(b.carol); got != "Approval needed · payments/api !1" {
			t.Errorf("Carol reads %q", got)
		}
		if a := g.Click(context.Background(), b.cards(b.carol)[0].Click(gate.ActionApprove, other, "")); a.Kind != gate.AnswerError {
			t.Errorf("the other one's click was answered %+v", a)
		}
		if a := b.click(g, b.alice, gate.ActionReject, ""); a.Kind == gate.AnswerOK {
			t.Errorf("the first one's click was answered %+v", a)
		}
		if n := len(b.cards(other)); n != 0 {
			t.Errorf("the other one got %d cards", n)
		}
		people := b.entries(g, gate.EntryPeople)
		want := gate.Other{Identity: "alice@example.com", First: b.alice.ID, Now: other.ID}
		if len(people) != 1 || !slices.Equal(dataOf[gate.PeopleData](t, people[0]).Others, []gate.Other{want}) {
			t.Errorf("the log says %v", people)
		}
		if log := b.log.String(); !strings.Contains(log, "another person in the chat") || !strings.Contains(log, other.ID) {
			t.Errorf("it was not said:\n%s", log)
		}
		listed, err := g.store.List(context.Background(), gate.Filter{})
		if err != nil || !slices.Equal(listed[0].Others, []gate.Other{want}) || !slices.Equal(listed[0].Awaited, []string{"Carol"}) {
			t.Errorf("listed %+v, %v", listed, err)
		}

		// Days later, and for another merge request, it is the same.
		g = b.later(g, 5*24*time.Hour)
		second := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Again"})
		b.look(g, second)
		wait(3 * time.Second)
		if n := len(b.cards(other)); n != 0 {
			t.Errorf("the other one got %d cards", n)
		}
		// The policy names whom it means.
		named := usualPolicy()
		named.Rules[0].Required = 2
		named.Rules[0].Approvers = append(named.Rules[0].Approvers, policy.Identity{Kind: policy.KindID, Value: other.ID})
		if err := g.SetPolicy(context.Background(), named); err != nil {
			t.Fatal(err)
		}
		wait(3 * time.Second)
		for _, who := range []gate.Person{other, b.carol} {
			for _, m := range b.cards(who) { // which of the two came last, nobody knows
				if m.Card.Subtitle == "Again" {
					g.Click(context.Background(), m.Click(gate.ActionApprove, who, ""))
				}
			}
		}
		wait(3 * time.Second)
		if b.forge.Look(second).State != gate.ForgeMerged || b.forge.Look(ref).State == gate.ForgeMerged {
			t.Errorf("the first is %s, the second %s", b.forge.Look(ref).State, b.forge.Look(second).State)
		}
		if r := row(b, g, second).Current(); len(r.Panel.Others) != 0 || r.Panel.Approvers[0].ID != other.ID {
			t.Errorf("it is reported still: %+v", r.Panel)
		}
	})
}

func TestAddressOfAnotherPersonBarsBoth(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, email("dave"), email("frank"))
		frank := b.chat.AddPerson("Frank", "frank@example.com", "")
		g := b.start()
		defer func() { b.stop(g) }()
		open := func() {
			ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Help"})
			b.forge.SetContents(ref, func(c *gate.Contents) {
				c.Committers = append(c.Committers, gate.Committer{Email: "helper@example.com"})
			})
			b.look(g, ref)
			wait(time.Second)
		}
		b.chat.Know(b.dave, email("helper"))
		open()
		b.chat.Know(frank, email("helper"))
		g = b.later(g, 25*time.Hour)
		open()
		for _, who := range []gate.Person{b.dave, frank} {
			cards := b.cards(who)
			if a := g.Click(context.Background(), cards[len(cards)-1].Click(gate.ActionApprove, who, "")); a.Kind != gate.AnswerError || !strings.Contains(a.Text, "have commits") {
				t.Errorf("%s: %+v", who.Name, a)
			}
		}
	})
}

func TestWhoLeftMayNoLongerDecide(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		g := b.start()
		defer func() { b.stop(g) }()
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.chat.Know(gate.Person{}, email("alice"))
		g = b.later(g, 25*time.Hour)
		if got := b.cards(b.carol)[0].Card; !strings.Contains(statusOf(got), "Alice may no longer decide") {
			t.Errorf("Carol reads %q", statusOf(got))
		}
		b.chat.Know(b.alice, email("alice")) // she was only out of the app's range for a while
		g = b.later(g, 2*time.Hour)
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("not merged; Carol reads %q", b.title(b.carol))
		}
	})
}

func TestDeadDirectoryChangesNothingForWhatIsOpen(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, email("erin"))
		g := b.start()
		defer func() { b.stop(g) }()
		ref := b.opened(g)
		b.chat.Forget()
		b.chat.Fail(func(method string) error {
			if method == "resolve" {
				return errors.New("503")
			}
			return nil
		})
		wait(3 * time.Hour)
		if n := b.resolves(); n < 4 || n > 10 {
			t.Errorf("the dead directory was asked %d times in 3 hours", n)
		}
		if r := row(b, g, ref).Current(); !slices.Equal(r.Panel.Missing, []string{"erin@example.com"}) || len(r.Panel.Approvers) != 3 || r.Panel.Approvers[0].ID == "" {
			t.Errorf("the panel is %+v", r.Panel)
		}
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("not merged: %v", b.forge.Calls())
		}
	})
}

func TestHangingDirectoryMakesRoomForAClick(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Approvers = append(b.policy.Rules[0].Approvers, email("erin"))
		g := b.start()
		defer func() { b.stop(g) }()
		ref := b.opened(g)
		b.chat.Delay(func(method string) time.Duration {
			if method == "resolve" {
				return time.Minute
			}
			return 0
		})
		b.chat.Forget()
		for range 700 {
			if wait(time.Second); b.resolves() > 0 {
				break
			}
		}
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("a second after the click, in the forge: %+v", b.forge.Look(ref))
		}
	})
}

func TestOnePersonUnderTwoIdentitiesIsOne(t *testing.T) {
	inBubble(t, func(b *bench) {
		mobile := policy.Identity{Kind: policy.KindMobile, Value: "+8613800138000"}
		b.chat.Know(b.alice, mobile)
		r := &b.policy.Rules[0]
		r.Required, r.Approvers = 2, append(r.Approvers, mobile, policy.Identity{Kind: policy.KindID, Value: b.alice.ID})
		g := b.start()
		defer func() { b.stop(g) }()
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		if a := b.click(g, b.alice, gate.ActionApprove, ""); a.Text != "You have already approved this" {
			t.Errorf("again: %+v", a)
		}
		wait(time.Minute)
		if got := b.title(b.carol); got != "Approved 1 of 2 · payments/api !1" || b.calls("approve") != 0 {
			t.Errorf("Carol reads %q; %v", got, b.forge.Calls())
		}
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged {
			t.Errorf("not merged: %v", b.forge.Calls())
		}
	})
}
