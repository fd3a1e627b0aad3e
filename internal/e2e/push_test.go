package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

const newerCommit = "The commit or target has changed; decide on the updated card"

// another is one more commit of Bob's.
func another() gitlabsim.Commit {
	return gitlabsim.Commit{Title: "And log it", AuthorName: "Bob Chen", AuthorEmail: "bob@example.com"}
}

// mergedCommit is the commit that the one successful merge named.
func (w *world) mergedCommit(iid int) string {
	w.t.Helper()
	w.eventually("it is merged", func() bool { return w.mr(iid).State == "merged" })
	for _, c := range w.gitlab.Calls() {
		if strings.HasSuffix(c.Path, "/merge") && c.Status == http.StatusOK {
			return decode[struct{ SHA string }](w.t, c.Body).SHA
		}
	}
	w.t.Fatalf("no merge among %v", w.forgeCalls())
	return ""
}

func TestPushChangesTheWaitingCardsInPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	alice, carol := w.card(w.alice), w.card(w.carol)
	old := w.pressed(w.alice, alice.ID, feishusim.ClickOptions{Button: "approve"})

	w.gitlab.Push(project, mr.IID, another())
	head := w.mr(mr.IID).Head
	w.webhook(l, mr.IID, "update")
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+"'s card shows the new commit", func() bool {
			return w.shows(who, "Approval needed, updated ·", head[:8], "And log it") && !w.shows(who, "", mr.Head[:8]+" into") && w.asks(who, "approve")
		})
	}
	if w.newest(w.alice).ID != alice.ID || w.newest(w.carol).ID != carol.ID {
		t.Error("a push sent another card to somebody who had not decided")
	}
	w.eventually("the author's notice names the new commit", func() bool { return strings.Contains(w.reads(w.bob), head[:8]) })
	w.never("somebody got a second message", func() bool { return len(w.feishu.Messages()) != 3 })

	w.settle()
	a := w.postClick(l, old)
	says(t, a.Toast, "info", newerCommit)
	w.undecided(mr.IID)

	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	if sha := w.mergedCommit(mr.IID); sha != head {
		t.Errorf("merged %s, not the new commit %s", sha, head)
	}
	w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
}

// A card's button names what it stands for: a key of an older commit gets nothing
// merged, whoever puts it into a click.
func TestClickWithAnOlderCommitsKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	keyOf := func() any {
		for _, b := range feishusim.Buttons(w.newest(w.alice).Card) {
			if b.Value["a"] == "approve" {
				return b.Value["k"]
			}
		}
		return nil
	}
	old := keyOf()
	w.gitlab.Push(project, mr.IID, another())
	w.webhook(l, mr.IID, "update")
	w.eventually("the card stands for the new commit", func() bool { return keyOf() != nil && keyOf() != old })
	w.settle()
	forged := w.pressed(w.alice, w.newest(w.alice).ID, feishusim.ClickOptions{Button: "approve", Mutate: func(body map[string]any) {
		event, _ := body["event"].(map[string]any)
		action, _ := event["action"].(map[string]any)
		action["value"] = map[string]any{"k": old, "a": "approve", "v": 1}
	}})
	says(t, w.postClick(l, forged).Toast, "info", newerCommit)
	w.undecided(mr.IID)
}

func TestUnseenPushIsNotMergedThroughTheOldCard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, suffix string
		phase                gitlabsim.Phase
	}{
		{name: "before the click"},
		{"after the approval", http.MethodPost, "/approve", gitlabsim.Done},
		{"after the last look", http.MethodPut, "/merge", gitlabsim.Arrived},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			w.settle()
			carol := w.card(w.carol).ID
			push := sync.OnceFunc(func() { w.gitlab.Push(project, mr.IID, another()) })
			if c.method == "" {
				push()
			}
			w.gitlab.Hook(func(r *http.Request, p gitlabsim.Phase) {
				if p == c.phase && r.Method == c.method && strings.HasSuffix(r.URL.Path, c.suffix) {
					push()
				}
			})
			w.click(l, w.alice, "approve", "")
			w.eventually("Alice gets a card for the new commit, as hers is void", func() bool {
				head := w.mr(mr.IID).Head
				return head != mr.Head && len(w.cards(w.alice)) == 2 && w.shows(w.alice, "Approval needed", head[:8]) && w.asks(w.alice, "approve")
			})
			w.eventually("her first card says that it is over", func() bool {
				first := w.cards(w.alice)[0].Card
				return strings.HasPrefix(feishusim.PlainText(first), "Outdated ·") && !strings.Contains(first, `"callback"`)
			})
			head := w.mr(mr.IID).Head
			w.eventually("Carol's card shows the new commit in place", func() bool {
				return w.shows(w.carol, "Approval needed", head[:8]) && w.asks(w.carol, "approve")
			})
			if cards := w.cards(w.carol); len(cards) != 1 || cards[0].ID != carol {
				t.Errorf("Carol, who had not decided, has %d cards", len(cards))
			}
			w.eventually("nobody approves the new commit in GitLab", func() bool { return len(w.mr(mr.IID).ApprovedBy) == 0 })
			w.never("the push was merged unseen", func() bool {
				return w.mr(mr.IID).State != "opened" || len(w.mr(mr.IID).ApprovedBy) > 0 || count(w.forgeCalls(), "PUT 1/merge 200") > 0
			})
			w.gitlab.ResetCalls()
			answer, err := w.tryClick(l, w.alice, w.newest(w.alice).ID, "approve", "")
			if err != nil {
				t.Fatal(err)
			}
			says(t, answer.Toast, "success", "Approved, merging")
			if sha := w.mergedCommit(mr.IID); sha != head {
				t.Errorf("merged %s, not the new commit %s", sha, head)
			}
			w.ended("Merged ·", "merged into main", w.alice, w.carol)
			w.onceOf(mr.IID, 2, "POST 1/approve 201", "PUT 1/merge 200")
			if notes := w.mr(mr.IID).Notes; !strings.Contains(notes[0].Body, "No longer counts: there is another commit") || !strings.Contains(notes[1].Body, "Merged into main") {
				t.Errorf("the notes: %+v", notes)
			}
		})
	}
}

// What somebody does in GitLab while the cards wait, and what they then say.
func elsewhere() map[string]struct {
	do    func(w *world, iid int)
	event string
	title string
	says  string
	told  string // to the author; "": nothing, since it was them
	state string
} {
	type change = struct {
		do                       func(w *world, iid int)
		event, title, says, told string
		state                    string
	}
	return map[string]change{
		"retargeted": {
			func(w *world, iid int) { w.gitlab.Retarget(project, iid, "playground") }, "update",
			"Target changed ·", "Now targets playground instead of main", "", "opened",
		},
		"turned into a draft": {
			func(w *world, iid int) { w.gitlab.SetDraft(project, iid, true) }, "update",
			"Now a draft ·", "You will be asked again when it is ready", "", "opened",
		},
		"closed by hand": {
			func(w *world, iid int) { w.gitlab.Close(project, iid, "erin") }, "close",
			"Closed ·", "closed it in GitLab", "acme/webhook !1 was closed in GitLab", "closed",
		},
		"merged by hand": {
			func(w *world, iid int) { w.gitlab.MergeByHand(project, iid, "erin") }, "merge",
			"Merged in GitLab ·", "without approval here", "acme/webhook !1 was merged in GitLab, without approval here", "merged",
		},
	}
}

func TestWhatHappensInGitLabEndsTheRequest(t *testing.T) {
	t.Parallel()
	for name, c := range elsewhere() {
		for _, told := range []bool{true, false} {
			how := map[bool]string{true: ", by webhook", false: ", seen at the click"}[told]
			t.Run(name+how, func(t *testing.T) {
				t.Parallel()
				c := c
				w := newWorld(t)
				l := w.start()
				mr := w.begin(l, w.alice, w.carol)
				old := w.pressed(w.alice, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve"})
				w.settle()
				c.do(w, mr.IID)
				if told {
					w.webhook(l, mr.IID, c.event)
				} else {
					w.click(l, w.alice, "approve", "")
					if c.state == "merged" {
						// An approval was on disk when it was seen to be merged: that counts,
						// whoever pressed (DESIGN §2, States).
						c.title, c.says, c.told = "Merged ·", "Approved by Alice, merged into main", "merged into main"
					}
				}
				for _, who := range []feishusim.User{w.alice, w.carol} {
					w.eventually(who.Name+"'s card says so", func() bool {
						return w.shows(who, c.title, c.says) && !strings.Contains(w.newest(who).Card, `"callback"`)
					})
				}
				if c.told != "" {
					w.eventually("the author is told", func() bool { return strings.Contains(w.reads(w.bob), c.told) })
				}
				if told {
					a := w.postClick(l, old)
					if a.Toast == nil || a.Toast.Type != "info" || a.Toast.Content == "" {
						t.Errorf("a click on a card that is over is answered %+v", a.Toast)
					}
				}
				w.never("it was decided on all the same", func() bool {
					now := w.mr(mr.IID)
					return now.State != c.state || count(w.forgeCalls(), "PUT 1/merge 200") > 0 || count(w.forgeCalls(), "PUT 1 200") > 0
				})
				if c.state == "opened" {
					w.eventually("no approval of mrgate's stays", func() bool { return len(w.mr(mr.IID).ApprovedBy) == 0 })
				}
				if n := len(w.cards(w.alice)) + len(w.cards(w.carol)); n != 2 {
					t.Errorf("%d cards, want the two that there were", n)
				}
			})
		}
	}
}

func TestAskedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		away, back func(w *world, iid int)
		gone       string
		awayEvent  string
		backEvent  string
	}{
		{
			"when a draft is ready",
			func(w *world, iid int) { w.gitlab.SetDraft(project, iid, true) },
			func(w *world, iid int) { w.gitlab.SetDraft(project, iid, false) },
			"Now a draft ·", "update", "update",
		},
		{
			"when it is reopened",
			func(w *world, iid int) { w.gitlab.Close(project, iid, "erin") },
			func(w *world, iid int) { w.gitlab.Reopen(project, iid, "erin") },
			"Closed ·", "close", "reopen",
		},
		{
			"when it comes back to a branch with a rule",
			func(w *world, iid int) { w.gitlab.Retarget(project, iid, "playground") },
			func(w *world, iid int) { w.gitlab.Retarget(project, iid, "main") },
			"Target changed ·", "update", "update",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			c.away(w, mr.IID)
			w.webhook(l, mr.IID, c.awayEvent)
			w.eventually("the cards say that it is over", func() bool { return w.shows(w.alice, c.gone) && w.shows(w.carol, c.gone) })
			c.back(w, mr.IID)
			w.webhook(l, mr.IID, c.backEvent)
			w.eventually("both are asked again", func() bool {
				return w.shows(w.alice, "Approval needed") && w.asks(w.alice, "approve") && w.shows(w.carol, "Approval needed") && w.asks(w.carol, "approve")
			})
			w.settle()
			answer, err := w.tryClick(l, w.carol, w.newest(w.carol).ID, "approve", "")
			if err != nil {
				t.Fatal(err)
			}
			says(t, answer.Toast, "success", "Approved, merging")
			w.ended("Merged ·", "Carol approved acme/webhook !1; merged into main", w.alice, w.carol)
			w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
		})
	}
}

func TestDraftIsAskedAboutOnlyWhenItIsReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.Draft = true })
	w.webhook(l, mr.IID, "open")
	w.never("somebody was asked about a draft", func() bool { return len(w.feishu.Messages()) > 0 })
	w.gitlab.SetDraft(project, mr.IID, false)
	w.webhook(l, mr.IID, "update")
	w.card(w.alice)
	w.card(w.carol)
}
