package gitlab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
)

const hookSecret = "hook-secret-1"

// hook is a webhook handler that notes what it passes on.
type hook struct {
	http.Handler
	mu    sync.Mutex
	hints []gate.Hint
	err   error
	says  string
	log   bytes.Buffer
}

func newHook(change ...func(*gitlab.WebhookConfig)) *hook {
	h := &hook{says: "it is due"}
	cfg := gitlab.WebhookConfig{
		Secrets: []string{"hook-secret-0", hookSecret},
		Look: func(_ context.Context, hint gate.Hint) (string, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.hints = append(h.hints, hint)
			return h.says, h.err
		},
		Log: slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if h.Handler, err = gitlab.Webhook(cfg); err != nil {
		panic(err)
	}
	return h
}

// post sends a body as GitLab does, and gives the status and the answer.
func (h *hook) post(body []byte, change ...func(*http.Request)) (int, map[string]string) {
	r := httptest.NewRequest(http.MethodPost, "/gitlab/webhook", bytes.NewReader(body))
	r.Header.Set("X-Gitlab-Token", hookSecret)
	r.Header.Set("X-Gitlab-Event", "Merge Request Hook")
	r.Header.Set("Content-Type", "application/json")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Body.Len() > 8<<10 {
		panic("the answer is too long")
	}
	var answer map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer) != 1 {
		panic(fmt.Sprintf("answer %q", w.Body))
	}
	return w.Code, answer
}

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "gitlab", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func fixtures(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "gitlab", "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no fixtures: %v", err)
	}
	all := map[string][]byte{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		all[name] = fixture(tb, name)
	}
	return all
}

// Every real body that was found: where it says to look, or why nowhere.
func TestRealBodies(t *testing.T) {
	ref := func(project, number int64, path string) string { return fmt.Sprintf("%d!%d %s", project, number, path) }
	want := map[string]string{
		"atlantis-gitlab-merge-request-event-mark-as-ready":        ref(2, 3, "finn/test"),
		"atlantis-gitlab-merge-request-event-subgroup":             ref(7804027, 2, "erin-test/subgroup/sub-subgroup/atlantis-example"),
		"atlantis-gitlab-merge-request-event-update-labels":        ref(910, 3, "bob/atlantis-example"),
		"atlantis-gitlab-merge-request-event-update-mixed":         ref(910, 3, "bob/atlantis-example"),
		"atlantis-gitlab-merge-request-event-update-new-commit":    ref(910, 3, "bob/atlantis-example"),
		"atlantis-gitlab-merge-request-event-update-reviewer":      ref(2, 3, "finn/test"),
		"atlantis-gitlab-merge-request-event-update-target-branch": ref(910, 3, "bob/atlantis-example"),
		"atlantis-gitlab-merge-request-event-update-title":         ref(910, 3, "bob/atlantis-example"),
		"atlantis-gitlab-merge-request-event":                      ref(4580910, 12, "erin/atlantis-example"),
		"gogitlab-group_merge_request":                             "ignored: the body names no project: neither project.id nor object_attributes.target_project_id",
		"gogitlab-merge_request":                                   ref(1, 1, "gitlabhq/gitlab-test"),
		"gogitlab-service_merge_request":                           ref(2, 2, "test/woodpecker"),
		"goscm-branch_create":                                      `ignored: an event of kind "push": only merge requests are looked at`,
		"goscm-merge_request_comment_subgroup":                     `ignored: an event of kind "note": only merge requests are looked at`,
		"goscm-merge_request_subgroup":                             ref(4861503, 1, "group1/group2/group3/grp2repo"),
		"goscm-pull_request_close":                                 ref(4861503, 1, "gitlab-org/hello-world"),
		"goscm-pull_request_create":                                ref(4861503, 1, "gitlab-org/hello-world"),
		"goscm-pull_request_merge":                                 ref(4861503, 1, "gitlab-org/hello-world"),
		"goscm-pull_request_reopen":                                ref(4861503, 1, "gitlab-org/hello-world"),
		"goscm-pull_request_review_ready":                          ref(44067058, 3, "dan/meet"),
		"goscm-push":                                               `ignored: an event of kind "push": only merge requests are looked at`,
		"goscm-push_subgroup":                                      `ignored: an event of kind "push": only merge requests are looked at`,
		"merge_request_open":                                       ref(47778247, 7, "acme/webhook"),
		"playground-comment-merge-request-event":                   `ignored: an event of kind "note": only merge requests are looked at`,
		"playground-merge-request-event":                           ref(1, 1, "gitlabhq/gitlab-test"),
		"playground-system-merge-request-event":                    ref(14, 1, "jsmith/example"),
	}
	for name, body := range fixtures(t) {
		h := newHook()
		code, answer := h.post(body)
		got := "ignored: " + answer["ignored"]
		if len(h.hints) == 1 {
			hint := h.hints[0]
			got = ref(hint.Ref.Project, hint.Ref.Number, hint.Path)
			if hint.Ref.Forge != "gitlab" || hint.Snapshot == nil || hint.Snapshot.Path != hint.Path || hint.Snapshot.Head == "" ||
				hint.Snapshot.URL == "" || hint.Snapshot.State == "" || hint.Snapshot.Author.ID == 0 || answer["looking"] != h.says {
				t.Errorf("%s: %+v, %+v, answered %v", name, hint, hint.Snapshot, answer)
			}
		}
		if code != http.StatusOK || got != want[name] {
			t.Errorf("%s: %d, %s; want %s", name, code, got, want[name])
		}
	}
}

func TestParseEvent(t *testing.T) {
	got, err := gitlab.ParseEvent(fixture(t, "merge_request_open"))
	if err != nil {
		t.Fatal(err)
	}
	bob := gate.User{ID: 1091276, Username: "bob", Name: "Bob Chen"}
	want := gitlab.Event{
		Ref: gate.Ref{Forge: "gitlab", Project: 47778247, Number: 7}, Action: "open", Actor: bob,
		Snapshot: gate.Snapshot{
			Path: "acme/webhook", URL: "https://gitlab.com/acme/webhook/-/merge_requests/7", Title: "add some random text",
			Description: "goal", State: gate.ForgeOpen, Head: "856c10e99992733286ea5d2cb053ccb0a5eb789b",
			Source: "new", Target: "main", Author: bob, Merging: gate.Mergeability{Class: gate.MergeGo, Reason: "mergeable"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, check := range map[string]func(e gitlab.Event) bool{
		"goscm-pull_request_review_ready":                   func(e gitlab.Event) bool { return e.Snapshot.Draft },
		"atlantis-gitlab-merge-request-event-mark-as-ready": func(e gitlab.Event) bool { return !e.Snapshot.Draft },
		"goscm-pull_request_merge":                          func(e gitlab.Event) bool { return e.Snapshot.State == gate.ForgeMerged && e.Action == "merge" },
		"goscm-pull_request_close":                          func(e gitlab.Event) bool { return e.Snapshot.State == gate.ForgeClosed },
		"gogitlab-service_merge_request":                    func(e gitlab.Event) bool { return strings.HasSuffix(e.Snapshot.Title, "🎉") },
		// user is who did it, and not the author:
		"gogitlab-merge_request": func(e gitlab.Event) bool {
			return e.Snapshot.Author == gate.User{ID: 51} && e.Actor.Username == "user1"
		},
		"playground-system-merge-request-event": func(e gitlab.Event) bool {
			return e.Action == "" && e.Snapshot.URL == "http://example.com/jsmith/example/-/merge_requests/1" && e.Snapshot.Fork == false
		},
		"goscm-pull_request_create": func(e gitlab.Event) bool { return e.Actor.ID == 0 && e.Snapshot.Author.Name == "" },
	} {
		if e, err := gitlab.ParseEvent(fixture(t, name)); err != nil || !check(e) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

// What the simulated GitLab sends, of every kind of hook, signed and not.
func TestBodiesOfTheSimulator(t *testing.T) {
	for name, use := range map[string]func(*gitlab.WebhookConfig){
		"secret": func(*gitlab.WebhookConfig) {},
		"signed": func(c *gitlab.WebhookConfig) { c.Secrets, c.SigningTokens = nil, []string{signingToken} },
		"both":   func(c *gitlab.WebhookConfig) { c.SigningTokens = []string{otherToken, signingToken} },
	} {
		h := newHook(use)
		web := httptest.NewServer(h)
		t.Cleanup(web.Close)
		s := newSim(t)
		s.project()
		s.SignWebhooks(signingToken)
		s.OnWebhook(web.URL, hookSecret)
		s.Open(gitlabsim.MergeRequest{ProjectID: 7, Title: "Draft: x"})
		s.Wait()
		s.OnWebhook("", "")
		s.OnSystemHook(web.URL, hookSecret)
		s.SetTitle(7, 1, "x")
		s.Wait()
		s.OnWebhook(web.URL, hookSecret) // beside it: each event comes twice
		s.Push(7, 1)
		s.Wait()
		for _, d := range s.Deliveries() {
			if d.Status != http.StatusOK {
				t.Errorf("%s: %s answered %d", name, d.Header.Get("X-Gitlab-Event"), d.Status)
			}
		}
		if len(h.hints) != 4 {
			t.Fatalf("%s: %d hints", name, len(h.hints))
		}
		heads := map[gate.CommitID]int{}
		for i, hint := range h.hints {
			heads[hint.Snapshot.Head]++
			if hint.Ref != (gate.Ref{Forge: "gitlab", Project: 7, Number: 1}) || hint.Path != "acme/webhook" || hint.Snapshot.Draft != (i == 0) ||
				hint.Snapshot.Target != "main" || hint.Snapshot.State != gate.ForgeOpen {
				t.Errorf("%s: hint %d: %+v %+v", name, i, hint, hint.Snapshot)
			}
		}
		if len(heads) != 2 || heads[gate.CommitID(s.MR(7, 1).Head)] != 2 {
			t.Errorf("%s: heads %v", name, heads)
		}
		if strings.Contains(h.log.String(), "refused") {
			t.Errorf("%s: %s", name, &h.log)
		}
	}
}

// Which of the real bodies are enough to ask for approval right away.
func TestEventIsEnough(t *testing.T) {
	bodies := fixtures(t)
	for name, body := range bodies {
		e, err := gitlab.ParseEvent(body)
		if err != nil {
			continue
		}
		if err := e.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, err := gitlab.ParseEvent(bodies["merge_request_open"])
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*gitlab.Event){
		"the project's ID":            func(e *gitlab.Event) { e.Ref.Project = 0 },
		"the merge request's number":  func(e *gitlab.Event) { e.Ref.Number = -1 },
		"the project's path":          func(e *gitlab.Event) { e.Snapshot.Path = "webhook" },
		"the merge request's address": func(e *gitlab.Event) { e.Snapshot.URL = "javascript:alert(1)" },
		"the title":                   func(e *gitlab.Event) { e.Snapshot.Title = "" },
		"the state":                   func(e *gitlab.Event) { e.Snapshot.State = "" },
		"the head commit in full":     func(e *gitlab.Event) { e.Snapshot.Head = e.Snapshot.Head[:12] },
		"the head commit in full, the target branch": func(e *gitlab.Event) {
			e.Snapshot.Head, e.Snapshot.Target = gate.CommitID(strings.Repeat("G", 40)), ""
		},
	} {
		e := good
		change(&e)
		if err := e.Check(); err == nil || !strings.HasSuffix(err.Error(), "does not tell "+want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	long := good
	long.Snapshot.Head = gate.CommitID(strings.Repeat("0a", 32))
	if err := long.Check(); err != nil {
		t.Errorf("a SHA-256 head: %v", err)
	}
}

// change makes another body of the mission's own.
func change(t *testing.T, f func(top, attributes map[string]any)) []byte {
	t.Helper()
	var top map[string]any
	if err := json.Unmarshal(fixture(t, "merge_request_open"), &top); err != nil {
		t.Fatal(err)
	}
	f(top, top["object_attributes"].(map[string]any))
	b, err := json.Marshal(top)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Bodies that no GitLab sends, from a sender that knows the secret: always a 2xx
// that says why, never a look, and never a panic.
func TestHostileBodies(t *testing.T) {
	good := string(fixture(t, "merge_request_open"))
	replace := func(old, new string) []byte {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the body", old)
		}
		return []byte(strings.Replace(good, old, new, 1))
	}
	set := func(name string, value any) []byte {
		return change(t, func(_, at map[string]any) { at[name] = value })
	}
	for name, body := range map[string][]byte{
		"empty":                      {},
		"blank":                      []byte("  \n"),
		"no JSON":                    []byte("object_kind=merge_request"),
		"cut off":                    []byte(good[:len(good)/2]),
		"two values":                 []byte(good + good),
		"something after it":         []byte(good + "x"),
		"a list":                     []byte("[" + good + "]"),
		"null":                       []byte("null"),
		"a string":                   []byte(`"merge_request"`),
		"a byte order mark":          []byte("\ufeff" + good),
		"UTF-16":                     {0xff, 0xfe, '{', 0, '}', 0},
		"invalid UTF-8":              replace("add some random text", "add \xff text"),
		"object_kind twice":          replace(`"object_kind": "merge_request",`, `"object_kind": "merge_request", "object_kind": "merge_request",`),
		"object_kind twice, escaped": replace(`"object_kind": "merge_request",`, `"object_kind": "merge_request", "object\u005fkind": "push",`),
		"iid twice":                  replace(`"iid": 7,`, `"iid": 7, "iid": 8,`),
		"object_attributes twice":    replace(`"object_attributes": {`, `"object_attributes": {"iid": 9}, "object_attributes": {`),
		"project.id twice":           replace(`"name": "webhook",`, `"name": "webhook", "id": 1,`),
		"no object_kind":             change(t, func(top, _ map[string]any) { delete(top, "object_kind") }),
		"object_kind in capitals":    replace(`"object_kind"`, `"Object_Kind"`),
		"object_kind a number":       change(t, func(top, _ map[string]any) { top["object_kind"] = 7 }),
		"object_kind a list":         change(t, func(top, _ map[string]any) { top["object_kind"] = []string{"merge_request"} }),
		"a note":                     change(t, func(top, _ map[string]any) { top["object_kind"] = "note" }),
		"a kind without end":         change(t, func(top, _ map[string]any) { top["object_kind"] = strings.Repeat("\x1b\u202e", 1<<20) }),
		"attributes a list":          change(t, func(top, _ map[string]any) { top["object_attributes"] = []int{1} }),
		"attributes null":            change(t, func(top, _ map[string]any) { top["object_attributes"] = nil }),
		"project a number":           change(t, func(top, _ map[string]any) { top["project"] = 5 }),
		"user a string":              change(t, func(top, _ map[string]any) { top["user"] = "bob" }),
		"iid a string":               set("iid", "7"),
		"iid a fraction":             set("iid", 7.5),
		"iid zero":                   set("iid", 0),
		"iid negative":               set("iid", -7),
		"iid too large":              replace(`"iid": 7,`, `"iid": 99999999999999999999,`),
		"iid true":                   set("iid", true),
		"iid null":                   set("iid", nil),
		"title a number":             set("title", 5),
		"state a list":               set("state", []string{"opened"}),
		"draft a string":             set("draft", "false"),
		"author a string":            set("author_id", "1"),
		"last commit a string":       set("last_commit", "856c10e99992733286ea5d2cb053ccb0a5eb789b"),
		"last commit no commit":      set("last_commit", map[string]any{"id": "../../etc/passwd"}),
		"target project a string":    set("target_project_id", "47778247"),
		"no project":                 change(t, func(top, at map[string]any) { delete(top, "project"); delete(at, "target_project_id") }),
		"too deep":                   []byte(strings.Repeat(`{"object_kind":`, 100_000) + "1" + strings.Repeat("}", 100_000)),
		"deep lists":                 []byte(strings.Repeat("[", 1_000_000)),
	} {
		h := newHook()
		code, answer := h.post(body)
		if code != http.StatusOK || answer["ignored"] == "" || len(h.hints) > 0 {
			t.Errorf("%s: %d, %v, %d looks", name, code, answer, len(h.hints))
		}
		if strings.ContainsAny(answer["ignored"], "\x1b\u202e") || len(answer["ignored"]) > 500 {
			t.Errorf("%s: answered %.100q", name, answer)
		}
	}
}

// Bodies that are odd and still say where to look.
func TestOddBodies(t *testing.T) {
	for name, body := range map[string][]byte{
		"blanks around it":                 append(append([]byte("\n "), fixture(t, "merge_request_open")...), "\n\n"...),
		"unknown state":                    change(t, func(_, at map[string]any) { at["state"] = "dreaming" }),
		"no commit":                        change(t, func(_, at map[string]any) { at["last_commit"] = nil }),
		"no project.id":                    change(t, func(top, _ map[string]any) { delete(top["project"].(map[string]any), "id") }),
		"no user":                          change(t, func(top, _ map[string]any) { delete(top, "user") }),
		"no description":                   change(t, func(_, at map[string]any) { at["description"] = nil }),
		"reviewers of a shape":             change(t, func(top, _ map[string]any) { top["changes"] = map[string]any{"reviewers": []any{[]any{}, []any{1}}} }),
		"doubled names where nobody looks": []byte(strings.Replace(string(fixture(t, "merge_request_open")), `"changes": {}`, `"changes": {"a":1,"a":2}`, 1)),
	} {
		h := newHook()
		code, answer := h.post(body)
		if code != http.StatusOK || answer["looking"] == "" || len(h.hints) != 1 || h.hints[0].Ref.Number != 7 {
			t.Errorf("%s: %d, %v", name, code, answer)
		}
	}
	for title, draft := range map[string]bool{"x": false, "Draft: x": true, " [draft] x": true, "(Draft) x": true, "WIP: x": true, "drafty": false} {
		e, err := gitlab.ParseEvent(change(t, func(_, at map[string]any) {
			delete(at, "draft")
			delete(at, "work_in_progress")
			at["title"] = title
		}))
		if err != nil || e.Snapshot.Draft != draft {
			t.Errorf("%q: %v, %v", title, e.Snapshot.Draft, err)
		}
	}
}

// Whoever does not know the secret always gets the same answer, and nothing
// happens; not even the body is read.
func TestWebhookLetsNobodyIn(t *testing.T) {
	body := fixture(t, "merge_request_open")
	token := func(values ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("X-Gitlab-Token")
			for _, v := range values {
				r.Header.Add("X-Gitlab-Token", v)
			}
		}
	}
	unread := func(r *http.Request) {
		r.Body = io.NopCloser(iotest.ErrReader(errors.New("the body was read")))
		token("x")(r)
	}
	var first string
	for name, c := range map[string]func(*http.Request){
		"none": token(), "empty": token(""), "another": token("x"), "a prefix": token(hookSecret[:5]), "longer": token(hookSecret + "x"),
		"other case": token(strings.ToUpper(hookSecret)), "twice": token(hookSecret, hookSecret), "two": token("x", hookSecret),
		"joined": token(hookSecret + ", " + hookSecret), "both secrets": token("hook-secret-0\n" + hookSecret), "blank": token(" "),
		"unread": unread, "huge": func(r *http.Request) { token("x")(r); r.ContentLength = 1 << 40 },
	} {
		h := newHook()
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		c(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := fmt.Sprintf("%d %v %s", w.Code, w.Header(), w.Body)
		if first == "" {
			first = got
		}
		if w.Code != http.StatusUnauthorized || got != first || len(h.hints) > 0 {
			t.Errorf("%s: %s, %d looks", name, got, len(h.hints))
		}
		if strings.Contains(h.log.String(), hookSecret) {
			t.Errorf("%s: the secret is in the log", name)
		}
	}
	for _, secrets := range [][]string{nil, {""}} {
		if _, err := gitlab.Webhook(gitlab.WebhookConfig{Secrets: secrets}); err == nil || !strings.HasPrefix(err.Error(), "gitlab_webhook_secret:") {
			t.Errorf("secrets %q: %v", secrets, err)
		}
	}
}

func TestWebhookTakesEachSecret(t *testing.T) {
	for _, secret := range []string{"hook-secret-0", hookSecret} {
		h := newHook()
		code, _ := h.post(fixture(t, "merge_request_open"), func(r *http.Request) { r.Header.Set("X-Gitlab-Token", secret) })
		if code != http.StatusOK || len(h.hints) != 1 {
			t.Errorf("%s: %d", secret, code)
		}
	}
}

func TestWebhookTakesOnlyPOST(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, "FOO"} {
		h := newHook()
		code, _ := h.post(fixture(t, "merge_request_open"), func(r *http.Request) { r.Method = method })
		if code != http.StatusMethodNotAllowed || len(h.hints) > 0 {
			t.Errorf("%s: %d", method, code)
		}
	}
}

// Nothing is on disk: that is the one thing GitLab is told as a failure.
func TestWebhookThatCannotBeRecorded(t *testing.T) {
	h := newHook()
	h.err = errors.New("disk full: /var/lib/secret/path")
	code, answer := h.post(fixture(t, "merge_request_open"))
	if code != http.StatusServiceUnavailable || strings.Contains(answer["error"], "disk") {
		t.Errorf("%d, %v", code, answer)
	}
	if !strings.Contains(h.log.String(), "disk full") {
		t.Error("not in the log")
	}
}

func TestWebhookAnswerIsShort(t *testing.T) {
	h := newHook()
	h.says = strings.Repeat("<&>\n", 5000)
	if code, answer := h.post(fixture(t, "merge_request_open")); code != http.StatusOK || strings.Contains(answer["looking"], "\n") {
		t.Errorf("%d, %.40q", code, answer)
	}
}

func TestWebhookBodyLimit(t *testing.T) {
	h := newHook()
	long := append(bytes.Repeat([]byte(" "), 8<<20), fixture(t, "merge_request_open")...)
	for name, c := range map[string]func(*http.Request){
		"said": func(*http.Request) {}, "not said": func(r *http.Request) { r.ContentLength = -1 },
		"lied": func(r *http.Request) { r.ContentLength = 5 },
	} {
		if code, answer := h.post(long, c); code != http.StatusOK || !strings.Contains(answer["ignored"], "8 MB") {
			t.Errorf("%s: %d, %v", name, code, answer)
		}
	}
	broken := func(r *http.Request) {
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"object_kind":`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	}
	if code, answer := h.post(nil, broken); code != http.StatusOK || !strings.Contains(answer["ignored"], "broke off") {
		t.Errorf("broken: %d, %v", code, answer)
	}
	if len(h.hints) > 0 {
		t.Errorf("looked: %+v", h.hints)
	}
}

func FuzzWebhook(f *testing.F) {
	for _, body := range fixtures(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h := newHook()
		code, answer := h.post(body)
		if code != http.StatusOK || (len(h.hints) == 1) != (answer["looking"] != "") || len(h.hints) > 1 {
			t.Errorf("%d, %v, %d looks", code, answer, len(h.hints))
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	for _, body := range fixtures(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := gitlab.ParseEvent(body)
		if err != nil {
			if e.Ref != (gate.Ref{}) {
				t.Errorf("an error and an event: %+v", e)
			}
			return
		}
		known := []gate.ForgeState{"", gate.ForgeOpen, gate.ForgeMerged, gate.ForgeClosed, gate.ForgeLocked}
		if e.Ref.Project <= 0 || e.Ref.Number <= 0 || e.Ref.Forge != "gitlab" || !slices.Contains(known, e.Snapshot.State) {
			t.Errorf("%+v", e)
		}
		if h := e.Snapshot.Head; h != "" && len(h) != 40 && len(h) != 64 {
			t.Errorf("head %q", h)
		}
	})
}
