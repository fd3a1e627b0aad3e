package gitlabsim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// graphqlTypes is the part of GitLab's schema that is served: field names by
// type, each with the type of what it gives, "" for a scalar
// (docs.gitlab.com/api/graphql/reference).
func graphqlTypes() map[string]map[string]string {
	scalars := func(fields string, more map[string]string) map[string]string {
		all := map[string]string{"__typename": ""}
		for f := range strings.FieldsSeq(fields) {
			all[f] = ""
		}
		maps.Copy(all, more)
		return all
	}
	connection := func(node string) map[string]string {
		return scalars("", map[string]string{"nodes": node, "pageInfo": "PageInfo"})
	}
	return map[string]map[string]string{
		"Query":    scalars("", map[string]string{"project": "Project", "currentUser": "UserCore"}),
		"Project":  scalars("id fullPath name visibility webUrl archived", map[string]string{"mergeRequest": "MergeRequest"}),
		"UserCore": scalars("id username name publicEmail webUrl bot", nil),
		"MergeRequest": scalars("id iid title description draft state sourceBranch targetBranch diffHeadSha commitCount webUrl "+
			"detailedMergeStatus approved createdAt updatedAt mergedAt squash conflicts autoMergeEnabled", map[string]string{
			"diffStatsSummary": "DiffStatsSummary", "diffStats": "DiffStats", "commits": "CommitConnection",
			"headPipeline": "Pipeline", "author": "UserCore", "approvedBy": "UserCoreConnection",
		}),
		"DiffStatsSummary": scalars("additions deletions changes fileCount", nil),
		"DiffStats":        scalars("path additions deletions", nil),
		"CommitConnection": connection("Commit"), "UserCoreConnection": connection("UserCore"),
		"Commit": scalars("id sha shortId title fullTitle message authorName authorEmail committerName committerEmail "+
			"authoredDate committedDate webUrl", map[string]string{"author": "UserCore"}),
		"Pipeline": scalars("id iid sha ref status source active complete", nil),
		"PageInfo": scalars("hasNextPage hasPreviousPage startCursor endCursor", nil),
	}
}

// graphql answers queries about a project's merge request. Errors of the query
// are answered with 200, as GraphQL has it; what may not be seen is null.
func (s *Server) graphql(r *http.Request, body []byte) answer {
	_, given := credentials(r)
	asRead := r.Clone(r.Context())
	asRead.Method = http.MethodGet // a query only reads: read_api is enough for it
	if given && s.authenticate(asRead) != nil {
		return jsonAnswer(http.StatusUnauthorized, object{"errors": []object{{"message": "Invalid token"}}})
	}
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return problem(http.StatusNotFound, "404 Not Found")
	}
	var in struct {
		Query     string         `json:"query"`
		Variables map[string]any `json:"variables"`
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Query == "" {
		return queryError("Unexpected end of document")
	}
	run := &query{server: s, variables: in.Variables, types: graphqlTypes(), anonymous: !given}
	fields, err := parseQuery(in.Query)
	if err != nil {
		return queryError(err.Error())
	}
	run.check(fields, "Query", []string{"query"})
	if run.errors != nil {
		return jsonAnswer(http.StatusOK, object{"errors": run.errors})
	}
	return jsonAnswer(http.StatusOK, object{"data": run.answer(fields, run.root())})
}

func queryError(text string) answer {
	return jsonAnswer(http.StatusOK, object{"errors": []object{
		{"message": text, "locations": []object{{"line": 1, "column": 1}}},
	}})
}

// query is one query being answered.
type query struct {
	server    *Server
	variables map[string]any
	types     map[string]map[string]string
	anonymous bool
	errors    []object
}

// check holds the query against the schema, before anything is looked up.
func (r *query) check(fields []selection, typ string, at []string) {
	for _, f := range fields {
		path := append(append([]string{}, at...), f.name)
		gives, known := r.types[typ][f.name]
		fail := func(text, code string) {
			r.errors = append(r.errors, object{
				"message": text, "locations": []object{{"line": f.line, "column": f.column}}, "path": path,
				"extensions": object{"code": code, "typeName": typ, "fieldName": f.name},
			})
		}
		switch {
		case !known:
			fail(fmt.Sprintf("Field '%s' doesn't exist on type '%s'", f.name, typ), "undefinedField")
			continue
		case gives == "" && f.fields != nil:
			fail(fmt.Sprintf("Selections can't be made on scalars (field '%s' on type '%s')", f.name, typ), "selectionMismatch")
		case gives != "" && f.fields == nil:
			fail(fmt.Sprintf("Field must have selections (field '%s' returns %s but has no selections.)", f.name, gives), "selectionMismatch")
		}
		for name, v := range f.args {
			if variable, ok := v.(variable); ok {
				value, given := r.variables[string(variable)]
				if !given {
					fail(fmt.Sprintf("Variable $%s is used by %s but not declared", variable, f.name), "variableNotDefined")
				}
				v, f.args[name] = value, value
			}
			wanted := map[string]string{"project.fullPath": "ID", "mergeRequest.iid": "String"}[f.name+"."+name]
			if _, ok := v.(string); wanted != "" && !ok {
				fail(fmt.Sprintf("Argument '%s' on Field '%s' has an invalid value (%v). Expected type '%s!'.", name, f.name, v, wanted), "argumentLiteralsIncompatible")
			}
			known := map[string]string{
				"project": "fullPath", "mergeRequest": "iid", "commits": "first last after before", "approvedBy": "first last after before",
				"diffStats": "path",
			}[f.name]
			if !strings.Contains(" "+known+" ", " "+name+" ") {
				fail(fmt.Sprintf("Field '%s' doesn't accept argument '%s'", f.name, name), "argumentNotAccepted")
			}
		}
		if needs := map[string]string{"project": "fullPath", "mergeRequest": "iid"}[f.name]; needs != "" && f.args[needs] == nil {
			fail(fmt.Sprintf("Field '%s' is missing required arguments: %s", f.name, needs), "missingRequiredArguments")
		}
		r.check(f.fields, gives, path)
	}
}

// resolver computes a field that takes arguments.
type resolver func(args map[string]any) any

// answer picks the selected fields out of a value.
func (r *query) answer(fields []selection, value any) any {
	switch v := value.(type) {
	case object:
		if v == nil {
			return nil
		}
		out := object{}
		for _, f := range fields {
			field := v[f.name]
			if call, ok := field.(resolver); ok {
				field = call(f.args)
			}
			out[f.alias] = r.answer(f.fields, field)
		}
		return out
	case []object:
		all := make([]any, 0, len(v))
		for _, o := range v {
			all = append(all, r.answer(fields, o))
		}
		return all
	default:
		return v
	}
}

func (r *query) root() object {
	s := r.server
	return object{
		"__typename":  "Query",
		"currentUser": s.userNode(s.bot),
		"project": resolver(func(args map[string]any) any {
			for _, p := range s.projects {
				seen := p.visible() && (!r.anonymous || p.Visibility == "public")
				if strings.EqualFold(p.Path, args["fullPath"].(string)) && seen {
					return r.project(p)
				}
			}
			return nil
		}),
	}
}

func (r *query) project(p *Project) object {
	s := r.server
	return object{
		"__typename": "Project", "id": gid("Project", p.ID), "fullPath": p.Path, "name": p.Path[strings.LastIndex(p.Path, "/")+1:],
		"visibility": p.Visibility, "webUrl": s.url + "/" + p.Path, "archived": false,
		"mergeRequest": resolver(func(args map[string]any) any {
			iid, _ := strconv.Atoi(args["iid"].(string))
			if mr := s.find(p, iid); mr != nil && p.readable() {
				return r.mergeRequest(mr)
			}
			return nil
		}),
	}
}

func (r *query) mergeRequest(mr *mergeRequest) object {
	s := r.server
	var files []object
	additions, deletions := 0, 0
	for _, f := range mr.files {
		files = append(files, object{"__typename": "DiffStats", "path": f.Path, "additions": f.Additions, "deletions": f.Deletions})
		additions, deletions = additions+f.Additions, deletions+f.Deletions
	}
	var commits []object // newest first
	for _, c := range mr.commits {
		author := object(nil)
		if u := s.byEmail(c.AuthorEmail); u != nil {
			author = s.userNode(u)
		}
		commits = append([]object{{
			"__typename": "Commit", "id": "gid://gitlab/Commit/" + c.ID, "sha": c.ID, "shortId": c.ID[:8], "title": c.Title,
			"fullTitle": c.Title, "message": c.Message, "authorName": c.AuthorName, "authorEmail": c.AuthorEmail, "author": author,
			"committerName": c.CommitterName, "committerEmail": c.CommitterEmail, "authoredDate": stamp(c.At),
			"committedDate": stamp(c.At), "webUrl": s.url + "/" + mr.project.Path + "/-/commit/" + c.ID,
		}}, commits...)
	}
	var approvers []object
	for _, a := range mr.approvals {
		approvers = append(approvers, s.userNode(a.by))
	}
	pipeline := object(nil)
	if p := mr.pipeline; p != nil {
		pipeline = object{
			"__typename": "Pipeline", "id": gid("Ci::Pipeline", p.ID), "iid": "1", "sha": p.SHA, "ref": p.Ref,
			"status": strings.ToUpper(p.Status), "source": p.Source, "active": p.active(), "complete": !p.active(),
		}
	}
	o := object{
		"__typename": "MergeRequest", "id": gid("MergeRequest", mr.id), "iid": strconv.Itoa(mr.iid), "title": mr.title,
		"description": mr.description, "draft": isDraft(mr.title), "state": mr.state, "sourceBranch": mr.source,
		"targetBranch": mr.target, "diffHeadSha": mr.head(), "commitCount": len(mr.commits), "webUrl": s.webURL(mr),
		"detailedMergeStatus": strings.ToUpper(mr.status()), "approved": len(mr.approvals) > 0, "createdAt": stamp(mr.createdAt),
		"updatedAt": stamp(mr.updatedAt), "mergedAt": stamp(mr.mergedAt), "squash": mr.squash, "conflicts": mr.conflict,
		"autoMergeEnabled": mr.autoMergeBy != nil, "headPipeline": pipeline, "author": s.userNode(mr.author),
		"commits":    resolver(func(args map[string]any) any { return connection("Commit", commits, args) }),
		"approvedBy": resolver(func(args map[string]any) any { return connection("UserCore", approvers, args) }),
		"diffStatsSummary": object{
			"__typename": "DiffStatsSummary", "additions": additions, "deletions": deletions,
			"changes": additions + deletions, "fileCount": len(files),
		},
		"diffStats": files,
	}
	if !mr.check.prepared() { // there is no diff yet
		o["diffStatsSummary"], o["diffStats"], o["commitCount"] = nil, nil, nil
	}
	return o
}

func (s *Server) userNode(u *User) object {
	return object{
		"__typename": "UserCore", "id": gid("User", u.ID), "username": u.Username, "name": u.Name,
		"publicEmail": u.PublicEmail, "webUrl": s.url + "/" + u.Username, "bot": u.Bot,
	}
}

// gid is a global ID: gid://gitlab/User/1.
func gid(kind string, id int64) string { return fmt.Sprintf("gid://gitlab/%s/%d", kind, id) }

// connection cuts a page: at most 100, forward with first and after, backward
// with last and before (docs.gitlab.com/development/graphql_guide/pagination).
func connection(kind string, all []object, args map[string]any) object {
	count := func(name string) int {
		if n, ok := args[name].(float64); ok {
			return min(max(int(n), 0), 100)
		}
		return -1
	}
	cursor := func(name string, otherwise int) int {
		text, _ := args[name].(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		n, err2 := strconv.Atoi(string(raw))
		if err != nil || err2 != nil {
			return otherwise
		}
		return min(max(n, 0), len(all))
	}
	from, to := cursor("after", 0), cursor("before", len(all)+1)-1
	switch first, last := count("first"), count("last"); {
	case last >= 0 && first < 0:
		from = max(from, to-last)
	default:
		if first < 0 {
			first = 100
		}
		to = min(to, from+first)
	}
	from = min(from, to)
	encode := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(n))) }
	info := object{
		"__typename": "PageInfo", "hasNextPage": to < len(all), "hasPreviousPage": from > 0, "startCursor": nil, "endCursor": nil,
	}
	if from < to {
		info["startCursor"], info["endCursor"] = encode(from+1), encode(to)
	}
	return object{"__typename": kind + "Connection", "nodes": append([]object{}, all[from:to]...), "pageInfo": info}
}
