package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mrgate/internal/policy"
)

// How long an answer of the directory is believed. A miss is asked again soon:
// somebody was just told to add that person.
const (
	keepPerson = 24 * time.Hour
	keepMiss   = 10 * time.Minute
)

type barKind int

const (
	barNone barKind = iota
	barAuthor
	barCommitter
	barUnsure
)

// bar is why somebody may not approve.
type bar struct {
	kind     barKind
	username string // barUnsure: whom to add to `users`
}

// bars says why the person may not approve what they may have made themselves.
// Two people are told apart by their forge accounts alone: either it is known
// who the author is in the chat, or who the clicker is in the forge. Where
// neither is, it may be the same person.
func (p *Panel) bars(person string) bar {
	switch {
	case p.Author.ID == person:
		return bar{kind: barAuthor}
	case slices.ContainsFunc(p.Committer, func(c Person) bool { return c.ID == person }):
		return bar{kind: barCommitter}
	case len(p.Unsure) > 0 && !slices.Contains(p.Told, person):
		return bar{kind: barUnsure, username: p.Unsure[0]}
	}
	return bar{}
}

// panel looks up whom a request under the view's rule concerns.
func (w *work) panel(ctx context.Context, v *view) (Panel, error) {
	p, rule, s, c := v.rules.Policy, v.rule, v.snapshot, v.contents
	if w.g.chat == nil {
		panel := seat(p, rule, s, c, nil)
		panel.Blind = true
		return panel, nil
	}
	people, err := w.resolve(ctx, concerned(p, rule, s, c))
	if err != nil {
		return Panel{}, err
	}
	panel := seat(p, rule, s, c, people)
	if len(panel.Unsure) > 0 {
		if panel.Told, err = w.told(ctx, p, panel.Approvers); err != nil {
			return Panel{}, err
		}
	}
	return panel, nil
}

// account is the identity of a forge account, as the policy tells it.
func account(p *policy.Policy, u User) (policy.Identity, bool) {
	return p.PersonOf(policy.GitLabUser{ID: u.ID, Username: u.Username})
}

// concerned gives the identities to look up for a panel.
func concerned(p *policy.Policy, rule *policy.Rule, s *Snapshot, c *Contents) []policy.Identity {
	ids := slices.Clone(rule.Approvers)
	for _, id := range rule.CardsTo {
		if id.Kind != policy.KindGroup {
			ids = append(ids, id)
		}
	}
	users := append([]User{s.Author}, s.Reviewers...)
	for _, by := range c.Committers {
		users = append(users, by.User)
		if id, ok := emailOf(by); ok {
			ids = append(ids, id)
		}
	}
	for _, u := range users {
		if id, ok := account(p, u); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// seat makes the panel of what the directory said about those concerned.
func seat(p *policy.Policy, rule *policy.Rule, s *Snapshot, c *Contents, people map[policy.Identity]Person) Panel {
	find := func(u User) Person {
		id, ok := account(p, u)
		if !ok {
			return Person{}
		}
		return people[id]
	}
	var panel Panel
	for _, id := range rule.Approvers {
		panel.Approvers = append(panel.Approvers, Member{Identity: id, Person: people[id]})
	}
	panel.Author = find(s.Author)
	if panel.Author.ID == "" {
		panel.Unsure = append(panel.Unsure, s.Author.Username)
	}
	for _, by := range c.Committers {
		if id, ok := emailOf(by); ok {
			panel.addCommitter(people[id])
		}
		switch {
		case by.User.ID == 0 && by.User.Username == "", by.User.ID == s.Author.ID:
			// Nobody's account, or the author's.
		case find(by.User).ID != "":
			panel.addCommitter(find(by.User))
		case !slices.Contains(panel.Unsure, by.User.Username):
			panel.Unsure = append(panel.Unsure, by.User.Username)
		}
	}
	panel.Cards = panel.asked(rule, people, s.Reviewers, find)
	return panel
}

func (p *Panel) addCommitter(who Person) {
	if who.ID != "" && who.ID != p.Author.ID && !slices.Contains(p.Committer, who) {
		p.Committer = append(p.Committer, who)
	}
}

// asked says who gets a card: whom the rule names; else the reviewers who are
// approvers; else all approvers.
func (p *Panel) asked(rule *policy.Rule, people map[policy.Identity]Person, reviewers []User, find func(User) Person) []Recipient {
	var to []Recipient
	add := func(r Recipient) {
		if r.ID != "" && !slices.Contains(to, r) {
			to = append(to, r)
		}
	}
	for _, id := range rule.CardsTo {
		if id.Kind == policy.KindGroup {
			add(Recipient{Group: true, ID: id.Value})
		} else {
			add(Recipient{ID: people[id].ID})
		}
	}
	if len(rule.CardsTo) > 0 {
		return to
	}
	for _, u := range reviewers {
		who := find(u)
		if slices.ContainsFunc(p.Approvers, func(m Member) bool { return m.ID == who.ID }) {
			add(Recipient{ID: who.ID})
		}
	}
	// Fewer reviewers than the rule needs could never decide it.
	if len(to) < rule.Required {
		for _, m := range p.Approvers {
			add(Recipient{ID: m.ID})
		}
	}
	return to
}

// told gives the approvers of whom `users` says who they are in the forge.
func (w *work) told(ctx context.Context, p *policy.Policy, approvers []Member) ([]string, error) {
	var ids []policy.Identity
	for _, id := range p.Users {
		ids = append(ids, id)
	}
	people, err := w.resolve(ctx, ids)
	if err != nil {
		return nil, err
	}
	var told []string
	for _, m := range approvers {
		for _, id := range ids {
			if m.ID != "" && people[id].ID == m.ID && !slices.Contains(told, m.ID) {
				told = append(told, m.ID)
			}
		}
	}
	return told, nil
}

// emailOf is the identity that a commit's address claims.
func emailOf(by Committer) (policy.Identity, bool) {
	id, err := policy.ParseIdentity(by.Email)
	return id, err == nil && id.Kind == policy.KindEmail
}

// resolve asks what is stored, then the chat's directory. If the directory
// cannot be asked, what it said before is good enough.
func (w *work) resolve(ctx context.Context, ids []policy.Identity) (map[policy.Identity]Person, error) {
	g := w.g
	known, err := g.store.People(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read the directory: %w", err)
	}
	people := make(map[policy.Identity]Person, len(ids))
	var ask []policy.Identity
	missing := false
	for _, id := range ids {
		k, ok := known[id]
		if ok {
			people[id] = k.Person
		}
		if (!ok || k.Stale) && !slices.Contains(ask, id) {
			ask = append(ask, id)
			missing = missing || !ok
		}
	}
	if len(ask) == 0 {
		return people, nil
	}
	if err := w.renew(); err != nil {
		return nil, err
	}
	c, cancel := call(ctx)
	defer cancel()
	answers, err := g.chat.Resolve(c, ask)
	if err != nil {
		if !missing {
			g.log.Warn("the chat's directory does not answer; what it said before is used", "err", err)
			return people, nil
		}
		return nil, &chatTrouble{fmt.Errorf("look up people in the chat: %w", err)}
	}
	hits, misses := map[policy.Identity]Person{}, map[policy.Identity]Person{}
	for _, id := range ask {
		people[id] = answers[id]
		if answers[id].ID == "" || answers[id].Name == "" {
			misses[id] = answers[id] // a name may only have failed to be read
		} else {
			hits[id] = answers[id]
		}
	}
	if err := g.store.Learn(ctx, hits, keepPerson); err != nil {
		return nil, fmt.Errorf("store people: %w", err)
	}
	if err := g.store.Learn(ctx, misses, keepMiss); err != nil {
		return nil, fmt.Errorf("store people: %w", err)
	}
	return people, nil
}

// chatTrouble marks trouble with the chat, so that the forge is not blamed.
type chatTrouble struct{ err error }

func (e *chatTrouble) Error() string { return e.err.Error() }
func (e *chatTrouble) Unwrap() error { return e.err }
