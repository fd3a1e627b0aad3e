package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// expiresAfter is long enough to be asked and to click, on a busy machine.
const expiresAfter = 4 * time.Second

// expiring is the usual policy under which nobody has much time.
func expiring() setting {
	return policyWith("approvers:", "expire_after: "+expiresAfter.String()+"\n    approvers:")
}

// expired waits until all know that it expired, and shows that it is no rejection.
func (w *world) expired(mr gitlabsim.MergeRequest) {
	w.t.Helper()
	w.ended("Expired · acme/webhook !1", "Nobody decided on acme/webhook !1", w.alice, w.carol)
	if !w.asks(w.bob, "again") {
		w.t.Errorf("the author is not offered to ask again: %s", w.reads(w.bob))
	}
	if r := w.run(nil, "list", "--state", "expired", "--db", w.db); r.code != 0 || !strings.Contains(r.stdout, "acme/webhook!1") {
		w.t.Errorf("list: %+v", r)
	}
	if r := w.run(nil, "show", "1", "--db", w.db); r.code != 0 || !strings.Contains(r.stdout, "expired") || strings.Contains(r.stdout, "rejected") {
		w.t.Errorf("show: %+v", r)
	}
	w.undecided(mr.IID)
}

func TestExpiryIsAnOutcomeOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("the listener is down: %t", down), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, expiring())
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			began := time.Now()
			late := w.pressed(w.alice, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve"})
			if down {
				l.kill()
				time.Sleep(time.Until(began.Add(expiresAfter)))
				l = w.start()
			}
			w.expired(mr)
			for range 2 {
				answer := w.postClick(l, late)
				says(t, answer.Toast, "info", "This request has expired; the author can ask again")
				if answer.Card == nil {
					t.Error("the answer does not turn the card grey")
				}
			}
			w.expired(mr)
			if n := len(w.feishu.Messages()); n != 4 {
				t.Errorf("%d messages, want two cards, a notice and a result", n)
			}
		})
	}
}

// A click in the moment when the time is over, before anything else has noticed.
func TestClickOnExpiredCardAfterANightDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, expiring())
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	began := time.Now()
	late := w.pressed(w.alice, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve"})
	l.kill()
	time.Sleep(time.Until(began.Add(expiresAfter)))
	w.gitlab.Inject(gitlabsim.Fault{Delay: 2 * time.Second}) // and GitLab is slow to say how it stands
	l = w.start()
	answer := w.postClick(l, late)
	says(t, answer.Toast, "info", "This request has expired; the author can ask again")
	w.expired(mr)
}

func TestExpiryTakesAnApprovalBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, expiring())
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.gitlab.SetConflict(project, mr.IID, true)
	w.click(l, w.alice, "approve", "")
	w.eventually("it is approved and blocked", func() bool {
		return len(w.mr(mr.IID).ApprovedBy) == 1 && w.shows(w.carol, "Approved, but blocked")
	})
	l.kill()
	time.Sleep(expiresAfter)
	w.start()
	w.eventually("the approval is taken back", func() bool { return len(w.mr(mr.IID).ApprovedBy) == 0 })
	w.ended("Expired ·", "it could not be merged", w.alice, w.carol)
	w.gitlab.SetConflict(project, mr.IID, false)
	w.never("it was merged after all", func() bool { return w.mr(mr.IID).State == "merged" })
}

// askedAgain waits for a second card of everybody, and has the request approved.
func (w *world) askedAgain(l *listener, iid int) {
	w.t.Helper()
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+" is asked again", func() bool { return len(w.cards(who)) == 2 && w.shows(who, "Approval needed ·") })
		if old := feishusim.PlainText(w.cards(who)[0].Card); !strings.HasPrefix(old, "Expired ·") {
			w.t.Errorf("%s's first card reads %q", who.Name, old)
		}
	}
	answer, err := w.tryClick(l, w.alice, w.newest(w.alice).ID, "approve", "")
	if err != nil {
		w.t.Fatal(err)
	}
	says(w.t, answer.Toast, "success", "Approved, merging")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.once(iid, "POST 1/approve 201", "PUT 1/merge 200")
	for _, who := range []feishusim.User{w.alice, w.carol} {
		if n := len(w.cards(who)); n != 2 {
			w.t.Errorf("%s has %d cards", who.Name, n)
		}
	}
	if r := w.run(nil, "show", "2", "--db", w.db); r.code != 0 || !strings.Contains(r.stdout, "merged") {
		w.t.Errorf("show: %+v", r)
	}
	if r := w.run(nil, "log", "--db", w.db); !strings.Contains(r.stdout, "asked again") {
		w.t.Errorf("the log does not say that it was asked again:\n%s", r.stdout)
	}
}

func TestExpiredAndAskedAgainByItsAuthor(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed after the answer: %t", killed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, expiring())
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			w.expired(mr)
			l.stop()
			w.setPolicy(policyText) // or there would be little time the second time, too
			l = w.start()
			said := w.newest(w.bob)
			if killed { // before anything can come of it
				w.gitlab.Inject(gitlabsim.Fault{Delay: 3 * time.Second, Times: 1})
			}
			answer, err := w.tryClick(l, w.bob, said.ID, "Ask again", "")
			if err != nil {
				t.Fatal(err)
			}
			says(t, answer.Toast, "success", "Approval is asked for again")
			if strings.Contains(answer.Card, `"callback"`) {
				t.Errorf("the answer still offers it: %s", answer.Card)
			}
			if killed {
				l.kill()
				l = w.start()
			}
			w.askedAgain(l, mr.IID)
		})
	}
}

func TestExpiredAndAskedAgainByAJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, expiring())
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.expired(mr)
	l.kill() // no listener is there while the job runs
	w.setPolicy(policyText)
	job := func(args ...string) {
		t.Helper()
		if r := w.run(w.pipeline(mr, "detached"), append([]string{"notify", "--config", w.config}, args...)...); r.code != 0 {
			t.Fatalf("notify: %+v", r)
		}
	}
	job()
	if n := len(w.cards(w.alice)); n != 1 {
		t.Fatalf("without --again, Alice has %d cards", n)
	}
	job("--again")
	job("--again")
	for _, who := range []feishusim.User{w.alice, w.carol} {
		if n := len(w.cards(who)); n != 2 {
			t.Fatalf("%s has %d cards", who.Name, n)
		}
	}
	l = w.start()
	answer, err := w.tryClick(l, w.alice, w.newest(w.alice).ID, "approve", "")
	if err != nil {
		t.Fatal(err)
	}
	says(t, answer.Toast, "info", "Recorded, being checked")
	w.eventually("the card is the listener's, with GitLab's facts", func() bool { return w.shows(w.alice, "Approval needed ·", "Bob Chen", "+142") })
	w.eventually("Carol's too", func() bool { return w.shows(w.carol, "Approval needed ·", "Bob Chen", "+142") })
	if len(w.mr(1).ApprovedBy) != 0 {
		t.Error("the first click counted")
	}
	w.askedAgain(l, mr.IID)
}

func TestSentBackIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policyWith("approvers:", "on_reject: comment\n    approvers:"))
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.click(l, w.carol, "reject", "no tests")
	w.ended("Sent back ·", "A new push asks again", w.alice, w.carol)
	w.eventually("the note says why", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
	w.webhook(l, mr.IID, "update")
	w.never("somebody was asked again", func() bool { return len(w.cards(w.alice)) > 1 })
	for _, who := range []feishusim.User{w.alice, w.bob} {
		c := feishusim.ClickOptions{Button: "Ask again", Anyone: true}
		toast := w.postClick(l, w.pressed(who, w.newest(w.bob).ID, c)).Toast
		if who == w.alice {
			says(t, toast, "error", "Only the author can ask again")
			w.never("somebody else asked again", func() bool { return len(w.cards(w.alice)) > 1 })
		} else {
			says(t, toast, "success", "Approval is asked for again")
		}
	}
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+" is asked again, and told why it was rejected", func() bool {
			return len(w.cards(who)) == 2 && w.shows(who, "Approval needed ·", "Rejected before by Carol: no tests")
		})
	}
}
