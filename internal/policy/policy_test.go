package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// email returns an identity that a test can write down quickly.
func email(name string) Identity { return Identity{KindEmail, name + "@example.com"} }

// rule returns a good rule, made different by the functions.
func rule(name string, change ...func(*Rule)) Rule {
	r := NewRule(1)
	r.Name = name
	r.Projects = []string{"payments/*"}
	r.TargetBranches = []string{"main"}
	r.Approvers = []Identity{email("alice"), email("carol")}
	for _, c := range change {
		c(&r)
	}
	return r
}

func on(projects, targets string) func(*Rule) {
	return func(r *Rule) { r.Projects, r.TargetBranches = strings.Fields(projects), strings.Fields(targets) }
}

func with(rules ...Rule) *Policy {
	p := New()
	p.Rules = rules
	return p
}

func TestFirstMatchingRuleHolds(t *testing.T) {
	p := with(
		rule("one", on("payments/api 47", "main")),
		rule("tree", on("Payments/**", "release/*")),
		rule("all", on("**", "main")),
	)
	if problems := p.Validate(); len(problems) > 0 {
		t.Fatalf("a good policy is refused: %v", problems)
	}
	for _, tc := range []struct {
		project ProjectRef
		target  string
		want    string
	}{
		{ProjectRef{1, "payments/api"}, "main", "one"},
		{ProjectRef{1, "PayMents/API"}, "main", "one"}, // paths fold
		{ProjectRef{1, "payments/api"}, "Main", ""},    // branches do not
		{ProjectRef{47, "renamed/elsewhere"}, "main", "one"},
		{ProjectRef{4, "x/47"}, "main", "all"}, // an ID is no path
		{ProjectRef{1, "payments/api/v2"}, "release/1", "tree"},
		{ProjectRef{1, "payments/api"}, "release/1/2", ""}, // * stays within a part
		{ProjectRef{1, "other/thing"}, "main", "all"},
		{ProjectRef{1, "other/thing"}, "dev", ""},
		{ProjectRef{ID: 5}, "main", "all"},
	} {
		got := ""
		if r := p.Match(tc.project, tc.target); r != nil {
			got = r.Name
		}
		if got != tc.want {
			t.Errorf("Match(%v, %q) = %q, want %q", tc.project, tc.target, got, tc.want)
		}
	}
}

func TestCoversIsTrueWhateverTheTarget(t *testing.T) {
	p := with(rule("r", on("payments/* 47", "main")))
	for _, tc := range []struct {
		project ProjectRef
		want    bool
	}{
		{ProjectRef{1, "payments/api"}, true},
		{ProjectRef{1, "PAYMENTS/api"}, true},
		{ProjectRef{47, "x/y"}, true},
		{ProjectRef{1, "payments/api/deep"}, false},
		{ProjectRef{1, "x/y"}, false},
	} {
		if got := p.Covers(tc.project); got != tc.want {
			t.Errorf("Covers(%v) = %v", tc.project, got)
		}
	}
	if New().Covers(ProjectRef{1, "a/b"}) {
		t.Error("a policy without rules covers a project")
	}
}

func TestPersonOf(t *testing.T) {
	p := New()
	p.Users = map[string]Identity{"bob": email("bob"), "47": email("by-id"), "dave": {KindMobile, "+8613800138000"}}
	p.UserEmail = "{username}@corp.example"
	for _, tc := range []struct {
		user GitLabUser
		want string
	}{
		{GitLabUser{1, "bob"}, "bob@example.com"},
		{GitLabUser{1, "BOB"}, "bob@example.com"},
		{GitLabUser{47, "bob"}, "by-id@example.com"}, // the ID cannot be chosen, so it comes first
		{GitLabUser{9, "47"}, "47@corp.example"},     // a username of digits is no ID
		{GitLabUser{1, "Erin.X"}, "erin.x@corp.example"},
		{GitLabUser{1, "dave"}, "+8613800138000"},
		{GitLabUser{1, "evil@example.com"}, ""},
		{GitLabUser{1, ""}, ""},
	} {
		who, ok := p.PersonOf(tc.user)
		if who.Value != tc.want || ok != (tc.want != "") {
			t.Errorf("PersonOf(%v) = %v, %v, want %q", tc.user, who, ok, tc.want)
		}
	}
	p.UserEmail = ""
	if who, ok := p.PersonOf(GitLabUser{1, "erin"}); ok {
		t.Errorf("without user_email, erin is %v", who)
	}
}

func TestParseIdentity(t *testing.T) {
	for in, want := range map[string]Identity{
		"Alice@Example.COM":      {KindEmail, "alice@example.com"},
		"a.b+c@sub.example.com":  {KindEmail, "a.b+c@sub.example.com"},
		"ou_odd@example.com":     {KindEmail, "ou_odd@example.com"},
		"+8613800138000":         {KindMobile, "+8613800138000"},
		"+86 138-0013 8000":      {KindMobile, "+8613800138000"},
		"+1 (415) 555.0100":      {KindMobile, "+14155550100"},
		"ou_7d8a6e6df7621556ce0": {KindID, "ou_7d8a6e6df7621556ce0"},
		"oc_a0553eda9014c201e69": {KindGroup, "oc_a0553eda9014c201e69"},
	} {
		if got, err := ParseIdentity(in); err != nil || got != want {
			t.Errorf("ParseIdentity(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", " ", "bob", "@", "a@", "@b", "a@b@c", "a b@example.com", "<at id=all>@example.com", "a@exa mple.com", "a@b..c",
		"Alice <alice@example.com>", "alice@example.com\n", "+", "+86", "+0123456789", "+1234567890123456", "+86abc4567",
		"13800138000", "ou_", "oc_", "ou_<at>", "OU_abc", "on_abc",
	} {
		if got, err := ParseIdentity(in); err == nil {
			t.Errorf("ParseIdentity(%q) = %v, want an error", in, got)
		} else if strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("ParseIdentity(%q): the error has several lines: %q", in, err)
		}
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"13d": 13 * day, "4h": 4 * time.Hour, "90m": 90 * time.Minute, "1d12h": 36 * time.Hour, "0": 0, "0s": 0, "1h30m": 90 * time.Minute,
	} {
		got, err := ParseDuration(in)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v", in, got, err)
		}
		if back, err := ParseDuration(FormatDuration(got)); err != nil || back != got {
			t.Errorf("FormatDuration(%v) = %q does not read back", got, FormatDuration(got))
		}
	}
	for _, in := range []string{"", "d", "-1d", "-4h", "+4h", "4", "1d-1h", "1.5d", "1w", "999999999d", "106751d24h", "1d1d", "1h1d"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
	for want, in := range map[string]time.Duration{"13d": 13 * day, "1d12h": 36 * time.Hour, "4h": 4 * time.Hour, "1h30m": 90 * time.Minute, "1m30s": 90 * time.Second, "0s": 0} {
		if got := FormatDuration(in); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestValidateNamesTheProblem(t *testing.T) {
	no, yes := false, true
	for _, tc := range []struct {
		name  string
		spoil func(*Policy)
		path  string // where; empty: nothing is wrong
		text  string // part of what
	}{
		{"good", func(*Policy) {}, "", ""},
		{"no rules at all", func(p *Policy) { p.Rules = nil }, "", ""},
		{"squash: true", func(p *Policy) { p.Rules[0].Merge.Squash = &yes }, "", ""},
		{"squash: false", func(p *Policy) { p.Rules[0].Merge.Squash = &no }, "rules 0 merge squash", "GitLab ignores it"},
		{"keep the source branch", func(p *Policy) { p.Rules[0].Merge.RemoveSourceBranch = &no }, "", ""},
		{"no approvers", func(p *Policy) { p.Rules[0].Approvers = nil }, "rules 0 approvers", "missing or empty"},
		{"a group decides", func(p *Policy) { p.Rules[0].Approvers[1] = Identity{KindGroup, "oc_x"} }, "rules 0 approvers 1", "only people decide"},
		{"no identity", func(p *Policy) { p.Rules[0].Approvers[1] = Identity{} }, "rules 0 approvers 1", "no identity"},
		{"cards to a group", func(p *Policy) { p.Rules[0].CardsTo = []Identity{{KindGroup, "oc_x"}} }, "", ""},
		{"cards to nobody", func(p *Policy) { p.Rules[0].CardsTo = []Identity{{}} }, "rules 0 cards_to 0", "no identity"},
		{"required 0", func(p *Policy) { p.Rules[0].Required = 0 }, "rules 0 required", "1 or more"},
		{"required 2 of 2", func(p *Policy) { p.Rules[0].Required = 2 }, "", ""},
		{"required 3 of 2", func(p *Policy) { p.Rules[0].Required = 3 }, "rules 0 required", "lists 2"},
		{"required 2, one twice", func(p *Policy) {
			p.Rules[0].Required, p.Rules[0].Approvers[1] = 2, p.Rules[0].Approvers[0]
		}, "rules 0 required", "lists 1"},
		{"no projects", func(p *Policy) { p.Rules[0].Projects = nil }, "rules 0 projects", "missing or empty"},
		{"no targets", func(p *Policy) { p.Rules[0].TargetBranches = nil }, "rules 0 target_branches", "missing or empty"},
		{"bad project glob", func(p *Policy) { p.Rules[0].Projects = []string{"a/b", "a/[b"} }, "rules 0 projects 1", "not a glob"},
		{"bad target glob", func(p *Policy) { p.Rules[0].TargetBranches = []string{"{a"} }, "rules 0 target_branches 0", "not a glob"},
		{"empty target", func(p *Policy) { p.Rules[0].TargetBranches = []string{""} }, "rules 0 target_branches 0", "not a glob"},
		{"project without group", func(p *Policy) { p.Rules[0].Projects = []string{"*"} }, "rules 0 projects 0", "has a group"},
		{"project as address", func(p *Policy) { p.Rules[0].Projects = []string{"https://gitlab.com/a/b"} }, "rules 0 projects 0", "path alone"},
		{"project with slash before", func(p *Policy) { p.Rules[0].Projects = []string{"/a/b"} }, "rules 0 projects 0", "path alone"},
		{"project ID", func(p *Policy) { p.Rules[0].Projects = []string{"47778247"} }, "", ""},
		{"project ID with a zero before", func(p *Policy) { p.Rules[0].Projects = []string{"0123"} }, "rules 0 projects 0", "project ID"},
		{"project ID too large", func(p *Policy) { p.Rules[0].Projects = []string{"9223372036854775808"} }, "rules 0 projects 0", "project ID"},
		{"alternatives", func(p *Policy) { p.Rules[0].Projects = []string{"{a/b,c/*}"} }, "", ""},
		{"on_approve", func(p *Policy) { p.Rules[0].OnApprove = "ship" }, "rules 0 on_approve", `"ship" is unknown; write merge or approve`},
		{"on_reject", func(p *Policy) { p.Rules[0].OnReject = "burn" }, "rules 0 on_reject", "close or comment"},
		{"empty name", func(p *Policy) { p.Rules[0].Name = " " }, "rules 0 name", "empty"},
		{"unprintable name", func(p *Policy) { p.Rules[0].Name = "a\x1b[31m" }, "rules 0 name", `"a\x1b[31m"`},
		{"duplicate name", func(p *Policy) { p.Rules = append(p.Rules, rule("r", on("x/y", "main"))) }, "rules 1 name", "name of rule 1 already"},
		{"expires after 14d", func(p *Policy) { p.Rules[0].ExpireAfter = 14 * day }, "", ""},
		{"expires later", func(p *Policy) { p.Rules[0].ExpireAfter = 14*day + 1 }, "rules 0 expire_after", "Feishu's cards die"},
		{"expires at once", func(p *Policy) { p.Rules[0].ExpireAfter = 0 }, "rules 0 expire_after", "1s"},
		{"reminds too late", func(p *Policy) { p.Rules[0].RemindAfter = 13 * day }, "rules 0 remind_after", "never comes"},
		{"reminds at once", func(p *Policy) { p.Rules[0].RemindAfter = 1 }, "rules 0 remind_after", "less than 1s"},
		{"reminds", func(p *Policy) { p.Rules[0].RemindAfter = 4 * time.Hour }, "", ""},
		{"user with @", func(p *Policy) { p.Users["@bob"] = email("bob") }, "users @bob", "without @"},
		{"user ID with a zero before", func(p *Policy) { p.Users["007"] = email("bob") }, "users 007", "user ID"},
		{"user in upper case", func(p *Policy) { p.Users["Bob"] = email("bob") }, "users Bob", "lower case"},
		{"user is a group", func(p *Policy) { p.Users["bob"] = Identity{KindGroup, "oc_x"} }, "users bob", "is a group"},
		{"user is nobody", func(p *Policy) { p.Users["bob"] = Identity{} }, "users bob", "no identity"},
		{"user_email", func(p *Policy) { p.UserEmail = "{username}@example.com" }, "", ""},
		{"user_email without a place", func(p *Policy) { p.UserEmail = "bob@example.com" }, "user_email", "{username}@example.com"},
		{"user_email with another place", func(p *Policy) { p.UserEmail = "{username}.{x}@example.com" }, "user_email", "makes no address"},
		{"user_email where the user picks the domain", func(p *Policy) { p.UserEmail = "x@{username}" }, "user_email", "makes no address"},
		{"adopt_cards", func(p *Policy) { p.AdoptCards = "perhaps" }, "adopt_cards", "confirm, trust or refuse"},
		{"note", func(p *Policy) { p.Note = "loud" }, "note", "public, internal or off"},
		{"operator_decisions", func(p *Policy) { p.OperatorDecisions = "" }, "operator_decisions", "allow or deny"},
		{"locale", func(p *Policy) { p.Locale = "fr" }, "locale", "zh or en"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := with(rule("r"))
			tc.spoil(p)
			problems := p.Validate()
			if tc.path == "" {
				if len(problems) > 0 {
					t.Fatalf("refused: %q", problems)
				}
				return
			}
			if len(problems) != 1 {
				t.Fatalf("got %d problems, want one: %q", len(problems), problems)
			}
			if got := strings.Join(problems[0].Path, " "); got != tc.path {
				t.Errorf("path %q, want %q", got, tc.path)
			}
			if text := problems[0].Text; !strings.Contains(text, tc.text) || strings.ContainsAny(text, "\n\r\x1b") {
				t.Errorf("text %q, want one line with %q", text, tc.text)
			}
		})
	}
}

func TestRuleBehindAWiderOneIsRefused(t *testing.T) {
	for _, tc := range []struct {
		earlier, later [2]string
		covered        bool
	}{
		{[2]string{"a/b", "main"}, [2]string{"a/b", "main"}, true},
		{[2]string{"A/b", "main"}, [2]string{"a/B", "main"}, true},
		{[2]string{"a/b", "main"}, [2]string{"a/b", "Main"}, false},
		{[2]string{"**", "main"}, [2]string{"a/* 47", "main"}, true},
		{[2]string{"a/b", "**"}, [2]string{"a/b", "main release/*"}, true},
		{[2]string{"a/b", "main"}, [2]string{"a/b", "main release/*"}, false},
		{[2]string{"a/b a/c", "main dev"}, [2]string{"a/c", "dev main"}, true},
		{[2]string{"a/*", "main"}, [2]string{"a/b", "main"}, true},   // a plain name is tried
		{[2]string{"a/*", "main"}, [2]string{"a/b*", "main"}, false}, // a glob is not compared with a glob
		{[2]string{"a/*", "main"}, [2]string{"47", "main"}, false},   // an ID may be in a/*, or not
		{[2]string{"47", "main"}, [2]string{"47", "main"}, true},
		{[2]string{"a/*", "main"}, [2]string{"**", "main"}, false},
		{[2]string{"a/**", "main"}, [2]string{"a/b/c", "main"}, true},
	} {
		p := with(rule("wide", on(tc.earlier[0], tc.earlier[1])), rule("late", on(tc.later[0], tc.later[1])))
		problems := p.Validate()
		if !tc.covered {
			if len(problems) > 0 {
				t.Errorf("%v then %v: refused: %q", tc.earlier, tc.later, problems)
			}
			continue
		}
		want := []Problem{{[]string{"rules", "1"}, `rule "late" can never apply, since "wide" before it matches all that it does; put it first, or remove it`}}
		if !reflect.DeepEqual(problems, want) {
			t.Errorf("%v then %v: %q", tc.earlier, tc.later, problems)
		}
	}
}

func TestHashFollowsTheMeaning(t *testing.T) {
	a, b := with(rule("r")), with(rule("r"))
	if a.Hash() != b.Hash() || len(a.Hash()) != 64 {
		t.Errorf("the same policy has two hashes: %s, %s", a.Hash(), b.Hash())
	}
	seen := map[string]string{a.Hash(): "as it was"}
	yes := true
	for name, change := range map[string]func(*Policy){
		"approver":     func(p *Policy) { p.Rules[0].Approvers[0] = email("eve") },
		"required":     func(p *Policy) { p.Rules[0].Required = 2 },
		"self":         func(p *Policy) { p.Rules[0].AllowSelfApproval = true },
		"role":         func(p *Policy) { p.Rules[0].RequireRole = RoleGuest },
		"squash":       func(p *Policy) { p.Rules[0].Merge.Squash = &yes },
		"source":       func(p *Policy) { p.Rules[0].Merge.RemoveSourceBranch = &yes },
		"pipeline":     func(p *Policy) { p.Rules[0].Merge.WhenPipelineSucceeds = &yes },
		"cards":        func(p *Policy) { p.Rules[0].CardsTo = []Identity{email("alice")} },
		"expire":       func(p *Policy) { p.Rules[0].ExpireAfter = time.Hour },
		"remind":       func(p *Policy) { p.Rules[0].RemindAfter = time.Hour },
		"reason":       func(p *Policy) { p.Rules[0].RequireReason = true },
		"user":         func(p *Policy) { p.Users["bob"] = email("bob") },
		"user_email":   func(p *Policy) { p.UserEmail = "{username}@x.y" },
		"note":         func(p *Policy) { p.Note = NoteOff },
		"locale":       func(p *Policy) { p.Locale = LocaleEN },
		"adopt":        func(p *Policy) { p.AdoptCards = AdoptTrust },
		"operator":     func(p *Policy) { p.OperatorDecisions = OperatorDeny },
		"project list": func(p *Policy) { p.Rules[0].Projects = []string{`payments/*", "x`} },
	} {
		p := with(rule("r"))
		change(p)
		if other, ok := seen[p.Hash()]; ok {
			t.Errorf("the hash does not tell %s from %s", name, other)
		}
		seen[p.Hash()] = name
	}
}

func ExamplePolicy_Text() {
	p := New()
	r := NewRule(1)
	r.Projects = []string{"payments/*", "47778247"}
	r.TargetBranches = []string{"main"}
	r.Approvers = []Identity{{KindEmail, "alice@example.com"}}
	p.Rules = []Rule{r}
	p.Users["bob"] = Identity{KindEmail, "bob@example.com"}
	fmt.Print(p.Text())
	// Output:
	// rules:
	//   - name: "rule 1"
	//     projects: ["payments/*", "47778247"]
	//     target_branches: ["main"]
	//     approvers: ["alice@example.com"]
	//     required: 1
	//     allow_self_approval: false
	//     on_approve: merge
	//     on_reject: close
	//     require_reason: false
	//     forks: false
	//     expire_after: 13d
	// users:
	//   "bob": "bob@example.com"
	// adopt_cards: confirm
	// operator_decisions: allow
	// locale: zh
}

// FuzzIdentity holds that what is accepted is in its normal form, cannot carry
// markup or a line break, and that what is refused says so on one line.
func FuzzIdentity(f *testing.F) {
	for _, seed := range []string{"alice@example.com", "+86 138 0013 8000", "ou_7d8a", "oc_a055", "bob", "", "A@B", "+", "@", "ou_\x00", "İ@x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		who, err := ParseIdentity(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 1000 {
				t.Fatalf("error is not a line: %q", err)
			}
			return
		}
		if strings.ContainsAny(who.Value, " \t\r\n<>\"\\()[]") {
			t.Fatalf("%q was let through as %q", s, who.Value)
		}
		again, err := ParseIdentity(who.String())
		if err != nil || again != who {
			t.Fatalf("%q is %v, which reads back as %v, %v", s, who, again, err)
		}
	})
}

func TestConsiderSaysHowEachRuleFares(t *testing.T) {
	p := with(
		rule("one", on("payments/api 47", "release/*")),
		rule("ids", on("48", "main")),
		rule("all", on("**", "main")),
		rule("never", on("payments/*", "**")),
	)
	for _, tc := range []struct {
		project ProjectRef
		target  string
		want    string
	}{
		{ProjectRef{47, "payments/api"}, "main", "1 one project, 2 ids target, 3 all project target"},
		{ProjectRef{0, "payments/api"}, "main", "1 one project, 2 ids target unsure, 3 all project target"},
		{ProjectRef{47, ""}, "release/1", "1 one project target"},
		{ProjectRef{9, ""}, "release/1", "1 one target unsure, 2 ids, 3 all project, 4 never target unsure"},
		{ProjectRef{0, "other/x"}, "dev", "1 one unsure, 2 ids unsure, 3 all project, 4 never target"},
	} {
		var got []string
		for _, c := range p.Consider(tc.project, tc.target) {
			s := fmt.Sprintf("%d %s", c.Place, c.Rule.Name)
			if c.Project {
				s += " project"
			}
			if c.Target {
				s += " target"
			}
			if c.Unsure {
				s += " unsure"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, ", "); s != tc.want {
			t.Errorf("Consider(%v, %q) = %s, want %s", tc.project, tc.target, s, tc.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	known := func(rules ...Rule) *Policy {
		p := with(rules...)
		p.UserEmail = "{username}@example.com"
		return p
	}
	one := func(r *Rule) { r.Approvers = r.Approvers[:1] }
	self := func(r *Rule) { r.AllowSelfApproval = true }
	cards := func(n int, to ...Identity) func(*Rule) {
		return func(r *Rule) { r.Required, r.CardsTo = n, to }
	}
	all := func(r *Rule) { r.Required = 2 }
	three := func(r *Rule) { r.Approvers = append(r.Approvers, email("dave")) }
	group := Identity{KindGroup, "oc_1"}
	for name, tc := range map[string]struct {
		policy *Policy
		want   []string // at what
	}{
		"good":                        {known(rule("r")), nil},
		"nobody knows the author":     {with(rule("r")), []string{"rules 0"}},
		"and nobody has to":           {with(rule("r", self)), nil},
		"one approver":                {known(rule("r", one)), []string{"rules 0 approvers"}},
		"one approver may do it all":  {known(rule("r", one, self)), nil},
		"all are required":            {known(rule("r"), rule("s", on("a/b", "main"), all)), []string{"rules 1 required"}},
		"cards to a group":            {known(rule("r", cards(1, group))), nil},
		"cards to an approver":        {known(rule("r", cards(1, email("alice")))), nil},
		"cards to others":             {known(rule("r", cards(1, email("erin")))), []string{"rules 0 cards_to"}},
		"cards to too few":            {known(rule("r", three, cards(2, email("alice"), email("erin")))), []string{"rules 0 cards_to"}},
		"cards to too few, and group": {known(rule("r", three, cards(2, email("alice"), group))), nil},
	} {
		if problems := tc.policy.Validate(); len(problems) > 0 {
			t.Fatalf("%s: %v", name, problems)
		}
		var got []string
		for _, w := range tc.policy.Warnings() {
			got = append(got, strings.Join(w.Path, " "))
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: warnings at %q, want %q", name, got, tc.want)
		}
	}
}
