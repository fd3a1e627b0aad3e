package story

import (
	"testing"

	"mrgate/internal/gate"
)

func TestTellsWhatItDoesNotKnow(t *testing.T) {
	teller := NewTeller(nil)
	for data, want := range map[string]string{
		`{"new":"thing\u001b[31m"}`: `{"new":"thing\u001b[31m"}`,
		`"no object"`:               `"no object"`,
		`{"kind":7}`:                `{"kind":7}`,
	} {
		for _, kind := range []gate.EntryKind{"novel", gate.EntryDecided, gate.EntryClick, gate.EntryEffect, gate.EntryMessage, gate.EntryPolicy, gate.EntryBypassed, gate.EntryReminder, gate.EntryAgain} {
			if got := teller.Tell(t.Context(), gate.Entry{Kind: kind, Data: []byte(data)}); got != want {
				t.Errorf("%s %s: %q, want %q", kind, data, got, want)
			}
		}
	}
}

func TestTells(t *testing.T) {
	teller := NewTeller(nil)
	teller.name(gate.Person{ID: "ou_alice", Name: "Alice"})
	for _, c := range []struct {
		kind gate.EntryKind
		data string
		want string
	}{
		{gate.EntryState, `{"from":"approved","to":"blocked","on":"the forge will not merge until a person acts","why":"need_rebase"}`, "approved → blocked: GitLab says need_rebase"},
		{gate.EntryState, `{"from":"pending","to":"withdrawn","on":"merged or closed elsewhere, or no rule any more","cause":"no rule"}`, "pending → withdrawn: no rule covers it any more"},
		{gate.EntryEffect, `{"effect":"approve","head":"0123456789","answer":"refused","error":"403"}`, `GitLab refused to approve commit 01234567: "403"`},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"none","error":"timeout","tries":1}`, `tried to merge commit 01234567, no answer: "timeout"`},
		{gate.EntryEffect, `{"effect":"note","head":"0123456789","answer":"none","error":"502","tries":4}`, `tried to write a note on commit 01234567 (4 times), no answer: "502"`},
		{gate.EntryEffect, `{"effect":"retract","head":"0123456789","answer":"wait","error":"429","tries":1}`, `tried to take back the approval of commit 01234567, GitLab asks to wait: "429"`},
		{gate.EntryEffect, `{"effect":"approve","head":"0123456789","answer":"moved","error":"409","tries":1}`, `tried to approve commit 01234567, GitLab says moved: "409"`},
		{gate.EntryEffect, `{"effect":"close","head":"0123456789","answer":"not found","error":"404","tries":1}`, `tried to close the merge request of commit 01234567, GitLab says not found: "404"`},
		{gate.EntryEffect, `{"effect":"note","head":"0123456789","answer":"given up","error":"403"}`, `gave up to write a note on commit 01234567: "403"`},
		{gate.EntryEffect, `{"effect":"status","head":"0123456789","answer":"done","status":"success"}`, "set the status of commit 01234567 to success"},
		{gate.EntryEffect, `{"effect":"status","head":"0123456789","answer":"given up","status":"pending","error":"403"}`, `gave up to set the status of commit 01234567: "403"`},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"scheduled"}`, "GitLab will merge commit 01234567 by itself when its checks pass"},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"blocked","why":"conflict"}`, "GitLab did not merge commit 01234567, it says conflict"},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"computing","why":"checking"}`, "GitLab did not merge commit 01234567 yet, it says checking"},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"moved"}`, "GitLab did not merge commit 01234567: the merge request has changed"},
		{gate.EntryEffect, `{"effect":"retract","head":"0123456789","answer":"done"}`, "took approval and auto-merge back in GitLab"},
		{gate.EntryMessage, `{"did":"let go","kind":"card","to":{"id":"ou_alice"},"key":"k","why":"message is gone"}`, `card to Alice was let go: "message is gone"`},
		{gate.EntryMessage, `{"did":"sent","kind":"stuck conflict","to":{"id":"ou_alice"},"key":"k"}`, "notice that it is blocked (conflict) sent to Alice"},
		{gate.EntryMessage, `{"did":"sent","kind":"card","to":{"group":true,"id":"oc_1"},"key":"k"}`, "card sent to group oc_1"},
		{gate.EntryMessage, `{"did":"changed","kind":"card","to":{"id":"ou_alice"},"key":"k","shows":"merged 1/1"}`, "card to Alice changed to merged 1/1"},
		{gate.EntryMessage, `{"did":"answered","kind":"card","to":{"id":"ou_alice"},"key":"k","shows":"approved 1/1"}`, "card to Alice changed to approved 1/1 by the answer to a click"},
		{gate.EntryClick, `{"message":"k","person":{"id":"ou_dave","name":"Dave"},"action":"approve","became":"refused","why":"outsider","said":"You are not an approver"}`, `Dave pressed approve, which changed nothing: outsider: "You are not an approver"`},
		{gate.EntryClick, `{"person":{"id":"ou_alice"},"action":"reject","became":"refused","why":"another commit"}`, `Alice pressed reject, which changed nothing: another commit`},
		{gate.EntryClick, `{"person":{"id":"ou_alice"},"action":"approve","became":"checking"}`, "Alice pressed approve, which is to be checked against GitLab"},
		{gate.EntryClick, `{"person":{"id":"ou_alice"},"action":"approve","became":"adopted"}`, "Alice pressed approve on a card that the listener did not send; it now shows what GitLab says, to decide on that"},
		{gate.EntryClick, `{"person":{"id":"ou_alice"},"action":"retry","became":"retry"}`, "Alice pressed retry: the merge is tried again"},
		{gate.EntryCounts, `{"person":"ou_alice","counts":false}`, "the approval of Alice no longer counts, under another policy"},
		{gate.EntryCounts, `{"person":"ou_alice","counts":true}`, "the approval of Alice counts again, under another policy"},
		{
			gate.EntryBypassed, `{"why":"not approved","by":{"username":"erin"},"head":"0123456789","commit":"9876543210","target":"main","rule":"production"}`,
			"MERGED AROUND THE GATE by @erin: not approved; commit 01234567 into main as 98765432, rule production",
		},
		{gate.EntryPolicy, `{"policy":"0123456789abcdef"}`, "policy 0123456789ab is in force"},
		{gate.EntryPolicy, `{"policy":"0123456789abcdef","before":"fedcba9876543210"}`, "policy 0123456789ab is in force, before it was fedcba987654"},
		{gate.EntryReminder, `{"did":"sent","to":{"id":"ou_alice"},"waiting":1}`, "reminder sent to Alice"},
		{gate.EntryReminder, `{"did":"sent","to":{"id":"ou_alice"},"waiting":3}`, "reminder of this and 2 more sent to Alice"},
		{gate.EntryReminder, `{"did":"let go","to":{"id":"ou_alice"},"waiting":1,"why":"gone"}`, `reminder to Alice was let go: "gone"`},
		{gate.EntryAgain, `{"by":{"id":"ou_bob","name":"Bob"},"at":"2026-10-08T10:00:00Z"}`, "Bob asked again"},
		{gate.EntryAgain, `{"at":"2026-10-08T10:00:00Z"}`, "a job asked again"},
		{gate.EntryDecided, `{"person":"ou_alice","name":"Alice","verdict":"reject","reason":"a\nb","via":"card"}`, `Alice rejected: "a b"`},
	} {
		if got := teller.Tell(t.Context(), gate.Entry{Kind: c.kind, Data: []byte(c.data)}); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.data, got, c.want)
		}
	}
}
