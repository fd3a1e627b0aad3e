package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// desk is where a visitor of the page acts: as the people in GitLab and Feishu,
// and as who runs the machine.
type desk struct {
	*world
	web *web

	mu       sync.Mutex
	opened   int                            // merge requests so far
	conflict map[int]bool                   // those in conflict with their target
	faults   map[string]func()              // what takes a fault back, by its name
	frozen   map[string][]feishusim.Message // what is on a screen that stands still, by the person
	tried    map[string]bool                // what the visitor has tried, by the hint
	dark     bool                           // the listener and GitLab were gone at once
}

// toast is what the page says after something was done.
type toast struct {
	Who  string `json:"who"` // who sees it; "": the visitor
	Text string `json:"text"`
	Tone string `json:"tone"` // as of a badge
}

func newDesk(w *world) (*desk, error) {
	d := &desk{
		world: w, conflict: map[int]bool{}, faults: map[string]func(){}, frozen: map[string][]feishusim.Message{}, tried: map[string]bool{},
	}
	var err error
	d.web, err = newWeb(d)
	return d, err
}

// draft is what a visitor may open.
type draft struct{ title, source, description string }

func drafts(locale string) []draft {
	if locale == "zh" {
		return []draft{
			{"支付回调失败时重试", "feature/retry", "网关偶尔超时，回调会丢。\n\n增加重试和幂等键。"},
			{"记录完整卡号", "feature/log-numbers", "便于排查哪些卡失败。"},
			{"金额按银行家舍入", "fix/rounding", "与银行一致。"},
			{"账本拆成独立的包", "chore/ledger", "行为不变。"},
			{"缓存汇率", "feature/rates", "每小时查一次，不再每笔查一次。"},
			{"提高退款上限", "feature/refunds", "已与财务确认。"},
		}
	}
	return []draft{
		{"Retry the payment callback", "feature/retry", "The gateway times out now and then, and callbacks get lost.\n\nAdds retries and an idempotency key."},
		{"Log every card number", "feature/log-numbers", "To find out which cards fail."},
		{"Round amounts half to even", "fix/rounding", "As the bank does."},
		{"Move the ledger to its own package", "chore/ledger", "No change in behaviour."},
		{"Cache exchange rates", "feature/rates", "One call an hour instead of one a payment."},
		{"Raise the limit for refunds", "feature/refunds", "As agreed with Finance."},
	}
}

// draft is what is proposed for the next merge request; mu is held.
func (d *desk) draft() draft {
	all := drafts(d.opts.Locale)
	return all[d.opened%len(all)]
}

// openFirst has something on the page when it is first seen.
func (d *desk) openFirst() { _ = d.open("", "main") }

// do does what a form of the page asks for.
func (d *desk) do(ctx context.Context, r *http.Request) (toast, error) {
	what, n := r.PostForm.Get("do"), 0
	if text := r.PostForm.Get("mr"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > d.count() {
			return toast{}, fmt.Errorf("there is no merge request !%s", text)
		}
	}
	switch {
	case what == "open":
		return toast{}, d.open(r.PostForm.Get("title"), r.PostForm.Get("target"))
	case n != 0:
		return toast{}, d.change(what, n, r.PostForm.Get("target"))
	}
	return d.disturb(ctx, what, r.PostForm.Get("person"))
}

func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened
}

// open has Bob open a merge request; without a title, the next of the drafts.
func (d *desk) open(title, target string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened >= 99 {
		return fmt.Errorf("99 merge requests are enough for one sandbox; start another one")
	}
	next := d.draft()
	if title = strings.TrimSpace(title); title != "" && title != next.title {
		next = draft{title: title, source: fmt.Sprintf("feature/%d", d.opened+1)}
	}
	if !slices.Contains(targets(), target) {
		target = "main"
	}
	mr := newMergeRequest(next.title, next.source, next.description)
	mr.Target, mr.HasPipeline = target, d.faults["pipelines"] != nil
	d.journal.did(deed, "Bob", fmt.Sprintf("opens !%d “%s”, from %s into %s", d.opened+1, next.title, next.source, target))
	d.opened = d.gitlab.Open(mr).IID
	if d.opened > 1 { // the first was there
		d.tried["open"] = true
	}
	return nil
}

// targets are the branches that a merge request can have for a target: one person
// may approve into the first, two have to into the second, and no rule covers the
// third.
func targets() []string { return []string{"main", "release/2.0", "playground"} }

// change is what people do to a merge request in GitLab.
func (d *desk) change(what string, n int, target string) error {
	gl, ref := d.gitlab, fmt.Sprintf("!%d", n)
	did := func(who, text string) { d.journal.did(deed, who, text) }
	d.mu.Lock()
	defer d.mu.Unlock()
	needs := "opened"
	if what == "reopen" {
		needs = "closed"
	}
	if state := gl.MR(project, n).State; state != needs { // pressed on a page that was drawn before
		return fmt.Errorf("%s is %s", ref, state)
	}
	switch what {
	case "push":
		did("Bob", "pushes one more commit to "+ref)
		gl.Push(project, n, commit("And cover the edge case"))
	case "conflict", "mend":
		d.conflict[n] = what == "conflict"
		if what == "conflict" {
			did("Carol", "pushes to "+gl.MR(project, n).Target+" what conflicts with "+ref)
		} else {
			did("Carol", "takes back on "+gl.MR(project, n).Target+" what conflicted with "+ref)
		}
		gl.SetConflict(project, n, d.conflict[n])
	case "running", "failed", "success":
		text := map[string]string{"running": "runs", "failed": "fails", "success": "passes"}[what]
		did("CI", "pipeline of "+ref+" "+text)
		gl.SetPipeline(project, n, what)
	case "retarget":
		if !slices.Contains(targets(), target) {
			return fmt.Errorf("there is no branch %q", target)
		}
		did("Bob", "has "+ref+" go into "+target)
		gl.Retarget(project, n, target)
	case "draft":
		did("Bob", "marks "+ref+" as a draft")
		gl.SetDraft(project, n, true)
	case "ready":
		did("Bob", "marks "+ref+" as ready")
		gl.SetDraft(project, n, false)
	case "close":
		did("Bob", "closes "+ref)
		gl.Close(project, n, "bob")
	case "reopen":
		did("Bob", "opens "+ref+" again")
		gl.Reopen(project, n, "bob")
	case "bypass":
		did("Carol", "merges "+ref+" in GitLab, past everybody")
		d.tried["bypass"] = true
		gl.MergeByHand(project, n, "carol")
	default:
		return fmt.Errorf("nobody can %q a merge request here", what)
	}
	return nil
}

// disturb is what happens to the machines, and to a person's screen.
func (d *desk) disturb(ctx context.Context, what, who string) (toast, error) {
	switch what {
	case "kill":
		d.journal.did(process, "You", "kill -9 the listener")
		d.listener.kill()
	case "start":
		d.journal.did(process, "You", "start the listener again")
		if err := d.listener.start(context.WithoutCancel(ctx)); err != nil { // it comes up also for a visitor who has left
			return toast{}, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.recovered()
	switch what {
	case "kill", "start":
	case "gitlab-down", "gitlab-up":
		d.fault("gitlab", what == "gitlab-down", func() func() {
			return d.gitlab.Inject(gitlabsim.Fault{Status: http.StatusBadGateway})
		})
		text := map[bool]string{true: "is down: it answers 502", false: "is up again"}[what == "gitlab-down"]
		d.journal.did(process, "GitLab", text)
	case "feishu-slow", "feishu-fast":
		d.fault("feishu", what == "feishu-slow", func() func() {
			return d.feishu.Inject(feishusim.Fault{Delay: 3 * time.Second})
		})
		text := map[bool]string{true: "takes three seconds to answer", false: "is fast again"}[what == "feishu-slow"]
		d.journal.did(process, "Feishu", text)
	case "pipelines-on", "pipelines-off":
		on := what == "pipelines-on"
		d.journal.did(deed, "Carol", map[bool]string{true: "has the project demand pipelines", false: "lets the project merge without pipelines"}[on])
		d.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.PipelinesMustSucceed, p.CI = on, on })
		delete(d.faults, "pipelines")
		if on {
			d.faults["pipelines"] = func() {}
		}
	case "freeze", "thaw":
		p, ok := d.person(who)
		if !ok {
			return toast{}, fmt.Errorf("there is nobody called %q", who)
		}
		delete(d.frozen, p.Name)
		if what == "freeze" {
			d.frozen[p.Name] = d.inbox(p)
		}
		d.journal.did(deed, p.Name, map[bool]string{true: "is in a lift: the screen stands still", false: "is back: the screen is up to date"}[what == "freeze"])
	default:
		return toast{}, fmt.Errorf("there is no button %q", what)
	}
	return toast{}, nil
}

// recovered notices that everything runs again after both sides were gone; mu is
// held.
func (d *desk) recovered() {
	alive, down := d.listener.alive(), d.faults["gitlab"] != nil
	d.dark = d.dark || !alive && down
	if d.dark && alive && !down {
		d.tried["kill"] = true
	}
}

// fault switches a fault on or off; mu is held.
func (d *desk) fault(name string, on bool, inject func() func()) {
	if remove := d.faults[name]; remove != nil {
		remove()
		delete(d.faults, name)
	}
	if on {
		d.faults[name] = inject()
	}
}

func (d *desk) try(hint string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried[hint] = true
}

func (d *desk) person(name string) (person, bool) {
	for _, p := range []person{d.alice, d.carol, d.bob, d.dave} {
		if p.Name == name {
			return p, true
		}
	}
	return person{}, false
}

// inbox is what somebody finds in Feishu, oldest first. The group's messages
// stand with Dave, who has no others.
func (d *desk) inbox(p person) []feishusim.Message {
	if p == d.dave {
		return d.feishu.MessagesIn(groupID)
	}
	return d.feishu.MessagesTo(p.ID)
}

// screen is what is on somebody's screen, which may stand still.
func (d *desk) screen(p person) (messages []feishusim.Message, frozen bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if kept, ok := d.frozen[p.Name]; ok {
		return kept, true
	}
	return d.inbox(p), false
}

// click is what a button of a card asks for. seen is how many versions the card
// had had when it was drawn.
func (d *desk) click(ctx context.Context, press cardPress, seen int) (toast, error) {
	who, ok := d.person(press.Person)
	if !ok {
		return toast{}, fmt.Errorf("there is nobody called %q", press.Person)
	}
	inbox := d.inbox(who)
	i := slices.IndexFunc(inbox, func(m feishusim.Message) bool { return m.ID == press.Message })
	if i < 0 {
		return toast{}, fmt.Errorf("%s has no such card", who.Name)
	}
	m := inbox[i]
	if seen < 1 || seen > len(m.History) {
		return toast{}, fmt.Errorf("that card was never shown")
	}
	card := m.History[seen-1].Card
	label := press.Button
	for _, b := range feishusim.Buttons(card) {
		if b.Name == press.Button {
			label = b.Text
		}
	}
	what := fmt.Sprintf("presses “%s” on “%s”", label, cardTitle(card))
	if said := press.Form["reason"]; said != "" {
		what += fmt.Sprintf(" and writes “%s”", said)
	}
	d.journal.did(deed, who.Name, what)
	answer, err := d.press(ctx, who, m.ID, press.Button, press.Form, card)
	var client *feishusim.ClientError
	switch {
	case errors.As(err, &client):
		return toast{who.Name, fmt.Sprintf("Feishu: error code %d. The listener does not answer; nothing was recorded", client.Code), "stop"}, nil
	case err != nil:
		return toast{}, err
	}
	d.learn(who, press, answer, card != m.Card)
	if answer.Toast == nil {
		return toast{}, nil
	}
	return toast{who.Name, answer.Toast.Content, map[string]string{"success": "done", "error": "stop", "warning": "wait"}[answer.Toast.Type]}, nil
}

// learn remembers what the visitor has tried.
func (d *desk) learn(who person, press cardPress, answer feishusim.Answer, stale bool) {
	action, _ := press.Value["a"].(string)
	taken := answer.Toast != nil && answer.Toast.Type != "error"
	switch {
	case who == d.dave && !taken:
		d.try("outsider")
	case stale:
		d.try("stale")
	case action == "reject" && taken:
		d.try("reject")
	case action == "approve" && taken:
		d.try("approve")
	case action == "retry" && taken:
		d.try("retry")
	}
}
