package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mrgate/internal/feishu"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/policy"
)

// Feishu's codes for who cannot be found by an ID: nobody of this app's, and outside
// the app's range of contacts
// (https://open.feishu.cn/document/server-docs/contact-v3/user/get).
const (
	codeNoSuchID   = 99992351
	codeOutOfRange = 41050
)

// inRange is why somebody who exists is not found.
const inRange = "check the spelling; else let the app see them, on its pages Availability (可用范围) and Contacts permission (通讯录权限范围), and publish a version; " +
	"an address of Feishu's own mail finds nobody: name them by mobile number or ID"

// people checks whom the policy names, and whether its rules can be fulfilled.
func (d *doctor) people(ctx context.Context, chat *feishu.Chat, projects []examined) {
	p := d.cfg.Policy
	if len(p.Rules) == 0 {
		return // settings has said so
	}
	accounts := slices.Sorted(maps.Keys(p.Users))
	var ids []policy.Identity
	for i := range p.Rules {
		ids = append(append(ids, p.Rules[i].Approvers...), p.Rules[i].CardsTo...)
	}
	for _, account := range accounts {
		ids = append(ids, p.Users[account])
	}
	known := map[policy.Identity]gate.Person{}
	for part := range slices.Chunk(ids, 20) { // a name is a call each, and the port gives up after ten seconds
		found, err := chat.Resolve(ctx, part)
		if err != nil {
			what, remedy := refusal(err, "")
			d.fail("feishu.directory", "", remedy, "people cannot be looked up: %s", what)
			return
		}
		maps.Copy(known, found)
	}
	d.names(ctx, chat, known)
	unsure := d.approvers(ctx, chat, known)
	for _, account := range accounts {
		if id := p.Users[account]; known[id].ID == "" {
			d.warn("policy.user", account, inRange, "%s, who %s is by users, is nobody in Feishu", clean(id.Value), clean(account))
		}
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if d.enough(r, known, unsure) {
			d.authors(ctx, chat, r, known, projects)
			d.roles(r, known, projects)
		}
	}
}

// names checks whether cards can name people.
func (d *doctor) names(ctx context.Context, chat *feishu.Chat, known map[policy.Identity]gate.Person) {
	const check = "feishu.names"
	const base, contacts = "contact:user.base:readonly", "contact:contact.base:readonly"
	for _, id := range slices.SortedFunc(maps.Keys(known), func(a, b policy.Identity) int { return strings.Compare(a.Value, b.Value) }) {
		if id.Kind == policy.KindID || known[id].ID == "" {
			continue
		}
		name, err := chat.Name(ctx, known[id].ID)
		switch {
		case err != nil:
			what, remedy := refusal(err, "")
			d.warn(check, "", remedy, "people's names cannot be read, so cards name people as GitLab does: %s", what)
		case name == "":
			d.warn(check, "", fmt.Sprintf("ask for %s at %s, and publish a version of the app", base, chat.ScopeURL(base, contacts)),
				"people's names cannot be read, so cards name people as GitLab does: the app lacks the scope %s", base)
		default:
			d.ok(check, "", "people's names can be read")
		}
		return
	}
}

// approvers says who each is. Of those given back it is not known whether they are
// anybody.
func (d *doctor) approvers(ctx context.Context, chat *feishu.Chat, known map[policy.Identity]gate.Person) (unsure []policy.Identity) {
	const check = "policy.approver"
	var told []policy.Identity
	tell := func(id policy.Identity, what string) {
		if slices.Contains(told, id) || id.Kind == policy.KindGroup {
			return
		}
		told = append(told, id)
		who := known[id]
		if id.Kind == policy.KindID {
			name, err := chat.Name(ctx, id.Value)
			switch code := feishu.CodeOf(err); {
			case code == codeNoSuchID, code == codeOutOfRange:
				who = gate.Person{}
				known[id] = who
			case err != nil:
				unsure = append(unsure, id)
				said, remedy := refusal(err, "")
				d.unchecked(check, id.Value, remedy, "whether there is such a person cannot be told: %s", said)
				return
			default:
				who.Name = name
			}
		}
		switch {
		case who.ID == "":
			d.fail(check, id.Value, inRange, "nobody in Feishu%s is found by this", what)
		case who.Name == "":
			d.ok(check, id.Value, "is %s, whose name cannot be read", who.ID)
		default:
			d.ok(check, id.Value, "is %s (%s)", clean(who.Name), who.ID)
		}
	}
	for i := range d.cfg.Policy.Rules {
		for _, id := range d.cfg.Policy.Rules[i].Approvers {
			tell(id, "")
		}
		for _, id := range d.cfg.Policy.Rules[i].CardsTo {
			tell(id, ", to whom cards should go,")
		}
	}
	return unsure
}

// able gives the people that the rule's approvers are.
func able(r *policy.Rule, known map[policy.Identity]gate.Person) (people []string) {
	for _, id := range r.Approvers {
		if who := known[id].ID; who != "" && !slices.Contains(people, who) {
			people = append(people, who)
		}
	}
	return people
}

// enough checks whether the rule's approvers are enough people.
func (d *doctor) enough(r *policy.Rule, known map[policy.Identity]gate.Person, unsure []policy.Identity) bool {
	const check = "policy.rule"
	found := len(able(r, known))
	open := slices.ContainsFunc(r.Approvers, func(id policy.Identity) bool { return slices.Contains(unsure, id) })
	switch {
	case found < r.Required:
		d.fail(check, r.Name, "have the others found, or require fewer", "nobody gets through: it takes %s, and its approvers are %s",
			plural(r.Required, "approval"), people(found))
		return false
	case open:
		d.unchecked(check, r.Name, "see the lines on its approvers", "it takes %s; its approvers are at most %s", plural(r.Required, "approval"), people(found))
	case found == r.Required && !r.AllowSelfApproval:
		d.warn(check, r.Name, "add an approver, or require fewer", "nobody gets through with what one of its approvers wrote: it takes %s, and its approvers are %s",
			plural(r.Required, "approval"), people(found))
	default:
		d.ok(check, r.Name, "it takes %s, and its approvers are %s", plural(r.Required, "approval"), people(found))
	}
	return true
}

func people(n int) string {
	switch n {
	case 0:
		return "nobody who is found"
	case 1:
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

// authors checks whether mrgate can tell that an approver did not write it: it has to
// know who either the author is in Feishu, or the approver in GitLab.
func (d *doctor) authors(ctx context.Context, chat *feishu.Chat, r *policy.Rule, known map[policy.Identity]gate.Person, projects []examined) {
	const check = "policy.authors"
	p := d.cfg.Policy
	if r.AllowSelfApproval {
		d.ok(check, r.Name, "authors may approve, so nobody has to be told apart")
		return
	}
	if len(p.Users) == 0 && p.UserEmail == "" {
		d.fail(check, r.Name, "write who is who into users, or user_email, or allow_self_approval: true",
			"no approval will count: nobody can tell who the author is in Feishu")
		return
	}
	var told []string
	for _, id := range p.Users {
		told = append(told, known[id].ID)
	}
	if !slices.ContainsFunc(able(r, known), func(who string) bool { return !slices.Contains(told, who) }) {
		d.ok(check, r.Name, "users says who all its approvers are in GitLab, so they can be told from any author")
		return
	}
	authors, all := writers(r, projects)
	if len(authors) == 0 {
		d.unchecked(check, r.Name, "see that users and user_email cover all who open merge requests, or that users names all approvers",
			"who may write what is approved here cannot be told; what somebody writes who is neither in users nor found by user_email, only approvers in users can approve")
		return
	}
	strangers, err := d.strangers(ctx, chat, authors)
	switch {
	case err != nil:
		what, remedy := refusal(err, "")
		d.unchecked(check, r.Name, remedy, "people cannot be looked up: %s", what)
	case len(strangers) > 0:
		d.warn(check, r.Name, "add to users in the policy: "+some(strangers, clean),
			"of %d who may write what is approved here, mrgate does not know who %d are in Feishu; what these write, only approvers in users can approve", len(authors), len(strangers))
	case !all:
		d.unchecked(check, r.Name, "see that users and user_email cover all who open merge requests",
			"the %d of whom it is known that they may write what is approved here are told from its approvers; GitLab does not tell all", len(authors))
	default:
		d.ok(check, r.Name, "all %d who may write what is approved here are told from its approvers", len(authors))
	}
}

// writers gives the accounts that may push to the projects of a rule; all: there are
// no others that GitLab tells of.
func writers(r *policy.Rule, projects []examined) (accounts []gate.User, all bool) {
	all = true
	one := policy.Policy{Rules: []policy.Rule{*r}}
	for i := range projects {
		if !one.Covers(projects[i].ref()) {
			continue
		}
		all = all && projects[i].doors.MembersTold
		for _, m := range projects[i].doors.Members {
			if m.Level >= gitlab.Developer && m.ID != projects[i].doors.OwnID && !slices.Contains(accounts, m.User) {
				accounts = append(accounts, m.User)
			}
		}
	}
	return accounts, all
}

// strangers gives the usernames of those of whom the policy and the directory do not
// say who they are in Feishu.
func (d *doctor) strangers(ctx context.Context, chat *feishu.Chat, accounts []gate.User) (names []string, err error) {
	who := func(u gate.User) (policy.Identity, bool) {
		return d.cfg.Policy.PersonOf(policy.GitLabUser{ID: u.ID, Username: u.Username})
	}
	var ids []policy.Identity
	for _, u := range accounts {
		if id, ok := who(u); ok {
			ids = append(ids, id)
		}
	}
	known, err := chat.Find(ctx, ids)
	for _, u := range accounts {
		if id, ok := who(u); !ok || known[id].ID == "" {
			names = append(names, u.Username)
		}
	}
	return names, err
}
