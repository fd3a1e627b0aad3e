package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

const (
	maintainers = "require_gitlab_role: maintainer\n    " + bothApprove
	notInGitLab = "You are not maintainer in GitLab"
)

// withRoles is a world whose rule demands a role, and whose approvers GitLab knows.
func withRoles(t *testing.T, change ...string) *world {
	t.Helper()
	text := changed(bothApprove, maintainers)
	text = strings.Replace(text, "users:\n", "users:\n  alice: alice@example.com\n  \"7001\": carol@example.com\n", 1)
	for i := 0; i < len(change); i += 2 {
		text = strings.Replace(text, change[i], change[i+1], 1)
	}
	w := newWorld(t, withPolicy(text))
	w.gitlab.AddUser(gitlabsim.User{ID: 7001, Username: "carol.w", Name: "Carol Wu"})
	w.gitlab.SetMember(project, "alice", gitlabsim.Maintainer)
	w.gitlab.SetMember(project, "carol.w", gitlabsim.Developer)
	return w
}

func TestApprovalNeedsARoleInGitLab(t *testing.T) {
	t.Parallel()
	w := withRoles(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)

	says(t, w.click(l, w.carol, "approve", "").Toast, "info", "Recorded, being checked")
	w.eventually("the developer reads on her card that it does not count", func() bool { return w.shows(w.carol, "Approval needed ·", notInGitLab) })
	if got := w.mr(mr.IID); got.State != "opened" || len(got.ApprovedBy) > 0 {
		t.Errorf("a developer's approval did something: %s, %v", got.State, got.ApprovedBy)
	}
	if log := w.run(nil, "log", "--db", w.db).stdout; !strings.Contains(log, notInGitLab) {
		t.Errorf("the log does not say why:\n%s", log)
	}

	says(t, w.click(l, w.alice, "approve", "").Toast, "info", "Recorded, being checked")
	w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
	calls, asked := w.gitlab.Calls(), 0
	for i, c := range calls {
		if strings.Contains(c.Path, "/members/all/1091277") {
			asked = i
		}
		if strings.HasSuffix(c.Path, "/merge") && asked == 0 {
			t.Errorf("it was merged before anybody asked for the role: %v", w.forgeCalls())
		}
	}
}

func TestRejectionNeedsNoRole(t *testing.T) {
	t.Parallel()
	w := withRoles(t)
	l := w.start()
	w.begin(l, w.alice, w.carol)
	says(t, w.click(l, w.carol, "reject", "not yet").Toast, "success", "Rejected, closing the merge request")
	w.eventually("it is closed", func() bool { return w.mr(1).State == "closed" })
}

func TestWhoNobodyCanTellInGitLabIsToldWhatToAdd(t *testing.T) {
	t.Parallel()
	w := withRoles(t, "  alice: alice@example.com\n", "")
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	says(t, w.click(l, w.alice, "approve", "").Toast, "error", "Cannot tell who you are in GitLab; ask an administrator to add your username to users")

	if r := w.run(nil, "show", "1", "--db", w.db); !strings.Contains(r.stdout, "trouble       nobody can tell who Alice is in GitLab") {
		t.Errorf("show does not foretell it:\n%s", r.stdout)
	}

	// user_email tells it too, read backwards.
	w.setPolicy(strings.Replace(strings.Replace(policyText, bothApprove, maintainers, 1), "locale:", "user_email: \"{username}@example.com\"\nlocale:", 1))
	l.hup()
	w.click(l, w.alice, "approve", "")
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
}

func TestRoleLostBetweenClickAndMerge(t *testing.T) {
	t.Parallel()
	w := withRoles(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.gitlab.SetConflict(project, mr.IID, true)
	stale := w.pressed(w.alice, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve"}) // of a phone that does not show what came later
	w.click(l, w.alice, "approve", "")
	w.eventually("it is approved and blocked", func() bool {
		return w.shows(w.carol, "Approved, but blocked ·") && len(w.mr(mr.IID).ApprovedBy) == 1
	})
	w.settle()
	w.gitlab.SetMember(project, "alice", gitlabsim.Developer)
	w.gitlab.SetConflict(project, mr.IID, false)
	w.webhook(l, mr.IID, "update")
	w.takenBack(mr.IID)
	const why = "Alice is not maintainer in GitLab any more; that approval no longer counts"
	w.eventually("the cards say why it is pending again", func() bool {
		return w.shows(w.alice, "Approval needed ·", why) && w.shows(w.carol, "Approval needed ·", why)
	})
	if w.mr(mr.IID).State != "opened" {
		t.Errorf("it is %s", w.mr(mr.IID).State)
	}
	w.settle()
	says(t, w.postClick(l, stale).Toast, "info", "You are not maintainer in GitLab any more; your approval does not count until you are")
	if r := w.run(nil, "show", "1", "--db", w.db); !strings.Contains(r.stdout, "maintainer or more in the project") {
		t.Errorf("show does not say which role it takes:\n%s", r.stdout)
	}
	// With the role it counts again, and a click has that looked for.
	w.gitlab.SetMember(project, "alice", gitlabsim.Maintainer)
	w.postClick(l, stale)
	w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
}

func TestClickWaitsForItsRoleWhileGitLabIsDown(t *testing.T) {
	t.Parallel()
	w := withRoles(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	mend := w.gitlab.Inject(gitlabsim.Fault{
		Match: func(r *http.Request) bool {
			return strings.Contains(r.URL.Path, "/members/") || strings.HasSuffix(r.URL.Path, "/users")
		},
		Status: http.StatusBadGateway,
	})
	says(t, w.click(l, w.alice, "approve", "").Toast, "info", "Recorded, being checked")
	l.logs(`(not done yet; it will be tried again)`)
	if got := w.mr(mr.IID); got.State != "opened" || len(got.ApprovedBy) > 0 {
		t.Errorf("without a role something was done: %s, %v", got.State, got.ApprovedBy)
	}
	mend()
	w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
}
