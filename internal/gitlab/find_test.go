package gitlab_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
)

func TestFind(t *testing.T) {
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.Path = "acme/tools.x/Web_hook-1" })
	ref, _ := s.open(gitlabsim.MergeRequest{Title: "x", Author: "bob"})
	want, err := s.forge.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	s.ResetCalls()
	for _, project := range []string{"7", "acme/tools.x/Web_hook-1", "ACME/Tools.X/web_hook-1"} {
		got, snapshot, err := s.forge.Find(t.Context(), project, 1)
		if err != nil || got != ref {
			t.Errorf("%s: %v, %v", project, got, err)
		}
		if diff := cmp.Diff(want, snapshot); diff != "" {
			t.Errorf("%s: not what Get gives:\n%s", project, diff)
		}
		if calls := len(s.Calls()); calls != 1 {
			t.Errorf("%s: %d calls", project, calls)
		}
		s.ResetCalls()
	}
	for _, none := range []string{"8", "acme/other"} {
		if _, _, err := s.forge.Find(t.Context(), none, 1); !errors.Is(err, gate.ErrNotFound) || !strings.Contains(err.Error(), none+"!1") {
			t.Errorf("%s: %v", none, err)
		}
	}
	if _, _, err := s.forge.Find(t.Context(), "7", 2); !errors.Is(err, gate.ErrNotFound) {
		t.Error(err)
	}
}

// A project's old path still finds it, as in GitLab's pages.
func TestFindOfARenamedProject(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	s.Rename(7, "acme/hooks")
	got, snapshot, err := s.forge.Find(t.Context(), "acme/webhook", 1)
	if err != nil || got != ref || snapshot.Path != "acme/hooks" {
		t.Errorf("%v, %q, %v", got, snapshot.Path, err)
	}
	var paths []string
	for _, c := range s.Calls() {
		paths = append(paths, c.Path)
	}
	if want := []string{"/api/v4/projects/acme%2Fwebhook/merge_requests/1", "/api/v4/projects/7/merge_requests/1"}; !slices.Equal(paths, want) {
		t.Errorf("called %q", paths)
	}
}

// A redirect to anywhere else is the error that it always is, and never followed twice.
func TestFindFollowsNoOtherRedirect(t *testing.T) {
	for _, location := range []string{
		"https://elsewhere.example.com/login", "/api/v4/projects/acme%2Fwebhook/merge_requests/1", "/api/v4/projects/7/merge_requests/2",
		"/api/v4/projects/0/merge_requests/1", "",
	} {
		calls := 0
		f := canned(t, func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		})
		if _, _, err := f.Find(t.Context(), "acme/webhook", 1); !plain(err) || calls != 1 || !strings.Contains(err.Error(), "redirect") {
			t.Errorf("%q: %d calls, %v", location, calls, err)
		}
	}
	calls := 0
	f := canned(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Location", "/api/v4/projects/7/merge_requests/1")
		w.WriteHeader(http.StatusFound)
	})
	if _, _, err := f.Find(t.Context(), "acme/webhook", 1); !plain(err) || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// Names that are none never reach GitLab.
func TestFindOfBadNames(t *testing.T) {
	f := canned(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("called %s", r.URL) })
	for _, project := range []string{
		"", "0", "-1", "+7", "007", "7 ", "99999999999999999999", "webhook", "/acme/webhook", "acme/webhook/", "acme//webhook", "../../user",
		"acme/..", "acme/webhook?x", "acme/webhook#x", "acme%2Fwebhook", "acme/web hook", "acme/webhook!7", "https://gitlab.example.com/acme/webhook", "acme/\n", "ácme/x",
	} {
		if _, _, err := f.Find(t.Context(), project, 1); !plain(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", project, err)
		}
	}
	for _, iid := range []int64{0, -1} {
		if _, _, err := f.Find(t.Context(), "acme/webhook", iid); !plain(err) {
			t.Errorf("%d: %v", iid, err)
		}
	}
}

func TestFindOfAnotherAnswer(t *testing.T) {
	answer := map[string]any{}
	f := canned(t, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, answer) })
	for name, change := range map[string]map[string]any{
		"another project":       {"target_project_id": 8},
		"another merge request": {"iid": 2},
		"no project":            {"target_project_id": nil},
		"no state":              {"state": ""},
		"no head":               {"sha": ""},
	} {
		answer = map[string]any{
			"iid": 1, "target_project_id": 7, "state": "opened", "sha": ciHead, "target_branch": "main", "references": map[string]string{"full": "a/b!1"},
		}
		if _, _, err := f.Find(t.Context(), "7", 1); err != nil {
			t.Fatal(err)
		}
		maps.Copy(answer, change)
		if ref, _, err := f.Find(t.Context(), "7", 1); !plain(err) || ref != (gate.Ref{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestByURL(t *testing.T) {
	at := func(base string) *gitlab.Forge {
		t.Helper()
		f, err := gitlab.New(gitlab.Config{BaseURL: base, Token: "t"})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	root, below, local := at("https://gitlab.example.com/"), at("https://example.com/git/lab/"), at("http://127.0.0.1:8080")
	const found = "acme/sub/web.hook"
	for _, c := range []struct {
		forge *gitlab.Forge
		url   string
	}{
		{root, "https://gitlab.example.com/acme/sub/web.hook/-/merge_requests/7"},
		{root, "https://gitlab.example.com/acme/sub/web.hook/-/merge_requests/7/"},
		{root, "https://gitlab.example.com/acme/sub/web.hook/-/merge_requests/7/diffs?view=parallel#note_12"},
		{root, "https://gitlab.example.com/acme/sub/web.hook/-/merge_requests/7#note_12"},
		{root, "https://gitlab.example.com/acme/sub/web.hook/-/merge_requests/7/diffs/-/merge_requests/8"},
		{root, "https://gitlab.example.com/acme/sub/web.hook/merge_requests/7"},
		{root, "http://GitLab.example.com/acme/sub/web.hook/-/merge_requests/7"},
		{root, "https://gitlab.example.com:443/acme/sub/web.hook/-/merge_requests/7"},
		{root, " https://gitlab.example.com/acme/sub/web.hook/-/merge_requests/7\n"},
		{below, "https://example.com/git/lab/acme/sub/web.hook/-/merge_requests/7/commits"},
		{local, "http://127.0.0.1:8080/acme/sub/web.hook/-/merge_requests/7"},
	} {
		if project, iid, ok := c.forge.ByURL(c.url); !ok || project != found || iid != 7 {
			t.Errorf("%s: %q, %d, %v", c.url, project, iid, ok)
		}
	}
	for _, c := range []struct {
		forge *gitlab.Forge
		url   string
	}{
		{root, ""},
		{root, "acme/webhook!7"},
		{root, "17"},
		{root, "/acme/webhook/-/merge_requests/7"},
		{root, "gitlab.example.com/acme/webhook/-/merge_requests/7"},
		{root, "//gitlab.example.com/acme/webhook/-/merge_requests/7"},
		{root, "ssh://gitlab.example.com/acme/webhook/-/merge_requests/7"},
		{root, "https://gitlab.example.org/acme/webhook/-/merge_requests/7"},
		{root, "https://gitlab.example.com.evil.org/acme/webhook/-/merge_requests/7"},
		{root, "https://gitlab.example.com@evil.org/acme/webhook/-/merge_requests/7"},
		{root, "https://u:p@gitlab.example.com/acme/webhook/-/merge_requests/7"},
		{root, "https://gitlab.example.com:8443/acme/webhook/-/merge_requests/7"},
		{root, "https://gitlab.example.com/acme/webhook/-/merge_requests"},
		{root, "https://gitlab.example.com/acme/webhook/-/merge_requests/"},
		{root, "https://gitlab.example.com/acme/webhook/-/merge_requests/new"},
		{root, "https://gitlab.example.com/acme/webhook/-/merge_requests/0"},
		{root, "https://gitlab.example.com/acme/webhook/-/merge_requests/-7"},
		{root, "https://gitlab.example.com/acme/webhook/-/merge_requests/7x"},
		{root, "https://gitlab.example.com/acme/webhook/-/merge_requests/99999999999999999999"},
		{root, "https://gitlab.example.com/acme/webhook/-/issues/7"},
		{root, "https://gitlab.example.com/acme/webhook/-/blob/main/-/merge_requests/7"},
		{root, "https://gitlab.example.com/webhook/-/merge_requests/7"},
		{root, "https://gitlab.example.com/-/merge_requests/7"},
		{root, "https://gitlab.example.com/acme/../x/-/merge_requests/7"},
		{root, "https://gitlab.example.com/acme/web%20hook/-/merge_requests/7"},
		{root, "https://gitlab.example.com/acme/web%zz/-/merge_requests/7"},
		{root, "https://gitlab.example.com/?x=/acme/webhook/-/merge_requests/7"},
		{below, "https://example.com/acme/webhook/-/merge_requests/7"},
		{below, "https://example.com/git/laboratory/acme/webhook/-/merge_requests/7"},
		{local, "http://127.0.0.1/acme/webhook/-/merge_requests/7"},
	} {
		if project, iid, ok := c.forge.ByURL(c.url); ok || project != "" || iid != 0 {
			t.Errorf("%s: %q, %d, %v", c.url, project, iid, ok)
		}
	}
	// What GitLab itself calls a merge request.
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	got, err := s.forge.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if project, iid, ok := s.forge.ByURL(got.URL); !ok || project != "acme/webhook" || iid != 1 {
		t.Errorf("%s: %q, %d, %v", got.URL, project, iid, ok)
	}
}
