package page

import (
	"bytes"
	"flag"
	"html/template"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/story"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "renew the golden files")
	os.Exit(m.Run())
}

// stories are requests that show what the page of one can show.
func stories(at func(minutes int) story.Stamp) map[string]*story.Story {
	event := func(minutes int, kind gate.EntryKind, text, data string) story.Event {
		return story.Event{Number: int64(minutes), At: at(minutes), Kind: kind, Text: text, Data: []byte(data), Hash: "0123456789abcdef0123456789abcdef"}
	}
	return map[string]*story.Story{
		"pending": {
			Request: 7, State: gate.Pending, Project: "payments/api", IID: 3, URL: "https://gitlab.example.com/payments/api/-/merge_requests/3",
			Title: "Retry <b>\u202Eevil", Author: gate.User{Username: "bob", Name: "Bob Chen"}, Source: "feature", Target: "main", Head: "856c10e9",
			Rule: "production", Required: 2, Approvals: 1,
			Approvers: []story.Approver{
				{Identity: "alice@example.com", ID: "ou_alice", Name: "Alice"},
				{Identity: "ou_alice", ID: "ou_alice", Name: "Alice"},
				{Identity: "carol@example.com", ID: "ou_carol"},
				{Identity: "dave@example.com"},
			},
			Decisions: []story.Decision{
				{Entry: 4, Hash: "0123456789abcdef0123456789abcdef", At: at(4), Person: "ou_alice", Name: "Alice", Verdict: gate.Approve, Reason: "fine <i>", Via: "card", Counts: true},
				{Entry: 5, At: at(5), Person: "ou_erin", Name: "Erin", Verdict: gate.Approve, Via: "card"},
			},
			OpenedAt: at(1), ExpiresAt: at(9999), WaitsFor: "1 approval of carol@example.com", NextTryAt: at(60), Error: "502 Bad Gateway",
			Troubles: []string{"dave@example.com is not known to the chat"}, Earlier: []int64{5, 2},
			Messages: []story.Message{
				{Kind: "card", To: "ou_alice", Name: "Alice", Sent: true},
				{Kind: "card", To: "ou_carol", Failures: 3},
				{Kind: "card", To: "oc_1", Group: true, LetGo: "message is gone"},
				{Kind: "notice", To: "ou_bob"},
			},
			Timeline: []story.Event{event(1, gate.EntryOpened, "opened", `{}`), event(2, gate.EntryMessage, "card sent", `{}`), event(4, gate.EntryDecided, "Alice approved", `{"verdict":"approve"}`)},
		},
		"closed": {
			Request: 8, State: gate.ClosedHere, DryRun: true, Project: "payments/api", IID: 4, URL: "javascript:alert(1)", Required: 1, Rule: "production",
			Approvers: []story.Approver{{Identity: "carol@example.com", ID: "ou_carol", Name: "Carol"}},
			Decisions: []story.Decision{{At: at(3), Person: "operator:root@build", Name: "root@build", Verdict: gate.Reject, Reason: "no", Via: "operator", Counts: true}},
			OpenedAt:  at(1), DecidedAt: at(3), EndedAt: at(4), Later: []int64{9},
			Timeline: []story.Event{
				event(3, gate.EntryDecided, "operator root@build rejected", `{"verdict":"reject"}`), event(3, gate.EntryState, "pending → rejected", `{"to":"rejected"}`),
				event(4, gate.EntryEffect, "tried to close", `{"error":"502"}`), event(5, gate.EntryEffect, "closed the merge request", `{}`), event(6, gate.EntryBypassed, "MERGED AROUND THE GATE", `{}`),
			},
		},
		"superseded": {Request: 9, State: gate.Superseded, Cause: gate.CausePush, IID: 5, ProjectID: 47, Required: 1, OpenedAt: at(1), EndedAt: at(2)},
	}
}

func TestRequestPage(t *testing.T) {
	start := time.Date(2026, 10, 6, 9, 0, 0, 0, time.UTC)
	at := func(minutes int) story.Stamp { return story.Stamp(start.Add(time.Duration(minutes) * time.Minute)) }
	files, err := fs.Sub(listenerFiles, "listener")
	if err != nil {
		t.Fatal(err)
	}
	l := &listenerPage{ListenerConfig: ListenerConfig{Version: "1.0", Zone: time.FixedZone("CST", 8*3600), Log: slog.New(slog.DiscardHandler)}}
	all, err := Load(files, l.functions())
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range stories(at) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			page := all.byName["request.html"]
			if err := template.Must(page.Clone()).ExecuteTemplate(&b, "main", requestOf(s, start.Add(10*time.Minute))); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "request-"+name+".golden.html")
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("the page is another (renew with -update):\n%s", b.String())
			}
		})
	}
}
