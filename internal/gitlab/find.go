package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// Ref is the lasting name of a merge request of the project with this ID.
func (f *Forge) Ref(project, iid int64) gate.Ref {
	return gate.Ref{Forge: Name, Project: project, Number: iid}
}

// label names a merge request as people do: "acme/webhook!7", "47778247!7".
type label struct {
	project string
	iid     int64
}

func (l label) String() string { return fmt.Sprintf("%s!%d", oneLine(l.project, 200), l.iid) }

// Find reads the merge request that people name by the project's path, in any
// case, or by its numeric ID, and by its number there. It gives the lasting name
// and what Get gives, in one call; in two where the project was renamed and is
// named by its old path. Errors are those of Get, or of a name that is none.
func (f *Forge) Find(ctx context.Context, project string, iid int64) (gate.Ref, gate.Snapshot, error) {
	name := label{project, iid}
	id, numeric := parseID(project)
	switch {
	case iid <= 0:
		return gate.Ref{}, gate.Snapshot{}, fmt.Errorf("find %s: the number of a merge request is 1 or more", name)
	case !numeric && !isProjectPath(project):
		return gate.Ref{}, gate.Snapshot{}, fmt.Errorf("find %s: the project is neither a path like group/project nor a numeric ID", name)
	}
	ctx, cancel := f.bound(ctx)
	defer cancel()
	mr, resp, err := f.find(ctx, gogitlab.PathEscape(project), iid)
	if moved, ok := movedTo(resp, fmt.Sprintf("/merge_requests/%d", iid)); ok && !numeric {
		id, numeric = moved, true
		mr, _, err = f.find(ctx, strconv.FormatInt(id, 10), iid)
	}
	if err == nil && (mr.IID != iid || mr.TargetProjectID <= 0 || numeric && mr.TargetProjectID != id) {
		err = errors.New("GitLab's answer is of another merge request")
	}
	if err != nil {
		return gate.Ref{}, gate.Snapshot{}, f.fail("find", name, err)
	}
	ref := gate.Ref{Forge: Name, Project: mr.TargetProjectID, Number: mr.IID}
	s, err := f.snapshot(ref, mr)
	if err != nil {
		return gate.Ref{}, gate.Snapshot{}, f.fail("find", name, err)
	}
	return ref, s, nil
}

func (f *Forge) find(ctx context.Context, project string, iid int64) (*mergeRequest, *gogitlab.Response, error) {
	return f.one(ctx, fmt.Sprintf("projects/%s/merge_requests/%d", project, iid))
}

// movedTo is the project to which GitLab redirects from the path that it had
// (lib/api/helpers.rb, redirect_or_not), in the address that ends with rest.
// Only the number is taken from it; no redirect is followed.
func movedTo(resp *gogitlab.Response, rest string) (project int64, ok bool) {
	if resp == nil || resp.StatusCode < 300 || resp.StatusCode > 399 {
		return 0, false
	}
	to, err := resp.Location()
	if err != nil {
		return 0, false
	}
	of, ok := strings.CutSuffix(to.Path, rest)
	if !ok {
		return 0, false
	}
	return parseID(of[strings.LastIndexByte(of, '/')+1:])
}

// ByURL takes the address of a merge request of this GitLab apart, as it stands
// in a browser: with any of its pages behind it, a query or a fragment. Whether
// by http or https, does not matter. ok is false for every other address.
func (f *Forge) ByURL(raw string) (project string, iid int64, ok bool) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", 0, false
	}
	if !strings.EqualFold(u.Hostname(), f.base.Hostname()) || u.Port() != f.base.Port() && port(u) != port(f.base) {
		return "", 0, false
	}
	rest, ok := strings.CutPrefix(u.Path, strings.TrimRight(f.base.Path, "/")+"/")
	if !ok {
		return "", 0, false
	}
	project, page, ok := strings.Cut(rest, "/-/merge_requests/")
	if !ok { // before 12.0 or so
		project, page, ok = strings.Cut(rest, "/merge_requests/")
	}
	number, _, _ := strings.Cut(page, "/")
	iid, numeric := parseID(number)
	if !ok || !numeric || !isProjectPath(project) {
		return "", 0, false
	}
	return project, iid, true
}

// port is the port that an address without one means.
func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
