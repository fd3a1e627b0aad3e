package gate

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

const (
	faceAlice  = "ou_7d8a6e6df7621556ce0d21922b676706"
	faceBob    = "ou_b0b00000000000000000000000000000"
	faceCarol  = "ou_ca201000000000000000000000000000"
	faceDora   = "ou_d02a0000000000000000000000000000"
	faceGroup  = "oc_a0553eda9014c201e6969b478895c230"
	faceHead   = CommitID("856c10e9aa41f2b0c4d1e6f7a8b9c0d1e2f3a4b5")
	faceNext   = CommitID("1f2e3d4c5b6a79880716253443526170f1e2d3c4")
	hostileAll = "<at id=all></at> [x](https://evil.example) **b** \u202Ea\u200Bb\u2066\r\n/merge\n@all\u2028x\x00y\x1b[31m"
)

func faceTime(hour int) time.Time { return time.Date(2026, 10, 8, hour, 0, 0, 0, time.UTC) }

// faceStory is a merge request by Bob, about which Alice and Carol are asked.
func faceStory(edit func(mr *MergeRequest, r *Request)) (*MergeRequest, *Request) {
	member := func(id, name, email string) Member {
		return Member{Identity: policy.Identity{Kind: policy.KindEmail, Value: email}, Person: Person{ID: id, Name: name}}
	}
	var files []FileChange
	for i := range 12 {
		files = append(files, FileChange{Path: fmt.Sprintf("internal/callback/retry_%d.go", i), Additions: 20 - i, Deletions: i})
	}
	r := &Request{
		ID: 4, Seq: 1, Opening: 1, Head: faceHead, Target: "main", State: Pending,
		Rule: policy.Rule{
			Name: "production", Required: 1, OnApprove: policy.OnApproveMerge, OnReject: policy.OnRejectClose, ExpireAfter: policy.DefaultExpire,
		},
		Panel: Panel{
			Approvers: []Member{
				member(faceAlice, "Alice", "alice@example.com"),
				member(faceCarol, "李雷", "carol@example.com"),
			},
			Cards:  []Recipient{{ID: faceAlice}, {ID: faceCarol}},
			Author: Person{ID: faceBob, Name: "Bob Chen"},
		},
		Pipeline: &Pipeline{ID: 48213, Status: "success"},
		OpenedAt: faceTime(10), ExpiresAt: faceTime(10).Add(policy.DefaultExpire),
	}
	mr := &MergeRequest{
		ID: 1, Ref: Ref{Forge: "gitlab", Project: 47778247, Number: 7}, Now: faceTime(12), Opening: 1, NextRequest: 5,
		Snapshot: &Snapshot{
			Path: "payments/api", URL: "https://gitlab.example.com/payments/api/-/merge_requests/7",
			Title: "Retry the payment callback", Description: "<!-- why? -->\n## Why\nThe provider fails at night.\n- [ ] tested\nTwice a week.",
			State: ForgeOpen, Head: faceHead, Source: "feature/retry", Target: "main",
			Author:  User{ID: 12, Username: "bob", Name: "Bob Chen"},
			Merging: Mergeability{Class: MergeGo, Reason: "mergeable"},
		},
		Contents: &Contents{
			Head: faceHead, Size: &Size{Files: 12, Additions: 142, Deletions: 38, Commits: 7}, Files: files,
			Commits: []CommitTitle{
				{ID: faceHead, Title: "Retry three times"},
				{ID: "aaaaaaaa1", Title: "Add a test"},
				{ID: "bbbbbbbb1", Title: "Log"},
				{ID: "cccccccc1", Title: "Rename"},
				{ID: "dddddddd1", Title: "Start"},
				{ID: "eeeeeeee1", Title: "Older"},
			},
			Committers: []Committer{{User: User{ID: 12}, Email: "bob@example.com"}},
		},
		Requests: []*Request{r},
	}
	if edit != nil {
		edit(mr, r)
	}
	return mr, r
}

func gaveApproval(person, name, why string) *Decision {
	return &Decision{
		Person: person, Name: name, Verdict: Approve, Reason: why, Via: "card", At: faceTime(11),
		Entry: &Entry{Number: 17, Hash: strings.Repeat("0123456789abcdef", 4)},
	}
}

func gaveRejection(person, name, why string) *Decision {
	d := gaveApproval(person, name, why)
	d.Verdict = Reject
	return d
}

// approvedStory is one in which Alice approved.
func approvedStory(state State, edit func(mr *MergeRequest, r *Request)) func(*MergeRequest, *Request) {
	return func(mr *MergeRequest, r *Request) {
		r.State, r.DecidedAt = state, faceTime(11)
		r.Decisions = append(r.Decisions, gaveApproval(faceAlice, "Alice", ""))
		if edit != nil {
			edit(mr, r)
		}
	}
}

func blockedStory(reason, detail string) func(*MergeRequest, *Request) {
	return approvedStory(BlockedNow, func(_ *MergeRequest, r *Request) {
		r.Blocked = Mergeability{Class: MergeBlocked, Reason: reason, Detail: detail}
	})
}

func rejectedStory(state State, on policy.OnReject, why string) func(*MergeRequest, *Request) {
	return func(_ *MergeRequest, r *Request) {
		r.State, r.DecidedAt, r.Rule.OnReject = state, faceTime(11), on
		r.Decisions = append(r.Decisions, gaveRejection(faceAlice, "Alice", why))
	}
}

// endedStory is one that nobody here decided the end of.
func endedStory(state State, cause Cause, edit func(mr *MergeRequest, r *Request)) func(*MergeRequest, *Request) {
	return func(mr *MergeRequest, r *Request) {
		r.State, r.Cause, r.EndedAt = state, cause, faceTime(12)
		if edit != nil {
			edit(mr, r)
		}
	}
}

// wentAround has Dora merge around the gate.
func wentAround(why Bypass) func(*MergeRequest, *Request) {
	return func(mr *MergeRequest, r *Request) {
		r.Cause = CauseMerged
		mr.Snapshot.State, mr.Snapshot.MergedBy = ForgeMerged, User{Name: "Dora"}
		switch why {
		case BypassCommit:
			mr.Snapshot.Head = faceNext
		case BypassTarget:
			mr.Snapshot.Target = "release/2"
		default:
		}
		mr.Landing = &Landing{Around: why, Rule: r.Rule.Name}
	}
}

// followed adds a request for the next commit.
func followed(mr *MergeRequest, r *Request) *Request {
	next := *r
	next.ID, next.Seq, next.Head, next.State, next.Cause, next.Decisions = 5, r.Seq+1, faceNext, Pending, "", nil
	next.Messages = []*Message{{Kind: KindCard, To: Recipient{ID: faceAlice}}}
	mr.Snapshot.Head = faceNext
	mr.Requests = append(mr.Requests, &next)
	return &next
}

type faceCase struct {
	name string
	edit func(mr *MergeRequest, r *Request)
	all  bool // all recipients; else Alice and the author's message
}

func faceCases() []faceCase {
	return []faceCase{
		{"pending", nil, true},
		{"pending-comment-approve-reason", func(_ *MergeRequest, r *Request) {
			r.Rule.OnApprove, r.Rule.OnReject, r.Rule.RequireReason = policy.OnApproveApprove, policy.OnRejectComment, true
		}, false},
		{"pending-quorum-none", func(_ *MergeRequest, r *Request) { r.Rule.Required = 2 }, false},
		{"pending-quorum-one", approvedStory(Pending, func(_ *MergeRequest, r *Request) {
			r.Rule.Required, r.DecidedAt, r.Decisions[0].Reason = 2, time.Time{}, "Looks good."
		}), true},
		{"pending-lapsed", approvedStory(Pending, func(_ *MergeRequest, r *Request) { r.Decisions[0].Void = true }), false},
		{"pending-before", func(_ *MergeRequest, r *Request) { r.Before = &Before{Name: "Carol", Reason: "No tests"} }, false},
		{"pending-before-operator", func(_ *MergeRequest, r *Request) {
			r.Before = &Before{Name: "root@build", Operator: true, Reason: "Not today"}
		}, false},
		{"pending-updated", func(mr *MergeRequest, r *Request) {
			r.Seq, r.Head, mr.Snapshot.Head, mr.Contents.Head = 2, faceNext, faceNext, faceNext
		}, false},
		{"pending-unsure", func(_ *MergeRequest, r *Request) {
			r.Panel.Author, r.Panel.Unsure, r.Panel.Told = Person{}, []string{"bob"}, []string{faceCarol}
		}, true},
		{"pending-own", func(_ *MergeRequest, r *Request) {
			r.Panel.Author = Person{ID: faceAlice, Name: "Alice"}
			r.Panel.Committer = []Person{{ID: faceCarol}}
		}, true},
		{"pending-bare", func(mr *MergeRequest, r *Request) {
			mr.Contents, r.Pipeline, mr.Snapshot.Description, mr.Snapshot.Author, mr.Snapshot.Fork = nil, nil, "", User{}, true
		}, false},
		{"pending-nobody", func(_ *MergeRequest, r *Request) {
			r.Panel.Cards = nil
			for i := range r.Panel.Approvers {
				r.Panel.Approvers[i].Person = Person{}
			}
		}, false},
		{"pending-group", func(_ *MergeRequest, r *Request) { r.Panel.Cards = []Recipient{{Group: true, ID: faceGroup}} }, true},
		{"approved-merging", approvedStory(Approved, nil), true},
		{"approved-pipeline", approvedStory(Approved, func(_ *MergeRequest, r *Request) { r.Scheduled = true }), false},
		{"approved-gitlab-down", approvedStory(Approved, func(mr *MergeRequest, _ *Request) { mr.Tries = 3 }), false},
		{"approved-end", approvedStory(Approved, func(_ *MergeRequest, r *Request) { r.Rule.OnApprove = policy.OnApproveApprove }), true},
		{"approved-two", approvedStory(Approved, func(_ *MergeRequest, r *Request) {
			r.Rule.Required = 2
			r.Decisions = append(r.Decisions, gaveApproval(faceCarol, "", "Mind the night shift"))
		}), false},
		{"approved-operator", approvedStory(Approved, func(_ *MergeRequest, r *Request) {
			r.Decisions[0].Via, r.Decisions[0].Name, r.Decisions[0].Reason = viaOperator, "root@build", "everybody is ill"
		}), false},
		{"merged", approvedStory(MergedHere, func(_ *MergeRequest, r *Request) { r.EndedAt = faceTime(12) }), true},
		{"blocked-conflict", blockedStory("conflict", ""), false},
		{"blocked-pipeline", approvedStory(BlockedNow, func(mr *MergeRequest, r *Request) {
			r.Blocked = Mergeability{Class: MergeBlocked, Reason: "ci_must_pass"}
			mr.Snapshot.Pipeline = &Pipeline{ID: 48214, Status: "failed", URL: "https://gitlab.example.com/payments/api/-/pipelines/48214"}
		}), true},
		{"blocked-unknown", blockedStory("brand_new_rule", "The moon is wrong."), false},
		{"blocked-not-permitted", blockedStory(ReasonNotPermitted, "401 Unauthorized"), true},
		{"rejected-closing", rejectedStory(Rejected, policy.OnRejectClose, "No tests."), false},
		{"rejected-closed", rejectedStory(ClosedHere, policy.OnRejectClose, "No tests."), true},
		{"rejected-closed-no-reason", rejectedStory(ClosedHere, policy.OnRejectClose, ""), false},
		{"rejected-sent-back", rejectedStory(Rejected, policy.OnRejectComment, "No tests"), true},
		{"rejected-after-approval", func(mr *MergeRequest, r *Request) {
			approvedStory(Approved, nil)(mr, r)
			r.State = ClosedHere
			r.Decisions = append(r.Decisions, gaveRejection(faceCarol, "Carol", "Not today"))
		}, false},
		{"expired", endedStory(Expired, CauseTime, nil), true},
		{"expired-part", endedStory(Expired, CauseTime, func(_ *MergeRequest, r *Request) {
			r.Rule.Required = 2
			r.Decisions = []*Decision{gaveApproval(faceAlice, "Alice", "")}
		}), false},
		{"expired-approved", approvedStory(Expired, func(_ *MergeRequest, r *Request) { r.Cause = CauseTime }), false},
		{"expired-asked-again", endedStory(Expired, CauseTime, func(mr *MergeRequest, _ *Request) { mr.AgainAt = faceTime(12) }), false},
		{"superseded-push", approvedStory(Superseded, func(mr *MergeRequest, r *Request) {
			r.Cause = CausePush
			followed(mr, r)
		}), true},
		{"superseded-push-alone", endedStory(Superseded, CausePush, func(mr *MergeRequest, _ *Request) { mr.Snapshot.Head = faceNext }), false},
		{"superseded-after-rejection", func(mr *MergeRequest, r *Request) {
			rejectedStory(Superseded, policy.OnRejectComment, "No tests")(mr, r)
			r.Cause, mr.Snapshot.Head = CausePush, faceNext
		}, false},
		{"superseded-retarget", endedStory(Superseded, CauseRetarget, func(mr *MergeRequest, _ *Request) { mr.Snapshot.Target = "release/2" }), false},
		{"superseded-draft", endedStory(Superseded, CauseDraft, nil), false},
		{"superseded-reopened", endedStory(Superseded, CauseReopened, nil), false},
		{"withdrawn-closed", endedStory(Withdrawn, CauseClosed, func(mr *MergeRequest, _ *Request) { mr.Snapshot.ClosedBy = User{Name: "Dora"} }), true},
		{"withdrawn-merged", endedStory(Withdrawn, CauseMerged, wentAround(BypassUndecided)), true},
		{"withdrawn-merged-commit", approvedStory(Withdrawn, wentAround(BypassCommit)), false},
		{"withdrawn-merged-target", approvedStory(Withdrawn, wentAround(BypassTarget)), false},
		{"withdrawn-merged-early", approvedStory(Withdrawn, wentAround(BypassEarly)), false},
		{"withdrawn-merged-rejected", func(mr *MergeRequest, r *Request) {
			rejectedStory(Withdrawn, policy.OnRejectComment, "No tests")(mr, r)
			wentAround(BypassRejected)(mr, r)
		}, false},
		{"closed-merged", func(mr *MergeRequest, r *Request) {
			rejectedStory(ClosedHere, policy.OnRejectClose, "No tests")(mr, r)
			wentAround(BypassRejected)(mr, r)
			r.Cause = ""
		}, false},
		{"expired-merged", endedStory(Expired, CauseTime, func(mr *MergeRequest, r *Request) {
			wentAround(BypassExpired)(mr, r)
			r.Cause = CauseTime
		}), false},
		{"expired-closed", endedStory(Expired, CauseTime, func(mr *MergeRequest, _ *Request) {
			mr.Snapshot.State, mr.Snapshot.ClosedBy = ForgeClosed, User{Name: "Dora"}
		}), false},
		{"withdrawn-no-rule", endedStory(Withdrawn, CauseNoRule, nil), false},
		{"withdrawn-after-rejection", func(mr *MergeRequest, r *Request) {
			rejectedStory(Withdrawn, policy.OnRejectComment, "No tests")(mr, r)
			r.Cause = CauseClosed
		}, false},
	}
}

// faceMessages are the messages whose faces a case shows.
func faceMessages(c faceCase) map[string]*Message {
	messages := map[string]*Message{
		"card for Alice": {Kind: KindCard, To: Recipient{ID: faceAlice}},
		"result":         {Kind: KindResult, To: Recipient{ID: faceBob}},
	}
	if strings.HasPrefix(c.name, "pending") {
		delete(messages, "result")
		messages["notice"] = &Message{Kind: KindNotice, To: Recipient{ID: faceBob}}
	}
	if strings.HasPrefix(c.name, "blocked") {
		delete(messages, "result")
		messages["stuck"] = &Message{Kind: KindStuck, To: Recipient{ID: faceBob}}
	}
	if c.all {
		messages["card for Carol"] = &Message{Kind: KindCard, To: Recipient{ID: faceCarol}}
		messages["card for Dora, no approver"] = &Message{Kind: KindCard, To: Recipient{ID: faceDora}}
		messages["card for a group"] = &Message{Kind: KindCard, To: Recipient{Group: true, ID: faceGroup}}
	}
	for _, m := range messages {
		m.Key = "0123456789abcdef"
		if c.name == "pending-updated" {
			m.PushAt = faceTime(11)
		}
	}
	return messages
}

func faceWords(locale string) *words.Words {
	w := words.For(locale)
	w.Zone = time.FixedZone("CST", 8*3600)
	return w
}

// TestFaces compares what every message shows in every state, in both languages,
// with testdata/faces. Renew with -update, and read the difference.
func TestFaces(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range faceCases() {
		t.Run(c.name, func(t *testing.T) {
			mr, r := faceStory(c.edit)
			seen[string(r.State)+string(r.Cause)] = true
			shown := map[string]map[string]Card{}
			note := map[string]string{}
			for _, locale := range []string{"zh", "en"} {
				shown[locale] = map[string]Card{}
				for name, m := range faceMessages(c) {
					card := mr.face(r, m, faceWords(locale))
					checkFace(t, locale+" "+name, card)
					shown[locale][name] = card
				}
				if body := mr.noteBody(r, faceWords(locale)); body != "" {
					note[locale] = body
				}
			}
			goldenFace(t, filepath.Join("testdata", "faces", c.name+".json"), map[string]any{
				"zh": shown["zh"], "en": shown["en"], "note": note, "progress": r.progress(),
			})
		})
	}
	for _, m := range Moves() {
		if !slices.ContainsFunc(faceCases(), func(c faceCase) bool { _, r := faceStory(c.edit); return r.State == m.To }) {
			t.Errorf("no case shows %s", m.To)
		}
	}
}

// TestReminderFaces does the same for reminders.
func TestReminderFaces(t *testing.T) {
	waiting := func(n int) []Waiting {
		var list []Waiting
		for i := range n {
			list = append(list, Waiting{
				Request: int64(i + 1), Ref: Ref{Forge: "gitlab", Project: 47778247, Number: int64(7 + i)}, Path: "payments/api",
				URL: fmt.Sprintf("https://gitlab.example.com/payments/api/-/merge_requests/%d", 7+i), Title: "Retry the payment callback",
				AskedAt: faceTime(8).Add(time.Duration(i) * 20 * time.Minute), ExpiresAt: faceTime(8).Add(time.Duration(12-10*i) * -24 * time.Hour).Add(policy.DefaultExpire),
			})
		}
		return list
	}
	hostile := waiting(2)
	hostile[0].Title, hostile[1].Title, hostile[1].Path = hostileAll, "", hostileAll
	for name, r := range map[string]*Reminder{
		"one":     {Requests: []int64{1}, Listed: waiting(1)},
		"several": {Requests: []int64{1, 2, 3}, Listed: waiting(3)},
		"many":    {Requests: make([]int64, 250), Listed: waiting(remindLines)},
		"hostile": {Requests: []int64{1, 2}, Listed: hostile},
	} {
		r.Key, r.To, r.Now = "0123456789abcdef", faceAlice, faceTime(12)
		shown := map[string]Card{}
		for _, locale := range []string{"zh", "en"} {
			shown[locale] = r.card(faceWords(locale))
			checkFace(t, name+" "+locale, shown[locale])
			if len(shown[locale].Actions) != 0 {
				t.Errorf("%s: a reminder has buttons", name)
			}
		}
		goldenFace(t, filepath.Join("testdata", "faces", "reminder-"+name+".json"), shown)
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	os.Exit(m.Run())
}

func goldenFace(t *testing.T, file string, got any) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(got); err != nil {
		t.Fatal(err)
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// checkFace holds what is true of every card.
func checkFace(t *testing.T, name string, c Card) {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 20<<10 {
		t.Errorf("%s has %d bytes", name, len(b))
	}
	if strings.Contains(string(b), "alice@") || strings.Contains(string(b), "@example.com") || strings.Contains(string(b), "ou_") || strings.Contains(string(b), "oc_") {
		t.Errorf("%s shows an address or an ID: %s", name, b)
	}
	lines := []string{c.Title, c.Subtitle, c.Summary, c.Foot}
	for _, text := range append(slices.Clone(c.Facts), c.Status...) {
		lines = append(lines, text.String())
	}
	for _, d := range c.Details {
		lines = append(append(lines, d.Title), d.Lines...)
		if len(d.Lines) > faceFiles+1 {
			t.Errorf("%s lists %d lines", name, len(d.Lines))
		}
	}
	for _, a := range c.Actions {
		lines = append(lines, a.Label)
		if a.Confirm != nil {
			lines = append(lines, a.Confirm.Title, a.Confirm.Text)
		}
	}
	if c.Input != nil {
		lines = append(lines, c.Input.Label)
	}
	for i, line := range lines {
		if line == "" && i != 1 && c.Foot != "" {
			t.Errorf("%s has an empty line among %q", name, lines)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }) {
			t.Errorf("%s: %q", name, line)
		}
		if n := utf8.RuneCountInString(line); n > 800 {
			t.Errorf("%s has a line of %d runes: %.100q", name, n, line)
		}
	}
	if len(c.Facts) == 0 || c.Tone == "" || c.Title == "" || strings.Count(c.Quote, "\n") > 2 {
		t.Errorf("%s: %+v", name, c)
	}
}

func actionsOf(c Card) string {
	var ids []string
	for _, a := range c.Actions {
		ids = append(ids, string(a.ID))
	}
	if c.Input != nil {
		ids = append(ids, "input")
	}
	return strings.Join(ids, " ")
}

// TestActions: who can press what, in which state. Alice has decided where
// somebody has; Carol and the group have not.
func TestActions(t *testing.T) {
	all, rest := "approve reject view input", "view"
	want := map[string][4]string{ // Alice, Carol, Dora (no approver), a group
		"pending":                        {all, all, rest, all},
		"pending-quorum-none":            {all, all, rest, all},
		"pending-quorum-one":             {rest, all, rest, all},
		"pending-own":                    {"reject view input", "reject view input", rest, all},
		"pending-unsure":                 {all, all, rest, all},
		"approved-merging":               {rest, "reject view input", rest, "reject view input"},
		"approved-pipeline":              {rest, "reject view input", rest, "reject view input"},
		"approved-gitlab-down":           {rest, "reject view input", rest, "reject view input"},
		"approved-end":                   {rest, rest, rest, rest},
		"blocked-conflict":               {"retry view", "retry reject view input", rest, "retry reject view input"},
		"blocked-not-permitted":          {"retry view", "retry reject view input", rest, "retry reject view input"},
		"merged":                         {rest, rest, rest, rest},
		"rejected-closing":               {rest, rest, rest, rest},
		"rejected-closed":                {rest, rest, rest, rest},
		"rejected-sent-back":             {rest, rest, rest, rest},
		"expired":                        {rest, rest, rest, rest},
		"superseded-push":                {rest, rest, rest, rest},
		"superseded-draft":               {rest, rest, rest, rest},
		"withdrawn-merged":               {rest, rest, rest, rest},
		"withdrawn-no-rule":              {rest, rest, rest, rest},
		"pending-comment-approve-reason": {all, all, rest, all},
	}
	for _, c := range faceCases() {
		mr, r := faceStory(c.edit)
		expect, ok := want[c.name]
		if !ok {
			continue
		}
		for i, to := range []Recipient{{ID: faceAlice}, {ID: faceCarol}, {ID: faceDora}, {Group: true, ID: faceGroup}} {
			card := mr.face(r, &Message{Kind: KindCard, To: to}, faceWords("en"))
			if got := actionsOf(card); got != expect[i] {
				t.Errorf("%s, recipient %d: got %q, want %q", c.name, i, got, expect[i])
			}
		}
	}
}

// TestHostileFaces: whatever people write, a card stays small and its lines lines.
func TestHostileFaces(t *testing.T) {
	for _, evil := range []string{hostileAll, strings.Repeat("长", 10000), strings.Repeat("a ", 5000), strings.Repeat("\u202E\u0300", 5000), "\xff\xfe", ""} {
		for _, c := range faceCases() {
			mr, r := faceStory(c.edit)
			s := mr.Snapshot
			s.Path, s.Title, s.Description, s.Source, s.Target, r.Target = evil, evil, evil, evil, evil, evil
			s.Author, s.ClosedBy, s.MergedBy = User{Name: evil, Username: evil}, User{Name: evil}, User{Name: evil}
			s.Pipeline, r.Pipeline = &Pipeline{ID: 1, Status: evil}, &Pipeline{ID: 1, Status: evil}
			r.Rule.Name, r.Head, r.Blocked.Detail = evil, CommitID(evil), evil
			if r.Before != nil {
				r.Before = &Before{Name: evil, Reason: evil}
			}
			for i := range r.Panel.Approvers {
				r.Panel.Approvers[i].Name = evil
			}
			for i := range r.Panel.Unsure {
				r.Panel.Unsure[i] = evil
			}
			for _, d := range r.Decisions {
				d.Name, d.Reason = evil, evil
			}
			for i := range 12 {
				d := gaveApproval(fmt.Sprint("p", i), evil, evil)
				d.Void = i%2 == 0
				r.Decisions = append(r.Decisions, d)
			}
			if mr.Contents != nil {
				mr.Contents.Head = r.Head
				for i := range mr.Contents.Files {
					mr.Contents.Files[i].Path = evil
				}
				for i := range mr.Contents.Commits {
					mr.Contents.Commits[i] = CommitTitle{ID: CommitID(evil), Title: evil}
				}
			}
			for _, locale := range []string{"zh", "en"} {
				for name, m := range faceMessages(c) {
					checkFace(t, fmt.Sprintf("%s %s %s %.10q", c.name, locale, name, evil), mr.face(r, m, faceWords(locale)))
				}
				for line := range strings.SplitSeq(mr.noteBody(r, faceWords(locale)), "\n") {
					if line != "" && !strings.HasPrefix(line, "由") && !strings.HasPrefix(line, "Approved by") && !strings.HasPrefix(line, "Rejected by") && !strings.HasPrefix(line, "→ ") {
						t.Errorf("%s: a line of the note is somebody else's: %q", c.name, line)
					}
				}
			}
		}
	}
}

// TestFaceDoesNotMoveByItself: neither the clock nor a count of attempts changes
// a card, since each change costs a call.
func TestFaceDoesNotMoveByItself(t *testing.T) {
	for _, c := range faceCases() {
		mr, r := faceStory(c.edit)
		for name, m := range faceMessages(c) {
			before := mr.face(r, m, faceWords("zh"))
			mr.Now = mr.Now.AddDate(1, 0, 0)
			if mr.Tries > 0 {
				mr.Tries++
			}
			after := mr.face(r, m, faceWords("zh"))
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s, %s:\n%s", c.name, name, diff)
			}
		}
	}
}

func TestLatestCommitsInEitherOrder(t *testing.T) {
	old, mid, head := CommitTitle{ID: "a"}, CommitTitle{ID: "b"}, CommitTitle{ID: "c"}
	want := []CommitTitle{head, mid, old}
	for _, list := range [][]CommitTitle{{head, mid, old}, {old, mid, head}} {
		if diff := cmp.Diff(want, latestCommits(list, "c")); diff != "" {
			t.Error(diff)
		}
	}
}

func BenchmarkFace(b *testing.B) {
	mr, r := faceStory(nil)
	mr.Snapshot.Description = strings.Repeat("Some **text** with [links](https://x.example) and `code`.\n", 200)
	m, w := &Message{Kind: KindCard, To: Recipient{ID: faceAlice}}, faceWords("zh")
	for b.Loop() {
		mr.face(r, m, w)
	}
}
