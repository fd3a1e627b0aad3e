package policy

import (
	"slices"
	"strconv"
)

// Warnings returns what is no mistake, and yet probably not meant: rules that
// some merge requests can never get through. The policy is one that Validate has
// nothing against.
func (p *Policy) Warnings() []Problem {
	v := &validator{problems: &[]Problem{}}
	for i := range p.Rules {
		r, at := &p.Rules[i], v.at("rules", strconv.Itoa(i))
		at.ownWork(p, r)
		at.roles(p, r)
		at.cards(r)
	}
	return *v.problems
}

// ownWork warns of what follows from author and committers not being allowed to
// approve.
func (v *validator) ownWork(p *Policy, r *Rule) {
	if r.AllowSelfApproval {
		return
	}
	if len(p.Users) == 0 && p.UserEmail == "" {
		v.say("", "rule %s: nobody can tell who the author is in the chat, so no approval will count; add users or user_email, or allow_self_approval: true", quote(r.Name))
	}
	people := map[Identity]bool{}
	for _, who := range r.Approvers {
		people[who] = true
	}
	switch n := len(people); {
	case n > r.Required:
	case n == 1:
		v.say("approvers", "rule %s: nobody can approve what its one approver wrote; add another", quote(r.Name))
	default:
		v.say("required", "rule %s: all %d approvers are required, so nobody can get through what one of them wrote; add an approver, or require fewer", quote(r.Name), n)
	}
}

// roles warns of approvers of whom nobody can tell who they are in GitLab.
func (v *validator) roles(p *Policy, r *Rule) {
	if r.RequireRole != "" && len(p.Users) == 0 && p.UserEmail == "" {
		v.say("require_gitlab_role", "rule %s: nobody can tell who the approvers are in GitLab, so no approval will count; add users or user_email", quote(r.Name))
	}
}

// cards warns of cards that go to too few who may decide. A group may hold them all.
func (v *validator) cards(r *Rule) {
	asked := 0
	for _, who := range r.CardsTo {
		if who.Kind == KindGroup {
			return
		}
		if slices.Contains(r.Approvers, who) {
			asked++
		}
	}
	if len(r.CardsTo) > 0 && asked < r.Required {
		v.say("cards_to", "rule %s: cards_to asks %d of its approvers, and %d are required; list more of them, or leave cards_to out", quote(r.Name), asked, r.Required)
	}
}
