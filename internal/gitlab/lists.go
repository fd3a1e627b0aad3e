package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

const (
	// findAgain is how often it is asked which projects the token's user is in.
	findAgain = 5 * time.Minute
	// mostProjects is how many of them are looked through.
	mostProjects = 10_000
)

// found is what was found out about where the projects are that rules can match.
type found struct {
	mu      sync.Mutex
	groups  map[string]bool // by path: whether it is a group that may be seen
	asked   time.Time       // by this process's clock
	at      time.Time       // the same by GitLab's
	members []member
	tooMany error                // why they are not all
	from    map[string]time.Time // by list: since when it counts, if it was found later than others
}

// member is a project that the token's user is in.
type member struct {
	ID        int64  `json:"id"`
	Path      string `json:"path_with_namespace"`
	Namespace struct {
		Kind string `json:"kind"` // group, user
	} `json:"namespace"`
}

// Lists implements gate.Forge. Projects that rules name are listed one by one,
// and groups as a whole, with all that is beneath them
// (GET /groups/:id/merge_requests). For rules that begin with a wildcard, and
// where what stands before one is no group but somebody's own namespace, it is
// asked which projects the token's user is in; GET /merge_requests would be the
// whole instance, which on gitlab.com fails (gitlab-org/gitlab#10102).
//
// It may take longer than one call: there may be many projects.
func (f *Forge) Lists(ctx context.Context, scope policy.Scope) ([]gate.List, error) {
	f.found.mu.Lock()
	defer f.found.mu.Unlock()
	var of []string
	for _, id := range scope.IDs {
		of = append(of, fmt.Sprintf("projects/%d", id))
	}
	for _, path := range scope.Paths {
		of = append(of, "projects/"+gogitlab.PathEscape(path))
	}
	old := !f.found.asked.IsZero() && f.hold.now().Sub(f.found.asked) >= findAgain
	var groups, others []string // others: no groups
	for _, path := range scope.Groups {
		if f.isGroup(ctx, path, old) {
			groups = append(groups, path)
			of = append(of, "groups/"+gogitlab.PathEscape(path))
		} else {
			others = append(others, path)
		}
	}
	var err error
	if scope.Anywhere || len(others) > 0 {
		if old || f.found.asked.IsZero() {
			err = f.findMembers(ctx)
		}
		if err == nil {
			err = f.found.tooMany
		}
		found := 0
		for _, p := range f.found.members {
			path := strings.ToLower(p.Path)
			switch {
			case !scope.Covers(policy.ProjectRef{ID: p.ID, Path: p.Path}),
				!scope.Anywhere && !beneath(path, others):
				continue
			case beneath(path, groups), slices.Contains(scope.Paths, path), slices.Contains(scope.IDs, p.ID):
			default:
				of = append(of, p.list())
			}
			found++
		}
		if err == nil && found == 0 {
			err = errors.New("the token's user is a member of no project that the rules can match; add it to them in GitLab")
		}
	}
	slices.Sort(of)
	var lists []gate.List
	for _, of := range slices.Compact(of) {
		var from gate.Mark
		if at := f.found.from[of]; !at.IsZero() {
			from = mark{Floor: at, Since: at}.text()
		}
		lists = append(lists, gate.List{Of: of, From: from}, gate.List{Of: of, Open: true})
	}
	return lists, err
}

// list is the list in which the project's merge requests are: that of the
// outermost group, of which there are few.
func (p *member) list() string {
	if outermost, _, _ := strings.Cut(p.Path, "/"); p.Namespace.Kind == "group" {
		return "groups/" + gogitlab.PathEscape(strings.ToLower(outermost))
	}
	return fmt.Sprintf("projects/%d", p.ID)
}

func beneath(path string, groups []string) bool {
	return slices.ContainsFunc(groups, func(group string) bool { return strings.HasPrefix(path, group+"/") })
}

// isGroup says whether the path is a group's that may be seen; where that cannot
// be found out, it is taken for one. again: it is asked even if it was none.
func (f *Forge) isGroup(ctx context.Context, path string, again bool) bool {
	if is, ok := f.found.groups[path]; ok && (is || !again) {
		return is
	}
	ctx, cancel := f.bound(ctx)
	defer cancel()
	_, _, err := f.list(ctx, "groups/"+gogitlab.PathEscape(path), listOptions{State: "opened", OrderBy: "created_at", Sort: "desc", PerPage: 1})
	none := status(err) == http.StatusNotFound
	if err == nil || none {
		if f.found.groups == nil {
			f.found.groups = map[string]bool{}
		}
		f.found.groups[path] = !none
	}
	return !none
}

// findMembers asks which projects the token's user is in. If it cannot be found
// out, what was found before stands. A project in a list that was not there
// before counts since it was last asked, as it may be new altogether.
func (f *Forge) findMembers(ctx context.Context) error {
	var members []member
	var asked time.Time
	var tooMany error
	for after := int64(0); ; {
		page, at, err := f.membersAfter(ctx, after)
		switch {
		case err != nil:
			return f.fail("find", projectsOf("the token's user"), err)
		case after == 0:
			asked = at
		}
		members = append(members, page...)
		if len(page) < perPage {
			break
		}
		if len(members) >= mostProjects {
			tooMany = fmt.Errorf("the token's user is in more than %d projects, and no more are looked through for rules that begin with a wildcard; name groups in the rules", mostProjects)
			break
		}
		after = page[len(page)-1].ID
	}
	if !f.found.at.IsZero() {
		known := map[string]bool{}
		for _, p := range f.found.members {
			known[p.list()] = true
		}
		for _, p := range members {
			if list := p.list(); !known[list] {
				if f.found.from == nil {
					f.found.from = map[string]time.Time{}
				}
				f.found.from[list] = f.found.at
			}
		}
	}
	f.found.members, f.found.at, f.found.asked, f.found.tooMany = members, asked, f.hold.now(), tooMany
	return nil
}

// projectsOf names somebody's projects in an error.
type projectsOf string

func (p projectsOf) String() string { return "the projects of " + string(p) }

// membersAfter is a page of the projects behind the one with this ID
// (docs.gitlab.com/api/projects, "List all projects").
func (f *Forge) membersAfter(ctx context.Context, id int64) ([]member, time.Time, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	var page []member
	resp, err := f.call(ctx, http.MethodGet, "projects", struct {
		Membership bool   `url:"membership"`
		Simple     bool   `url:"simple"`
		OrderBy    string `url:"order_by"`
		Sort       string `url:"sort"`
		PerPage    int    `url:"per_page"`
		IDAfter    int64  `url:"id_after,omitempty"`
	}{true, true, "id", "asc", perPage, id}, &page)
	if err != nil {
		return nil, time.Time{}, err
	}
	return page, f.answeredAt(resp.Header), nil
}
