package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// bypassed is what the log says of the merges around the gate.
func (b *bench) bypassed(g *running) []string {
	b.Helper()
	var all []string
	for e, err := range g.store.Log(context.Background(), gate.LogFilter{}) {
		if err != nil {
			b.Fatal(err)
		}
		if e.Kind != gate.EntryBypassed {
			continue
		}
		var said struct {
			Why    string
			By     gate.User
			Commit string
			Path   string
			Number int64
		}
		if err := json.Unmarshal(e.Data, &said); err != nil {
			b.Fatal(err)
		}
		if said.By.Username == "" || said.Commit == "" || said.Path != "payments/api" || said.Number != 1 {
			b.Errorf("the entry does not say by whom, as what, or of which: %s", e.Data)
		}
		all = append(all, said.Why)
	}
	return all
}

func (b *bench) landing(g *running, ref gate.Ref) *gate.Landing {
	b.Helper()
	mr, err := g.store.Peek(context.Background(), gate.By{Ref: &ref})
	if err != nil {
		b.Fatal(err)
	}
	return mr.Landing
}

func TestMergedAroundTheGate(t *testing.T) {
	approve := func(b *bench, g *running) { b.click(g, b.alice, gate.ActionApprove, "") }
	for name, c := range map[string]struct {
		rule  func(r *policy.Rule)
		asked bool // before the rest happens
		then  func(b *bench, g *running, ref gate.Ref)
		why   gate.Bypass // "": it was not
		says  []string    // on the cards, both
	}{
		"while it waits": {asked: true, why: gate.BypassUndecided, says: []string{"Merged directly by Carol, without approval here"}},
		"with one approval of two": {
			rule: func(r *policy.Rule) { r.Required = 2 }, asked: true,
			then: func(b *bench, g *running, _ gate.Ref) { approve(b, g); wait(time.Second) },
			why:  gate.BypassUndecided, says: []string{"without approval here"},
		},
		"with a commit that nobody saw, after the approval": {
			rule: func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove }, asked: true,
			then: func(b *bench, g *running, ref gate.Ref) { approve(b, g); wait(3 * time.Second); b.forge.Push(ref) },
			why:  gate.BypassCommit, says: []string{"which was not approved here", "Alice approved commit"},
		},
		"into another branch that a rule covers": {
			rule: func(r *policy.Rule) {
				r.OnApprove, r.TargetBranches = policy.OnApproveApprove, []string{"main", "release"}
			}, asked: true,
			then: func(b *bench, g *running, ref gate.Ref) {
				approve(b, g)
				wait(3 * time.Second)
				b.forge.Retarget(ref, "release")
			},
			why: gate.BypassTarget, says: []string{"into release, without approval for it here"},
		},
		"into a branch that is nobody's business": {
			asked: true, then: func(b *bench, _ *running, ref gate.Ref) { b.forge.Retarget(ref, "develop") },
			says: []string{"Now targets develop instead of main"},
		},
		"after a rejection that left it open": {
			rule: func(r *policy.Rule) { r.OnReject = policy.OnRejectComment }, asked: true,
			then: func(b *bench, g *running, _ gate.Ref) {
				b.click(g, b.carol, gate.ActionReject, "no")
				wait(3 * time.Second)
			},
			why: gate.BypassRejected, says: []string{"without approval here", "Rejected before by Carol: no"},
		},
		"after a rejection, closed and opened again unseen": {
			asked: true,
			then: func(b *bench, g *running, ref gate.Ref) {
				b.click(g, b.carol, gate.ActionReject, "no")
				wait(3 * time.Second)
				b.forge.Reopen(ref)
			},
			why: gate.BypassRejected, says: []string{"without approval here", "Rejected before by Carol: no"},
		},
		"after it expired": {
			rule: func(r *policy.Rule) { r.ExpireAfter = time.Hour }, asked: true,
			then: func(*bench, *running, gate.Ref) { wait(2 * time.Hour) },
			why:  gate.BypassExpired, says: []string{"without approval here"},
		},
		"as a draft that was made ready unseen": {
			asked: true,
			then: func(b *bench, g *running, ref gate.Ref) {
				b.forge.SetDraft(ref, true)
				b.look(g, ref)
				wait(time.Second)
				b.forge.SetDraft(ref, false)
			},
			why: gate.BypassUnasked, says: []string{"without approval here"},
		},
		"without anybody having been asked": {why: gate.BypassUnasked},
		"approved, and merged by hand": {
			rule: func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove }, asked: true,
			then: func(b *bench, g *running, _ gate.Ref) { approve(b, g); wait(3 * time.Second) },
			says: []string{"Approved by Alice, merged into main"},
		},
		"approved, blocked, and merged by hand": {
			asked: true,
			then: func(b *bench, g *running, ref gate.Ref) {
				b.forge.SetConflict(ref, true)
				approve(b, g)
				wait(3 * time.Second)
			},
			says: []string{"Approved by Alice, merged into main"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				if c.rule != nil {
					c.rule(&b.policy.Rules[0])
				}
				g := b.start()
				defer b.stop(g)
				wait(time.Second)
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
				if c.asked {
					b.look(g, ref)
					wait(time.Second)
				}
				if c.then != nil {
					c.then(b, g, ref)
				}
				b.forge.MergeByHand(ref)
				b.forge.Forget()
				for range 3 { // a webhook may come more than once
					b.look(g, ref)
					wait(2 * time.Second)
				}
				wait(time.Hour)

				l := b.landing(g, ref)
				switch {
				case c.why == "" && len(c.says) > 0 && strings.HasPrefix(c.says[0], "Now targets"):
					if l != nil {
						t.Errorf("a merge that no rule covers was recorded: %+v", l)
					}
				case l == nil || l.Around != c.why || l.Rule != "production" || l.At.IsZero() || (l.Entry == nil) != (c.why == ""):
					t.Errorf("recorded as %+v, want %q", l, c.why)
				}
				var want []string
				if c.why != "" {
					want = []string{string(c.why)}
				}
				if got := b.bypassed(g); strings.Join(got, "; ") != strings.Join(want, "; ") {
					t.Errorf("the log says %q, want %q", got, want)
				}
				if warned := strings.Count(b.log.String(), `msg="merged around the gate"`); warned != len(want) {
					t.Errorf("%d warnings, want %d:\n%s", warned, len(want), b.log)
				}
				if calls := b.calls("merge") + b.calls("approve") + b.calls("close"); calls > 0 {
					t.Errorf("calls: %v", b.forge.Calls())
				}
				for _, who := range []gate.Person{b.alice, b.carol} {
					cards := b.cards(who)
					if !c.asked {
						if len(cards) > 0 {
							t.Errorf("%s got a card about what is merged", who.Name)
						}
						continue
					}
					card := cards[len(cards)-1].Card
					for _, text := range c.says {
						if !strings.Contains(statusOf(card), text) {
							t.Errorf("%s reads %q: %q, want %q", who.Name, card.Title, statusOf(card), text)
						}
					}
					if around := strings.HasPrefix(card.Title, "Merged in GitLab ·"); around != (c.why != "") {
						t.Errorf("%s reads %q", who.Name, card.Title)
					}
				}
				if !c.asked && len(b.chat.Messages()) > 0 {
					t.Errorf("somebody was told: %+v", b.chat.Messages())
				}
			})
		})
	}
}

// A merge by hand that nobody told mrgate, and an approval long after it.
func TestMergedBeforeItWasApproved(t *testing.T) {
	for ago, why := range map[time.Duration]gate.Bypass{5 * time.Minute: gate.BypassEarly, 5 * time.Second: ""} {
		inBubble(t, func(b *bench) {
			g := b.start()
			defer b.stop(g)
			ref := b.opened(g)
			b.forge.MergeByHand(ref)
			wait(ago)
			b.click(g, b.alice, gate.ActionApprove, "")
			wait(3 * time.Second)
			if l := b.landing(g, ref); l == nil || l.Around != why {
				t.Errorf("%s before: %+v, want %q", ago, l, why)
			}
			if got := b.title(b.carol); strings.HasPrefix(got, "Merged in GitLab") != (why != "") {
				t.Errorf("%s before: Carol reads %q", ago, got)
			}
		})
	}
}

func TestMergedByMrgateIsNotAround(t *testing.T) {
	for name, setup := range map[string]func(b *bench, ref gate.Ref){
		"at once": func(*bench, gate.Ref) {},
		"by itself, later": func(b *bench, ref gate.Ref) {
			b.forge.SetPipeline(ref, "running")
			b.forge.SetMerging(ref, gate.MergeCI, "ci_still_running")
		},
		"its answer was lost": func(b *bench, _ gate.Ref) {
			lost := false
			b.forge.Lose(func(method string) error {
				if method == "merge" && !lost {
					lost = true
					return context.DeadlineExceeded
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				g := b.start()
				defer b.stop(g)
				ref := b.opened(g)
				setup(b, ref)
				b.click(g, b.alice, gate.ActionApprove, "")
				wait(3 * time.Second)
				if name == "by itself, later" {
					b.forge.SetMerging(ref, gate.MergeGo, "mergeable")
					b.forge.SetPipeline(ref, "success")
					b.look(g, ref)
				}
				wait(time.Minute)
				l := b.landing(g, ref)
				if l == nil || l.Around != "" || l.Rule != "production" || l.At.IsZero() {
					t.Errorf("recorded as %+v", l)
				}
				if got := b.bypassed(g); len(got) > 0 {
					t.Errorf("the log says %q", got)
				}
				mr, err := g.store.Peek(context.Background(), gate.By{Ref: &ref})
				if err != nil || mr.Snapshot.MergedBy.Username != "mrgate" || mr.Snapshot.MergedAt.IsZero() {
					t.Errorf("merged by %+v at %s, %v", mr.Snapshot.MergedBy, mr.Snapshot.MergedAt, err)
				}
			})
		})
	}
}

// What a body says can only keep mrgate from looking.
func TestLookAtWhatNobodyWasAskedAbout(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.forge.Open(gate.Snapshot{Path: "payments/api"})
		for want, said := range map[string]gate.Snapshot{
			"closed, and never asked about":            {State: gate.ForgeClosed, Target: "main"},
			"merged into a branch that no rule covers": {State: gate.ForgeMerged, Target: "develop"},
		} {
			got, err := g.Look(context.Background(), gate.Hint{Ref: ref, Path: "payments/api", Snapshot: &said})
			if err != nil || got != want {
				t.Errorf("%s into %s: %q, %v", said.State, said.Target, got, err)
			}
		}
		wait(time.Minute)
		if calls := b.forge.Calls(); len(calls) > 0 {
			t.Errorf("calls: %v", calls)
		}
		// The forge is asked, and it is not merged at all: somebody is asked now.
		merged := gate.Snapshot{State: gate.ForgeMerged, Target: "main"}
		if got, err := g.Look(context.Background(), gate.Hint{Ref: ref, Path: "payments/api", Snapshot: &merged}); err != nil || got != "looking" {
			t.Errorf("%q, %v", got, err)
		}
		wait(time.Second)
		if l := b.landing(g, ref); l != nil || len(b.cards(b.alice)) != 1 {
			t.Errorf("%+v, and %d cards", l, len(b.cards(b.alice)))
		}
	})
}

// What a rule covers is judged as it was when it was merged: a label that is put
// today on what was merged long ago makes nobody guilty.
func TestMergedUnderTheRulesOfThen(t *testing.T) {
	narrow := func() *policy.Policy {
		p := usualPolicy()
		p.Rules[0].TargetBranches = []string{"release"}
		return p
	}
	for name, c := range map[string]struct {
		then, now *policy.Policy
		why       gate.Bypass
	}{
		"before the first start":   {nil, usualPolicy(), ""},
		"before there was a rule":  {narrow(), usualPolicy(), ""},
		"while there was one":      {usualPolicy(), usualPolicy(), gate.BypassUnasked},
		"while there was another":  {func() *policy.Policy { p := usualPolicy(); p.Rules[0].Required = 2; return p }(), usualPolicy(), gate.BypassUnasked},
		"what nobody can read now": {func() *policy.Policy { p := usualPolicy(); p.Rules[0].Name = "unreadable"; return p }(), usualPolicy(), gate.BypassUnasked},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				earlier := func(p *gate.Parts) {
					p.Earlier = func(text string) (*policy.Policy, error) {
						if strings.Contains(text, "unreadable") || c.then == nil || text != c.then.Text() {
							return nil, errors.New("cannot be read")
						}
						return c.then, nil
					}
				}
				if c.then != nil {
					b.policy = c.then
					g := b.start(earlier)
					wait(time.Hour)
					b.stop(g)
				}
				ref := b.forge.Open(gate.Snapshot{Path: "payments/api"})
				b.forge.MergeByHand(ref)
				wait(time.Hour)
				b.policy = c.now
				g := b.start(earlier)
				defer b.stop(g)
				wait(time.Second)
				b.look(g, ref)
				wait(time.Minute)
				l := b.landing(g, ref)
				if (l != nil) != (c.why != "") || l != nil && l.Around != c.why {
					t.Errorf("recorded as %+v, want %q; the log:\n%s", l, c.why, b.log)
				}
			})
		})
	}
}
