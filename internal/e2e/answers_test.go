package e2e

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// What people read where GitLab does not merge, and what becomes of it.

// latestAbout is the newest message of the person's about the merge request, as it is now.
func (w *world) latestAbout(who feishusim.User, iid int) (feishusim.Message, string) {
	about := "· " + projectPath + " !" + strconv.Itoa(iid) + "\n"
	all := w.feishu.MessagesTo(who.OpenID)
	for _, m := range slices.Backward(all) {
		if text := feishusim.PlainText(m.Card); strings.Contains(text+"\n", about) {
			return m, text
		}
	}
	return feishusim.Message{}, ""
}

// untilReads waits until the person's newest message about the merge request begins with
// the title and holds the words.
func (w *world) untilReads(who feishusim.User, iid int, title string, words ...string) feishusim.Message {
	w.t.Helper()
	w.eventually(who.Name+" reads "+title+" "+strings.Join(words, ", "), func() bool {
		_, text := w.latestAbout(who, iid)
		for _, word := range words {
			if !strings.Contains(text, word) {
				return false
			}
		}
		return strings.HasPrefix(text, title)
	})
	m, _ := w.latestAbout(who, iid)
	return m
}

// pressOn has the person press a button of the message.
func (w *world) pressOn(l *listener, who feishusim.User, m feishusim.Message, button string) feishusim.Toast {
	w.t.Helper()
	answer, err := w.tryClick(l, who, m.ID, button, "")
	if err != nil || answer.Toast == nil {
		w.t.Fatalf("%s presses %s: %+v, %v", who.Name, button, answer, err)
	}
	return *answer.Toast
}

// waitsForPipeline is a rule that waits for the pipeline.
func waitsForPipeline() setting {
	return policyWith("    approvers:", "    merge: {when_pipeline_succeeds: true}\n    approvers:")
}

func TestEveryAnswerOfGitLabHasItsWords(t *testing.T) {
	t.Parallel()
	const merging, waiting, blocked = "Approved, merging ·", "Approved, waiting for the pipeline ·", "Approved, but blocked ·"
	answers := []struct{ status, title, says string }{
		{"preparing", merging, "GitLab is merging it"},
		{"checking", merging, "GitLab is merging it"},
		{"unchecked", merging, "GitLab is merging it"},
		{"approvals_syncing", merging, "GitLab is merging it"},
		{"ci_still_running", waiting, "It will be merged when the pipeline passes"},
		{"ci_must_pass", blocked, "The project requires a pipeline, and this commit has none; Bob Chen (@bob) has to run one"},
		{"status_checks_must_pass", blocked, "External status checks have not passed; Bob Chen (@bob) has to see which"},
		{"merge_time", blocked, "Its scheduled merge time has not come; nobody has to do anything"},
		{"security_policy_violations", blocked, "Violates a security policy; Bob Chen (@bob) has to fix that"},
		{"merge_request_blocked", blocked, "Blocked by another merge request, which has to be merged first"},
		{"commits_status", blocked, "The source branch is missing or has no commits; Bob Chen (@bob) has to push it again"},
		{"conflict", blocked, "Conflicts with main; Bob Chen (@bob) has to resolve them (the new commit needs a new approval)"},
		{"need_rebase", blocked, "Must be rebased onto main by Bob Chen (@bob) (needs a new approval afterwards)"},
		{"discussions_not_resolved", blocked, "Unresolved threads; Bob Chen (@bob) or a reviewer has to resolve them"},
		{"draft_status", blocked, "Still a draft; Bob Chen (@bob) has to mark it ready"},
		{"not_approved", blocked, "GitLab requires further approvals, which others have to give in GitLab"},
		{"requested_changes", blocked, "A reviewer requested changes, and has to review it again in GitLab"},
		{"jira_association_missing", blocked, "Names no Jira issue in title or description; Bob Chen (@bob) has to add one"},
		{"title_regex", blocked, "The title does not meet the project's rule; Bob Chen (@bob) has to change it"},
		{"locked_paths", blocked, "Locked files; whoever locked them has to unlock them"},
		{"locked_lfs_files", blocked, "Locked files; whoever locked them has to unlock them"},
		{"moon_phase", blocked, `GitLab says "moon_phase"; Bob Chen (@bob) has to look in GitLab`},
	}
	w := newWorld(t, alone(), ready(), func(s *setup) { s.feishu.Unlimited = true })
	l := w.start()
	for i, a := range answers {
		iid := w.open(func(mr *gitlabsim.MergeRequest) { mr.Title, mr.Source = "Say "+a.status, "feature/"+a.status }).IID
		if iid != i+1 {
			t.Fatalf("!%d", iid)
		}
		w.webhook(l, iid, "open")
	}
	for i, a := range answers {
		card := w.untilReads(w.alice, i+1, "Approval needed ·")
		w.untilReads(w.bob, i+1, "Sent for approval ·")
		w.gitlab.SetBlocker(project, i+1, a.status)
		says(t, new(w.pressOn(l, w.alice, card, "approve")), "success", "Approved, merging")
	}
	for i, a := range answers {
		card := w.untilReads(w.alice, i+1, a.title, a.says)
		retry := strings.Contains(card.Card, `"a":"retry"`)
		if retry != (a.title == blocked) {
			t.Errorf("%s: Retry is offered to Alice: %v", a.status, retry)
		}
		if a.title == blocked {
			told := w.untilReads(w.bob, i+1, blocked, a.says)
			first := told.History[0].Card
			if !strings.HasPrefix(feishusim.PlainText(first), blocked) || !strings.Contains(first, `"a":"retry"`) {
				t.Errorf("%s: Bob was not told by a message of its own, with Retry:\n%s", a.status, first)
			}
		}
		if w.mr(i+1).State != "opened" {
			t.Errorf("%s: it is %s", a.status, w.mr(i+1).State)
		}
	}
	// The cause goes without a new commit. That is told by a webhook, or by the
	// author; what is looked at every few seconds, by nobody.
	for i, a := range answers {
		w.gitlab.SetBlocker(project, i+1, "")
		switch {
		case a.title == merging:
		case a.title == waiting || i%2 == 0:
			w.webhook(l, i+1, "update")
		default:
			m, _ := w.latestAbout(w.bob, i+1)
			says(t, new(w.pressOn(l, w.bob, m, "Retry")), "info", "Retrying")
		}
	}
	for i, a := range answers {
		w.eventually(a.status+" is merged", func() bool { return w.mr(i+1).State == "merged" })
		w.untilReads(w.alice, i+1, "Merged ·")
		if m := w.untilReads(w.bob, i+1, "Merged ·", "merged into main"); strings.Contains(m.Card, `"callback"`) {
			t.Errorf("%s: Bob can press something on\n%s", a.status, m.Card)
		}
	}
}

// What no detailed_merge_status names.
func TestRefusalsHaveTheirOwnWords(t *testing.T) {
	t.Parallel()
	role := func(level int) func(p *gitlabsim.Project) {
		return func(p *gitlabsim.Project) { p.BotAccess = level }
	}
	for name, c := range map[string]struct {
		refuse, mend func(w *world)
		title, says  string
	}{
		"may not merge": {
			func(w *world) {
				w.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.MergeAccess = gitlabsim.NoOne })
			},
			func(w *world) {
				w.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.MergeAccess = gitlabsim.Developer })
			},
			"Needs an administrator ·", "bot mrgate-bot may not merge into main; an administrator must allow it in Protected branches",
		},
		"may not approve": {
			func(w *world) { w.gitlab.ChangeProject(project, role(gitlabsim.Reporter)) },
			func(w *world) { w.gitlab.ChangeProject(project, role(gitlabsim.Maintainer)) },
			"Needs an administrator ·", "bot may not approve this merge request: its role is too low, or it has commits in it; an administrator must fix that",
		},
		"a merge that fails": {
			func(w *world) { w.gitlab.FailNextMerge(project, 1, "pre-receive hook declined") },
			func(*world) {},
			"Approved, but blocked ·", "GitLab: pre-receive hook declined. Bob Chen (@bob) or an administrator has to fix that",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, ready())
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			c.refuse(w)
			w.click(l, w.alice, "approve", "")
			card := w.untilReads(w.alice, mr.IID, c.title, c.says)
			w.untilReads(w.carol, mr.IID, c.title, c.says, "Retry")
			w.untilReads(w.bob, mr.IID, c.title, c.says, "Retry")
			c.mend(w)
			says(t, new(w.pressOn(l, w.alice, card, "Retry")), "info", "Retrying")
			w.ended("Merged ·", "merged into main", w.alice, w.carol)
		})
	}
}

// Whoever may not retry is told so.
func TestRetryByAnOutsider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.gitlab.SetBlocker(project, mr.IID, "merge_time")
	w.click(l, w.alice, "approve", "")
	card := w.untilReads(w.carol, mr.IID, "Approved, but blocked ·")
	answer, err := w.feishu.Click(t.Context(), l.url+"/feishu/callback", card.ID, w.dave.OpenID, feishusim.ClickOptions{Button: "Retry", Anyone: true})
	if err != nil {
		t.Fatal(err)
	}
	says(t, answer.Toast, "error", `You are not an approver under rule "production". Nothing changed`)
}

func TestRetargetBetweenApproveAndMerge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, target string
		phase        gitlabsim.Phase
		asked        bool
	}{
		{"to a branch without a rule, before the approval", "playground", gitlabsim.Arrived, false},
		{"to a branch without a rule, after the approval", "playground", gitlabsim.Done, false},
		{"to a branch with a rule, before the approval", "release/1", gitlabsim.Arrived, true},
		{"to a branch with a rule, after the approval", "release/1", gitlabsim.Done, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, ready())
			l := w.start("--sweep", "0")
			mr := w.begin(l, w.alice, w.carol)
			first := w.card(w.alice)
			retarget := sync.OnceFunc(func() { w.gitlab.Retarget(project, mr.IID, c.target) })
			w.gitlab.Hook(func(r *http.Request, p gitlabsim.Phase) {
				if p == c.phase && strings.HasSuffix(r.URL.Path, "/approve") {
					retarget()
				}
			})
			says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
			w.eventually("Alice's card says that it counts no longer", func() bool {
				card := w.cards(w.alice)[0]
				text := feishusim.PlainText(card.Card)
				return card.ID == first.ID && strings.HasPrefix(text, "Target changed ·") && !strings.Contains(card.Card, `"callback"`) &&
					strings.Contains(text, "Now targets "+c.target+" instead of main")
			})
			w.eventually("the approval is taken back", func() bool {
				return count(w.forgeCalls(), "POST 1/approve 201") == 1 && len(w.mr(mr.IID).ApprovedBy) == 0
			})
			if c.asked {
				w.untilReads(w.alice, mr.IID, "Approval needed", c.target)
				w.untilReads(w.carol, mr.IID, "Approval needed", c.target)
			}
			w.never("it was merged", func() bool { return w.mr(mr.IID).State != "opened" || count(w.forgeCalls(), "PUT 1/merge") > 0 })
		})
	}
}

func TestPipelineThatIsNotThisCommitsDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]bool{"": false, "on an old server": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, waitsForPipeline(), ready(), func(s *setup) { s.gitlab.OldAutoMerge = old })
			l := w.start()
			mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.HasPipeline = true })
			w.gitlab.SetPipeline(project, mr.IID, "success")
			w.webhook(l, mr.IID, "open")
			w.card(w.alice)
			w.card(w.carol)
			w.gitlab.PushWithoutPipeline(project, mr.IID, another()) // git push -o ci.skip
			w.webhook(l, mr.IID, "update")
			card := w.untilReads(w.alice, mr.IID, "Approval needed, updated ·", w.mr(mr.IID).Head[:8])
			w.pressOn(l, w.alice, card, "approve")
			w.untilReads(w.alice, mr.IID, "Approved, but blocked ·", "The rule waits for a pipeline, and this commit has none; Bob Chen (@bob) has to run one")
			told := w.untilReads(w.bob, mr.IID, "Approved, but blocked ·", "has none")
			if n := count(w.forgeCalls(), "PUT 1/merge"); n > 0 || w.mr(mr.IID).State != "opened" {
				t.Errorf("%s after %d merges", w.mr(mr.IID).State, n)
			}
			w.gitlab.SetPipeline(project, mr.IID, "success")
			w.pressOn(l, w.bob, told, "Retry")
			w.ended("Merged ·", "merged into main", w.alice, w.carol)
		})
	}
}

func TestPipelineThatDidNotPassIsLinked(t *testing.T) {
	t.Parallel()
	for status, words := range map[string]string{"failed": "failed", "skipped": "was skipped", "canceled": "was cancelled"} {
		for name, old := range map[string]bool{"": false, ", on an old server": true} {
			t.Run(status+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, waitsForPipeline(), ready(), func(s *setup) { s.gitlab.OldAutoMerge = old })
				w.gitlab.SetURL(w.gitlabURL)
				l := w.start()
				mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.HasPipeline = true })
				w.gitlab.SetPipeline(project, mr.IID, status)
				id := strconv.FormatInt(w.mr(mr.IID).Pipeline.ID, 10)
				w.webhook(l, mr.IID, "open")
				w.card(w.carol)
				w.click(l, w.alice, "approve", "")
				for _, who := range []feishusim.User{w.alice, w.carol, w.bob} {
					m := w.untilReads(who, mr.IID, "Approved, but blocked ·", "Pipeline #"+id+" "+words, "View pipeline #"+id)
					if !strings.Contains(m.Card, w.gitlabURL+"/"+projectPath+"/-/pipelines/"+id) {
						t.Errorf("%s has no link to the pipeline: %s", who.Name, m.Card)
					}
				}
				w.never("it was merged", func() bool { return w.mr(mr.IID).State != "opened" || count(w.forgeCalls(), "PUT 1/merge") > 0 })
			})
		}
	}
}

// How old a merge request is, its own clock says.
func TestYoungMergeRequestWaitsForItsPipeline(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	w := newWorld(t, waitsForPipeline(), ready(), func(s *setup) {
		s.gitlab.Now = func() time.Time { return time.Now().Add(-26*time.Hour + time.Duration(later.Load())) }
	})
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.click(l, w.alice, "approve", "")
	w.untilReads(w.carol, mr.IID, "Approved, merging ·")
	w.never("it was merged without waiting for its pipeline", func() bool { return count(w.forgeCalls(), "PUT 1/merge") > 0 })
	later.Store(int64(time.Minute))
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
}

func TestDroppedAutoMergeIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, waitsForPipeline(), ready())
	l := w.start()
	mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.HasPipeline = true })
	w.webhook(l, mr.IID, "open")
	w.card(w.carol)
	w.click(l, w.alice, "approve", "")
	w.untilReads(w.carol, mr.IID, "Approved, waiting for the pipeline ·")
	w.eventually("GitLab is to merge by itself", func() bool { return w.mr(mr.IID).AutoMerge })
	w.gitlab.CancelAutoMerge(project, mr.IID, "erin")
	w.gitlab.SetTitle(project, mr.IID, "Retry the payment callback, again") // has something to tell
	w.webhook(l, mr.IID, "update")
	card := w.untilReads(w.carol, mr.IID, "Approved, but blocked ·", "Auto-merge was cancelled in GitLab", "has to press Retry")
	w.untilReads(w.bob, mr.IID, "Approved, but blocked ·", "Auto-merge was cancelled in GitLab")
	w.pressOn(l, w.carol, card, "Retry")
	w.eventually("GitLab is to merge by itself again", func() bool { return w.mr(mr.IID).AutoMerge })
	w.gitlab.SetPipeline(project, mr.IID, "success")
	w.gitlab.Wait()
	w.webhook(l, mr.IID, "merge")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
}
