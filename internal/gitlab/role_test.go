package gitlab_test

import (
	"fmt"
	"testing"

	"mrgate/internal/gitlabsim"
	"mrgate/internal/policy"
)

func TestRoleOfWhoHasNoRight(t *testing.T) {
	for name, c := range map[string]struct {
		member string
		want   policy.Role
	}{
		"an owner":     {`"state": "active", "access_level": 50`, policy.RoleOwner},
		"a planner":    {`"state": "active", "access_level": 15`, policy.RoleGuest},
		"minimal":      {`"state": "active", "access_level": 5`, ""},
		"blocked":      {`"state": "blocked", "access_level": 50`, ""},
		"awaiting":     {`"state": "active", "access_level": 50, "membership_state": "awaiting"`, ""},
		"expired":      {`"state": "active", "access_level": 50, "expires_at": "2001-02-03"`, ""},
		"expires late": {`"state": "active", "access_level": 40, "expires_at": "2999-02-03"`, policy.RoleMaintainer},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, _ := s.open(gitlabsim.MergeRequest{Source: "retries", Target: "main", Author: "bob"})
			s.Inject(gitlabsim.Fault{
				PathSuffix: "/members/all/47", Status: 200, Body: fmt.Sprintf(`{"id": 47, "username": "alice", %s}`, c.member),
			})
			got, err := s.forge.Role(t.Context(), ref, policy.GitLabUser{ID: 47})
			if err != nil || got.Role != c.want || got.User.Username != "alice" {
				t.Errorf("got %+v, %v, want %q", got, err, c.want)
			}
		})
	}
}
