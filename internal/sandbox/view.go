package sandbox

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// view is all that the page shows.
type view struct {
	Said *toast // after a form without a script

	Up, Down, Slow, Pipelines bool   // the listener, GitLab, Feishu, and whether the project demands pipelines
	OwnPage                   string // the address of the listener's own page
	Targets                   []string
	Title                     string // proposed for the next merge request

	MRs    []mrView
	Phones []phone
	Acts   []act
	Hints  []hint
}

// mrView is a merge request in GitLab.
type mrView struct {
	gitlabsim.MergeRequest
	Tone     string
	Word     string // its state
	Conflict bool
	Targets  []string // it could go into
	Open     bool
	Facts    []string
	Note     string // the bot's
}

// phone is what somebody sees in Feishu.
type phone struct {
	Name, Role string
	Frozen     bool
	Newest     string     // what the newest card says first
	Tone       string     // of that
	Cards      []cardView // newest first
	Older      []cardView
}

// cardView is a message.
type cardView struct {
	Key  string
	At   time.Time
	HTML template.HTML
}

// act is what somebody did, and all that followed.
type act struct {
	Key     string
	At      time.Time
	Who     string
	What    string
	Machine bool // it was done to a machine
	Steps   []step
	Sweeps  int // calls that looked for what mrgate was not told, and found nothing
}

// hint is something to try.
type hint struct {
	Key, Text string
	Done      bool
}

const (
	shownCards = 2  // of a person, at once
	shownActs  = 25 // the newest
)

func (d *desk) view() view {
	d.mu.Lock()
	v := view{
		Up: d.listener.alive(), Down: d.faults["gitlab"] != nil, Slow: d.faults["feishu"] != nil, Pipelines: d.faults["pipelines"] != nil,
		OwnPage: d.listener.ownPage(), Targets: targets(), Title: d.draft().title,
	}
	opened := d.opened
	for _, h := range hints() {
		h.Done = d.tried[h.Key]
		v.Hints = append(v.Hints, h)
	}
	d.mu.Unlock()
	for n := opened; n > 0; n-- {
		v.MRs = append(v.MRs, d.mrView(n))
	}
	for i, p := range []person{d.alice, d.carol, d.bob, d.dave} {
		v.Phones = append(v.Phones, d.phone(p, roles()[i]))
	}
	v.Acts = acts(d.journal.all())
	return v
}

// roles are what the four may do.
func roles() []string {
	return []string{"may approve", "may approve", "author", "only in the group"}
}

// hints are what a visitor should try, in this order.
func hints() []hint {
	return []hint{
		{Key: "approve", Text: "Approve !1 on Alice’s card, and watch all cards."},
		{Key: "open", Text: "Open another merge request."},
		{Key: "reject", Text: "Reject it as Carol, with a reason."},
		{Key: "outsider", Text: "Approve something as Dave, who may not."},
		{Key: "stale", Text: "Hold Alice’s screen still, push a commit, and press her old card."},
		{Key: "retry", Text: "Make a conflict, approve, mend it on the target, and press Retry."},
		{Key: "kill", Text: "Take GitLab down, approve, kill the listener; then bring both back."},
		{Key: "bypass", Text: "Merge in GitLab, past everybody."},
	}
}

func (d *desk) mrView(n int) mrView {
	mr := d.gitlab.MR(project, n)
	d.mu.Lock()
	v := mrView{MergeRequest: mr, Word: mr.State, Open: mr.State == "opened", Conflict: d.conflict[n]}
	d.mu.Unlock()
	v.Tone = map[string]string{"opened": "wait", "merged": "done", "closed": "stop"}[mr.State]
	if v.Open && mr.Draft {
		v.Word, v.Tone = "draft", "gone"
	}
	for _, t := range targets() {
		if t != mr.Target {
			v.Targets = append(v.Targets, t)
		}
	}
	say := func(so bool, words, rest string) {
		if so {
			v.Facts = append(v.Facts, strings.TrimSpace(d.web.words(words)+" "+rest))
		}
	}
	say(v.Open && v.Conflict, "conflicts with", mr.Target)
	if mr.Pipeline != nil {
		say(true, "pipeline", mr.Pipeline.Status)
	}
	say(v.Open && mr.AutoMerge, "auto-merge is set", "")
	say(len(mr.ApprovedBy) > 0, "approved by", strings.Join(mr.ApprovedBy, ", "))
	say(mr.MergedBy != "", "merged by", mr.MergedBy)
	say(mr.State == "closed" && mr.ClosedBy != "", "closed by", mr.ClosedBy)
	if len(mr.Notes) > 0 {
		v.Note = mr.Notes[len(mr.Notes)-1].Body
	}
	return v
}

func (d *desk) phone(p person, role string) phone {
	messages, frozen := d.screen(p)
	f := phone{Name: p.Name, Role: role, Frozen: frozen}
	for _, m := range slices.Backward(messages) {
		if f.Newest == "" {
			newest := lookOf(m.Card)
			f.Newest, f.Tone = strings.Replace(newest.Title, projectPath+" ", "", 1), tones()[newest.Template]
		}
		c := cardView{Key: p.Name + "-" + m.ID, At: m.CreatedAt, HTML: d.draw(p, m)}
		if len(f.Cards) < shownCards {
			f.Cards = append(f.Cards, c)
		} else {
			f.Older = append(f.Older, c)
		}
	}
	return f
}

// tones are those of the page for the colours of cards.
func tones() map[string]string {
	return map[string]string{waiting: "wait", merging: "go", done: "done", rejected: "stop", blocked: "stop", "purple": "stop", "grey": "gone"}
}

// draw draws a message as somebody sees it.
func (d *desk) draw(p person, m feishusim.Message) template.HTML {
	drawn, err := drawCard([]byte(m.Card), cardClick{
		Action: fmt.Sprintf("/press?seen=%d", len(m.History)), Message: m.ID, Person: p.Name,
	})
	if err != nil {
		return template.HTML(template.HTMLEscapeString(err.Error())) //nolint:gosec // escaped
	}
	return drawn
}

// acts groups steps by what set them off, the newest first.
func acts(steps []step) []act {
	groups := []act{{Key: "start", Who: "mrgate", What: "starts", Machine: true}}
	for _, s := range steps {
		last := &groups[len(groups)-1]
		switch {
		case s.Kind == deed || s.Kind == process:
			groups = append(groups, act{Key: s.ID, At: s.At, Who: s.From, What: s.What, Machine: s.Kind == process})
		case s.Sweep && !s.Bad:
			last.Sweeps++
		default:
			last.Steps = append(last.Steps, s)
		}
	}
	slices.Reverse(groups)
	return groups[:min(len(groups), shownActs)]
}
