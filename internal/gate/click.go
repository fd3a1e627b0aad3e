package gate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// clickHold is how long a clicked card is left alone: Feishu refuses an update
// of a card whose click is not answered yet ("card action is lock"), or shows it
// and flips back.
const clickHold = time.Second

// Click judges a click from the database alone, commits what it means, and gives
// what to answer. It implements [ClickFunc].
func (g *Gate) Click(ctx context.Context, click Click) Answer {
	if answer, ok := Trial(click, g.words()); ok {
		return answer
	}
	defer g.rush.click()()
	var answer Answer
	var row int64
	rules := g.rules.Load()
	err := g.store.Change(ctx, By{Message: click.Key}, func(mr *MergeRequest) error {
		answer, row = mr.click(click, rules), mr.ID
		return nil
	})
	switch {
	case errors.Is(err, ErrNoRow) && click.Origin != nil:
		return g.adopt(ctx, click)
	case errors.Is(err, ErrNoRow):
		return g.unknownCard(click, "its card is none of this database")
	case err != nil:
		g.log.Error("a click was not recorded", "message", click.Key, "err", err)
		return Answer{Kind: AnswerError, Text: g.words().ToastNotRecorded()}
	}
	g.nudge(row)
	return answer
}

// click is what a click does to the row, and its answer. What it does not change,
// the log tells.
func (mr *MergeRequest) click(c Click, p *rules) Answer {
	r, m := mr.MessageByKey(c.Key)
	evidence := mr.evidence(r, m, c, p.words) // of before anything has changed
	answer := mr.press(r, m, c, evidence, p)
	if answer.Kind == AnswerError && answer.Why == "" {
		answer.Why = RefusedOther
	}
	if answer.Why != "" {
		mr.tell(r, ClickData{
			Person: c.By, Action: c.Action, Text: c.Text, At: mr.Now, Became: BecameRefused, Why: answer.Why, Said: answer.Text, Evidence: evidence,
		})
	}
	return answer
}

// press is what pressing a button does.
func (mr *MergeRequest) press(r *Request, m *Message, c Click, evidence Evidence, p *rules) Answer {
	w := p.words
	mr.expire()
	cur := mr.Current()
	switch {
	case (r == cur || c.Action == ActionAgain) && !p.minds(r.Dry):
		return Answer{Kind: AnswerError, Text: w.ToastPaused(), Why: RefusedDryRun}
	case r == cur && r.Dry != p.dry && r.State.Followed():
		mr.look() // which withdraws it
		return Answer{Kind: AnswerError, Text: w.ToastDryRunOver(), Why: RefusedDryRun}
	case c.Action == ActionAgain:
		return mr.pressAgain(r, m, c, evidence, w)
	}
	if r != cur {
		if !cur.isApprover(c.By.ID) {
			return Answer{Kind: AnswerInfo, Text: w.ToastSuperseded(), Why: RefusedSuperseded} // and nothing is written
		}
		if r.Head == cur.Head && r.Target == cur.Target && r.State != Superseded {
			return mr.answer(r, m, w, AnswerInfo, w.ToastNewer()).because(RefusedNewer)
		}
		// The card that the person sees is behind: show what it stands for now.
		if now := cur.message(m.Kind, m.To); now != nil && m.Ref == nil {
			if now.Ref == nil && !now.TriedAt.IsZero() {
				now.Ref = c.Ref
			}
			m, r = now, cur
		}
		return mr.answer(r, m, w, AnswerInfo, w.ToastSuperseded()).because(RefusedSuperseded)
	}
	if !m.is(c.Ref) && p.AdoptCards != policy.AdoptTrust {
		return mr.stranger(r, m, c, evidence, p.AdoptCards, w)
	}
	if m.Ref == nil {
		m.Ref = c.Ref
	}
	m.Said = ""
	verdict := Reject
	switch c.Action {
	case ActionApprove:
		verdict = Approve
	case ActionReject:
	case ActionRetry:
		return mr.retry(r, m, c, evidence, w)
	case ActionAgain, ActionView:
		fallthrough
	default:
		return Answer{Kind: AnswerError, Text: w.ToastUnknownCard()}
	}
	if kind, why, text := r.over(verdict, w); text != "" && r.decisionOf(c.By.ID) == nil {
		if !r.isApprover(c.By.ID) {
			return Answer{Kind: kind, Text: text, Why: why}
		}
		return mr.answer(r, m, w, kind, text).because(why)
	}
	if r.PolicyHash != p.hash {
		return mr.claim(r, m, c, evidence, p) // the rules have changed since the people were looked up
	}
	if why, text := r.refuse(c.By.ID, verdict, w); text != "" {
		return Answer{Kind: AnswerError, Text: text, Why: why}
	}
	if d := r.decisionOf(c.By.ID); d != nil {
		why, text := r.again(d, verdict, w)
		if why == RefusedRole {
			mr.look() // they may have it again, of which the forge tells nobody
			mr.arrive(true)
		}
		return mr.answer(r, m, w, AnswerInfo, text).because(why)
	}
	if verdict == Approve && r.Rule.RequireRole != "" {
		return mr.claim(r, m, c, evidence, p) // who has which role only the forge knows
	}
	if verdict == Reject && r.Rule.RequireReason && strings.TrimSpace(c.Text) == "" {
		return Answer{Kind: AnswerError, Text: w.ToastReasonMissing(), Why: RefusedReason}
	}
	mr.decide(r, &Decision{
		Person: c.By.ID, Name: r.nameOf(c.By), Verdict: verdict, Reason: c.Text, Via: viaCard, Shown: evidence.Shown, At: mr.Now,
	}, evidence)
	return mr.answer(r, m, w, AnswerOK, r.taken(verdict, w))
}

// claim has a click wait for a look: the database alone does not tell whether it
// counts.
func (mr *MergeRequest) claim(r *Request, m *Message, c Click, evidence Evidence, p *rules) Answer {
	w := p.words
	for _, claim := range mr.Claims {
		if claim.Message == m.Key && claim.Person.ID == c.By.ID {
			return Answer{Kind: AnswerInfo, Text: w.ToastChecking()} // the first one stands
		}
	}
	if len(mr.Claims) >= maxClaims {
		return Answer{Kind: AnswerError, Text: w.ToastUnavailable(), Why: RefusedCrowd}
	}
	claim := &Claim{
		Message: m.Key, Person: c.By, Action: c.Action, Reason: c.Text, At: mr.Now, Dry: p.dry, Evidence: evidence,
	}
	mr.Claims = append(mr.Claims, claim)
	mr.tell(r, claim.became(BecameChecking, "", w.ToastChecking()))
	mr.look()
	mr.ForgeAt = time.Time{} // a person waits: the forge is tried at once, also if it failed just now
	mr.arrive(true)
	m.NotBefore = mr.Now.Add(clickHold)
	return Answer{Kind: AnswerInfo, Text: w.ToastChecking()}
}

// is says that the clicked message is the one that was sent, or may have been: a
// sending whose answer was lost. The key alone does not say so, since whoever
// holds the app's secret can put it under any words.
func (m *Message) is(clicked *CardRef) bool {
	if clicked == nil || m.Ref == nil {
		return clicked == nil || !m.TriedAt.IsZero()
	}
	return m.Ref.Data == clicked.Data
}

// stranger answers a click on a message that has a key of ours, and is none that
// this listener sent: a job's, or a forged one. It becomes ours, and the person
// decides on what it then says.
func (mr *MergeRequest) stranger(r *Request, m *Message, c Click, evidence Evidence, adopt policy.AdoptMode, w *words.Words) Answer {
	if adopt == policy.AdoptRefuse {
		return Answer{Kind: AnswerError, Text: w.ToastUnknownCard(), Why: RefusedCard}
	}
	claim := &Claim{Person: c.By, Action: c.Action, Reason: c.Text, Ref: c.Ref, To: m.To, At: mr.Now, Evidence: evidence}
	own := mr.attach(r, claim)
	if own == nil {
		return Answer{Kind: AnswerError, Text: w.ToastUnknownCard(), Why: RefusedCard}
	}
	mr.tell(r, claim.became(BecameAdopted, "", w.ToastSuperseded()))
	mr.arrive(false)
	return mr.answer(r, own, w, AnswerInfo, w.ToastSuperseded())
}

// answer gives the text with the card as it now is, and notes that it shows that.
func (mr *MergeRequest) answer(r *Request, m *Message, w *words.Words, kind AnswerKind, text string) Answer {
	card := mr.face(r, m, w)
	held := m.NotBefore.After(mr.Now)
	if digest := card.Digest(); m.Shown != digest || held {
		m.Shown, m.Face = digest, r.progress()
		if m.Told != m.Face {
			mr.tellMessage(r, m, MessageAnswered)
		}
		// Where nothing else will change the card soon, it is shown once more, in
		// case that the answer does not arrive; and after two clicks in a row,
		// since nobody knows which of the answers arrives last.
		if r.State == Pending || r.State == Expired || r.State.Followed() && r.ends() || held {
			m.Shown, r.Settled = "", false
			mr.arrive(false)
		}
	}
	m.NotBefore = mr.Now.Add(clickHold)
	return Answer{Kind: kind, Text: text, Card: &card}
}

// over says that the request no longer takes this verdict, why, and in which
// words; "": it does. Until the merge a rejection is always taken.
func (r *Request) over(v Verdict, w *words.Words) (AnswerKind, Refusal, string) {
	switch r.State {
	case Pending:
		return "", "", ""
	case Approved, BlockedNow:
		if v == Reject && !r.ends() {
			return "", "", ""
		}
		return AnswerInfo, RefusedLate, r.somebodyWasFirst(Approve, w)
	case MergedHere:
		return AnswerInfo, RefusedLate, r.somebodyWasFirst(Approve, w)
	case Rejected, ClosedHere:
		return AnswerInfo, RefusedLate, r.somebodyWasFirst(Reject, w)
	case Expired:
		return AnswerInfo, RefusedExpired, w.ToastExpired()
	case Superseded:
		return AnswerInfo, RefusedSuperseded, w.ToastSuperseded()
	case Withdrawn:
		if r.Cause == CauseNoRule {
			return AnswerError, RefusedNoRule, w.ToastNoRule(r.Target)
		}
		if r.Cause == CauseDryRun {
			return AnswerInfo, RefusedDryRun, w.ToastDryRunOver()
		}
		return AnswerInfo, RefusedWithdrawn, w.ToastWithdrawn()
	}
	return AnswerError, RefusedOther, w.ToastUnknownCard()
}

func (r *Request) somebodyWasFirst(v Verdict, w *words.Words) string {
	for _, d := range slices.Backward(r.Decisions) {
		if d.Verdict == v && !d.Void {
			return w.ToastSomebodyFirst(d.Name, string(v), d.At)
		}
	}
	return w.ToastWithdrawn()
}

// taken is the answer to a verdict that counts.
func (r *Request) taken(v Verdict, w *words.Words) string {
	switch {
	case r.Dry:
		return w.ToastDryRun(v == Approve)
	case v == Reject:
		return w.ToastRejected(r.Rule.OnReject == policy.OnRejectClose)
	case r.State == Pending:
		return w.ToastApprovedMore(r.Rule.Required - len(r.approvals()))
	default:
		return w.ToastApproved(r.Rule.OnApprove == policy.OnApproveMerge)
	}
}

// refuse says why the person's verdict does not count, and in which words; "":
// it does.
func (r *Request) refuse(person string, v Verdict, w *words.Words) (Refusal, string) {
	if !r.isApprover(person) {
		return RefusedOutsider, w.ToastOutsider(r.Rule.Name)
	}
	if v == Reject {
		return "", ""
	}
	if why, text := r.refuseOwn(person, w); text != "" {
		return why, text
	}
	if r.Rule.RequireRole != "" && len(r.accountsOf(person)) == 0 {
		return RefusedRole, w.ToastAccountUnknown()
	}
	return "", ""
}

// again says why a verdict does not count of whom d is the decision, and in which
// words.
func (r *Request) again(d *Decision, v Verdict, w *words.Words) (Refusal, string) {
	if v == Approve && r.lostRole(d) {
		return RefusedRole, w.ToastRoleLost(string(r.Rule.RequireRole))
	}
	return RefusedAgain, w.ToastAgain(string(d.Verdict), d.Verdict == v)
}

// refuseOwn is refuse for an approval of what the person may have made.
func (r *Request) refuseOwn(person string, w *words.Words) (Refusal, string) {
	if r.Rule.AllowSelfApproval {
		return "", ""
	}
	switch bar := r.Panel.bars(person); bar.kind {
	case barAuthor:
		return RefusedAuthor, w.ToastAuthor()
	case barCommitter:
		return RefusedCommitter, w.ToastCommitter()
	case barUnsure:
		return RefusedUnsure, w.ToastAuthorUnknown(bar.username)
	case barNone:
	}
	return "", ""
}

// mayApprove says that an approval of the person counts.
func (r *Request) mayApprove(person string) bool {
	return r.isApprover(person) && (r.Rule.AllowSelfApproval || r.Panel.bars(person).kind == barNone)
}

func (r *Request) isApprover(person string) bool {
	return person != "" && slices.ContainsFunc(r.Panel.Approvers, func(m Member) bool { return m.ID == person })
}

// nameOf is the person's name, from the directory if it knows one.
func (r *Request) nameOf(p Person) string {
	for _, m := range r.Panel.Approvers {
		if m.ID == p.ID && m.Name != "" {
			return m.Name
		}
	}
	return p.Name
}

// retry has a blocked merge tried again, at once.
func (mr *MergeRequest) retry(r *Request, m *Message, c Click, evidence Evidence, w *words.Words) Answer {
	if !r.isApprover(c.By.ID) && (c.By.ID == "" || c.By.ID != r.Panel.Author.ID) {
		return Answer{Kind: AnswerError, Text: w.ToastOutsider(r.Rule.Name), Why: RefusedOutsider}
	}
	if r.State != BlockedNow {
		kind, why, text := r.over(Approve, w)
		switch r.State { //nolint:exhaustive // the others are over
		case Approved:
			kind, why, text = AnswerInfo, RefusedNeedless, w.ToastRetryNotNeeded()
		case Pending:
			kind, why, text = AnswerInfo, RefusedSuperseded, w.ToastSuperseded()
		}
		return mr.answer(r, m, w, kind, text).because(why)
	}
	mr.tell(r, ClickData{Person: c.By, Action: c.Action, At: mr.Now, Became: BecameRetry, Said: w.ToastRetry(), Evidence: evidence})
	if r.Blocked.Reason == ReasonAutoMergeCancelled {
		mr.move(r, EventUnblocked) // nothing else shows that it is wanted again
	}
	mr.LookAt, mr.ForgeAt = mr.Now, time.Time{}
	mr.arrive(true)
	m.NotBefore = mr.Now.Add(clickHold)
	return Answer{Kind: AnswerInfo, Text: w.ToastRetry()}
}

// decide adds a decision and moves the request, if it is enough.
func (mr *MergeRequest) decide(r *Request, d *Decision, evidence Evidence) {
	d.Entry = mr.record(r, EntryDecided, DecidedData{
		Person: d.Person, Name: d.Name, Verdict: d.Verdict, Reason: d.Reason, Via: d.Via, At: d.At,
		Head: r.Head, Target: r.Target, Rule: r.Rule.Name, Policy: r.PolicyHash, Dry: r.Dry, Evidence: evidence,
	})
	r.Decisions = append(r.Decisions, d)
	switch {
	case d.Verdict == Reject:
		mr.move(r, EventRejected)
	case r.State == Pending && r.enough():
		mr.move(r, EventApproved)
	}
	// A person waits: the forge is tried at once, also if it failed just now.
	mr.ForgeAt = time.Time{}
	if mr.LookAt.After(mr.Now) {
		mr.LookAt = mr.Now
	}
	mr.arrive(true)
}

// unknownCard answers a click on a card that no merge request is known of. The
// database says nothing of it; the process's log does, now and then.
func (g *Gate) unknownCard(c Click, why string) Answer {
	if unsaid, say := g.strangers.say(); say {
		g.log.Warn("a click on a card that is not known changed nothing", "why", why, "person", c.By.ID, "action", string(c.Action),
			"message", c.Key, "way", c.Way, "not_mentioned_before", unsaid)
	}
	return Answer{Kind: AnswerError, Text: g.words().ToastUnknownCard(), Why: RefusedCard}
}
