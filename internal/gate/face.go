package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// How much a card lists; what others wrote is cut by words.
const (
	faceFiles   = 8
	faceCommits = 5
	faceSaid    = 5 // comments, and approvals that lapsed
	faceSummary = 160
)

// face gives the card that message m of request r should show now. It depends on
// nothing that moves by itself, such as the clock or a count of attempts: each
// change of a card is a call, and a company has few of these a month.
func (mr *MergeRequest) face(r *Request, m *Message, w *words.Words) Card {
	f := newFacing(mr, r, m, w)
	c := Card{Key: m.Key, Subtitle: words.Title(f.s.Title), Link: f.s.URL}
	c.Tone, c.Title, c.Status = f.state()
	switch {
	case m.Kind == KindNotice:
		f.notice(&c)
	case m.Kind == KindResult:
		f.result(&c)
	case m.Kind.isStuck():
		f.result(&c)
		f.mends(&c)
	default:
		f.card(&c)
	}
	if m.Said != "" {
		c.Status = append(c.Status, words.Plain(m.Said))
	}
	if r.Dry {
		c.Facts = slices.Insert(c.Facts, 0, words.Plain(w.DryRun()))
		c.Summary = w.SummaryDryRun(c.Summary)
	}
	return c
}

// progress is the state and the count of approvals that a card shows.
func (r *Request) progress() string {
	s := fmt.Sprintf("%s %d/%d", r.State, len(r.approvals()), r.Rule.Required)
	if r.State == BlockedNow {
		s += " " + r.Blocked.Reason
	}
	if r.Scheduled {
		s += " scheduled"
	}
	if r.Cause != "" {
		s += " " + string(r.Cause)
	}
	return s
}

// approvals are the approvals that count, one a person.
func (r *Request) approvals() []*Decision {
	var list []*Decision
	for _, d := range r.Decisions {
		if d.Verdict == Approve && !d.Void && !slices.ContainsFunc(list, func(o *Decision) bool { return o.Person == d.Person }) {
			list = append(list, d)
		}
	}
	return list
}

// rejection is the one that counts; nil: there is none.
func (r *Request) rejection() *Decision {
	for _, d := range slices.Backward(r.Decisions) {
		if d.Verdict == Reject && !d.Void {
			return d
		}
	}
	return nil
}

// facing is what a face is made from.
type facing struct {
	mr *MergeRequest
	r  *Request
	m  *Message
	w  *words.Words
	s  *Snapshot

	ref    string
	author string // "": not known
	gave   []*Decision
	names  []string // of those who approved
	need   int
}

func newFacing(mr *MergeRequest, r *Request, m *Message, w *words.Words) *facing {
	f := &facing{mr: mr, r: r, m: m, w: w.Near(r.OpenedAt), s: mr.Snapshot, gave: r.approvals(), need: max(1, r.Rule.Required)}
	if f.s == nil {
		f.s = &Snapshot{}
	}
	f.ref = words.Ref(f.s.Path, mr.Ref.Number)
	if f.s.Author.Name != "" || f.s.Author.Username != "" {
		f.author = f.w.Author(f.s.Author.Name, f.s.Author.Username)
	}
	for _, d := range f.gave {
		f.names = append(f.names, f.nameOf(d))
	}
	return f
}

func (f *facing) nameOf(d *Decision) string {
	if d.Via == viaOperator {
		return f.w.OperatorName(d.Name)
	}
	return d.Name
}

// merges and closes say what follows from a verdict.
func (f *facing) merges() bool { return f.r.Rule.OnApprove != policy.OnApproveApprove }
func (f *facing) closes() bool { return f.r.Rule.OnReject != policy.OnRejectComment }

// live says that something can still be decided or done.
func (f *facing) live() bool { return f.r.State.Open() && !f.r.ends() }

// updated says that the message stood for another commit or target before.
func (f *facing) updated() bool { return f.r.Seq > 1 && !f.m.PushAt.IsZero() }

func (f *facing) block() words.Block { return f.mr.Block(f.r, f.w) }

// card is what approvers see.
func (f *facing) card(c *Card) {
	f.facts(c)
	if f.live() {
		c.Quote = words.Description(f.s.Description)
		f.details(c)
	}
	f.actions(c)
	f.foot(c)
	c.Summary = f.w.Summary(c.Title, f.s.Title)
	if f.approves() && !f.m.To.Group {
		size := ""
		if n := f.size(); n != nil {
			size = f.w.SummarySize(n.Files, n.Additions, n.Deletions)
		}
		c.Summary = f.w.SummaryPending(f.ref, f.s.Title, f.shortAuthor(), size)
	}
}

// shortAuthor is for the lock screen; the card itself shows the username as well.
func (f *facing) shortAuthor() string {
	if f.author == "" || f.s.Author.Name == "" {
		return f.author
	}
	return f.w.Author(f.s.Author.Name, "")
}

func (f *facing) foot(c *Card) {
	var expires time.Time
	if f.live() {
		expires = f.r.ExpiresAt
	}
	c.Foot = f.w.Foot(f.r.Rule.Name, string(f.r.Head), expires)
}

// contents are those of the request's commit; nil: not known.
func (f *facing) contents() *Contents {
	if c := f.mr.Contents; c != nil && c.Head == f.r.Head {
		return c
	}
	return nil
}

func (f *facing) size() *Size {
	if c := f.contents(); c != nil {
		return c.Size
	}
	return nil
}

// facts are what mrgate vouches for. What would grow stale (the pipeline) has a
// time, and stands there only as long as somebody decides by it.
func (f *facing) facts(c *Card) {
	if b := f.r.Before; b != nil && f.r.State == Pending {
		name := b.Name
		if b.Operator {
			name = f.w.OperatorName(name)
		}
		c.Facts = append(c.Facts, words.Text{{Text: f.w.RejectedBefore(name, b.Reason), Mood: words.Bad}})
	}
	c.Facts = append(c.Facts, f.w.Asks(f.author, f.s.Source, f.r.Target, !f.live()))
	if f.author == "" && f.mr.starter != "" {
		c.Facts = append(c.Facts, words.Plain(f.w.Started(f.mr.starter)))
	}
	if n := f.size(); n != nil {
		c.Facts = append(c.Facts, words.Plain(f.w.Size(n.Files, n.Additions, n.Deletions, n.Commits)))
	}
	if f.s.Fork {
		c.Facts = append(c.Facts, words.Text{{Text: f.w.Fork(), Mood: words.Bad}})
	}
	if p := f.r.Pipeline; p != nil && f.r.State == Pending {
		c.Facts = append(c.Facts, f.w.Pipeline(p.ID, p.Status, f.r.OpenedAt))
	}
}

func (f *facing) details(c *Card) {
	all := f.contents()
	if all == nil {
		return
	}
	if n := len(all.Files); n > 0 {
		var lines []string
		for _, file := range all.Files[:min(n, faceFiles)] {
			lines = append(lines, words.File(file.Path, file.Additions, file.Deletions))
		}
		if all.Size != nil {
			n = max(n, all.Size.Files)
		}
		if n > len(lines) {
			lines = append(lines, f.w.MoreFiles(n))
		}
		c.Details = append(c.Details, Detail{Title: f.w.Files(), Lines: lines})
	}
	if n := len(all.Commits); n > 0 {
		var lines []string
		for _, commit := range latestCommits(all.Commits, f.r.Head) {
			lines = append(lines, words.Commit(string(commit.ID), commit.Title))
		}
		if all.Size != nil {
			n = max(n, all.Size.Commits)
		}
		if n > len(lines) {
			lines = append(lines, f.w.MoreCommits(n))
		}
		c.Details = append(c.Details, Detail{Title: f.w.Commits(), Lines: lines})
	}
}

// latestCommits gives the last few commits, the newest first, in whichever order
// the forge lists them: the head is at one end.
func latestCommits(all []CommitTitle, head CommitID) []CommitTitle {
	list := slices.Clone(all)
	if n := len(list); list[n-1].ID == head {
		slices.Reverse(list)
	}
	return list[:min(len(list), faceCommits)]
}

// canDecide says that a verdict from whom the message went to would be taken.
func (f *facing) canDecide() bool {
	if f.m.To.Group {
		return true
	}
	return f.isAsked() && f.r.decisionOf(f.m.To.ID) == nil
}

// isAsked says that the recipient is an approver. Where nobody is known to be one
// (a card that a pipeline sent by itself), everybody who gets a card is.
func (f *facing) isAsked() bool {
	return f.m.To.Group || len(f.r.Panel.Approvers) == 0 || f.r.isApprover(f.m.To.ID)
}

// bar is why the recipient may not approve.
func (f *facing) bar() barKind {
	if f.r.Rule.AllowSelfApproval {
		return barNone
	}
	if f.m.To.Group {
		// Some in the group may be told from the author, others not.
		for _, a := range f.r.Panel.Approvers {
			if len(f.r.Panel.Unsure) > 0 && !slices.Contains(f.r.Panel.Told, a.ID) {
				return barUnsure
			}
		}
		return barNone
	}
	return f.r.Panel.bars(f.m.To.ID).kind
}

// approves says that the recipient is offered to approve. Who cannot be told from
// the author is: that may be cleared up any time, and the answer says how.
func (f *facing) approves() bool {
	return f.r.State == Pending && f.canDecide() && f.bar() != barAuthor && f.bar() != barCommitter
}

// actions are what the recipient can do now. Until the merge a rejection still
// stops it, so those who have not decided keep that button.
func (f *facing) actions(c *Card) {
	rejects := f.live() && f.canDecide()
	if f.approves() {
		c.Actions = append(c.Actions, f.approve())
	}
	if f.r.State == BlockedNow && f.isAsked() {
		c.Actions = append(c.Actions, Action{ID: ActionRetry, Label: f.w.ButtonRetry(), Style: StylePrimary})
	}
	if rejects {
		c.Input = &Input{Label: f.w.Comment(f.r.Rule.RequireReason)}
		c.Actions = append(c.Actions, f.reject())
	}
	if f.s.URL != "" {
		c.Actions = append(c.Actions, Action{ID: ActionView, Label: f.w.ButtonView(), URL: strings.TrimRight(f.s.URL, "/") + "/diffs"})
	}
	f.pipeline(c)
}

// pipeline is the way to the pipeline that blocks the merge.
func (f *facing) pipeline(c *Card) {
	if p := f.s.Pipeline; f.r.State == BlockedNow && f.r.Blocked.Reason == ReasonCIMustPass && p != nil && p.URL != "" && f.s.Head == f.r.Head {
		c.Actions = append(c.Actions, Action{ID: ActionView, Label: f.w.ButtonPipeline(p.ID), URL: p.URL})
	}
}

// mends adds what the author can do about a block.
func (f *facing) mends(c *Card) {
	if f.r.State == BlockedNow {
		c.Actions = append([]Action{{ID: ActionRetry, Label: f.w.ButtonRetry(), Style: StylePrimary}}, c.Actions...)
	}
	f.pipeline(c)
}

// approve is labelled with what follows: where others have to approve as well,
// this approval merges nothing.
func (f *facing) approve() Action {
	more := f.need - len(f.gave) - 1
	merge := f.merges() && more <= 0
	text := f.w.ConfirmOnly(string(f.r.Head))
	switch {
	case merge:
		text = f.w.ConfirmMerge(string(f.r.Head), f.r.Target)
	case more > 0:
		text = f.w.ConfirmPart(string(f.r.Head), more)
	}
	if f.r.Dry {
		text = f.w.DryRun()
	}
	return Action{
		ID: ActionApprove, Label: f.w.ButtonApprove(merge), Style: StylePrimary,
		Confirm: &Confirm{Title: f.w.ConfirmApprove(merge, f.ref), Text: text},
	}
}

func (f *facing) reject() Action {
	told := ""
	if f.r.Panel.Author.ID != "" {
		told = f.w.Author(f.s.Author.Name, f.s.Author.Username)
	}
	text := f.w.ConfirmRejected(f.closes(), told)
	if f.r.Dry {
		text = f.w.DryRun()
	}
	return Action{
		ID: ActionReject, Label: f.w.ButtonReject(f.closes()), Style: StyleDanger,
		Confirm: &Confirm{Title: f.w.ConfirmReject(f.closes(), f.ref), Text: text},
	}
}

// state gives colour, title and the lines that say where the request stands.
func (f *facing) state() (Tone, string, []words.Text) {
	r, w, ref := f.r, f.w, f.ref
	head := string(r.Head)
	switch {
	case f.mr.wentAround(r):
		return TonePurple, w.TitleMergedThere(ref), f.lines(f.mergedThere(), f.rejectedBy(), f.approvedBy())
	case f.closedSince():
		return ToneGrey, w.TitleClosed(ref), f.lines(w.ClosedThere(f.s.ClosedBy.Name), f.rejectedBy(), f.approvedBy())
	}
	switch r.State {
	case Pending:
		return f.pending()
	case Approved:
		return f.approved()
	case BlockedNow:
		if r.Blocked.Reason == ReasonNotPermitted || r.Blocked.Reason == ReasonMayNotApprove {
			return ToneRed, w.TitleAdmin(ref), f.lines(w.Refused(f.block()), f.approvedBy())
		}
		return ToneOrange, w.TitleBlocked(ref), f.lines(w.BlockedHow(f.block()), f.approvedBy())
	case MergedHere:
		return ToneGreen, w.TitleMerged(ref), f.lines(w.Merged(f.names, r.Target, r.EndedAt), f.rejectedBy())
	case Rejected, ClosedHere:
		return f.rejected()
	case Expired:
		return ToneGrey, w.TitleExpired(ref), f.lines(f.expired())
	case Superseded:
		var title, line string
		switch r.Cause {
		case CauseRetarget:
			title, line = w.TitleRetargeted(ref), w.Retargeted(r.Target, f.s.Target)
		case CauseDraft:
			title, line = w.TitleDraft(ref), w.Draft()
		case CauseReopened:
			title, line = w.TitleReopened(ref), w.Reopened()
		default:
			title, line = w.TitleOutdated(ref), w.Outdated(f.newer())
		}
		return ToneGrey, title, f.lines(line, f.rejectedBy(), f.approvedBy())
	case Withdrawn:
		title, line := w.TitleClosed(ref), w.ClosedThere(f.s.ClosedBy.Name)
		switch r.Cause { //nolint:exhaustive // the others supersede, or went around the gate
		case CauseNoRule:
			title, line = w.TitleNoRule(ref), w.NoRule(r.Target)
		case CauseDryRun:
			title, line = w.TitleDryRunOver(ref), w.DryRunOver()
		}
		return ToneGrey, title, f.lines(line, f.rejectedBy(), f.approvedBy())
	}
	return ToneGrey, w.TitleOutdated(ref), f.lines(w.Outdated(head, false))
}

func (f *facing) mergedThere() string {
	who := f.s.MergedBy.Name
	switch f.mr.Landing.Around {
	case BypassCommit:
		return f.w.MergedThereAs(who, string(f.s.Head))
	case BypassTarget:
		return f.w.MergedThereInto(who, f.s.Target)
	case BypassEarly:
		return f.w.MergedThereBefore(who)
	case BypassUnasked, BypassUndecided, BypassRejected, BypassExpired, BypassDryRun:
	}
	return f.w.MergedThere(who)
}

// closedSince says that the merge request was closed after the last request had
// ended in a way that left it open.
func (f *facing) closedSince() bool {
	left := f.r.State == Expired || f.r.State == Superseded && f.r.Cause == CauseDraft
	return left && f.r == f.mr.Current() && f.s.State == ForgeClosed
}

// lines are those that are not empty, and what operators and approvers said.
func (f *facing) lines(own ...string) []words.Text {
	var list []words.Text
	for _, s := range own {
		if s != "" {
			list = append(list, words.Plain(s))
		}
	}
	said := 0
	for _, d := range f.r.Decisions {
		switch {
		case d.Void || said == faceSaid:
			continue
		case d.Via == viaOperator:
			list = append(list, words.Plain(f.w.Operator(d.Name, d.Verdict == Approve, d.Reason)))
		case d.Verdict == Approve && words.Reason(d.Reason) != "":
			list = append(list, words.Plain(f.w.Said(d.Name, d.Reason)))
		default:
			continue
		}
		said++
	}
	return list
}

// approvedBy says who approved which commit; "": nobody.
func (f *facing) approvedBy() string {
	if len(f.gave) == 0 {
		return ""
	}
	return f.w.Approved(f.names, string(f.r.Head), f.gave[len(f.gave)-1].At)
}

// rejectedBy says who had rejected and why; "": nobody.
func (f *facing) rejectedBy() string {
	d := f.r.rejection()
	if d == nil {
		return ""
	}
	return f.w.RejectedBefore(f.nameOf(d), d.Reason)
}

func (f *facing) pending() (Tone, string, []words.Text) {
	w, n := f.w, len(f.gave)
	title := w.TitlePending(f.ref)
	if f.updated() {
		title = w.TitleUpdated(f.ref)
	}
	var quorum, updated, barred string
	switch {
	case n > 0:
		title = w.TitlePart(n, f.need, f.ref)
		quorum = w.Part(f.names, max(1, f.need-n))
	case f.need > 1:
		quorum = w.Needs(f.need, 0, nil)
	}
	if f.updated() {
		updated = w.Updated(string(f.r.Head), f.r.Target)
	}
	if f.canDecide() {
		switch f.bar() {
		case barAuthor:
			barred = w.BarredAuthor()
		case barCommitter:
			barred = w.BarredCommitter()
		case barUnsure:
			barred = w.Unsure(f.r.Panel.Unsure)
		case barNone:
		}
	}
	own := []string{updated, quorum, barred}
	for _, d := range f.r.Decisions {
		if d.Void && d.Verdict == Approve && len(own) < 3+faceSaid {
			if f.r.lostRole(d) {
				own = append(own, w.LapsedRole(f.nameOf(d), string(f.r.Rule.RequireRole)))
				continue
			}
			own = append(own, w.Lapsed(f.nameOf(d)))
		}
	}
	return ToneBlue, title, f.lines(own...)
}

func (f *facing) approved() (Tone, string, []words.Text) {
	r, w, ref := f.r, f.w, f.ref
	// The attempts are not counted on the card: each would be a change of it.
	waits := f.mr.Tries > 0
	switch {
	case r.Dry:
		return ToneGreen, w.TitleApproved(ref), f.lines(f.approvedBy(), f.wouldNow())
	case !f.merges() && waits && !r.Approve.done():
		return ToneTurquoise, w.TitleGitLab(ref), f.lines(f.approvedBy(), w.AwaitsGitLab(false))
	case !f.merges():
		return ToneGreen, w.TitleApproved(ref), f.lines(w.MergeThere(f.names))
	case r.Scheduled, f.s.Merging.Class == MergeCI && f.s.Head == r.Head:
		return ToneTurquoise, w.TitlePipeline(ref), f.lines(f.approvedBy(), w.AwaitsPipeline())
	case waits:
		return ToneTurquoise, w.TitleGitLab(ref), f.lines(f.approvedBy(), w.AwaitsGitLab(true))
	}
	return ToneTurquoise, w.TitleMerging(ref), f.lines(f.approvedBy(), w.Merging())
}

func (f *facing) rejected() (Tone, string, []words.Text) {
	w := f.w
	var name, reason string
	if d := f.r.rejection(); d != nil {
		name, reason = f.nameOf(d), d.Reason
	}
	switch {
	case f.r.Dry && f.r.State == Rejected && f.closes():
		return ToneRed, w.TitleRejected(f.ref), f.lines(w.RejectedClosing(name, reason), f.approvedBy(), f.wouldNow())
	case f.r.Dry && f.r.State == Rejected:
		return ToneRed, w.TitleSentBack(f.ref), f.lines(w.RejectedClosing(name, reason), f.approvedBy(), f.wouldNow())
	case f.r.State == ClosedHere:
		return ToneRed, w.TitleRejected(f.ref), f.lines(w.RejectedClosed(name, reason), f.approvedBy())
	case f.closes():
		return ToneRed, w.TitleClosing(f.ref), f.lines(w.RejectedClosing(name, reason), f.approvedBy())
	}
	return ToneRed, w.TitleSentBack(f.ref), f.lines(w.RejectedOpen(name, reason), f.approvedBy())
}

// wouldNow says what would follow the decision if it were no dry run.
func (f *facing) wouldNow() string {
	if f.r.State == Approved {
		return f.w.WouldNow(true, f.merges(), f.r.Target)
	}
	return f.w.WouldNow(false, f.closes(), f.r.Target)
}

// waited is how long the request was open.
func (f *facing) waited() time.Duration { return f.r.ExpiresAt.Sub(f.r.OpenedAt) }

func (f *facing) expired() string {
	switch n := len(f.gave); {
	case n == 0:
		return f.w.Expired(f.waited())
	case f.r.DecidedAt.IsZero():
		return f.w.ExpiredPart(f.names, f.need, f.waited())
	}
	return f.w.ExpiredApproved(f.names, f.r.ExpiresAt.Sub(f.r.DecidedAt))
}

// newer is the commit that the card does not show, and whether the recipient has
// another card for it.
func (f *facing) newer() (string, bool) {
	cur := f.mr.Current()
	if cur == nil || cur == f.r {
		return string(f.s.Head), false
	}
	return string(cur.Head), cur.message(f.m.Kind, f.m.To) != nil
}

// notice tells the author who was asked. What becomes of it is told by another
// message, so it need not change any more.
func (f *facing) notice(c *Card) {
	w, r := f.w, f.r
	c.Tone, c.Title, c.Status = ToneBlue, w.TitleSent(f.ref), nil
	sha := ""
	if f.updated() {
		sha = string(r.Head)
	}
	text := w.Sent(f.ref, sha, f.asked(), f.need)
	switch {
	case r.nobody():
		c.Tone, c.Title = ToneOrange, w.TitleNobody(f.ref)
		text = w.Nobody(f.ref, r.Rule.Name)
	case len(r.Panel.Unsure) > 0 && !r.Rule.AllowSelfApproval && !f.someMayApprove():
		c.Status = f.plain(w.Unsure(r.Panel.Unsure))
	}
	f.told(c, text)
}

func (f *facing) plain(s string) []words.Text { return []words.Text{words.Plain(s)} }

// nobody says that nobody is asked, or nobody of those who might decide is known to
// the chat.
func (r *Request) nobody() bool {
	return len(r.Panel.Cards) == 0 || !slices.ContainsFunc(r.Panel.Approvers, func(m Member) bool { return m.ID != "" })
}

// someMayApprove says that enough approvers can be told from the author.
func (f *facing) someMayApprove() bool {
	able := map[string]bool{} // one person may have two identities
	for _, a := range f.r.Panel.Approvers {
		if f.r.mayApprove(a.ID) {
			able[a.ID] = true
		}
	}
	return len(able) >= f.need
}

// asked names those whose approval is waited for. A group asks all approvers.
// Who may not approve is named only if there is nobody else.
func (f *facing) asked() []string {
	p := &f.r.Panel
	group := slices.ContainsFunc(p.Cards, func(to Recipient) bool { return to.Group })
	var names, rest []string
	var seen []string
	for _, a := range p.Approvers {
		if a.ID == "" || slices.Contains(seen, a.ID) || !group && !slices.Contains(p.Cards, Recipient{ID: a.ID}) {
			continue
		}
		seen = append(seen, a.ID)
		if kind := p.bars(a.ID).kind; !f.r.Rule.AllowSelfApproval && (kind == barAuthor || kind == barCommitter) {
			rest = append(rest, a.Name)
			continue
		}
		names = append(names, a.Name)
	}
	if len(names) == 0 {
		return rest
	}
	return names
}

// result tells the author what became of the request.
func (f *facing) result(c *Card) {
	w, r, ref := f.w, f.r, f.ref
	text := c.Title
	if len(c.Status) > 0 {
		text = c.Status[0].String()
	}
	var name, reason string
	if d := r.rejection(); d != nil {
		name, reason = f.nameOf(d), d.Reason
	}
	switch r.State {
	case Approved:
		if r.Dry {
			text = w.ResultDryRun(f.names, ref, "", true, f.wouldNow())
			break
		}
		text = w.ResultApproved(f.names, ref)
		if f.merges() {
			text = w.ResultMerging(f.names, ref, r.Target)
		}
	case BlockedNow:
		text = w.ResultBlocked(f.names, ref, f.block())
	case MergedHere:
		text = w.ResultMerged(f.names, ref, r.Target)
	case Rejected, ClosedHere:
		if r.Dry && r.State == Rejected {
			text = w.ResultDryRun([]string{name}, ref, reason, false, f.wouldNow())
			break
		}
		text = w.ResultSentBack(name, ref, reason)
		if f.closes() || r.State == ClosedHere {
			text = w.ResultRejected(name, ref, reason, r.State == ClosedHere)
		}
	case Expired:
		switch {
		case len(f.gave) == 0:
			text = w.ResultExpired(ref, f.waited())
		case r.DecidedAt.IsZero():
			text = w.ResultExpiredPart(f.names, ref, f.need, f.waited())
		default:
			text = w.ResultExpiredApproved(f.names, ref, r.ExpiresAt.Sub(r.DecidedAt))
		}
	case Withdrawn:
		text = f.withdrawn(text)
	case Superseded:
		if r.rejection() != nil { // a push came before the author was told
			text = w.ResultSentBack(name, ref, reason)
		}
	case Pending:
	}
	c.Status = nil
	if len(f.gave) > 0 {
		c.Status = f.lines() // what approvers wrote is for the author
	}
	f.told(c, text)
	if f.mr.offersAgain(r) {
		again := Action{ID: ActionAgain, Label: w.ButtonAgain(), Style: StylePrimary}
		c.Actions = append([]Action{again}, c.Actions...)
	}
}

func (f *facing) withdrawn(text string) string {
	switch f.r.Cause {
	case CauseMerged:
		return f.w.ResultMergedThere(f.ref)
	case CauseClosed:
		return f.w.ResultClosedThere(f.ref)
	case CauseNoRule:
		return f.w.ResultNoRule(f.ref, f.r.Target)
	default:
		return text
	}
}

// told makes c a message to the author: one sentence, and the way to the merge
// request, where the author has to act.
func (f *facing) told(c *Card, text string) {
	c.Facts = f.plain(text)
	c.Summary = words.Line(text, faceSummary)
	if f.s.URL != "" {
		c.Actions = []Action{{ID: ActionView, Label: f.w.ButtonOpen(), URL: f.s.URL}}
	}
	f.foot(c)
}
