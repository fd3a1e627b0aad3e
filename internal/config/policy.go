package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mrgate/internal/policy"
)

// policyKeys returns the keys of the config file that make up the policy.
func policyKeys() []string {
	return []string{"rules", "users", "user_email", "adopt_cards", "note", "operator_decisions", "locale"}
}

// ruleKeys returns the keys of a rule.
func ruleKeys() []string {
	return []string{
		"name", "projects", "target_branches", "approvers", "cards_to", "required", "allow_self_approval", "require_gitlab_role",
		"on_approve", "on_reject", "merge", "require_reason", "forks", "commit_status", "remind_after", "expire_after",
	}
}

// decodePolicy reads the policy out of the top of a config file, and leaves all
// other keys alone. The policy is good if no problem comes with it.
func decodePolicy(file string, root *node) (*policy.Policy, []Problem) {
	d := &decoder{file: file}
	p := policy.New()
	for _, e := range root.entries {
		switch e.key {
		case "rules":
			d.rules(e, p)
		case "users":
			d.users(e, p)
		case "user_email":
			d.text(e, &p.UserEmail)
		case "adopt_cards":
			d.text(e, (*string)(&p.AdoptCards))
		case "note":
			d.word(e, (*string)(&p.Note))
		case "operator_decisions":
			d.text(e, (*string)(&p.OperatorDecisions))
		case "locale":
			d.text(e, (*string)(&p.Locale))
		}
	}
	if len(d.problems) > 0 {
		return p, d.problems // what is missing now would only be reported again
	}
	for _, problem := range p.Validate() {
		line, column := locate(root, problem.Path)
		d.problems = append(d.problems, Problem{file, line, column, problem.Text})
	}
	return p, d.problems
}

// locate returns where the path leads in the file, or as far as it goes.
func locate(n *node, path []string) (line, column int) {
	line, column = n.line, n.column
	for _, step := range path {
		var next *node
		switch n.shape {
		case mapping:
			for i := range n.entries {
				if strings.EqualFold(n.entries[i].key, step) { // users are folded
					next = n.entries[i].value
				}
			}
		case list:
			if i, err := strconv.Atoi(step); err == nil && i < len(n.items) {
				next = n.items[i]
			}
		case null, boolean, number, text:
		}
		if next == nil {
			break
		}
		n = next
		line, column = n.line, n.column
	}
	return line, column
}

// decoder reads nodes into a policy and collects what does not fit.
type decoder struct {
	file     string
	problems []Problem
}

func (d *decoder) fail(line, column int, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, line, column, fmt.Sprintf(format, args...)})
}

func (d *decoder) rules(e entry, p *policy.Policy) {
	if e.value.shape != list || len(e.value.items) == 0 {
		d.fail(e.value.line, e.value.column, "rules is not a list with at least one rule; begin each with a dash, or leave the key out")
		return
	}
	for i, item := range e.value.items {
		p.Rules = append(p.Rules, d.rule(i+1, item))
	}
}

func (d *decoder) rule(n int, from *node) policy.Rule {
	r := policy.NewRule(n)
	if from.shape != mapping {
		d.fail(from.line, from.column, "rule %d is no mapping; write projects:, target_branches: and approvers: behind the dash", n)
		return r
	}
	for _, e := range from.entries {
		switch e.key {
		case "name":
			d.text(e, &r.Name)
		case "projects":
			d.texts(e, &r.Projects)
		case "target_branches":
			d.texts(e, &r.TargetBranches)
		case "approvers":
			d.identities(e, &r.Approvers)
		case "cards_to":
			d.identities(e, &r.CardsTo)
		case "required":
			d.integer(e, &r.Required)
		case "allow_self_approval":
			d.boolean(e, &r.AllowSelfApproval)
		case "require_gitlab_role":
			if d.text(e, (*string)(&r.RequireRole)) && r.RequireRole == "" {
				d.fail(e.value.line, e.value.column, "require_gitlab_role is empty; write a role such as maintainer, or leave it out")
			}
		case "on_approve":
			d.text(e, (*string)(&r.OnApprove))
		case "on_reject":
			d.text(e, (*string)(&r.OnReject))
		case "merge":
			d.merge(e, &r.Merge)
		case "require_reason":
			d.boolean(e, &r.RequireReason)
		case "forks":
			d.boolean(e, &r.Forks)
		case "commit_status":
			d.boolean(e, &r.CommitStatus)
		case "remind_after", "expire_after":
			var s string
			if !d.text(e, &s) {
				continue
			}
			span, err := policy.ParseDuration(s)
			switch {
			case err != nil:
				d.fail(e.value.line, e.value.column, "%s: %s %v", e.key, quote(s), err)
			case e.key == "remind_after":
				r.RemindAfter = span
			default:
				r.ExpireAfter = span
			}
		default:
			d.unknown(e, "a rule", ruleKeys())
		}
	}
	return r
}

func (d *decoder) merge(e entry, to *policy.MergeOptions) {
	if e.value.shape != mapping {
		d.fail(e.value.line, e.value.column, "merge is no mapping; write it as {squash: true}, or leave it out")
		return
	}
	for _, e := range e.value.entries {
		var yes bool
		switch e.key {
		case "squash":
			if d.boolean(e, &yes) {
				to.Squash = &yes
			}
		case "remove_source_branch":
			if d.boolean(e, &yes) {
				to.RemoveSourceBranch = &yes
			}
		case "when_pipeline_succeeds":
			if d.boolean(e, &yes) {
				to.WhenPipelineSucceeds = &yes
			}
		default:
			d.unknown(e, "merge", []string{"squash", "remove_source_branch", "when_pipeline_succeeds"})
		}
	}
}

func (d *decoder) users(e entry, p *policy.Policy) {
	if e.value.shape != mapping {
		d.fail(e.value.line, e.value.column, "users is no mapping; write a user a line, as in bob: bob@example.com, or leave the key out")
		return
	}
	for _, e := range e.value.entries {
		key := strings.ToLower(e.key) // GitLab compares usernames without regard to case
		if _, ok := p.Users[key]; ok {
			d.fail(e.line, e.column, "users: %s stands here a second time; keep one", quote(e.key))
			continue
		}
		var s string
		if !d.text(e, &s) {
			continue
		}
		who, err := policy.ParseIdentity(s)
		if err != nil {
			d.fail(e.value.line, e.value.column, "users: %v", err)
			continue
		}
		p.Users[key] = who
	}
}

// text reads a text; of a number it takes what is written.
func (d *decoder) text(e entry, to *string) bool {
	if e.value.shape != text && e.value.shape != number {
		d.fail(e.value.line, e.value.column, "%s is no text; write one, or leave the key out", printable(e.key))
		return false
	}
	*to = e.value.text
	return true
}

// word reads a text that must not be empty, since an empty one would pass for
// a key that was left out.
func (d *decoder) word(e entry, to *string) {
	if d.text(e, to) && *to == "" {
		d.fail(e.value.line, e.value.column, "%s is empty; write a value, or leave the key out", e.key)
	}
}

func (d *decoder) texts(e entry, to *[]string) bool {
	if e.value.shape != list {
		d.fail(e.value.line, e.value.column, "%s is no list; write it as [first, second]", e.key)
		return false
	}
	good := true
	for _, item := range e.value.items {
		if item.shape != text && item.shape != number {
			d.fail(item.line, item.column, "%s: this entry is no text; write one, in quotes if it begins with *, [ or {", e.key)
			good = false
			continue
		}
		*to = append(*to, item.text)
	}
	return good
}

// identities reads a list of people; who stands there twice is taken once.
func (d *decoder) identities(e entry, to *[]policy.Identity) {
	var texts []string
	if !d.texts(e, &texts) {
		return
	}
	for i, s := range texts {
		who, err := policy.ParseIdentity(s)
		if err != nil {
			d.fail(e.value.items[i].line, e.value.items[i].column, "%s: %v", e.key, err)
			continue
		}
		*to = append(*to, who)
	}
}

func (d *decoder) integer(e entry, to *int) {
	n, err := strconv.Atoi(e.value.text)
	if e.value.shape != number || err != nil {
		d.fail(e.value.line, e.value.column, "%s is no whole number; write it in digits, without quotes, as in 2", e.key)
		return
	}
	*to = n
}

func (d *decoder) boolean(e entry, to *bool) bool {
	if e.value.shape != boolean {
		d.fail(e.value.line, e.value.column, "%s is neither true nor false; write one of them, without quotes", e.key)
		return false
	}
	*to = strings.EqualFold(e.value.text, "true")
	return true
}

func (d *decoder) unknown(e entry, where string, known []string) {
	d.fail(e.line, e.column, "%s is no key of %s%s", quote(e.key), where, didYouMean(e.key, known, "it has "+strings.Join(known, ", ")))
}

// distinct drops whoever stood before, so that one person is asked once.
func distinct(people []policy.Identity) []policy.Identity {
	var once []policy.Identity
	for _, who := range people {
		if !slices.Contains(once, who) {
			once = append(once, who)
		}
	}
	return once
}
