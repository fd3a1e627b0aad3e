package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// reminding is the usual policy, under which people are reminded after a second.
func reminding() string {
	return strings.Replace(policyText, "approvers:", "remind_after: 1s\n    approvers:", 1)
}

// remind puts that policy in force: the time has come for all who were asked.
func (w *world) remind(ls ...*listener) {
	w.t.Helper()
	w.setPolicy(reminding())
	for _, l := range ls {
		if err := l.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			w.t.Fatal(err)
		}
	}
}

// reminders are what the person reads of them.
func (w *world) reminders(who feishusim.User) []string {
	var list []string
	for _, m := range w.feishu.MessagesTo(who.OpenID) {
		if text := feishusim.PlainText(m.Card); strings.HasPrefix(text, "Waiting for you ·") || strings.Contains(text, "merge requests wait for you") {
			list = append(list, text)
		}
	}
	return list
}

// remindedOnce waits until each of them has one reminder, and watches that there
// comes no other.
func (w *world) remindedOnce(people ...feishusim.User) {
	w.t.Helper()
	for _, who := range people {
		w.eventually(who.Name+" is reminded", func() bool { return len(w.reminders(who)) > 0 })
	}
	w.never("somebody was reminded who should not, or twice", func() bool {
		for _, who := range []feishusim.User{w.alice, w.carol, w.bob, w.dave} {
			want := 0
			if slices.Contains(people, who) {
				want = 1
			}
			if len(w.reminders(who)) != want {
				return true
			}
		}
		return false
	})
}

// feature opens one more merge request, and waits until everybody was asked.
func (w *world) feature(l *listener, title string) gitlabsim.MergeRequest {
	w.t.Helper()
	mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.Title, mr.Source = title, "feature/"+title })
	before := len(w.cards(w.alice))
	w.webhook(l, mr.IID, "open")
	w.eventually("Alice is asked about "+title, func() bool { return len(w.cards(w.alice)) > before })
	w.eventually("Carol is, too", func() bool { return len(w.cards(w.carol)) > before })
	return mr
}

func TestReminderListsAllThatWaits(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 2; n++ {
		t.Run(fmt.Sprintf("%d listeners", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ls := w.listenersOn(n)
			w.feature(ls[0], "first")
			w.feature(ls[n-1], "<at id=all></at> [x](https://evil.example)")
			w.remind(ls...)
			w.remindedOnce(w.alice, w.carol)
			for _, who := range []feishusim.User{w.alice, w.carol} {
				text := w.reminders(who)[0]
				for _, want := range []string{
					"2 merge requests wait for you", "acme/webhook !1 first, 1 minute so far",
					"acme/webhook !2 <at id=all></at> [x](https://evil.example), 1 minute so far",
				} {
					if !strings.Contains(text, want) {
						t.Errorf("%s's reminder lacks %q:\n%s", who.Name, want, text)
					}
				}
				messages := w.feishu.MessagesTo(who.OpenID)
				want := []string{"https://gitlab.example.com/acme/webhook/-/merge_requests/1", "https://gitlab.example.com/acme/webhook/-/merge_requests/2"}
				if got := feishusim.Links(messages[len(messages)-1].Card); !slices.Equal(got, want) {
					t.Errorf("it leads to %q, want %q", got, want)
				}
			}
			for _, number := range []string{"1", "2"} {
				if r := w.run(nil, "show", number, "--db", w.db); strings.Count(r.stdout, "reminder of this and 1 more sent to Alice") != 1 {
					t.Errorf("the log does not say once that Alice was reminded:\n%s", r.stdout)
				}
			}
		})
	}
}

func TestReminderIsAboutWhatStillWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	merged := w.feature(l, "merged")
	w.click(l, w.alice, "approve", "")
	w.eventually("it is merged", func() bool { return w.mr(merged.IID).State == "merged" })
	closed := w.feature(l, "closed")
	w.gitlab.Close(project, closed.IID, "bob")
	w.webhook(l, closed.IID, "close")
	w.eventually("that is said", func() bool { return w.shows(w.carol, "Closed ·") })
	w.feature(l, "waits")
	w.remind(l)
	w.remindedOnce(w.alice, w.carol)
	if text := w.reminders(w.carol)[0]; !strings.HasPrefix(text, "Waiting for you · acme/webhook !3") || strings.Contains(text, "!1") || strings.Contains(text, "!2") {
		t.Errorf("the reminder reads:\n%s", text)
	}
}

func TestReminderAfterTheListenerWasDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	decided := w.feature(l, "decided")
	w.feature(l, "waits")
	l.stop()
	if r := w.run(nil, "decide", "--approve", "1", "--config", w.config, "--db", w.db); r.code != 0 || w.mr(decided.IID).State != "merged" {
		t.Fatalf("decide: %+v", r)
	}
	w.remind()
	w.never("somebody was reminded by nobody", func() bool { return len(w.reminders(w.alice))+len(w.reminders(w.carol)) > 0 })
	l = w.start()
	w.remindedOnce(w.alice, w.carol)
	for _, who := range []feishusim.User{w.alice, w.carol} {
		if text := w.reminders(who)[0]; !strings.HasPrefix(text, "Waiting for you · acme/webhook !2") || strings.Contains(text, "!1") {
			t.Errorf("%s's reminder reads:\n%s", who.Name, text)
		}
	}
	l.kill()
	w.start()
	w.remindedOnce(w.alice, w.carol)
}

// The listener dies as the reminder arrives at Feishu, or has arrived.
func TestKilledWhileReminding(t *testing.T) {
	t.Parallel()
	for _, phase := range []feishusim.Phase{feishusim.Arrived, feishusim.Done} {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withPolicy(strings.Replace(reminding(), "[alice@example.com, carol@example.com]", "[alice@example.com]", 1)))
			l := w.start()
			var sent atomic.Int32
			w.feishu.Hook(func(r *http.Request, p feishusim.Phase) {
				// After the card and the notice comes the reminder.
				if p == phase && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/im/v1/messages") && sent.Add(1) == 3 {
					l.kill()
				}
			})
			w.begin(l, w.alice)
			w.eventually("the listener is dead", func() bool { return sent.Load() >= 3 && l.dead() })
			next := w.start()
			w.eventually("the next listener sends it again", func() bool { return strings.Contains(next.log.String(), "a reminder was sent") })
			w.remindedOnce(w.alice)
		})
	}
}

// dead says that the listener has ended.
func (l *listener) dead() bool {
	select {
	case err := <-l.done:
		l.done <- err
		return true
	default:
		return false
	}
}

func TestReminderThatFeishuRefusesHoldsUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPolicy(strings.Replace(reminding(), "[alice@example.com, carol@example.com]", "[alice@example.com]", 1)))
	l := w.start()
	mr := w.begin(l, w.alice)
	refused := w.feishu.Inject(feishusim.Fault{Method: http.MethodPost, PathSuffix: "/im/v1/messages", Status: http.StatusBadGateway, Body: "no"})
	w.eventually("it is tried", func() bool { return strings.Contains(l.log.String(), "a reminder was not sent") })
	w.eventually("and tried again", func() bool { return strings.Count(l.log.String(), "a reminder was not sent") > 1 })
	refused()
	w.remindedOnce(w.alice)
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "merged into main", w.alice)
	w.once(mr.IID, "PUT 1/merge 200")
}

// Who has slept over what happened looks first, and reminds then.
func TestReminderComesAfterTheFirstSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	merged := w.feature(l, "merged")
	w.feature(l, "waits")
	l.stop()
	w.remind()
	w.gitlab.MergeByHand(project, merged.IID, "erin")
	w.sweeping()
	w.remindedOnce(w.alice, w.carol)
	if text := w.reminders(w.carol)[0]; !strings.HasPrefix(text, "Waiting for you · acme/webhook !2") {
		t.Errorf("the reminder reads:\n%s", text)
	}
}
