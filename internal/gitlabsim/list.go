package gitlabsim

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// listAll is GET /merge_requests. With scope=all it is every merge request of
// the instance, and on a large one it answers 500 (gitlab-org/gitlab#10102).
func (s *Server) listAll(q *request) answer {
	if q.str("scope") == "all" {
		return message(http.StatusInternalServerError, "500 Internal Server Error")
	}
	if !q.has("scope") {
		q.params["scope"] = "created_by_me"
	}
	return s.listMergeRequests(q, func(*Project) bool { return true }, s.listed)
}

func (s *Server) listGroup(q *request) answer {
	group, ok := s.group(q.path["id"])
	if !ok {
		return message(http.StatusNotFound, "404 Group Not Found")
	}
	return s.listMergeRequests(q, func(p *Project) bool { return p.inGroup(group) }, s.listed)
}

func (s *Server) listProject(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	if !p.readable() {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	return s.listMergeRequests(q, func(other *Project) bool { return other == p }, s.cached)
}

// cached gives what was made of the merge request before, for up to eight hours,
// as long as what the key names has not changed. The head commit is not in it: a
// push that updated_at does not tell shows the old one. With
// with_labels_details nothing is cached, nor are the lists of groups
// (lib/api/merge_requests.rb, render_merge_requests; openjdk/skara#1427).
func (s *Server) cached(mr *mergeRequest, q *request) object {
	if q.flag("with_labels_details") {
		return s.listed(mr, q)
	}
	key := fmt.Sprint(q.str("view"), mr.id, mr.updatedAt, mr.check.status(mr), mr.labels, usernames(mr.assignees), usernames(mr.reviewers))
	if c, ok := s.rendered[key]; ok && s.now().Before(c.until) {
		return c.object
	}
	c := rendered{s.listed(mr, q), s.now().Add(8 * time.Hour)}
	s.rendered[key] = c
	return c.object
}

// rendered is one merge request in the cache of lists.
type rendered struct {
	object object
	until  time.Time
}

// listed is the merge request as lists show it.
func (s *Server) listed(mr *mergeRequest, q *request) object {
	o := s.basicJSON(mr)
	if q.flag("with_labels_details") {
		labels := []object{} // API::Entities::LabelBasic
		for i, name := range mr.labels {
			labels = append(labels, object{
				"id": i + 1, "name": name, "description": nil, "description_html": "", "text_color": "#FFFFFF", "color": "#0033CC",
			})
		}
		o["labels"] = labels
	}
	if q.str("view") == "simple" {
		simple := object{}
		for _, name := range []string{"id", "iid", "project_id", "title", "description", "state", "created_at", "updated_at", "web_url"} {
			simple[name] = o[name]
		}
		return simple
	}
	return o
}

// listMergeRequests filters and sorts as MergeRequestsFinder: whatever the order
// is, the newer of two that are equal goes first (concerns/issuable.rb,
// sort_by_attribute). It starts no check of mergeability.
func (s *Server) listMergeRequests(q *request, in func(*Project) bool, show func(*mergeRequest, *request) object) answer {
	var found []*mergeRequest
	for _, mr := range s.mrs {
		if in(mr.project) && mr.project.readable() && s.matches(mr, q) {
			found = append(found, mr)
		}
	}
	slices.SortStableFunc(found, func(a, b *mergeRequest) int {
		var order int
		switch q.str("order_by") {
		case "updated_at":
			order = a.updatedAt.Compare(b.updatedAt)
		case "merged_at":
			order = a.mergedAt.Compare(b.mergedAt)
		case "title":
			order = strings.Compare(a.title, b.title)
		default:
			order = a.createdAt.Compare(b.createdAt)
		}
		if q.str("sort") != "asc" {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(b.id, a.id))
	})
	return paginate(q, found, func(mr *mergeRequest) any { return show(mr, q) })
}

func (s *Server) matches(mr *mergeRequest, q *request) bool {
	within := func(name string, t time.Time) bool {
		after, hasAfter := q.moment(name + "_after")
		before, hasBefore := q.moment(name + "_before")
		return (!hasAfter || !t.IsZero() && !t.Before(after)) && (!hasBefore || !t.IsZero() && !t.After(before))
	}
	is := func(name, value string) bool { return !q.has(name) || strings.EqualFold(q.str(name), value) }
	scope := true
	switch strings.ReplaceAll(q.str("scope"), "-", "_") {
	case "created_by_me":
		scope = mr.author == s.bot
	case "assigned_to_me":
		scope = slices.Contains(mr.assignees, s.bot)
	case "reviews_for_me":
		scope = slices.Contains(mr.reviewers, s.bot)
	}
	draft := isDraft(mr.title)
	return scope &&
		(q.str("state") == "all" || is("state", mr.state)) &&
		is("author_username", mr.author.Username) && is("author_id", strconv.FormatInt(mr.author.ID, 10)) &&
		is("source_branch", mr.source) && is("target_branch", mr.target) &&
		is("wip", map[bool]string{true: "yes", false: "no"}[draft]) && (!q.has("draft") || q.flag("draft") == draft) &&
		(!q.has("iids") || slices.Contains(q.list("iids"), strconv.Itoa(mr.iid))) &&
		(!q.has("search") || strings.Contains(strings.ToLower(mr.title+"\n"+mr.description), strings.ToLower(q.str("search")))) &&
		within("updated", mr.updatedAt) && within("created", mr.createdAt) && within("merged", mr.mergedAt)
}
