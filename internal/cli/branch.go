package cli

import (
	"regexp"
	"slices"
	"strings"

	"mrgate/internal/gitlab"
	"mrgate/internal/policy"
)

// branch is a target branch of a rule that merges, or a protected pattern of such.
type branch struct {
	name  string
	rules []gitlab.Protected // that hold for it; none: it is not protected
}

// answer is whether somebody may.
type answer int

const (
	yes answer = iota
	no
	perhaps // it cannot be told
)

// branches gives the branches of a project into which mrgate is to merge: those that
// rules name, and of those behind a rule's pattern the ones that are protected; where
// none is, the pattern.
func (d *doctor) branches(p *examined) []branch {
	var list []branch
	add := func(name string) bool {
		rule := d.cfg.Policy.Match(p.ref(), name)
		known := slices.ContainsFunc(list, func(b branch) bool { return b.name == name })
		if rule == nil || rule.OnApprove != policy.OnApproveMerge || known {
			return known
		}
		b := branch{name: name}
		for _, protected := range p.doors.Protected {
			if covers(protected.Name, name) {
				b.rules = append(b.rules, protected)
			}
		}
		list = append(list, b)
		return true
	}
	for i := range d.cfg.Policy.Rules {
		one := policy.Policy{Rules: d.cfg.Policy.Rules[i : i+1]}
		if !one.Covers(p.ref()) {
			continue
		}
		for _, pattern := range one.Rules[0].TargetBranches {
			behind := false
			for _, protected := range p.doors.Protected {
				if strings.ContainsAny(pattern, "*?[{") && policy.MatchesBranch(pattern, protected.Name) {
					behind = add(protected.Name) || behind
				}
			}
			if !behind {
				add(pattern)
			}
		}
	}
	return list
}

// covers says that a protected name, in which * stands for anything, holds for a
// branch (docs.gitlab.com/user/project/repository/branches/protected, "wildcard rules").
func covers(protected, name string) bool {
	parts := strings.Split(protected, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	match, err := regexp.MatchString("^"+strings.Join(parts, ".*")+"$", name)
	return err == nil && match
}

// mayMerge says whether the user may merge into the branch. Where several rules hold
// for it, one that allows is enough.
func (b *branch) mayMerge(doors gitlab.Doors, user int64) answer {
	if !doors.Told {
		return perhaps
	}
	if len(b.rules) == 0 {
		return yes // every Developer may
	}
	may := no
	for _, a := range b.merge() {
		switch {
		case a.User == user, a.User == 0 && a.Group == 0 && a.Level > gitlab.NoAccess && doors.Own >= a.Level:
			return yes
		case a.Group != 0:
			may = perhaps
		}
	}
	return may
}

func (b *branch) merge() (all []gitlab.Access) {
	for _, r := range b.rules {
		all = append(all, r.Merge...)
	}
	return all
}

// doors gives whoever may merge into the branch, or push to it.
func (b *branch) doors() []gitlab.Access {
	all := b.merge()
	for _, r := range b.rules {
		all = append(all, r.Push...)
	}
	return all
}

// others gives the members beside the user who may change the branch; groups: so may
// a group or a deploy key, of which nobody knows who that is.
func (b *branch) others(doors gitlab.Doors, user int64) (list []gitlab.Member, groups bool) {
	for _, a := range b.doors() {
		if a.Group != 0 || a.DeployKey != 0 {
			groups = true
			continue
		}
		for _, m := range doors.Members {
			may := a.User == m.ID || a.User == 0 && a.Level > gitlab.NoAccess && m.Level >= a.Level
			if may && m.ID != user && !slices.Contains(list, m) {
				list = append(list, m)
			}
		}
		if a.User != 0 && a.User != user && !slices.ContainsFunc(doors.Members, func(m gitlab.Member) bool { return m.ID == a.User }) {
			groups = true
		}
	}
	return list, groups
}

// closed says that nobody but the user may change the branch, whoever is a member.
func (b *branch) closed(user int64) bool {
	return !slices.ContainsFunc(b.doors(), func(a gitlab.Access) bool {
		return a.User != user && a.Level > gitlab.NoAccess
	})
}
