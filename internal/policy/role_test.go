package policy

import (
	"slices"
	"testing"
)

func TestRoleCoversItselfAndWhatIsLower(t *testing.T) {
	roles := []Role{"", RoleGuest, RoleReporter, RoleDeveloper, RoleMaintainer, RoleOwner}
	for i, has := range roles {
		for j, demanded := range roles {
			if got := has.Covers(demanded); got != (i >= j) {
				t.Errorf("%q covers %q: %v", has, demanded, got)
			}
		}
	}
	if Role("admin").Covers(RoleGuest) || RoleOwner.Covers("admin") {
		t.Error("a role that does not exist counts")
	}
}

func TestAccountsAreWhoTheyAreSaidToBe(t *testing.T) {
	alice, carol := Identity{KindEmail, "alice@example.com"}, Identity{KindID, "ou_carol"}
	p := Policy{Users: map[string]Identity{"alice": carol, "47": carol, "al": alice}, UserEmail: "{username}@example.com"}
	for _, c := range []struct {
		of   []Identity
		want []GitLabUser
	}{
		{[]Identity{alice}, []GitLabUser{{Username: "al"}}}, // "alice" is said to be Carol
		{[]Identity{carol}, []GitLabUser{{ID: 47}, {Username: "alice"}}},
		{[]Identity{{KindEmail, "bob@example.com"}}, []GitLabUser{{Username: "bob"}}},
		{[]Identity{{KindEmail, "bob@elsewhere.example"}}, nil},
		{[]Identity{{KindMobile, "+8613800138000"}}, nil},
	} {
		if got := p.AccountsOf(c.of...); !slices.Equal(got, c.want) {
			t.Errorf("accounts of %v: %v, want %v", c.of, got, c.want)
		}
	}
}
