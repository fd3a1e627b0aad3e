package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Role is what somebody may do in a GitLab project. The zero value is none, and
// as a rule's demand asks for none.
type Role string

// The roles that a rule can demand, as GitLab calls them.
const (
	RoleGuest      Role = "guest"
	RoleReporter   Role = "reporter"
	RoleDeveloper  Role = "developer"
	RoleMaintainer Role = "maintainer"
	RoleOwner      Role = "owner"
)

// ranks are the roles from the lowest on.
func ranks() []Role {
	return []Role{"", RoleGuest, RoleReporter, RoleDeveloper, RoleMaintainer, RoleOwner}
}

// Covers says that the role is the demanded one or a higher one. A role that does
// not exist covers nothing but the lack of a demand.
func (r Role) Covers(demanded Role) bool {
	return demanded == "" || slices.Index(ranks(), r) >= slices.Index(ranks(), demanded) && slices.Contains(ranks(), demanded)
}

// AccountsOf is the inverse of [Policy.PersonOf]: the GitLab users of whom the
// policy says that they are the person of one of the identities, each by its ID
// or by its username. Nil: the policy cannot tell.
func (p *Policy) AccountsOf(ids ...Identity) []GitLabUser {
	var users []GitLabUser
	for _, key := range slices.Sorted(maps.Keys(p.Users)) {
		if !slices.Contains(ids, p.Users[key]) {
			continue
		}
		if !allDigits(key) {
			users = append(users, GitLabUser{Username: key})
		} else if id, err := strconv.ParseInt(key, 10, 64); err == nil {
			users = append(users, GitLabUser{ID: id})
		}
	}
	before, after, _ := strings.Cut(strings.ToLower(p.UserEmail), placeholder)
	for _, id := range ids {
		name, starts := strings.CutPrefix(id.Value, before)
		name, ends := strings.CutSuffix(name, after)
		who, ok := p.PersonOf(GitLabUser{Username: name})
		user := GitLabUser{Username: name}
		if p.UserEmail != "" && starts && ends && ok && who == id && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users
}
