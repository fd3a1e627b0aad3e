package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// ruleWith is the usual policy, with more lines in its rule.
func ruleWith(lines ...string) setting {
	return withPolicy(changed(bothApprove, bothApprove+"\n    "+strings.Join(lines, "\n    ")))
}

// three has three approvers, one of them under two identities, two of whom are needed.
func three() setting {
	return withPolicy(changed(bothApprove, "approvers: [alice@example.com, carol@example.com, \"+8613800138000\", dave@example.com]\n    required: 2"))
}

// withMobile gives Alice the number that the policy of three names, too.
func (w *world) withMobile() {
	w.alice.Mobile = "13800138000"
	w.feishu.AddUser(w.alice)
}

func TestQuorumOfTwoWithThreeApprovers(t *testing.T) {
	t.Parallel()
	t.Run("needs two different people", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, three())
		w.withMobile()
		l := w.start()
		mr := w.begin(l, w.alice, w.carol, w.dave)
		if got := w.reads(w.bob); !strings.Contains(got, "was sent for approval to Alice, Carol and Dave (2 of them)") {
			t.Errorf("the author reads %q", got)
		}
		if n := len(w.cards(w.alice)); n != 1 {
			t.Errorf("Alice, who has two identities, got %d cards", n)
		}
		w.settle()
		says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, 1 more needed")
		for _, who := range []feishusim.User{w.alice, w.carol, w.dave} {
			w.eventually(who.Name+"'s card counts along", func() bool { return w.shows(who, "Approved 1 of 2 ·", "Alice approved; 1 more needed") })
		}
		again := w.pressed(w.alice, w.card(w.carol).ID, feishusim.ClickOptions{Button: "approve", Anyone: true})
		says(t, w.postClick(l, again).Toast, "info", "You have already approved this")
		w.undecided(mr.IID)
		says(t, w.click(l, w.dave, "approve", "").Toast, "success", "Approved, merging")
		w.ended("Merged ·", "Alice and Dave approved acme/webhook !1; merged into main", w.alice, w.carol, w.dave)
		w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
		if note := w.mr(mr.IID).Notes[0].Body; !strings.Contains(note, "Approved by Alice") || !strings.Contains(note, "Approved by Dave") || strings.Contains(note, "Carol") {
			t.Errorf("the note is %s", note)
		}
	})
	t.Run("is ended by one rejection", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, three())
		w.withMobile()
		l := w.start()
		mr := w.begin(l, w.alice, w.carol, w.dave)
		w.click(l, w.alice, "approve", "")
		w.eventually("Carol's card counts", func() bool { return w.shows(w.carol, "Approved 1 of 2 ·") })
		says(t, w.click(l, w.carol, "reject", "not like this").Toast, "success", "Rejected, closing the merge request")
		w.ended("Rejected ·", "Carol rejected acme/webhook !1: not like this. It was closed", w.alice, w.carol, w.dave)
		if n := len(w.mr(mr.IID).ApprovedBy); n != 0 || w.mr(mr.IID).State != "closed" {
			t.Errorf("it is %s, approved by %d", w.mr(mr.IID).State, n)
		}
	})
	t.Run("is ended by one rejection, also while GitLab waits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, three())
		w.withMobile()
		l := w.start()
		mr := w.begin(l, w.alice, w.carol, w.dave)
		w.gitlab.SetPipeline(project, mr.IID, "running")
		w.gitlab.SetBlocker(project, mr.IID, "ci_still_running")
		w.click(l, w.alice, "approve", "")
		w.click(l, w.dave, "approve", "")
		w.eventually("GitLab waits for the pipeline", func() bool { return w.mr(mr.IID).AutoMerge })
		w.eventually("Carol can only reject", func() bool {
			return w.shows(w.carol, "Approved, waiting for the pipeline ·") && w.asks(w.carol, "reject") && !w.asks(w.carol, "approve")
		})
		for _, who := range []feishusim.User{w.alice, w.dave} {
			w.eventually("who has approved cannot", func() bool {
				return w.shows(who, "Approved, waiting for the pipeline ·") && !w.asks(who, "reject") && !w.asks(who, "approve")
			})
		}
		says(t, w.click(l, w.carol, "reject", "not today").Toast, "success", "Rejected, closing the merge request")
		w.eventually("it is closed, and nothing is left of the approval", func() bool {
			now := w.mr(mr.IID)
			return now.State == "closed" && !now.AutoMerge && len(now.ApprovedBy) == 0
		})
		w.ended("Rejected ·", "Carol rejected acme/webhook !1: not today. It was closed", w.alice, w.carol, w.dave)
	})
}

func TestSelfApprovalWhereTheRuleAllowsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPolicy(changed(bothApprove, "approvers: [bob@example.com, carol@example.com]\n    allow_self_approval: true\n    required: 2")))
	l := w.start()
	mr := w.open(func(mr *gitlabsim.MergeRequest) {
		mr.Commits = append(mr.Commits, gitlabsim.Commit{Title: "Help Bob", AuthorName: "Carol", AuthorEmail: "carol@example.com"})
	})
	w.webhook(l, mr.IID, "open")
	w.eventually("author and committer are asked", func() bool { return w.asks(w.bob, "approve") && w.asks(w.carol, "approve") })
	says(t, w.click(l, w.bob, "approve", "").Toast, "success", "Approved, 1 more needed")
	says(t, w.click(l, w.carol, "approve", "").Toast, "success", "Approved, merging")
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
}

func TestRuleThatOnlyApproves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ruleWith("on_approve: approve"))
	l := w.start("--sweep", "0")
	mr := w.begin(l, w.alice, w.carol)
	if card := w.newest(w.alice).Card; !strings.Contains(card, `"Approve"`) || strings.Contains(card, "Approve and merge") {
		t.Errorf("the button promises something else: %s", card)
	}
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved")
	w.ended("Approved ·", "Alice approved acme/webhook !1. Merge it in GitLab", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201")
	if n := count(w.forgeCalls(), "PUT 1/merge"); n != 0 || w.mr(mr.IID).State != "opened" {
		t.Errorf("it was tried to merge %d times, and is %s", n, w.mr(mr.IID).State)
	}
	// A push takes the approval back, and asks again.
	w.gitlab.Push(project, mr.IID, another())
	w.webhook(l, mr.IID, "update")
	w.takenBack(mr.IID)
	w.eventually("Alice is asked about the new commit", func() bool { return len(w.cards(w.alice)) == 2 && w.asks(w.alice, "approve") })
	answer, err := w.tryClick(l, w.alice, w.newest(w.alice).ID, "approve", "")
	if err != nil {
		t.Fatal(err)
	}
	says(t, answer.Toast, "success", "Approved")
	w.eventually("the new commit is approved", func() bool { return len(w.mr(mr.IID).ApprovedBy) == 1 })
	w.gitlab.MergeByHand(project, mr.IID, "erin")
	w.webhook(l, mr.IID, "merge")
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+"'s card says who approved it", func() bool { return w.shows(who, "Merged ·", "Approved by Alice, merged into main") })
	}
}

func TestRuleThatOnlyComments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ruleWith("on_reject: comment"))
	l := w.start("--sweep", "0")
	mr := w.begin(l, w.alice, w.carol)
	if card := w.newest(w.alice).Card; !strings.Contains(card, "Send back") || strings.Contains(card, "Reject and close") {
		t.Errorf("the button promises something else: %s", card)
	}
	says(t, w.click(l, w.alice, "reject", "No tests.").Toast, "success", "Sent back to the author")
	w.ended("Sent back ·", "Alice sent acme/webhook !1 back: No tests. A new push asks again", w.carol)
	w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
	if note := w.mr(mr.IID).Notes[0].Body; !strings.Contains(note, "Rejected by Alice in Feishu: No tests.") || w.mr(mr.IID).State != "opened" {
		t.Errorf("it is %s, with the note %s", w.mr(mr.IID).State, note)
	}
	w.gitlab.Push(project, mr.IID, another())
	w.webhook(l, mr.IID, "update")
	w.eventually("Alice is asked again, and reads what she said", func() bool {
		return len(w.cards(w.alice)) == 2 && w.shows(w.alice, "Approval needed", "Rejected before by Alice: No tests.")
	})
	if w.mr(mr.IID).State != "opened" {
		t.Error("it was closed")
	}
}

func TestRuleSaysHowToMerge(t *testing.T) {
	t.Parallel()
	type how struct {
		Squash *bool `json:"squash"`
		Remove *bool `json:"should_remove_source_branch"`
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		rule string
		want how
	}{
		"as the merge request says": {"required: 1", how{}},
		"squashed":                  {"merge: {squash: true}", how{Squash: &yes}},
		"without the branch":        {"merge: {remove_source_branch: true}", how{Remove: &yes}},
		"with the branch":           {"merge: {squash: true, remove_source_branch: false}", how{Squash: &yes, Remove: &no}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, ruleWith(c.rule))
			l := w.start()
			mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.RemoveSourceBranch = true })
			w.webhook(l, mr.IID, "open")
			w.click(l, w.alice, "approve", "")
			w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
			for _, call := range w.gitlab.Calls() {
				if !strings.HasSuffix(call.Path, "/merge") || call.Status != http.StatusOK {
					continue
				}
				said, _ := json.Marshal(decode[how](t, call.Body))
				want, _ := json.Marshal(c.want)
				if string(said) != string(want) {
					t.Errorf("GitLab was told %s, want %s", said, want)
				}
			}
			if squashed := w.mr(mr.IID).SquashCommit != ""; squashed != (c.want.Squash != nil) {
				t.Errorf("squashed: %v", squashed)
			}
			if removed := w.mr(mr.IID).SourceBranchRemoved; removed == (c.want.Remove == &no) {
				t.Errorf("branch removed: %v", removed)
			}
		})
	}
}

func TestWhoIsAsked(t *testing.T) {
	t.Parallel()
	all := []string{"Alice", "Carol", "Dave"}
	withDave := strings.Replace(bothApprove, "]", ", dave@example.com]", 1)
	for name, c := range map[string]struct {
		rule      string
		reviewers []string
		commits   string // more of them, by this address
		asked     []string
		buttons   []string // who of them can decide
	}{
		"all approvers":                         {withDave, nil, "", all, all},
		"the reviewers who are approvers":       {withDave, []string{"carol", "erin"}, "", []string{"Carol"}, []string{"Carol"}},
		"all, where no reviewer is an approver": {withDave, []string{"erin"}, "", all, all},
		"all, where the reviewers are too few":  {withDave + "\n    required: 2", []string{"carol"}, "", all, all},
		"all, where the reviewer may not":       {withDave, []string{"carol"}, "carol@example.com", all, all},
		"whom the rule names":                   {withDave + "\n    cards_to: [alice@example.com, erin@example.com]", []string{"carol"}, "", []string{"Alice", "Erin"}, []string{"Alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withPolicy(strings.Replace(changed(bothApprove, c.rule), "users:\n", "users:\n  carol: carol@example.com\n  erin: erin@example.com\n", 1)))
			w.gitlab.AddUser(gitlabsim.User{ID: 1091279, Username: "carol", Name: "Carol"})
			erin := w.feishu.AddUser(feishusim.User{Name: "Erin", Email: "erin@example.com"})
			l := w.start()
			mr := w.open(func(mr *gitlabsim.MergeRequest) {
				mr.Reviewers = c.reviewers
				if c.commits != "" {
					mr.Commits = append(mr.Commits, gitlabsim.Commit{Title: "Help", AuthorName: "Somebody", AuthorEmail: c.commits})
				}
			})
			w.webhook(l, mr.IID, "open")
			people := []feishusim.User{w.alice, w.carol, w.dave, erin}
			w.eventually("all have their messages", func() bool { return len(w.feishu.Messages()) >= len(c.asked)+1 })
			w.never("somebody else is asked", func() bool { return len(w.feishu.Messages()) != len(c.asked)+1 })
			for _, who := range people {
				messages := len(w.feishu.MessagesTo(who.OpenID))
				if asked := slices.Contains(c.asked, who.Name); asked != (messages == 1) {
					t.Errorf("%s has %d messages", who.Name, messages)
				}
				if can := slices.Contains(c.buttons, who.Name); can != w.asks(who, "reject") {
					t.Errorf("%s can decide: %v", who.Name, !can)
				}
			}
		})
	}
}

// Anyone in a group sees the card; only approvers decide.
func TestGroupCard(t *testing.T) {
	t.Parallel()
	const chat = "oc_a0553eda9014c201e6969b478895c230"
	w := newWorld(t, ruleWith("required: 2", "cards_to: ["+chat+"]"))
	w.feishu.AddGroup(feishusim.Group{ChatID: chat, Name: "Reviews", BotInGroup: true, Members: []string{w.alice.OpenID, w.carol.OpenID, w.dave.OpenID}})
	l := w.start()
	mr := w.begin(l)
	card := func() feishusim.Message {
		w.eventually("the group has one card", func() bool { return len(w.feishu.MessagesIn(chat)) == 1 })
		return w.feishu.MessagesIn(chat)[0]
	}
	reads := func(title string, words ...string) {
		t.Helper()
		w.eventually("the group reads "+title, func() bool {
			text := feishusim.PlainText(card().Card)
			return strings.HasPrefix(text, title) && !slices.ContainsFunc(words, func(s string) bool { return !strings.Contains(text, s) })
		})
	}
	offers := func(button string) bool {
		return slices.ContainsFunc(feishusim.Buttons(card().Card), func(b feishusim.Button) bool { return b.Callback && b.Value["a"] == button })
	}
	click := func(who feishusim.User, button, kind, says string) {
		t.Helper()
		answer, err := w.tryClick(l, who, card().ID, button, "")
		if err != nil {
			t.Fatalf("%s: %v", who.Name, err)
		}
		if answer.Toast == nil || answer.Toast.Type != kind || answer.Toast.Content != says {
			t.Errorf("%s pressed %s: toast %+v, want %s %q", who.Name, button, answer.Toast, kind, says)
		}
	}
	reads("Approval needed ·", "2 approvals needed")
	if got := w.reads(w.bob); !strings.Contains(got, "to Alice and Carol (2 of them)") {
		t.Errorf("the author reads %q", got)
	}
	before := card().Card
	for _, button := range []string{"approve", "reject"} {
		click(w.dave, button, "error", `You are not an approver under rule "production". Nothing changed`)
	}
	if card().Card != before {
		t.Error("an outsider's click changed the card")
	}
	w.undecided(mr.IID)

	click(w.alice, "approve", "success", "Approved, 1 more needed")
	reads("Approved 1 of 2 ·", "Alice approved; 1 more needed")
	click(w.alice, "approve", "info", "You have already approved this")
	if !offers("approve") || !offers("reject") {
		t.Error("the others in the group cannot decide any more")
	}
	w.gitlab.SetBlocker(project, mr.IID, "not_approved")
	click(w.carol, "approve", "success", "Approved, merging")
	reads("Approved, but blocked ·")
	if offers("approve") || !offers("reject") || !offers("retry") {
		t.Errorf("while GitLab waits the card is %s", card().Card)
	}
	click(w.dave, "Retry", "error", `You are not an approver under rule "production". Nothing changed`)
	w.gitlab.SetBlocker(project, mr.IID, "")
	click(w.carol, "Retry", "info", "Retrying")
	reads("Merged ·", "Alice and Carol")
	if strings.Contains(card().Card, `"callback"`) {
		t.Error("the card can be clicked still")
	}
	for _, who := range []feishusim.User{w.alice, w.carol, w.dave} {
		if n := len(w.feishu.MessagesTo(who.OpenID)); n != 0 {
			t.Errorf("%s got %d messages beside the group's", who.Name, n)
		}
	}
}
