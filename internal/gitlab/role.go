package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// projectMember is what GET …/members/all/:user_id answers (docs.gitlab.com/api/members).
type projectMember struct {
	user

	State           string `json:"state"`            // of the account: "active", "blocked" …
	AccessLevel     int    `json:"access_level"`     // the highest, where there are several
	ExpiresAt       string `json:"expires_at"`       // a day; "": never
	MembershipState string `json:"membership_state"` // "awaiting": it takes up no seat yet, and gives no right
}

// Role implements gate.Forge. Members of the groups above and of invited groups
// are members; an administrator is none.
func (f *Forge) Role(ctx context.Context, mr gate.Ref, of policy.GitLabUser) (gate.Role, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	found := gate.Role{User: gate.User{ID: of.ID}}
	if of.ID == 0 {
		var err error
		if found.User, err = f.named(ctx, of.Username); err != nil || found.User.ID == 0 {
			return gate.Role{}, f.fail("look for GitLab user "+of.Username+" for", mr, err)
		}
	}
	var m projectMember
	resp, err := f.call(ctx, http.MethodGet, fmt.Sprintf("projects/%d/members/all/%d", mr.Project, found.User.ID), nil, &m)
	if a, ok := errors.AsType[*answerError](err); ok && status(err) == http.StatusNotFound && !strings.Contains(a.message, "Project") {
		return found, nil // lib/api/members.rb: "404 Not found", and "404 Project Not Found" where that is missing
	}
	if err != nil {
		return gate.Role{}, f.fail("read a member's role for", mr, err)
	}
	if m.ID != found.User.ID {
		return gate.Role{}, fmt.Errorf("read a member's role for %s: GitLab's answer is about another user", mr)
	}
	return gate.Role{User: m.user.user(), Role: m.role(f.answeredAt(resp.Header))}, nil
}

// named finds the account of a username; ID 0: there is none.
func (f *Forge) named(ctx context.Context, username string) (gate.User, error) {
	opt := struct {
		Username string `url:"username"`
	}{username}
	var users []user
	if _, err := f.call(ctx, http.MethodGet, "users", opt, &users); err != nil {
		return gate.User{}, err
	}
	for _, u := range users {
		if strings.EqualFold(u.Username, username) {
			return u.user(), nil
		}
	}
	return gate.User{}, nil
}

// role is what the membership is worth at this time.
func (m *projectMember) role(now time.Time) policy.Role {
	if m.State != "active" || m.MembershipState == "awaiting" || m.over(now) {
		return ""
	}
	return roleAt(m.AccessLevel)
}

// over says that the membership has expired. GitLab takes it out only with a
// daily job; it ends with the beginning of the day, in UTC.
func (m *projectMember) over(now time.Time) bool {
	return m.ExpiresAt != "" && m.ExpiresAt <= now.UTC().Format(time.DateOnly)
}

// roleAt is the role of an access level (docs.gitlab.com/api/members, "Roles"). Those
// between, such as 15 for a planner, are worth what stands below them.
func roleAt(level int) policy.Role {
	switch {
	case level >= 50:
		return policy.RoleOwner
	case level >= 40:
		return policy.RoleMaintainer
	case level >= 30:
		return policy.RoleDeveloper
	case level >= 20:
		return policy.RoleReporter
	case level >= 10:
		return policy.RoleGuest
	}
	return ""
}
