package gate

import (
	"context"
	"maps"
	"slices"

	"mrgate/internal/policy"
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
func (w *work) panel(ctx context.Context, v *view) error {
	p, rule, s, c := v.rules.Policy, v.rule, v.snapshot, v.contents
	if w.g.chat == nil {
		panel := seat(p, rule, s, c, &directory{})
		panel.Blind = true
		v.panel = &panel
		return nil
	}
	found, err := w.resolve(ctx, concerned(p, rule, s, c))
	if err != nil {
		return err
	}
	panel := seat(p, rule, s, c, found)
	if len(panel.Unsure) > 0 {
		if panel.Told, err = w.told(ctx, p, panel.Approvers); err != nil {
			return err
		}
	}
	v.panel, v.fresh = &panel, found.fresh
	return nil
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
	if rule.RequireRole != "" {
		ids = slices.AppendSeq(ids, maps.Values(p.Users))
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
func seat(p *policy.Policy, rule *policy.Rule, s *Snapshot, c *Contents, d *directory) Panel {
	find := func(u User) Person {
		id, ok := account(p, u)
		if !ok {
			return Person{}
		}
		return d.people[id]
	}
	var panel Panel
	for _, id := range rule.Approvers {
		who := d.people[id]
		if now := (policy.Identity{Kind: policy.KindID, Value: d.others[id].Now}); slices.Contains(rule.Approvers, now) {
			who = d.people[now] // the policy names that person
		} else {
			panel.mind(id, who, d)
		}
		m := Member{Identity: id, Person: who}
		if rule.RequireRole != "" && who.ID != "" {
			m.Accounts = p.AccountsOf(d.identities(who.ID)...)
		}
		panel.Approvers = append(panel.Approvers, m)
	}
	for _, id := range rule.CardsTo {
		if id.Kind != policy.KindGroup && !slices.Contains(rule.Approvers, id) {
			panel.mind(id, d.people[id], d)
		}
	}
	panel.Author = find(s.Author)
	panel.barOthers(p, s.Author, d)
	if panel.Author.ID == "" {
		panel.unsure(p, s.Author)
	}
	for _, by := range c.Committers {
		if id, ok := emailOf(by); ok {
			panel.addCommitter(d.people[id])
			panel.barOther(id, d)
		}
		panel.barOthers(p, by.User, d)
		switch {
		case by.User.ID == 0 && by.User.Username == "", by.User.ID == s.Author.ID:
			// Nobody's account, or the author's.
		case find(by.User).ID != "":
			panel.addCommitter(find(by.User))
		case !slices.Contains(panel.Unsure, by.User.Username):
			panel.unsure(p, by.User)
		}
	}
	panel.Cards = panel.asked(rule, d.people, s.Reviewers, find)
	return panel
}

// unsure notes a forge account of which nobody knows who that is in the chat.
func (p *Panel) unsure(of *policy.Policy, u User) {
	p.Unsure = append(p.Unsure, u.Username)
	if _, ok := account(of, u); ok {
		p.Sought = true
	}
}

// mind notes that the identity is nobody's, or somebody else's than it was.
func (p *Panel) mind(id policy.Identity, who Person, d *directory) {
	other, changed := d.others[id]
	switch {
	case changed && !slices.Contains(p.Others, other):
		p.Others = append(p.Others, other)
	case !changed && who.ID == "" && !slices.Contains(p.Missing, id.Value):
		p.Missing = append(p.Missing, id.Value)
	}
}

// barOthers is barOther for a forge account.
func (p *Panel) barOthers(of *policy.Policy, u User, d *directory) {
	if id, ok := account(of, u); ok {
		p.barOther(id, d)
	}
}

// barOther keeps both from approving, whose the identity was and whose it is: it
// may be either who made what is to be approved.
func (p *Panel) barOther(id policy.Identity, d *directory) {
	if other, changed := d.others[id]; changed {
		p.mind(id, Person{}, d)
		p.addCommitter(Person{ID: other.First})
		p.addCommitter(Person{ID: other.Now})
	}
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
	able := 0
	for _, u := range reviewers {
		who := Recipient{ID: find(u).ID}
		if who.ID == "" || slices.Contains(to, who) || !slices.ContainsFunc(p.Approvers, func(m Member) bool { return m.ID == who.ID }) {
			continue
		}
		add(who)
		if kind := p.bars(who.ID).kind; rule.AllowSelfApproval || kind != barAuthor && kind != barCommitter {
			able++
		}
	}
	// Fewer reviewers than the rule needs could never decide it.
	if able < rule.Required {
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
	found, err := w.resolve(ctx, ids)
	if err != nil {
		return nil, err
	}
	var told []string
	for _, m := range approvers {
		for _, id := range ids {
			if m.ID != "" && found.people[id].ID == m.ID && !slices.Contains(told, m.ID) {
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
