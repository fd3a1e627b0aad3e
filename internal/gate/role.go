package gate

import (
	"context"
	"fmt"
	"slices"

	"mrgate/internal/policy"
)

// accountsOf are the person's in the forge; nil: nobody can tell.
func (r *Request) accountsOf(person string) []policy.GitLabUser { return r.Panel.accountsOf(person) }

func (p *Panel) accountsOf(person string) []policy.GitLabUser {
	var users []policy.GitLabUser
	for _, m := range p.Approvers {
		if person == "" || m.ID != person {
			continue
		}
		for _, u := range m.Accounts {
			if !slices.Contains(users, u) {
				users = append(users, u)
			}
		}
	}
	return users
}

// givers are the people who approved with a card.
func (r *Request) givers() []string {
	var people []string
	for _, d := range r.Decisions {
		if d.Verdict == Approve && d.Via == viaCard {
			people = append(people, d.Person)
		}
	}
	return people
}

// lostRole says that the approval does not count because its giver lacks, by
// what is known, the role that the rule demands.
func (r *Request) lostRole(d *Decision) bool {
	return d.Void && d.Verdict == Approve && d.Via == viaCard && r.Rule.RequireRole != "" && r.mayApprove(d.Person)
}

// roles reads what role they have in the forge whose approval is to count, where
// the rule demands one. Each look reads them anew, and so does the one right
// before mrgate acts.
func (w *work) roles(ctx context.Context, v *view) error {
	mr, cur := w.mr, w.mr.Current()
	if v.rule == nil || v.rule.RequireRole == "" || !v.snapshot.Ready() {
		return nil
	}
	var people []string
	var panel *Panel
	if cur != nil && cur.State.Followed() && v.rules.minds(cur.Dry) {
		panel = &cur.Panel
		if !cur.ends() || !cur.Approve.done() {
			people = cur.givers()
		}
	}
	if v.panel != nil {
		panel = v.panel
	}
	if panel == nil {
		return nil
	}
	for _, c := range mr.Claims {
		if c.Refused == "" && c.Action == ActionApprove && !slices.Contains(people, c.Person.ID) {
			people = append(people, c.Person.ID)
		}
	}
	roles := make(map[string]policy.Role, len(people))
	for _, person := range people {
		role, err := w.roleOf(ctx, v.rules.Policy, panel.accountsOf(person))
		if err != nil {
			return fmt.Errorf("read who may approve: %w", err)
		}
		roles[person] = role
	}
	v.roles = roles
	return nil
}

// roleOf is the highest role that one of a person's accounts has.
func (w *work) roleOf(ctx context.Context, p *policy.Policy, accounts []policy.GitLabUser) (policy.Role, error) {
	var highest policy.Role
	for _, u := range accounts {
		if err := w.renew(); err != nil {
			return "", err
		}
		c, cancel := call(ctx)
		found, err := w.g.forge.Role(c, w.mr.Ref, u)
		cancel()
		if err != nil {
			return "", err
		}
		// `users` may say by the ID that the username is somebody else's.
		said, _ := p.PersonOf(u)
		if is, ok := account(p, found.User); u.ID == 0 && (!ok || is != said) {
			continue
		}
		if found.Role.Covers(highest) {
			highest = found.Role
		}
	}
	return highest, nil
}

// recountRoles has approvals count by what is known of their givers' roles now,
// under the rule that the request already has.
func (mr *MergeRequest) recountRoles(r *Request, v view) {
	role := r.Rule.RequireRole
	if v.roles == nil || role == "" || r.PolicyHash != v.rules.hash || !r.State.Followed() || r.ends() && r.Approve.done() {
		return
	}
	for _, d := range r.Decisions {
		has, known := v.roles[d.Person]
		if d.Verdict == Approve && d.Via == viaCard && known && r.mayApprove(d.Person) {
			mr.count(r, d, has.Covers(role), role)
		}
	}
	mr.counted(r)
}
