package e2e

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// ours says that GitLab still has something of mrgate's: its approval, or an
// auto-merge that it set.
func (w *world) ours(iid int) bool {
	mr := w.mr(iid)
	return slices.Contains(mr.ApprovedBy, "mrgate-bot") || mr.AutoMerge
}

// waiting is approved by Alice, and waits in GitLab for its pipeline: with
// mrgate's approval, and its auto-merge.
func (w *world) waiting(l *listener) gitlabsim.MergeRequest {
	w.t.Helper()
	mr := w.open(func(m *gitlabsim.MergeRequest) { m.HasPipeline = true })
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.card(who)
	}
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
	w.click(l, w.alice, "approve", "")
	w.eventually("GitLab waits for the pipeline", func() bool { return w.mr(mr.IID).AutoMerge && w.ours(mr.IID) })
	w.eventually("the cards say so", func() bool {
		return w.shows(w.alice, "Approved, waiting for the pipeline ·") && w.shows(w.carol, "Approved, waiting for the pipeline ·")
	})
	return mr
}

// moves are the moves that the log tells of, of all requests in their order.
func (w *world) moves() []string {
	var all []string
	for _, e := range w.log("state") {
		d := decode[struct{ From, To, Cause string }](w.t, e.Data)
		text := d.From + " → " + d.To
		if d.Cause != "" {
			text += ": " + d.Cause
		}
		all = append(all, text)
	}
	return all
}

// Whatever takes an approval that GitLab waits with out of "approved" without a
// merge takes back what mrgate did in GitLab, and every card says why.
func TestNothingOfAnApprovalStaysBehind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does  func(w *world, l *listener, iid int)
		title string // of the card of Alice, who had approved
		says  []string
		move  string
		told  string // to the author; "": nothing, since it was them
	}{
		"closed by hand": {
			does:  func(w *world, _ *listener, iid int) { w.gitlab.Close(project, iid, "erin") },
			title: "Closed ·", says: []string{"Erin closed it in GitLab", "Alice approved commit"},
			move: "approved → withdrawn: closed elsewhere", told: "acme/webhook !1 was closed in GitLab",
		},
		"retargeted": {
			does:  func(w *world, _ *listener, iid int) { w.gitlab.Retarget(project, iid, "playground") },
			title: "Target changed ·", says: []string{"Now targets playground instead of main", "Alice approved commit"},
			move: "approved → superseded: retarget",
		},
		"turned into a draft": {
			does:  func(w *world, _ *listener, iid int) { w.gitlab.SetDraft(project, iid, true) },
			title: "Now a draft ·", says: []string{"You will be asked again when it is ready", "Alice approved commit"},
			move: "approved → superseded: draft",
		},
		"rejected before the merge": {
			does:  func(w *world, l *listener, _ int) { w.click(l, w.carol, "reject", "on second thoughts") },
			title: "Rejected ·", says: []string{"Carol: on second thoughts", "Alice approved commit"},
			move: "rejected → closed", told: "Carol rejected acme/webhook !1: on second thoughts",
		},
		"no rule any more": {
			does: func(w *world, l *listener, _ int) {
				w.setPolicy(strings.Replace(policyText, `["main", "release/*"]`, `["release/*"]`, 1))
				l.hup()
			},
			title: "No longer needed ·", says: []string{"No rule covers main any more"},
			move: "approved → withdrawn: no rule", told: "needs no approval",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, ready())
			w.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.PipelinesMustSucceed = true })
			l := w.hooked(w.start("--sweep", "0"))
			mr := w.waiting(l)
			c.does(w, l, mr.IID)
			for _, who := range []feishusim.User{w.alice, w.carol} {
				w.eventually(who.Name+"'s card says so", func() bool {
					return w.shows(who, c.title, c.says...) && !strings.Contains(w.newest(who).Card, `"callback"`)
				})
			}
			w.eventually("nothing of mrgate's is left in GitLab", func() bool { return !w.ours(mr.IID) })
			if c.told != "" {
				w.eventually("the author is told", func() bool { return strings.Contains(w.reads(w.bob), c.told) })
			}
			w.gitlab.SetPipeline(project, mr.IID, "success") // which the merge waited for
			w.gitlab.Wait()
			w.never("it was merged, or approved again", func() bool { return w.mr(mr.IID).State == "merged" || w.ours(mr.IID) })
			if moves := w.moves(); moves[len(moves)-1] != c.move {
				t.Errorf("the log says %q, want %q at last", moves, c.move)
			}
			taken := 0
			for _, e := range w.log("effect") {
				if d := decode[struct{ Effect, Answer string }](t, e.Data); d.Effect == "retract" && d.Answer == "done" {
					taken++
				}
			}
			if taken != 1 {
				t.Errorf("the log says %d times that the approval was taken back", taken)
			}
		})
	}
}

// What was approved elsewhere is nobody's decision here; but it may be what GitLab
// was waiting for.
func TestApprovedByHandInGitLab(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready())
	l := w.hooked(w.start("--sweep", "0"))
	mr := w.open()
	w.card(w.alice)
	w.card(w.carol)
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
	before := w.newest(w.carol).Card
	w.settle()
	w.gitlab.ApproveByHand(project, mr.IID, "erin")
	w.gitlab.Wait()
	w.never("an approval by hand was taken for a decision", func() bool {
		return len(w.writes()) > 0 || w.newest(w.carol).Card != before || w.mr(mr.IID).State != "opened"
	})

	w.gitlab.SetBlocker(project, mr.IID, "not_approved")
	w.click(l, w.alice, "approve", "")
	w.eventually("it is blocked, and the cards say by what", func() bool {
		return w.shows(w.alice, "Approved, but blocked ·", "GitLab requires further approvals") && w.shows(w.carol, "Approved, but blocked ·")
	})
	w.gitlab.SetBlocker(project, mr.IID, "")
	w.gitlab.ApproveByHand(project, mr.IID, "alice") // of which GitLab tells
	w.eventually("it is merged by itself", func() bool { return w.mr(mr.IID).State == "merged" })
	w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
	if n := len(w.log("bypassed")); n > 0 {
		t.Error("it is logged as merged around the gate")
	}
}

// A rejection is said first, on whatever asks next, whoever opened it again.
func TestRejectionIsSaidFirstOnTheNextRequest(t *testing.T) {
	t.Parallel()
	const said = "Rejected before by Carol: no tests"
	for name, c := range map[string]struct {
		policy setting
		again  func(w *world, iid int)
	}{
		"closed, and opened again": {again: func(w *world, iid int) { w.gitlab.Reopen(project, iid, "bob") }},
		"closed, pushed and opened again": {again: func(w *world, iid int) {
			w.gitlab.Push(project, iid, another())
			w.gitlab.Reopen(project, iid, "bob")
		}},
		"sent back, and pushed": {
			policy: policyWith("approvers:", "on_reject: comment\n    approvers:"),
			again:  func(w *world, iid int) { w.gitlab.Push(project, iid, another()) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := []setting{ready()}
			if c.policy != nil {
				settings = append(settings, c.policy)
			}
			w := newWorld(t, settings...)
			l := w.hooked(w.start("--sweep", "0"))
			mr := w.open()
			w.card(w.alice)
			w.click(l, w.carol, "reject", "no tests")
			w.eventually("the cards say so", func() bool { return w.shows(w.alice, "", "no tests") })
			if c.policy == nil {
				w.eventually("it is closed", func() bool { return w.mr(mr.IID).State == "closed" })
			}
			w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
			c.again(w, mr.IID)
			head := w.mr(mr.IID).Head[:8]
			for _, who := range []feishusim.User{w.alice, w.carol} {
				w.eventually(who.Name+" is asked again, and reads first that it was rejected", func() bool {
					if !w.shows(who, "Approval needed", head) || !w.asks(who, "approve") {
						return false
					}
					lines := strings.Split(feishusim.PlainText(w.newest(who).Card), "\n") // title, subtitle, and then
					return len(lines) > 2 && lines[2] == said
				})
			}
			w.gitlab.ResetCalls()
			if _, err := w.tryClick(l, w.alice, w.newest(w.alice).ID, "approve", ""); err != nil {
				t.Fatal(err)
			}
			w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
			w.eventually("each of the two requests has its note", func() bool { return len(w.mr(mr.IID).Notes) == 2 })
		})
	}
}

// The row is the project's by its number: its path and address follow.
func TestProjectThatIsRenamedOrMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready(), policyWith(`["acme/*"]`, `["acme/*", "tools/**"]`))
	w.gitlab.SetURL(w.gitlabURL)
	l := w.hooked(w.start("--sweep", "0"))
	first := w.open(numbered(1))
	w.card(w.carol)
	w.click(l, w.alice, "approve", "")
	w.eventually("it is merged", func() bool { return w.shows(w.carol, "Merged ·") })
	for i := range 2 {
		w.open(numbered(i + 2))
	}
	w.eventually("Carol is asked about both", func() bool { return len(w.cards(w.carol)) == 3 })

	w.gitlab.Rename(project, "tools/ci/hooks")
	w.gitlab.SetLabels(project, 2, "urgent") // the next that GitLab tells of anything in the project
	for iid := 2; iid <= 3; iid++ {
		ref := fmt.Sprintf("tools/ci/hooks !%d", iid)
		w.eventually("Carol's card says "+ref, func() bool { return w.of(w.carol, ref) != "" })
	}
	for _, m := range w.cards(w.carol)[1:] {
		for _, b := range feishusim.Buttons(m.Card) {
			if b.URL != "" && !strings.Contains(b.URL, "/tools/ci/hooks/-/merge_requests/") {
				t.Errorf("a button leads to %s", b.URL)
			}
		}
	}
	if r := w.run(nil, "list", "--db", w.db, "--project", "tools/ci/hooks", "--limit", "0"); strings.Count(r.stdout, "tools/ci/hooks!") != 3 {
		t.Errorf("list: %+v", r)
	}
	r := w.run(nil, "show", "--db", w.db, fmt.Sprintf("tools/ci/hooks!%d", first.IID))
	if !strings.Contains(r.stdout, "tools/ci/hooks!1") || !strings.Contains(r.stdout, w.gitlabURL+"/tools/ci/hooks/-/merge_requests/1") {
		t.Errorf("show: %+v", r)
	}
	for _, m := range w.cards(w.carol)[1:] {
		if _, err := w.tryClick(l, w.carol, m.ID, "approve", ""); err != nil {
			t.Fatal(err)
		}
	}
	for iid := 1; iid <= 3; iid++ {
		w.eventually("it is merged", func() bool { return w.mr(iid).State == "merged" })
	}
	w.eventually("the merges are listed under the path that it has now", func() bool {
		r := w.run(nil, "list", "--db", w.db, "--format", "csv", "--project", "tools/ci/hooks")
		rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
		return r.code == 0 && err == nil && len(rows) == 4 && strings.Contains(r.stderr, "merges: 3, of these around the gate: 0")
	})
}

// Closed or made a draft, and back again, each told by GitLab: every time all are
// asked anew, and none of the cards of before takes a decision.
func TestThereAndBackAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready())
	l := w.hooked(w.start("--sweep", "0"))
	mr := w.open()
	w.card(w.alice)
	var old []feishusim.Message
	for i, c := range []struct {
		there, back func()
		gone        string
	}{
		{func() { w.gitlab.Close(project, mr.IID, "erin") }, func() { w.gitlab.Reopen(project, mr.IID, "erin") }, "Closed ·"},
		{func() { w.gitlab.SetDraft(project, mr.IID, true) }, func() { w.gitlab.SetDraft(project, mr.IID, false) }, "Now a draft ·"},
		{func() { w.gitlab.Retarget(project, mr.IID, "playground") }, func() { w.gitlab.Retarget(project, mr.IID, "main") }, "Target changed ·"},
		{func() { w.gitlab.Close(project, mr.IID, "erin") }, func() { w.gitlab.Reopen(project, mr.IID, "erin") }, "Closed ·"},
	} {
		c.there()
		w.eventually("the cards say that it is over", func() bool { return w.shows(w.alice, c.gone) && w.shows(w.carol, c.gone) })
		old = append(old, w.newest(w.alice))
		c.back()
		w.eventually(fmt.Sprintf("both are asked again, the %d. time", i+2), func() bool { return w.asks(w.alice, "approve") && w.asks(w.carol, "approve") })
	}
	for _, m := range old {
		if now := w.newest(w.alice); m.ID == now.ID {
			continue // it was changed in place, and stands for the newest
		}
		if answer, err := w.tryClick(l, w.alice, m.ID, "approve", ""); err == nil && (answer.Toast == nil || answer.Toast.Type == "success") {
			t.Errorf("a click on a card of before was answered %+v", answer.Toast)
		}
	}
	w.gitlab.ResetCalls()
	if _, err := w.tryClick(l, w.carol, w.newest(w.carol).ID, "approve", ""); err != nil {
		t.Fatal(err)
	}
	w.ended("Merged ·", "Carol approved acme/webhook !1; merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	opened := 0
	for _, e := range w.log("opened") {
		if e.IID == mr.IID {
			opened++
		}
	}
	if opened != 5 {
		t.Errorf("%d requests were opened, want five", opened)
	}
}
