package gitlabsim

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Access levels, as GitLab numbers them.
const (
	NoAccess   = 0
	Guest      = 10
	Reporter   = 20
	Developer  = 30
	Maintainer = 40
	Owner      = 50
	NoOne      = 60 // as Project.MergeAccess: nobody may merge
)

// Project is a project, and what the bot may do in it.
type Project struct {
	ID            int64  // default: the next free one
	Path          string // with its groups: acme/tools/webhook
	Visibility    string // private (default), internal, public
	DefaultBranch string // default main
	// PipelinesMustSucceed: only merge where the head's pipeline has.
	PipelinesMustSucceed bool
	// DiscussionsMustBeResolved: no merge while a thread is open.
	DiscussionsMustBeResolved bool
	// CI has every push start a pipeline.
	CI bool
	// MergeMethod is merge (default), rebase_merge or ff.
	MergeMethod string
	// BotAccess is the bot's access level; 0: it is no member, and sees a
	// private project as little as one that does not exist.
	BotAccess int
	// MergeAccess is the level that may merge; default Developer.
	MergeAccess int
	// PushAccess is the level that may push to the default branch; default Maintainer.
	PushAccess int
	// BotOnly lets the bot merge, by its name and nobody else (Premium).
	BotOnly bool
	// Unprotected: the default branch is like any other, and every Developer may
	// push to it.
	Unprotected bool
	// Members are the others in the project, with their levels, by username.
	Members map[string]int
}

// AddProject adds a project and gives it back with what was filled in.
func (s *Server) AddProject(p Project) Project {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ID == 0 {
		p.ID = s.id()
	}
	p.Visibility = or(p.Visibility, "private")
	p.DefaultBranch = or(p.DefaultBranch, "main")
	p.MergeMethod = or(p.MergeMethod, "merge")
	p.MergeAccess = or(p.MergeAccess, Developer)
	p.PushAccess = or(p.PushAccess, Maintainer)
	s.projects = append(s.projects, &p)
	for group := path.Dir(p.Path); group != "."; group = path.Dir(group) {
		if s.groups[strings.ToLower(group)] == 0 {
			s.groups[strings.ToLower(group)] = s.id()
		}
	}
	return p
}

// ChangeProject lets change alter a project's settings.
func (s *Server) ChangeProject(id int64, change func(*Project)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.mustProject(id))
}

// Rename gives a project another path. Its ID stays, and the old path redirects.
func (s *Server) Rename(id int64, newPath string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(id)
	s.moved[strings.ToLower(p.Path)] = p
	p.Path = newPath
}

func (s *Server) mustProject(id int64) *Project {
	for _, p := range s.projects {
		if p.ID == id {
			return p
		}
	}
	panic(fmt.Sprintf("gitlabsim: no project %d: AddProject first", id))
}

func (p *Project) visible() bool { return p.BotAccess > NoAccess || p.Visibility != "private" }

// readable: the merge requests of a private project need a Reporter (docs.gitlab.com/user/permissions).
func (p *Project) readable() bool { return p.BotAccess >= Reporter || p.Visibility != "private" }

// projectOf finds the project of a call by ID, or by path without regard to
// case; one that may not be seen does not exist.
func (s *Server) projectOf(q *request) (*Project, *answer) {
	name := q.path["id"]
	for _, p := range s.projects {
		if (strings.EqualFold(p.Path, name) || strconv.FormatInt(p.ID, 10) == name) && p.visible() {
			return p, nil
		}
	}
	if p := s.moved[strings.ToLower(name)]; p != nil && p.visible() {
		// lib/api/helpers.rb, redirect_or_not: a moved project's old path redirects, but only a GET.
		if q.Method != http.MethodGet {
			return nil, refuse(http.StatusMethodNotAllowed, "Non GET methods are not allowed for moved projects")
		}
		a := message(http.StatusFound, "This resource has been moved temporarily")
		rest := strings.SplitN(q.URL.EscapedPath(), "/", 6) // "", api, v4, projects, id, rest
		to := fmt.Sprintf("/api/v4/projects/%d", p.ID)
		if len(rest) == 6 {
			to += "/" + rest[5]
		}
		if q.URL.RawQuery != "" {
			to += "?" + q.URL.RawQuery
		}
		a.header.Set("Location", to)
		return nil, &a
	}
	return nil, refuse(http.StatusNotFound, "404 Project Not Found")
}

func (s *Server) getProject(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	return jsonAnswer(http.StatusOK, s.projectJSON(p))
}

// listProjects lists what the bot sees, or is a member of: lib/api/projects.rb.
// Only the order by ID is simulated: it is the one that pages can be cut out of
// while projects come and go.
func (s *Server) listProjects(q *request) answer {
	found := slices.Clone(s.projects)
	after, before := int64(q.integer("id_after", 0)), int64(q.integer("id_before", math.MaxInt64))
	least := q.integer("min_access_level", NoAccess)
	if q.flag("membership") {
		least = max(least, Guest)
	}
	found = slices.DeleteFunc(found, func(p *Project) bool {
		return !p.visible() || p.BotAccess < least || p.ID <= after || p.ID >= before
	})
	slices.SortFunc(found, func(a, b *Project) int {
		if q.str("sort") == "asc" {
			return cmp.Compare(a.ID, b.ID)
		}
		return cmp.Compare(b.ID, a.ID)
	})
	return paginate(q, found, func(p *Project) any {
		o := s.projectJSON(p)
		if q.flag("simple") {
			simple := object{} // API::Entities::BasicProjectDetails
			for _, name := range []string{
				"id", "description", "name", "name_with_namespace", "path", "path_with_namespace", "default_branch", "topics",
				"ssh_url_to_repo", "http_url_to_repo", "web_url", "visibility", "namespace",
			} {
				simple[name] = o[name]
			}
			return simple
		}
		return o
	})
}

func (s *Server) projectJSON(p *Project) object {
	web := s.url + "/" + p.Path
	group := path.Dir(p.Path)
	kind := "group"
	if s.isUser(group) {
		kind = "user"
	}
	o := object{
		"id": p.ID, "description": nil, "name": path.Base(p.Path), "path": path.Base(p.Path),
		"name_with_namespace": strings.ReplaceAll(p.Path, "/", " / "), "path_with_namespace": p.Path,
		"default_branch": p.DefaultBranch, "topics": []string{}, "visibility": p.Visibility, "archived": false,
		"web_url": web, "http_url_to_repo": web + ".git", "ssh_url_to_repo": "git@gitlab.example.com:" + p.Path + ".git",
		"namespace": object{
			"id": s.groups[strings.ToLower(group)], "name": path.Base(group), "path": path.Base(group), "kind": kind,
			"full_path": group, "parent_id": nil, "avatar_url": nil, "web_url": s.url + "/groups/" + group,
		},
		"merge_requests_enabled": true, "merge_method": p.MergeMethod, "squash_option": "default_off",
		"only_allow_merge_if_pipeline_succeeds":            p.PipelinesMustSucceed,
		"only_allow_merge_if_all_discussions_are_resolved": p.DiscussionsMustBeResolved,
		"allow_merge_on_skipped_pipeline":                  nil, "remove_source_branch_after_merge": false,
	}
	access := any(nil)
	if p.BotAccess > NoAccess {
		access = object{"access_level": p.BotAccess, "notification_level": 3}
	}
	o["permissions"] = object{"project_access": access, "group_access": nil}
	return o
}

// SetMember gives somebody a role in a project, by whatever group; NoAccess takes
// it away.
func (s *Server) SetMember(project int64, username string, level int) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, p := s.person(username), s.mustProject(project)
	if p.Members == nil {
		p.Members = map[string]int{}
	}
	delete(p.Members, u.Username)
	if level > NoAccess {
		p.Members[u.Username] = level
	}
	return *u
}

// getMember answers as lib/api/members.rb: for who is no member as for who does
// not exist.
func (s *Server) getMember(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	for _, u := range slices.Concat(s.users, []*User{s.bot}) {
		level := p.Members[u.Username]
		if u.ID == s.bot.ID {
			level = p.BotAccess
		}
		if u.ID == q.number("user_id") && level > NoAccess {
			o := s.userJSON(u)
			o["access_level"], o["expires_at"], o["membership_state"] = level, nil, "active"
			return jsonAnswer(http.StatusOK, o)
		}
	}
	return message(http.StatusNotFound, "404 Not found")
}

// listMembers is everybody, also who is in by a group; any member may ask
// (lib/api/members.rb). Who is in twice was listed twice before 13.11 or so: the
// bot is, here.
func (s *Server) listMembers(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	type member struct {
		*User
		level int
	}
	var all []member
	if p.BotAccess > NoAccess {
		all = append(all, member{s.bot, p.BotAccess}, member{s.bot, Guest})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Members)) {
		all = append(all, member{s.person(name), p.Members[name]})
	}
	return paginate(q, all, func(m member) any {
		o := s.userJSON(m.User)
		o["access_level"], o["expires_at"], o["membership_state"] = m.level, nil, "active"
		return o
	})
}

// listProtectedBranches answers one protected branch, the default one.
// It takes a Maintainer to ask (authorize_admin_project in lib/api/protected_branches.rb;
// of later versions, who may read the code: authorize_read_code!).
func (s *Server) listProtectedBranches(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	if p.BotAccess < Maintainer {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	access := func(level int) []object {
		if level == NoOne {
			level = 0 // "No one", in this one place
		}
		return []object{{"id": 1, "access_level": level, "access_level_description": "Role", "user_id": nil, "group_id": nil}}
	}
	merge := access(p.MergeAccess)
	if p.BotOnly { // such an entry says Maintainer, too (docs.gitlab.com/api/protected_branches)
		merge = []object{{"id": 1, "access_level": Maintainer, "access_level_description": s.bot.Name, "user_id": s.bot.ID, "group_id": nil}}
	}
	branches := []string{p.DefaultBranch}
	if p.Unprotected {
		branches = nil
	}
	return paginate(q, branches, func(branch string) any {
		return object{
			"id": 1, "name": branch, "push_access_levels": access(p.PushAccess), "merge_access_levels": merge, "allow_force_push": false,
		}
	})
}

// Install puts another version of GitLab in the place of this one.
func (s *Server) Install(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Version = version
}

// isAtLeast says that the server has this version or a newer one.
func (s *Server) isAtLeast(major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(s.opts.Version, "%d.%d", &a, &b); err != nil {
		panic("gitlabsim: " + s.opts.Version + " is no version")
	}
	return a > major || a == major && b >= minor
}

func (s *Server) getVersion(*request) answer {
	return jsonAnswer(http.StatusOK, object{
		"version": s.opts.Version, "revision": "045bf8777ea", "enterprise": false,
		"kas": object{"enabled": false, "externalUrl": nil, "externalK8sProxyUrl": nil, "version": nil},
	})
}

// group finds a group by ID or path; only one with a visible project is seen
// (group_policy.rb, has_projects). What a user's own projects stand in is none.
func (s *Server) group(name string) (groupPath string, ok bool) {
	for group, id := range s.groups {
		if (group == strings.ToLower(name) || strconv.FormatInt(id, 10) == name) && !s.isUser(group) {
			seen := slices.ContainsFunc(s.projects, func(p *Project) bool { return p.visible() && p.inGroup(group) })
			return group, seen
		}
	}
	return "", false
}

func (s *Server) isUser(namespace string) bool {
	return slices.ContainsFunc(s.users, func(u *User) bool { return strings.EqualFold(u.Username, namespace) })
}

func (p *Project) inGroup(group string) bool {
	return strings.HasPrefix(strings.ToLower(p.Path), group+"/")
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
