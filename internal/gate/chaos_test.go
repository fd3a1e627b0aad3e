package gate_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// TestWhateverHappens lets people, the forge and the chat do things in random
// order, with failures and lost answers in between, and then demands that
// everything has come to rest: what was merged was approved, and every card
// tells the truth.
func TestWhateverHappens(t *testing.T) {
	seeds := 24
	if testing.Short() {
		seeds = 10
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(b *bench) { (&chaos{bench: b, rand: rand.New(rand.NewPCG(seed, 1))}).run() })
		})
	}
}

type chaos struct {
	*bench
	rand     *rand.Rand
	ref      gate.Ref
	gates    []*running
	approved map[string]bool // commits that somebody approved, as the clicked card named them
	byHand   bool
	story    []string
}

func (c *chaos) run() {
	c.approved = map[string]bool{}
	c.policy.Rules[0].CommitStatus = true
	if c.rand.IntN(3) == 0 {
		c.policy.Rules[0].Required = 2
	}
	c.gates = []*running{c.start(), c.start()}
	c.ref = c.opened(c.gates[0])
	for range 25 {
		c.step()
		wait(time.Duration(c.rand.IntN(3000)) * time.Millisecond)
	}
	c.forge.Fail(nil)
	c.forge.Lose(nil)
	c.chat.Fail(nil)
	c.chat.Lose(nil)
	c.forge.Delay(nil)
	c.chat.Delay(nil)
	c.tell("all is well again")
	c.look(c.gates[0], c.ref)
	wait(20 * time.Minute)
	c.check()
	// At rest: the forge is looked at now and then where something waits for a
	// person in it, and the chat is let alone.
	c.forge.Forget()
	c.chat.Forget()
	wait(20 * time.Minute)
	if forge, chat := c.forge.Calls(), c.chat.Calls(); len(forge) > 5 || len(chat) > 0 {
		c.Errorf("no rest in 20 minutes: %v %v", forge, chat)
	}
	if c.Failed() {
		c.Logf("the story:\n%s\nthe forge's calls:\n%s", strings.Join(c.story, "\n"), strings.Join(c.forge.Calls(), "\n"))
	}
	verify(c.bench, c.gates[0])
	for _, g := range c.gates {
		c.stop(g)
	}
}

func (c *chaos) tell(format string, args ...any) {
	c.story = append(c.story, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// step does one thing.
func (c *chaos) step() {
	g := c.gates[c.rand.IntN(len(c.gates))]
	sometimes := func() func(string) error {
		of := []string{"get", "contents", "approve", "merge", "close", "retract", "note", "status", "send", "update", "resolve"}
		what, every := of[c.rand.IntN(len(of))], 1+c.rand.Int64N(3)
		how := []error{
			errors.New("chaos"), errors.New("more chaos"), &gate.RetryAfter{After: 2 * time.Second, Err: errors.New("429")},
		}
		if what == "approve" || what == "merge" || what == "retract" || what == "note" {
			how = append(how, gate.ErrHeadMoved, gate.ErrNotPermitted)
		}
		err := how[c.rand.IntN(len(how))]
		var n atomic.Int64
		c.tell("every %dth %s fails: %v", every, what, err)
		return func(method string) error {
			if method == what && n.Add(1)%every == 0 {
				return err
			}
			return nil
		}
	}
	slow := func() func(string) time.Duration {
		d := time.Duration(c.rand.IntN(9)) * time.Second
		c.tell("a call takes %s", d)
		return func(string) time.Duration { return d }
	}
	what := c.rand.IntN(18)
	if what < 4 && c.forge.Look(c.ref).State != gate.ForgeOpen {
		return // nobody pushes to what is over
	}
	switch what {
	case 0:
		c.tell("push %s", c.forge.Push(c.ref).Short())
	case 1:
		draft := c.rand.IntN(2) == 0
		c.forge.SetDraft(c.ref, draft)
		c.tell("draft %v", draft)
	case 2:
		target := []string{"main", "develop"}[c.rand.IntN(2)]
		c.forge.Retarget(c.ref, target)
		c.tell("target %s", target)
	case 3:
		yes := c.rand.IntN(2) == 0
		c.forge.SetConflict(c.ref, yes)
		c.tell("conflict %v", yes)
	case 4:
		if c.forge.Look(c.ref).State == gate.ForgeOpen && c.rand.IntN(3) == 0 {
			c.forge.CloseByHand(c.ref)
			c.tell("closed by hand")
		} else if c.forge.Look(c.ref).State == gate.ForgeClosed {
			c.forge.Reopen(c.ref)
			c.tell("reopened")
		}
	case 5:
		if c.forge.Look(c.ref).State == gate.ForgeOpen && c.rand.IntN(6) == 0 {
			c.forge.MergeByHand(c.ref)
			c.byHand = true
			c.tell("merged by hand")
		}
	case 6, 7, 8, 9:
		who := []gate.Person{c.alice, c.carol, c.bob, c.dave}[c.rand.IntN(4)]
		c.press(g, who, gate.ActionApprove)
	case 10:
		c.press(g, c.alice, gate.ActionRetry)
	case 11:
		if c.rand.IntN(3) == 0 {
			c.press(g, c.carol, gate.ActionReject)
		}
	case 12:
		c.forge.Fail(sometimes())
	case 13:
		c.forge.Lose(sometimes())
	case 14:
		c.chat.Fail(sometimes())
	case 15:
		c.chat.Lose(sometimes())
	case 16:
		c.forge.Delay(slow())
	case 17:
		c.chat.Delay(slow())
	}
	if c.rand.IntN(2) == 0 {
		c.look(g, c.ref)
		c.tell("look")
	}
}

func (c *chaos) press(g *running, who gate.Person, action gate.ActionID) {
	cards := c.cards(who)
	if len(cards) == 0 {
		cards = c.cards(c.alice) // somebody else's, as in a group
	}
	m := cards[len(cards)-1]
	a := g.Click(c.Context(), m.Click(action, who, "because"))
	c.tell("%s clicks %s on %q (%s): %s", who.Name, action, m.Card.Title, m.Card.Foot, a.Text)
	if a.Text == "" {
		c.Errorf("%s's %s on %q was answered with nothing", who.Name, action, m.Card.Title)
	}
	if a.Card != nil {
		c.chat.Answered(m.Ref, *a.Card)
	}
	if a.Kind == gate.AnswerOK && action == gate.ActionApprove {
		if who != c.alice && who != c.carol {
			c.Errorf("%s's approval was taken", who.Name)
		}
		c.approved[m.Card.Foot] = true
	}
}

func (c *chaos) check() {
	s := c.forge.Look(c.ref)
	if s.State == gate.ForgeMerged && !c.byHand {
		found := false
		for foot := range c.approved {
			found = found || strings.Contains(foot, s.Head.Short())
		}
		if !found {
			c.Errorf("%s was merged, and nobody approved it; approved were %v", s.Head.Short(), c.approved)
		}
	}
	keys := map[string]int{}
	for _, m := range c.chat.Messages() {
		keys[m.Card.Key]++
	}
	for key, n := range keys {
		if n > 1 {
			c.Errorf("%d messages with the key %s", n, key)
		}
	}
	row, err := c.gates[0].store.Peek(c.Context(), gate.By{Ref: &c.ref})
	if err != nil {
		c.Fatal(err)
	}
	r := row.Current()
	ends := map[gate.ForgeState][]gate.State{
		gate.ForgeMerged: {gate.MergedHere, gate.Withdrawn, gate.Superseded, gate.Expired},
		gate.ForgeClosed: {gate.ClosedHere, gate.Withdrawn, gate.Superseded, gate.Expired},
		gate.ForgeOpen:   {gate.Pending, gate.BlockedNow, gate.Superseded, gate.Withdrawn, gate.Expired},
	}
	fits := false
	if c.byHand {
		fits = r.State == gate.ClosedHere // rejected and closed, then opened again as a draft, and merged
	}
	for _, state := range ends[s.State] {
		fits = fits || r.State == state
	}
	if !fits {
		c.Errorf("in the forge it is %s, and the request %s", s.State, r.State)
	}
	if row.Error != "" {
		c.Errorf("left an error: %s", row.Error)
	}
	if !r.State.Open() && s.Approved && s.State == gate.ForgeOpen {
		c.Errorf("the request is %s, and the forge still has mrgate's approval", r.State)
	}
	// No commit's status promises what is not so.
	want := map[gate.State]gate.StatusState{
		gate.Pending: gate.StatusPending, gate.BlockedNow: gate.StatusPending, gate.MergedHere: gate.StatusSuccess, gate.ClosedHere: gate.StatusFailed,
		gate.Superseded: gate.StatusCanceled, gate.Withdrawn: gate.StatusCanceled, gate.Expired: gate.StatusCanceled,
	}[r.State]
	for head, status := range s.Statuses {
		if head == r.Head && status != want || head != r.Head && (status == gate.StatusPending || status == gate.StatusSuccess) {
			c.Errorf("the status of %s is %s, while the request for %s is %s", head.Short(), status, r.Head.Short(), r.State)
		}
	}
	// No card offers what cannot be done.
	for _, who := range []gate.Person{c.alice, c.carol} {
		for _, m := range c.cards(who) {
			asks := false
			for _, a := range m.Card.Actions {
				asks = asks || a.ID == gate.ActionApprove
			}
			if current := strings.Contains(m.Card.Foot, r.Head.Short()); asks && (r.State != gate.Pending || !current) {
				c.Errorf("%s still has a card that asks: %q (%s), while the request for %s is %s", who.Name, m.Card.Title, m.Card.Foot, r.Head.Short(), r.State)
			}
		}
	}
}
