package gitlab_test

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mrgate/internal/gate"
	"mrgate/internal/gitlabsim"
)

func TestGetReadsEverythingInOneCall(t *testing.T) {
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.Path = "acme/tools/Webhook"; p.DiscussionsMustBeResolved = true })
	s.AddUser(gitlabsim.User{ID: 31, Username: "bob", Name: "Bob Chen"})
	s.AddUser(gitlabsim.User{ID: 32, Username: "carol", Name: "Carol"})
	ref, head := s.open(gitlabsim.MergeRequest{
		Title: "Draft: Übung 🎉", Description: "line\nline", Author: "bob", Reviewers: []string{"carol"},
		Source: "feature/x", Target: "release/1", SourceProjectID: 99, HasPipeline: true,
	})
	s.SetDiscussionsUnresolved(7, 1, true)
	got, err := s.forge.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if got.Pipeline == nil || got.Pipeline.ID == 0 || got.Pipeline.URL == "" {
		t.Errorf("pipeline %+v", got.Pipeline)
	}
	want := gate.Snapshot{
		Path: "acme/tools/Webhook", URL: s.url + "/acme/tools/Webhook/-/merge_requests/1", Title: "Draft: Übung 🎉",
		Description: "line\nline", State: gate.ForgeOpen, Draft: true, Head: head, Source: "feature/x", Target: "release/1",
		Fork: true, From: 99, Author: gate.User{ID: 31, Username: "bob", Name: "Bob Chen"},
		Reviewers:  []gate.User{{ID: 32, Username: "carol", Name: "Carol"}},
		Merging:    gate.Mergeability{Class: gate.MergeBlocked, Reason: "draft_status"},
		Pipeline:   &gate.Pipeline{ID: got.Pipeline.ID, Status: "running", URL: got.Pipeline.URL},
		Unresolved: true, HadPipeline: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if calls := s.calls(); len(calls) != 1 {
		t.Errorf("called %q", calls)
	}
}

// A pipeline counts only if it is the head's, or a merged-results one.
func TestWhichPipelineCounts(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	s.Push(7, 1)
	head := s.mr(ref).Head
	for _, c := range []struct {
		p    *gitlabsim.Pipeline
		want bool
	}{
		{nil, false},
		{&gitlabsim.Pipeline{SHA: head, Ref: "refs/merge-requests/1/head", Status: "success"}, true},
		{&gitlabsim.Pipeline{SHA: head, Ref: "feature-1", Status: "failed"}, true},
		{&gitlabsim.Pipeline{SHA: strings.Repeat("d", 40), Ref: "refs/merge-requests/1/head", Status: "success"}, false},
		{&gitlabsim.Pipeline{SHA: strings.Repeat("d", 40), Ref: "refs/merge-requests/1/merge", Status: "success"}, true},
		{&gitlabsim.Pipeline{SHA: strings.Repeat("d", 40), Ref: "refs/merge-requests/11/merge", Status: "success"}, false},
	} {
		s.PutPipeline(7, 1, c.p)
		got, err := s.forge.Get(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if (got.Pipeline != nil) != c.want || c.want && got.Pipeline.Status != c.p.Status {
			t.Errorf("%+v: %+v", c.p, got.Pipeline)
		}
	}
}

func TestGetOfWhatIsOver(t *testing.T) {
	s := newSim(t)
	s.AddProject(gitlabsim.Project{ID: 8, Path: "acme/ff", BotAccess: gitlabsim.Developer, MergeMethod: "ff"})
	s.project()
	for name, squash := range map[string]bool{"ff": false, "squash": true} {
		mr := s.Open(gitlabsim.MergeRequest{ProjectID: 8, Squash: squash})
		s.MergeByHand(8, mr.IID, "carol")
		now := s.MR(8, mr.IID)
		got, err := s.forge.Get(t.Context(), gate.Ref{Project: 8, Number: int64(mr.IID)})
		want := now.Head
		if squash {
			want = now.SquashCommit
		}
		if err != nil || got.State != gate.ForgeMerged || string(got.MergeCommit) != want || got.MergedBy.Username != "carol" || got.MergedAt.IsZero() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	ref, _ := s.open(gitlabsim.MergeRequest{})
	s.Close(7, 1, "dave")
	got, err := s.forge.Get(t.Context(), ref)
	if err != nil || got.State != gate.ForgeClosed || got.ClosedBy.Username != "dave" || got.MergeCommit != "" || got.MergedBy.ID != 0 {
		t.Errorf("closed: %+v, %v", got, err)
	}
	s.Reopen(7, 1, "dave")
	s.Lock(7, 1)
	if got, err = s.forge.Get(t.Context(), ref); err != nil || got.State != gate.ForgeLocked || got.Merging.Class != gate.MergeSoon {
		t.Errorf("locked: %+v, %v", got, err)
	}
}

// Right after the opening GitLab knows nothing, and finds out because it is asked.
func TestMergeabilityIsComputedLate(t *testing.T) {
	gl := gitlabsim.New(gitlabsim.Options{Token: secretToken, MergeabilityDelay: 30 * time.Millisecond})
	gl.AddProject(gitlabsim.Project{ID: 7, Path: "a/b", BotAccess: gitlabsim.Developer})
	f := canned(t, gl.ServeHTTP)
	mr := gl.Open(gitlabsim.MergeRequest{ProjectID: 7})
	ref := gate.Ref{Project: 7, Number: 1}
	classes := map[gate.MergeClass]bool{}
	for range 100 {
		got, err := f.Get(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		classes[got.Merging.Class] = true
		if got.Merging.Class == gate.MergeGo {
			break
		}
		r, err := f.Merge(t.Context(), ref, gate.CommitID(mr.Head), gate.MergeOptions{})
		if err != nil || r.Status != gate.Computing && r.Status != gate.Merged {
			t.Fatalf("%+v, %v", r, err)
		}
		if r.Status == gate.Merged {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	if !classes[gate.MergeSoon] || !classes[gate.MergeGo] {
		t.Errorf("classes %v", classes)
	}
}

func TestGetOfWhatMayNotBeSeen(t *testing.T) {
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.NoAccess })
	ref, _ := s.open(gitlabsim.MergeRequest{})
	if _, err := s.forge.Get(t.Context(), ref); !errors.Is(err, gate.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// Old and new servers, each with what the other lacks.
func TestGetFromOtherServers(t *testing.T) {
	answer := map[string]any{}
	f := canned(t, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, answer) })
	get := func(change map[string]any) gate.Snapshot {
		t.Helper()
		answer = map[string]any{
			"state": "opened", "sha": "abc", "target_branch": "main", "web_url": "https://gl.example.com/a/b/c/merge_requests/1",
			"description": nil, "merge_error": nil, "head_pipeline": nil, "merge_user": nil, "merged_by": nil, "author": nil,
		}
		maps.Copy(answer, change)
		s, err := f.Get(t.Context(), gate.Ref{Number: 1})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := get(nil); s.Path != "a/b/c" {
		t.Errorf("path %q", s.Path)
	}
	if s := get(map[string]any{"work_in_progress": true}); !s.Draft {
		t.Error("work in progress is no draft")
	}
	for status, want := range map[string]gate.MergeClass{
		"can_be_merged": gate.MergeGo, "unchecked": gate.MergeSoon, "checking": gate.MergeSoon, "cannot_be_merged": gate.MergeBlocked,
	} {
		if s := get(map[string]any{"merge_status": status}); s.Merging.Class != want || s.Merging.Reason != status {
			t.Errorf("merge_status %s: %+v", status, s.Merging)
		}
		if s := get(map[string]any{"merge_status": status, "detailed_merge_status": "ci_still_running"}); s.Merging.Class != gate.MergeCI {
			t.Errorf("merge_status %s beside a detailed one: %+v", status, s.Merging)
		}
	}
	s := get(map[string]any{"state": "merged", "merged_by": map[string]any{"id": 5, "username": "eve"}, "merge_commit_sha": "def", "merge_when_pipeline_succeeds": true})
	if s.MergedBy.Username != "eve" || s.MergeCommit != "def" || s.AutoMerge {
		t.Errorf("merged: %+v", s)
	}
	// Who set an auto-merge has not merged.
	s = get(map[string]any{"merge_user": map[string]any{"id": 5, "username": "eve"}, "merge_when_pipeline_succeeds": true})
	if s.MergedBy.ID != 0 || !s.AutoMerge {
		t.Errorf("auto-merge: %+v", s)
	}
	// merge_error stays for good, and only says what it says.
	s = get(map[string]any{"detailed_merge_status": "mergeable", "merge_error": "pre-receive hook declined\nsorry"})
	if s.Merging.Class != gate.MergeGo || s.Merging.Detail != "pre-receive hook declined sorry" {
		t.Errorf("merge_error: %+v", s.Merging)
	}
	answer["state"] = "dreaming"
	if _, err := f.Get(t.Context(), gate.Ref{Number: 1}); !plain(err) {
		t.Errorf("an unknown state: %v", err)
	}
}
