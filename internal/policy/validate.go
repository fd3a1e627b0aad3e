package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/bmatcuk/doublestar/v4"
)

// Problem is something that keeps a policy from being used.
type Problem struct {
	// Path leads to it in the policy file, by keys and indexes from 0:
	// rules, 1, approvers, 0. What is missing has the path it would have.
	Path []string
	// Text says what is wrong, with the value, and the remedy; on one line.
	Text string
}

// Validate returns everything that is wrong; nothing means a good policy. A policy without rules is good: mrgate stays out of everything.
func (p *Policy) Validate() []Problem {
	v := &validator{problems: &[]Problem{}}
	names := map[string]int{}
	for i := range p.Rules {
		r := &p.Rules[i]
		at := v.at("rules", strconv.Itoa(i))
		at.rule(r)
		if first, ok := names[r.Name]; ok {
			at.say("name", "%s is the name of rule %d already; name each rule once", quote(r.Name), first+1)
		} else {
			names[r.Name] = i
		}
		for j := range i {
			if p.Rules[j].covers(r) {
				at.say("", "rule %s can never apply, since %s before it matches all that it does; put it first, or remove it", quote(r.Name), quote(p.Rules[j].Name))
				break
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Users)) {
		v.user(key, p.Users[key])
	}
	v.userEmail(p.UserEmail)
	choose(v, "adopt_cards", p.AdoptCards, AdoptConfirm, AdoptTrust, AdoptRefuse)
	if p.Note != NoteAuto {
		choose(v, "note", p.Note, NotePublic, NoteInternal, NoteOff)
	}
	choose(v, "operator_decisions", p.OperatorDecisions, OperatorAllow, OperatorDeny)
	choose(v, "locale", p.Locale, LocaleZH, LocaleEN)
	return *v.problems
}

// validator collects problems below one path.
type validator struct {
	path     []string
	problems *[]Problem
}

func (v *validator) at(path ...string) *validator {
	return &validator{append(slices.Clone(v.path), path...), v.problems}
}

// say reports a problem at key below the path, or at the path itself where key
// is empty.
func (v *validator) say(key, format string, args ...any) {
	path := v.path
	if key != "" {
		path = v.at(key).path
	}
	*v.problems = append(*v.problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (v *validator) rule(r *Rule) {
	v.name(r.Name)
	if len(r.Projects) == 0 {
		v.say("projects", "projects is missing or empty; list paths such as \"payments/*\", numeric IDs, or \"**\" for all")
	}
	for i, pattern := range r.Projects {
		v.at("projects").project(strconv.Itoa(i), pattern)
	}
	if len(r.TargetBranches) == 0 {
		v.say("target_branches", "target_branches is missing or empty; list branches such as main or \"release/*\", or \"**\" for all")
	}
	for i, pattern := range r.TargetBranches {
		if !validGlob(pattern) {
			v.at("target_branches").say(strconv.Itoa(i), "target_branches: %s is not a glob; write a branch such as main or \"release/*\"", quote(pattern))
		}
	}
	v.people(r)
	if r.RequireRole != "" {
		choose(v, "require_gitlab_role", r.RequireRole, ranks()[1:]...)
	}
	choose(v, "on_approve", r.OnApprove, OnApproveMerge, OnApproveApprove)
	choose(v, "on_reject", r.OnReject, OnRejectClose, OnRejectComment)
	if r.Merge.Squash != nil && !*r.Merge.Squash {
		v.at("merge").say("squash", "squash: false has no effect, GitLab ignores it; leave squash out, and the merge request decides")
	}
	v.times(r)
}

func (v *validator) name(name string) {
	switch {
	case strings.TrimSpace(name) == "":
		v.say("name", "name is empty; name the rule, or leave the key out")
	case len([]rune(name)) > 64 || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }):
		v.say("name", "name: %s cannot be shown; use at most 64 printable characters", quote(name))
	}
}

// project checks one pattern. GitLab has no project outside a group or a user's
// namespace, so a path has a slash, and a pattern without one matches nothing.
func (v *validator) project(key, pattern string) {
	switch folded := foldProject(pattern); {
	case allDigits(pattern):
		if _, err := strconv.ParseInt(pattern, 10, 64); err != nil || pattern[0] == '0' {
			v.say(key, "projects: %s is not a project ID; copy it from the project's page", quote(pattern))
		}
	case !validGlob(pattern) || !validGlob(folded):
		v.say(key, "projects: %s is not a glob; write a path such as \"payments/*\", or a numeric ID", quote(pattern))
	case strings.HasPrefix(pattern, "/") || strings.HasSuffix(pattern, "/") || strings.Contains(pattern, "://"):
		v.say(key, "projects: %s matches no project; write the path alone, as in payments/api", quote(pattern))
	case pattern != anything && !strings.ContainsAny(pattern, "/{"):
		v.say(key, "projects: %s matches no project, since every path has a group; write group/project, \"group/*\", or \"**\" for all", quote(pattern))
	}
}

// validGlob tells whether the glob can match and be shown.
func validGlob(pattern string) bool {
	return pattern != "" && doublestar.ValidatePattern(pattern) && !strings.ContainsFunc(pattern, func(c rune) bool { return !unicode.IsPrint(c) })
}

func (v *validator) people(r *Rule) {
	people := map[Identity]bool{}
	for i, who := range r.Approvers {
		switch at := v.at("approvers"); who.Kind {
		case KindEmail, KindMobile, KindID:
			people[who] = true
		case KindGroup:
			at.say(strconv.Itoa(i), "approvers: %s is a group, and only people decide; list them here, and the group under cards_to", quote(who.Value))
		default:
			at.say(strconv.Itoa(i), "approvers: %s is no identity; write an e-mail address, a mobile number (+86…) or the chat's own ID (ou_…)", quote(who.Value))
		}
	}
	switch {
	case len(r.Approvers) == 0:
		v.say("approvers", "approvers is missing or empty; list at least one person, as in [alice@example.com]")
	case r.Required < 1:
		v.say("required", "required: %d people cannot approve; write 1 or more", r.Required)
	case len(people) > 0 && r.Required > len(people):
		v.say("required", "required: %d people must approve, but approvers lists %d; add approvers, or require fewer", r.Required, len(people))
	}
	for i, who := range r.CardsTo {
		switch who.Kind {
		case KindEmail, KindMobile, KindID, KindGroup:
		default:
			v.at("cards_to").say(strconv.Itoa(i), "cards_to: %s is no identity; write an e-mail address, a mobile number (+86…) or the chat's own ID (ou_…, oc_…)", quote(who.Value))
		}
	}
}

func (v *validator) times(r *Rule) {
	const least = time.Second // for trials; people need hours
	if r.ExpireAfter < least || r.ExpireAfter > MaxExpire {
		v.say("expire_after", "expire_after: %s is not between 1s and 14d, when Feishu's cards die; write at most 14d", FormatDuration(r.ExpireAfter))
	}
	switch {
	case r.RemindAfter == 0:
	case r.RemindAfter < least:
		v.say("remind_after", "remind_after: %s is less than 1s; write 1s or more, or leave it out", FormatDuration(r.RemindAfter))
	case r.RemindAfter >= r.ExpireAfter:
		v.say("remind_after", "remind_after: %s never comes, since the request expires after %s; write less", FormatDuration(r.RemindAfter), FormatDuration(r.ExpireAfter))
	}
}

// user checks one entry of users. GitLab's usernames consist of letters, digits
// and "_.-" (https://docs.gitlab.com/user/reserved_names/).
func (v *validator) user(key string, who Identity) {
	at := v.at("users")
	if key == "" || strings.ContainsFunc(key, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_.-", c)
	}) {
		at.say(key, "users: %s is no GitLab username and no user ID; write it without @, as in bob or 47", quote(key))
		return
	}
	if allDigits(key) {
		if _, err := strconv.ParseInt(key, 10, 64); err != nil || key[0] == '0' {
			at.say(key, "users: %s is not a user ID; copy it from the user's profile", quote(key))
		}
	} else if key != strings.ToLower(key) {
		at.say(key, "users: %s must be in lower case", quote(key))
	}
	switch who.Kind {
	case KindEmail, KindMobile, KindID:
	case KindGroup:
		at.say(key, "users: %s of %s is a group; write the person's e-mail address, mobile number or ID (ou_…)", quote(who.Value), quote(key))
	default:
		at.say(key, "users: %s of %s is no identity; write an e-mail address, a mobile number (+86…) or the chat's own ID (ou_…)", quote(who.Value), quote(key))
	}
}

func (v *validator) userEmail(template string) {
	if template == "" {
		return
	}
	local, _, _ := strings.Cut(template, "@")
	filled := strings.ReplaceAll(template, placeholder, "x")
	who, err := ParseIdentity(filled)
	// The username must not choose the domain: it is the user's own to change.
	if strings.Count(local, placeholder) != 1 || strings.Count(template, placeholder) != 1 || err != nil || who.Kind != KindEmail {
		v.say("user_email", "user_email: %s makes no address out of a username; write it as \"{username}@example.com\"", quote(template))
	}
}

// choose checks that a value is one of those that there are.
func choose[T ~string](v *validator, key string, value T, allowed ...T) {
	if slices.Contains(allowed, value) {
		return
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	last := len(words) - 1
	v.say(key, "%s: %s is unknown; write %s or %s", key, quote(string(value)), strings.Join(words[:last], ", "), words[last])
}
