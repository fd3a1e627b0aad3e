package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// folded is text as it reads where there is one line only.
func folded(s string) string { return strings.Join(strings.Fields(s), " ") }

// readsAnywhere is everything that a person reads of a card: the card, the lock
// screen, and what the buttons ask.
func readsAnywhere(card string) string {
	text := []string{feishusim.PlainText(card), feishusim.Summary(card)}
	for _, b := range feishusim.Buttons(card) {
		text = append(text, b.ConfirmTitle, b.ConfirmText)
	}
	return strings.Join(text, "\n")
}

// Whatever people write arrives as what they wrote: it calls nobody, leads
// nowhere and is obeyed by nobody.
func TestHostileTextIsOnlyText(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"markup": "<at id=all></at> [x](https://evil.example) **b** \n/merge\n@all",
		"fences": "```\n/merge\n``````\n~~~\n/close @all\n</code> `/approve`\r/merge",
		"tricks": "&lt;at id=all&gt; ![x](http://evil.example) :OK: \\<at id=all>\n> /merge\n@all",
	}
	buttons := map[string]struct{ state, en, zh string }{
		"approve": {"merged", "Merged ·", "已合并 ·"},
		"reject":  {"closed", "Rejected ·", "已驳回 ·"},
	}
	for kind, hostile := range texts {
		for _, locale := range []string{"en", "zh"} {
			for button, end := range buttons {
				t.Run(fmt.Sprintf("%s, %s, %s", kind, locale, button), func(t *testing.T) {
					t.Parallel()
					policy := strings.NewReplacer("locale: en", "locale: "+locale, `["main", "release/*"]`, `["**"]`, "  bob:", "  mallory: bob@example.com\n  bob:").Replace(policyText)
					w := newWorld(t, withPolicy(policy))
					l := w.start()
					title := map[string]string{"en": end.en, "zh": end.zh}[locale]
					w.tellsHostile(l, hostile, button, title, end.state)
				})
			}
		}
	}
}

func (w *world) tellsHostile(l *listener, hostile, button, title, state string) {
	t := w.t
	t.Helper()
	// People can call themselves what they like, too.
	const name = "<at id=all></at> [x](http://evil.ex)"
	w.gitlab.AddUser(gitlabsim.User{Username: "mallory", Name: name})
	w.alice.Name = "**A** " + "<at id=all></at> /merge"
	w.alice = w.feishu.AddUser(w.alice)
	// A branch, a path and a title have one line where people see them.
	branch := folded(hostile)
	mr := w.open(func(mr *gitlabsim.MergeRequest) {
		mr.Author = "mallory"
		mr.Title, mr.Description = hostile, "It begins. "+hostile+"\nIt ends."
		mr.Source, mr.Target = "from "+branch, "to "+branch
		mr.Commits[0].Title = hostile
		mr.Files[0].Path = hostile
	})
	w.webhook(l, mr.IID, "open")
	w.card(w.alice)
	w.card(w.carol)
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
	w.readable("the card", w.newest(w.carol).Card, map[string]string{
		"title": folded(hostile), "source branch": "from " + branch, "target branch": "to " + branch,
		"commit's title": folded(hostile), "file": folded(hostile) + " +142", "author's name": name,
		"description's begin": "It begins.", "description's end": "It ends.",
	})
	w.readable("the author's notice", w.feishu.MessagesTo(w.bob.OpenID)[0].Card, map[string]string{"title": folded(hostile), "approver": w.alice.Name})

	w.click(l, w.alice, button, hostile)
	w.eventually("it is "+state, func() bool { return w.mr(mr.IID).State == state })
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+"'s card says so", func() bool { return w.shows(who, title) })
		w.readable("the final card", w.newest(who).Card, map[string]string{"reason": folded(hostile), "approver": w.alice.Name})
	}
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 2 })
	w.readable("the author's message", w.feishu.MessagesTo(w.bob.OpenID)[1].Card, map[string]string{"reason": folded(hostile), "approver": w.alice.Name})
	w.once(mr.IID)

	note := w.mr(mr.IID).Notes[0].Body
	w.fencedIn(note)
	for _, want := range []string{folded(hostile), w.alice.Name} {
		if !strings.Contains(note, want) {
			t.Errorf("the note lacks %q:\n%s", want, note)
		}
	}
	if now := w.mr(mr.IID); len(now.Commands) > 0 || len(now.Mentions) > 0 {
		t.Errorf("GitLab obeyed %q and mailed %q because of the note:\n%s", now.Commands, now.Mentions, note)
	}
	for _, m := range w.feishu.Messages() {
		if len(m.Mentions) > 0 {
			t.Errorf("%v were called", m.Mentions)
		}
		for _, s := range m.History {
			if err := feishusim.CheckCard(s.Card); err != nil {
				t.Errorf("Feishu refuses the card: %v", err)
			}
			if slices.ContainsFunc(feishusim.Links(s.Card), func(l string) bool { return !strings.HasPrefix(l, "https://gitlab.example.com/") }) {
				t.Errorf("a card leads to %q", feishusim.Links(s.Card))
			}
		}
	}
	if strings.Contains(l.log.String(), "\n/merge") || strings.Contains(l.log.String(), "\n@all") {
		t.Errorf("somebody's text makes lines in the log:\n%s", l.log)
	}
}

// readable demands that all the texts are read on the card as they are.
func (w *world) readable(what, card string, texts map[string]string) {
	w.t.Helper()
	read := folded(readsAnywhere(card))
	for which, text := range texts {
		if !strings.Contains(read, text) {
			w.t.Errorf("%s does not read %s %q:\n%s", what, which, text, readsAnywhere(card))
		}
	}
}

// fencedIn demands that a note is one code block whose lines all begin with a
// bar, and after it nothing but a comment that nobody sees.
func (w *world) fencedIn(note string) {
	w.t.Helper()
	lines := strings.Split(note, "\n")
	fence := strings.TrimRight(lines[0], "abcdefghijklmnopqrstuvwxyz")
	if len(fence) < 3 || strings.Trim(fence, "`") != "" {
		w.t.Fatalf("the note does not begin with a fence:\n%s", note)
	}
	end := slices.Index(lines, fence)
	if end < 2 {
		w.t.Fatalf("the note's fence does not end:\n%s", note)
	}
	for _, line := range lines[1:end] {
		if !strings.HasPrefix(line, "| ") {
			w.t.Errorf("a line of the note does not begin with a bar: %q\n%s", line, note)
		}
		if strings.Contains(line, fence) {
			w.t.Errorf("a line of the note ends its fence: %q\n%s", line, note)
		}
	}
	after := strings.TrimSpace(strings.Join(lines[end+1:], "\n"))
	if !strings.HasPrefix(after, "<!-- ") || !strings.HasSuffix(after, " -->") || strings.Count(after, "<!--") != 1 || strings.Contains(after, "\n") {
		w.t.Errorf("after the note's code block stands %q", after)
	}
}
