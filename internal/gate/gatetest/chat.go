package gatetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// ChatWorld is what happens in a chat besides mrgate, and what people see there.
type ChatWorld interface {
	// AddPerson has somebody in the directory, whom messages reach; an empty
	// e-mail address or mobile number is none.
	AddPerson(name, email, mobile string) gate.Person
	// AddGroup makes a group that messages reach and gives its ID.
	AddGroup() string
	// Leave has a person leave: nothing reaches them any more.
	Leave(person string)
	// Recall takes a message back.
	Recall(ref gate.CardRef)
	// Look says what stands at a recipient, oldest first.
	Look(to gate.Recipient) []Shown
}

// Shown is a message as people see it.
type Shown struct {
	Text     string // what is read on it now; at least the title
	Versions int    // how often it was sent or changed
}

// Chat holds a gate.Chat against what the port promises.
func Chat(t *testing.T, setup func(t *testing.T) (gate.Chat, ChatWorld)) {
	t.Helper()
	run := func(name string, f func(c chatCase)) {
		t.Run(name, func(t *testing.T) {
			chat, world := setup(t)
			f(chatCase{T: t, chat: chat, world: world})
		})
	}

	run("SendShowsTheCardOnce", func(c chatCase) {
		alice := gate.Recipient{ID: c.world.AddPerson("Alice", "alice@example.com", "").ID}
		first := c.send(alice, aCard("k1", "Approval needed"))
		if first.Data == "" || first.Left == 0 {
			c.Errorf("reference %+v can't be used again", first)
		}
		if again := c.send(alice, aCard("k1", "Changed meanwhile")); again.Data != first.Data {
			c.Errorf("the same key gave %q, then %q", first.Data, again.Data)
		}
		c.see(alice, "Approval needed")
		if other := c.send(alice, aCard("k2", "Another")); other.Data == first.Data {
			c.Error("another key gave the same reference")
		}
		c.see(alice, "Approval needed", "Another")
	})
	run("SendToAGroup", func(c chatCase) {
		group := gate.Recipient{Group: true, ID: c.world.AddGroup()}
		ref := c.send(group, aCard("k1", "Approval needed"))
		c.update(ref, aCard("k1", "Merged"))
		c.see(group, "Merged")
	})
	run("UpdateChangesInPlace", func(c chatCase) {
		alice := gate.Recipient{ID: c.world.AddPerson("Alice", "alice@example.com", "").ID}
		ref := c.send(alice, aCard("k1", "Approval needed"))
		ref = c.update(ref, aCard("k1", "Approved"))
		ref = c.update(ref, aCard("k1", "Merged"))
		if ref.Data == "" {
			c.Error("the last update gave no reference")
		}
		c.see(alice, "Merged")
		if n := c.world.Look(alice)[0].Versions; n != 3 {
			c.Errorf("%d versions, want 3", n)
		}
	})
	run("ACardMayChangeItsKey", func(c chatCase) {
		alice := gate.Recipient{ID: c.world.AddPerson("Alice", "alice@example.com", "").ID}
		ref := c.send(alice, aCard("k1", "Approval needed"))
		c.update(ref, aCard("k2", "Approval needed, updated"))
		c.see(alice, "Approval needed, updated")
	})
	run("UntilIsAhead", func(c chatCase) {
		alice := gate.Recipient{ID: c.world.AddPerson("Alice", "alice@example.com", "").ID}
		ref := c.send(alice, aCard("k1", "Approval needed"))
		if !ref.Until.IsZero() && time.Until(ref.Until) < time.Hour {
			c.Errorf("until %v", ref.Until)
		}
	})
	run("WhoLeftIsGone", func(c chatCase) {
		bob := gate.Recipient{ID: c.world.AddPerson("Bob", "bob@example.com", "").ID}
		c.world.Leave(bob.ID)
		if _, err := c.chat.Send(c.Context(), bob, aCard("k1", "Approval needed")); !errors.Is(err, gate.ErrGone) {
			c.Errorf("got %v, want ErrGone", err)
		}
	})
	run("RecalledIsGone", func(c chatCase) {
		alice := gate.Recipient{ID: c.world.AddPerson("Alice", "alice@example.com", "").ID}
		ref := c.send(alice, aCard("k1", "Approval needed"))
		c.world.Recall(ref)
		if _, err := c.chat.Update(c.Context(), ref, aCard("k1", "Merged")); !errors.Is(err, gate.ErrGone) {
			c.Errorf("got %v, want ErrGone", err)
		}
	})
	run("UpdateCreatesNothing", func(c chatCase) {
		alice := gate.Recipient{ID: c.world.AddPerson("Alice", "alice@example.com", "").ID}
		ref := c.send(alice, aCard("k1", "Approval needed"))
		ref.Data += "0"
		if _, err := c.chat.Update(c.Context(), ref, aCard("k1", "Merged")); !errors.Is(err, gate.ErrGone) {
			c.Errorf("a message that there never was: %v, want ErrGone", err)
		}
		c.see(alice, "Approval needed")
	})
	run("ResolveFindsPeople", func(c chatCase) {
		alice := c.world.AddPerson("Alice", "alice@example.com", "")
		bob := c.world.AddPerson("Bob", "", "+8613800138000")
		carol := c.world.AddPerson("Carol", "", "")
		ids := map[policy.Identity]gate.Person{
			{Kind: policy.KindEmail, Value: "alice@example.com"}: alice,
			{Kind: policy.KindMobile, Value: "+8613800138000"}:   bob,
			{Kind: policy.KindID, Value: carol.ID}:               carol,
			{Kind: policy.KindEmail, Value: "dave@example.com"}:  {},
			{Kind: policy.KindMobile, Value: "+491701234567"}:    {},
		}
		var ask []policy.Identity
		for id := range ids {
			ask = append(ask, id)
		}
		found, err := c.chat.Resolve(c.Context(), ask)
		if err != nil {
			c.Fatal(err)
		}
		for id, want := range ids {
			got, answered := found[id]
			if !answered || got != want {
				c.Errorf("%s: got %+v (answered: %v), want %+v", id, got, answered, want)
			}
		}
		if len(found) != len(ids) {
			c.Errorf("%d answers to %d questions", len(found), len(ids))
		}
	})
	run("ResolveOfNobody", func(c chatCase) {
		if found, err := c.chat.Resolve(c.Context(), nil); err != nil || len(found) != 0 {
			c.Errorf("got %v, %v", found, err)
		}
	})
	run("ACancelledCallEnds", func(c chatCase) {
		alice := gate.Recipient{ID: c.world.AddPerson("Alice", "alice@example.com", "").ID}
		ctx, cancel := context.WithCancel(c.Context())
		cancel()
		_, err := c.chat.Send(ctx, alice, aCard("k1", "Approval needed"))
		if err == nil || errors.Is(err, gate.ErrGone) || errors.Is(err, gate.ErrNotPermitted) {
			c.Errorf("got %v, want an error that says: try again", err)
		}
		c.see(alice)
	})
}

// aCard is one with everything on it.
func aCard(key, title string) gate.Card {
	return gate.Card{
		Key:      strings.Repeat("0", 48-len(key)) + key,
		Tone:     gate.ToneBlue,
		Title:    title,
		Subtitle: "Retry <at id=all></at> payments",
		Summary:  title + " payments/api !7",
		Link:     "https://gitlab.example.com/payments/api/-/merge_requests/7",
		Facts: []words.Text{
			{{Text: "Bob wants to merge feature/retry into "}, {Text: "main", Strong: true}},
			words.Plain("6 files · +142 −38 · 3 commits"),
		},
		Quote:   "As discussed.\n**Really**.",
		Details: []gate.Detail{{Title: "Files", Lines: []string{"a.go +1 −2", "b.go +3 −4"}}},
		Status:  []words.Text{words.Plain("Any one of 2 people")},
		Input:   &gate.Input{Label: "Comment"},
		Actions: []gate.Action{
			{ID: gate.ActionApprove, Label: "Approve and merge", Style: gate.StylePrimary, Confirm: &gate.Confirm{Title: "Approve?", Text: "Commit 856c10e9"}},
			{ID: gate.ActionReject, Label: "Reject and close", Style: gate.StyleDanger},
			{ID: gate.ActionView, Label: "View changes", URL: "https://gitlab.example.com/payments/api/-/merge_requests/7/diffs"},
		},
		Foot: "Rule production · commit 856c10e9",
	}
}

// chatCase is one case of the suite, with a chat of its own.
type chatCase struct {
	*testing.T
	chat  gate.Chat
	world ChatWorld
}

func (c chatCase) send(to gate.Recipient, card gate.Card) gate.CardRef {
	c.Helper()
	ref, err := c.chat.Send(c.Context(), to, card)
	if err != nil {
		c.Fatalf("send %s: %v", card.Title, err)
	}
	return ref
}

func (c chatCase) update(ref gate.CardRef, card gate.Card) gate.CardRef {
	c.Helper()
	ref, err := c.chat.Update(c.Context(), ref, card)
	if err != nil {
		c.Fatalf("update to %s: %v", card.Title, err)
	}
	return ref
}

// see checks which messages stand at a recipient, by their titles.
func (c chatCase) see(to gate.Recipient, titles ...string) {
	c.Helper()
	shown := c.world.Look(to)
	if len(shown) != len(titles) {
		c.Fatalf("%d messages at %s, want %d", len(shown), to, len(titles))
	}
	for i, title := range titles {
		if !strings.Contains(shown[i].Text, title) {
			c.Errorf("message %d at %s shows %q, want %q", i+1, to, shown[i].Text, title)
		}
	}
}
