package e2e

import (
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// hup has the listener read its policy again, and waits until it has.
func (l *listener) hup() {
	l.t.Helper()
	l.hupped(`msg="the policy was read again"`)
}

// hupped sends SIGHUP, and waits until the log says once more what came of it.
func (l *listener) hupped(says string) {
	l.t.Helper()
	before := strings.Count(l.log.String(), says)
	if err := l.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		l.t.Fatal(err)
	}
	eventually(l.t, "the log says "+says, func() bool { return strings.Count(l.log.String(), says) > before })
}

// Changes of the usual policy.
const (
	bothApprove = "approvers: [alice@example.com, carol@example.com]"
	onlyCarol   = "approvers: [carol@example.com]"
	daveToo     = "approvers: [alice@example.com, carol@example.com, dave@example.com]"
	twoNeeded   = bothApprove + "\n    required: 2"
	onlyApprove = bothApprove + "\n    on_approve: approve"
	toMain      = `target_branches: ["main", "release/*"]`
	notToMain   = `target_branches: ["release/*"]`
)

func changed(old, new string) string {
	if !strings.Contains(policyText, old) {
		panic("the policy has no " + old)
	}
	return strings.Replace(policyText, old, new, 1)
}

// stuck has Alice approve what cannot be merged for a conflict.
func (w *world) stuck(l *listener, iid int) {
	w.t.Helper()
	w.gitlab.SetConflict(project, iid, true)
	says(w.t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.eventually("it is approved and blocked", func() bool {
		return w.shows(w.carol, "Approved, but blocked ·") && w.shows(w.alice, "Approved, but blocked ·") && len(w.mr(iid).ApprovedBy) == 1
	})
}

// takenBack waits until GitLab has mrgate's approval no more.
func (w *world) takenBack(iid int) {
	w.t.Helper()
	w.eventually("the approval is taken back in GitLab", func() bool { return len(w.mr(iid).ApprovedBy) == 0 })
}

const lapsed = "Alice may no longer decide; that approval no longer counts"

// Whichever way another policy comes, what is open is judged by it.
func TestAnotherPolicyHoldsForWhatIsOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string // policies; before "": the usual one
		test          func(w *world, l *listener, mr gitlabsim.MergeRequest, change func() *listener)
	}{
		"an approver is removed before anybody decides": {"", changed(bothApprove, onlyCarol), func(w *world, _ *listener, _ gitlabsim.MergeRequest, change func() *listener) {
			l := change()
			w.eventually("Alice's card asks no more", func() bool { return !w.asks(w.alice, "approve") && !w.asks(w.alice, "reject") })
			w.refused(l, w.alice, w.card(w.carol).ID, feishusim.ClickOptions{Button: "approve", Anyone: true},
				`You are not an approver under rule "production". Nothing changed`)
			says(w.t, w.click(l, w.carol, "approve", "").Toast, "success", "Approved, merging")
			w.ended("Merged ·", "Carol approved acme/webhook !1; merged into main", w.alice, w.carol)
		}},
		"an approver is removed who has approved": {"", changed(bothApprove, onlyCarol), func(w *world, l *listener, mr gitlabsim.MergeRequest, change func() *listener) {
			w.stuck(l, mr.IID)
			l = change()
			w.takenBack(mr.IID)
			w.eventually("the cards say why it is pending again", func() bool {
				return w.shows(w.alice, "Approval needed ·", lapsed) && w.shows(w.carol, "Approval needed ·", lapsed) &&
					w.asks(w.carol, "approve") && !w.asks(w.alice, "approve") && !w.asks(w.alice, "reject")
			})
			w.gitlab.SetConflict(project, mr.IID, false)
			w.settle()
			w.webhook(l, mr.IID, "update")
			w.never("it was approved or merged again", func() bool { return w.mr(mr.IID).State != "opened" || len(w.mr(mr.IID).ApprovedBy) > 0 })
			says(w.t, w.click(l, w.carol, "approve", "").Toast, "success", "Approved, merging")
			w.ended("Merged ·", "Carol approved acme/webhook !1; merged into main", w.alice, w.carol)
		}},
		"an approver is removed whose approval was the end": {changed(bothApprove, onlyApprove), changed(bothApprove, strings.Replace(onlyApprove, bothApprove, onlyCarol, 1)), func(w *world, l *listener, mr gitlabsim.MergeRequest, change func() *listener) {
			w.click(l, w.alice, "approve", "")
			w.ended("Approved ·", "Alice approved acme/webhook !1. Merge it in GitLab", w.alice, w.carol)
			w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
			l = change()
			w.takenBack(mr.IID)
			w.eventually("Carol is asked again", func() bool { return w.shows(w.carol, "Approval needed ·", lapsed) && w.asks(w.carol, "approve") })
			w.eventually("the author reads that it is not approved any more", func() bool { return strings.Contains(w.reads(w.bob), lapsed) })
			w.click(l, w.carol, "approve", "")
			w.ended("Approved ·", "Carol approved acme/webhook !1. Merge it in GitLab", w.alice, w.carol)
			w.eventually("it is approved in GitLab again", func() bool {
				note := w.mr(mr.IID).Notes[0].Body
				return len(w.mr(mr.IID).ApprovedBy) == 1 && strings.Contains(note, "Approved by Carol") && strings.Contains(note, "Approved by Alice")
			})
		}},
		"more are required": {"", changed(bothApprove, twoNeeded), func(w *world, l *listener, mr gitlabsim.MergeRequest, change func() *listener) {
			w.stuck(l, mr.IID)
			l = change()
			w.takenBack(mr.IID)
			w.eventually("the cards count", func() bool {
				return w.shows(w.alice, "Approved 1 of 2 ·", "Alice approved; 1 more needed") && w.shows(w.carol, "Approved 1 of 2 ·") && w.asks(w.carol, "approve")
			})
			w.gitlab.SetConflict(project, mr.IID, false)
			w.settle()
			w.webhook(l, mr.IID, "update")
			w.never("it was approved or merged again", func() bool { return w.mr(mr.IID).State != "opened" || len(w.mr(mr.IID).ApprovedBy) > 0 })
			w.click(l, w.carol, "approve", "")
			w.ended("Merged ·", "Alice and Carol approved acme/webhook !1; merged into main", w.alice, w.carol)
		}},
		"fewer are required": {changed(bothApprove, twoNeeded), policyText, func(w *world, l *listener, _ gitlabsim.MergeRequest, change func() *listener) {
			w.click(l, w.alice, "approve", "")
			w.eventually("one approval is missing", func() bool { return w.shows(w.carol, "Approved 1 of 2 ·") })
			change()
			w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
		}},
		"an approver is added": {"", changed(bothApprove, daveToo), func(w *world, _ *listener, _ gitlabsim.MergeRequest, change func() *listener) {
			l := change()
			w.card(w.dave)
			w.eventually("the author reads who is asked", func() bool { return strings.Contains(w.reads(w.bob), "Alice, Carol and Dave") })
			w.click(l, w.dave, "approve", "")
			w.ended("Merged ·", "Dave approved acme/webhook !1; merged into main", w.alice, w.carol, w.dave)
		}},
		"the rule is removed before anybody decides": {"", changed(toMain, notToMain), func(w *world, _ *listener, mr gitlabsim.MergeRequest, change func() *listener) {
			l := change()
			w.ended("No longer needed ·", "no rule covers main any more", w.alice, w.carol)
			w.settle()
			w.webhook(l, mr.IID, "update")
			w.never("it was approved or merged again", func() bool { return w.mr(mr.IID).State != "opened" || len(w.mr(mr.IID).ApprovedBy) > 0 })
		}},
		"the rule is removed after an approval": {"", changed(toMain, notToMain), func(w *world, l *listener, mr gitlabsim.MergeRequest, change func() *listener) {
			w.stuck(l, mr.IID)
			l = change()
			w.takenBack(mr.IID)
			w.ended("No longer needed ·", "no rule covers main any more", w.alice, w.carol)
			w.gitlab.SetConflict(project, mr.IID, false)
			w.settle()
			w.webhook(l, mr.IID, "update")
			w.never("it was approved or merged again", func() bool { return w.mr(mr.IID).State != "opened" || len(w.mr(mr.IID).ApprovedBy) > 0 })
		}},
		"a rule covers what none did": {changed(toMain, notToMain), policyText, func(w *world, _ *listener, _ gitlabsim.MergeRequest, change func() *listener) {
			w.never("somebody is asked without a rule", func() bool { return len(w.feishu.Messages()) > 0 })
			change()
			w.card(w.alice)
			w.card(w.carol)
		}},
		"something else": {"", changed("users:\n", "note: public\nusers:\n  erin: erin@example.com\n"), func(w *world, _ *listener, _ gitlabsim.MergeRequest, change func() *listener) {
			w.settle()
			change()
			w.never("a card changes that has nothing else to show", func() bool { return len(w.chatCalls()) > 0 || len(w.writes()) > 0 })
		}},
		"the language": {"", changed("locale: en", "locale: zh"), func(w *world, _ *listener, _ gitlabsim.MergeRequest, change func() *listener) {
			l := change()
			w.eventually("the cards are in Chinese", func() bool { return w.shows(w.alice, "待审批 ·") && w.shows(w.carol, "待审批 ·") })
			says(w.t, w.click(l, w.alice, "approve", "").Toast, "success", "已批准，正在合并")
		}},
	} {
		for _, way := range []string{"SIGHUP", "restart"} {
			t.Run(name+", by "+way, func(t *testing.T) {
				t.Parallel()
				before := c.before
				if before == "" {
					before = policyText
				}
				w := newWorld(t, ready(), withPolicy(before))
				l := w.start()
				var mr gitlabsim.MergeRequest
				if strings.Contains(before, notToMain) {
					mr = w.open()
					w.webhook(l, mr.IID, "open")
				} else {
					mr = w.begin(l, w.alice, w.carol)
				}
				c.test(w, l, mr, func() *listener {
					w.setPolicy(c.after)
					if way == "SIGHUP" {
						l.hup()
						return l
					}
					l.stop()
					return w.start()
				})
			})
		}
	}
}

// The rule is looked up again before every effect: whatever GitLab is asked just
// then, nothing follows from an approval that the new policy does not want.
func TestPolicyTightenedBetweenTheClickAndTheMerge(t *testing.T) {
	t.Parallel()
	for moment, at := range map[string]struct {
		method, suffix string
		answers        int // in place of GitLab; 0: it does what it is asked
	}{
		"while it is approved":            {http.MethodPost, "/approve", 0},
		"while it is read for the merge":  {http.MethodGet, "/merge_requests/1", 0},
		"while GitLab does not merge yet": {http.MethodPut, "/merge", http.StatusMethodNotAllowed},
	} {
		for change, c := range map[string]struct{ policy, title, says string }{
			"an approver is removed": {changed(bothApprove, onlyCarol), "Approval needed ·", lapsed},
			"more are required":      {changed(bothApprove, twoNeeded), "Approved 1 of 2 ·", "1 more needed"},
			"the rule is removed":    {changed(toMain, notToMain), "No longer needed ·", "No rule covers main any more"},
		} {
			t.Run(moment+", "+change, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, ready())
				l := w.start()
				mr := w.begin(l, w.alice, w.carol)
				w.settle()
				if at.answers != 0 {
					w.gitlab.Inject(gitlabsim.Fault{Method: at.method, PathSuffix: at.suffix, Times: 1, Status: at.answers})
				}
				reached, goOn := make(chan struct{}), make(chan struct{})
				hold := sync.OnceFunc(func() { close(reached); <-goOn })
				w.gitlab.Hook(func(r *http.Request, p gitlabsim.Phase) {
					if p == gitlabsim.Done && r.Method == at.method && strings.HasSuffix(r.URL.Path, at.suffix) {
						hold()
					}
				})
				w.setPolicy(c.policy)
				says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
				<-reached
				l.hup()
				close(goOn)
				w.takenBack(mr.IID)
				for _, who := range []feishusim.User{w.alice, w.carol} {
					w.eventually(who.Name+"'s card says why", func() bool { return w.shows(who, c.title, c.says) })
				}
				w.never("it was merged under a policy that is over", func() bool {
					return w.mr(mr.IID).State != "opened" || len(w.mr(mr.IID).ApprovedBy) > 0 || count(w.forgeCalls(), "PUT 1/merge 200") > 0
				})
			})
		}
	}
}

func TestBadPolicyIsRefusedAndTheOneBeforeStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	w.begin(l, w.alice, w.carol)
	const kept = "the one before stays in force"
	for name, bad := range map[string]struct{ text, says string }{
		"a rule that nobody can fulfil": {changed(bothApprove, bothApprove+"\n    required: 3"), "policy.yaml:7:15: required: 3 people must approve"},
		"an unknown key":                {policyText + "aprovers: [x]\n", "policy.yaml:10:1: "},
		"broken YAML":                   {"rules: [", "policy.yaml:1:"},
		"no rules":                      {"locale: en\n", "policy.yaml: holds no rules"},
	} {
		w.setPolicy(bad.text)
		l.hupped(kept)
		if log := l.log.String(); !strings.Contains(log, bad.says) {
			t.Errorf("%s: the log lacks %q:\n%s", name, bad.says, log)
		}
	}
	w.setPolicy(policyText)
	l.hup()
	if log := l.log.String(); strings.Contains(log, "has changed in it") {
		t.Errorf("the log speaks of settings, and there are none:\n%s", log)
	}
	w.setPolicy(policyText + "sweep: 5m\ngitlab_token: " + webhookSecret + "\n")
	l.hupped(`settings="gitlab_token, sweep"`)
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
	l.stop()
}
