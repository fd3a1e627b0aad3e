package story

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// WaitsFor says what has to happen next, and who has to do it; "": nothing has to.
func WaitsFor(mr *gate.MergeRequest, r *gate.Request) string {
	switch r.State {
	case gate.Pending:
		return waitsForApproval(r)
	case gate.Approved:
		switch {
		case r.Dry:
			return ""
		case r.Approve.Done.IsZero():
			return "GitLab to take the approval"
		case r.Rule.OnApprove == policy.OnApproveApprove:
			return "somebody to merge it in GitLab; the rule has mrgate only approve"
		case r.Scheduled:
			return "GitLab to merge it by itself, when its checks pass"
		}
		return "GitLab to merge it"
	case gate.BlockedNow:
		w := words.For("en")
		return "a person: " + w.Blocked(mr.Block(r, w))
	case gate.Rejected:
		if r.Rule.OnReject == policy.OnRejectClose && !r.Dry {
			return "GitLab to close it"
		}
	case gate.MergedHere, gate.ClosedHere, gate.Expired, gate.Superseded, gate.Withdrawn:
	}
	return ""
}

func waitsForApproval(r *gate.Request) string {
	given := 0
	for _, d := range r.Decisions {
		if d.Verdict == gate.Approve && !d.Void {
			given++
		}
	}
	missing := max(1, max(1, r.Rule.Required)-given)
	what := "1 approval"
	if missing > 1 {
		what = fmt.Sprintf("%d approvals", missing)
	}
	var names []string
	for _, m := range mayApprove(r) {
		names = append(names, Clean(cmp.Or(m.Name, m.Identity.Value)))
	}
	switch {
	case len(names) == 0:
		return what + ", but nobody is left who may approve"
	case len(names) < missing:
		return what + ", but only " + strings.Join(names, ", ") + " may still approve"
	}
	return what + " of " + strings.Join(names, ", ")
}

// mayApprove gives the approvers, each person once, who are known to the chat,
// are neither author nor committer (where that bars them), and have not decided.
func mayApprove(r *gate.Request) []gate.Member {
	var list []gate.Member
	for _, m := range r.Panel.Approvers {
		same := func(p gate.Person) bool { return p.ID == m.ID }
		switch {
		case m.ID == "" && !r.Panel.Blind:
		case !r.Rule.AllowSelfApproval && m.ID != "" && (same(r.Panel.Author) || slices.ContainsFunc(r.Panel.Committer, same)):
		case slices.ContainsFunc(r.Decisions, func(d *gate.Decision) bool { return d.Person == m.ID }):
		case m.ID != "" && slices.ContainsFunc(list, func(o gate.Member) bool { return o.ID == m.ID }):
		default:
			list = append(list, m)
		}
	}
	return list
}
