package cli

import (
	"io"
	"testing"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
)

func testDoctor(out io.Writer) *doctor {
	return &doctor{env: &Environment{Stdout: out, Stderr: out}, cfg: &config.Config{}}
}

func TestProtectedNamesHoldForBranches(t *testing.T) {
	for _, c := range []struct {
		protected, name string
		want            bool
	}{
		{"main", "main", true},
		{"main", "main2", false},
		{"main", "Main", false},
		{"release/*", "release/1", true},
		{"release/*", "release/1/2", true},
		{"release/*", "release/*", true},
		{"*-stable", "1-stable", true},
		{"*", "a/b", true},
		{"v1.0", "v1x0", false},
	} {
		if got := covers(c.protected, c.name); got != c.want {
			t.Errorf("covers(%q, %q) = %t", c.protected, c.name, got)
		}
	}
}

// Whoever may change a branch, from the members and from what is protected.
func TestWhoMayChangeABranch(t *testing.T) {
	const bot, alice = 1, 2
	role := func(level gitlab.Level) []gitlab.Access { return []gitlab.Access{{Level: level}} }
	user := func(id int64) []gitlab.Access { return []gitlab.Access{{Level: gitlab.Maintainer, User: id}} }
	none := role(gitlab.NoAccess)
	for name, c := range map[string]struct {
		own         gitlab.Level
		rules       []gitlab.Protected
		may         answer
		others      int
		groups      bool
		closed      bool
		toldNothing bool
	}{
		"not protected":                {own: gitlab.Developer, may: yes, closed: true},
		"not known":                    {own: gitlab.Maintainer, may: perhaps, closed: true, toldNothing: true},
		"maintainers, and it is one":   {own: gitlab.Maintainer, rules: []gitlab.Protected{{Merge: role(gitlab.Maintainer), Push: none}}, may: yes, others: 1},
		"maintainers, and it is none":  {own: gitlab.Developer, rules: []gitlab.Protected{{Merge: role(gitlab.Maintainer), Push: none}}, may: no, others: 1},
		"nobody":                       {own: gitlab.Maintainer, rules: []gitlab.Protected{{Merge: none, Push: none}}, may: no, closed: true},
		"it by name":                   {own: gitlab.Developer, rules: []gitlab.Protected{{Merge: user(bot), Push: none}}, may: yes, closed: true},
		"another by name":              {own: gitlab.Maintainer, rules: []gitlab.Protected{{Merge: user(alice), Push: none}}, may: no, others: 1},
		"somebody who is no member":    {own: gitlab.Maintainer, rules: []gitlab.Protected{{Merge: user(99), Push: none}}, may: no, groups: true},
		"a group":                      {own: gitlab.Maintainer, rules: []gitlab.Protected{{Merge: []gitlab.Access{{Level: 40, Group: 7}}, Push: none}}, may: perhaps, groups: true},
		"a deploy key pushes":          {own: gitlab.Maintainer, rules: []gitlab.Protected{{Merge: user(bot), Push: []gitlab.Access{{Level: 40, DeployKey: 3}}}}, may: yes, groups: true},
		"two rules, one of them opens": {own: gitlab.Developer, rules: []gitlab.Protected{{Merge: none, Push: none}, {Merge: role(gitlab.Developer), Push: none}}, may: yes, others: 2},
	} {
		t.Run(name, func(t *testing.T) {
			doors := gitlab.Doors{Own: c.own, Told: !c.toldNothing, Members: []gitlab.Member{
				{User: gate.User{ID: bot}, Level: c.own}, {User: gate.User{ID: alice}, Level: 50}, {User: gate.User{ID: 3}, Level: gitlab.Developer},
			}}
			b := branch{name: "main", rules: c.rules}
			others, groups := b.others(doors, bot)
			if may, closed := b.mayMerge(doors, bot), b.closed(bot); may != c.may || len(others) != c.others || groups != c.groups || closed != c.closed {
				t.Errorf("may %d, others %v, groups %t, closed %t; want %d, %d, %t, %t", may, others, groups, closed, c.may, c.others, c.groups, c.closed)
			}
		})
	}
}
