package gitlabsim

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// route is one endpoint: how it is called and what it understands. Parameters
// that it does not declare are ignored, as Grape does.
type route struct {
	method string
	path   string // ":name" stands for one segment
	handle func(*request) answer
	params []param
}

// param is a declared parameter. Its value has to fit the kind, and be one of
// the values where there are any.
type param struct {
	name     string
	kind     kind
	values   []string
	required bool
	filled   bool // may not be blank
}

type kind int

const (
	text kind = iota
	boolean
	integer
	moment
	list
)

// request is a call to an endpoint, taken apart.
type request struct {
	*http.Request
	path   map[string]string
	params map[string]any // query and body, as Grape mixes them
}

func (s *Server) allRoutes() []route {
	const mr = "/projects/:id/merge_requests/:merge_request_iid"
	const notes = "/projects/:id/merge_requests/:noteable_id/notes" //nolint:misspell // GitLab's word
	paging := []param{{name: "page", kind: integer}, {name: "per_page", kind: integer}}
	lists := append(slices.Clone(paging),
		param{name: "state", values: []string{"opened", "closed", "locked", "merged", "all"}},
		param{name: "order_by", values: []string{
			"created_at", "label_priority", "milestone_due", "popularity", "priority", "title", "updated_at", "merged_at",
		}},
		param{name: "sort", values: []string{"asc", "desc"}},
		param{name: "scope", values: []string{
			"created-by-me", "assigned-to-me", "created_by_me", "assigned_to_me", "reviews_for_me", "all",
		}},
		param{name: "view", values: []string{"simple"}},
		param{name: "wip", values: []string{"yes", "no"}},
		param{name: "draft", kind: boolean}, param{name: "with_labels_details", kind: boolean},
		param{name: "author_id", kind: integer}, param{name: "author_username"},
		param{name: "source_branch"}, param{name: "target_branch"}, param{name: "search"},
		param{name: "updated_after", kind: moment}, param{name: "updated_before", kind: moment},
		param{name: "created_after", kind: moment}, param{name: "created_before", kind: moment},
		param{name: "merged_after", kind: moment}, param{name: "merged_before", kind: moment},
		param{name: "iids", kind: list},
	)
	sha := param{name: "sha"}
	return []route{
		{"GET", "/user", s.getUser, nil},
		{"GET", "/users", s.listUsers, append(paging, param{name: "username"}, param{name: "public_email"})},
		{"GET", "/version", s.getVersion, nil},
		{"GET", "/metadata", s.getVersion, nil},
		{"GET", "/personal_access_tokens/self", s.getToken, nil},
		{"GET", "/projects", s.listProjects, append(slices.Clone(paging),
			param{name: "membership", kind: boolean}, param{name: "simple", kind: boolean},
			param{name: "with_merge_requests_enabled", kind: boolean},
			param{name: "id_after", kind: integer}, param{name: "id_before", kind: integer},
			param{name: "min_access_level", kind: integer, values: []string{"5", "10", "15", "20", "30", "40", "50"}},
			param{name: "order_by", values: []string{
				"id", "name", "path", "created_at", "updated_at", "last_activity_at", "similarity", "star_count",
			}},
			param{name: "sort", values: []string{"asc", "desc"}},
		)},
		{"GET", "/projects/:id", s.getProject, nil},
		{"GET", "/projects/:id/members/all", s.listMembers, append(slices.Clone(paging),
			param{name: "query"}, param{name: "user_ids", kind: list}, param{name: "show_seat_info", kind: boolean},
		)},
		{"GET", "/projects/:id/members/all/:user_id", s.getMember, nil},
		{"GET", "/projects/:id/hooks", s.listHooks, paging},
		{"GET", "/projects/:id/hooks/:hook_id/events", s.listHookEvents, append(slices.Clone(paging), param{name: "status", kind: list})},
		{"GET", "/projects/:id/protected_branches", s.listProtectedBranches, paging},
		{"GET", "/merge_requests", s.listAll, lists},
		{"GET", "/groups/:id/merge_requests", s.listGroup, lists},
		{"GET", "/projects/:id/merge_requests", s.listProject, lists},
		{"GET", mr, s.getMergeRequest, nil},
		{"PUT", mr, s.putMergeRequest, []param{
			{name: "state_event", values: []string{"close", "reopen"}},
			{name: "title", filled: true},
			{name: "target_branch", filled: true},
			{name: "description"},
			{name: "labels", kind: list},
			{name: "add_labels", kind: list},
			{name: "remove_labels", kind: list},
			{name: "squash", kind: boolean},
			{name: "remove_source_branch", kind: boolean},
			{name: "discussion_locked", kind: boolean},
		}},
		{"GET", mr + "/approvals", s.getApprovals, nil},
		{"POST", mr + "/approve", s.approve, []param{sha, {name: "publish_review", kind: boolean}}},
		{"POST", mr + "/unapprove", s.unapprove, nil},
		{"PUT", mr + "/merge", s.putMerge, []param{
			sha,
			{name: "merge_commit_message"},
			{name: "squash_commit_message"},
			{name: "should_remove_source_branch", kind: boolean},
			{name: "merge_when_pipeline_succeeds", kind: boolean},
			{name: "auto_merge", kind: boolean},
			{name: "squash", kind: boolean},
		}},
		{"POST", mr + "/cancel_merge_when_pipeline_succeeds", s.cancelAutoMerge, nil},
		{"GET", mr + "/commits", s.listCommits, paging},
		{"GET", "/projects/:id/repository/commits/:sha/statuses", s.listStatuses, append(slices.Clone(paging),
			param{name: "ref"}, param{name: "stage"}, param{name: "name"}, param{name: "pipeline_id", kind: integer},
			param{name: "all", kind: boolean}, param{name: "order_by", values: []string{"id", "pipeline_id"}},
			param{name: "sort", values: []string{"asc", "desc"}},
		)},
		{"POST", "/projects/:id/statuses/:sha", s.postStatus, []param{
			{name: "state", required: true, values: []string{"pending", "running", "success", "failed", "canceled", "skipped"}},
			{name: "ref"},
			{name: "target_url"},
			{name: "description"},
			{name: "name"},
			{name: "context"},
			{name: "pipeline_id", kind: integer},
		}},
		{"GET", notes, s.listNotes, append(slices.Clone(paging),
			param{name: "order_by", values: []string{"created_at", "updated_at"}},
			param{name: "sort", values: []string{"asc", "desc"}},
			param{name: "activity_filter", values: []string{"all_notes", "only_comments", "only_activity"}},
		)},
		{"POST", notes, s.postNote, []param{
			{name: "body", required: true},
			{name: "internal", kind: boolean},
			{name: "confidential", kind: boolean},
			{name: "merge_request_diff_head_sha"},
		}},
		{"GET", notes + "/:note_id", s.getNote, nil},
		{"DELETE", notes + "/:note_id", s.deleteNote, nil},
		{"PUT", notes + "/:note_id", s.putNote, []param{{name: "body", filled: true}, {name: "confidential", kind: boolean}}},
	}
}

// serve finds the endpoint and does what it says. The order is Grape's: the
// route, the token, the parameters, and only then the endpoint with its own
// checks (who, what, whether).
func (s *Server) serve(r *http.Request, body []byte) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/api/graphql" {
		return s.graphql(r, body)
	}
	if a, ok := s.openID(r); ok {
		return a
	}
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v4")
	if !ok {
		return problem(http.StatusNotFound, "404 Not Found")
	}
	var known bool
	for i := range s.routes {
		ro := &s.routes[i]
		path, ok := ro.match(rest)
		if !ok {
			continue
		}
		known = true
		if ro.method != r.Method {
			continue
		}
		if no := s.authenticate(r); no != nil {
			return *no
		}
		q := &request{Request: r, path: path}
		if no := q.parse(body, ro.params); no != nil {
			return *no
		}
		return ro.handle(q)
	}
	if known {
		return problem(http.StatusMethodNotAllowed, "405 Not Allowed")
	}
	return problem(http.StatusNotFound, "404 Not Found")
}

func (ro *route) match(escaped string) (map[string]string, bool) {
	want, have := strings.Split(ro.path, "/"), strings.Split(strings.TrimSuffix(escaped, "/"), "/")
	if len(want) != len(have) {
		return nil, false
	}
	path := map[string]string{}
	for i, w := range want {
		value, err := url.PathUnescape(have[i])
		if name, ok := strings.CutPrefix(w, ":"); ok && err == nil && value != "" {
			path[name] = value
		} else if w != have[i] {
			return nil, false
		}
	}
	return path, true
}

// parse mixes query and body and holds them against the declaration.
func (q *request) parse(body []byte, declared []param) *answer {
	q.params = map[string]any{}
	form := func(values url.Values) {
		for name, v := range values {
			if base, ok := strings.CutSuffix(name, "[]"); ok {
				q.params[base] = strings.Join(v, ",")
			} else {
				q.params[name] = v[len(v)-1]
			}
		}
	}
	form(q.URL.Query())
	kind, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
	case kind == "application/json":
		if err := json.Unmarshal(body, &q.params); err != nil {
			a := problem(http.StatusBadRequest, "message body does not match declared format")
			return &a
		}
	case kind == "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			a := problem(http.StatusBadRequest, "message body does not match declared format")
			return &a
		}
		form(values)
	default:
		a := problem(http.StatusUnsupportedMediaType, "The provided content-type '"+kind+"' is not supported.")
		return &a
	}

	var wrong []string
	for name, v := range q.path {
		if strings.HasSuffix(name, "id") && name != "id" { // all but the project and the group are numbers
			if _, err := strconv.ParseInt(v, 10, 64); err != nil {
				wrong = append(wrong, name+" is invalid")
			}
		}
	}
	for _, p := range declared {
		v, given := q.params[p.name]
		if given && v == nil {
			given = false
			delete(q.params, p.name)
		}
		switch {
		case !given && p.required:
			wrong = append(wrong, p.name+" is missing")
		case !given:
		case !p.kind.fits(v):
			wrong = append(wrong, p.name+" is invalid")
		case p.filled && strings.TrimSpace(q.str(p.name)) == "":
			wrong = append(wrong, p.name+" is empty")
		case p.values != nil && !slices.Contains(p.values, q.str(p.name)):
			wrong = append(wrong, p.name+" does not have a valid value")
		case p.name == "per_page" && q.integer(p.name, 1) == 0:
			wrong = append(wrong, "per_page has a value not allowed")
		}
	}
	if wrong != nil {
		a := problem(http.StatusBadRequest, strings.Join(wrong, ", "))
		return &a
	}
	return nil
}

func (k kind) fits(v any) bool {
	var err error
	s := fmt.Sprint(v)
	switch k {
	case text:
		switch v.(type) {
		case []any, map[string]any:
			return false
		}
	case boolean:
		switch s {
		case "true", "false", "1", "0", "t", "f", "on", "off", "":
		default:
			return false
		}
	case integer:
		_, err = strconv.ParseFloat(s, 64)
	case moment:
		_, err = parseMoment(s)
	case list:
	}
	return err == nil
}

func parseMoment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05 UTC", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("not a time: %q", s)
}

func (q *request) has(name string) bool { return q.params[name] != nil }

func (q *request) str(name string) string {
	if v, ok := q.params[name]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

func (q *request) flag(name string) bool {
	return slices.Contains([]string{"true", "1", "t", "on"}, q.str(name))
}

func (q *request) integer(name string, otherwise int) int {
	if f, err := strconv.ParseFloat(q.str(name), 64); err == nil {
		return int(f)
	}
	return otherwise
}

func (q *request) moment(name string) (time.Time, bool) {
	t, err := parseMoment(q.str(name))
	return t, err == nil
}

// list reads "a,b" and ["a", "b"] alike.
func (q *request) list(name string) []string {
	var words []string
	if many, ok := q.params[name].([]any); ok {
		for _, v := range many {
			words = append(words, fmt.Sprint(v))
		}
		return words
	}
	for w := range strings.SplitSeq(q.str(name), ",") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	return words
}

// number reads a path parameter that parse has found to be one.
func (q *request) number(name string) int64 {
	n, _ := strconv.ParseInt(q.path[name], 10, 64)
	return n
}

// paginate cuts the page that was asked for, and says in GitLab's headers what
// else there is (docs.gitlab.com/api/rest, "Offset-based pagination").
func paginate[T any](q *request, all []T, show func(T) any) answer {
	per := min(max(q.integer("per_page", 20), 1), 100)
	page := max(q.integer("page", 1), 1)
	pages := max((len(all)+per-1)/per, 1)
	from := min((page-1)*per, len(all))
	items := []any{}
	for _, x := range all[from:min(from+per, len(all))] {
		items = append(items, show(x))
	}
	a := jsonAnswer(http.StatusOK, items)

	next, prev := "", ""
	scheme := "http"
	if q.TLS != nil {
		scheme = "https"
	}
	link := func(n int, rel string) string {
		u := *q.URL
		v := u.Query()
		v.Set("page", strconv.Itoa(n))
		v.Set("per_page", strconv.Itoa(per))
		return fmt.Sprintf(`<%s://%s%s?%s>; rel="%s"`, scheme, q.Host, u.EscapedPath(), v.Encode(), rel)
	}
	var links []string
	if page > 1 && page <= pages {
		prev = strconv.Itoa(page - 1)
		links = append(links, link(page-1, "prev"))
	}
	if page < pages {
		next = strconv.Itoa(page + 1)
		links = append(links, link(page+1, "next"))
	}
	links = append(links, link(1, "first"))
	headers := map[string]string{
		"X-Page": strconv.Itoa(page), "X-Per-Page": strconv.Itoa(per), "X-Next-Page": next, "X-Prev-Page": prev,
	}
	if len(all) <= 10_000 { // nobody counts further (offset_pagination.rb, exceeeds_count?)
		links = append(links, link(pages, "last"))
		headers["X-Total"], headers["X-Total-Pages"] = strconv.Itoa(len(all)), strconv.Itoa(pages)
	}
	headers["Link"] = strings.Join(links, ", ")
	for name, value := range headers {
		a.header.Set(name, value)
	}
	return a
}

// stamp writes a time as the API does: RFC 3339 with milliseconds; none is null.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
