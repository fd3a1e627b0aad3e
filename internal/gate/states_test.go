package gate

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestStatesAreDocumented prints the state table into docs/states.md (with
// -update), and holds what is there against the code.
func TestStatesAreDocumented(t *testing.T) {
	const path = "../../docs/states.md"
	want := statesPage()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says; run go test ./internal/gate -run States -update", path)
	}
}

func statesPage() string {
	var b strings.Builder
	b.WriteString(`# States of an approval request

Printed by a test from the one table in the code (internal/gate/state.go); no
other code moves a state.

| from | on | to |
| --- | --- | --- |
`)
	fmt.Fprintf(&b, "| – | a look: open, no draft, a rule, and not asked for this head and target yet | %s |\n", Pending)
	for _, m := range Moves() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.From, m.On, m.To)
	}
	b.WriteString("\n`approved` is the end where the rule says `on_approve: approve`, `rejected` where it says `on_reject: comment`.\n")
	b.WriteString("Both are still followed while the merge request is open.\n")
	b.WriteString("\nA dry run's requests make the same moves, but `approved` and `rejected` are always ends, and a listener that is\n")
	b.WriteString("started for real withdraws those that are still followed, and asks anew.\n")
	return b.String()
}

func TestEveryStateIsReachedAndNoEndIsLeft(t *testing.T) {
	reached := map[State]bool{Pending: true}
	for _, m := range Moves() {
		if !m.From.Followed() {
			t.Errorf("%s is an end, and yet %q leads on to %s", m.From, m.On, m.To)
		}
		if to, err := m.From.next(m.On); err != nil || to != m.To {
			t.Errorf("two moves from %s on %q", m.From, m.On)
		}
		reached[m.To] = true
	}
	for _, s := range []State{Pending, Approved, MergedHere, BlockedNow, Rejected, ClosedHere, Expired, Superseded, Withdrawn} {
		if !reached[s] {
			t.Errorf("nothing leads to %s", s)
		}
	}
	if _, err := MergedHere.next(EventSuperseded); err == nil {
		t.Error("what is merged can be superseded")
	}
}
