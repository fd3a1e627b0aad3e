package story

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"mrgate/internal/gate"
)

// troubles says what will go wrong if nobody does anything, and what stays undone.
func troubles(ctx context.Context, t *Teller, mr *gate.MergeRequest) (list []string) {
	r := mr.Current()
	if r.State == gate.Pending {
		list = append(list, foretold(ctx, t, r)...)
	}
	for _, m := range r.Messages {
		to := t.to(ctx, r.ID, m.To)
		switch {
		case m.Gone != "" && !strings.HasPrefix(m.Gone, "taken over"):
			list = append(list, fmt.Sprintf("the %s to %s is followed no more%s", MessageName(m.Kind), to, because(m.Gone)))
		case m.Gone == "" && m.Tries > 0:
			list = append(list, fmt.Sprintf("the %s to %s has failed, %d in a row", MessageName(m.Kind), to, m.Tries))
		}
	}
	if !r.Settled && mr.Tries > 0 {
		list = append(list, fmt.Sprintf("calls to GitLab have failed, %d in a row", mr.Tries))
	}
	return list
}

func foretold(ctx context.Context, t *Teller, r *gate.Request) (list []string) {
	if r.Panel.Blind {
		list = append(list, "nobody has been looked up in the chat yet: an operator opened it, and a listener has to take it over")
		return list
	}
	for _, name := range r.Panel.Missing {
		list = append(list, fmt.Sprintf("%s is not known to the chat, and gets no card; correct the policy, or add them to the app's scope", Clean(name)))
	}
	for _, o := range r.Panel.Others {
		list = append(list, fmt.Sprintf("%s is another person in the chat than it was (was %s, is %s), and counts for nobody; if the policy means that person, write %[3]s into it",
			Clean(o.Identity), Clean(o.First), Clean(o.Now)))
	}
	if !r.Rule.AllowSelfApproval {
		var told []string
		for _, m := range mayApprove(r) {
			if slices.Contains(r.Panel.Told, m.ID) {
				told = append(told, t.who(ctx, r.ID, m.ID))
			}
		}
		for _, name := range r.Panel.Unsure {
			only := "no approval counts"
			if len(told) > 0 {
				only = "only an approval of " + strings.Join(told, ", ") + " counts"
			}
			list = append(list, fmt.Sprintf("nobody can tell who %s is in the chat, so %s until then; add %[1]s to users in the policy", Clean(name), only))
		}
	}
	if r.Rule.RequireRole != "" {
		for _, m := range mayApprove(r) {
			if len(m.Accounts) == 0 {
				list = append(list, fmt.Sprintf("nobody can tell who %s is in GitLab, so an approval of theirs does not count; add their username to users in the policy",
					Clean(cmp.Or(m.Name, m.Identity.Value))))
			}
		}
	}
	if len(r.Panel.Cards) == 0 {
		list = append(list, "nobody has got a card: of those who are to get one, the chat knows none")
	}
	return list
}
