package gate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/policy"
)

// result is the newest message that the author got.
func (b *bench) result() gatetest.ChatMessage {
	b.Helper()
	all := b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})
	if len(all) == 0 {
		b.Fatal("Bob has no message")
	}
	return all[len(all)-1]
}

func offersAgain(c gate.Card) bool {
	for _, a := range c.Actions {
		if a.ID == gate.ActionAgain {
			return true
		}
	}
	return false
}

// again presses the button that asks again, on a message of the author's.
func (b *bench) again(r *running, who gate.Person, m gatetest.ChatMessage) gate.Answer {
	b.Helper()
	a := r.Click(context.Background(), m.Click(gate.ActionAgain, who, ""))
	if a.Card != nil {
		b.chat.Answered(m.Ref, *a.Card)
	}
	return a
}

// expires opens a merge request and lets its request expire.
func (b *bench) expires(r *running) gate.Ref {
	b.Helper()
	ref := b.opened(r)
	wait(10 * time.Minute)
	if got := b.title(b.alice); !strings.HasPrefix(got, "Expired") {
		b.Fatalf("Alice reads %q", got)
	}
	return ref
}

func withMinutes(t *testing.T, f func(b *bench)) {
	t.Helper()
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].ExpireAfter = 10 * time.Minute
		f(b)
	})
}

func TestAuthorAsksAgainAfterExpiry(t *testing.T) {
	withMinutes(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.expires(g)
		told := b.result()
		if !offersAgain(told.Card) {
			t.Fatalf("Bob reads %+v", told.Card)
		}
		for _, who := range []gate.Person{b.alice, b.dave, {}} {
			if a := b.again(g, who, told); a.Kind != gate.AnswerError || a.Card != nil {
				t.Errorf("%s asked again: %+v", who.Name, a)
			}
		}
		wait(time.Minute)
		if n := len(b.cards(b.alice)); n != 1 {
			t.Fatalf("Alice has %d cards", n)
		}
		if a := b.again(g, b.bob, told); a.Kind != gate.AnswerOK || a.Card == nil || offersAgain(*a.Card) {
			t.Errorf("answer %+v", a)
		}
		if a := b.again(g, b.bob, told); a.Kind != gate.AnswerInfo {
			t.Errorf("the same once more: %+v", a)
		}
		wait(3 * time.Second)
		for _, who := range []gate.Person{b.alice, b.carol} {
			cards := b.cards(who)
			if len(cards) != 2 || !strings.HasPrefix(cards[0].Card.Title, "Expired") || cards[1].Card.Title != "Approval needed · payments/api !1" {
				t.Fatalf("%s has %d cards, the last reads %q", who.Name, len(cards), b.title(who))
			}
		}
		// The old card says where to decide, and nothing else happens.
		old := b.cards(b.alice)[0]
		if a := g.Click(context.Background(), old.Click(gate.ActionApprove, b.alice, "")); a.Kind != gate.AnswerInfo || !strings.Contains(a.Text, "new card") {
			t.Errorf("a click on the old card: %+v", a)
		}
		if a := b.again(g, b.bob, told); a.Kind != gate.AnswerInfo {
			t.Errorf("once more when it is asked: %+v", a)
		}
		wait(time.Minute)
		if r := row(b, g, ref).Current(); r.Seq != 2 || r.State != gate.Pending || len(r.Decisions) != 0 {
			t.Errorf("request %+v", r)
		}
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		if b.forge.Look(ref).State != gate.ForgeMerged || b.calls("merge") != 1 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
	})
}

func TestAskedAgainSurvivesARestartAndTheForge(t *testing.T) {
	withMinutes(t, func(b *bench) {
		g := b.start()
		b.expires(g)
		b.forge.Delay(func(string) time.Duration { return time.Hour }) // it does not answer
		b.again(g, b.bob, b.result())
		b.stop(g)
		b.forge.Delay(nil)
		g = b.start()
		defer b.stop(g)
		wait(20 * time.Second)
		if n := len(b.cards(b.alice)); n != 2 {
			t.Errorf("Alice has %d cards\n%s", n, b.log)
		}
		if offersAgain(b.result().Card) {
			t.Error("Bob is still offered to ask again")
		}
	})
}

func TestAskedAgainInVain(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(b *bench, ref gate.Ref)
		says    string
	}{
		"merged":         {func(b *bench, ref gate.Ref) { b.forge.MergeByHand(ref) }, "merged or closed"},
		"a draft":        {func(b *bench, ref gate.Ref) { b.forge.SetDraft(ref, true) }, "when it is ready"},
		"no rule for it": {func(b *bench, ref gate.Ref) { b.forge.Retarget(ref, "develop") }, "No rule covers develop"},
	} {
		t.Run(name, func(t *testing.T) {
			withMinutes(t, func(b *bench) {
				g := b.start()
				defer b.stop(g)
				ref := b.expires(g)
				c.happens(b, ref)
				b.again(g, b.bob, b.result())
				wait(5 * time.Second)
				if got := statusOf(b.result().Card); !strings.Contains(got, c.says) {
					t.Errorf("Bob reads %q, want %q", got, c.says)
				}
				if mr := row(b, g, ref); !mr.AgainAt.IsZero() || len(b.cards(b.alice)) != 1 || !mr.DueAt.IsZero() {
					t.Errorf("left over: %+v; Alice has %d cards", mr, len(b.cards(b.alice)))
				}
				if name == "merged" && offersAgain(b.result().Card) {
					t.Error("Bob is still offered to ask again")
				}
			})
		})
	}
}

func TestSentBackIsAskedAgainAndSaysSo(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].OnReject = policy.OnRejectComment
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.carol, gate.ActionReject, "no tests")
		wait(3 * time.Second)
		b.look(g, ref)
		wait(time.Minute)
		if n := len(b.cards(b.alice)); n != 1 {
			t.Fatalf("nobody asked again, and Alice has %d cards", n)
		}
		b.again(g, b.bob, b.result())
		wait(3 * time.Second)
		for _, who := range []gate.Person{b.alice, b.carol} {
			cards := b.cards(who)
			if len(cards) != 2 || !strings.HasPrefix(cards[0].Card.Title, "Sent back") {
				t.Fatalf("%s has %d cards, the first reads %q", who.Name, len(cards), cards[0].Card.Title)
			}
			if facts := cards[1].Card.Facts; !strings.Contains(facts[0].String(), "Rejected before by Carol: no tests") {
				t.Errorf("%s's new card begins with %q", who.Name, facts[0])
			}
		}
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged || len(s.Notes) != 2 {
			t.Errorf("in the forge: %+v", s)
		}
	})
}

func TestHintAsksAgain(t *testing.T) {
	withMinutes(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		hint := gate.Hint{Ref: ref, Path: "payments/api", Again: true}
		ask := func() {
			b.Helper()
			s, err := b.forge.Get(b.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			hint.Snapshot = &s // shows nothing new, and is not suppressed
			if _, err := g.Look(context.Background(), hint); err != nil {
				t.Fatal(err)
			}
			wait(3 * time.Second)
		}
		ask()
		wait(10 * time.Minute)
		if n := len(b.cards(b.alice)); n != 1 || !strings.HasPrefix(b.title(b.alice), "Expired") {
			t.Fatalf("asked again while it was pending, Alice has %d cards, the last reads %q", n, b.title(b.alice))
		}
		ask()
		ask()
		if n := len(b.cards(b.alice)); n != 2 || !strings.HasPrefix(b.title(b.alice), "Approval needed") {
			t.Errorf("Alice has %d cards, the last reads %q", n, b.title(b.alice))
		}
		if offersAgain(b.result().Card) {
			t.Error("Bob is still offered to ask again")
		}
	})
}

func TestJobAsksAgain(t *testing.T) {
	for _, mode := range []policy.AdoptMode{policy.AdoptConfirm, policy.AdoptTrust} {
		t.Run(string(mode), func(t *testing.T) {
			withMinutes(t, func(b *bench) {
				b.policy.AdoptCards = mode
				g := b.start()
				defer b.stop(g)
				ref := b.expires(g)
				wait(time.Minute)
				asks := func() { b.ask(ref, func(a *gate.Asking) { a.Again = true }) }
				asks()
				asks() // within the hour: the same messages
				for _, who := range []gate.Person{b.alice, b.carol} {
					if n := len(b.cards(who)); n != 2 {
						t.Fatalf("%s has %d cards", who.Name, n)
					}
				}
				fromJob := b.cards(b.carol)[1]
				press := func(who gate.Person, m gatetest.ChatMessage) {
					click := m.Click(gate.ActionApprove, who, "")
					click.Origin, click.Ref = m.Card.Origin, &m.Ref
					if a := g.Click(context.Background(), click); a.Kind != gate.AnswerInfo {
						t.Errorf("answer %+v", a)
					}
				}
				press(b.alice, b.cards(b.alice)[1])
				wait(3 * time.Second)
				if r := row(b, g, ref).Current(); r.Seq != 2 || mode == policy.AdoptConfirm && len(r.Decisions) != 0 {
					t.Fatalf("request %+v\n%s", r, b.log)
				}
				if n := len(b.cards(b.alice)); n != 2 {
					t.Errorf("Alice has %d cards: a second one for one asking", n)
				}
				if mode == policy.AdoptTrust {
					if b.forge.Look(ref).State != gate.ForgeMerged {
						t.Errorf("calls: %v", b.forge.Calls())
					}
					return
				}
				if n := len(b.cards(b.carol)); n != 2 || b.cards(b.carol)[1].Card.Origin != nil {
					t.Errorf("Carol has %d cards: a second one for one asking, or still the job's", n)
				}
				// Expired once more, and the job's card clicked late: nobody asked since.
				wait(10 * time.Minute)
				press(b.carol, fromJob)
				wait(time.Minute)
				if r := row(b, g, ref).Current(); r.Seq != 2 || r.State != gate.Expired {
					t.Errorf("an old card asked again: %+v", r)
				}
			})
		})
	}
}

func TestExpiryIsNotSaidOfWhatEndedOtherwise(t *testing.T) {
	withMinutes(t, func(b *bench) {
		g := b.start()
		ref := b.opened(g)
		b.stop(g)
		b.forge.MergeByHand(ref) // and nobody tells
		wait(20 * time.Minute)
		g = b.start()
		defer b.stop(g)
		wait(3 * time.Second)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Merged in GitLab") {
			t.Errorf("Alice reads %q", got)
		}
	})
}

func TestExpiresAlsoWhileTheForgeIsDown(t *testing.T) {
	withMinutes(t, func(b *bench) {
		g := b.start()
		b.opened(g)
		b.stop(g)
		b.forge.Fail(func(string) error { return errors.New("down") })
		wait(20 * time.Minute)
		g = b.start()
		defer b.stop(g)
		wait(3 * time.Second)
		if got := b.title(b.alice); !strings.HasPrefix(got, "Expired") {
			t.Errorf("Alice reads %q", got)
		}
	})
}
