package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// forget has the listener that is started next find that what the directory said
// is too old, as it would a day later.
func (w *world) forget() {
	w.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+w.db+"?mode=rw")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, stale := range []string{
		`UPDATE person SET expires_at = 0`,
		`UPDATE request SET panel = json_set(panel, '$.until', '2000-01-01T00:00:00Z')`,
		`UPDATE merge_request SET due_at = 0`,
	} {
		if _, err := db.ExecContext(context.Background(), stale); err != nil {
			w.t.Fatal(err)
		}
	}
}

// dayLater ends the listener, and starts another one a day later.
func (w *world) dayLater(l *listener) *listener {
	w.t.Helper()
	l.stop()
	w.forget()
	return w.start("--sweep", "0")
}

const erinToo = "approvers: [alice@example.com, carol@example.com, erin@example.com]"

func TestApproverWhoIsNotFoundIsNamedAndTheOthersAreAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPolicy(changed(bothApprove, erinToo)))
	l := w.start("--sweep", "0")
	mr := w.begin(l, w.alice, w.carol)
	const erin = "erin@example.com"
	for what, said := range map[string]string{
		"stderr": l.log.String(),
		"show":   w.run(nil, "show", "1", "--db", w.db).stdout,
		"list":   w.run(nil, "list", "--db", w.db).stdout,
		"log":    w.run(nil, "log", "--db", w.db).stdout,
	} {
		want := map[string]string{
			"stderr": "gets no card; check the address and the app's contact range",
			"show":   erin + " is not known to the chat, and gets no card",
			"list":   "Alice, Carol, not found: " + erin,
			"log":    "not found in the chat: " + erin,
		}[what]
		if !strings.Contains(said, want) || !strings.Contains(said, erin) {
			t.Errorf("%s lacks %q:\n%s", what, want, said)
		}
	}

	// The administrator adds her.
	found := w.feishu.AddUser(feishusim.User{Name: "Erin", Email: erin})
	w.settle()
	l = w.dayLater(l)
	w.eventually("Erin has a card", func() bool { return w.asks(found, "approve") })
	w.eventually("the author reads it", func() bool { return strings.Contains(w.reads(w.bob), "Alice, Carol and Erin") })
	if calls := w.forgeCalls(); len(calls) > 0 {
		t.Errorf("to look for people GitLab was called: %v", calls)
	}
	w.eventually("the log says so", func() bool {
		return strings.Contains(w.run(nil, "log", "--db", w.db).stdout, "everybody is in the chat who is to be asked")
	})
	says(t, w.click(l, found, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "Erin approved acme/webhook !1; merged into main", w.alice, w.carol, found)
	w.once(mr.IID, "PUT 1/merge 200")
}

func TestRuleWithNobodyToBeFoundTellsTheAuthor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPolicy(changed(bothApprove, "approvers: [erin@example.com, frank@example.com]")))
	l := w.start("--sweep", "0")
	mr := w.open()
	w.webhook(l, mr.IID, "open")
	w.eventually("the author is told", func() bool {
		return strings.Contains(w.reads(w.bob), `acme/webhook !1 has no reachable approver (nobody of rule "production" was found in Feishu); ask an administrator`)
	})
	if out := w.run(nil, "list", "--db", w.db).stdout; !strings.Contains(out, "not found: erin@example.com, frank@example.com") {
		t.Errorf("list:\n%s", out)
	}
	if out := w.run(nil, "show", "1", "--db", w.db).stdout; !strings.Contains(out, "nobody is left who may approve") || !strings.Contains(out, "nobody has got a card") {
		t.Errorf("show:\n%s", out)
	}
	frank := w.feishu.AddUser(feishusim.User{Name: "Frank", Email: "frank@example.com"})
	l = w.dayLater(l)
	w.eventually("Frank has a card", func() bool { return w.asks(frank, "approve") })
	w.eventually("the author's message says so", func() bool {
		return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 && strings.Contains(w.reads(w.bob), "was sent for approval to Frank")
	})
	w.click(l, frank, "approve", "")
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
}

func TestAddressThatIsGivenToAnotherPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPolicy(changed(bothApprove, twoNeeded)))
	l := w.start("--sweep", "0")
	mr := w.begin(l, w.alice, w.carol)
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, 1 more needed")
	w.eventually("Carol reads that", func() bool { return w.shows(w.carol, "Approved 1 of 2 ·") })

	moved := w.alice
	moved.Email = "alice.li@example.com"
	w.feishu.AddUser(moved)
	other := w.feishu.AddUser(feishusim.User{Name: "Alice Other", Email: "alice@example.com"})
	l = w.dayLater(l)
	w.eventually("the approval counts no more", func() bool { return w.shows(w.carol, "Approval needed ·", lapsed) })
	const outsider = `You are not an approver under rule "production". Nothing changed`
	for _, who := range []feishusim.User{w.alice, other} {
		a := w.postClick(l, w.pressed(who, w.card(w.carol).ID, feishusim.ClickOptions{Button: "approve", Anyone: true}))
		says(t, a.Toast, "error", outsider)
	}
	both := []string{w.alice.OpenID, other.OpenID}
	for what, said := range map[string]string{
		"stderr": l.log.String(),
		"show":   w.run(nil, "show", "1", "--db", w.db).stdout,
		"list":   w.run(nil, "list", "--db", w.db).stdout,
		"log":    w.run(nil, "log", "--db", w.db).stdout,
	} {
		if what == "list" {
			both = nil
		}
		if !strings.Contains(said, "another person") || !strings.Contains(said, "alice@example.com") ||
			slices.ContainsFunc(both, func(id string) bool { return !strings.Contains(said, id) }) {
			t.Errorf("%s does not report it:\n%s", what, said)
		}
	}
	if n := len(w.cards(other)); n != 0 {
		t.Errorf("the other Alice has %d cards", n)
	}

	// Looked up again and again, and for a new merge request, it stays so.
	l = w.dayLater(l)
	w.never("the other one is asked", func() bool { return len(w.cards(other)) > 0 })

	w.setPolicy(changed(bothApprove, fmt.Sprintf("approvers: [carol@example.com, %s]\n    required: 2", other.OpenID)))
	l.hup()
	w.eventually("the other one is asked, now that the policy names them", func() bool { return w.asks(other, "approve") })
	w.click(l, other, "approve", "")
	w.click(l, w.carol, "approve", "")
	w.ended("Merged ·", "Alice Other and Carol approved acme/webhook !1; merged into main", w.carol, other)
	w.once(mr.IID, "PUT 1/merge 200")
}

// Feishu looks up 50 addresses at once, and as many numbers.
func TestManyApproversAreLookedUpInBatches(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("a%d@example.com, \"+86139%08d\"", i, i))
	}
	w := newWorld(t, withPolicy(changed(bothApprove, "approvers: [alice@example.com, "+strings.Join(names, ", ")+"]\n    cards_to: [alice@example.com]")),
		func(s *setup) { s.feishu.NamesReadable = false })
	for i := range 60 {
		w.feishu.AddUser(feishusim.User{Name: fmt.Sprint("A", i), Email: fmt.Sprintf("a%d@example.com", i)})
		w.feishu.AddUser(feishusim.User{Name: fmt.Sprint("M", i), Mobile: fmt.Sprintf("139%08d", i)})
	}
	l := w.start()
	w.begin(l, w.alice)
	lookUps := 0
	for _, c := range w.feishu.Calls() {
		if strings.HasSuffix(c.Path, "/users/batch_get_id") {
			lookUps++
		}
	}
	if lookUps != 2 {
		t.Errorf("%d look-ups for 62 addresses and 60 numbers, want 2", lookUps)
	}
	again := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = "feature/again" })
	w.settle()
	w.webhook(l, again.IID, "open")
	w.eventually("Alice has another card", func() bool { return len(w.cards(w.alice)) == 2 })
	for _, c := range w.feishu.Calls() {
		if c.Method == http.MethodPost && strings.Contains(c.Path, "/contact/") {
			t.Errorf("what is known was looked up again: %s", c.Path)
		}
	}
	if out := w.run(nil, "show", "1", "--db", w.db).stdout; strings.Contains(out, "not known to the chat") {
		t.Errorf("somebody was not found:\n%s", out)
	}
}
