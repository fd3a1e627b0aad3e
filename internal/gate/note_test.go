package gate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// note is the one note under the merge request.
func (b *bench) note(ref gate.Ref) string {
	b.Helper()
	notes := b.forge.Look(ref).Notes
	if len(notes) != 1 {
		b.Fatalf("%d notes, want one: %q", len(notes), notes)
	}
	return notes[0]
}

func (b *bench) noted(ref gate.Ref, texts ...string) {
	b.Helper()
	note := b.note(ref)
	for _, text := range texts {
		without, isNot := strings.CutPrefix(text, "not ")
		if strings.Contains(note, without) == isNot {
			b.Errorf("the note reads %q, want %q", note, text)
		}
	}
}

func TestNoteFollowsTheRequest(t *testing.T) {
	approve := func(b *bench, g *running) {
		b.click(g, b.alice, gate.ActionApprove, "well done")
		wait(3 * time.Second)
	}
	approved := "Approved by Alice in Feishu: well done · commit 0f98b1f7 · rule production · 2000-01-01 00:00:01 UTC · log #"
	for name, c := range map[string]struct {
		rule func(r *policy.Rule)
		then func(b *bench, g *running, ref gate.Ref)
		says []string
	}{
		"merged": {
			then: func(*bench, *running, gate.Ref) {},
			says: []string{approved, "→ Merged into main · commit "},
		},
		"merged by itself, later": {
			then: func(b *bench, g *running, ref gate.Ref) {
				b.forge.SetPipeline(ref, "running")
				b.forge.SetMerging(ref, gate.MergeCI, "ci_still_running")
				approve(b, g)
				b.noted(ref, approved, "not →")
				b.forge.SetMerging(ref, gate.MergeGo, "mergeable")
				b.forge.SetPipeline(ref, "success")
				b.look(g, ref)
			},
			says: []string{approved, "→ Merged into main"},
		},
		"rejected while it waits": {
			then: func(b *bench, g *running, ref gate.Ref) {
				b.forge.SetPipeline(ref, "running")
				b.forge.SetMerging(ref, gate.MergeCI, "ci_still_running")
				approve(b, g)
				b.click(g, b.carol, gate.ActionReject, "on second thoughts")
			},
			says: []string{approved, "\nRejected by Carol in Feishu: on second thoughts"},
		},
		"pushed while it is blocked": {
			then: func(b *bench, g *running, ref gate.Ref) {
				b.forge.SetConflict(ref, true)
				approve(b, g)
				b.noted(ref, approved, "not →")
				b.forge.Push(ref)
				b.look(g, ref)
			},
			says: []string{approved, "→ No longer counts: there is another commit"},
		},
		"retargeted": {
			rule: func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove },
			then: func(b *bench, g *running, ref gate.Ref) {
				approve(b, g)
				b.forge.Retarget(ref, "develop")
				b.look(g, ref)
			},
			says: []string{approved, "→ No longer counts: it has another target branch"},
		},
		"turned into a draft": {
			rule: func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove },
			then: func(b *bench, g *running, ref gate.Ref) { approve(b, g); b.forge.SetDraft(ref, true); b.look(g, ref) },
			says: []string{approved, "→ No longer counts: it was turned into a draft"},
		},
		"closed by hand": {
			rule: func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove },
			then: func(b *bench, g *running, ref gate.Ref) { approve(b, g); b.forge.CloseByHand(ref); b.look(g, ref) },
			says: []string{approved, "→ No longer counts: Carol closed it in GitLab"},
		},
		"merged around it": {
			rule: func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove },
			then: func(b *bench, g *running, ref gate.Ref) {
				approve(b, g)
				b.forge.Push(ref)
				b.forge.MergeByHand(ref)
				b.look(g, ref)
			},
			says: []string{approved, "→ Merged directly by Carol, bypassing approval · commit "},
		},
		"expired": {
			rule: func(r *policy.Rule) { r.ExpireAfter = time.Hour },
			then: func(b *bench, g *running, ref gate.Ref) {
				b.forge.SetConflict(ref, true)
				approve(b, g)
				wait(time.Hour)
			},
			says: []string{approved, "→ No longer counts: it expired before it was merged"},
		},
		"no rule any more": {
			rule: func(r *policy.Rule) { r.OnApprove = policy.OnApproveApprove },
			then: func(b *bench, g *running, _ gate.Ref) {
				approve(b, g)
				p := usualPolicy()
				p.Rules[0].TargetBranches = []string{"release"}
				if err := g.SetPolicy(context.Background(), p); err != nil {
					b.Fatal(err)
				}
			},
			says: []string{approved, "→ No longer counts: no rule covers it any more"},
		},
		"lapsed, and approved by another": {
			then: func(b *bench, g *running, ref gate.Ref) {
				b.forge.SetConflict(ref, true)
				approve(b, g)
				p := usualPolicy()
				p.Rules[0].Approvers = p.Rules[0].Approvers[1:]
				if err := g.SetPolicy(context.Background(), p); err != nil {
					b.Fatal(err)
				}
				wait(3 * time.Second)
				b.noted(ref, "Approved by Alice in Feishu (no longer counts): well done", "→ Approvals no longer count; approval is needed again")
				b.forge.SetConflict(ref, false)
				b.click(g, b.carol, gate.ActionApprove, "")
			},
			says: []string{"Approved by Alice in Feishu (no longer counts): well done", "\nApproved by Carol in Feishu", "→ Merged into main", "not rule has changed"},
		},
		"pending": {
			rule: func(r *policy.Rule) { r.Required = 2 },
			then: func(b *bench, g *running, ref gate.Ref) {
				approve(b, g)
				if notes := b.forge.Look(ref).Notes; len(notes) > 0 {
					b.Errorf("nothing is decided yet, and yet there is a note: %q", notes)
				}
				b.click(g, b.carol, gate.ActionApprove, "")
			},
			says: []string{approved, "\nApproved by Carol in Feishu · ", "→ Merged into main"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				if c.rule != nil {
					c.rule(&b.policy.Rules[0])
				}
				g := b.start()
				defer b.stop(g)
				ref := b.opened(g)
				c.then(b, g, ref)
				if name == "merged" {
					approve(b, g)
				}
				wait(time.Minute)
				b.noted(ref, c.says...)
				b.forge.Forget()
				b.look(g, ref)
				wait(time.Minute)
				if n := b.calls("note"); n > 0 {
					t.Errorf("%d notes were written that say the same", n)
				}
			})
		})
	}
}

func TestNoteIsNeverDoubled(t *testing.T) {
	for name, trouble := range map[string]func(b *bench){
		"its answer is lost": func(b *bench) {
			lost := 0
			b.forge.Lose(func(method string) error {
				if method == "note" && lost < 3 {
					lost++
					return context.DeadlineExceeded
				}
				return nil
			})
		},
		"GitLab fails": func(b *bench) { b.forge.FailNext("note", errors.New("502"), errors.New("502")) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				g := b.start()
				ref := b.opened(g)
				b.forge.SetPipeline(ref, "running")
				b.forge.SetMerging(ref, gate.MergeCI, "ci_still_running")
				trouble(b)
				b.click(g, b.alice, gate.ActionApprove, "")
				wait(time.Second)
				b.stop(g) // killed in between, as it were
				g = b.start()
				defer b.stop(g)
				wait(10 * time.Minute)
				b.noted(ref, "Approved by Alice")
				b.forge.SetMerging(ref, gate.MergeGo, "mergeable")
				b.forge.SetPipeline(ref, "success")
				b.look(g, ref)
				wait(time.Minute)
				b.noted(ref, "→ Merged into main")
			})
		})
	}
}

// Somebody deleted it; it comes back when there is news.
func TestNoteThatWasDeleted(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].OnApprove = policy.OnApproveApprove
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.forge.RemoveNotes(ref)
		b.look(g, ref)
		wait(time.Minute)
		if notes := b.forge.Look(ref).Notes; len(notes) > 0 {
			t.Errorf("%q", notes)
		}
		b.forge.MergeByHand(ref)
		b.look(g, ref)
		wait(time.Minute)
		b.noted(ref, "Approved by Alice", "→ Merged into main")
	})
}

func TestWhoMayReadTheNote(t *testing.T) {
	for _, c := range []struct {
		mode   policy.NoteMode
		public bool // the project
		none   bool // the forge has no internal notes
		want   string
	}{
		{policy.NoteAuto, false, false, "public"},
		{policy.NoteAuto, true, false, "internal"},
		{policy.NotePublic, true, false, "public"},
		{policy.NoteInternal, false, false, "internal"},
		{policy.NoteOff, false, false, ""},
		{policy.NoteAuto, false, true, "public"},
		{policy.NoteAuto, true, true, ""},
		{policy.NoteInternal, false, true, ""},
	} {
		t.Run(fmt.Sprintf("%s %v %v", c.mode, c.public, c.none), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.policy.Note = c.mode
				if c.none {
					b.forge.NoInternalNotes()
				}
				g := b.start()
				defer b.stop(g)
				for range 2 {
					ref := b.forge.Open(gate.Snapshot{Path: "payments/api"})
					b.forge.SetContents(ref, func(contents *gate.Contents) { contents.Public = c.public })
					b.look(g, ref)
					wait(time.Second)
					b.forge.Forget()
					b.click(g, b.alice, gate.ActionApprove, "")
					wait(time.Hour)
					got := ""
					for _, n := range b.forge.Notes(ref) {
						got += map[bool]string{true: "internal", false: "public"}[n.Internal]
					}
					if got != c.want {
						t.Errorf("the notes are %q, want %q", got, c.want)
					}
					if b.forge.Look(ref).State != gate.ForgeMerged || !strings.HasPrefix(b.title(b.carol), "Merged ·") {
						t.Errorf("it is %s; Carol reads %q", b.forge.Look(ref).State, b.title(b.carol))
					}
					if n := b.calls("note"); n > 1 {
						t.Errorf("%d attempts", n)
					}
				}
				said := strings.Count(b.log.String(), "notes are not written")
				if none := c.none && c.want == ""; said != map[bool]int{true: 1, false: 0}[none] {
					t.Errorf("it was said %d times:\n%s", said, b.log)
				}
			})
		})
	}
}

// A note that cannot be written must not keep a newer request from its merge.
func TestNoteOfAnOlderRequestHoldsNothingUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.Fail(func(method string) error {
			if method == "note" {
				return errors.New("500")
			}
			return nil
		})
		b.forge.SetConflict(ref, true)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(3 * time.Second)
		b.forge.Push(ref)
		b.forge.SetConflict(ref, false)
		b.look(g, ref)
		wait(10 * time.Second)
		b.click(g, b.carol, gate.ActionApprove, "")
		wait(3 * time.Second)
		if s := b.forge.Look(ref); s.State != gate.ForgeMerged {
			t.Errorf("it is %s; calls %v", s.State, b.forge.Calls())
		}
		b.forge.Fail(nil)
		wait(time.Hour)
		notes := b.forge.Look(ref).Notes
		if len(notes) != 2 || !strings.Contains(strings.Join(notes, "\n"), "No longer counts: there is another commit") {
			t.Errorf("notes: %q", notes)
		}
	})
}
