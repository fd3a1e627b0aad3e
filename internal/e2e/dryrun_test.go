package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// dryLine stands on everything that a dry run sends.
const dryLine = "Dry run: nothing is changed in GitLab, now or later"

func TestDryRunShowsAllAndMergesNothingNowOrLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI(), "--dry-run")
	for i := range 4 {
		mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = fmt.Sprintf("feature/%d", i) })
		w.webhook(l, mr.IID, "open")
		w.eventually("everybody is asked and told", func() bool {
			return len(w.cards(w.alice)) == i+1 && len(w.cards(w.carol)) == i+1 && len(w.feishu.MessagesTo(w.bob.OpenID)) == i+1
		})
	}
	for _, m := range w.feishu.Messages() {
		if !strings.Contains(feishusim.PlainText(m.Card), dryLine) {
			t.Errorf("a message to %s does not say that it is a dry run:\n%s", m.To.User.Name, feishusim.PlainText(m.Card))
		}
	}

	// One is approved, one rejected, one is pushed to after its approval, and one
	// is merged by hand.
	cards := w.cards(w.alice)
	click := func(i int, button, says string) {
		t.Helper()
		answer, err := w.tryClick(l, w.alice, cards[i].ID, button, "as you like")
		if err != nil || answer.Toast == nil || answer.Toast.Content != says || !strings.Contains(feishusim.PlainText(answer.Card), dryLine) {
			t.Errorf("%s of !%d: %+v, %v", button, i+1, answer.Toast, err)
		}
	}
	click(0, "approve", "Dry run: recorded, nothing will be merged")
	click(1, "reject", "Dry run: recorded, nothing will be closed")
	click(2, "approve", "Dry run: recorded, nothing will be merged")
	w.gitlab.Push(project, 3, another())
	w.webhook(l, 3, "update")
	w.gitlab.MergeByHand(project, 4, "erin")
	w.webhook(l, 4, "merge")
	shown := func(who feishusim.User, i int, words ...string) {
		t.Helper()
		w.eventually(fmt.Sprintf("%s's card of !%d says %q", who.Name, i+1, words), func() bool {
			text := feishusim.PlainText(w.cards(who)[i].Card)
			for _, word := range words {
				if !strings.Contains(text, word) {
					return false
				}
			}
			return true
		})
	}
	shown(w.carol, 0, "Approved · acme/webhook !1", "Alice approved", "Dry run: it would now be merged into main")
	shown(w.carol, 1, "Rejected · acme/webhook !2", "as you like", "Dry run: it would now be closed")
	shown(w.alice, 2, "Outdated · acme/webhook !3")
	shown(w.carol, 2, "Approval needed, updated · acme/webhook !3")
	shown(w.carol, 3, "Merged in GitLab · acme/webhook !4", "Erin", "without approval here")
	told := func(what string) {
		t.Helper()
		w.eventually("the author is told: "+what, func() bool {
			for _, m := range w.feishu.MessagesTo(w.bob.OpenID) {
				if strings.Contains(feishusim.PlainText(m.Card), what) {
					return true
				}
			}
			return false
		})
	}
	told("Alice approved acme/webhook !1. Dry run: it would now be merged into main")
	told("Alice rejected acme/webhook !2: as you like. Dry run: it would now be closed")

	// It is recorded, as what it is.
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"list"}, []string{"approved (dry run)", "rejected (dry run)", "pending (dry run)", "withdrawn (dry run)"}},
		{[]string{"list", "--json"}, []string{`"dry_run": true`}},
		{[]string{"show", projectPath + "!1"}, []string{"approved (dry run)", "Alice approved: \"as you like\" (dry run)"}},
		{[]string{"show", "--json", projectPath + "!1"}, []string{`"dry_run": true`}},
		{[]string{"log"}, []string{"rule production (dry run)", "Alice rejected: \"as you like\" (dry run)"}},
		{[]string{"log", "--json"}, []string{`"dry_run":true`}},
	} {
		r := w.run(nil, append(c.args, "--db", w.db)...)
		for _, text := range c.says {
			if r.code != 0 || !strings.Contains(r.stdout, text) {
				t.Errorf("mrgate %v does not say %q: %+v", c.args, text, r)
			}
		}
	}

	// Nobody decides for real beside it.
	decide := func() ran {
		return w.run(nil, "decide", "--approve", projectPath+"!1", "--config", w.config, "--db", w.db)
	}
	if r := decide(); r.code != 2 || !strings.Contains(r.stderr, "dry run") || !strings.Contains(r.stderr, "--dry-run") {
		t.Errorf("decide: %+v", r)
	}
	if a := w.api(http.MethodPost, l.admin(), "/api/v1/requests/1/decisions", operatorToken, `{"verdict": "approve"}`); a.Status != http.StatusConflict || a.Type != "urn:mrgate:dry-run" {
		t.Errorf("decide through the API: %d %s", a.Status, a.Body)
	}
	// Nor does its approval let a job pass that waits for one.
	if a := w.api(http.MethodGet, l.url, "/api/v1/requests/1", apiToken, ""); a.Outcome != "pending" || !strings.Contains(a.Why, "dry run") || !strings.Contains(string(a.Body), `"dry_run":true`) {
		t.Errorf("whoever waits is told %s", a.Body)
	}
	w.never("GitLab was written to", func() bool { return len(w.writes()) > 0 })
	l.stop()
	if r := decide(); r.code != 2 {
		t.Errorf("decide after it has stopped: %+v", r)
	}

	// Started again for real, it asks anew about what is still open.
	l = w.start()
	w.eventually("everybody has new cards of all that is open", func() bool {
		return len(w.cards(w.alice)) == 4+3+1 && len(w.cards(w.carol)) == 4+3
	})
	shown(w.carol, 0, "Dry run over · acme/webhook !1", "Nothing decided in it counts")
	shown(w.carol, 1, "Dry run over · acme/webhook !2")
	shown(w.carol, 2, "Dry run over · acme/webhook !3")
	for i := range 3 {
		text := feishusim.PlainText(w.cards(w.carol)[4+i].Card)
		if !strings.HasPrefix(text, "Approval needed · acme/webhook !") || strings.Contains(text, "Dry run") || strings.Contains(text, "ejected") || strings.Contains(text, "approved") {
			t.Errorf("Carol's new card reads:\n%s", text)
		}
	}
	for _, m := range w.cards(w.alice)[:5] {
		if text := w.messageBy(m.ID).Card; strings.Contains(text, `"callback"`) {
			t.Errorf("a card of the dry run that is over can still be clicked: %s", text)
		}
	}
	w.never("something that was decided in the dry run is carried out", func() bool { return len(w.writes()) > 0 })

	// And a real approval merges, once.
	for _, m := range w.cards(w.carol)[4:] {
		if strings.Contains(feishusim.PlainText(m.Card), "!1") {
			if answer, err := w.tryClick(l, w.carol, m.ID, "approve", ""); err != nil || answer.Toast.Content != "Approved, merging" {
				t.Errorf("%+v, %v", answer.Toast, err)
			}
		}
	}
	w.eventually("it is merged", func() bool { return w.mr(1).State == "merged" })
	w.once(1, "POST 1/approve 201", "PUT 1/merge 200")
	for _, iid := range []int{2, 3} {
		if w.mr(iid).State != "opened" {
			t.Errorf("!%d is %s", iid, w.mr(iid).State)
		}
	}
	if got := w.mr(1).Notes[0].Body; !strings.Contains(got, "Carol") || strings.Contains(got, "Alice") {
		t.Errorf("the note says %q", got)
	}
	l.stop()
}

func TestDryRunPausesWhatWasAskedBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	pending := w.begin(l, w.alice, w.carol)
	blocked := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = "feature/conflict" })
	w.gitlab.SetConflict(project, blocked.IID, true)
	w.webhook(l, blocked.IID, "open")
	w.eventually("Alice is asked about both", func() bool { return len(w.cards(w.alice)) == 2 && len(w.cards(w.carol)) == 2 })
	if _, err := w.tryClick(l, w.alice, w.cards(w.alice)[1].ID, "approve", ""); err != nil {
		t.Fatal(err)
	}
	w.eventually("it is blocked", func() bool { return w.shows(w.alice, "Approved, but blocked") })
	l.stop()
	w.settle()

	l = w.start("--dry-run")
	w.gitlab.SetConflict(project, blocked.IID, false)
	w.webhook(l, blocked.IID, "update")
	for button, i := range map[string]int{"approve": 0, "reject": 0, "Retry": 1} {
		answer, err := w.tryClick(l, w.alice, w.cards(w.alice)[i].ID, button, "")
		if err != nil {
			t.Fatal(err)
		}
		says(t, answer.Toast, "error", "Paused during a dry run. Nothing changed; decide when it is over")
	}
	w.never("GitLab was written to", func() bool { return len(w.writes()) > 0 })
	if r := w.run(nil, "log", "--db", w.db, "--json"); strings.Count(r.stdout, `"kind":"decided"`) != 1 || strings.Count(r.stdout, `"why":"dry run"`) != 2 {
		t.Errorf("the log of a dry run that decided nothing: %s", r.stdout)
	}
	l.stop()

	l = w.start()
	w.eventually("what was approved before is merged after", func() bool { return w.mr(blocked.IID).State == "merged" })
	if n := len(w.cards(w.alice)); n != 2 || w.mr(pending.IID).State != "opened" {
		t.Errorf("Alice has %d cards, !%d is %s", n, pending.IID, w.mr(pending.IID).State)
	}
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.eventually("it is merged", func() bool { return w.mr(pending.IID).State == "merged" })
	w.once(pending.IID, "POST 1/approve 201", "PUT 1/merge 200", "PUT 2/merge 200")
	l.stop()
}
