package gitlabsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gitlabsim"
	"mrgate/internal/gitlabsim/contract"
)

// world is a GitLab with one project, acme/webhook (7), and a client that holds
// the bot's token. Whatever the client sends and gets is held against GitLab's
// own description at the end of the test.
type world struct {
	*gitlabsim.Server
	t      *testing.T
	ctx    context.Context //nolint:containedctx // a client that gives up
	url    string
	client *http.Client
}

// description is GitLab's own; reading it takes a while.
var description = sync.OnceValues(func() (*contract.Contract, error) { //nolint:gochecknoglobals // read once for all tests
	return contract.Load("../../testdata/gitlab/openapi.yaml")
})

const one = "/projects/7/merge_requests/1"

func newWorld(t *testing.T, opts gitlabsim.Options, project gitlabsim.Project) *world {
	t.Helper()
	sim := gitlabsim.New(opts)
	project.ID, project.Path = 7, "acme/tools/webhook"
	if project.BotAccess == 0 {
		project.BotAccess = gitlabsim.Maintainer
	}
	sim.AddProject(project)
	web := httptest.NewServer(sim)
	w := &world{Server: sim, t: t, ctx: t.Context(), url: web.URL, client: web.Client()}
	t.Cleanup(func() {
		sim.Wait()
		web.Close()
		w.holdAgainstDescription()
	})
	return w
}

func ready(t *testing.T) *world {
	t.Helper()
	return newWorld(t, gitlabsim.Options{MergeabilityDelay: gitlabsim.AtOnce}, gitlabsim.Project{})
}

func (w *world) holdAgainstDescription() {
	api, err := description()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range w.Calls() {
		if c.Status == 400 || c.Status == 404 || c.Status == 405 || c.Status == 415 {
			continue // sent to be refused
		}
		if err := api.CheckCall(c.Method, c.Path, c.RawQuery, c.Header, c.Body); err != nil && c.Status != 401 {
			w.t.Error(err)
		}
		if err := api.CheckFields(c.Method, c.Path, c.Status, c.Answer); err != nil {
			w.t.Error(err)
		}
	}
}

type reply struct {
	status int
	header http.Header
	body   string
}

// at digs a field out of a JSON answer: at("head_pipeline", "status").
func (r reply) at(names ...string) any {
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		return "no JSON: " + r.body
	}
	for _, name := range names {
		o, ok := v.(map[string]any)
		if !ok {
			return fmt.Sprintf("no %s in %v", name, v)
		}
		v = o[name]
	}
	return v
}

func (w *world) try(method, path, body string) (reply, error) {
	w.t.Helper()
	if !strings.HasPrefix(path, "/api/") {
		path = "/api/v4" + path
	}
	req, err := http.NewRequestWithContext(w.ctx, method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Private-Token", "glpat-simulated")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(raw)}, err
}

func (w *world) call(method, path, body string) reply {
	w.t.Helper()
	r, err := w.try(method, path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// want calls and fails the test where the answer is another; text "" is any.
func (w *world) want(status int, text, method, path, body string) reply {
	w.t.Helper()
	r := w.call(method, path, body)
	if r.status != status || !strings.Contains(r.body, text) {
		w.t.Fatalf("%s %s %s: %d %s, want %d %s", method, path, body, r.status, r.body, status, text)
	}
	return r
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestEveryEndpointAnswersWithGitLabsFieldNames(t *testing.T) {
	w := newWorld(t, gitlabsim.Options{MergeabilityDelay: gitlabsim.AtOnce}, gitlabsim.Project{CI: true})
	w.AddUser(gitlabsim.User{ID: 42, Username: "bob", PublicEmail: "bob@example.com"})
	w.Open(gitlabsim.MergeRequest{
		ProjectID: 7, Author: "bob", Assignees: []string{"bob"}, Reviewers: []string{"carol"}, Labels: []string{"x"}, Squash: true,
	})
	w.ApproveByHand(7, 1, "carol")
	w.SetPipeline(7, 1, "success")
	note := w.want(201, "", "POST", one+"/notes", `{"body": "hello", "internal": true}`)
	id := fmt.Sprintf("%.0f", note.at("id"))
	w.OnWebhook("http://127.0.0.1:1/gitlab/webhook", "s")
	hook := regexp.MustCompile(`"id":(\d+)`).FindStringSubmatch(w.want(200, "", "GET", "/projects/7/hooks", "").body)[1]
	for _, path := range []string{
		"/user", "/users?username=bob", "/version", "/metadata", "/personal_access_tokens/self", "/projects/7",
		"/projects/acme%2Ftools%2Fwebhook", "/projects/Acme%2fTools%2FWebhook", "/projects/7/protected_branches",
		"/projects/7/merge_requests?state=all&iids[]=1", "/projects/7/merge_requests?view=simple", "/groups/acme/merge_requests?scope=all",
		"/groups/acme%2Ftools/merge_requests", one, one + "/approvals", one + "/commits", one + "/notes", one + "/notes/" + id,
		"/merge_requests?scope=reviews_for_me", "/projects?membership=true&simple=true&order_by=id&sort=asc&id_after=6",
		"/projects/7/merge_requests?with_labels_details=true", "/projects/7/members/all?per_page=100", "/projects/7/hooks",
		"/projects/7/hooks/" + hook + "/events",
	} {
		w.want(200, "", "GET", path, "")
	}
	w.want(200, "edited", "PUT", one+"/notes/"+id, `{"body": "edited"}`)
	w.want(202, "Set target", "POST", one+"/notes", `{"body": "/target_branch main"}`)
	w.want(201, "", "POST", one+"/approve", `{"sha": "`+w.MR(7, 1).Head+`"}`)
	w.want(201, "", "POST", one+"/unapprove", "")
	w.want(201, "error", "POST", one+"/cancel_merge_when_pipeline_succeeds", "")
	w.want(200, "", "PUT", one, `{"add_labels": ["y"]}`)
	w.want(200, `"state":"merged"`, "PUT", one+"/merge", `{"squash": true, "should_remove_source_branch": true, "auto_merge": false}`)
	w.want(200, "", "GET", one, "")
	w.want(404, "404 Not Found", "GET", "/nonsense", "")
	w.want(405, "405 Not Allowed", "POST", one, "{}")
	w.want(500, "", "GET", "/merge_requests?scope=all", "")
	if got := len(w.Calls()); got != 37 {
		t.Errorf("%d calls recorded", got)
	}
	if h := w.Calls()[0].Header.Get("Private-Token"); h != "[redacted]" {
		t.Errorf("the record holds the token: %s", h)
	}
}

func TestMergeChecksInGitLabsOrder(t *testing.T) {
	const merge = one + "/merge"
	stale := `{"sha": "` + strings.Repeat("0", 40) + `"}`
	for name, c := range map[string]struct {
		project gitlabsim.Project
		do      func(*world)
		body    string
		status  int
		text    string
	}{
		"stranger":          {project: gitlabsim.Project{BotAccess: -1}, status: 404, text: "404 Project Not Found"},
		"guest":             {project: gitlabsim.Project{BotAccess: gitlabsim.Guest}, status: 404, text: "404 Not found"},
		"may not, draft":    {project: gitlabsim.Project{MergeAccess: gitlabsim.NoOne}, do: func(w *world) { w.SetDraft(7, 1, true) }, body: stale, status: 401, text: "401 Unauthorized"},
		"draft before sha":  {do: func(w *world) { w.SetDraft(7, 1, true) }, body: stale, status: 405, text: "405 Method Not Allowed"},
		"closed":            {do: func(w *world) { w.Close(7, 1, "bob") }, status: 405},
		"merged":            {do: func(w *world) { w.MergeByHand(7, 1, "bob") }, status: 405},
		"locked":            {do: func(w *world) { w.Lock(7, 1) }, status: 405},
		"conflict":          {do: func(w *world) { w.SetConflict(7, 1, true) }, status: 405},
		"rebase":            {do: func(w *world) { w.SetNeedRebase(7, 1, true) }, status: 405},
		"unknown to all":    {do: func(w *world) { w.SetBlocker(7, 1, "full_moon") }, status: 405},
		"thread":            {project: gitlabsim.Project{DiscussionsMustBeResolved: true}, do: func(w *world) { w.SetDiscussionsUnresolved(7, 1, true) }, status: 405},
		"thread, no matter": {do: func(w *world) { w.SetDiscussionsUnresolved(7, 1, true) }, status: 200},
		"no pipeline":       {project: gitlabsim.Project{PipelinesMustSucceed: true}, status: 405},
		"stale sha":         {body: stale, status: 409, text: "SHA does not match HEAD of source branch: "},
		"empty sha":         {body: `{"sha": ""}`, status: 409},
		"ran and failed":    {do: func(w *world) { w.FailNextMerge(7, 1, "hook declined") }, status: 422, text: "Branch cannot be merged"},
		"bad flag":          {body: `{"squash": "maybe"}`, status: 400, text: `{"error":"squash is invalid"}`},
		"unknown name":      {body: `{"sah": "x"}`, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gitlabsim.Options{MergeabilityDelay: gitlabsim.AtOnce}, c.project)
			if c.project.BotAccess < 0 {
				w.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.NoAccess })
			}
			w.Open(gitlabsim.MergeRequest{ProjectID: 7})
			if c.do != nil {
				c.do(w)
			}
			w.want(c.status, c.text, "PUT", merge, c.body)
			if name == "unknown name" {
				w.ResetCalls() // the description refuses it, which is its purpose
			}
		})
	}
}

func TestMergeabilityIsComputedLateAndOnlyWhenAskedFor(t *testing.T) {
	w := newWorld(t, gitlabsim.Options{MergeabilityDelay: 3 * time.Millisecond}, gitlabsim.Project{})
	seen := func() []string {
		var seen []string
		for range 2000 {
			status := w.call("GET", one, "").at("detailed_merge_status").(string)
			if len(seen) == 0 || seen[len(seen)-1] != status {
				seen = append(seen, status)
			}
			if status == "mergeable" {
				return seen
			}
		}
		t.Fatal("never mergeable: ", seen)
		return nil
	}
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	w.want(405, "", "PUT", one+"/merge", "")
	if got := seen(); got[0] != "preparing" && got[0] != "checking" {
		t.Errorf("after opening: %v", got)
	}
	w.Push(7, 1)
	for _, path := range []string{"/projects/7/merge_requests", one + "/approvals", one + "/commits"} {
		w.want(200, "", "GET", path, "") // none of these starts a check
	}
	same(t, "status after a push", w.MR(7, 1).Status, "unchecked")
	w.want(405, "", "PUT", one+"/merge", "")
	same(t, "status after a merge was tried", w.MR(7, 1).Status, "unchecked")
	if got := seen(); got[0] != "checking" {
		t.Errorf("after a push: %v", got)
	}
	w.Retarget(7, 1, "release/1")
	same(t, "status after a retarget", w.MR(7, 1).Status, "unchecked")
	seen()
	w.want(200, "", "PUT", one+"/merge", "")
}

func TestMergingOneMergeRequestMovesTheOthers(t *testing.T) {
	w := newWorld(t, gitlabsim.Options{MergeabilityDelay: time.Hour}, gitlabsim.Project{})
	w.Open(gitlabsim.MergeRequest{ProjectID: 7, Source: "base", RemoveSourceBranch: true})
	w.Open(gitlabsim.MergeRequest{ProjectID: 7, Source: "beside"})
	w.Open(gitlabsim.MergeRequest{ProjectID: 7, Source: "stacked", Target: "base"})
	w.MergeByHand(7, 2, "bob")
	same(t, "target", w.MR(7, 3).Target, "base")
	w.MergeByHand(7, 1, "bob")
	same(t, "target of the stacked one", w.MR(7, 3).Target, "main")
	mr := w.MR(7, 1)
	if !mr.SourceBranchRemoved || mr.MergedBy != "bob" || mr.MergeCommit == "" {
		t.Errorf("merged by hand: %+v", mr)
	}
}

func TestApprovingTwiceIsUnauthorized(t *testing.T) {
	w := ready(t)
	head := w.Open(gitlabsim.MergeRequest{ProjectID: 7}).Head
	w.want(409, "SHA does not match HEAD of source branch: "+head, "POST", one+"/approve", `{"sha": "abc"}`)
	w.want(201, `"user_has_approved":true`, "POST", one+"/approve", `{"sha": "`+head+`"}`)
	w.want(401, "401 Unauthorized", "POST", one+"/approve", `{"sha": "`+head+`"}`)
	w.Push(7, 1)
	same(t, "approved by after a push", w.MR(7, 1).ApprovedBy, "[mrgate-bot]")
	w.want(409, "", "POST", one+"/approve", `{"sha": "`+head+`"}`)
	w.want(201, `"approved_by":[]`, "POST", one+"/unapprove", "")
	w.want(404, "404 Not Found", "POST", one+"/unapprove", "")
	w.Close(7, 1, "bob")
	w.want(401, "", "POST", one+"/approve", "")
	w.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Reporter })
	w.want(403, "403 Forbidden", "POST", one+"/approve", `{"sha": "abc"}`)
}

func TestCloseAndReopen(t *testing.T) {
	w := ready(t)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7, Source: "x"})
	w.want(400, `{"error":"state_event does not have a valid value"}`, "PUT", one, `{"state_event": "merge"}`)
	w.want(400, "at least one parameter", "PUT", one, `{}`)
	w.want(200, `"state":"closed"`, "PUT", one, `{"state_event": "close"}`)
	w.want(200, `"state":"closed"`, "PUT", one, `{"state_event": "close"}`)
	w.Push(7, 1, gitlabsim.Commit{ID: strings.Repeat("c", 40)})
	same(t, "closed, head as it was", w.MR(7, 1).Head != strings.Repeat("c", 40), true)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7, Source: "x"})
	w.want(409, "Another open merge request", "PUT", one, `{"state_event": "reopen"}`)
	w.Close(7, 2, "bob")
	w.want(200, `"state":"opened"`, "PUT", one, `{"state_event": "reopen"}`)
	same(t, "head after reopening", w.MR(7, 1).Head, strings.Repeat("c", 40))
	w.Lock(7, 1)
	w.want(200, `"state":"locked"`, "PUT", one, `{"state_event": "close"}`)
	w.Unlock(7, 1)
	w.MergeByHand(7, 1, "bob")
	w.want(200, `"state":"merged"`, "PUT", one, `{"state_event": "close"}`)
	w.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Reporter })
	w.want(403, "403 Forbidden", "PUT", one, `{"state_event": "close"}`)
}

func TestAutoMerge(t *testing.T) {
	const merge, auto = one + "/merge", `{"auto_merge": true, "merge_when_pipeline_succeeds": true}`
	open := func(t *testing.T, p gitlabsim.Project, mr gitlabsim.MergeRequest) *world {
		t.Helper()
		w := newWorld(t, gitlabsim.Options{MergeabilityDelay: gitlabsim.AtOnce}, p)
		mr.ProjectID = 7
		w.Open(mr)
		return w
	}
	t.Run("the trap: nothing to wait for", func(t *testing.T) {
		w := open(t, gitlabsim.Project{}, gitlabsim.MergeRequest{})
		w.want(405, "", "PUT", merge, auto)
		w.want(200, `"state":"merged"`, "PUT", merge, "")
	})
	t.Run("waits for the pipeline and merges in the bot's name", func(t *testing.T) {
		w := open(t, gitlabsim.Project{PipelinesMustSucceed: true, CI: true}, gitlabsim.MergeRequest{})
		same(t, "status", w.MR(7, 1).Status, "ci_still_running")
		w.want(409, "", "PUT", merge, `{"auto_merge": true, "sha": "abc"}`)
		r := w.want(200, `"merge_when_pipeline_succeeds":true`, "PUT", merge, `{"auto_merge": true, "merge_commit_message": "m"}`)
		same(t, "state", r.at("state"), "opened")
		same(t, "merge_user", r.at("merge_user", "username"), "mrgate-bot")
		w.SetPipeline(7, 1, "success")
		w.Wait()
		mr := w.MR(7, 1)
		if mr.State != "merged" || mr.MergedBy != "mrgate-bot" || mr.MergeMessage != "m" || mr.AutoMerge {
			t.Errorf("after the pipeline: %+v", mr)
		}
	})
	t.Run("a failed pipeline is nothing to wait for, if it need not succeed", func(t *testing.T) {
		w := open(t, gitlabsim.Project{CI: true}, gitlabsim.MergeRequest{})
		w.SetPipeline(7, 1, "failed")
		w.want(405, "", "PUT", merge, auto)
	})
	t.Run("a succeeded one merges at once", func(t *testing.T) {
		w := open(t, gitlabsim.Project{CI: true}, gitlabsim.MergeRequest{})
		w.SetPipeline(7, 1, "success")
		w.want(200, `"state":"merged"`, "PUT", merge, auto)
	})
	t.Run("a succeeded one and a draft is a 422", func(t *testing.T) {
		w := open(t, gitlabsim.Project{CI: true}, gitlabsim.MergeRequest{Draft: true})
		w.SetPipeline(7, 1, "success")
		w.want(422, "", "PUT", merge, auto)
	})
	t.Run("a draft can be waited for, a conflict cannot", func(t *testing.T) {
		w := open(t, gitlabsim.Project{}, gitlabsim.MergeRequest{Draft: true})
		w.want(200, "", "PUT", merge, auto)
		w.SetDraft(7, 1, false)
		w.Wait()
		same(t, "state", w.MR(7, 1).State, "merged")
		w = open(t, gitlabsim.Project{}, gitlabsim.MergeRequest{})
		w.SetConflict(7, 1, true)
		w.want(405, "", "PUT", merge, auto)
	})
	for name, drop := range map[string]func(*world){
		"a push":     func(w *world) { w.Push(7, 1) },
		"a retarget": func(w *world) { w.Retarget(7, 1, "other") },
		"a close":    func(w *world) { w.Close(7, 1, "bob"); w.Reopen(7, 1, "bob") },
		"a person":   func(w *world) { w.CancelAutoMerge(7, 1, "carol") },
		"a cancel": func(w *world) {
			w.want(201, `{"status":"success"}`, "POST", one+"/cancel_merge_when_pipeline_succeeds", "")
		},
	} {
		t.Run(name+" drops it", func(t *testing.T) {
			w := open(t, gitlabsim.Project{CI: true}, gitlabsim.MergeRequest{})
			w.want(200, "", "PUT", merge, auto)
			drop(w)
			same(t, "auto-merge", w.MR(7, 1).AutoMerge, false)
			w.SetPipeline(7, 1, "success")
			w.Wait()
			same(t, "state", w.MR(7, 1).State, "opened")
		})
	}
	t.Run("the head pipeline may be an old commit's", func(t *testing.T) {
		w := open(t, gitlabsim.Project{PipelinesMustSucceed: true, CI: true}, gitlabsim.MergeRequest{})
		old := w.MR(7, 1).Head
		w.SetPipeline(7, 1, "success")
		w.PushWithoutPipeline(7, 1)
		r := w.call("GET", one, "")
		same(t, "head pipeline's commit", r.at("head_pipeline", "sha"), old)
		same(t, "head pipeline", r.at("head_pipeline", "status"), "success")
		same(t, "status", r.at("detailed_merge_status"), "ci_must_pass")
		w.PutPipeline(7, 1, &gitlabsim.Pipeline{SHA: strings.Repeat("e", 40), SourceSHA: w.MR(7, 1).Head, Status: "success"})
		same(t, "status with a merged-results pipeline", w.MR(7, 1).Status, "mergeable")
	})
	t.Run("squash cannot be switched off, merge_error stays", func(t *testing.T) {
		w := open(t, gitlabsim.Project{}, gitlabsim.MergeRequest{Squash: true})
		w.FailNextMerge(7, 1, "declined")
		w.want(422, "", "PUT", merge, `{"squash": false}`)
		w.want(200, `"merge_error":"declined"`, "PUT", merge, `{"squash": false}`)
		same(t, "squashed", w.MR(7, 1).SquashCommit != "", true)
	})
}

func TestOldAutoMergeMergesAtOnceWhatDoesNotRun(t *testing.T) {
	const merge, auto = one + "/merge", `{"auto_merge": true, "merge_when_pipeline_succeeds": true}`
	for _, status := range []string{"failed", "skipped", "canceled", "manual"} {
		w := newWorld(t, gitlabsim.Options{MergeabilityDelay: gitlabsim.AtOnce, OldAutoMerge: true}, gitlabsim.Project{PipelinesMustSucceed: true})
		w.Open(gitlabsim.MergeRequest{ProjectID: 7})
		w.SetPipeline(7, 1, status)
		w.want(405, "", "PUT", merge, "")
		w.want(409, "", "PUT", merge, `{"auto_merge": true, "sha": "abc"}`)
		w.want(200, `"state":"merged"`, "PUT", merge, auto)
	}
	w := newWorld(t, gitlabsim.Options{MergeabilityDelay: gitlabsim.AtOnce, OldAutoMerge: true}, gitlabsim.Project{})
	w.Open(gitlabsim.MergeRequest{ProjectID: 7, HasPipeline: true})
	w.want(200, `"state":"opened"`, "PUT", merge, auto)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	w.SetConflict(7, 2, true)
	w.want(405, "", "PUT", "/projects/7/merge_requests/2/merge", auto)
}

func TestOnlyAMergeFindsOutWhetherItCan(t *testing.T) {
	const merge = one + "/merge"
	open := func(t *testing.T, p gitlabsim.Project) *world {
		t.Helper()
		w := newWorld(t, gitlabsim.Options{MergeabilityDelay: time.Millisecond, ChecksOnMerge: true}, p)
		w.Open(gitlabsim.MergeRequest{ProjectID: 7})
		for range 1000 {
			if w.call("GET", one, "").at("detailed_merge_status") == "unchecked" {
				return w
			}
		}
		t.Fatal("never unchecked")
		return nil
	}
	w := open(t, gitlabsim.Project{})
	w.want(200, `"state":"merged"`, "PUT", merge, "")
	w = open(t, gitlabsim.Project{})
	w.SetConflict(7, 1, true)
	w.want(405, "", "PUT", merge, "")
	same(t, "status after the attempt", w.call("GET", one, "").at("detailed_merge_status"), "conflict")
	w = open(t, gitlabsim.Project{PipelinesMustSucceed: true})
	w.SetPipeline(7, 1, "running")
	w.want(405, "", "PUT", merge, "")
	same(t, "status after the attempt", w.call("GET", one, "").at("detailed_merge_status"), "unchecked")
	w.want(200, `"merge_when_pipeline_succeeds":true`, "PUT", merge, `{"auto_merge": true}`)
}

// GitLab's clock is its own, and what it remembers of pipelines outlives them.
func TestTimesAreTheServersOwn(t *testing.T) {
	began := time.Date(2026, 10, 9, 10, 0, 0, 0, time.UTC)
	w := newWorld(t, gitlabsim.Options{Now: func() time.Time { return began }}, gitlabsim.Project{})
	w.Open(gitlabsim.MergeRequest{ProjectID: 7, CreatedAt: began.Add(-time.Hour)})
	r := w.want(200, "", "GET", one, "")
	same(t, "Date", r.header.Get("Date"), "Fri, 09 Oct 2026 10:00:00 GMT")
	same(t, "created_at", r.at("created_at"), "2026-10-09T09:00:00.000Z")
	same(t, "latest build", r.at("latest_build_started_at"), nil)
	w.SetPipeline(7, 1, "success")
	w.PutPipeline(7, 1, nil)
	r = w.want(200, "", "GET", one, "")
	same(t, "head pipeline", r.at("head_pipeline"), nil)
	same(t, "latest build", r.at("latest_build_started_at"), "2026-10-09T10:00:00.000Z")
}

func TestNotesObeyQuickActions(t *testing.T) {
	w := ready(t)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	notes := one + "/notes"
	r := w.want(201, "", "POST", notes, `{"body": "so be it\n/close\nbye @alice and @all"}`)
	same(t, "body", r.at("body"), "so be it\nbye @alice and @all")
	mr := w.MR(7, 1)
	same(t, "state", mr.State, "closed")
	same(t, "mentions", mr.Mentions, "[alice all]")
	same(t, "commands", mr.Commands, "[/close]")
	w.want(202, `"summary":["Reopened this merge request."]`, "POST", notes, `{"body": "/reopen"}`)
	w.want(202, "requires the SHA", "POST", notes, `{"body": "/merge"}`)
	same(t, "state", w.MR(7, 1).State, "opened")
	w.want(200, "", "PUT", fmt.Sprintf("%s/%d", notes, mr.Notes[0].ID), `{"body": "now @alice @carol\n/target_branch evil"}`)
	same(t, "target after an edit", w.MR(7, 1).Target, "evil")
	same(t, "mentions", w.MR(7, 1).Mentions, "[alice all carol]")
	w.want(202, "", "PUT", fmt.Sprintf("%s/%d", notes, mr.Notes[0].ID), `{"body": "/approve"}`)
	same(t, "notes, one edited away", len(w.MR(7, 1).Notes), 0)
	w.want(202, "Merged", "POST", notes, `{"body": "/merge", "merge_request_diff_head_sha": "`+mr.Head+`"}`)
	same(t, "state", w.MR(7, 1).State, "merged")
	w.want(400, `{"error":"body is missing"}`, "POST", notes, `{}`)
	w.want(400, "can't be blank", "POST", notes, `{"body": " "}`)

	w.Comment(7, 1, "bob", "mine")
	human := w.MR(7, 1).Notes[0]
	w.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Developer })
	w.want(403, "", "PUT", fmt.Sprintf("%s/%d", notes, human.ID), `{"body": "yours"}`)
	w.want(404, "", "GET", notes+"/99", "")
}

func TestPagination(t *testing.T) {
	w := ready(t)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	for i := range 45 {
		w.Comment(7, 1, "bob", fmt.Sprint("note ", i))
	}
	r := w.call("GET", one+"/notes", "")
	if !strings.Contains(r.body, "note 44") || strings.Contains(r.body, "note 24") || !strings.Contains(r.body, "note 25") {
		t.Error("the first page does not hold the newest 20")
	}
	for name, want := range map[string]string{
		"X-Total": "45", "X-Total-Pages": "3", "X-Page": "1", "X-Next-Page": "2", "X-Prev-Page": "", "X-Per-Page": "20",
	} {
		same(t, name, r.header.Get(name), want)
	}
	count, path := 0, one+"/notes?sort=asc&per_page=30"
	for path != "" {
		r := w.call("GET", path, "")
		count += strings.Count(r.body, `"body"`)
		path = ""
		for link := range strings.SplitSeq(r.header.Get("Link"), ", ") {
			if url, ok := strings.CutSuffix(link, `>; rel="next"`); ok {
				path = strings.TrimPrefix(url, "<"+w.url)
			}
		}
	}
	same(t, "notes on all pages", count, 45)
	same(t, "per_page at most", w.call("GET", one+"/notes?per_page=500", "").header.Get("X-Per-Page"), 100)
	w.want(400, "per_page has a value not allowed", "GET", one+"/notes?per_page=0", "")
	w.want(400, "sort does not have a valid value", "GET", one+"/notes?sort=up", "")
	w.want(200, "[]", "GET", one+"/notes?page=9", "")
}

func TestListsAreFilteredAndSorted(t *testing.T) {
	now := time.Date(2026, 1, 16, 5, 56, 22, 0, time.UTC)
	w := newWorld(t, gitlabsim.Options{Now: func() time.Time { return now }, MergeabilityDelay: gitlabsim.AtOnce}, gitlabsim.Project{})
	w.AddProject(gitlabsim.Project{ID: 8, Path: "acme/secret"})
	w.AddProject(gitlabsim.Project{ID: 9, Path: "other/webhook", BotAccess: gitlabsim.Developer})
	for _, project := range []int64{7, 7, 8, 9} {
		w.Open(gitlabsim.MergeRequest{ProjectID: project})
		now = now.Add(time.Minute)
	}
	now = now.Add(time.Hour)
	w.Close(7, 1, "bob")
	iids := func(path string) string {
		var all []struct {
			Project int `json:"project_id"`
			IID     int `json:"iid"`
		}
		r := w.want(200, "", "GET", path, "")
		if err := json.Unmarshal([]byte(r.body), &all); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(all)
	}
	same(t, "newest first", iids("/projects/7/merge_requests"), "[{7 2} {7 1}]")
	same(t, "a group without what may not be seen", iids("/groups/acme/merge_requests?state=all&sort=asc"), "[{7 1} {7 2}]")
	same(t, "opened", iids("/projects/7/merge_requests?state=opened"), "[{7 2}]")
	same(t, "updated", iids("/projects/7/merge_requests?order_by=updated_at&updated_after="+now.Format(time.RFC3339)), "[{7 1}]")
	same(t, "mine", iids("/projects/7/merge_requests?scope=created_by_me"), "[]")
	same(t, "updated_at", w.call("GET", one, "").at("updated_at"), "2026-01-16T07:00:22.000Z")
	w.want(404, "404 Group Not Found", "GET", "/groups/none/merge_requests", "")
	w.want(404, "404 Project Not Found", "GET", "/projects/8", "")
	w.want(400, "updated_after is invalid", "GET", "/projects/7/merge_requests?updated_after=x", "")
	w.Rename(7, "acme/moved")
	w.want(200, "", "GET", "/projects/acme%2Ftools%2Fwebhook/merge_requests/1", "")
	w.want(405, "Non GET", "PUT", "/projects/acme%2Ftools%2Fwebhook/merge_requests/1/merge", "")
}

// What is sorted by a time and equal in it stands the newer first, and a time
// that is asked for belongs to what is asked for.
func TestListsByTimeAreInclusive(t *testing.T) {
	now := time.Date(2026, 1, 16, 5, 56, 22, 123_456_789, time.UTC)
	w := newWorld(t, gitlabsim.Options{Now: func() time.Time { return now }, MergeabilityDelay: gitlabsim.AtOnce}, gitlabsim.Project{})
	for range 3 {
		w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	}
	list := func(after string) string {
		r := w.want(200, "", "GET", "/groups/acme/merge_requests?order_by=updated_at&sort=asc&updated_after="+after, "")
		var all []struct{ IID int }
		if err := json.Unmarshal([]byte(r.body), &all); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(all)
	}
	same(t, "to the millisecond that is shown", list("2026-01-16T05:56:22.123Z"), "[{3} {2} {1}]")
	same(t, "the millisecond after", list("2026-01-16T05:56:22.124Z"), "[]")
	same(t, "GitLab's clock", w.call("GET", "/version", "").header.Get("Date"), "Fri, 16 Jan 2026 05:56:22 GMT")
}

// What tells whoever asks for what has changed, and what does not.
func TestUpdatedAtFollowsOnlyTheRow(t *testing.T) {
	for name, c := range map[string]struct {
		does func(w *world)
		soon bool // also within a minute of the last change
		late bool // after it
	}{
		"a title":          {func(w *world) { w.SetTitle(7, 1, "Another") }, true, true},
		"a draft":          {func(w *world) { w.SetDraft(7, 1, true) }, true, true},
		"a target":         {func(w *world) { w.Retarget(7, 1, "stable") }, true, true},
		"closed":           {func(w *world) { w.Close(7, 1, "bob") }, true, true},
		"merged":           {func(w *world) { w.MergeByHand(7, 1, "bob") }, true, true},
		"a push":           {func(w *world) { w.Push(7, 1) }, false, true},
		"a comment":        {func(w *world) { w.Comment(7, 1, "bob", "hello") }, false, true},
		"an approval":      {func(w *world) { w.ApproveByHand(7, 1, "carol") }, false, true},
		"labels":           {func(w *world) { w.SetLabels(7, 1, "x") }, false, true},
		"a push backwards": {func(w *world) { w.ForcePush(7, 1, w.MR(7, 1).Commits[0]) }, false, false},
		"a pipeline":       {func(w *world) { w.SetPipeline(7, 1, "success") }, false, false},
		"a conflict":       {func(w *world) { w.SetConflict(7, 1, true) }, false, false},
		"a look":           {func(w *world) { w.want(200, "", "GET", one, "") }, false, false},
		"another path":     {func(w *world) { w.Rename(7, "acme/moved") }, false, false},
	} {
		for wait, moves := range map[time.Duration]bool{59 * time.Second: c.soon, 61 * time.Second: c.late} {
			now := time.Date(2026, 1, 16, 5, 56, 22, 0, time.UTC)
			w := newWorld(t, gitlabsim.Options{Now: func() time.Time { return now }}, gitlabsim.Project{})
			w.Open(gitlabsim.MergeRequest{ProjectID: 7, Commits: []gitlabsim.Commit{{Title: "first"}, {Title: "second"}}})
			before := w.MR(7, 1).UpdatedAt
			now = now.Add(wait)
			c.does(w)
			if got := w.MR(7, 1).UpdatedAt.After(before); got != moves {
				t.Errorf("%s, %s after the last change: updated_at moved: %v, want %v", name, wait, got, moves)
			}
		}
	}
}

// The list of a project shows what was made of a merge request before; the list
// of a group, and one with details of labels, what is so.
func TestListsOfProjectsAreStale(t *testing.T) {
	w := ready(t)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	heads := func(path string) any {
		var all []struct{ SHA string }
		if err := json.Unmarshal([]byte(w.want(200, "", "GET", path, "").body), &all); err != nil {
			t.Fatal(err)
		}
		return all[0].SHA
	}
	first := heads("/projects/7/merge_requests")
	w.Push(7, 1) // within a minute: updated_at stays
	head := w.MR(7, 1).Head
	same(t, "a project's list", heads("/projects/7/merge_requests"), first)
	same(t, "with details of labels", heads("/projects/7/merge_requests?with_labels_details=true"), head)
	same(t, "a group's list", heads("/groups/acme/merge_requests"), head)
	w.SetTitle(7, 1, "Another")
	same(t, "once updated_at has moved", heads("/projects/7/merge_requests"), head)
}

func TestProjectsOfAMember(t *testing.T) {
	w := ready(t)
	w.AddProject(gitlabsim.Project{ID: 8, Path: "acme/public", Visibility: "public"})
	w.AddProject(gitlabsim.Project{ID: 9, Path: "acme/secret"})
	w.AddUser(gitlabsim.User{Username: "dave"})
	w.AddProject(gitlabsim.Project{ID: 10, Path: "dave/own", BotAccess: gitlabsim.Developer})
	list := func(query string) string {
		var all []struct {
			ID        int
			Namespace struct{ Kind string }
		}
		if err := json.Unmarshal([]byte(w.want(200, "", "GET", "/projects?simple=true&order_by=id&sort=asc"+query, "").body), &all); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(all)
	}
	same(t, "all that are seen", list(""), "[{7 {group}} {8 {group}} {10 {user}}]")
	same(t, "the bot's own", list("&membership=true"), "[{7 {group}} {10 {user}}]")
	same(t, "the next page", list("&membership=true&id_after=7"), "[{10 {user}}]")
	w.want(404, "404 Group Not Found", "GET", "/groups/dave/merge_requests", "")
}

func TestFaults(t *testing.T) {
	const merge = one + "/merge"
	fresh := func(t *testing.T) *world {
		t.Helper()
		w := ready(t)
		w.Open(gitlabsim.MergeRequest{ProjectID: 7})
		w.client.Transport.(*http.Transport).DisableKeepAlives = true // nothing is sent again behind our back
		return w
	}
	state := func(w *world) string { return w.MR(7, 1).State }
	t.Run("429", func(t *testing.T) {
		w := fresh(t)
		w.Inject(gitlabsim.Fault{PathSuffix: "/merge", Times: 1, Status: 429, RetryAfter: 7 * time.Second})
		w.want(200, "", "GET", one, "")
		r := w.want(429, "Retry later", "PUT", merge, "")
		same(t, "Retry-After", r.header.Get("Retry-After"), 7)
		same(t, "state", state(w), "opened")
		same(t, "record", w.Calls()[1].Fault, "status 429")
		w.want(200, "", "PUT", merge, "")
	})
	t.Run("500 until removed", func(t *testing.T) {
		w := fresh(t)
		remove := w.Inject(gitlabsim.Fault{Method: "PUT", Status: 500})
		for range 3 {
			w.want(500, "500 Internal Server Error", "PUT", merge, "")
		}
		w.want(200, "", "GET", one, "")
		remove()
		w.want(200, "", "PUT", merge, "")
	})
	t.Run("drop", func(t *testing.T) {
		w := fresh(t)
		w.Inject(gitlabsim.Fault{Match: func(r *http.Request) bool { return r.Method == "PUT" }, Drop: true, Times: 1})
		if _, err := w.try("PUT", merge, ""); err == nil {
			t.Error("answered")
		}
		same(t, "state", state(w), "opened")
	})
	t.Run("answer lost", func(t *testing.T) {
		w := fresh(t)
		w.Inject(gitlabsim.Fault{LoseAnswer: true, Times: 1})
		if _, err := w.try("PUT", merge, ""); err == nil {
			t.Error("answered")
		}
		same(t, "state", state(w), "merged")
		same(t, "answer as made", w.Calls()[0].Status, 200)
		w.want(405, "", "PUT", merge, "")
	})
	t.Run("time-outs before and after the effect", func(t *testing.T) {
		for phase, want := range map[gitlabsim.Phase]string{gitlabsim.Arrived: "opened", gitlabsim.Done: "merged"} {
			w := fresh(t)
			w.Inject(gitlabsim.Fault{Delay: time.Hour * time.Duration(1-phase), AnswerDelay: time.Hour * time.Duration(phase)})
			ctx, leave := context.WithCancel(t.Context())
			w.ctx = ctx
			w.Hook(func(_ *http.Request, p gitlabsim.Phase) {
				if p == phase {
					leave()
				}
			})
			if _, err := w.try("PUT", merge, ""); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			same(t, "state", state(w), want)
		}
	})
	t.Run("token revoked", func(t *testing.T) {
		w := fresh(t)
		w.Inject(gitlabsim.Fault{PathSuffix: "/merge", RevokeToken: true, Times: 1})
		w.want(200, "", "GET", one, "")
		w.want(401, "Token was revoked", "PUT", merge, "")
		w.want(401, "invalid_token", "GET", one, "")
		w.SetToken("glpat-simulated")
		w.want(200, "", "PUT", merge, "")
	})
}

func TestTokens(t *testing.T) {
	w := ready(t)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	w.SetToken("glpat-simulated", "read_api")
	w.want(200, "", "GET", one, "")
	w.want(403, "insufficient_scope", "PUT", one+"/merge", "")
	w.SetToken("another")
	w.want(401, `{"message":"401 Unauthorized"}`, "GET", "/user", "")
	w.SetToken("glpat-simulated")
	w.ExpireToken()
	w.want(401, "Token is expired", "GET", "/user", "")

	resp, err := w.client.Get(w.url + "/api/v4/user")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	same(t, "without a token", resp.StatusCode, 401)
	w.ResetCalls()
}

func TestHookStopsTheWorldAroundTheEffect(t *testing.T) {
	w := ready(t)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	var seen []string
	w.Hook(func(r *http.Request, p gitlabsim.Phase) {
		seen = append(seen, fmt.Sprint(p, " ", w.MR(7, 1).State))
	})
	w.want(200, "", "PUT", one+"/merge", "")
	same(t, "seen", seen, "[0 opened 1 merged]")
}

// receiver takes webhooks.
func receiver(t *testing.T) (url string, got chan *http.Request) {
	t.Helper()
	got = make(chan *http.Request, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		got <- r
		w.WriteHeader(http.StatusTeapot) // no matter: it is not sent again
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

func TestWebhooksAreDelivered(t *testing.T) {
	w := ready(t)
	url, got := receiver(t)
	w.OnWebhook(url, "s3cret")
	w.SignWebhooks("whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	w.AddUser(gitlabsim.User{ID: 42, Username: "bob"})
	next := func(header string) map[string]any {
		t.Helper()
		w.Wait()
		r := <-got
		for name, want := range map[string]string{
			"X-Gitlab-Event": header, "X-Gitlab-Token": "s3cret", "Content-Type": "application/json",
			"User-Agent": "GitLab/19.5.0", "X-Gitlab-Instance": "https://gitlab.example.com",
		} {
			same(t, name, r.Header.Get(name), want)
		}
		for _, name := range []string{"Idempotency-Key", "X-Gitlab-Event-UUID", "X-Gitlab-Webhook-UUID", "Webhook-Signature"} {
			if r.Header.Get(name) == "" {
				t.Errorf("no %s", name)
			}
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		return body
	}
	action := func(want string) map[string]any {
		t.Helper()
		body := next("Merge Request Hook")
		attributes := body["object_attributes"].(map[string]any)
		same(t, "action", attributes["action"], want)
		return body
	}
	head := w.Open(gitlabsim.MergeRequest{ProjectID: 7, Author: "bob"}).Head
	body := action("open")
	same(t, "user", body["user"].(map[string]any)["email"], "[REDACTED]")
	w.Push(7, 1)
	attributes := action("update")["object_attributes"].(map[string]any)
	same(t, "oldrev", attributes["oldrev"], head)
	same(t, "last commit", attributes["last_commit"].(map[string]any)["id"], w.MR(7, 1).Head)
	w.SetDraft(7, 1, true)
	same(t, "changes", action("update")["changes"].(map[string]any)["draft"], "map[current:true previous:false]")
	w.SetDraft(7, 1, false)
	action("update")
	w.Close(7, 1, "bob")
	action("close")
	w.Reopen(7, 1, "bob")
	action("reopen")
	w.want(201, "", "POST", one+"/approve", "")
	same(t, "actor", action("approved")["user"].(map[string]any)["username"], "mrgate-bot")
	w.want(201, "", "POST", one+"/notes", `{"body": "hi"}`)
	same(t, "kind", next("Note Hook")["object_kind"], "note")
	w.want(201, "", "POST", one+"/notes", `{"body": "psst", "internal": true}`)
	same(t, "kind", next("Confidential Note Hook")["event_type"], "confidential_note")
	w.want(201, "", "POST", one+"/unapprove", "")
	action("unapproved")
	w.want(200, "", "PUT", one+"/merge", "")
	action("merge")
	for _, d := range w.Deliveries() {
		same(t, "answer", d.Status, http.StatusTeapot)
	}

	w.OnWebhook("", "")
	w.OnSystemHook(url, "s3cret")
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	if _, ok := next("System Hook")["object_attributes"].(map[string]any)["action"]; ok {
		t.Error("a system hook's body has an action")
	}
	var byHand map[string]any
	if err := json.Unmarshal(w.WebhookBody(7, 1, "merge"), &byHand); err != nil || byHand["object_kind"] != "merge_request" {
		t.Errorf("by hand: %v %v", byHand, err)
	}
	same(t, "deliveries left", len(got), 0)
}

// TestWebhookBodiesHaveTheShapeOfARealOne holds a made body against a recorded one.
func TestWebhookBodiesHaveTheShapeOfARealOne(t *testing.T) {
	w := ready(t)
	w.Open(gitlabsim.MergeRequest{ProjectID: 7})
	var real, made map[string]any
	for raw, into := range map[string]*map[string]any{
		readFile(t, "../../testdata/gitlab/merge_request_open.json"): &real, string(w.WebhookBody(7, 1, "open")): &made,
	} {
		if err := json.Unmarshal([]byte(raw), into); err != nil {
			t.Fatal(err)
		}
	}
	var missing []string
	var compare func(at string, real, made any)
	compare = func(at string, real, made any) {
		want, ok := real.(map[string]any)
		if !ok {
			return
		}
		have, _ := made.(map[string]any)
		for name, v := range want {
			if _, ok := have[name]; !ok {
				missing = append(missing, at+name)
			}
			compare(at+name+".", v, have[name])
		}
	}
	compare("", real, made)
	slices.Sort(missing)
	if missing != nil {
		t.Errorf("missing: %v", missing)
	}
}

func TestGraphQL(t *testing.T) {
	w := ready(t)
	w.AddUser(gitlabsim.User{ID: 42, Username: "bob", CommitEmail: "bob@example.com"})
	w.Open(gitlabsim.MergeRequest{
		ProjectID: 7, Author: "bob",
		Commits: []gitlabsim.Commit{{Title: "first"}, {Title: "second", AuthorName: "Eve", AuthorEmail: "eve@example.com"}},
		Files:   []gitlabsim.FileChange{{Path: "a", Additions: 3}, {Path: "b", Additions: 1, Deletions: 2}},
	})
	ask := func(query, variables string) reply {
		body, err := json.Marshal(map[string]any{"query": query, "variables": json.RawMessage(variables)})
		if err != nil {
			t.Fatal(err)
		}
		return w.want(200, "", "POST", "/api/graphql", string(body))
	}
	const query = `query size($path: ID!, $iid: String!) {
		project(fullPath: $path) {
			visibility
			mergeRequest(iid: $iid) {
				diffHeadSha commitCount
				diffStatsSummary { additions deletions fileCount }
				diffStats { path additions deletions }
				newest: commits(first: 1) { nodes { title authorEmail author { id username } } pageInfo { hasNextPage endCursor } }
				oldest: commits(last: 1) { nodes { title author { id username } } } # a comment
				headPipeline { status }
			}
		}
	}`
	r := ask(query, `{"path": "Acme/Tools/webhook", "iid": "1"}`)
	same(t, "visibility", r.at("data", "project", "visibility"), "private")
	mr := []string{"data", "project", "mergeRequest"}
	same(t, "size", r.at(append(mr, "diffStatsSummary")...), "map[additions:4 deletions:2 fileCount:2]")
	same(t, "newest", r.at(append(mr, "newest", "nodes")...), "[map[author:<nil> authorEmail:eve@example.com title:second]]")
	same(t, "oldest", r.at(append(mr, "oldest", "nodes")...), "[map[author:map[id:gid://gitlab/User/42 username:bob] title:first]]")
	same(t, "more", r.at(append(mr, "newest", "pageInfo", "hasNextPage")...), true)
	same(t, "pipeline", r.at(append(mr, "headPipeline")...), nil)
	end := r.at(append(mr, "newest", "pageInfo", "endCursor")...)
	r = ask(fmt.Sprintf(`{project(fullPath: "acme/tools/webhook") {mergeRequest(iid: "1") {commits(first: 5, after: %q) {nodes {title}}}}}`, end), `{}`)
	same(t, "next page", r.at(append(mr, "commits", "nodes")...), "[map[title:first]]")

	same(t, "unseen", ask(query, `{"path": "acme/none", "iid": "1"}`).at("data", "project"), nil)
	same(t, "no such", ask(query, `{"path": "acme/tools/webhook", "iid": "9"}`).at(mr...), nil)
	for bad, want := range map[string]string{
		`{project(fullPath: "x") {mergeRequest(iid: "1") {lines}}}`: "Field 'lines' doesn't exist on type 'MergeRequest'",
		`{project(fullPath: "x") {mergeRequest(iid: 1) {iid}}}`:     "invalid value",
		`{project(fullPath: "x")}`:                                  "must have selections",
		`{project {name}}`:                                          "missing required arguments",
		`{project(fullPath: "x") {name`:                             "Parse error",
	} {
		if r := ask(bad, `{}`); !strings.Contains(r.body, want) || r.at("data") != nil {
			t.Errorf("%s: %s", bad, r.body)
		}
	}
	w.SetToken("another")
	w.want(401, "Invalid token", "POST", "/api/graphql", `{"query": "{currentUser {id}}"}`)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestHookThatIsSwitchedOffGetsNothing(t *testing.T) {
	w := newWorld(t, gitlabsim.Options{MergeabilityDelay: gitlabsim.AtOnce}, gitlabsim.Project{})
	got := make(chan struct{}, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- struct{}{} }))
	defer hook.Close()
	w.OnWebhook(hook.URL, "s")
	open := func() int {
		w.Open(gitlabsim.MergeRequest{ProjectID: 7, Author: "bob"})
		w.Wait()
		return len(got)
	}
	for i, c := range []struct {
		status        string
		mergeRequests bool
		want          int
	}{{"executable", true, 1}, {"disabled", true, 1}, {"temporarily_disabled", true, 1}, {"executable", false, 1}, {"executable", true, 2}} {
		w.SetHook(hook.URL, c.status, c.mergeRequests)
		same(t, fmt.Sprintf("what was sent after step %d", i), open(), c.want)
		w.want(200, `"alert_status":"`+c.status+`"`, "GET", "/projects/7/hooks", "")
	}
}
