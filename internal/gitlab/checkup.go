package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// What follows is for who checks a set-up. It only reads, and gives facts: what
// they are worth, others say.

var (
	// ErrToken : GitLab refuses the token, as unknown, expired or revoked.
	ErrToken = errors.New("GitLab refuses the token")
	// ErrNoGitLab : something answers, and it is no GitLab.
	ErrNoGitLab = errors.New("what answers there is no GitLab")
	// ErrUnwell : GitLab, or what stands before it, answers that it cannot now.
	ErrUnwell = errors.New("GitLab, or a proxy before it, cannot answer now")
)

// Instance is a GitLab.
type Instance struct {
	Version string        // "19.5.0-ee"; "": the token may not ask
	Clock   time.Duration // how far its clock is ahead of this machine's, to a second or so
	Dated   bool          // it said what its clock shows
}

// Instance reads which GitLab this is. ErrNoGitLab; ErrUnwell; ErrToken comes with what
// could be found out all the same; any other error: nobody answers.
// docs.gitlab.com/api/version
func (f *Forge) Instance(ctx context.Context) (Instance, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	var in Instance
	var answer struct {
		Version string `json:"version"`
	}
	asked := f.hold.now()
	resp, err := f.call(ctx, http.MethodGet, "version", nil, &answer)
	if resp != nil {
		if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			// It is cut to the second, and was said between asking and hearing.
			in.Clock, in.Dated = at.Add(time.Second/2).Sub(asked.Add(f.hold.now().Sub(asked)/2)), true
		}
	}
	in.Version = answer.Version
	switch status(err) {
	case http.StatusUnauthorized:
		return in, fmt.Errorf("%w: %w", ErrToken, err)
	case http.StatusForbidden: // a token without the scope
		return in, nil
	}
	wait, limited := errors.AsType[*gate.RetryAfter](err)
	switch {
	case limited:
		return in, fmt.Errorf("%w: it asks to wait for %s", ErrUnwell, wait.After.Round(time.Second))
	case status(err)/100 == 3:
		return in, fmt.Errorf("%w: %w", ErrNoGitLab, err) // which says where it points
	case status(err) >= 500:
		return in, fmt.Errorf("%w: it was asked for /api/v4/version, and said %d", ErrUnwell, status(err))
	case err != nil && resp != nil, err == nil && answer.Version == "":
		return in, fmt.Errorf("%w: it was asked for /api/v4/version, and said %d", ErrNoGitLab, resp.StatusCode)
	}
	return in, err
}

// Account is whom the token belongs to, and what it is good for.
type Account struct {
	User     gate.User
	Scopes   []string
	Granular bool      // it has permissions in place of scopes
	Expires  time.Time // its last day; zero: never, or not known
	Known    bool      // scopes and last day were told
}

// Account reads them. Of a token that is no access token (OAuth's), scopes and last
// day are not known. docs.gitlab.com/api/personal_access_tokens
func (f *Forge) Account(ctx context.Context) (Account, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	var a Account
	var token struct {
		Scopes    []string `json:"scopes"`
		Granular  bool     `json:"granular"`
		ExpiresAt string   `json:"expires_at"`
	}
	_, err := f.call(ctx, http.MethodGet, "personal_access_tokens/self", nil, &token)
	switch status(err) {
	case http.StatusUnauthorized:
		return a, fmt.Errorf("%w: %w", ErrToken, err)
	case http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest:
		// no access token, or a GitLab before 15.5
	default:
		if err != nil {
			return a, err
		}
		a.Known, a.Scopes, a.Granular = true, token.Scopes, token.Granular
		day, _, _ := strings.Cut(token.ExpiresAt, "T") // a day, whatever the description says
		if at, err := time.Parse(time.DateOnly, day); err == nil {
			a.Expires = at
		}
	}
	u, err := f.account(ctx)
	if status(err) == http.StatusUnauthorized {
		return a, fmt.Errorf("%w: %w", ErrToken, err)
	}
	a.User = u.user()
	return a, err
}

// Project is a project that rules can match.
type Project struct {
	ID   int64
	Path string
}

// Projects are those that rules can match, as far as the token's user sees them.
type Projects struct {
	Found []Project
	// Lost are patterns of rules, paths and IDs, behind which nothing is seen.
	Lost []string
	// Moved are paths of rules that lead elsewhere by now.
	Moved map[string]Project
}

// Projects reads which there are: those that the scope names, and of those that
// stand behind its wildcards the ones that the token's user is in.
func (f *Forge) Projects(ctx context.Context, scope policy.Scope) (Projects, error) {
	all := Projects{Moved: map[string]Project{}}
	add := func(p Project) {
		if !slices.Contains(all.Found, p) {
			all.Found = append(all.Found, p)
		}
	}
	names := slices.Clone(scope.Paths)
	for _, id := range scope.IDs {
		names = append(names, strconv.FormatInt(id, 10))
	}
	for _, name := range names {
		p, err := f.project(ctx, name)
		switch {
		case errors.Is(err, gate.ErrNotFound):
			all.Lost = append(all.Lost, name)
		case err != nil:
			return all, err
		case !scope.Covers(policy.ProjectRef(p)):
			all.Moved[name] = p
		default:
			add(p)
		}
	}
	if len(scope.Groups) == 0 && !scope.Anywhere {
		return all, nil
	}
	f.found.mu.Lock()
	defer f.found.mu.Unlock()
	if err := f.findMembers(ctx); err != nil {
		return all, err
	}
	for _, m := range f.found.members {
		if p := (Project{m.ID, m.Path}); scope.Covers(policy.ProjectRef(p)) {
			add(p)
		}
	}
	return all, f.found.tooMany
}

// project reads a project by its path or ID. gate.ErrNotFound: it is not to be seen.
func (f *Forge) project(ctx context.Context, name string) (Project, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	var p member
	resp, err := f.call(ctx, http.MethodGet, "projects/"+url.PathEscape(name), nil, &p)
	if id, ok := movedTo(resp, ""); ok {
		_, err = f.call(ctx, http.MethodGet, fmt.Sprintf("projects/%d", id), nil, &p)
	}
	return Project{p.ID, p.Path}, f.fail("read", projectNamed(name), err)
}

type projectNamed string

func (p projectNamed) String() string { return "project " + oneLine(string(p), 200) }

// Level is what somebody may do in a project, as GitLab numbers it.
// docs.gitlab.com/api/access_requests, "Valid access levels"
type Level int

// The levels that matter here.
const (
	NoAccess   Level = 0
	Developer  Level = 30
	Maintainer Level = 40
)

// String is GitLab's name of it.
func (l Level) String() string {
	switch l {
	case NoAccess:
		return "no member"
	case 5:
		return "Minimal Access"
	case 10:
		return "Guest"
	case 15:
		return "Planner"
	case 20:
		return "Reporter"
	case 25:
		return "Security Manager"
	case Developer:
		return "Developer"
	case Maintainer:
		return "Maintainer"
	case 50:
		return "Owner"
	case 60:
		return "Administrator"
	}
	return fmt.Sprintf("of access level %d", int(l))
}

// Member is somebody in a project, also by a group.
type Member struct {
	gate.User
	Level Level
	Role  policy.Role // as Forge.Role tells it
}

// Doors is how a project's branches can be changed.
type Doors struct {
	OwnID int64 // of the token's user
	Own   Level
	// Protected are the branches, and patterns of branches, that are protected; Told:
	// the token's user may know that.
	Protected []Protected
	Told      bool
	// Members are all there are, the token's user too; MembersTold: the token's user
	// may know that, and they are not too many.
	Members     []Member
	MembersTold bool
}

// Protected is a branch, or a pattern of branches (* is anything), that not everybody
// who may push may change.
type Protected struct {
	Name  string   `json:"name"`
	Merge []Access `json:"merge_access_levels"`
	Push  []Access `json:"push_access_levels"`
}

// Access is who may: a user, a group or a deploy key, if one is named; else all from
// a level up, and none of level 0.
type Access struct {
	Level     Level `json:"access_level"`
	User      int64 `json:"user_id"`
	Group     int64 `json:"group_id"`
	DeployKey int64 `json:"deploy_key_id"`
}

// mostMembers is of how many people it is asked who they are.
const mostMembers = 1000

// Doors reads them. gate.ErrNotFound: the project is not to be seen.
// docs.gitlab.com/api/members, docs.gitlab.com/api/protected_branches
func (f *Forge) Doors(ctx context.Context, project int64) (Doors, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*f.timeout) // it is several calls
	defer cancel()
	var d Doors
	what := projectNamed(strconv.FormatInt(project, 10))
	me, err := f.me(ctx)
	if err != nil {
		return d, f.fail("read the members of", what, err)
	}
	var own struct {
		AccessLevel Level `json:"access_level"`
	}
	_, err = f.call(ctx, http.MethodGet, fmt.Sprintf("projects/%d/members/all/%d", project, me), nil, &own)
	if err != nil && status(err) != http.StatusNotFound && status(err) != http.StatusForbidden {
		return d, f.fail("read the members of", what, err)
	}
	d.OwnID, d.Own = me, own.AccessLevel
	d.Protected, d.Told, err = readAll[Protected](ctx, f, fmt.Sprintf("projects/%d/protected_branches", project), 1000)
	if err != nil {
		return d, f.fail("read the protected branches of", what, err)
	}
	members, told, err := readAll[projectMember](ctx, f, fmt.Sprintf("projects/%d/members/all", project), mostMembers)
	if err != nil {
		return d, f.fail("read the members of", what, err)
	}
	d.MembersTold = told
	for _, m := range members {
		i := slices.IndexFunc(d.Members, func(other Member) bool { return other.ID == m.ID })
		one := Member{m.user.user(), Level(m.AccessLevel), m.role(time.Now())}
		switch {
		case i < 0:
			d.Members = append(d.Members, one)
		case one.Level > d.Members[i].Level: // in by a group, and by themselves
			d.Members[i] = one
		}
	}
	return d, nil
}

// readAll reads a list to its end; told is false where the token's user may not, or
// where there are more than most.
func readAll[T any](ctx context.Context, f *Forge, path string, most int) (all []T, told bool, err error) {
	for page := 1; ; page++ {
		var some []T
		_, err := f.call(ctx, http.MethodGet, path, struct {
			Page    int `url:"page"`
			PerPage int `url:"per_page"`
		}{page, perPage}, &some)
		switch status(err) {
		case http.StatusForbidden, http.StatusNotFound:
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		all = append(all, some...)
		if len(some) < perPage {
			return all, true, nil
		}
		if len(all) >= most {
			return nil, false, nil
		}
	}
}

// Hook is a project's webhook.
type Hook struct {
	ID            int64
	URL           string
	MergeRequests bool // it is told of them
	Disabled      bool // GitLab has switched it off, because it failed
	Until         time.Time
	// Last is the newest of its deliveries of the last seven days; zero: none, or a
	// GitLab that does not tell. Status is what it was answered: "200", "internal error".
	Last   time.Time
	Status string
}

// Hooks reads the project's webhooks to addresses that end with suffix. told is false
// where the token's user may not know them: it takes a Maintainer.
// docs.gitlab.com/api/project_webhooks
func (f *Forge) Hooks(ctx context.Context, project int64, suffix string) (hooks []Hook, told bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*f.timeout)
	defer cancel()
	what := projectNamed(strconv.FormatInt(project, 10))
	type hook struct {
		ID            int64      `json:"id"`
		URL           string     `json:"url"`
		MergeRequests bool       `json:"merge_requests_events"`
		AlertStatus   string     `json:"alert_status"` // "": before 15.7
		DisabledUntil *time.Time `json:"disabled_until"`
	}
	list := fmt.Sprintf("projects/%d/hooks", project)
	all, told, err := readAll[hook](ctx, f, list, 1000)
	if err != nil || !told {
		return nil, false, f.fail("read the webhooks of", what, err)
	}
	for _, h := range all {
		if !strings.HasSuffix(strings.TrimRight(h.URL, "/"), suffix) {
			continue
		}
		one := Hook{ID: h.ID, URL: publicPart(h.URL), MergeRequests: h.MergeRequests, Disabled: h.AlertStatus != "" && h.AlertStatus != "executable"}
		if h.DisabledUntil != nil {
			one.Until = *h.DisabledUntil
		}
		var events []struct {
			Status    string    `json:"response_status"`
			CreatedAt time.Time `json:"created_at"`
		}
		_, err := f.call(ctx, http.MethodGet, fmt.Sprintf("%s/%d/events", list, h.ID), struct {
			PerPage int `url:"per_page"`
		}{1}, &events)
		switch s := status(err); {
		case s >= 400 && s < 500: // before 17.3
		case err != nil:
			return nil, false, f.fail("read the deliveries of the webhooks of", what, err)
		case len(events) > 0:
			one.Last, one.Status = events[0].CreatedAt, oneLine(events[0].Status, 100)
		}
		hooks = append(hooks, one)
	}
	return hooks, true, nil
}

// publicPart is an address without what may be secret in it.
func publicPart(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return oneLine(u.Scheme+"://"+u.Host+u.Path, 200)
}
