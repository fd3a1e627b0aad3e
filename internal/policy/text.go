package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Text returns the whole policy in one canonical form: YAML that reads back as
// the same policy, with every default spelled out. Two policies that mean the
// same, however they were written, have the same text. It holds no secrets:
// a policy has none.
func (p *Policy) Text() string {
	var b strings.Builder
	if len(p.Rules) > 0 {
		b.WriteString("rules:\n")
		for i := range p.Rules {
			indent := "  - "
			for line := range strings.Lines(p.Rules[i].Text()) {
				b.WriteString(indent + line)
				indent = "    "
			}
		}
	}
	if len(p.Users) > 0 {
		b.WriteString("users:\n")
		for _, key := range slices.Sorted(maps.Keys(p.Users)) {
			b.WriteString("  " + strconv.Quote(key) + ": " + strconv.Quote(p.Users[key].Value) + "\n")
		}
	}
	if p.UserEmail != "" {
		b.WriteString("user_email: " + strconv.Quote(p.UserEmail) + "\n")
	}
	b.WriteString("adopt_cards: " + string(p.AdoptCards) + "\n")
	if p.Note != NoteAuto {
		b.WriteString("note: " + string(p.Note) + "\n")
	}
	b.WriteString("operator_decisions: " + string(p.OperatorDecisions) + "\n")
	b.WriteString("locale: " + string(p.Locale) + "\n")
	return b.String()
}

// Hash names the policy by its text: SHA-256 in hexadecimal.
func (p *Policy) Hash() string {
	sum := sha256.Sum256([]byte(p.Text()))
	return hex.EncodeToString(sum[:])
}

// Text returns the rule as it stands in the policy's text, a key a line, so
// that the log can keep the rule as it then read.
func (r *Rule) Text() string {
	var b strings.Builder
	line := func(key, value string) { b.WriteString(key + ": " + value + "\n") }
	line("name", strconv.Quote(r.Name))
	line("projects", list(r.Projects))
	line("target_branches", list(r.TargetBranches))
	line("approvers", list(values(r.Approvers)))
	if len(r.CardsTo) > 0 {
		line("cards_to", list(values(r.CardsTo)))
	}
	line("required", strconv.Itoa(r.Required))
	line("allow_self_approval", strconv.FormatBool(r.AllowSelfApproval))
	if r.RequireRole != "" {
		line("require_gitlab_role", string(r.RequireRole))
	}
	line("on_approve", string(r.OnApprove))
	line("on_reject", string(r.OnReject))
	if merge := r.Merge.text(); merge != "" {
		line("merge", "{"+merge+"}")
	}
	line("require_reason", strconv.FormatBool(r.RequireReason))
	line("forks", strconv.FormatBool(r.Forks))
	if r.CommitStatus {
		line("commit_status", "true")
	}
	if r.RemindAfter > 0 {
		line("remind_after", FormatDuration(r.RemindAfter))
	}
	line("expire_after", FormatDuration(r.ExpireAfter))
	return b.String()
}

func (m MergeOptions) text() string {
	var said []string
	say := func(key string, value *bool) {
		if value != nil {
			said = append(said, key+": "+strconv.FormatBool(*value))
		}
	}
	say("squash", m.Squash)
	say("remove_source_branch", m.RemoveSourceBranch)
	say("when_pipeline_succeeds", m.WhenPipelineSucceeds)
	return strings.Join(said, ", ")
}

func list(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = strconv.Quote(item)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func values(people []Identity) []string {
	values := make([]string, len(people))
	for i, who := range people {
		values[i] = who.Value
	}
	return values
}
