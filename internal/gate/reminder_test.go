package gate_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/policy"
)

// withReminders is a bench whose approvers are reminded after two minutes.
func withReminders(t *testing.T, f func(b *bench)) {
	t.Helper()
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].RemindAfter, b.policy.Rules[0].ExpireAfter = 2*time.Minute, time.Hour
		f(b)
	})
}

// reminders are what the person got of them.
func (b *bench) reminders(who gate.Person) []gatetest.ChatMessage {
	var list []gatetest.ChatMessage
	for _, m := range b.chat.MessagesTo(gate.Recipient{ID: who.ID}) {
		if strings.Contains(m.Card.Title, "wait for you") || strings.HasPrefix(m.Card.Title, "Waiting for you") {
			list = append(list, m)
		}
	}
	return list
}

func (b *bench) wantReminders(when string, alice, carol int) {
	b.Helper()
	if a, c := len(b.reminders(b.alice)), len(b.reminders(b.carol)); a != alice || c != carol {
		b.Errorf("%s, Alice has %d reminders and Carol %d, want %d and %d\n%s", when, a, c, alice, carol, b.log)
	}
}

// another opens one more merge request.
func (b *bench) another(g *running, title string) gate.Ref {
	b.Helper()
	ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: title})
	b.look(g, ref)
	wait(time.Second)
	return ref
}

func TestRemindedOnceOfAllThatWaits(t *testing.T) {
	withReminders(t, func(b *bench) {
		g, other := b.start(), b.start() // two listeners
		defer b.stop(g)
		defer b.stop(other)
		first := b.opened(g)
		wait(time.Minute)
		b.another(g, "Log retries")
		wait(50 * time.Second)
		b.wantReminders("before it is due", 0, 0)
		wait(15 * time.Second)
		b.wantReminders("when it is due", 1, 1)
		card := b.reminders(b.alice)[0].Card
		if want := "2 merge requests wait for you, the oldest for 2 minutes"; card.Title != want || len(card.Actions) != 0 {
			t.Errorf("the reminder reads %q, want %q", card.Title, want)
		}
		for i, want := range []string{"payments/api !1 Add retries, 2 minutes so far, expires on ", "payments/api !2 Log retries, 1 minute so far, expires on "} {
			if got := card.Facts[i]; !strings.HasPrefix(got.String(), want) || got[0].Link == "" {
				t.Errorf("line %d reads %q, want %q and a link", i, got, want)
			}
		}
		wait(20 * time.Minute)
		b.wantReminders("later", 1, 1)
		if n := strings.Count(b.log.String(), "a reminder was sent"); n != 2 {
			t.Errorf("the log tells of %d reminders:\n%s", n, b.log)
		}
		entries := 0
		for e, err := range g.store.Log(b.Context(), gate.LogFilter{Request: row(b, g, first).Current().ID}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == gate.EntryReminder {
				entries++
			}
		}
		if entries != 2 {
			t.Errorf("the audit log tells of %d reminders of the first", entries)
		}
	})
}

func TestWhoIsNotReminded(t *testing.T) {
	withReminders(t, func(b *bench) {
		b.policy.Rules[0].Required = 2
		group := b.chat.AddGroup()
		b.policy.Rules[0].CardsTo = []policy.Identity{email("alice"), email("carol"), email("dave"), {Kind: policy.KindGroup, Value: group}}
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		b.another(g, "Log retries")
		wait(3 * time.Minute)
		b.wantReminders("one has decided one of them", 1, 1)
		if n := len(b.reminders(b.alice)[0].Card.Facts); n != 1 {
			t.Errorf("Alice is reminded of %d, want of the other", n)
		}
		if n := len(b.reminders(b.carol)[0].Card.Facts); n != 2 {
			t.Errorf("Carol is reminded of %d, want of both", n)
		}
		if n := len(b.chat.MessagesTo(gate.Recipient{Group: true, ID: group})); n != 2 || len(b.reminders(b.dave)) != 0 {
			t.Errorf("the group has %d messages, Dave, who cannot decide, %d reminders", n, len(b.reminders(b.dave)))
		}
	})
}

func TestReminderAfterTheListenerWasDown(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		b.opened(g)
		b.another(g, "Decided meanwhile")
		wait(time.Minute)
		b.click(g, b.alice, gate.ActionReject, "no") // the newest
		wait(3 * time.Second)
		b.another(g, "Still waits")
		b.stop(g)
		wait(30 * time.Minute)
		b.wantReminders("while nobody listens", 0, 0)
		g = b.start()
		wait(3 * time.Second)
		b.wantReminders("when it is up again", 1, 1)
		if got := b.reminders(b.alice)[0].Card; len(got.Facts) != 2 || strings.Contains(statusOf(got), "Decided meanwhile") {
			t.Errorf("the reminder reads %q", statusOf(got))
		}
		b.stop(g)
		g = b.start()
		defer b.stop(g)
		wait(10 * time.Minute)
		b.wantReminders("after another start", 1, 1)
	})
}

func TestReminderComesAfterTheFirstSweep(t *testing.T) {
	withReminders(t, func(b *bench) {
		s := b.sweeping(false)
		merged := b.opened(s.running)
		b.another(s.running, "Still waits")
		s.stop()
		b.forge.MergeByHand(merged) // and nobody tells
		wait(10 * time.Minute)
		b.forge.Delay(func(string) time.Duration { return 2 * time.Second })
		s = b.sweeping(false)
		defer s.stop()
		wait(30 * time.Second)
		b.wantReminders("after the sweep", 1, 1)
		if got := b.reminders(b.alice)[0].Card; len(got.Facts) != 1 || !strings.Contains(got.Title, "!2") {
			t.Errorf("the reminder reads %q", statusOf(got))
		}
	})
}

func TestNothingThatHasExpiredIsRemindedOf(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		b.opened(g)
		b.stop(g)
		wait(2 * time.Hour)
		g = b.start()
		defer b.stop(g)
		wait(10 * time.Second)
		b.wantReminders("of what has expired", 0, 0)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Expired") {
			t.Errorf("Alice reads %q", got)
		}
	})
}

func TestPushAndReminder(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		push := func() {
			b.forge.Push(ref)
			b.look(g, ref)
		}
		wait(90 * time.Second)
		push()
		wait(40 * time.Second)
		b.wantReminders("a push does not start the time anew", 1, 1)
		push()
		wait(90 * time.Second)
		b.wantReminders("a push does not remind again at once", 1, 1)
		wait(40 * time.Second)
		b.wantReminders("but in its time", 2, 2)
		wait(10 * time.Minute)
		b.wantReminders("and once", 2, 2)
	})
}

func TestAskedAgainIsRemindedInItsTime(t *testing.T) {
	withReminders(t, func(b *bench) {
		b.policy.Rules[0].ExpireAfter = 5 * time.Minute
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		wait(6 * time.Minute)
		b.wantReminders("of the first", 1, 1)
		b.again(g, b.bob, b.result())
		wait(90 * time.Second)
		b.wantReminders("soon after it was asked again", 1, 1)
		wait(40 * time.Second)
		b.wantReminders("of the second", 2, 2)
	})
}

func TestReminderWhoseAnswerIsLostIsSentOnce(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		var sent atomic.Int64
		b.chat.Lose(func(method string) error {
			if method == "send" && sent.Add(1) <= 4 {
				return errors.New("cut off")
			}
			return nil
		})
		wait(10 * time.Minute)
		b.wantReminders("after some lost answers", 1, 1)
		if n := sent.Load(); n < 4 {
			t.Errorf("%d answers were lost", n)
		}
	})
}

func TestReminderHoldsUpNothing(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		other := b.another(g, "Log retries")
		b.chat.Fail(func(method string) error {
			if method == "send" {
				return gate.ErrNotPermitted
			}
			return nil
		})
		wait(3 * time.Minute)
		b.wantReminders("while the chat refuses", 0, 0)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(other).State != gate.ForgeMerged {
			t.Errorf("a reminder that is refused held up a merge: %v", b.forge.Calls())
		}
		b.chat.Fail(nil)
		wait(30 * time.Minute)
		b.wantReminders("when the chat takes them", 1, 1)
		if got := b.reminders(b.carol)[0].Card.Title; !strings.HasPrefix(got, "Waiting for you · payments/api !1") {
			t.Errorf("Carol reads %q, want only what still waits", got)
		}
	})
}

func TestSlowForgeHoldsUpNoReminder(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start(func(p *gate.Parts) { p.Workers = 1 })
		defer b.stop(g)
		b.opened(g)
		b.forge.Delay(func(string) time.Duration { return time.Hour })
		for range 30 { // each takes ten seconds, so there is no end of it
			b.look(g, b.forge.Open(gate.Snapshot{Path: "payments/api"}))
		}
		wait(time.Minute)
		b.wantReminders("before it is due", 0, 0)
		wait(time.Minute)
		b.wantReminders("with all hands full", 1, 1)
		wait(5 * time.Minute)
		b.wantReminders("later", 1, 1)
	})
}

func TestRehearsalRemindsOfWhatIsRehearsed(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		b.opened(g)
		b.stop(g)
		rehearsal := b.start(func(p *gate.Parts) { p.DryRun = true })
		wait(5 * time.Minute)
		b.wantReminders("of what is real", 0, 0)
		b.another(rehearsal, "Log retries")
		wait(3 * time.Minute)
		b.wantReminders("of what is rehearsed", 1, 1)
		if got := b.reminders(b.alice)[0].Card; len(got.Facts) != 1 || !strings.Contains(got.Title, "!2") {
			t.Errorf("the reminder reads %q", statusOf(got))
		}
		b.stop(rehearsal)
		g = b.start()
		defer b.stop(g)
		wait(time.Minute)
		b.wantReminders("of what was real before", 2, 2)
		wait(10 * time.Minute)
		b.wantReminders("of what was asked again, for real", 3, 3)
	})
}

func TestReminderOfSomebodyWhoLeftIsLetGo(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		b.opened(g)
		b.chat.Leave(b.alice.ID)
		b.chat.Forget()
		wait(30 * time.Minute)
		b.wantReminders("of one who left", 0, 1)
		sent := 0
		for _, c := range b.chat.Calls() {
			if strings.HasPrefix(c, "send person:"+b.alice.ID) {
				sent++
			}
		}
		if sent != 1 {
			t.Errorf("it was tried %d times: %v", sent, b.chat.Calls())
		}
	})
}

func TestAnotherPolicyMovesTheReminder(t *testing.T) {
	withReminders(t, func(b *bench) {
		g := b.start()
		b.opened(g)
		b.stop(g)
		b.policy = usualPolicy() // nobody is reminded
		g = b.start()
		wait(10 * time.Minute)
		b.wantReminders("under a policy without", 0, 0)
		b.stop(g)
		b.policy = usualPolicy()
		b.policy.Rules[0].RemindAfter = 20 * time.Minute
		g = b.start()
		defer b.stop(g)
		wait(5 * time.Minute)
		b.wantReminders("under a third, before its time", 0, 0)
		wait(6 * time.Minute)
		b.wantReminders("under a third", 1, 1)
	})
}
