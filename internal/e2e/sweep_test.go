package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// sweeping starts a listener that no webhook can reach, and waits until it has
// gone through GitLab's lists once.
func (w *world) sweeping(args ...string) *listener {
	w.t.Helper()
	before := w.sweeps()
	l := w.startIn(append(w.environ(), "MRGATE_GITLAB_WEBHOOK_SECRET="), append([]string{"--sweep", "1s"}, args...)...)
	w.eventually("it has swept", func() bool { return w.sweeps() > before })
	return l
}

// sweeps counts the sweeps that were through: each ends with a list of what is open.
func (w *world) sweeps() int {
	n := 0
	for _, c := range w.gitlab.Calls() {
		if c.Status != 0 && strings.Contains(c.RawQuery, "state=opened") && strings.Contains(c.RawQuery, "sort=asc") {
			n++
		}
	}
	return n
}

// skewed has GitLab's clock go wrong by d.
func skewed(d time.Duration) setting {
	return func(s *setup) { s.gitlab.Now = func() time.Time { return time.Now().Add(d) } }
}

// of is the person's newest card about the merge request; "": there is none.
func (w *world) of(who feishusim.User, ref string) string {
	for _, m := range slices.Backward(w.cards(who)) {
		if text := feishusim.PlainText(m.Card); strings.Contains(text, "· "+ref+"\n") {
			return text
		}
	}
	return ""
}

// numbered is a branch of its own for each merge request.
func numbered(n int) func(*gitlabsim.MergeRequest) {
	return func(m *gitlabsim.MergeRequest) { m.Source = fmt.Sprintf("feature/%d", n) }
}

// openMany opens as many merge requests into main, and more than a page of them
// into a branch that no rule covers.
func (w *world) openMany(asked int) {
	for i := range asked + 101 {
		w.open(numbered(i), func(m *gitlabsim.MergeRequest) {
			if i >= asked {
				m.Target = "develop"
			}
		})
	}
}

func TestWholeStoryWithoutWebhooks(t *testing.T) {
	t.Parallel()
	for name, skew := range map[string]time.Duration{"an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run("GitLab's clock is "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, skewed(skew))
			l := w.sweeping()
			mr := w.open()
			w.card(w.alice)
			w.card(w.carol)
			says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
			w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
			w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")

			other := w.open(numbered(2))
			w.eventually("Carol is asked again", func() bool { return w.of(w.carol, "acme/webhook !2") != "" })
			answer, err := w.tryClick(l, w.carol, w.newest(w.carol).ID, "reject", "too risky")
			if err != nil {
				t.Fatal(err)
			}
			says(t, answer.Toast, "success", "Rejected, closing the merge request")
			w.ended("Rejected ·", "Carol rejected acme/webhook !2: too risky", w.alice, w.carol)
			w.eventually("it is closed", func() bool { return w.mr(other.IID).State == "closed" })
			if !strings.Contains(l.log.String(), "found by sweeps alone") {
				t.Errorf("it is not said that there are no webhooks:\n%s", l.log)
			}
		})
	}
}

// What happens elsewhere is told by nobody, and every card follows.
func TestSweepFindsWhatHappensElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready())
	w.sweeping()
	const moved = int64(7)
	w.gitlab.AddProject(gitlabsim.Project{ID: moved, Path: "acme/api", BotAccess: 40})
	events := []struct {
		happens func(iid int)
		reads   string
	}{
		{func(iid int) { w.gitlab.MergeByHand(project, iid, "erin") }, "Merged in GitLab"},
		{func(iid int) { w.gitlab.Close(project, iid, "erin") }, "Closed"},
		{func(iid int) { w.gitlab.Retarget(project, iid, "develop") }, "Target changed"},
		{func(iid int) { w.gitlab.Retarget(project, iid, "release/1") }, "Approval needed, updated"},
		{func(iid int) { w.gitlab.SetDraft(project, iid, true) }, "Now a draft"},
		{func(iid int) { w.gitlab.SetTitle(project, iid, "Another title") }, "Approval needed"},
		{func(iid int) { w.gitlab.Push(project, iid, another()) }, "Approval needed, updated"},
	}
	for i := range events {
		w.open(numbered(i))
	}
	w.gitlab.Open(gitlabsim.MergeRequest{ProjectID: moved, Author: "bob"})
	ref := func(i int) string { return fmt.Sprintf("acme/webhook !%d", i+1) }
	// Feishu takes five messages a second to one person, so that some come later.
	for _, who := range []feishusim.User{w.alice, w.carol} {
		for i := range events {
			w.eventually(who.Name+" is asked about "+ref(i), func() bool { return strings.HasPrefix(w.of(who, ref(i)), "Approval needed ·") })
		}
		w.eventually(who.Name+" is asked about acme/api", func() bool { return w.of(who, "acme/api !1") != "" })
	}

	for i, e := range events {
		e.happens(i + 1)
	}
	w.gitlab.Rename(moved, "acme/backend")
	for _, who := range []feishusim.User{w.alice, w.carol} {
		for i, e := range events {
			w.eventually(who.Name+" reads of "+ref(i)+": "+e.reads, func() bool { return strings.HasPrefix(w.of(who, ref(i)), e.reads+" ·") })
		}
		w.eventually(who.Name+" reads the new path", func() bool { return w.of(who, "acme/backend !1") != "" })
	}
	w.eventually("the card shows the new title", func() bool { return strings.Contains(w.of(w.alice, ref(5)), "Another title") })
	w.eventually("the card shows the new commit", func() bool { return strings.Contains(w.of(w.alice, ref(6)), w.mr(7).Head[:8]) })

	// And back again.
	w.gitlab.Reopen(project, 2, "erin")
	w.gitlab.SetDraft(project, 5, false)
	for _, i := range []int{1, 4} {
		w.eventually(ref(i)+" is asked about again", func() bool { return strings.HasPrefix(w.of(w.alice, ref(i)), "Approval needed") })
	}
	w.gitlab.ResetCalls()
	w.gitlab.Rename(moved, "nobody/backend")
	w.eventually("no rule covers it any more", func() bool {
		return strings.HasPrefix(w.of(w.alice, "nobody/backend !1"), "No longer needed ·")
	})
	if n := len(w.log("bypassed")); n != 1 {
		t.Errorf("%d merges around the gate are logged, want one", n)
	}
}

// A push back to an earlier commit is in no list of what has changed.
func TestSweepFindsAPushBack(t *testing.T) {
	t.Parallel()
	for name, projects := range map[string]string{"in a group": `["acme/*"]`, "in a project": `["acme/webhook"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, policyWith(`["acme/*"]`, projects))
			l := w.sweeping()
			mr := w.open()
			w.card(w.alice)
			w.card(w.carol)
			w.gitlab.Push(project, mr.IID, another())
			w.eventually("the card shows B", func() bool { return w.shows(w.alice, "Approval needed", w.mr(mr.IID).Head[:8]) })
			said := w.mr(mr.IID).UpdatedAt
			w.gitlab.ForcePush(project, mr.IID, mr.Commits...)
			if !w.mr(mr.IID).UpdatedAt.Equal(said) {
				t.Fatal("GitLab tells of it")
			}
			w.eventually("it is asked about A again", func() bool { return len(w.log("opened")) == 3 })
			w.settle()
			says(t, w.click(l, w.alice, "approve", "").Toast, "info", newerCommit)
			w.undecided(mr.IID)
		})
	}
}

func TestListenerThatWasDownForTheWholeLifeCatchesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready())
	l := w.sweeping()
	w.open(numbered(1))
	w.card(w.alice)
	w.card(w.carol)
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
	l.stop()

	w.gitlab.Close(project, 1, "erin")
	w.open(numbered(2))
	w.gitlab.MergeByHand(project, 2, "erin")
	w.open(numbered(3))
	w.gitlab.Close(project, 3, "erin")
	w.open(numbered(4), func(m *gitlabsim.MergeRequest) { m.Target = "develop" }) // no rule
	w.gitlab.MergeByHand(project, 4, "erin")
	w.open(numbered(5))
	w.gitlab.Push(project, 5, another())

	w.sweeping()
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+" reads that the first is closed", func() bool {
			return strings.HasPrefix(w.of(who, "acme/webhook !1"), "Closed ·") && strings.Contains(w.of(who, "acme/webhook !1"), "Erin")
		})
		w.eventually(who.Name+" is asked about the fifth", func() bool {
			return strings.Contains(w.of(who, "acme/webhook !5"), w.mr(5).Head[:8])
		})
	}
	w.eventually("what was merged unasked is logged", func() bool { return len(w.log("bypassed")) == 1 })
	if e := w.log("bypassed")[0]; e.IID != 2 {
		t.Errorf("logged: %+v", e)
	}
	w.never("somebody was asked about what is over", func() bool { return len(w.cards(w.alice)) != 2 })
}

func TestFirstSweepTakesOnlyWhatIsNewUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alone(), ready())
	const old = 12
	w.openMany(old)
	w.gitlab.MergeByHand(project, 1, "erin")
	l := w.sweeping()
	w.open(numbered(1000))
	w.eventually("the new one is asked about", func() bool { return len(w.cards(w.alice)) == 1 })
	w.gitlab.Comment(project, 1, "erin", "well done") // and so it changes once more
	w.never("somebody was asked about old ones", func() bool { return len(w.cards(w.alice)) > 1 })
	l.stop()

	w.gitlab.Close(project, 2, "erin")
	l = w.sweeping("--backfill")
	w.eventually("all that is open is asked about", func() bool { return len(w.cards(w.alice)) == old-1 })
	w.never("somebody is asked about more", func() bool { return len(w.cards(w.alice)) > old-1 })
	if n := len(w.log("bypassed")); n != 0 {
		t.Errorf("%d merges around the gate are logged that were before its time", n)
	}
	l.stop()
}

// With nothing new a sweep is two calls for each list, however many merge
// requests there are.
func TestIdleSweepMakesNoCallPerMergeRequest(t *testing.T) {
	t.Parallel()
	const lists, asked = 3, 10
	w := newWorld(t, ready(), policyWith(`["acme/*"]`, `["acme/*", "shop/web", "4711"]`))
	w.gitlab.AddProject(gitlabsim.Project{Path: "shop/web", BotAccess: 40})
	w.gitlab.AddProject(gitlabsim.Project{ID: 4711, Path: "shop/api", BotAccess: 40})
	w.sweeping()
	w.eventually("all lists are begun", func() bool { return w.sweeps() >= lists })
	w.openMany(asked)
	w.eventually("all are asked about, and the author is told", func() bool { return len(w.feishu.Messages()) == 3*asked })
	w.eventually("all were read", func() bool { return count(w.forgeCalls(), "GET "+fmt.Sprint(asked+101)+" 200") > 0 })
	small := func() int { return count(w.forgeCalls(), "GET /api/v4/projects/4711/merge_requests") } // at least one a sweep
	w.settle()
	w.eventually("it has swept once more", func() bool { return small() > 2 })
	w.settle()
	w.eventually("it has swept some times", func() bool { return small() > 8 })
	calls := w.gitlab.Calls()
	sweeps := 0
	for _, c := range calls {
		if !strings.HasSuffix(c.Path, "/merge_requests") {
			t.Errorf("a sweep with nothing new called %s %s", c.Method, c.Path)
		}
		if strings.Contains(c.Path, "4711") && strings.Contains(c.RawQuery, "state=all") {
			sweeps++
		}
	}
	// What has just changed is read again for two minutes: that is two pages.
	if n := len(calls); n > (sweeps+1)*(2*lists+2) {
		t.Errorf("%d calls in %d sweeps of %d lists", n, sweeps, lists)
	}
}

// Two listeners that sweep on one database ask everybody once.
func TestTwoListenersSweepOneDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alone(), ready())
	first := w.sweeping()
	w.start("--sweep", "1s")
	for i := range 40 {
		w.open(numbered(i))
	}
	w.eventually("all are asked about", func() bool { return len(w.cards(w.alice)) == 40 })
	first.kill()
	w.open(numbered(40))
	w.eventually("the other goes on alone", func() bool { return len(w.cards(w.alice)) == 41 })
	w.never("somebody was asked twice", func() bool { return len(w.cards(w.alice)) > 41 })
}

// A project that is gone, or may not be seen, keeps no other from being found,
// and is said once.
func TestListThatFailsKeepsNoOtherFromItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alone(), ready(), policyWith(`["acme/*"]`, `["a/gone", "acme/webhook", "b/guest", "*/wherever", "bob/*"]`))
	w.gitlab.AddProject(gitlabsim.Project{Path: "b/guest", BotAccess: gitlabsim.Guest})
	own := w.gitlab.AddProject(gitlabsim.Project{Path: "bob/own", BotAccess: 40})
	elsewhere := w.gitlab.AddProject(gitlabsim.Project{Path: "c/wherever", BotAccess: 40})
	l := w.sweeping()
	w.eventually("all lists are begun", func() bool { return w.sweeps() >= 6 })
	for _, id := range []int64{project, own.ID, elsewhere.ID} {
		w.gitlab.Open(gitlabsim.MergeRequest{ProjectID: id, Author: "bob"})
	}
	for _, ref := range []string{"acme/webhook !1", "bob/own !1", "c/wherever !1"} {
		w.eventually("it is asked about "+ref, func() bool { return w.of(w.alice, ref) != "" })
	}
	for _, of := range []string{"changed in projects/a%2Fgone", "changed in projects/b%2Fguest"} {
		if n := strings.Count(l.log.String(), `what="`+of); n != 1 {
			t.Errorf("trouble with %s is said %d times:\n%s", of, n, l.log)
		}
	}

	// GitLab fails for a while, and what happened meanwhile is found.
	undo := w.gitlab.Inject(gitlabsim.Fault{Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/merge_requests") }, Status: http.StatusBadGateway})
	w.open(numbered(2))
	w.never("it was found without GitLab", func() bool { return w.of(w.alice, "acme/webhook !2") != "" })
	undo()
	w.eventually("it is found", func() bool { return w.of(w.alice, "acme/webhook !2") != "" })
}
