package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
)

func TestLog(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		golden(t, "log.golden", p.prints("log"))
		golden(t, "log.jsonl", p.prints("log", "--json"))
		_, stdout, _ := runIn(p.dir, []string{"TZ=America/New_York"}, "log", "payments/api!2")
		golden(t, "log-newyork.golden", stdout)

		all := entries(t, p.prints("log", "--json"))
		var number []string
		for i, e := range all {
			if e.Number != int64(i+1) || len(e.Hash) != 64 || e.Project == "" || e.IID == 0 {
				t.Errorf("line %d: %+v", i+1, e)
			}
			number = append(number, fmt.Sprint(e.Number))
		}
		for _, c := range []struct {
			args []string
			want []string
		}{
			{[]string{"--limit", "3"}, number[len(number)-3:]},
			{[]string{"--limit", "0"}, number},
			{[]string{"--limit", "1000"}, number},
			{[]string{"web/shop!1", "--limit", "1"}, number[len(number)-3 : len(number)-2]},
			{[]string{"5"}, number[len(number)-2:]},
			{[]string{"--since", "90s"}, number[len(number)-2:]},
			{[]string{"--since", "0s"}, number},
			{[]string{"https://gitlab.example.com/web/shop/-/merge_requests/2"}, number[len(number)-2:]},
		} {
			var got []string
			for _, e := range entries(t, p.prints(append([]string{"log", "--json"}, c.args...)...)) {
				got = append(got, fmt.Sprint(e.Number))
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("%v: %v, want %v", c.args, got, c.want)
			}
		}
		time.Sleep(time.Hour)
		if code, stdout, stderr := p.run("log", "--since", "1m"); code != ExitDone || stdout != "" || !strings.Contains(stderr, "no such entry in the log of "+p.dir) {
			t.Errorf("nothing: exit %d, %q, %q", code, stdout, stderr)
		}
		if code, _, stderr := p.run("log", "99"); code != ExitFailed || !strings.Contains(stderr, "there is no request 99") {
			t.Errorf("no request: exit %d, %q", code, stderr)
		}
	})
}

func entries(t *testing.T, printed string) (all []line) {
	t.Helper()
	for text := range strings.Lines(printed) {
		var e line
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestTellsWhatItDoesNotKnow(t *testing.T) {
	teller := newTeller(nil)
	for data, want := range map[string]string{
		`{"new":"thing\u001b[31m"}`: `{"new":"thing\u001b[31m"}`,
		`"no object"`:               `"no object"`,
		`{"kind":7}`:                `{"kind":7}`,
	} {
		for _, kind := range []gate.EntryKind{"novel", gate.EntryDecided, gate.EntryEffect, gate.EntryMessage} {
			if got := teller.tell(t.Context(), gate.Entry{Kind: kind, Data: []byte(data)}); got != want {
				t.Errorf("%s %s: %q, want %q", kind, data, got, want)
			}
		}
	}
}

func TestTells(t *testing.T) {
	teller := newTeller(nil)
	teller.name(gate.Person{ID: "ou_alice", Name: "Alice"})
	for _, c := range []struct {
		kind gate.EntryKind
		data string
		want string
	}{
		{gate.EntryState, `{"from":"approved","to":"blocked","on":"the forge will not merge until a person acts","why":"need_rebase"}`, "approved → blocked: GitLab says need_rebase"},
		{gate.EntryState, `{"from":"pending","to":"withdrawn","on":"merged or closed elsewhere, or no rule any more","cause":"no rule"}`, "pending → withdrawn: no rule covers it any more"},
		{gate.EntryEffect, `{"effect":"approve","head":"0123456789","error":"403"}`, `GitLab refused to approve commit 01234567: "403"`},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"scheduled"}`, "GitLab will merge commit 01234567 by itself when its checks pass"},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"blocked","why":"conflict"}`, "GitLab did not merge commit 01234567, it says conflict"},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"computing","why":"checking"}`, "GitLab did not merge commit 01234567 yet, it says checking"},
		{gate.EntryEffect, `{"effect":"merge","head":"0123456789","answer":"moved"}`, "GitLab did not merge commit 01234567: the merge request has changed"},
		{gate.EntryEffect, `{"effect":"retract","head":"0123456789"}`, "took approval and auto-merge back in GitLab"},
		{gate.EntryMessage, `{"kind":"card","to":{"id":"ou_alice"},"key":"k","let_go":"message is gone"}`, `card to Alice was let go: "message is gone"`},
		{gate.EntryMessage, `{"kind":"card","to":{"group":true,"id":"oc_1"},"key":"k"}`, "card sent to group oc_1"},
		{gate.EntryDecided, `{"message":"k","person":{"id":"ou_dave","name":"Dave"},"action":"approve","at":"2026-01-01T00:00:00Z","refused":"You are not an approver"}`, "Dave pressed approve, which did not count: You are not an approver"},
		{gate.EntryDecided, `{"person":"ou_alice","name":"Alice","verdict":"reject","reason":"a\nb","via":"card"}`, `Alice rejected: "a b"`},
	} {
		if got := teller.tell(t.Context(), gate.Entry{Kind: c.kind, Data: []byte(c.data)}); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.data, got, c.want)
		}
	}
}
