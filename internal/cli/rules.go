package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/policy"
	"mrgate/internal/story"
)

func newRulesCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Explain which rule holds where, who may decide, and what follows",
		Long: `Explain the policy: which rule holds where, who may decide, and what follows.

The first rule that matches the project and the target branch holds. With --project
or --target-branch, only rules that match it are shown; with both, the one that
holds, and why those before it do not. A project's path says nothing of rules that
name it by its ID, nor the other way round; a warning says where that matters.
If no rule matches, mrgate stays out, says so, and ends with exit code 1.

Without --at it is the policy of the config file. With --at it is the one that was in
force then, as the listener's database keeps it; of a day, the one at its end.

--check reads a config file and nothing else: no environment, no database, no secret,
no network. Whatever is wrong is said as file:line:column, with exit code 2; what is
probably not meant, as a warning.`,
		Example: `  mrgate rules
  mrgate rules --project payments/api --target-branch main
  mrgate rules --project payments/api --target-branch main --at 2026-10-01T12:00:00Z
  mrgate rules --check mrgate.yaml
  mrgate rules --json | jq '.rules[] | {name, approvers}'`,
		Args: cobra.NoArgs,
	}
	config.Define(cmd.Flags(), "config", "db", "json", "project", "target_branch", "at", "check")
	reword(cmd, "project", "only rules that match this project, by its path or ID")
	reword(cmd, "target-branch", "only rules that match this target branch")
	reword(cmd, "at", "the policy that was in force then, as in 2026-10-01T12:00:00Z or 2026-10-01")
	reword(cmd, "db", "the listener's database, for --at")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		if cfg.Check == "" {
			return env.rules(cmd.Context(), cfg)
		}
		for _, other := range []string{"project", "target_branch", "at"} {
			if cfg.Given(other) {
				return usage("rules: --check reads a whole file; leave %s out", cfg.Origin(other))
			}
		}
		return env.check(cfg)
	}
	return cmd
}

// rulesPage is what mrgate rules --json prints. Fields may be added; those that are
// there keep their names and meanings.
type rulesPage struct {
	Policy string      `json:"policy"`         // its hash, as in the log
	File   string      `json:"file,omitempty"` // it was read from
	Since  story.Stamp `json:"since,omitzero"` // with --at: when it came into force
	Until  story.Stamp `json:"until,omitzero"` // with --at: when another one did

	Project string `json:"project,omitempty"` // as it was asked for
	Target  string `json:"target_branch,omitempty"`
	// Rule is the name of the one that holds, if both were asked for; none: none does.
	Rule  string     `json:"rule,omitempty"`
	Rules []ruleItem `json:"rules"` // those that match; if both were asked for, those before the one that holds, and that one

	operators bool // may decide
}

// ruleItem is a rule.
type ruleItem struct {
	Place             int              `json:"place"` // in the policy, from 1
	Name              string           `json:"name"`
	Projects          []string         `json:"projects"`
	TargetBranches    []string         `json:"target_branches"`
	Approvers         []string         `json:"approvers"`
	CardsTo           []string         `json:"cards_to"` // empty: the reviewers who are approvers, else all approvers
	Required          int              `json:"required"`
	AllowSelfApproval bool             `json:"allow_self_approval"`
	RequireRole       policy.Role      `json:"require_gitlab_role,omitempty"`
	OnApprove         policy.OnApprove `json:"on_approve"`
	OnReject          policy.OnReject  `json:"on_reject"`
	Merge             mergeItem        `json:"merge"`
	RequireReason     bool             `json:"require_reason"`
	CommitStatus      bool             `json:"commit_status,omitempty"`
	RemindAfter       string           `json:"remind_after,omitempty"`
	ExpireAfter       string           `json:"expire_after"`
	Matches           *matchItem       `json:"matches,omitempty"` // if both were asked for

	considered policy.Considered
}

// mergeItem says how to merge; what is left out, the merge request or GitLab decides.
type mergeItem struct {
	Squash               *bool `json:"squash,omitempty"`
	RemoveSourceBranch   *bool `json:"remove_source_branch,omitempty"`
	WhenPipelineSucceeds *bool `json:"when_pipeline_succeeds,omitempty"`
}

type matchItem struct {
	Project      bool `json:"project"`
	TargetBranch bool `json:"target_branch"`
}

func ruleItemOf(c policy.Considered) ruleItem {
	names := func(people []policy.Identity) []string {
		list := []string{}
		for _, who := range people {
			list = append(list, who.Value)
		}
		return list
	}
	r := c.Rule
	item := ruleItem{
		Place: c.Place, Name: r.Name, Projects: r.Projects, TargetBranches: r.TargetBranches,
		Approvers: names(r.Approvers), CardsTo: names(r.CardsTo), Required: r.Required, AllowSelfApproval: r.AllowSelfApproval,
		RequireRole: r.RequireRole, OnApprove: r.OnApprove, OnReject: r.OnReject, Merge: mergeItem(r.Merge),
		RequireReason: r.RequireReason, CommitStatus: r.CommitStatus, ExpireAfter: policy.FormatDuration(r.ExpireAfter),
		considered: c,
	}
	if r.RemindAfter > 0 {
		item.RemindAfter = policy.FormatDuration(r.RemindAfter)
	}
	return item
}

func (env *Environment) rules(ctx context.Context, cfg *config.Config) error {
	page := rulesPage{Project: strings.Trim(cfg.Project, "/"), Target: cfg.TargetBranch, Rules: []ruleItem{}}
	p, err := cfg.Policy, error(nil)
	if cfg.At != "" {
		p, err = env.policyAt(ctx, cfg, &page)
		if err != nil {
			return err
		}
	} else {
		page.File = cfg.File
	}
	if len(p.Rules) == 0 {
		return usage("rules: there is no policy; name a file with rules by --config")
	}
	page.Policy, page.operators = p.Hash(), p.OperatorDecisions != policy.OperatorDeny
	page.consider(p)
	for _, warning := range page.unsure() {
		_, _ = fmt.Fprintln(env.Stderr, "mrgate: warning: "+warning)
	}
	if cfg.JSON {
		err = writeJSON(env.Stdout, page, true)
	} else {
		err = page.print(env)
	}
	if err != nil || page.holds() {
		return err
	}
	return fmt.Errorf("no rule matches %s; mrgate stays out", page.asked())
}

// policyAt is the policy that was in force at the moment that was asked for.
func (env *Environment) policyAt(ctx context.Context, cfg *config.Config, page *rulesPage) (*policy.Policy, error) {
	at, err := moment(cfg.At, env.zone())
	if err != nil {
		return nil, err
	}
	store, err := env.openArchive(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	noted, err := store.PolicyAt(ctx, at)
	switch {
	case err != nil:
		return nil, err
	case noted.Text == "":
		return nil, fmt.Errorf("no policy was in force at %s, says %s: no listener had worked on it yet", cfg.At, env.path(cfg.DB))
	}
	page.Since, page.Until = story.Stamp(noted.Since), story.Stamp(noted.Until)
	return config.ParsePolicy(noted.Text)
}

// moment reads a time. One without a zone is in the reader's, as mrgate prints it
// elsewhere; a day means its end.
func moment(text string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, nil
		}
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return day.AddDate(0, 0, 1).Add(-time.Millisecond), nil
	}
	return time.Time{}, usage("rules: --at %q is no time; write it as 2026-10-01T12:00:00Z, \"2026-10-01 12:00\" or 2026-10-01", text)
}

// consider chooses the rules to show.
func (page *rulesPage) consider(p *policy.Policy) {
	project := policy.ProjectRef{Path: page.Project}
	if id, err := strconv.ParseInt(page.Project, 10, 64); err == nil {
		project = policy.ProjectRef{ID: id}
	}
	if page.Project != "" && page.Target != "" {
		for _, c := range p.Consider(project, page.Target) {
			item := ruleItemOf(c)
			item.Matches = &matchItem{c.Project, c.Target}
			page.Rules = append(page.Rules, item)
			if c.Holds() {
				page.Rule = c.Rule.Name
			}
		}
		return
	}
	for i := range p.Rules {
		// Each by itself: one may hold for some branches, another for others.
		one := policy.Policy{Rules: p.Rules[i : i+1]}
		c := one.Consider(project, page.Target)[0]
		c.Place = i + 1
		if (page.Project == "" || c.Project || c.Unsure) && (page.Target == "" || c.Target) {
			page.Rules = append(page.Rules, ruleItemOf(c))
		}
	}
}

// holds says that some rule is the answer.
func (page *rulesPage) holds() bool {
	return page.Rule != "" || len(page.Rules) > 0 && (page.Project == "" || page.Target == "")
}

// asked is what was asked for.
func (page *rulesPage) asked() string {
	switch {
	case page.Project == "":
		return "target branch " + clean(page.Target)
	case page.Target == "":
		return "project " + clean(page.Project)
	}
	return clean(page.Target) + " of " + clean(page.Project)
}

// unsure warns of rules of which nobody can tell whether they match.
func (page *rulesPage) unsure() (warnings []string) {
	for _, r := range page.Rules {
		if page.Project == "" || !r.considered.Unsure || page.Target != "" && !r.considered.Target {
			continue
		}
		by, give := "by its ID", "its ID"
		if _, err := strconv.Atoi(page.Project); err == nil {
			by, give = "by its path", "its path"
		}
		warnings = append(warnings, fmt.Sprintf("rule %s may name project %s %s; give %s to --project, to be sure", clean(r.Name), clean(page.Project), by, give))
	}
	return warnings
}

// print says it for people.
func (page *rulesPage) print(env *Environment) error {
	var b strings.Builder
	if !page.Since.IsZero() {
		zone := env.zone()
		until := "still in force"
		if !page.Until.IsZero() {
			until = "until " + local(time.Time(page.Until), zone)
		}
		fmt.Fprintf(&b, "Policy %s, in force from %s (%s), %s\n\n", page.Policy[:12], local(time.Time(page.Since), zone), story.ZoneName(time.Time(page.Since), zone), until)
	}
	if page.Project != "" && page.Target != "" {
		page.explain(&b)
		_, err := io.WriteString(env.Stdout, b.String())
		return err
	}
	if _, err := io.WriteString(env.Stdout, b.String()); err != nil {
		return err
	}
	t := &table{
		out: env.Stdout, width: widthOf(env.Stdout),
		heads: []string{"PLACE", "RULE", "PROJECTS", "TARGET BRANCHES", "REQUIRED", "APPROVERS", "WHEN APPROVED", "WHEN REJECTED", "EXPIRES"},
		least: []int{0, 6, 12, 8, 0, 12, 8, 8, 0},
		right: []bool{true, false, false, false, true, false, false, false, false},
		spare: []int{8, 7, 6}, // EXPIRES, WHEN REJECTED, WHEN APPROVED
	}
	for _, r := range page.Rules {
		t.add(fmt.Sprint(r.Place), clean(r.Name), story.CleanList(r.Projects), story.CleanList(r.TargetBranches), fmt.Sprintf("%d of %d", r.Required, len(r.Approvers)),
			story.CleanList(r.Approvers), r.approved(), r.rejected(), r.ExpireAfter)
	}
	return t.flush()
}

// explain says which rule holds, and why those before it do not.
func (page *rulesPage) explain(b *strings.Builder) {
	before := page.Rules
	if page.Rule != "" {
		r := before[len(before)-1]
		before = before[:len(before)-1]
		fmt.Fprintf(b, "%s: rule %s holds, number %d of the policy\n\n", page.asked(), clean(r.Name), r.Place)
		r.print(b, page.operators)
	} else {
		fmt.Fprintf(b, "%s: no rule holds\n", page.asked())
	}
	for i, r := range before {
		if i == 0 {
			b.WriteString("\nRules that do not:\n")
		}
		fmt.Fprintf(b, "  %d  %s: %s\n", r.Place, clean(r.Name), r.whyNot(page.Project, page.Target))
	}
}

// whyNot says why the rule does not hold.
func (r *ruleItem) whyNot(project, target string) string {
	var why []string
	switch {
	case r.considered.Unsure:
		why = append(why, fmt.Sprintf("%s may be one of its projects, %s, but that cannot be told from this", clean(project), story.CleanList(r.Projects)))
	case !r.Matches.Project:
		why = append(why, fmt.Sprintf("%s is not among its projects, %s", clean(project), story.CleanList(r.Projects)))
	}
	if !r.Matches.TargetBranch {
		why = append(why, fmt.Sprintf("%s is not among its target branches, %s", clean(target), story.CleanList(r.TargetBranches)))
	}
	return strings.Join(why, "; ")
}

func (r *ruleItem) print(b *strings.Builder, operators bool) {
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "  %-16s %s\n", name, value)
		}
	}
	own := "neither the author nor who has commits in it may approve"
	if r.AllowSelfApproval {
		own = "the author, and who has commits in it, may approve"
	}
	shell := "may decide alone, from a shell"
	if !operators {
		shell = "may not decide"
	}
	field("projects", story.CleanList(r.Projects))
	field("target branches", story.CleanList(r.TargetBranches))
	field("approvers", story.CleanList(r.Approvers))
	field("required", fmt.Sprintf("%d of %d; one rejection rejects", r.Required, len(r.Approvers)))
	field("own work", own)
	field("role in GitLab", needs(r.RequireRole))
	field("operators", shell)
	field("cards to", cmp.Or(story.CleanList(r.CardsTo), "the reviewers who are approvers, else all approvers"))
	field("when approved", r.approved())
	field("when rejected", r.rejected())
	field("commit status", shows(r.CommitStatus))
	field("reminder", r.RemindAfter)
	field("expires after", r.ExpireAfter)
}

// needs says which role an approval takes; "": none.
func needs(role policy.Role) string {
	if role == "" {
		return ""
	}
	return fmt.Sprintf("who approves has to be %s or more in the project", role)
}

// shows says what a commit status is worth; "": there is none.
func shows(status bool) string {
	if !status {
		return ""
	}
	return "mrgate, on the commit: a sign, not a gate"
}

// approved says what follows from enough approvals.
func (r *ruleItem) approved() string {
	if r.OnApprove == policy.OnApproveApprove {
		return "approve in GitLab"
	}
	how := []string{"merge"}
	say := func(yes *bool, on, off string) {
		switch {
		case yes == nil:
		case *yes:
			how = append(how, on)
		case off != "":
			how = append(how, off)
		}
	}
	say(r.Merge.Squash, "squash", "")
	say(r.Merge.RemoveSourceBranch, "remove the source branch", "keep the source branch")
	say(r.Merge.WhenPipelineSucceeds, "wait for the pipeline", "")
	return strings.Join(how, ", ")
}

// rejected says what follows from a rejection.
func (r *ruleItem) rejected() string {
	does := "close"
	if r.OnReject == policy.OnRejectComment {
		does = "comment"
	}
	if r.RequireReason {
		does += ", with a reason"
	}
	return does
}

// checkPage is what mrgate rules --check --json prints.
type checkPage struct {
	File     string      `json:"file"`
	Policy   string      `json:"policy,omitempty"` // its hash; none: it is not good
	Rules    int         `json:"rules"`
	Problems []placeItem `json:"problems"`
	Warnings []placeItem `json:"warnings"`
}

// placeItem is something in a file; line and column count from 1, 0 is the file as
// a whole.
type placeItem struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

func placesOf(problems []config.Problem) []placeItem {
	list := []placeItem{}
	for _, p := range problems {
		list = append(list, placeItem{p.Line, p.Column, p.Text})
	}
	return list
}

// check reads a config file, and says what is wrong with it.
func (env *Environment) check(cfg *config.Config) error {
	page := checkPage{File: cfg.Check, Problems: []placeItem{}, Warnings: []placeItem{}}
	f, err := config.Check(cfg.Check)
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong):
		page.Problems = placesOf(wrong.Problems)
	case err != nil:
		return err
	default:
		page.Policy, page.Rules, page.Warnings = f.Policy.Hash(), len(f.Policy.Rules), placesOf(f.Warnings)
		for _, w := range f.Warnings {
			w.Text = "warning: " + w.Text
			_, _ = fmt.Fprintln(env.Stderr, w)
		}
	}
	if cfg.JSON {
		return errors.Join(err, writeJSON(env.Stdout, page, true))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s is good: %s\n", clean(cfg.Check), plural(page.Rules, "rule"))
	return err
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
