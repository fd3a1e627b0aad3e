package gatetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// FakeChat is a chat in memory: a [gate.Chat], the [ChatWorld] around it, and
// what tests of gate need besides: the messages with all they ever showed, the
// calls in their order, failures, delays and lost answers. Like Feishu it keeps
// a card's key for an hour and lets a card be changed for 14 days, by the clock
// of the time package (tests of waiting run it in testing/synctest). It passes
// the suite [Chat].
type FakeChat struct {
	script

	people   map[policy.Identity]gate.Person
	gone     map[string]bool // recipients that nothing reaches any more
	groups   int
	messages []*fakeMessage
}

var (
	_ gate.Chat = (*FakeChat)(nil)
	_ ChatWorld = (*FakeChat)(nil)
)

type fakeMessage struct {
	ChatMessage
	sent     time.Time
	recalled bool
}

// ChatMessage is one message in a FakeChat.
type ChatMessage struct {
	To      gate.Recipient
	Ref     gate.CardRef
	Card    gate.Card   // as it is shown now
	History []gate.Card // all it ever showed, Card being the last
}

// Click is a press of a button on the message as it is shown now.
func (m ChatMessage) Click(action gate.ActionID, by gate.Person, text string) gate.Click {
	return gate.Click{Key: m.Card.Key, Action: action, By: by, Text: text, Ref: &gate.CardRef{Data: m.Ref.Data, Left: -1}}
}

// Answered has a message show the card of an answer to a click, as the chat does.
func (f *FakeChat) Answered(ref gate.CardRef, card gate.Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.messages {
		if m.Ref == ref {
			m.Card = card
			m.History = append(m.History, card)
		}
	}
}

// NewChat is one without people.
func NewChat() *FakeChat {
	return &FakeChat{people: map[policy.Identity]gate.Person{}, gone: map[string]bool{}}
}

// Know puts a person into the directory under all these identities, and under
// the ID itself. An empty name is one that may not be read.
func (f *FakeChat) Know(p gate.Person, ids ...policy.Identity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.people[policy.Identity{Kind: policy.KindID, Value: p.ID}] = p
	for _, id := range ids {
		f.people[id] = p
	}
}

// AddPerson puts somebody into the directory and chooses an ID: Alice is
// ou_alice. An empty e-mail address or mobile number is none.
func (f *FakeChat) AddPerson(name, email, mobile string) gate.Person {
	p := gate.Person{ID: "ou_" + strings.ToLower(strings.ReplaceAll(name, " ", "_")), Name: name}
	var ids []policy.Identity
	if email != "" {
		ids = append(ids, policy.Identity{Kind: policy.KindEmail, Value: email})
	}
	if mobile != "" {
		ids = append(ids, policy.Identity{Kind: policy.KindMobile, Value: mobile})
	}
	f.Know(p, ids...)
	return p
}

// AddGroup makes a group that mrgate is in.
func (f *FakeChat) AddGroup() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groups++
	return fmt.Sprintf("oc_group%d", f.groups)
}

// Leave has a person leave the company: nothing reaches them any more.
func (f *FakeChat) Leave(person string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone[gate.Recipient{ID: person}.String()] = true
}

// Recall takes a message back behind mrgate's back.
func (f *FakeChat) Recall(ref gate.CardRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.messages {
		if m.Ref.Data == ref.Data {
			m.recalled = true
		}
	}
}

// Messages lists all messages in the order in which they were sent.
func (f *FakeChat) Messages() []ChatMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]ChatMessage, 0, len(f.messages))
	for _, m := range f.messages {
		c := m.ChatMessage
		c.History = slices.Clone(c.History)
		all = append(all, c)
	}
	return all
}

// MessagesTo lists the messages at one recipient, oldest first.
func (f *FakeChat) MessagesTo(to gate.Recipient) []ChatMessage {
	return slices.DeleteFunc(f.Messages(), func(m ChatMessage) bool { return m.To != to })
}

// Look says what stands at a recipient.
func (f *FakeChat) Look(to gate.Recipient) []Shown {
	var all []Shown
	for _, m := range f.MessagesTo(to) {
		all = append(all, Shown{Text: m.Card.Title, Versions: len(m.History)})
	}
	return all
}

// call is one call of the port: "resolve alice@example.com", "send person:ou_alice
// <title>", "update person:ou_alice <title>".
func (f *FakeChat) call(ctx context.Context, method, what string, do func() error) error {
	return f.script.call(ctx, method, method+" "+what, method, do)
}

// Resolve is the port's.
func (f *FakeChat) Resolve(ctx context.Context, ids []policy.Identity) (map[policy.Identity]gate.Person, error) {
	words := make([]string, 0, len(ids))
	for _, id := range ids {
		words = append(words, id.String())
	}
	found := map[policy.Identity]gate.Person{}
	err := f.call(ctx, "resolve", strings.Join(words, " "), func() error {
		for _, id := range ids {
			p, known := f.people[id]
			if !known && id.Kind == policy.KindID {
				p.ID = id.Value // an ID is its own answer
			}
			found[id] = p
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Send is the port's.
func (f *FakeChat) Send(ctx context.Context, to gate.Recipient, card gate.Card) (gate.CardRef, error) {
	var ref gate.CardRef
	err := f.call(ctx, "send", to.String()+" "+card.Title, func() error {
		if f.gone[to.String()] {
			return gate.ErrGone
		}
		now := time.Now()
		for _, m := range slices.Backward(f.messages) {
			if m.History[0].Key == card.Key && now.Sub(m.sent) < time.Hour {
				ref = m.Ref
				return nil
			}
		}
		ref = gate.CardRef{Data: fmt.Sprintf("om_%d", len(f.messages)+1), Left: -1, Until: now.Add(14 * 24 * time.Hour)}
		f.messages = append(f.messages, &fakeMessage{
			ChatMessage: ChatMessage{To: to, Ref: ref, Card: card, History: []gate.Card{card}},
			sent:        now,
		})
		return nil
	})
	if err != nil {
		return gate.CardRef{}, err
	}
	return ref, nil
}

// Update is the port's.
func (f *FakeChat) Update(ctx context.Context, ref gate.CardRef, card gate.Card) (gate.CardRef, error) {
	f.mu.Lock()
	var m *fakeMessage
	for _, other := range f.messages {
		if other.Ref.Data == ref.Data {
			m = other
		}
	}
	f.mu.Unlock()

	what := ref.Data
	if m != nil {
		what = m.To.String()
	}
	err := f.call(ctx, "update", what+" "+card.Title, func() error {
		if m == nil || m.recalled || f.gone[m.To.String()] || time.Now().After(m.Ref.Until) {
			return gate.ErrGone
		}
		m.Card = card
		m.History = append(m.History, card)
		return nil
	})
	if err != nil {
		return gate.CardRef{}, err
	}
	return m.Ref, nil
}
