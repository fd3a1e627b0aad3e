package e2e

import (
	"strings"
	"testing"

	"mrgate/internal/feishusim"
)

func TestRejectedWithAReasonClosesAndTellsTheAuthorWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.settle()

	const reason = "The callback retries for ever."
	answer := w.click(l, w.alice, "reject", reason)
	says(t, answer.Toast, "success", "Rejected, closing the merge request")
	if answer.Card == "" || strings.Contains(answer.Card, `"callback"`) || !strings.Contains(feishusim.PlainText(answer.Card), reason) {
		t.Errorf("the answer shows no rejected card with the reason: %s", answer.Card)
	}

	w.eventually("it is closed", func() bool { return w.mr(mr.IID).State == "closed" })
	w.ended("Rejected · acme/webhook !1", "Alice rejected acme/webhook !1: The callback retries for ever. It was closed", w.alice, w.carol)
	for _, who := range []feishusim.User{w.alice, w.carol} {
		if !w.shows(who, "Rejected ·", "Alice: "+reason) {
			t.Errorf("%s's card does not say who and why:\n%s", who.Name, feishusim.PlainText(w.newest(who).Card))
		}
	}
	w.once(mr.IID, "PUT 1 200")
	note := w.mr(mr.IID).Notes[0].Body
	for _, want := range []string{"Rejected by Alice in Feishu: " + reason, mr.Head[:8], "rule production"} {
		if !strings.Contains(note, want) {
			t.Errorf("the note lacks %q:\n%s", want, note)
		}
	}
	if got := count(w.forgeCalls(), "POST 1/approve") + count(w.forgeCalls(), "PUT 1/merge"); got != 0 {
		t.Errorf("a rejection approved or merged: %v", w.forgeCalls())
	}
}

func TestOneDecisionCostsFewCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ button, title, told string }{
		{"approve", "Merged ·", "Alice approved acme/webhook !1; merged into main"},
		{"reject", "Rejected ·", "Alice rejected acme/webhook !1 and gave no reason. It was closed"},
	} {
		t.Run(c.button, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, alone(), ready())
			l := w.start()
			mr := w.begin(l, w.alice)
			w.never("opening costs more than two calls to GitLab", func() bool { return len(w.forgeCalls()) > 2 })
			w.gitlab.ResetCalls()

			w.click(l, w.alice, c.button, "")
			w.ended(c.title, c.told, w.alice)
			w.once(mr.IID)
			if calls := w.forgeCalls(); len(calls) > 5 {
				t.Errorf("%d calls to GitLab after the click, want at most 5: %v", len(calls), calls)
			}
			if calls := w.chatCalls(); len(calls) > 4 {
				t.Errorf("%d calls to Feishu, want at most card, notice, final card and result: %v", len(calls), calls)
			}
			if n := len(w.feishu.Messages()); n != 3 {
				t.Errorf("%d messages, want a card, a notice and a result", n)
			}
		})
	}
}
