package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gitlabsim"
)

// status is what mrgate's status on the commit says; "": there is none.
func (w *world) status(sha string) string {
	for _, s := range slices.Backward(w.gitlab.Statuses(project, sha)) {
		if s.Name == "mrgate" {
			return s.Status
		}
	}
	return ""
}

// statusBecomes waits until it says that.
func (w *world) statusBecomes(sha, want string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("commit %.8s is %s", sha, want), func() bool { return w.status(sha) == want })
}

func TestStatusOnTheCommitIsASignAndNoGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready(), policyWith(bothApprove, bothApprove+"\n    commit_status: true\n    merge: {when_pipeline_succeeds: true}"))
	w.gitlab.SetURL(w.gitlabURL)
	l := w.hooked(w.start())
	posts := func(sha string) int {
		n := 0
		for _, c := range w.gitlab.Calls() {
			if c.Method == "POST" && strings.HasSuffix(c.Path, "/statuses/"+sha) {
				n++
			}
		}
		return n
	}
	ask := func(change ...func(*gitlabsim.MergeRequest)) (gitlabsim.MergeRequest, string) {
		t.Helper()
		before := len(w.cards(w.alice))
		change = append(change, func(m *gitlabsim.MergeRequest) { m.CreatedAt = time.Now().Add(-time.Hour) })
		mr := w.open(change...)
		w.eventually("Alice is asked", func() bool { return len(w.cards(w.alice)) > before })
		w.statusBecomes(mr.Head, "pending")
		return mr, w.newest(w.alice).ID
	}
	press := func(card, button, reason string) {
		t.Helper()
		if _, err := w.tryClick(l, w.alice, card, button, reason); err != nil {
			t.Fatal(err)
		}
	}

	// There is no CI, and the rule does not wait for the status as if it were some.
	mr, card := ask()
	press(card, "approve", "")
	w.statusBecomes(mr.Head, "success")
	if s := w.gitlab.Statuses(project, mr.Head); len(s) != 1 || posts(mr.Head) != 2 || s[0].TargetURL != w.gitlabURL+"/"+projectPath+"/-/merge_requests/1" ||
		s[0].Description != "acme/webhook !1 was approved" {
		t.Errorf("after %d calls: %+v", posts(mr.Head), s)
	}
	if now := w.mr(mr.IID); now.State != "merged" || now.Pipeline != nil {
		t.Errorf("it is %s, with the pipeline %+v", now.State, now.Pipeline)
	}

	mr, card = ask()
	press(card, "reject", "not yet")
	w.statusBecomes(mr.Head, "failed")

	// With CI it stays apart from that, and promises no more than was done.
	mr, _ = ask(func(m *gitlabsim.MergeRequest) { m.HasPipeline = true })
	w.gitlab.PushWithoutPipeline(project, mr.IID, another())
	w.gitlab.SetPipeline(project, mr.IID, "running")
	head := w.mr(mr.IID).Head
	w.webhook(l, mr.IID, "update")
	w.statusBecomes(head, "pending")
	w.statusBecomes(mr.Head, "canceled")
	w.eventually("Alice is asked about the new commit", func() bool { return strings.Contains(w.reads(w.alice), head[:8]) })
	press(w.newest(w.alice).ID, "approve", "")
	w.eventually("GitLab is to merge it", func() bool { return w.mr(mr.IID).AutoMerge })
	if p := w.mr(mr.IID).Pipeline; w.status(head) != "pending" || p.Source == "external" || p.Status != "running" {
		t.Errorf("the status is %s, the pipeline %+v", w.status(head), p)
	}
	w.gitlab.SetPipeline(project, mr.IID, "success")
	w.gitlab.Wait()
	w.webhook(l, mr.IID, "merge")
	w.statusBecomes(head, "success")
	l.stop()
	if log := w.run(nil, "log", "--db", w.db).stdout; strings.Count(log, "set the status of commit") != 8 {
		t.Errorf("the log tells of other statuses:\n%s", log)
	}
}
