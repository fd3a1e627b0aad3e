package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// Broken is the error of a story in which mrgate did not keep a promise.
type Broken struct {
	Promise int // its number in the list of what mrgate promises
	Why     string
}

func (b *Broken) Error() string {
	return fmt.Sprintf("promise %d is broken, “%s”: %s", b.Promise, promises[b.Promise-1], b.Why)
}

// promises are what the story holds mrgate to.
var promises = []string{ //nolint:gochecknoglobals // they never change
	"only the policy decides who may decide",
	"what was approved is what is merged",
	"one decision per person, one card per recipient",
	"acknowledged means on disk",
	"what was acknowledged will be done, once",
	"every card tells the truth",
	"nobody gets in",
	"every decision can be explained",
}

// The colours in which a card says its state. Unlike the words, they are the same
// in both languages.
const (
	waiting  = "blue"
	merging  = "turquoise"
	done     = "green"
	rejected = "red"
	blocked  = "orange"
)

// Script plays the story and prints it step by step. Its error is a *Broken where
// a promise was not kept, and another one where the story could not be played.
func Script(ctx context.Context, opts Options, out io.Writer) error {
	began := time.Now()
	w, err := open(ctx, opts)
	if err != nil {
		return err
	}
	defer w.Close()
	t := &story{world: w, ctx: ctx, out: newPrinter(out, opts)}
	t.out.say("mrgate sandbox: the real listener, between a GitLab and a Feishu that are simulated on this machine.")
	t.out.say("Bob writes code, Alice and Carol may approve it, Dave sits in the group %s and may not.", groupName)
	t.steps() // of the start
	for _, scene := range []func(){t.approved, t.turnedDown, t.pushed, t.conflict, t.pipeline, t.killed, t.explained} {
		if scene(); t.err != nil {
			break
		}
	}
	if t.err != nil {
		t.steps()
		t.out.fail(t.err)
		if _, wrong := t.err.(*Broken); wrong { //nolint:errorlint // made here, never wrapped
			t.out.dim("The end of the listener's log:")
			t.out.dim("%s", w.redact(lastLines(w.listener.log.String(), 8)))
		}
		return t.err
	}
	w.journal.pull(ctx)
	if err := w.journal.record.failed(); err != nil {
		return err
	}
	t.out.end("Every promise was kept, in %.1f seconds. To try it yourself in a browser: mrgate sandbox", time.Since(began).Seconds())
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// story is a story that is being told. Once something has gone wrong its methods
// do nothing.
type story struct {
	*world
	ctx     context.Context //nolint:containedctx // a story is one call of Script
	out     *printer
	err     error
	printed map[string]bool
}

// approved is the shortest story: opened, asked, approved, merged. In between
// somebody tries who may not.
func (t *story) approved() {
	t.out.scene("A click on a card merges; a click by somebody else does not")
	mr := t.opened("Retry the payment callback", "feature/retry", "The gateway times out now and then, and callbacks get lost.")
	t.asked(mr, "Alice, Carol and the group %s have a card, and Bob is told who was asked", groupName)

	calls := t.writes()
	a := t.clicks(t.dave, t.group(mr), "approve", "")
	t.check(1, a.Toast != nil && a.Toast.Type == "error", "Dave is no approver, and yet his click was not refused")
	t.until(8, "Dave's click is in the log", func() bool { return t.logged("click", mr) })
	t.check(1, t.mr(mr).State == "opened" && len(t.writes()) == len(calls) && t.colour(t.group(mr)) == waiting,
		"Dave is no approver, and yet his click changed something")
	t.kept("Dave is told why not, and nothing has changed")

	head := t.mr(mr).Head
	t.check(6, strings.Contains(t.reads(t.card(t.alice, mr)), short(head)), "Alice's card does not name the commit %s that she decides on", short(head))
	a = t.clicks(t.alice, t.card(t.alice, mr), "approve", "")
	t.check(4, a.Toast != nil && a.Toast.Type == "success", "Alice may approve, and yet her click was not taken")
	t.merged(mr, head, "Alice")
}

// turnedDown is a rejection.
func (t *story) turnedDown() {
	t.out.scene("A rejection closes the merge request, and its reason reaches the author")
	const reason = "Please add a test first"
	mr := t.opened("Log every card number", "feature/log-numbers", "To find out which cards fail.")
	t.asked(mr, "Alice, Carol and the group have a card")
	a := t.clicks(t.carol, t.card(t.carol, mr), "reject", reason)
	t.check(4, a.Toast != nil && a.Toast.Type == "success", "Carol may reject, and yet her click was not taken")
	t.until(5, fmt.Sprintf("GitLab has closed !%d", mr), func() bool { return t.mr(mr).State == "closed" })
	t.kept("!%d is closed in GitLab", mr)
	t.allCards(mr, rejected, "Carol")
	t.until(6, "Bob reads Carol's reason", func() bool { return strings.Contains(t.reads(t.newest(t.bob)), reason) })
	t.kept("Bob reads why: “%s”", reason)
	t.quiet()
}

// pushed has the author push while somebody still looks at the card of before.
func (t *story) pushed() {
	t.out.scene("What was approved is what is merged: a push comes between card and click")
	mr := t.opened("Round amounts half to even", "fix/rounding", "")
	t.asked(mr, "Alice, Carol and the group have a card")
	old := t.card(t.alice, mr)
	first := t.mr(mr).Head
	t.does(deed, "Bob", fmt.Sprintf("pushes one more commit to !%d", mr), func() {
		t.gitlab.Push(project, mr, commit("Round refunds too"))
	})
	head := t.mr(mr).Head
	t.until(6, "the cards of Alice and Carol name the new commit "+short(head), func() bool {
		return strings.Contains(t.reads(t.card(t.alice, mr)), short(head)) && strings.Contains(t.reads(t.card(t.carol, mr)), short(head))
	})
	t.kept("the cards now stand for commit %s instead of %s", short(head), short(first))

	calls := t.writes()
	t.say("Alice", fmt.Sprintf("was in a lift: her screen still shows !%d at commit %s", mr, short(first)))
	a := t.clicks(t.alice, old, "approve", "")
	t.check(2, a.Toast != nil && a.Toast.Type == "info", "a click on the card of an older commit was taken for the new one")
	t.quiet()
	t.check(2, t.mr(mr).State == "opened" && len(t.writes()) == len(calls), "a click on the card of an older commit changed something")
	t.kept("the click on the old card is refused, and nothing has changed")

	t.clicks(t.alice, t.card(t.alice, mr), "approve", "")
	t.merged(mr, head, "Alice")
}

// conflict has GitLab refuse the merge until somebody has mended the target.
func (t *story) conflict() {
	t.out.scene("What GitLab will not merge yet is said, and tried again")
	mr := t.opened("Move the ledger to its own package", "chore/ledger", "")
	t.asked(mr, "Alice, Carol and the group have a card")
	t.does(deed, "Dave", "pushes something to main that conflicts with it", func() { t.gitlab.SetConflict(project, mr, true) })
	t.clicks(t.alice, t.card(t.alice, mr), "approve", "")
	t.allCards(mr, blocked, "Alice")
	t.check(2, t.mr(mr).State == "opened", "it was merged in spite of a conflict")
	t.quiet()
	t.does(deed, "Dave", "takes that back: no conflict any more", func() { t.gitlab.SetConflict(project, mr, false) })
	a := t.clicks(t.alice, t.card(t.alice, mr), "retry", "")
	t.check(5, a.Toast != nil && a.Toast.Type != "error", "Alice pressed Retry, and was refused")
	t.merged(mr, t.mr(mr).Head, "Alice")
}

// pipeline has GitLab merge by itself, later.
func (t *story) pipeline() {
	t.out.scene("Where a pipeline must pass, GitLab merges when it has")
	t.does(deed, "Carol", "has the project demand pipelines", func() {
		t.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.PipelinesMustSucceed = true })
	})
	mr := t.opened("Cache exchange rates", "feature/rates", "", func(mr *gitlabsim.MergeRequest) { mr.HasPipeline = true })
	t.asked(mr, "Alice, Carol and the group have a card")
	t.clicks(t.carol, t.card(t.carol, mr), "approve", "")
	t.allCards(mr, merging, "Carol")
	t.until(5, fmt.Sprintf("GitLab has the auto-merge of !%d", mr), func() bool { return t.mr(mr).AutoMerge })
	t.check(2, t.mr(mr).State == "opened", "it was merged before its pipeline had passed")
	t.quiet()
	t.does(deed, "GitLab", "finishes the pipeline: passed", func() { t.gitlab.SetPipeline(project, mr, "success") })
	t.merged(mr, t.mr(mr).Head, "Carol")
	t.does(deed, "Carol", "lets the project merge without pipelines again", func() {
		t.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.PipelinesMustSucceed = false })
	})
}

// killed has the listener die between a click and its merge.
func (t *story) killed() {
	t.out.scene("kill -9 between click and merge: what was acknowledged is done, once")
	mr := t.opened("Raise the limit for refunds", "feature/refunds", "")
	t.asked(mr, "Alice, Carol and the group have a card")
	var up func()
	t.does(process, "GitLab", "is down: it answers 502", func() { up = t.gitlab.Inject(gitlabsim.Fault{Status: http.StatusBadGateway}) })
	if t.err != nil {
		return
	}
	defer up()
	head := t.mr(mr).Head
	a := t.clicks(t.alice, t.card(t.alice, mr), "approve", "")
	t.check(4, a.Toast != nil && a.Toast.Type == "success", "Alice's click was not acknowledged while GitLab was down")
	t.until(6, "Carol's card says that it was approved", func() bool { return t.colour(t.card(t.carol, mr)) == merging })
	t.kept("Alice's approval is on disk, though GitLab cannot be reached")
	t.does(process, "You", "kill -9 the listener", t.listener.kill)
	t.check(5, t.mr(mr).State == "opened", "it was merged while GitLab was down")
	t.does(process, "GitLab", "is up again", up)
	t.does(process, "You", "start the listener again", func() {
		if err := t.listener.start(t.ctx); err != nil && t.err == nil {
			t.err = err
		}
	})
	t.merged(mr, head, "Alice")
	n := 0
	for _, c := range t.gitlab.Calls() {
		if c.Method == http.MethodPut && strings.HasSuffix(c.Path, fmt.Sprintf("/merge_requests/%d/merge", mr)) && c.Status == http.StatusOK {
			n++
		}
	}
	t.check(5, n == 1, "!%d was merged %d times", mr, n)
	t.kept("it was merged once, and Alice did not have to do anything")
}

// explained has mrgate check its own log.
func (t *story) explained() {
	t.out.scene("Every decision can be explained")
	if t.err != nil {
		return
	}
	out, err := t.verify(t.ctx)
	t.say("You", "run mrgate log --verify")
	for line := range strings.Lines(out) {
		t.out.dim("%s", strings.TrimSpace(line))
	}
	t.check(8, err == nil, "mrgate log --verify fails: %v", err)
	t.kept("the log is whole, and tells of every click above")
}

// opened has Bob open a merge request, and gives its number.
func (t *story) opened(title, source, description string, change ...func(*gitlabsim.MergeRequest)) int {
	if t.err != nil {
		return 0
	}
	mr := newMergeRequest(title, source, description)
	for _, f := range change {
		f(&mr)
	}
	n := 0
	t.does(deed, "Bob", fmt.Sprintf("opens a merge request, “%s”, from %s into main", title, source), func() { n = t.gitlab.Open(mr).IID })
	return n
}

// newMergeRequest is one of Bob's.
func newMergeRequest(title, source, description string) gitlabsim.MergeRequest {
	return gitlabsim.MergeRequest{
		ProjectID: project, Title: title, Description: description, Source: source, Target: "main", Author: "bob",
		Commits: []gitlabsim.Commit{commit(title)},
		Files:   []gitlabsim.FileChange{{Path: "callback.go", Additions: 88, Deletions: 20}, {Path: "callback_test.go", Additions: 54, Deletions: 18}},
	}
}

// commit is one of Bob's.
func commit(title string) gitlabsim.Commit {
	return gitlabsim.Commit{Title: title, AuthorName: "Bob Chen", AuthorEmail: "bob@example.com"}
}

// asked waits until everybody is asked and told, each once.
func (t *story) asked(mr int, kept string, args ...any) {
	everybody := func(n int) func() bool {
		return func() bool {
			return t.count(t.alice.ID, mr) == n && t.count(t.carol.ID, mr) == n && t.count(groupID, mr) == n && t.count(t.bob.ID, mr) == n
		}
	}
	t.until(6, "Alice, Carol and the group have a card, and Bob a notice", everybody(1))
	t.quiet()
	t.check(3, everybody(1)(), "somebody got a second message about !%d", mr)
	t.allCards(mr, waiting, "Bob")
	t.check(1, !t.asks(t.newest(t.bob)), "Bob, the author, was given a button to decide on !%d", mr)
	t.kept(kept, args...)
}

// merged waits for the end of an approved merge request, and looks at all of it.
func (t *story) merged(mr int, head, by string) {
	t.until(5, fmt.Sprintf("all cards say that !%d was merged", mr), func() bool {
		return t.colour(t.card(t.alice, mr)) == done || t.mr(mr).State == "merged"
	})
	t.until(2, fmt.Sprintf("GitLab has merged !%d", mr), func() bool {
		merged := t.mr(mr).State == "merged"
		if !merged && t.colour(t.card(t.alice, mr)) == done {
			t.breaks(6, "Alice's card says that !%d was merged, but in GitLab it is %s", mr, t.mr(mr).State)
		}
		return merged
	})
	t.check(2, t.mr(mr).Head == head, "GitLab merged commit %s, not %s, which was approved", short(t.mr(mr).Head), short(head))
	t.kept("GitLab has merged !%d at commit %s, which is the one that was approved", mr, short(head))
	t.allCards(mr, done, by)
	t.until(6, "Bob is told", func() bool {
		m := t.newest(t.bob)
		return strings.Contains(t.reads(m), by) && strings.Contains(m.Card, reference(mr)) && t.count(t.bob.ID, mr) > 1
	})
	t.until(8, fmt.Sprintf("a note under !%d says who approved it", mr), func() bool {
		notes := t.mr(mr).Notes
		return len(notes) == 1 && strings.Contains(notes[0].Body, by)
	})
	t.kept("Bob is told, and a note under !%d says who approved it", mr)
	t.quiet()
}

// allCards waits until all cards about a merge request have this colour and name
// somebody.
func (t *story) allCards(mr int, colour, name string) {
	for _, to := range []struct{ name, id string }{{"Alice", t.alice.ID}, {"Carol", t.carol.ID}, {"the group " + groupName, groupID}} {
		var last feishusim.Message
		t.untilElse(6, fmt.Sprintf("the card of %s is %s and names %s", to.name, colour, name), func() bool {
			last = t.about(to.id, mr)
			return t.colour(last) == colour && strings.Contains(t.reads(last), name)
		}, func() string { return fmt.Sprintf("it is %s and says “%s”", t.colour(last), cardTitle(last.Card)) })
	}
	t.until(6, "all cards say the same", func() bool {
		title := cardTitle(t.card(t.alice, mr).Card)
		return cardTitle(t.card(t.carol, mr).Card) == title && cardTitle(t.group(mr).Card) == title
	})
	if colour != waiting {
		t.kept("all three cards say “%s” and name %s", cardTitle(t.card(t.alice, mr).Card), name)
	}
}

// does has something done, and says so.
func (t *story) does(k kind, who, what string, f func()) {
	if t.err != nil {
		return
	}
	t.steps()
	t.journal.did(k, who, what)
	f()
	t.steps()
}

// say is a deed that is merely told.
func (t *story) say(who, what string) { t.does(deed, who, what, func() {}) }

// clicks has somebody press a button on a card as it was when m was read.
func (t *story) clicks(who person, m feishusim.Message, button, reason string) (answer feishusim.Answer) {
	if t.err != nil {
		return answer
	}
	b, found := buttonFor(m.Card, button)
	if !found {
		t.breaks(6, "the card of %s, “%s”, has no button to %s", who.Name, cardTitle(m.Card), button)
		return answer
	}
	what := fmt.Sprintf("presses “%s” on “%s”", b.Text, cardTitle(m.Card))
	var form map[string]string
	if reason != "" {
		form = map[string]string{"reason": reason}
		what += fmt.Sprintf(" and writes “%s”", reason)
	}
	t.does(deed, who.Name, what, func() {
		var err error
		var client *feishusim.ClientError // what the person sees then is no answer
		if answer, err = t.press(t.ctx, who, m.ID, cmp.Or(b.Name, b.Text), form, m.Card); err != nil && !errors.As(err, &client) {
			t.err = fmt.Errorf("%s cannot press: %w", who.Name, err)
		}
	})
	return answer
}

// check breaks the story unless something is so.
func (t *story) check(promise int, so bool, otherwise string, args ...any) {
	if !so {
		t.breaks(promise, otherwise, args...)
	}
}

func (t *story) breaks(promise int, why string, args ...any) {
	if t.err == nil {
		t.err = &Broken{promise, fmt.Sprintf(why, args...)}
	}
}

// until waits for what mrgate has promised to do.
func (t *story) until(promise int, what string, ok func() bool) {
	t.untilElse(promise, what, ok, nil)
}

// untilElse is until that says, if it waited in vain, what it is instead.
func (t *story) untilElse(promise int, what string, ok func() bool, is func() string) {
	for deadline := time.Now().Add(t.opts.Patience); t.err == nil; {
		if ok() {
			t.steps()
			return
		}
		switch {
		case t.err != nil:
		case time.Now().After(deadline) && is != nil:
			t.breaks(promise, "waited %s in vain until %s; %s", t.opts.Patience, what, is())
		case time.Now().After(deadline):
			t.breaks(promise, "waited %s in vain until %s", t.opts.Patience, what)
		default:
			t.err = t.pause(10 * time.Millisecond)
		}
	}
}

func (t *story) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}

// quiet waits until nothing is under way, so that the next scene begins with
// nothing of the last.
func (t *story) quiet() {
	since, calls := time.Now(), -1
	for deadline := time.Now().Add(2 * time.Second); t.err == nil && time.Now().Before(deadline); t.err = t.pause(10 * time.Millisecond) {
		if n := len(t.gitlab.Calls()) + len(t.feishu.Calls()) + len(t.gitlab.Deliveries()); n != calls {
			since, calls = time.Now(), n
		}
		if time.Since(since) > 80*time.Millisecond {
			break
		}
	}
	t.steps()
}

// steps prints what happened since.
func (t *story) steps() {
	t.journal.pull(t.ctx)
	if t.printed == nil {
		t.printed = map[string]bool{}
	}
	for _, s := range t.journal.all() {
		if !t.printed[s.ID] && s.Result != "" && !s.Sweep {
			t.printed[s.ID] = true
			t.out.step(s)
		}
	}
}

// kept says that something is as promised.
func (t *story) kept(what string, args ...any) {
	if t.err == nil {
		t.steps()
		t.out.kept(what, args...)
	}
}

func (t *story) mr(n int) gitlabsim.MergeRequest {
	if n == 0 { // it was never opened
		return gitlabsim.MergeRequest{}
	}
	return t.gitlab.MR(project, n)
}

// writes are the calls that changed something in GitLab, or tried to.
func (t *story) writes() []gitlabsim.Call {
	return slices.DeleteFunc(t.gitlab.Calls(), func(c gitlabsim.Call) bool {
		return c.Method == http.MethodGet || strings.HasSuffix(c.Path, "/graphql")
	})
}

// messages are those about a merge request that a person or group got, oldest first.
func (t *story) messages(to string, mr int) []feishusim.Message {
	return slices.DeleteFunc(t.feishu.Messages(), func(m feishusim.Message) bool {
		return receiver(m) != to || !strings.Contains(m.Card, reference(mr))
	})
}

func (t *story) count(to string, mr int) int { return len(t.messages(to, mr)) }

// about is the newest message about a merge request.
func (t *story) about(to string, mr int) feishusim.Message {
	all := t.messages(to, mr)
	if len(all) == 0 {
		return feishusim.Message{}
	}
	return all[len(all)-1]
}

func (t *story) card(who person, mr int) feishusim.Message { return t.about(who.ID, mr) }
func (t *story) group(mr int) feishusim.Message            { return t.about(groupID, mr) }

// newest is the newest message of all.
func (t *story) newest(who person) feishusim.Message {
	all := t.feishu.MessagesTo(who.ID)
	if len(all) == 0 {
		return feishusim.Message{}
	}
	return all[len(all)-1]
}

// reads is what somebody reads on a message.
func (t *story) reads(m feishusim.Message) string { return feishusim.PlainText(m.Card) }

func (t *story) colour(m feishusim.Message) string { return lookOf(m.Card).Template }

// asks says that a message has a button that decides.
func (t *story) asks(m feishusim.Message) bool {
	return slices.ContainsFunc(feishusim.Buttons(m.Card), func(b feishusim.Button) bool { return b.Callback })
}

// logged says that the log has an entry of this kind about a merge request.
func (t *story) logged(what string, mr int) bool {
	return slices.ContainsFunc(t.journal.all(), func(s step) bool {
		return s.Kind == entry && s.Word == what && s.About == fmt.Sprintf("!%d", mr)
	})
}

// reference is how a card names a merge request.
func reference(mr int) string { return fmt.Sprintf("%s !%d", projectPath, mr) }

func short(commit string) string { return commit[:min(8, len(commit))] }
