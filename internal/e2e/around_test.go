package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// logged is a line of mrgate log --json.
type logged struct {
	Number  int64           `json:"number"`
	Project string          `json:"project"`
	IID     int             `json:"iid"`
	Request int64           `json:"request"`
	Kind    string          `json:"kind"`
	Data    json.RawMessage `json:"data"`
	Hash    string          `json:"hash"`
}

// log is what mrgate log says, of this kind ("": of all).
func (w *world) log(kind string) []logged {
	w.t.Helper()
	r := w.run(nil, "log", "--db", w.db, "--json")
	if r.code != 0 {
		w.t.Fatalf("log: %+v", r)
	}
	var all []logged
	for line := range strings.Lines(r.stdout) {
		if e := decode[logged](w.t, []byte(line)); kind == "" || e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// hooked has GitLab itself tell the listener about everything that happens.
func (w *world) hooked(l *listener) *listener {
	w.gitlab.OnWebhook(l.url+"/gitlab/webhook", webhookSecret)
	return l
}

func TestMergedAroundTheGateIsSaidLoggedAndCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy setting
		open   func(m *gitlabsim.MergeRequest)
		before func(w *world, l *listener, iid int) // it is merged by hand
		asked  bool
		why    string
		says   []string // on every card
	}{
		"while it waits": {
			asked: true, why: "not approved", says: []string{"Merged directly by Erin, without approval here"},
		},
		"nobody was asked": {why: "nobody was asked"},
		"a draft that was made ready and merged at once": {
			open:   func(m *gitlabsim.MergeRequest) { m.Draft = true },
			before: func(w *world, _ *listener, iid int) { w.gitlab.SetDraft(project, iid, false) },
			why:    "nobody was asked",
		},
		"after a rejection": {
			policy: policyWith("approvers:", "on_reject: comment\n    approvers:"), asked: true,
			before: func(w *world, l *listener, iid int) {
				w.click(l, w.carol, "reject", "not on a Friday")
				w.eventually("it is sent back", func() bool { return w.shows(w.alice, "Sent back ·") })
				w.eventually("there is a note", func() bool { return len(w.mr(iid).Notes) == 1 })
			},
			why: "rejected", says: []string{"Merged directly by Erin, without approval here", "Rejected before by Carol: not on a Friday"},
		},
		"another commit than was approved": {
			policy: policyWith("approvers:", "on_approve: approve\n    approvers:"), asked: true,
			before: func(w *world, l *listener, iid int) {
				w.click(l, w.alice, "approve", "")
				w.eventually("it is approved", func() bool { return w.shows(w.carol, "Approved ·") })
				w.eventually("there is a note", func() bool { return len(w.mr(iid).Notes) == 1 })
				w.gitlab.OnWebhook("", "") // the push is told to nobody
				w.gitlab.Push(project, iid, another())
				w.hooked(l)
			},
			why: "another commit than was asked about", says: []string{"which was not approved here", "Alice approved commit"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := []setting{ready()}
			if c.policy != nil {
				settings = append(settings, c.policy)
			}
			w := newWorld(t, settings...)
			l := w.hooked(w.start())
			w.eventually("the policy is noted", func() bool { return w.run(nil, "list", "--db", w.db).code == 0 })
			if !c.asked {
				w.gitlab.OnWebhook("", "") // that it was opened is told to nobody
			}
			var change []func(*gitlabsim.MergeRequest)
			if c.open != nil {
				change = append(change, c.open)
			}
			mr := w.open(change...)
			if c.asked {
				w.card(w.alice)
				w.card(w.carol)
				w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
			}
			if c.before != nil {
				c.before(w, l, mr.IID)
			}
			w.hooked(l)
			w.settle()
			w.gitlab.MergeByHand(project, mr.IID, "erin")
			w.gitlab.Wait()
			w.webhook(l, mr.IID, "merge") // delivered again

			w.eventually("it is logged", func() bool { return len(w.log("bypassed")) == 1 })
			if c.asked {
				for _, who := range []feishusim.User{w.alice, w.carol} {
					w.eventually(who.Name+"'s card says so", func() bool {
						return w.shows(who, "Merged in GitLab ·", c.says...) && !strings.Contains(w.newest(who).Card, `"callback"`)
					})
				}
			}
			if c.asked && c.before == nil { // else the author was told what became of it already
				w.eventually("the author is told", func() bool {
					return strings.Contains(w.reads(w.bob), "acme/webhook !1 was merged in GitLab, without approval here")
				})
			}
			w.webhook(l, mr.IID, "merge")
			w.never("something was done about it, or it was told twice", func() bool {
				writes := w.writes() // a note that there is may say so
				return len(writes) > count(writes, "PUT 1/notes/") || len(w.mr(mr.IID).ApprovedBy) > 1 || !c.asked && len(w.feishu.Messages()) > 0
			})
			for _, n := range w.mr(mr.IID).Notes {
				if !strings.Contains(n.Body, "→ Merged directly by Erin, bypassing approval") {
					t.Errorf("the note reads %s", n.Body)
				}
			}
			entries := w.log("bypassed")
			if len(entries) != 1 {
				t.Fatalf("%d entries, want one", len(entries))
			}
			now, e := w.mr(mr.IID), entries[0]
			said := decode[struct {
				Why, Rule, Head, Target, Commit, Title string
				By                                     struct{ Username string }
			}](t, e.Data)
			if e.Project != projectPath || e.IID != mr.IID || (e.Request == 0) == c.asked || e.Hash == "" {
				t.Errorf("the entry is about %s!%d, request %d", e.Project, e.IID, e.Request)
			}
			if said.Why != c.why || said.Rule != "production" || said.By.Username != "erin" || said.Commit != now.MergeCommit ||
				said.Head != now.Head || said.Target != "main" || said.Title != now.Title {
				t.Errorf("it says %s", e.Data)
			}
			if r := w.run(nil, "log", "--db", w.db); !strings.Contains(r.stdout, "MERGED AROUND THE GATE by Erin (@erin): "+c.why) && !strings.Contains(r.stdout, "MERGED AROUND THE GATE by @erin: "+c.why) {
				t.Errorf("the log reads\n%s", r.stdout)
			}
			sheet := w.run(nil, "list", "--db", w.db, "--format", "csv")
			rows, err := csv.NewReader(strings.NewReader(sheet.stdout)).ReadAll()
			if err != nil || len(rows) != 2 || !strings.Contains(sheet.stderr, "merges: 1, of these around the gate: 1") {
				t.Fatalf("list --format csv: %v, %+v", err, sheet)
			}
			cell := map[string]string{}
			for i, head := range rows[0] {
				cell[head] = rows[1][i]
			}
			if cell["gate"] != "around" || cell["why"] != c.why || cell["merged_by"] != "erin" || cell["merge_commit"] != now.MergeCommit ||
				cell["log_entries"] != fmt.Sprint(e.Number) || cell["log_hashes"] != e.Hash || cell["approved_by"] != "" || (cell["request"] == "") == c.asked {
				t.Errorf("the auditors read %v", cell)
			}
			if n := strings.Count(l.log.String(), `msg="merged around the gate"`); n != 1 {
				t.Errorf("%d warnings, want one", n)
			}
		})
	}
}
