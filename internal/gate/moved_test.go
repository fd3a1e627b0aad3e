package gate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// A forge tells of a project's new path at most with the next event of one of its
// merge requests: the others follow.
func TestProjectThatMoved(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.policy.Rules[0].Projects = []string{"**"}
		g := b.start()
		defer b.stop(g)
		merged := b.opened(g)
		b.click(g, b.alice, gate.ActionApprove, "")
		wait(time.Minute)
		waits, told := b.forge.Open(gate.Snapshot{Path: "payments/api"}), b.forge.Open(gate.Snapshot{Path: "payments/api"})
		for _, ref := range []gate.Ref{waits, told} {
			b.look(g, ref)
		}
		wait(time.Minute)
		for _, ref := range []gate.Ref{merged, waits, told} {
			b.forge.Edit(ref, func(s *gate.Snapshot) {
				s.Path, s.URL = "billing/api", strings.Replace(s.URL, "/payments/api/", "/billing/api/", 1)
			})
		}
		b.forge.Forget()
		known, err := g.store.Peek(context.Background(), gate.By{Ref: &told})
		if err != nil {
			t.Fatal(err)
		}
		hint := *known.Snapshot
		hint.Path = "billing/api"
		if said, err := g.Look(context.Background(), gate.Hint{Ref: told, Path: hint.Path, Snapshot: &hint}); said != "looking" || err != nil {
			t.Errorf("%q, %v", said, err)
		}
		wait(time.Minute)
		for _, m := range b.cards(b.carol) {
			if strings.Contains(m.Card.Title, "!1") {
				continue // merged, and shown as it was then
			}
			if !strings.HasPrefix(m.Card.Title, "Approval needed · billing/api !") || !strings.Contains(m.Card.Link, "/billing/api/-/") {
				t.Errorf("Carol reads %q, %s", m.Card.Title, m.Card.Link)
			}
		}
		if b.calls("get 1") != 0 || b.calls("get 2") != 1 || b.calls("get 3") != 1 {
			t.Errorf("calls: %v", b.forge.Calls())
		}
		list, err := g.store.List(context.Background(), gate.Filter{Project: "billing/api"})
		if err != nil || len(list) != 3 {
			t.Errorf("%d requests of billing/api, %v; want all three", len(list), err)
		}
		for _, l := range list {
			if l.Path != "billing/api" || !strings.Contains(l.URL, "/billing/api/-/") {
				t.Errorf("request %d is of %s, %s", l.Number, l.Path, l.URL)
			}
		}
	})
}
