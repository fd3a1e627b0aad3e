package gate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// withStatus is the usual policy, whose rule shows a status.
func withStatus(change ...func(r *policy.Rule)) *policy.Policy {
	p := usualPolicy()
	p.Rules[0].CommitStatus = true
	for _, f := range change {
		f(&p.Rules[0])
	}
	return p
}

// statuses are those that were posted, failed ones too: "0f98b1f7 pending".
func (b *bench) statuses() []string {
	var all []string
	for _, c := range b.forge.Calls() {
		if what, ok := strings.CutPrefix(c, "status 1 "); ok {
			all = append(all, what)
		}
	}
	return all
}

// states are the same without the commits.
func (b *bench) states() string {
	var all []string
	for _, s := range b.statuses() {
		all = append(all, s[strings.Index(s, " ")+1:])
	}
	return strings.Join(all, " ")
}

func TestStatusFollowsTheRequest(t *testing.T) {
	approveOnly := func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove }
	setPolicy := func(b *bench, g *running, p *policy.Policy) {
		if err := g.SetPolicy(context.Background(), p); err != nil {
			b.Fatal(err)
		}
		b.policy = p
		wait(3 * time.Second)
	}
	approve := func(b *bench, g *running) {
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
	}
	for name, c := range map[string]struct {
		rule func(r *policy.Rule)
		then func(b *bench, g *running, ref gate.Ref)
		want string
	}{
		"merged": {then: func(b *bench, g *running, _ gate.Ref) { approve(b, g) }, want: "pending success"},
		"approved, which is all": {
			rule: approveOnly,
			then: func(b *bench, g *running, _ gate.Ref) { approve(b, g) },
			want: "pending success",
		},
		"approved, not merged yet": {
			then: func(b *bench, g *running, ref gate.Ref) { b.waitsForCI(ref); approve(b, g) },
			want: "pending",
		},
		"blocked": {
			then: func(b *bench, g *running, ref gate.Ref) { b.forge.SetConflict(ref, true); approve(b, g) },
			want: "pending",
		},
		"one of two": {
			rule: func(r *policy.Rule) { r.Required = 2 },
			then: func(b *bench, g *running, _ gate.Ref) { approve(b, g) },
			want: "pending",
		},
		"rejected and closed": {
			then: func(b *bench, g *running, _ gate.Ref) { b.click(g, b.carol, gate.ActionReject, "no") },
			want: "pending failed",
		},
		"sent back": {
			rule: func(r *policy.Rule) { r.OnReject = policy.OnRejectComment },
			then: func(b *bench, g *running, _ gate.Ref) { b.click(g, b.carol, gate.ActionReject, "no") },
			want: "pending failed",
		},
		"expired": {
			rule: func(r *policy.Rule) { r.ExpireAfter = time.Hour },
			then: func(_ *bench, _ *running, _ gate.Ref) { wait(time.Hour) },
			want: "pending canceled",
		},
		"closed by hand": {
			then: func(b *bench, g *running, ref gate.Ref) { b.forge.CloseByHand(ref); b.look(g, ref) },
			want: "pending canceled",
		},
		"merged around it": {
			then: func(b *bench, g *running, ref gate.Ref) { b.forge.MergeByHand(ref); b.look(g, ref) },
			want: "pending canceled",
		},
		"approved, and a draft again": {
			rule: approveOnly,
			then: func(b *bench, g *running, ref gate.Ref) { approve(b, g); b.forge.SetDraft(ref, true); b.look(g, ref) },
			want: "pending success canceled",
		},
		"lapsed": {
			rule: approveOnly,
			then: func(b *bench, g *running, _ gate.Ref) {
				approve(b, g)
				setPolicy(b, g, withStatus(approveOnly, func(r *policy.Rule) { r.Approvers = r.Approvers[1:] }))
			},
			want: "pending success pending",
		},
		"no rule any more": {
			then: func(b *bench, g *running, _ gate.Ref) {
				setPolicy(b, g, withStatus(func(r *policy.Rule) { r.TargetBranches = []string{"release"} }))
			},
			want: "pending canceled",
		},
		"the rule wants none any more": {
			then: func(b *bench, g *running, _ gate.Ref) { setPolicy(b, g, usualPolicy()); approve(b, g) },
			want: "pending canceled",
		},
		"the rule wants none": {
			rule: func(r *policy.Rule) { r.CommitStatus = false },
			then: func(b *bench, g *running, _ gate.Ref) { approve(b, g) },
		},
		"the rule comes to want one": {
			rule: func(r *policy.Rule) { r.CommitStatus = false },
			then: func(b *bench, g *running, _ gate.Ref) { setPolicy(b, g, withStatus()) },
			want: "pending",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				b.policy = withStatus()
				if c.rule != nil {
					c.rule(&b.policy.Rules[0])
				}
				g := b.start()
				ref := b.opened(g)
				c.then(b, g, ref)
				wait(3 * time.Second)
				if got := b.states(); got != c.want {
					t.Errorf("posted %q, want %q", got, c.want)
				}
				b.stop(g)
				// Another process has nothing to add.
				g = b.start()
				wait(3 * time.Second)
				if got := b.states(); got != c.want {
					t.Errorf("after a new start %q, want %q", got, c.want)
				}
				b.stop(g)
			})
		})
	}
}

func TestStatusOfEachCommit(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy = withStatus()
		b.policy.Rules[0].TargetBranches = append(b.policy.Rules[0].TargetBranches, "develop")
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		first := b.forge.Look(ref).Head.Short()
		second := b.forge.Push(ref).Short()
		b.look(g, ref)
		wait(3 * time.Second)
		// Of the same commit the newer request speaks, whose status says the same
		// already: it is said again, since it is another request that says so.
		b.forge.Retarget(ref, "develop")
		b.look(g, ref)
		wait(3 * time.Second)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		got := b.statuses()
		slices.Sort(got[1:3]) // the push: one commit's ends and the other's begins
		want := []string{first + " pending", first + " canceled", second + " pending", second + " pending", second + " success"}
		slices.Sort(want[1:3])
		if !slices.Equal(got, want) {
			t.Errorf("posted %q, want %q", got, want)
		}
	})
}

func TestStatusHoldsNothingUp(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		lost  bool
		tries int
	}{
		"refused":        {err: gate.ErrNotPermitted, tries: 1},
		"no such commit": {err: gate.ErrNotFound, tries: 1},
		"fails":          {err: errors.New("500"), tries: 3},
		"answer lost":    {err: context.DeadlineExceeded, lost: true, tries: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				b.policy = withStatus()
				left := c.tries
				fails := func(m string) error {
					if m != "status" || left == 0 {
						return nil
					}
					left--
					return c.err
				}
				if c.lost {
					b.forge.Lose(fails)
				} else {
					b.forge.Fail(fails)
				}
				g := b.start()
				defer b.stop(g)
				ref := b.opened(g)
				if n := b.calls("status"); n != 1 {
					t.Errorf("tried %d times at once", n)
				}
				b.click(g, b.alice, gate.ActionApprove, "")
				wait(3 * time.Second)
				if s := b.forge.Look(ref).State; s != gate.ForgeMerged {
					t.Errorf("it is %s, after %v", s, b.forge.Calls())
				}
				wait(time.Hour)
				s := b.forge.Look(ref)
				if s.Statuses[s.Head] != gate.StatusSuccess || b.calls("status") > c.tries+1 {
					t.Errorf("posted %v, which leaves %v", b.statuses(), s.Statuses)
				}
				var answers []string
				for _, e := range b.entries(g, gate.EntryEffect) {
					if text := string(e.Data); strings.Contains(text, `"effect":"status"`) {
						answers = append(answers, text)
					}
				}
				if len(answers) < 2 || !strings.Contains(answers[len(answers)-1], `"status":"success"`) {
					t.Errorf("the log tells %v", answers)
				}
			})
		})
	}
}

// What is never taken is not tried for ever.
func TestStatusIsGivenUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy = withStatus()
		b.forge.Fail(func(m string) error {
			if m == "status" {
				return errors.New("400")
			}
			return nil
		})
		g := b.start()
		b.opened(g)
		b.click(g, b.carol, gate.ActionReject, "no")
		wait(10 * time.Minute)
		b.stop(g)
		if n := b.calls("status"); n < 5 || n > 20 {
			t.Errorf("%d tries in ten minutes", n)
		}
		wait(25 * time.Hour)
		g = b.start()
		defer b.stop(g)
		wait(time.Minute)
		n := b.calls("status")
		wait(2 * time.Hour)
		if again := b.calls("status") - n; again > 0 {
			t.Errorf("after a day it is still tried: %d times", again)
		}
	})
}

// That mrgate ends while it tries is nobody's refusal, however late the try is.
func TestStatusIsNotGivenUpAtTheEnd(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy = withStatus()
		var g *running
		var fails func() error
		b.forge.Fail(func(m string) error {
			if m != "status" || fails == nil {
				return nil
			}
			return fails()
		})
		g = b.start()
		ref := b.opened(g)
		fails = func() error { return errors.New("500") }
		b.click(g, b.carol, gate.ActionReject, "no")
		wait(time.Minute)
		b.stop(g)
		wait(25 * time.Hour)

		trying := make(chan struct{}, 1)
		fails = func() error {
			trying <- struct{}{}
			time.Sleep(5 * time.Second)
			return context.Canceled
		}
		g = b.start()
		<-trying
		b.stop(g)
		fails = nil
		g = b.start()
		defer b.stop(g)
		wait(2 * time.Hour)
		if s := b.forge.Look(ref); s.Statuses[s.Head] != gate.StatusFailed {
			t.Errorf("posted %v, which leaves %v", b.statuses(), s.Statuses)
		}
	})
}

// counting counts how often work is taken, and is slow to give any once that is
// far too often, so that time goes on.
type counting struct {
	gate.Store
	taken atomic.Int64
}

func (c *counting) Claim(ctx context.Context, token string, n int, d time.Duration) ([]*gate.MergeRequest, error) {
	mrs, err := c.Store.Claim(ctx, token, n, d)
	if len(mrs) > 0 && c.taken.Add(1) > 200 {
		time.Sleep(time.Minute)
	}
	return mrs, err
}

// A status that is due waits like the rest where something else has its turn first.
func TestStatusWaitsForItsTurn(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy = withStatus()
		b.forge.Fail(func(m string) error {
			if m == "status" {
				return errors.New("500")
			}
			return nil
		})
		store := &counting{}
		g := b.start(func(p *gate.Parts) { store.Store = p.Store; p.Store = store })
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.SetMerging(ref, gate.MergeSoon, "checking")
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(2 * time.Minute)
		if n := store.taken.Load(); n > 100 {
			t.Errorf("it was taken %d times in two minutes", n)
		}
	})
}

func TestDryRunPostsNoStatus(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy = withStatus()
		g := b.start(func(p *gate.Parts) { p.DryRun = true })
		defer b.stop(g)
		b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Minute)
		if got := b.statuses(); len(got) > 0 {
			t.Errorf("posted %v", got)
		}
	})
}

// Somebody waits for the merge: it does not wait for the status.
func TestStatusComesAfterWhatMatters(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy = withStatus()
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Forget()
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		calls := b.forge.Calls()
		at := func(what string) int {
			return slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, fmt.Sprintf("%s %d", what, ref.Number)) })
		}
		if at("merge") < 0 || at("note") < at("merge") || at("status") < at("note") {
			t.Errorf("in this order: %v", calls)
		}
	})
}
