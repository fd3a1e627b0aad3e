package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mrgate/internal/gitlabsim"
)

// looks says which merge request each body of testdata/gitlab has mrgate look at,
// under fixturePolicy; "": none.
func looks() map[string]string {
	return map[string]string{
		"atlantis-gitlab-merge-request-event-mark-as-ready":        "2 finn/test !3",
		"atlantis-gitlab-merge-request-event-subgroup":             "7804027 erin-test/subgroup/sub-subgroup/atlantis-example !2",
		"atlantis-gitlab-merge-request-event-update-labels":        "910 bob/atlantis-example !3",
		"atlantis-gitlab-merge-request-event-update-mixed":         "910 bob/atlantis-example !3",
		"atlantis-gitlab-merge-request-event-update-new-commit":    "910 bob/atlantis-example !3",
		"atlantis-gitlab-merge-request-event-update-reviewer":      "2 finn/test !3",
		"atlantis-gitlab-merge-request-event-update-target-branch": "910 bob/atlantis-example !3",
		"atlantis-gitlab-merge-request-event-update-title":         "910 bob/atlantis-example !3",
		"atlantis-gitlab-merge-request-event":                      "", // a project that no rule covers
		"gogitlab-group_merge_request":                             "", // malformed in the wild
		"gogitlab-merge_request":                                   "", // a project that no rule covers
		"gogitlab-service_merge_request":                           "", // the same number as finn/test, on another server
		"goscm-branch_create":                                      "", // no merge request
		"goscm-merge_request_comment_subgroup":                     "",
		"goscm-merge_request_subgroup":                             "4861503 group1/group2/group3/grp2repo !1",
		"goscm-pull_request_close":                                 "", // never asked about, and closed
		"goscm-pull_request_create":                                "4861503 gitlab-org/hello-world !1",
		"goscm-pull_request_merge":                                 "4861503 gitlab-org/hello-world !1",
		"goscm-pull_request_reopen":                                "4861503 gitlab-org/hello-world !1",
		"goscm-pull_request_review_ready":                          "44067058 dan/meet !3",
		"goscm-push":                                               "",
		"goscm-push_subgroup":                                      "",
		"merge_request_open":                                       "47778247 acme/webhook !7",
		"playground-comment-merge-request-event":                   "",
		"playground-merge-request-event":                           "",
		"playground-system-merge-request-event":                    "14 jsmith/example !1",
	}
}

const fixturePolicy = `
rules:
  - name: covered
    projects: ["acme/**", "finn/test", "910", "erin-test/subgroup/**", "group1/**", "gitlab-org/*", "dan/meet", "14"]
    target_branches: ["**"]
    approvers: [alice@example.com]
users:
  zoe: bob@example.com
locale: en
`

func TestEveryKnownWebhookBodyIsTaken(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../testdata/gitlab/*.json")
	if err != nil || len(files) != len(looks()) {
		t.Fatalf("%d files, and expectations of %d: %v", len(files), len(looks()), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			look, known := looks()[name]
			if !known {
				t.Fatal("nobody said what this body leads to")
			}
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			takesBody(t, body, look)
		})
	}
}

// takesBody posts a webhook's body. If it leads to a look, GitLab is asked about
// that merge request, and the card shows what GitLab said, not the body.
func takesBody(t *testing.T, body []byte, look string) {
	t.Helper()
	w := newWorld(t, withPolicy(fixturePolicy), ready())
	w.gitlab.AddUser(gitlabsim.User{ID: 20, Username: "zoe", Name: "Zoe"})
	const title = "As GitLab has it by now"
	var id int64
	var path string
	var iid int
	if look != "" {
		if _, err := fmt.Sscanf(look, "%d %s !%d", &id, &path, &iid); err != nil {
			t.Fatal(err)
		}
		w.gitlab.AddProject(gitlabsim.Project{ID: id, Path: path, BotAccess: gitlabsim.Maintainer})
		w.gitlab.Open(gitlabsim.MergeRequest{ProjectID: id, IID: iid, Title: title, Author: "zoe"})
	}
	l := w.start()
	status, answer := post(t, l.url+"/gitlab/webhook", body, http.Header{"X-Gitlab-Token": {webhookSecret}})
	if status < 200 || status > 299 {
		t.Fatalf("answered %d %s", status, answer)
	}
	if look == "" {
		w.never("a body that concerns nothing left a trace", func() bool { return len(w.gitlab.Calls()) > 0 || len(w.feishu.Calls()) > 0 })
		return
	}
	want := fmt.Sprintf("%s !%d", path, iid)
	w.eventually("Alice is asked about "+want, func() bool { return w.shows(w.alice, "Approval needed · "+want, title) })
	first := w.gitlab.Calls()[0]
	if !strings.HasSuffix(first.Path, fmt.Sprintf("/projects/%d/merge_requests/%d", id, iid)) || first.Method != http.MethodGet {
		t.Errorf("the first call was %s %s", first.Method, first.Path)
	}
}
