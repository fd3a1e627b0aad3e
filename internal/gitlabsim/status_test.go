package gitlabsim_test

import (
	"strings"
	"testing"

	"mrgate/internal/gitlabsim"
)

// A commit status joins the newest pipeline of its commit and ref, or makes one,
// and that may become the merge request's.
func TestCommitStatus(t *testing.T) {
	t.Parallel()
	w := ready(t)
	mr := w.Open(gitlabsim.MergeRequest{ProjectID: 7, Source: "feature"})
	post, list := "/projects/7/statuses/"+mr.Head, "/projects/7/repository/commits/"+mr.Head+"/statuses"

	r := w.want(201, "", "POST", post, `{"state": "pending", "name": "x", "ref": "elsewhere", "description": "wait", "target_url": "https://example.com"}`)
	same(t, "its name, state and ref", []any{r.at("name"), r.at("status"), r.at("ref"), r.at("description")}, []any{"x", "pending", "elsewhere", "wait"})
	same(t, "the head pipeline", w.want(200, "", "GET", one, "").at("head_pipeline"), nil)
	w.want(400, "Cannot transition status via :enqueue from :pending", "POST", post, `{"state": "pending", "name": "x", "ref": "elsewhere", "description": "other"}`)
	again := w.want(201, "", "POST", post, `{"state": "success", "name": "x", "ref": "elsewhere"}`)
	same(t, "its number", again.at("id"), r.at("id"))
	other := w.want(201, "", "POST", post, `{"state": "pending", "name": "x", "ref": "elsewhere"}`)
	same(t, "the pipeline", other.at("pipeline_id"), r.at("pipeline_id"))
	if all := w.Statuses(7, mr.Head); len(all) != 2 || !all[0].Retried || all[1].Retried || all[1].Status != "pending" {
		t.Errorf("the statuses are %+v", all)
	}

	// Without a ref it joins the newest there is; with the source branch's, it is
	// the merge request's pipeline.
	same(t, "the ref", w.want(201, "", "POST", post, `{"state": "success"}`).at("ref"), "elsewhere")
	w.ChangeProject(7, func(p *gitlabsim.Project) { p.PipelinesMustSucceed = true })
	same(t, "the status", w.want(200, "", "GET", one, "").at("detailed_merge_status"), "ci_must_pass")
	w.want(201, "", "POST", post, `{"state": "pending", "name": "x", "ref": "feature"}`)
	got := w.want(200, "", "GET", one, "")
	same(t, "the head pipeline", []any{got.at("head_pipeline", "source"), got.at("head_pipeline", "status")}, []any{"external", "pending"})
	same(t, "the status", got.at("detailed_merge_status"), "ci_still_running")
	w.want(201, "", "POST", post, `{"state": "success", "name": "x", "ref": "feature"}`)
	same(t, "the status", w.want(200, "", "GET", one, "").at("detailed_merge_status"), "mergeable")

	// GitLab's own for the merge request goes before it, and is held up by one in it.
	w.SetPipeline(7, 1, "success")
	same(t, "the head pipeline", w.want(200, "", "GET", one, "").at("head_pipeline", "source"), "merge_request_event")
	w.want(201, "", "POST", post, `{"state": "pending", "ref": "refs/merge-requests/1/head"}`)
	same(t, "its status", w.want(200, "", "GET", one, "").at("head_pipeline", "status"), "running")
	w.want(201, "", "POST", post, `{"state": "failed", "ref": "refs/merge-requests/1/head"}`)
	same(t, "its status", w.want(200, "", "GET", one, "").at("head_pipeline", "status"), "failed")

	same(t, "of a ref and name", strings.Count(w.want(200, "", "GET", list+"?ref=elsewhere&name=x", "").body, `"id":`), 2) // and its author's
	same(t, "all of a ref and name", strings.Count(w.want(200, "", "GET", list+"?ref=elsewhere&name=x&all=true", "").body, `"pipeline_id":`), 2)
	w.want(200, `"name":"test"`, "GET", list+"?order_by=pipeline_id&sort=desc", "")
	w.want(400, "order_by", "GET", list+"?order_by=name", "")
	w.want(404, "404 Commit Not Found", "GET", "/projects/7/repository/commits/0123/statuses", "")

	w.want(404, "404 Commit Not Found", "POST", "/projects/7/statuses/0123", `{"state": "pending"}`)
	w.want(404, "404 Pipeline for pipeline_id", "POST", post, `{"state": "pending", "pipeline_id": 1}`)
	w.want(400, "state does not have a valid value", "POST", post, `{"state": "passed"}`)
	w.want(400, "state is missing", "POST", post, `{}`)
	w.want(400, "is too long (maximum is 255 characters)", "POST", post, `{"state": "pending", "description": "`+strings.Repeat("字", 256)+`"}`)
	w.want(400, "is blocked", "POST", post, `{"state": "pending", "target_url": "javascript:alert(1)"}`)

	fork := w.Open(gitlabsim.MergeRequest{ProjectID: 7, Source: "main", SourceProjectID: 8})
	w.want(404, "404 References for commit Not Found", "POST", "/projects/7/statuses/"+fork.Head, `{"state": "pending"}`)
	w.want(201, "", "POST", "/projects/7/statuses/"+fork.Head, `{"state": "pending", "ref": "main"}`)
	if p := w.MR(7, fork.IID).Pipeline; p != nil {
		t.Errorf("a fork's has the pipeline %+v", p)
	}
	w.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Reporter })
	w.want(403, "403 Forbidden", "POST", post, `{"state": "pending"}`)
}
