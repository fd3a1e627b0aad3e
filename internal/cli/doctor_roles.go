package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/policy"
)

// roles checks whether the rule's approvers have the role in GitLab that it demands.
func (d *doctor) roles(r *policy.Rule, known map[policy.Identity]gate.Person, projects []examined) {
	const check = "policy.role"
	if r.RequireRole == "" {
		return
	}
	var read []examined // of those that the rule covers
	var unread []string
	one := policy.Policy{Rules: []policy.Rule{*r}}
	for i := range projects {
		switch {
		case !one.Covers(projects[i].ref()):
		case projects[i].doors.MembersTold:
			read = append(read, projects[i])
		default:
			unread = append(unread, projects[i].Path)
		}
	}
	for _, person := range able(r, known) {
		d.role(r, person, known, read)
	}
	look := fmt.Sprintf("look in GitLab under Manage > Members that its approvers are %s or more", r.RequireRole)
	switch {
	case len(unread) > 0:
		d.unchecked(check, r.Name, look, "it takes the role %s to approve; GitLab does not tell the members of %s", r.RequireRole, some(unread, clean))
	case len(read) == 0:
		d.unchecked(check, r.Name, look, "it takes the role %s to approve; of none of its projects the members are known", r.RequireRole)
	}
	for i := range read {
		have := 0
		for _, person := range able(r, known) {
			if d.highest(person, known, &read[i]).Covers(r.RequireRole) {
				have++
			}
		}
		if have < r.Required {
			d.fail(check, r.Name, "see the lines on its approvers", "nobody gets through in %s: it takes %s of somebody who is %s there, and of its approvers that are %d",
				clean(read[i].Path), plural(r.Required, "approval"), r.RequireRole, have)
		}
	}
}

// role checks one of the approvers in the projects whose members are known.
func (d *doctor) role(r *policy.Rule, person string, known map[policy.Identity]gate.Person, projects []examined) {
	const check = "policy.role"
	ids := identities(person, known)
	who := clean(cmp.Or(known[ids[0]].Name, ids[0].Value))
	accounts := d.cfg.Policy.AccountsOf(ids...)
	if len(accounts) == 0 {
		d.warn(check, r.Name, "add their GitLab username to users in the policy", "nobody can tell who %s is in GitLab, so their approval does not count: it takes the role %s", who, r.RequireRole)
		return
	}
	var lacks []string
	for i := range projects {
		if !d.highest(person, known, &projects[i]).Covers(r.RequireRole) {
			lacks = append(lacks, projects[i].Path)
		}
	}
	var names []string
	for _, u := range accounts {
		names = append(names, cmp.Or(u.Username, fmt.Sprint("user ", u.ID)))
	}
	called := who + " (" + clean(strings.Join(names, ", ")) + ")"
	switch {
	case len(lacks) > 0:
		d.warn(check, r.Name, "give them that role in GitLab under Manage > Members, or demand less by require_gitlab_role",
			"%s is not %s in %s, so their approval does not count there", called, r.RequireRole, some(lacks, clean))
	case len(projects) > 0:
		d.ok(check, r.Name, "%s is %s or more in %s", called, r.RequireRole, plural(len(projects), "project"))
	}
}

// identities gives all by which the policy names a person, at least one.
func identities(person string, known map[policy.Identity]gate.Person) (ids []policy.Identity) {
	for id, who := range known {
		if who.ID == person {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b policy.Identity) int { return cmp.Compare(a.Value, b.Value) })
	return ids
}

// highest is the highest role that one of a person's accounts has in the project.
func (d *doctor) highest(person string, known map[policy.Identity]gate.Person, project *examined) (role policy.Role) {
	for _, u := range d.cfg.Policy.AccountsOf(identities(person, known)...) {
		for _, m := range project.doors.Members {
			if d.is(u, m) && m.Role.Covers(role) {
				role = m.Role
			}
		}
	}
	return role
}

// is says that the member is the account that the policy means. It may say by the
// ID that a username is somebody else's.
func (d *doctor) is(u policy.GitLabUser, m gitlab.Member) bool {
	if u.ID != 0 {
		return u.ID == m.ID
	}
	said, _ := d.cfg.Policy.PersonOf(u)
	found, ok := d.cfg.Policy.PersonOf(policy.GitLabUser{ID: m.ID, Username: m.Username})
	return strings.EqualFold(u.Username, m.Username) && ok && found == said
}
