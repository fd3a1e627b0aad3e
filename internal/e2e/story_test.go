package e2e

import (
	"strings"
	"testing"
)

func TestOpenedApprovedMerged(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	mr := w.open()
	w.webhook(l, mr.IID, "open")

	w.card(w.carol)
	alice := w.card(w.alice)
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
	if n := len(w.gitlab.Calls()); n > 2 {
		t.Errorf("%d calls to GitLab to open, want at most 2: %v", n, w.forgeCalls())
	}
	w.gitlab.ResetCalls()

	answer := w.click(l, w.alice, "approve", "")
	if answer.Toast == nil || answer.Toast.Type != "success" || answer.Toast.Content != "Approved, merging" {
		t.Errorf("toast %+v", answer.Toast)
	}
	if answer.Card == "" || strings.Contains(answer.Card, `"callback"`) {
		t.Errorf("the answer holds no card without buttons: %s", answer.Card)
	}

	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
	for _, who := range []string{w.alice.OpenID, w.carol.OpenID} {
		w.eventually("all cards say merged, and by whom", func() bool {
			m := w.feishu.MessagesTo(who)
			return len(m) == 1 && strings.Contains(m[0].Card, "Merged") && strings.Contains(m[0].Card, "Alice")
		})
	}
	w.eventually("the author gets a new message", func() bool {
		return len(w.feishu.MessagesTo(w.bob.OpenID)) == 2 && strings.Contains(w.reads(w.bob), "merged")
	})
	w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })

	calls := w.forgeCalls()
	if len(calls) > 5 {
		t.Errorf("%d calls to GitLab after the click, want at most 5: %v", len(calls), calls)
	}
	if count(calls, "POST 1/approve 201") != 1 || count(calls, "PUT 1/merge 200") != 1 {
		t.Errorf("not one approve and one merge: %v", calls)
	}
	for i, c := range calls {
		if strings.HasPrefix(c, "PUT 1/merge") && (i == 0 || calls[i-1] != "GET 1 200") {
			t.Errorf("no Get right before the merge: %v", calls)
		}
	}
	for _, c := range w.gitlab.Calls() {
		if (strings.HasSuffix(c.Path, "/merge") || strings.HasSuffix(c.Path, "/approve")) && !strings.Contains(c.RawQuery+string(c.Body), mr.Head) {
			t.Errorf("%s %s without the commit: %s %s", c.Method, c.Path, c.RawQuery, c.Body)
		}
	}
	_ = alice
}
