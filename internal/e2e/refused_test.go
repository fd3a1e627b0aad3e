package e2e

import (
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// refused demands that a click changed nothing, and that its toast says why.
func (w *world) refused(l *listener, who feishusim.User, message string, c feishusim.ClickOptions, why string) {
	w.t.Helper()
	w.quiet()
	w.settle()
	before := len(w.feishu.Messages())
	shown := feishusim.PlainText(w.messageBy(message).Card)
	a := w.postClick(l, w.pressed(who, message, c))
	says(w.t, a.Toast, "error", why)
	w.never("a refused click changed a card or sent a message", func() bool {
		return len(w.feishu.Messages()) != before || len(w.chatCalls()) > 0 || feishusim.PlainText(w.messageBy(message).Card) != shown
	})
	if calls := w.writes(); len(calls) > 0 {
		w.t.Errorf("a refused click did something in GitLab: %v", calls)
	}
}

func (w *world) messageBy(id string) feishusim.Message {
	w.t.Helper()
	for _, m := range w.feishu.Messages() {
		if m.ID == id {
			return m
		}
	}
	w.t.Fatalf("no message %s", id)
	return feishusim.Message{}
}

func TestOutsidersClicksChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	const why = `You are not an approver under rule "production". Nothing changed`
	for _, button := range []string{"approve", "reject"} {
		w.refused(l, w.dave, w.card(w.alice).ID, feishusim.ClickOptions{Button: button, Anyone: true}, why)
	}
	w.undecided(mr.IID)
	// It was not the card that was spoiled.
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
}

func TestNobodyApprovesTheirOwn(t *testing.T) {
	t.Parallel()
	t.Run("merge request", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, policyWith("[alice@example.com, carol@example.com]", "[alice@example.com, bob@example.com]"))
		l := w.start()
		mr := w.open()
		w.webhook(l, mr.IID, "open")
		w.card(w.alice)
		if w.card(w.bob); w.asks(w.bob, "approve") || !w.asks(w.bob, "reject") {
			t.Errorf("the author's card is %s", w.newest(w.bob).Card)
		}
		w.refused(l, w.bob, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve", Anyone: true}, "You cannot approve your own merge request")
		w.undecided(mr.IID)
		w.click(l, w.bob, "reject", "I forgot the tests.")
		w.eventually("the author may reject", func() bool { return w.mr(mr.IID).State == "closed" })
	})
	t.Run("commits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		l := w.start()
		mr := w.open(func(mr *gitlabsim.MergeRequest) {
			mr.Commits = append(mr.Commits, gitlabsim.Commit{Title: "Help Bob", AuthorName: "Carol", AuthorEmail: "carol@example.com"})
		})
		w.webhook(l, mr.IID, "open")
		if w.card(w.carol); w.asks(w.carol, "approve") || !w.asks(w.carol, "reject") {
			t.Errorf("the committer's card is %s", w.newest(w.carol).Card)
		}
		w.card(w.alice)
		w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
		w.refused(l, w.carol, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve", Anyone: true}, "You have commits on this branch and cannot approve it")
		w.undecided(mr.IID)
		w.click(l, w.alice, "approve", "")
		w.eventually("somebody else may approve", func() bool { return w.mr(mr.IID).State == "merged" })
	})
}

func TestWhoMayBeTheAuthorCannotApproveAndThatIsForetold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policyWith("users:\n  bob: bob@example.com\n", ""))
	l := w.start()
	mr := w.open()
	w.webhook(l, mr.IID, "open")
	w.card(w.alice)
	w.card(w.carol)
	w.eventually("stderr says at the opening whom to add to users", func() bool {
		for line := range strings.Lines(l.log.String()) {
			if strings.Contains(line, "level=WARN") && strings.Contains(line, "add them to users") && strings.Contains(line, "username=bob") {
				return true
			}
		}
		return false
	})
	w.refused(l, w.alice, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve"},
		"Cannot tell whether you are the author; ask an administrator to add bob to users")
	w.undecided(mr.IID)
	says(t, w.click(l, w.alice, "reject", "Not this way.").Toast, "success", "Rejected, closing the merge request")
	w.eventually("who may be the author may reject", func() bool { return w.mr(mr.IID).State == "closed" })
}

func TestTwoApprovalsAreNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policyWith("approvers: [alice@example.com, carol@example.com]", "approvers: [alice@example.com, carol@example.com]\n    required: 2"))
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.settle()
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, 1 more needed")
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+"'s card says 1 of 2", func() bool { return w.shows(who, "Approved 1 of 2 ·", "Alice approved; 1 more needed") })
	}
	if w.asks(w.alice, "approve") || !w.asks(w.carol, "approve") {
		t.Error("who has approved is asked still, or who has not is not")
	}
	w.undecided(mr.IID)
	says(t, w.click(l, w.carol, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "Alice and Carol approved acme/webhook !1; merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	for _, name := range []string{"Approved by Alice in Feishu", "Approved by Carol in Feishu"} {
		if !strings.Contains(w.mr(mr.IID).Notes[0].Body, name) {
			t.Errorf("the note lacks %q: %s", name, w.mr(mr.IID).Notes[0].Body)
		}
	}
}

func TestRejectionNeedsAReasonWhereTheRuleSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policyWith("approvers: [alice@example.com, carol@example.com]", "approvers: [alice@example.com, carol@example.com]\n    require_reason: true"))
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	for _, reason := range []string{"", " \n\t "} {
		w.refused(l, w.alice, w.card(w.alice).ID, feishusim.ClickOptions{Button: "reject", Form: map[string]string{"reason": reason}}, "Please say why first")
	}
	w.undecided(mr.IID)
	says(t, w.click(l, w.alice, "reject", "No tests.").Toast, "success", "Rejected, closing the merge request")
	w.ended("Rejected ·", "Alice rejected acme/webhook !1: No tests. It was closed", w.alice, w.carol)
}
