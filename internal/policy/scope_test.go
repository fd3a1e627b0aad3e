package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mrgate/internal/policy"
)

func TestScope(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		want     policy.Scope
	}{
		{[]string{"payments/api"}, policy.Scope{Paths: []string{"payments/api"}}},
		{[]string{"47778247", "7", "7"}, policy.Scope{IDs: []int64{7, 47778247}}},
		{[]string{"payments/*"}, policy.Scope{Groups: []string{"payments"}}},
		{[]string{"Payments/**"}, policy.Scope{Groups: []string{"payments"}}},
		{[]string{"payments/core/{api,web}"}, policy.Scope{Groups: []string{"payments/core"}}},
		{[]string{"payments/core-?/api"}, policy.Scope{Groups: []string{"payments"}}},
		{[]string{`payments/a\*`}, policy.Scope{Groups: []string{"payments"}}},
		{[]string{"**"}, policy.Scope{Anywhere: true}},
		{[]string{"*/api", "**/web"}, policy.Scope{Anywhere: true}},
		{[]string{"{pay/ments,ship}/api"}, policy.Scope{Anywhere: true}},
		{
			[]string{"payments/core/*", "payments/api", "payments/**", "paymentsx/api", "shop/web", "Shop/Web", "payments/core/deep/*"},
			policy.Scope{Groups: []string{"payments"}, Paths: []string{"paymentsx/api", "shop/web"}},
		},
		{[]string{"**", "payments/*", "7", "shop/web"}, policy.Scope{
			Anywhere: true, Groups: []string{"payments"}, IDs: []int64{7}, Paths: []string{"shop/web"},
		}},
	} {
		p := policy.New()
		for i, pattern := range c.patterns { // each in a rule of its own
			rule := policy.NewRule(i + 1)
			rule.Projects = []string{pattern}
			p.Rules = append(p.Rules, rule)
		}
		got := p.Scope()
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(policy.Scope{}, "Covers")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.patterns, diff)
		}
	}
}

func TestScopeKnowsWhatItCovers(t *testing.T) {
	p := policy.New()
	rule := policy.NewRule(1)
	rule.Projects = []string{"*/api", "7"}
	p.Rules = []policy.Rule{rule}
	covers := p.Scope().Covers
	for project, want := range map[policy.ProjectRef]bool{
		{ID: 1, Path: "shop/api"}: true, {ID: 7, Path: "shop/web"}: true, {ID: 1, Path: "shop/web"}: false,
	} {
		if covers(project) != want {
			t.Errorf("%+v is covered: %v", project, !want)
		}
	}
}
