package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"mrgate/internal/gitlab"
	"mrgate/internal/policy"
)

const (
	// mostExamined is how many projects are looked at: each takes several calls.
	mostExamined = 20
	// examinedAtOnce is how many of them at the same time.
	examinedAtOnce = 4
	// expiresSoon is when a token's last day is worth a warning.
	expiresSoon = 30 * 24 * time.Hour
	// mostNames is how many names a line holds.
	mostNames = 5
)

// examined is a project that was looked at.
type examined struct {
	gitlab.Project
	doors gitlab.Doors
	hooks []gitlab.Hook
	told  bool // hooks are all there are
	err   error
}

// ref names it as rules do.
func (p *examined) ref() policy.ProjectRef { return policy.ProjectRef(p.Project) }

// gitlab checks GitLab, and gives the projects that it looked at.
func (d *doctor) gitlab(ctx context.Context) []examined {
	cfg := d.cfg
	if cfg.GitLabToken.Reveal() == "" {
		return nil // settings has said so
	}
	forge, err := newForge(cfg)
	if err != nil {
		d.fail("gitlab", "", "mend the setting", "%s", err)
		return nil
	}
	if !d.instance(ctx, forge) {
		return nil
	}
	me, ok := d.token(ctx, forge)
	if !ok || len(cfg.Policy.Rules) == 0 {
		return nil
	}
	projects, ok := d.projects(ctx, forge, me)
	if !ok {
		return nil
	}
	looked := make([]examined, len(projects))
	var group errgroup.Group
	group.SetLimit(examinedAtOnce)
	for i, p := range projects {
		group.Go(func() error {
			looked[i] = d.look(ctx, forge, p)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	looked = slices.DeleteFunc(looked, func(p examined) bool {
		if p.err != nil {
			d.fail("gitlab.project", p.Path, "run it again; if it stays, see what GitLab says", "%s", p.err)
		}
		return p.err != nil
	})
	for i := range looked {
		d.project(&looked[i], me)
	}
	d.webhooks(looked)
	return looked
}

// instance checks that GitLab answers; false: nothing else can be asked.
func (d *doctor) instance(ctx context.Context, forge *gitlab.Forge) bool {
	address := d.cfg.GitLabURL
	in, err := forge.Instance(ctx)
	refused := errors.Is(err, gitlab.ErrToken)
	switch {
	case errors.Is(err, gitlab.ErrNoGitLab):
		d.fail("gitlab", "", "set gitlab-url to GitLab's own address, as people open it, with the path if there is one", "%s: %s", address, err)
	case errors.Is(err, gitlab.ErrUnwell):
		d.fail("gitlab", "", "run it again later; if it stays, ask who runs GitLab", "%s: %s", address, err)
	case err != nil && !refused:
		what, remedy := unreachable(err, address, "gitlab-url", "gitlab-ca-file")
		d.fail("gitlab", "", remedy, "%s", what)
	case in.Version == "":
		d.ok("gitlab", "", "%s answers", address)
	default:
		d.ok("gitlab", "", "%s answers, GitLab %s", address, in.Version)
	}
	if in.Dated && (err == nil || refused) {
		d.clock("gitlab.clock", "GitLab's", in.Clock)
	}
	if refused {
		d.refusedToken(err)
	}
	return err == nil
}

func (d *doctor) refusedToken(err error) {
	d.fail("gitlab.token", "", "make a new access token with the scope api, and set MRGATE_GITLAB_TOKEN_FILE or MRGATE_GITLAB_TOKEN",
		"%s: it is unknown, expired or revoked (%s)", gitlab.ErrToken, strings.TrimPrefix(err.Error(), gitlab.ErrToken.Error()+": "))
}

// token checks whose the token is and what it is good for; false: nothing else can
// be asked.
func (d *doctor) token(ctx context.Context, forge *gitlab.Forge) (gitlab.Account, bool) {
	const check = "gitlab.token"
	const renew = "make another access token for that user with the scope api, and set MRGATE_GITLAB_TOKEN_FILE or MRGATE_GITLAB_TOKEN"
	me, err := forge.Account(ctx)
	switch {
	case errors.Is(err, gitlab.ErrToken):
		d.refusedToken(err)
		return me, false
	case me.Known && !me.Granular && !slices.Contains(me.Scopes, "api"):
		d.fail(check, "", renew, "the token has the scopes %s, and lacks api, without which it can neither approve nor merge", cmp.Or(strings.Join(me.Scopes, ", "), "none"))
		return me, false
	case err != nil:
		d.fail(check, "", "run it again; if it stays, see what GitLab says", "whose token it is cannot be read: %s", err)
		return me, false
	}
	d.ok("gitlab.user", "", "the token is that of %s (%s, user %d)", clean(me.User.Username), clean(me.User.Name), me.User.ID)
	left := time.Until(me.Expires.AddDate(0, 0, 1))
	switch day := me.Expires.Format(time.DateOnly); {
	case !me.Known:
		d.unchecked(check, "", "look in GitLab under Access tokens", "GitLab does not tell the token's scopes and last day")
	case me.Granular:
		d.unchecked(check, "", "give it all that it takes to read projects and members, and to read, approve, merge, close and comment on merge requests",
			"the token has single permissions in place of scopes, and whether they are enough is not known")
	case !me.Expires.IsZero() && left < expiresSoon:
		d.warn(check, "", renew, "the token has the scope api, and its last day is %s, in %s", day, plural(max(int(left.Hours()/24), 0), "day"))
	case me.Expires.IsZero():
		d.ok(check, "", "the token has the scope api, and does not expire")
	default:
		d.ok(check, "", "the token has the scope api, and its last day is %s", day)
	}
	return me, true
}

// projects finds those that the rules can match, and says which of them are missing.
func (d *doctor) projects(ctx context.Context, forge *gitlab.Forge, me gitlab.Account) ([]gitlab.Project, bool) {
	const check = "gitlab.projects"
	all, err := forge.Projects(ctx, d.cfg.Policy.Scope())
	if err != nil && len(all.Found) == 0 {
		d.fail(check, "", "run it again; if it stays, see what GitLab says", "%s", err)
		return nil, false
	}
	if err != nil {
		d.warn(check, "", "name groups in the rules", "%s", err)
	}
	invite := fmt.Sprintf("add %s to it in GitLab, as Maintainer or at least Developer, or mend the rule", clean(me.User.Username))
	for _, name := range all.Lost {
		d.fail(check, name, invite, "a rule names this project, and the token's user cannot see one of that name")
	}
	for name, p := range all.Moved {
		d.warn(check, name, "write the new path into the rule, or the project's ID "+fmt.Sprint(p.ID), "the project is called %s by now, and no rule matches that", clean(p.Path))
	}
	found := all.Found
	if wanted := strings.Trim(d.cfg.Project, "/"); wanted != "" {
		found = slices.DeleteFunc(found, func(p gitlab.Project) bool {
			return !strings.EqualFold(p.Path, wanted) && fmt.Sprint(p.ID) != wanted
		})
	}
	switch {
	case len(found) == 0 && d.cfg.Project != "":
		d.fail(check, d.cfg.Project, invite, "no rule matches a project of that name that the token's user can see")
	case len(found) == 0 && len(all.Lost) == 0:
		d.fail(check, "", fmt.Sprintf("add %s to the projects, or to their group, in GitLab, or mend the rules", clean(me.User.Username)),
			"the token's user is in no project that the rules can match")
	case len(found) > mostExamined:
		d.unchecked(check, "", "look at others one by one, with --project", "the rules can match %d projects, and %d of them were looked at", len(found), mostExamined)
		found = found[:mostExamined]
	case len(found) > 0:
		d.ok(check, "", "the rules can match %s: %s", plural(len(found), "project"), some(found, func(p gitlab.Project) string { return clean(p.Path) }))
	}
	return found, true
}

// look asks about a project.
func (d *doctor) look(ctx context.Context, forge *gitlab.Forge, p gitlab.Project) examined {
	e := examined{Project: p}
	if e.doors, e.err = forge.Doors(ctx, p.ID); e.err != nil || !d.awaitsWebhooks() {
		return e
	}
	e.hooks, e.told, e.err = forge.Hooks(ctx, p.ID, d.cfg.PublicURL+webhookPath)
	return e
}

// project checks what mrgate, and who else, may do in a project.
func (d *doctor) project(p *examined, me gitlab.Account) {
	bot := clean(me.User.Username)
	if p.doors.Own < gitlab.Developer {
		d.fail("gitlab.project", p.Path, fmt.Sprintf("make %s Maintainer there, or at least Developer", bot),
			"%s is %s; it takes a Developer to approve, to close and to set a commit status, and who may merge to merge", bot, p.doors.Own)
		return
	}
	var may, not, unsure []string
	for _, b := range d.branches(p) {
		switch b.mayMerge(p.doors, me.User.ID) {
		case yes:
			may = append(may, b.name)
		case no:
			not = append(not, b.name)
		case perhaps:
			unsure = append(unsure, b.name)
		}
	}
	protect := "let it in GitLab under Settings > Repository > Protected branches > Allowed to merge"
	if len(not) > 0 {
		d.fail("gitlab.merge", p.Path, protect, "%s is %s, and may not merge into %s", bot, p.doors.Own, some(not, clean))
	}
	if len(unsure) > 0 {
		d.unchecked("gitlab.merge", p.Path, "look in GitLab under Settings > Repository > Protected branches > Allowed to merge",
			"%s is %s; whether it may merge into %s cannot be told", bot, p.doors.Own, some(unsure, clean))
	}
	if len(may) > 0 {
		d.ok("gitlab.merge", p.Path, "%s is %s, and may merge into %s", bot, p.doors.Own, some(may, clean))
	}
	for _, b := range d.branches(p) {
		d.gate(p, b, me)
	}
}

// gate checks whether a branch can only be changed through mrgate.
func (d *doctor) gate(p *examined, b branch, me gitlab.Account) {
	const check = "gitlab.gate"
	remedy := fmt.Sprintf("in GitLab under Settings > Repository > Protected branches, let nobody push to it and only %s merge; "+
		"where it takes roles alone: Allowed to merge: Maintainers, Allowed to push and merge: No one, with %[1]s as the only Maintainer", clean(me.User.Username))
	name := clean(b.name)
	if !p.doors.Told {
		d.unchecked(check, p.Path, "look in GitLab under Settings > Repository > Protected branches",
			"whether anybody else may change %s cannot be told: only a Maintainer may ask", name)
		return
	}
	if len(b.rules) == 0 {
		d.warn(check, p.Path, remedy, "%s is not protected: every Developer may push to it, around mrgate", name)
		return
	}
	others, groups := b.others(p.doors, me.User.ID)
	switch {
	case len(others) > 0:
		d.warn(check, p.Path, remedy, "%s is no hard gate: %s may change it around mrgate", name, some(others, func(m gitlab.Member) string {
			return fmt.Sprintf("%s (%s)", clean(m.Username), m.Level)
		}))
	case groups:
		d.warn(check, p.Path, remedy, "%s is no hard gate: a group or a deploy key may change it around mrgate", name)
	case !p.doors.MembersTold && !b.closed(me.User.ID):
		d.unchecked(check, p.Path, "look under Manage > Members", "whether anybody else may change %s cannot be told: GitLab does not tell the project's members", name)
	default:
		d.ok(check, p.Path, "%s is a hard gate: only %s may change it, beside who may change its protection", name, clean(me.User.Username))
	}
}

// webhookPath is where a listener takes webhooks.
const webhookPath = "/gitlab/webhook"

// awaitsWebhooks says that the listener takes webhooks.
func (d *doctor) awaitsWebhooks() bool {
	listens := !d.cfg.LongConnection || d.cfg.Given("listen")
	return listens && len(d.cfg.GitLabWebhookSecret)+len(d.cfg.GitLabSigningToken) > 0
}

// webhooks checks how mrgate hears of merge requests.
func (d *doctor) webhooks(projects []examined) {
	const check = "gitlab.webhook"
	sweeps := d.cfg.Sweep > 0
	found := fmt.Sprintf("sweeps find merge requests every %s", policy.FormatDuration(d.cfg.Sweep))
	switch {
	case !d.awaitsWebhooks() && sweeps:
		d.ok(check, "", "none is taken; %s", found)
		return
	case !d.awaitsWebhooks():
		d.fail(check, "", "set sweep, or gitlab-signing-token (or gitlab-webhook-secret) and listen", "nothing tells mrgate of merge requests: it takes no webhook, and sweep is 0")
		return
	}
	// With sweeps, a webhook only makes it faster.
	worse := d.fail
	if sweeps {
		worse = d.warn
	}
	for _, p := range projects {
		switch {
		case !p.told:
			d.unchecked(check, p.Path, "look in GitLab under Settings > Webhooks > Edit > Recent events", "its webhooks cannot be seen: only a Maintainer may ask")
			continue
		case len(p.hooks) == 0:
			worse(check, p.Path, fmt.Sprintf("add one in GitLab: the listener's address and %s, the secret, and Merge request events", webhookPath),
				"none of its webhooks calls mrgate; one of a group or of the whole GitLab may, and cannot be seen from here")
			continue
		}
		for _, h := range p.hooks {
			what, remedy := trouble(h)
			if what != "" {
				worse(check, p.Path, remedy, "%s %s", h.URL, what)
				continue
			}
			last := "nothing was delivered in the last seven days, or this GitLab does not tell"
			if !h.Last.IsZero() {
				last = fmt.Sprintf("its last delivery, %s ago, was answered %s", policy.FormatDuration(time.Since(h.Last).Truncate(time.Second)), h.Status)
			}
			d.ok(check, p.Path, "%s is switched on; %s", h.URL, last)
		}
	}
}

// trouble says what is wrong with a webhook; "": nothing.
func trouble(h gitlab.Hook) (what, remedy string) {
	switch {
	case !h.MergeRequests:
		return "is not told of merge requests", "switch on Merge request events in GitLab under Settings > Webhooks"
	case h.Disabled && !h.Until.IsZero():
		return "is switched off until " + h.Until.UTC().Format(time.RFC3339) + ", because it failed", "see in GitLab under Settings > Webhooks > Edit > Recent events why"
	case h.Disabled:
		return "is switched off, because it failed too often", "see in GitLab under Settings > Webhooks > Edit > Recent events why, and press Test, which switches it on"
	case h.Last.IsZero(), strings.HasPrefix(h.Status, "2"):
		return "", ""
	}
	what = fmt.Sprintf("was answered %s at its last delivery", h.Status)
	switch {
	case strings.HasPrefix(h.Status, "401"):
		return what, "give it the secret that the listener has"
	case strings.HasPrefix(h.Status, "404"):
		return what, "check its path, and that the listener was started with gitlab-signing-token or gitlab-webhook-secret"
	case strings.HasPrefix(h.Status, "internal"):
		return what, "GitLab cannot reach it: check the address, its certificate, and in GitLab Admin > Settings > Network > Outbound requests"
	}
	return what, "see in GitLab under Settings > Webhooks > Edit > Recent events why"
}

// some lists items, the first few by name.
func some[T any](items []T, name func(T) string) string {
	var names []string
	for i, item := range items {
		if i == mostNames {
			names = append(names, fmt.Sprintf("%d more", len(items)-i))
			break
		}
		names = append(names, name(item))
	}
	return strings.Join(names, ", ")
}
