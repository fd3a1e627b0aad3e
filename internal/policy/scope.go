package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Scope is where the projects are that the rules can match, as far as their
// patterns tell. Paths are in lower case; none stands beneath one of Groups.
type Scope struct {
	IDs      []int64
	Paths    []string // of projects
	Groups   []string // all that is in them, at any depth
	Anywhere bool     // some pattern begins with a wildcard

	// Covers says whether some rule can match a project that was found there.
	Covers func(ProjectRef) bool
}

// Scope says where to look for projects that the rules can match.
func (p *Policy) Scope() Scope {
	s := Scope{Covers: p.Covers}
	for i := range p.Rules {
		for _, pattern := range p.Rules[i].Projects {
			s.add(pattern)
		}
	}
	slices.Sort(s.IDs)
	s.IDs = slices.Compact(s.IDs)
	s.Groups = outermost(s.Groups, nil)
	s.Paths = outermost(s.Paths, s.Groups)
	return s
}

func (s *Scope) add(pattern string) {
	if id, err := strconv.ParseInt(pattern, 10, 64); err == nil && allDigits(pattern) {
		s.IDs = append(s.IDs, id)
		return
	}
	parts := strings.Split(foldProject(pattern), "/")
	plain := slices.IndexFunc(parts, func(part string) bool { return strings.ContainsAny(part, globMeta) })
	switch plain {
	case -1:
		s.Paths = append(s.Paths, strings.Join(parts, "/"))
	case 0:
		s.Anywhere = true
	default:
		s.Groups = append(s.Groups, strings.Join(parts[:plain], "/"))
	}
}

// outermost gives each path once, without those beneath another one or beneath
// one of groups.
func outermost(paths, groups []string) []string {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	groups = slices.Concat(groups, paths)
	return slices.DeleteFunc(paths, func(path string) bool {
		return slices.ContainsFunc(groups, func(group string) bool { return strings.HasPrefix(path, group+"/") })
	})
}
