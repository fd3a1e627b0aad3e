package gitlab_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gitlabsim"
	"mrgate/internal/policy"
)

func TestStatusIsWhatGitLabTakes(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	const page = "https://gitlab.example.com/acme/webhook/-/merge_requests/1"
	for _, c := range []struct{ text, url, wantText, wantURL string }{
		{"acme/webhook !1 waits", page, "acme/webhook !1 waits", page},
		{strings.Repeat("字", 300) + "\nx", page + strings.Repeat("x", 300), strings.Repeat("字", 254) + "…", ""},
	} {
		s.ResetCalls()
		if err := s.forge.Status(t.Context(), ref, gate.CommitStatus{Head: head, State: gate.StatusSuccess, Text: c.text, URL: c.url}); err != nil {
			t.Fatal(err)
		}
		var sent map[string]string
		if err := json.Unmarshal(s.Calls()[0].Body, &sent); err != nil {
			t.Fatal(err)
		}
		if sent["name"] != "mrgate" || sent["state"] != "success" || sent["description"] != c.wantText || sent["target_url"] != c.wantURL {
			t.Errorf("sent %q", sent)
		}
	}
}

func TestStatusIsNotRepeated(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	say := func(state gate.StatusState, again bool) {
		t.Helper()
		if err := s.forge.Status(t.Context(), ref, gate.CommitStatus{Head: head, State: state, Text: string(state), Again: again}); err != nil {
			t.Error(err)
		}
	}
	say(gate.StatusPending, false)
	say(gate.StatusPending, false) // 400: from pending to pending there is no way
	say(gate.StatusSuccess, false)
	say(gate.StatusSuccess, true)
	if all := s.Statuses(7, string(head)); len(all) != 1 || all[0].Status != "success" {
		t.Errorf("there: %+v", all)
	}
	say(gate.StatusFailed, true) // what was tried before was something else
	if all := s.Statuses(7, string(head)); len(all) != 2 || all[1].Status != "failed" {
		t.Errorf("there: %+v", all)
	}
}

func TestStatusRefusals(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault gitlabsim.Fault
		also  func(s *sim)
		want  error // nil: it is tried again
	}{
		{name: "another update", fault: gitlabsim.Fault{Status: http.StatusConflict, Body: `{"message":"409 Conflict: Another update to this commit status is in progress"}`}},
		{name: "no such way", fault: gitlabsim.Fault{Status: http.StatusBadRequest, Body: `{"message":"Cannot transition status via :success from :success"}`}},
		{name: "down", fault: gitlabsim.Fault{Status: http.StatusBadGateway}},
		{name: "no Developer", also: func(s *sim) { s.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Reporter }) }, want: gate.ErrNotPermitted},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			if c.also != nil {
				c.also(s)
			} else {
				s.Inject(c.fault)
			}
			err := s.forge.Status(t.Context(), ref, gate.CommitStatus{Head: head, State: gate.StatusSuccess, Text: "approved"})
			permanent := errors.Is(err, gate.ErrNotPermitted) || errors.Is(err, gate.ErrNotFound)
			if err == nil || permanent != (c.want != nil) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// GitLab has it in a pipeline, which is nobody's CI: not the merge request's, and
// not taken for it where somebody makes it that.
func TestStatusIsNoPipeline(t *testing.T) {
	for _, branch := range []string{"feature", "refs/merge-requests/1/mrgate"} {
		t.Run(branch, func(t *testing.T) {
			s := newSim(t)
			s.project(func(p *gitlabsim.Project) { p.PipelinesMustSucceed = true })
			ref, head := s.open(gitlabsim.MergeRequest{Source: branch})
			if err := s.forge.Status(t.Context(), ref, gate.CommitStatus{Head: head, State: gate.StatusSuccess, Text: "approved"}); err != nil {
				t.Fatal(err)
			}
			all := s.Statuses(7, string(head))
			if i := slices.IndexFunc(all, func(c gitlabsim.CommitStatus) bool { return c.Name == "mrgate" }); i < 0 {
				t.Fatalf("there: %+v", all)
			}
			own := branch != "feature" // of that name
			if p := s.mr(ref).Pipeline; (p != nil) != own {
				t.Errorf("its pipeline is %+v", p)
			}
			got, err := s.forge.Get(t.Context(), ref)
			if err != nil || got.Pipeline != nil || got.HadPipeline != own {
				t.Errorf("it is read as %+v (%v), had one: %v", got.Pipeline, err, got.HadPipeline)
			}
			if !own && got.Merging.Reason != "ci_must_pass" {
				t.Errorf("GitLab takes it for CI: %+v", got.Merging)
			}
		})
	}
}

// Two merge requests of one commit, and one of a fork, each have their own.
func TestStatusIsTheMergeRequestsOwn(t *testing.T) {
	s := newSim(t)
	s.project()
	commits := []gitlabsim.Commit{{ID: strings.Repeat("a", 40), Title: "x"}}
	one, head := s.open(gitlabsim.MergeRequest{Source: "x", Commits: commits})
	two, _ := s.open(gitlabsim.MergeRequest{Source: "x", Target: "develop", Commits: commits})
	fork, forkHead := s.open(gitlabsim.MergeRequest{Source: "main", SourceProjectID: 8})
	for _, c := range []struct {
		mr    gate.Ref
		head  gate.CommitID
		state gate.StatusState
	}{{one, head, gate.StatusPending}, {two, head, gate.StatusPending}, {one, head, gate.StatusSuccess}, {fork, forkHead, gate.StatusPending}} {
		if err := s.forge.Status(t.Context(), c.mr, gate.CommitStatus{Head: c.head, State: c.state, Text: "it"}); err != nil {
			t.Error(err)
		}
	}
	all := s.Statuses(7, string(head))
	if len(all) != 2 || all[0].Status != "success" || all[1].Status != "pending" || all[0].Ref == all[1].Ref {
		t.Errorf("there: %+v", all)
	}
	if all := s.Statuses(7, string(forkHead)); len(all) != 1 {
		t.Errorf("of the fork: %+v", all)
	}
}

// A rule that waits for the pipeline never takes the status for one, however green
// it is, and though GitLab called it the head pipeline.
func TestRuleDoesNotWaitForItsOwnStatus(t *testing.T) {
	rule := func(r *policy.Rule) { whenPipelineSucceeds(r); r.CommitStatus = true }
	for _, status := range []string{"pending", "success"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			onBench(t, setting{rule: rule, open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
				b.SetPipeline(7, 1, "success")
				b.PushWithoutPipeline(7, 1)
				head := b.mr().Head
				b.PutPipeline(7, 1, &gitlabsim.Pipeline{SHA: head, Ref: "refs/merge-requests/1/mrgate", Source: "external", Status: status})
				b.look()
				wait(time.Second)
				b.approve()
				wait(20 * time.Minute)
				if b.puts() > 0 || b.mr().State != "opened" {
					t.Errorf("%s after %d merges", b.mr().State, b.puts())
				}
				b.blocked("Approved, but blocked ·", "The rule waits for a pipeline, and this commit has none; Bob has to run one")
				b.SetPipeline(7, 1, "success")
				wait(11 * time.Minute)
				b.merged()
				if all := b.Statuses(7, head); len(all) == 0 || all[len(all)-1].Status != "success" {
					t.Errorf("the statuses: %+v", all)
				}
			})
		})
	}
	t.Run("without any CI", func(t *testing.T) {
		t.Parallel()
		open := gitlabsim.MergeRequest{CreatedAt: time.Date(1999, 12, 31, 23, 58, 0, 0, time.UTC)} // a bubble begins in 2000
		onBench(t, setting{rule: rule, open: open}, func(b *bench) {
			b.approve()
			b.merged()
		})
	})
}
