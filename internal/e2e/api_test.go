package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"mrgate/internal/gitlabsim"
)

const (
	apiToken      = "api-e2e-Kd83hsLq"
	operatorToken = "opr-e2e-Zm20fjWx"
	publicURL     = "https://mrgate.example.com"
)

// withAPI is a listener's environment with an API.
func (w *world) withAPI() []string {
	return append(w.environ(), "MRGATE_API_TOKEN=ci:"+apiToken, "MRGATE_OPERATOR_TOKEN=dana:"+operatorToken, "MRGATE_PUBLIC_URL="+publicURL)
}

// spec is the description that the API's answers are held against.
func spec(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// apiAnswer is an answer that fits the description.
type apiAnswer struct {
	Status int
	Body   []byte

	MergeRequest struct {
		IID       int    `json:"iid"`
		ProjectID int64  `json:"project_id"`
		State     string `json:"state"`
	} `json:"merge_request"`
	Request *struct {
		ID        int64  `json:"id"`
		State     string `json:"state"`
		Head      string `json:"head"`
		Decisions []struct{ Name, Verdict, Via, Reason string }
	} `json:"request"`
	Outcome string
	Why     string
	Result  string // of a decision
	Detail  string // of a problem
	Type    string
}

// api calls the API and holds its answer against the description.
func (w *world) api(method, base, path, token, body string) apiAnswer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := apiAnswer{Status: resp.StatusCode, Body: data}
	kind := resp.Header.Get("Content-Type")
	if resp.StatusCode == http.StatusNotFound && strings.HasPrefix(kind, "text/plain") {
		return a // no such route
	}
	w.fits(req, resp, data)
	a = decode[apiAnswer](w.t, data)
	if a.Result != "" {
		inner := decode[struct{ Status apiAnswer }](w.t, data).Status
		a.Request, a.MergeRequest, a.Outcome = inner.Request, inner.MergeRequest, inner.Outcome
	}
	a.Status, a.Body = resp.StatusCode, data
	return a
}

// UnmarshalJSON reads what is there, whatever kind of answer it is.
func (a *apiAnswer) UnmarshalJSON(data []byte) error {
	type plain apiAnswer
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	delete(fields, "status") // of a problem a number, of a decision an object
	rest, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return json.Unmarshal(rest, (*plain)(a))
}

// fits holds an answer against docs/openapi.yaml.
func (w *world) fits(req *http.Request, resp *http.Response, data []byte) {
	w.t.Helper()
	route := "/api/v1/requests"
	switch rest := strings.TrimPrefix(req.URL.Path, route); {
	case strings.HasSuffix(rest, "/decisions"):
		route += "/{id}/decisions"
	case rest != "":
		route += "/{id}"
	}
	item := spec(w.t).Paths.Find(route)
	if item == nil || item.GetOperation(req.Method) == nil {
		w.t.Fatalf("docs/openapi.yaml has no %s %s", req.Method, route)
	}
	responses := item.GetOperation(req.Method).Responses
	want := responses.Status(resp.StatusCode)
	if want == nil {
		want = responses.Default()
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	media := want.Value.Content[kind]
	if media == nil {
		w.t.Fatalf("%s %s: %d has no %q in docs/openapi.yaml: %s", req.Method, req.URL, resp.StatusCode, kind, data)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		w.t.Fatal(err)
	}
	if err := media.Schema.Value.VisitJSON(v); err != nil {
		w.t.Errorf("%s %s: %v\n%s", req.Method, req.URL, err, data)
	}
}

func askFor(iid int) string { return fmt.Sprintf(`{"project": %q, "mr": %d}`, projectPath, iid) }

func TestAPIOpensWaitsAndTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	mr := w.open()

	opened := w.api(http.MethodPost, l.url, "/api/v1/requests", apiToken, askFor(mr.IID))
	if opened.Status != http.StatusOK || opened.Outcome != "pending" || opened.Request == nil || opened.Request.Head != mr.Head {
		t.Fatalf("opening: %d %s", opened.Status, opened.Body)
	}
	w.eventually("Alice has a card", func() bool { return len(w.cards(w.alice)) == 1 })
	again := w.api(http.MethodPost, l.url, "/api/v1/requests", apiToken, askFor(mr.IID))
	if again.Request.ID != opened.Request.ID || len(w.cards(w.alice)) != 1 {
		t.Errorf("asking twice made another request: %s", again.Body)
	}

	// All names of it are good ones.
	byNumber := fmt.Sprintf("/api/v1/requests/%d", opened.Request.ID)
	for _, path := range []string{
		byNumber, fmt.Sprintf("/api/v1/requests/%d!%d", project, mr.IID),
		"/api/v1/requests/" + url.PathEscape(fmt.Sprintf("%s!%d", projectPath, mr.IID)),
		"/api/v1/requests/" + url.PathEscape(fmt.Sprintf("%s/%s/-/merge_requests/%d", w.gitlabURL, projectPath, mr.IID)),
	} {
		if a := w.api(http.MethodGet, l.url, path, apiToken, ""); a.Status != http.StatusOK || a.Request == nil || a.Request.ID != opened.Request.ID {
			t.Errorf("GET %s: %d %s", path, a.Status, a.Body)
		}
	}

	// Whoever waits is told as soon as somebody decides.
	done := make(chan apiAnswer, 1)
	go func() { done <- w.api(http.MethodGet, l.url, byNumber+"?wait=60s", apiToken, "") }()
	w.click(l, w.alice, "approve", "")
	select {
	case a := <-done:
		if a.Outcome != "approved" || len(a.Request.Decisions) != 1 || a.Request.Decisions[0].Name != "Alice" {
			t.Errorf("the wait ended with %s", a.Body)
		}
	case <-time.After(patience):
		t.Fatal("the wait did not end")
	}
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
}

func TestAPITellsWhyThereIsNothingToWaitFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	draft := w.open(func(mr *gitlabsim.MergeRequest) { mr.Draft = true })
	other := w.open(func(mr *gitlabsim.MergeRequest) { mr.Target = "sandbox" })
	for iid, want := range map[int]string{draft.IID: "draft", other.IID: "no_rule"} {
		if a := w.api(http.MethodPost, l.url, "/api/v1/requests", apiToken, askFor(iid)); a.Status != http.StatusOK || a.Outcome != want {
			t.Errorf("!%d: %d %s, want %s", iid, a.Status, a.Body, want)
		}
	}
	if a := w.api(http.MethodPost, l.url, "/api/v1/requests", apiToken, `{"project": 12345, "path": "other/project", "mr": 1}`); a.Outcome != "no_rule" {
		t.Errorf("a project that no rule covers: %d %s", a.Status, a.Body)
	}
	// Who says another path than it has is told no more of it.
	w.gitlab.AddProject(gitlabsim.Project{ID: 98, Path: "secret/plans", BotAccess: gitlabsim.Maintainer})
	hidden := w.gitlab.Open(gitlabsim.MergeRequest{ProjectID: 98, Title: "Buy the competitor"})
	for path, call := range map[string][2]string{
		"/api/v1/requests":      {http.MethodPost, fmt.Sprintf(`{"project": 98, "path": %q, "mr": %d}`, projectPath, hidden.IID)},
		"/api/v1/requests/98!1": {http.MethodGet, ""},
	} {
		a := w.api(call[0], l.url, path, apiToken, call[1])
		if a.Status != http.StatusNotFound && a.Outcome != "no_rule" || strings.Contains(string(a.Body), "secret") || strings.Contains(string(a.Body), "Buy") {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	for _, name := range []string{`{"project": "webhook", "mr": 1}`, `{"project": "..", "mr": 1}`} {
		if a := w.api(http.MethodPost, l.url, "/api/v1/requests", apiToken, name); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := w.api(http.MethodPost, l.url, "/api/v1/requests", apiToken, askFor(99)); a.Status != http.StatusNotFound {
		t.Errorf("a merge request that is not there: %d %s", a.Status, a.Body)
	}
}

func TestOperatorDecidesThroughTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	approved, rejected := w.open(), w.open()

	path := func(iid int) string { return fmt.Sprintf("/api/v1/requests/%d!%d/decisions?wait=45s", project, iid) }
	a := w.api(http.MethodPost, l.admin(), path(approved.IID), operatorToken, `{"verdict": "approve", "reason": "hotfix", "by": "Dana"}`)
	if a.Status != http.StatusOK || a.Result != "done" || w.mr(approved.IID).State != "merged" {
		t.Errorf("approving: %d %s", a.Status, a.Body)
	}
	a = w.api(http.MethodPost, l.admin(), path(rejected.IID), operatorToken, `{"verdict": "reject", "reason": "no"}`)
	if a.Status != http.StatusOK || a.Result != "done" || w.mr(rejected.IID).State != "closed" {
		t.Errorf("rejecting: %d %s", a.Status, a.Body)
	}
	if a.Request == nil || len(a.Request.Decisions) != 1 || a.Request.Decisions[0].Via != "operator" || !strings.Contains(a.Request.Decisions[0].Name, "token dana") {
		t.Errorf("who decided: %s", a.Body)
	}
	a = w.api(http.MethodPost, l.admin(), path(rejected.IID), operatorToken, `{"verdict": "approve"}`)
	if a.Result != "rejected" && a.Result != "overtaken" && a.Status != http.StatusConflict {
		t.Errorf("approving what was rejected: %d %s", a.Status, a.Body)
	}
	none := w.open(func(mr *gitlabsim.MergeRequest) { mr.Target = "sandbox" })
	if a := w.api(http.MethodPost, l.admin(), path(none.IID), operatorToken, `{"verdict": "approve"}`); a.Status != http.StatusUnprocessableEntity || a.Type != "urn:mrgate:no-rule" {
		t.Errorf("without a rule: %d %s", a.Status, a.Body)
	}
}

func TestAPILetsNobodyElseIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	mr := w.open()
	id := fmt.Sprintf("/api/v1/requests/%d!%d", project, mr.IID)

	var bodies []string
	for _, token := range []string{"", "x", apiToken + "x", "ci:" + apiToken, operatorToken, "a.b.c"} {
		for method, path := range map[string]string{http.MethodPost: "/api/v1/requests", http.MethodGet: id} {
			body := ""
			if method == http.MethodPost {
				body = askFor(mr.IID)
			}
			a := w.api(method, l.url, path, token, body)
			if a.Status != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d", method, token, a.Status)
			}
			bodies = append(bodies, string(a.Body))
		}
	}
	alike(t, bodies)
	for _, token := range []string{"", apiToken, "dana:" + operatorToken} {
		if a := w.api(http.MethodPost, l.admin(), id+"/decisions", token, `{"verdict":"approve"}`); a.Status != http.StatusUnauthorized {
			t.Errorf("deciding with %q: %d", token, a.Status)
		}
		if a := w.api(http.MethodGet, l.admin(), id, token, ""); a.Status != http.StatusUnauthorized {
			t.Errorf("reading on the admin address with %q: %d", token, a.Status)
		}
	}
	// Where no decision is taken, there is no such address.
	for _, token := range []string{apiToken, operatorToken} {
		if a := w.api(http.MethodPost, l.url, id+"/decisions", token, `{"verdict":"approve"}`); a.Status != http.StatusNotFound {
			t.Errorf("deciding on the public address: %d", a.Status)
		}
		if a := w.api(http.MethodPost, l.admin(), "/api/v1/requests", token, askFor(mr.IID)); a.Status != http.StatusNotFound {
			t.Errorf("opening on the admin address: %d", a.Status)
		}
	}
	if w.mr(mr.IID).State != "opened" || len(w.forgeCalls()) != 0 || len(w.feishu.Messages()) != 0 {
		t.Errorf("something came of it: %v", w.forgeCalls())
	}
}

func TestAPIRefusesWhatIsNoGoodBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	for body, want := range map[string]int{
		``: http.StatusUnsupportedMediaType, `{`: http.StatusBadRequest, `[]`: http.StatusBadRequest, `{}`: http.StatusBadRequest,
		`{"project":"a/b","mr":0}`: http.StatusBadRequest, `{"project":"a/b","mr":1,"mr":2}`: http.StatusBadRequest,
		`{"project":"a/b","mr":1,"x":2}`: http.StatusBadRequest, `{"project":{},"mr":1}`: http.StatusBadRequest,
		`{"project":"a/b","mr":1}{}`: http.StatusBadRequest, `{"project":"a/b","mr":1e400}`: http.StatusBadRequest,
		`{"project":"` + strings.Repeat("a", 20<<10) + `","mr":1}`: http.StatusRequestEntityTooLarge,
	} {
		if a := w.api(http.MethodPost, l.url, "/api/v1/requests", apiToken, body); a.Status != want {
			t.Errorf("%.60s: %d, want %d: %s", body, a.Status, want, a.Body)
		}
	}
	for _, path := range []string{"/api/v1/requests/x", "/api/v1/requests/0", "/api/v1/requests/a!b", "/api/v1/requests/1?wait=x", "/api/v1/requests/1?wait=-1s"} {
		if a := w.api(http.MethodGet, l.url, path, apiToken, ""); a.Status != http.StatusBadRequest {
			t.Errorf("GET %s: %d", path, a.Status)
		}
	}
	if a := w.api(http.MethodGet, l.url, "/api/v1/requests/4711", apiToken, ""); a.Status != http.StatusNotFound {
		t.Errorf("a request that is not there: %d", a.Status)
	}
}

// TestDescribedIsWhatThereIs: every path and method of docs/openapi.yaml exists
// on one of the two addresses.
func TestDescribedIsWhatThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	for path, item := range spec(t).Paths.Map() {
		for _, method := range slices.Sorted(maps.Keys(item.Operations())) {
			there := 0
			for _, base := range []string{l.url, l.admin()} {
				if a := w.api(method, base, strings.Replace(path, "{id}", "1", 1), "", ""); a.Status == http.StatusUnauthorized {
					there++
				}
			}
			if there == 0 {
				t.Errorf("%s %s is described, and nowhere to be found", method, path)
			}
		}
	}
}

func TestIDTokenOpensItsOwnProjectAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const other = int64(99)
	w.gitlab.AddProject(gitlabsim.Project{ID: other, Path: "acme/other", BotAccess: gitlabsim.Maintainer})
	l := w.startIn(w.withAPI())
	mr := w.open()
	ask := fmt.Sprintf(`{"project": %d, "path": %q, "mr": %d}`, project, projectPath, mr.IID)
	id := fmt.Sprintf("/api/v1/requests/%d!%d", project, mr.IID)
	now := time.Now()
	claims := map[string]any{"iss": w.gitlabURL, "aud": publicURL, "project_id": fmt.Sprint(project), "project_path": projectPath, "exp": now.Add(time.Hour).Unix()}

	refused := map[string]string{
		"another audience": w.gitlab.IDToken(w.gitlabURL, "https://elsewhere.example.com", project, nil),
		"a longer one":     w.gitlab.IDToken(w.gitlabURL, publicURL+"/api", project, nil),
		"another issuer":   w.gitlab.IDToken("https://gitlab.example.net", publicURL, project, nil),
		"expired":          w.gitlab.IDToken(w.gitlabURL, publicURL, project, map[string]any{"exp": now.Add(-time.Minute).Unix()}),
		"not yet valid":    w.gitlab.IDToken(w.gitlabURL, publicURL, project, map[string]any{"nbf": now.Add(time.Hour).Unix()}),
		"without expiry":   w.gitlab.IDToken(w.gitlabURL, publicURL, project, map[string]any{"exp": nil}),
		"without project":  w.gitlab.IDToken(w.gitlabURL, publicURL, project, map[string]any{"project_id": nil}),
		"alg none":         w.gitlab.SignIDToken("none", "simulated-1", claims),
		"HS256":            w.gitlab.SignIDToken("HS256", "simulated-1", claims),
		"an unknown key":   w.gitlab.SignIDToken("RS256-other", "made-up", claims),
		"a forged key":     w.gitlab.SignIDToken("RS256-other", "simulated-1", claims),
	}
	for what, token := range refused {
		for _, call := range [][2]string{{http.MethodPost, "/api/v1/requests"}, {http.MethodGet, id}} {
			body := ""
			if call[0] == http.MethodPost {
				body = ask
			}
			if a := w.api(call[0], l.url, call[1], token, body); a.Status != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d %s", what, call[0], a.Status, a.Body)
			}
		}
	}
	if n := strings.Count(l.log.String(), "an ID token was refused"); n != 1 {
		t.Errorf("the log tells %d times of refused tokens, which anybody can make up", n)
	}
	keys := 0
	for _, c := range w.gitlab.Calls() {
		switch {
		case strings.HasPrefix(c.Path, "/oauth/"):
			keys++
		case strings.HasPrefix(c.Path, "/api/"):
			t.Errorf("GitLab was asked %s %s for somebody who is not let in", c.Method, c.Path)
		}
	}
	if keys != 1 {
		t.Errorf("GitLab's keys were fetched %d times within a minute, want once", keys)
	}

	foreign := w.gitlab.IDToken(w.gitlabURL, publicURL, other, nil)
	if a := w.api(http.MethodPost, l.url, "/api/v1/requests", foreign, ask); a.Status != http.StatusForbidden {
		t.Errorf("another project's job: %d %s", a.Status, a.Body)
	}
	good := w.gitlab.IDToken(w.gitlabURL, publicURL, project, nil)
	if a := w.api(http.MethodPost, l.url, "/api/v1/requests", good, ask); a.Status != http.StatusOK || a.Outcome != "pending" {
		t.Fatalf("the project's own job: %d %s", a.Status, a.Body)
	}
	for _, slashes := range []string{"", "/"} {
		good := w.gitlab.IDToken(w.gitlabURL, publicURL+slashes, project, nil)
		if a := w.api(http.MethodGet, l.url, id, good, ""); a.Status != http.StatusOK {
			t.Errorf("waiting, the audience ending with %q: %d %s", slashes, a.Status, a.Body)
		}
	}
	// What is not theirs looks like what is not there.
	var bodies []string
	for _, path := range []string{id, "/api/v1/requests/1", "/api/v1/requests/4711", "/api/v1/requests/99!1"} {
		token := foreign
		if path == "/api/v1/requests/99!1" {
			token = good
		}
		a := w.api(http.MethodGet, l.url, path, token, "")
		if a.Status != http.StatusForbidden {
			t.Errorf("GET %s: %d %s", path, a.Status, a.Body)
		}
		bodies = append(bodies, string(a.Body))
	}
	alike(t, bodies)
	if a := w.api(http.MethodPost, l.admin(), id+"/decisions", good, `{"verdict":"approve"}`); a.Status != http.StatusUnauthorized {
		t.Errorf("a job's token decides: %d", a.Status)
	}
}

func TestForksJobNeedsTheRulesLeave(t *testing.T) {
	t.Parallel()
	const fork = int64(99)
	for _, leave := range []bool{false, true} {
		settings := []setting{}
		if leave {
			settings = append(settings, policyWith(`target_branches: ["main", "release/*"]`, "target_branches: [\"main\", \"release/*\"]\n    forks: true"))
		}
		w := newWorld(t, settings...)
		w.gitlab.AddProject(gitlabsim.Project{ID: fork, Path: "bob/webhook", BotAccess: gitlabsim.NoAccess, Visibility: "public"})
		l := w.startIn(w.withAPI())
		theirs := w.open(func(mr *gitlabsim.MergeRequest) { mr.SourceProjectID = fork })
		own := w.open()
		token := w.gitlab.IDToken(w.gitlabURL, publicURL, fork, nil)
		ask := func(iid int) apiAnswer {
			return w.api(http.MethodPost, l.url, "/api/v1/requests", token, fmt.Sprintf(`{"project": %d, "path": %q, "mr": %d}`, project, projectPath, iid))
		}
		want := http.StatusForbidden
		if leave {
			want = http.StatusOK
		}
		if a := ask(theirs.IID); a.Status != want {
			t.Errorf("forks: %v: its own merge request: %d %s", leave, a.Status, a.Body)
		}
		if a := ask(own.IID); a.Status != http.StatusForbidden {
			t.Errorf("forks: %v: somebody else's merge request: %d %s", leave, a.Status, a.Body)
		}
		for _, c := range w.gitlab.Calls() {
			if !leave && strings.HasPrefix(c.Path, "/api/") {
				t.Errorf("GitLab was asked %s %s", c.Method, c.Path)
			}
		}
		if leave {
			a := w.api(http.MethodGet, l.url, fmt.Sprintf("/api/v1/requests/%d!%d", project, theirs.IID), token, "")
			if a.Status != http.StatusOK || a.Outcome != "pending" {
				t.Errorf("waiting: %d %s", a.Status, a.Body)
			}
			// Of a project on the same GitLab anybody may have a job.
			w.eventually("such a job cannot have GitLab asked for ever", func() bool { return ask(own.IID).Status == http.StatusServiceUnavailable })
			if n := len(w.gitlab.Calls()); n > 100 {
				t.Errorf("GitLab was called %d times", n)
			}
		}
	}
}

// Jobs that wait leave room for those who do not.
func TestWaitingJobsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	mr := w.begin(l, w.alice, w.carol)
	token := w.gitlab.IDToken(w.gitlabURL, publicURL, project, nil)
	path := fmt.Sprintf("/api/v1/requests/%d!%d", project, mr.IID)
	answers := make(chan int, 150)
	for range cap(answers) {
		go func() {
			resp, err := http.DefaultClient.Do(bearer(t, l.url+path+"?wait=60s", token))
			if err != nil {
				answers <- 0
				return
			}
			_ = resp.Body.Close()
			answers <- resp.StatusCode
		}()
	}
	for range cap(answers) - 100 {
		if status := <-answers; status != http.StatusServiceUnavailable {
			t.Errorf("one more that waits: %d", status)
		}
	}
	for _, as := range []string{token, apiToken} {
		if a := w.api(http.MethodGet, l.url, path, as, ""); a.Status != http.StatusOK {
			t.Errorf("without waiting: %d %s", a.Status, a.Body)
		}
	}
	w.click(l, w.alice, "approve", "")
	for range 100 {
		if status := <-answers; status != http.StatusOK {
			t.Errorf("who waited: %d", status)
		}
	}
}

func TestAdminAddressBeyondThisMachineNeedsAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ran := w.run([]string{"MRGATE_ADMIN_LISTEN=0.0.0.0:0"}, "serve-callback", "--config", w.config, "--db", w.db, "--listen", "127.0.0.1:0")
	if ran.code != 2 || !strings.Contains(ran.stderr, "MRGATE_OPERATOR_TOKEN") {
		t.Errorf("exit %d: %s", ran.code, ran.stderr)
	}
}
