package gitlab_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
)

func TestMergeSendsWhatWasAsked(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		how  gate.MergeOptions
		want map[string]any
	}{
		{gate.MergeOptions{}, map[string]any{}},
		{gate.MergeOptions{Squash: &yes, RemoveSourceBranch: &no}, map[string]any{"squash": true, "should_remove_source_branch": false}},
		{gate.MergeOptions{Squash: &no, RemoveSourceBranch: &yes}, map[string]any{"should_remove_source_branch": true}},
		{gate.MergeOptions{WhenGreen: true}, map[string]any{"auto_merge": true, "merge_when_pipeline_succeeds": true}},
	} {
		s := newSim(t)
		s.project()
		ref, head := s.open(gitlabsim.MergeRequest{HasPipeline: true})
		if _, err := s.forge.Merge(t.Context(), ref, head, c.how); err != nil {
			t.Fatal(err)
		}
		c.want["sha"] = string(head)
		var got map[string]any
		if err := json.Unmarshal(s.Calls()[0].Body, &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(c.want) {
			t.Errorf("sent %v, want %v", got, c.want)
		}
		for k, v := range c.want {
			if got[k] != v {
				t.Errorf("sent %v, want %v", got, c.want)
			}
		}
	}
}

// What each refusal turns out to be. The merge request changes between the
// caller's look and the call, in every way there is.
func TestMergeRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *sim)
		how    gate.MergeOptions
		want   gate.MergeStatus
		reason string
		err    error
	}{
		{name: "a push", change: func(s *sim) { s.Push(7, 1) }, err: gate.ErrHeadMoved},
		{name: "a push and a conflict", change: func(s *sim) { s.Push(7, 1); s.SetConflict(7, 1, true) }, want: gate.Moved},
		{name: "a draft", change: func(s *sim) { s.SetDraft(7, 1, true) }, want: gate.Moved},
		{name: "closed", change: func(s *sim) { s.Close(7, 1, "eve") }, want: gate.Moved},
		{name: "merged by somebody", change: func(s *sim) { s.MergeByHand(7, 1, "eve") }, want: gate.Merged},
		{name: "pushed and merged by somebody", change: func(s *sim) { s.Push(7, 1); s.MergeByHand(7, 1, "eve") }, want: gate.Moved},
		{name: "being merged", change: func(s *sim) { s.Lock(7, 1) }, want: gate.Computing},
		{name: "a conflict", change: func(s *sim) { s.SetConflict(7, 1, true) }, want: gate.Blocked, reason: "conflict"},
		{name: "a rebase", change: func(s *sim) { s.SetNeedRebase(7, 1, true) }, want: gate.Blocked, reason: "need_rebase"},
		{name: "not approved", change: func(s *sim) { s.SetBlocker(7, 1, "not_approved") }, want: gate.Blocked, reason: "not_approved"},
		{name: "unheard of", change: func(s *sim) { s.SetBlocker(7, 1, "moon_phase") }, want: gate.Blocked, reason: "moon_phase"},
		{name: "syncing", change: func(s *sim) { s.SetBlocker(7, 1, "approvals_syncing") }, want: gate.Computing, reason: "approvals_syncing"},
		{
			name: "the project demands a pipeline", want: gate.Computing, reason: "ci_still_running",
			change: func(s *sim) {
				s.ChangeProject(7, func(p *gitlabsim.Project) { p.PipelinesMustSucceed = true })
				s.SetPipeline(7, 1, "running")
			},
		},
		{
			name: "the same, to be waited for", want: gate.Scheduled, how: gate.MergeOptions{WhenGreen: true}, reason: "ci_still_running",
			change: func(s *sim) {
				s.ChangeProject(7, func(p *gitlabsim.Project) { p.PipelinesMustSucceed = true })
				s.SetPipeline(7, 1, "running")
			},
		},
		{
			name: "the pipeline failed", want: gate.Blocked, reason: "ci_must_pass",
			change: func(s *sim) {
				s.ChangeProject(7, func(p *gitlabsim.Project) { p.PipelinesMustSucceed = true })
				s.SetPipeline(7, 1, "failed")
			},
		},
		{name: "nothing to wait for", how: gate.MergeOptions{WhenGreen: true}, want: gate.Computing, reason: "mergeable"},
		{
			name: "may not", want: gate.Blocked, reason: gitlab.ReasonNotPermitted,
			change: func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.MergeAccess = gitlabsim.Maintainer }) },
		},
		{
			name: "may not, and merged", want: gate.Merged,
			change: func(s *sim) {
				s.ChangeProject(7, func(p *gitlabsim.Project) { p.MergeAccess = gitlabsim.NoOne })
				s.MergeByHand(7, 1, "eve")
			},
		},
		{
			name: "the merge ran and failed", want: gate.Computing, reason: "mergeable",
			change: func(s *sim) { s.FailNextMerge(7, 1, "pre-receive hook declined") },
		},
		{name: "no member any more", err: gate.ErrNotFound, change: func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = 0 }) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			if c.change != nil {
				c.change(s)
			}
			before := s.mr(ref)
			r, err := s.forge.Merge(t.Context(), ref, head, c.how)
			if !errors.Is(err, c.err) || r.Status != c.want || c.reason != "" && r.Why.Reason != c.reason {
				t.Errorf("got %+v, %v", r, err)
			}
			if c.name == "the merge ran and failed" && r.Why.Detail != "pre-receive hook declined" {
				t.Errorf("detail %q", r.Why.Detail)
			}
			if (r.Status == gate.Merged) != (r.Commit != "") {
				t.Errorf("%s with commit %q", r.Status, r.Commit)
			}
			if after := s.mr(ref); after.State != before.State {
				t.Errorf("it was %s and is %s", before.State, after.State)
			}
			if calls := slices.DeleteFunc(s.calls(), func(c string) bool { return c == "GET /user" }); len(calls) > 2 {
				t.Errorf("called %q", calls)
			}
			if r.Why.Reason == gitlab.ReasonNotPermitted && r.Why.Account != "mrgate-bot" {
				t.Errorf("account %q", r.Why.Account)
			}
		})
	}
}

// Codes that no simulator gives: a proxy's, an old server's.
func TestMergeByOtherCodes(t *testing.T) {
	for _, c := range []struct {
		code int
		body map[string]any // of the GET
		want gate.MergeStatus
		err  error
	}{
		{code: 406, body: map[string]any{"detailed_merge_status": "conflict"}, want: gate.Blocked},
		{code: 422, body: map[string]any{"detailed_merge_status": "need_rebase"}, want: gate.Blocked},
		{code: 405, body: map[string]any{"merge_status": "cannot_be_merged"}, want: gate.Blocked},
		{code: 405, body: map[string]any{"merge_status": "unchecked"}, want: gate.Computing},
		{code: 401, body: map[string]any{"detailed_merge_status": "mergeable", "user": map[string]any{"can_merge": true}}, want: gate.Computing},
		{code: 401, body: map[string]any{"detailed_merge_status": "mergeable"}, want: gate.Blocked},
		{code: 403, err: gate.ErrNotPermitted},
		{code: 404, err: gate.ErrNotFound},
		{code: 409, err: gate.ErrHeadMoved},
	} {
		f := canned(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				writeJSON(w, c.code, map[string]any{"message": "no"})
				return
			}
			c.body["state"], c.body["sha"] = "opened", "abc"
			writeJSON(w, 200, c.body)
		})
		r, err := f.Merge(t.Context(), gate.Ref{}, "abc", gate.MergeOptions{})
		if !errors.Is(err, c.err) || r.Status != c.want {
			t.Errorf("%d, %v: %+v, %v", c.code, c.body, r, err)
		}
	}
	// 200 is no proof that it is merged (gitlab-org/gitlab work item 33231).
	for body, want := range map[string]gate.MergeStatus{
		`{"state":"opened","sha":"abc","detailed_merge_status":"mergeable","merge_error":"no"}`: gate.Computing,
		`{"state":"opened","sha":"abc","detailed_merge_status":"conflict","merge_error":"no"}`:  gate.Blocked,
		`{"state":"locked","sha":"abc","detailed_merge_status":"not_open"}`:                     gate.Computing,
		`{"state":"merged","sha":"abc"}`: gate.Merged,
		`{"state":"opened","sha":"abc","detailed_merge_status":"ci_must_pass","merge_when_pipeline_succeeds":true}`: gate.Scheduled,
	} {
		f := canned(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		if r, err := f.Merge(t.Context(), gate.Ref{}, "abc", gate.MergeOptions{WhenGreen: true}); err != nil || r.Status != want {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
}

func TestApproveRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *sim)
		want   error // nil with plain: an error of no kind
		plain  bool
		calls  int
	}{
		{name: "none", calls: 1},
		{name: "a push", change: func(s *sim) { s.Push(7, 1) }, want: gate.ErrHeadMoved, calls: 1},
		{name: "approved already", change: func(s *sim) { s.ApproveByHand(7, 1, "mrgate-bot") }, calls: 2},
		{name: "approved before a push", change: func(s *sim) { s.ApproveByHand(7, 1, "mrgate-bot"); s.Push(7, 1) }, want: gate.ErrHeadMoved, calls: 1},
		{name: "approved by others only", change: func(s *sim) { s.ApproveByHand(7, 1, "eve") }, calls: 1},
		{name: "closed", change: func(s *sim) { s.Close(7, 1, "eve") }, plain: true, calls: 3},
		{name: "role too low", change: func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Reporter }) }, want: gate.ErrNotPermitted, calls: 1},
		{name: "no member", change: func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = 0 }) }, want: gate.ErrNotFound, calls: 1},
		{
			name: "not eligible", want: gate.ErrNotPermitted, calls: 3,
			change: func(s *sim) { s.Inject(gitlabsim.Fault{PathSuffix: "/approve", Status: 401, Times: 1}) },
		},
		{
			name: "a push after the 401", want: gate.ErrHeadMoved, calls: 3,
			change: func(s *sim) {
				s.Inject(gitlabsim.Fault{PathSuffix: "/approve", Status: 401, Times: 1})
				s.Hook(func(r *http.Request, p gitlabsim.Phase) {
					if strings.HasSuffix(r.URL.Path, "/approvals") && p == gitlabsim.Done {
						s.Push(7, 1)
					}
				})
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			if c.change != nil {
				c.change(s)
			}
			err := s.forge.Approve(t.Context(), ref, head)
			if c.plain && !plain(err) || !c.plain && !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if calls := s.calls(); len(calls) != c.calls {
				t.Errorf("called %q", calls)
			}
		})
	}
}

func TestRetract(t *testing.T) {
	auto := func(s *sim) {
		s.SetPipeline(7, 1, "running")
		if r, err := s.forge.Merge(t.Context(), gate.Ref{Project: 7, Number: 1}, gate.CommitID(s.MR(7, 1).Head), gate.MergeOptions{WhenGreen: true}); err != nil || r.Status != gate.Scheduled {
			t.Errorf("%+v, %v", r, err)
		}
	}
	demote := func(to int) func(s *sim) {
		return func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = to }) }
	}
	for _, c := range []struct {
		name   string
		change []func(s *sim)
		want   error
		calls  []string
	}{
		{name: "nothing", calls: []string{"POST /unapprove", "GET"}},
		{name: "an approval", change: []func(*sim){func(s *sim) { s.ApproveByHand(7, 1, "mrgate-bot") }}, calls: []string{"POST /unapprove", "GET"}},
		{name: "an auto-merge", change: []func(*sim){auto}, calls: []string{"POST /unapprove", "GET", "GET /user", "POST /cancel_merge_when_pipeline_succeeds"}},
		{name: "an auto-merge that a push has ended", change: []func(*sim){auto, func(s *sim) { s.Push(7, 1) }}, calls: []string{"POST /unapprove", "GET"}},
		{
			name: "an auto-merge that ends meanwhile",
			change: []func(*sim){auto, func(s *sim) {
				s.Hook(func(r *http.Request, p gitlabsim.Phase) {
					if strings.HasSuffix(r.URL.Path, "/user") && p == gitlabsim.Done {
						s.Push(7, 1)
					}
				})
			}},
			calls: []string{"POST /unapprove", "GET", "GET /user", "POST /cancel_merge_when_pipeline_succeeds", "GET"},
		},
		{name: "role gone, no approval", change: []func(*sim){demote(gitlabsim.Reporter)}, calls: []string{"POST /unapprove", "GET", "GET /approvals"}},
		{
			name:   "role gone, an approval",
			change: []func(*sim){func(s *sim) { s.ApproveByHand(7, 1, "mrgate-bot") }, demote(gitlabsim.Reporter)},
			want:   gate.ErrNotPermitted, calls: []string{"POST /unapprove", "GET", "GET /approvals"},
		},
		{
			name: "may not merge any more, an auto-merge", want: gate.ErrNotPermitted,
			change: []func(*sim){auto, func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.MergeAccess = gitlabsim.NoOne }) }},
			calls:  []string{"POST /unapprove", "GET", "GET /user", "POST /cancel_merge_when_pipeline_succeeds", "GET"},
		},
		{name: "no member any more", change: []func(*sim){demote(0)}, want: gate.ErrNotFound, calls: []string{"POST /unapprove", "GET"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, _ := s.open(gitlabsim.MergeRequest{})
			for _, change := range c.change {
				change(s)
			}
			s.ResetCalls()
			err := s.forge.Retract(t.Context(), ref)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v", err)
			}
			if c.want == nil {
				if mr := s.mr(ref); mr.AutoMerge || len(mr.ApprovedBy) > 0 || mr.State != "opened" {
					t.Errorf("there: %+v", mr)
				}
			}
			if calls := s.calls(); !slices.Equal(calls, c.calls) {
				t.Errorf("called %q", calls)
			}
		})
	}
}

// An auto-merge that a person has set is theirs.
func TestRetractLeavesOthersAutoMerge(t *testing.T) {
	var called []string
	f := canned(t, func(w http.ResponseWriter, r *http.Request) {
		called = append(called, r.Method+r.URL.Path)
		switch {
		case strings.HasSuffix(r.URL.Path, "/user"):
			writeJSON(w, 200, map[string]any{"id": 1})
		case strings.HasSuffix(r.URL.Path, "/unapprove"):
			writeJSON(w, 404, map[string]any{"message": "404 Not Found"})
		default:
			writeJSON(w, 200, map[string]any{"state": "opened", "sha": "a", "merge_when_pipeline_succeeds": true, "merge_user": map[string]any{"id": 2}})
		}
	})
	for range 2 {
		if err := f.Retract(t.Context(), gate.Ref{}); err != nil {
			t.Error(err)
		}
	}
	if len(called) != 5 { // whoever we are is asked once
		t.Errorf("called %q", called)
	}
}

// A refusal comes as a 201 (gitlab-org/gitlab!255702): it is no success while
// the auto-merge still stands.
func TestRetractThatIsRefused(t *testing.T) {
	f := canned(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/user"):
			writeJSON(w, 200, map[string]any{"id": 1})
		case r.Method == http.MethodPost:
			writeJSON(w, 201, map[string]any{"status": "error", "message": "Can't cancel the automatic merge"})
		default:
			writeJSON(w, 200, map[string]any{"state": "opened", "sha": "a", "merge_when_pipeline_succeeds": true, "merge_user": map[string]any{"id": 1}})
		}
	})
	if err := f.Retract(t.Context(), gate.Ref{}); !plain(err) || !strings.Contains(err.Error(), "Can't cancel") {
		t.Errorf("got %v", err)
	}
}

func TestClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *sim)
		want   error
		plain  bool
		calls  int
		state  string
	}{
		{name: "open", calls: 2, state: "closed"},
		{name: "closed", change: func(s *sim) { s.Close(7, 1, "eve") }, calls: 1, state: "closed"},
		{name: "pushed to", change: func(s *sim) { s.Push(7, 1) }, want: gate.ErrHeadMoved, calls: 1, state: "opened"},
		{name: "merged", change: func(s *sim) { s.MergeByHand(7, 1, "eve") }, plain: true, calls: 1, state: "merged"},
		{name: "locked", change: func(s *sim) { s.Lock(7, 1) }, plain: true, calls: 1, state: "locked"},
		{name: "role too low", change: func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Reporter }) }, want: gate.ErrNotPermitted, calls: 2, state: "opened"},
		{name: "merged meanwhile", plain: true, calls: 2, state: "merged", change: func(s *sim) {
			s.Hook(func(r *http.Request, p gitlabsim.Phase) {
				if r.Method == http.MethodPut && p == gitlabsim.Arrived {
					s.MergeByHand(7, 1, "eve")
				}
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			if c.change != nil {
				c.change(s)
			}
			err := s.forge.Close(t.Context(), ref, head)
			if c.plain && !plain(err) || !c.plain && !errors.Is(err, c.want) || c.want == nil && !c.plain && err != nil {
				t.Errorf("got %v", err)
			}
			if got := s.mr(ref).State; got != c.state {
				t.Errorf("it is %s", got)
			}
			if calls := s.calls(); len(calls) != c.calls {
				t.Errorf("called %q", calls)
			}
		})
	}
}
