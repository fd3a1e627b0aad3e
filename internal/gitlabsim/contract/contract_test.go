package contract_test

import (
	"net/http"
	"strings"
	"testing"

	"mrgate/internal/gitlabsim/contract"
)

func load(t *testing.T) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../../../testdata/gitlab/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func holds(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestCheckCall(t *testing.T) {
	c := load(t)
	const mr = "/api/v4/projects/acme%2Fwebhook/merge_requests/7"
	for _, call := range []struct{ method, path, query, body, want string }{
		{"GET", mr, "", "", ""},
		{"GET", mr, "render_html=true", "", ""},
		{"GET", mr, "render_html=perhaps", "", "render_html"},
		{"GET", mr, "html=true", "", "unknown parameter html"},
		{"GET", "/api/v4/projects/7/merge_requests/seven", "", "", "path: merge_request_iid"},
		{"GET", "/api/v4/projects/7/merge_request/7", "", "", "no such path"},
		{"DELETE", mr, "", "", "no such method"},
		{"PUT", mr + "/merge", "", `{"sha": "abc", "squash": true, "auto_merge": true}`, ""},
		{"PUT", mr + "/merge", "", ``, ""},
		{"PUT", mr + "/merge", "", `{"sah": "abc"}`, "unknown property sah"},
		{"PUT", mr + "/merge", "", `{"squash": "yes"}`, "property squash"},
		{"PUT", mr + "/merge", "", `["sha"]`, "body"},
		{"PUT", mr, "", `{"state_event": "close"}`, ""},
		{"PUT", mr, "", `{"state_event": "merge"}`, "state_event"},
		{"PUT", mr, "", `{"state_event": "close", "sha": "abc"}`, "unknown property sha"},
		{"POST", mr + "/approve", "", `{"sha": null}`, ""},
		{"POST", mr + "/unapprove", "", ``, ""},
		{"POST", mr + "/unapprove", "", `{"sha": "abc"}`, "there is none"},
		{"POST", mr + "/notes", "", `{"body": "x", "internal": true}`, ""},
		{"POST", mr + "/notes", "", `{"internal": true}`, "body is missing"},
		{"POST", mr + "/notes", "", ``, "is missing"},
		{"PUT", mr + "/notes/3", "", `{"body": "x", "internal": true}`, "unknown property internal"},
		{"GET", mr + "/notes", "page=2&per_page=100&sort=asc", "", ""},
		{"GET", mr + "/notes", "page=two", "", "query: page"},
		{"GET", mr + "/notes", "sort=up", "", "query: sort"},
		{"GET", "/api/v4/projects/7/merge_requests", "state=all&updated_after=2026-01-16T05:56:22Z&iids[]=1&iids[]=2", "", ""},
		{"GET", "/api/v4/groups/acme/merge_requests", "state=all&order_by=updated_at&scope=all", "", ""},
		{"GET", "/api/v4/groups/acme/merge_requests", "order_by=updated_at&sort=asc&updated_after=2026-01-16T05:56:22.123Z&with_labels_details=true", "", ""},
		{"GET", "/api/v4/groups/acme/merge_requests", "updated_since=2026-01-16T05:56:22Z", "", "unknown parameter updated_since"},
		{"GET", "/api/v4/projects", "membership=true&simple=true&order_by=id&sort=asc&id_after=7&per_page=100", "", ""},
		{"GET", "/api/v4/projects", "min_access_level=7", "", "min_access_level"},
		{"POST", "/api/graphql", "", `{"query": "{}"}`, ""},
		{"GET", "/api/v4/personal_access_tokens/self", "", "", ""},
	} {
		header := http.Header{"Private-Token": {"[redacted]"}, "Content-Type": {"application/json"}}
		err := c.CheckCall(call.method, call.path, call.query, header, []byte(call.body))
		holds(t, call.method+" "+call.path+" "+call.query+" "+call.body, err, call.want)
	}
	holds(t, "no token", c.CheckCall("GET", mr, "", http.Header{}, nil), "no token")
	form := http.Header{"Authorization": {"Bearer x"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	holds(t, "a form", c.CheckCall("PUT", mr+"/merge", "", form, []byte("sha=abc")), "content type")
}

func TestCheckFields(t *testing.T) {
	c := load(t)
	const mr = "/api/v4/projects/7/merge_requests/7"
	for _, a := range []struct {
		method, path string
		status       int
		answer, want string
	}{
		{"GET", mr, 200, `{"iid": 7, "author": {"username": "bob"}, "reviewers": [{"id": 1}], "head_pipeline": null}`, ""},
		{"GET", mr, 200, `{"iid": 7, "head": "abc"}`, "head"},
		{"GET", mr, 200, `{"author": {"login": "bob"}}`, "author.login"},
		{"GET", mr, 200, `{"reviewers": [{"id": 1}, {"uid": 2}]}`, "reviewers.uid"},
		{"GET", mr, 200, `<html>`, "answer"},
		{"GET", mr, 201, `{}`, "no answer 201"},
		{"GET", mr, 404, `{"message": "404 Not found"}`, ""},
		{"GET", mr + "/notes", 200, `[{"id": 1, "position": {"anything": 1}}]`, ""},
		{"GET", mr + "/notes", 200, `[{"id": 1, "text": "x"}]`, "text"},
		{"POST", mr + "/notes", 202, `{"summary": []}`, ""},
		{"POST", mr + "/cancel_merge_when_pipeline_succeeds", 201, `{"status": "success"}`, ""},
		{"POST", "/api/graphql", 200, `{"data": null}`, ""},
	} {
		holds(t, a.method+" "+a.path+" "+a.answer, c.CheckFields(a.method, a.path, a.status, []byte(a.answer)), a.want)
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	if _, err := contract.Load("nowhere.yaml"); err == nil {
		t.Error("loaded a file that is not there")
	}
}
