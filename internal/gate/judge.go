package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// pushPause is how often a waiting card takes a new commit in place: the first
// at once, then at most one a minute.
const pushPause = time.Minute

// preparePause is how long to wait with the question for the size of a change
// that the forge is still computing: GitLab tells of a merge request before it
// has its diff.
const preparePause = 10 * time.Second

// view is what was read before judging: what the forge says, and, only if a
// request opens or its rule changed, what its head brings and whom it concerns.
type view struct {
	snapshot *Snapshot
	rules    *rules
	rule     *policy.Rule // nil: none covers it
	then     *policy.Rule // of what is merged: the rule that covered it when it was; nil: none did
	contents *Contents
	panel    *Panel
	roles    map[string]policy.Role // of people in the forge; only those that were asked for, nil: not read
	fresh    time.Duration          // of the panel, for how long the directory's answers are to be believed
}

// judge takes in what was read: the one place where what the forge says moves
// requests. It is pure.
func (mr *MergeRequest) judge(v view) {
	was := mr.Snapshot
	mr.Opening = mr.openingAfter(v.snapshot)
	v.snapshot.remember(was)
	if cur := mr.Current(); cur != nil && cur.State.Open() {
		v.snapshot.Merging = cur.awaits(v.snapshot, mr.Now)
	}
	v.snapshot.Since = v.snapshot.ReadAt
	if was != nil && was.Head == v.snapshot.Head && was.State == v.snapshot.State && was.Merging.Class == v.snapshot.Merging.Class {
		v.snapshot.Since = was.Since
	}
	mr.Snapshot = v.snapshot
	if v.contents != nil {
		mr.Contents = v.contents
	}
	if came := mr.LookAt; !came.After(v.snapshot.ReadAt) || came.After(mr.Now) {
		mr.LookAt = time.Time{} // what came after the reading began is still to be looked at
	}
	mr.ReadingAt = time.Time{}
	if v.panel != nil {
		mr.ChatTries = 0
	}
	mr.land(v.then)
	if cur := mr.Current(); cur != nil {
		mr.follow(cur, v)
		if why, yes := cur.dropped(was, v.snapshot); yes {
			mr.block(cur, why)
		}
		mr.recount(cur, v)
		mr.recountRoles(cur, v)
	}
	mr.expire()
	if !mr.open(v) {
		mr.againOver(v)
	}
	mr.judgeClaims(v)
}

// openingAfter counts how often the merge request was seen to open.
func (mr *MergeRequest) openingAfter(s *Snapshot) int {
	if s.Ready() && !mr.Snapshot.Ready() {
		return mr.Opening + 1
	}
	return mr.Opening
}

// asked says that the latest request is for this already. What was asked in a
// dry run is not asked yet.
func (mr *MergeRequest) asked(s *Snapshot, opening int, p *rules) bool {
	cur := mr.Current()
	return cur != nil && cur.Opening == opening && cur.Head == s.Head && cur.Target == s.Target && !cur.passedBy() && !mr.wantedAgain() &&
		(p.dry || !cur.Dry)
}

// passedBy says that the request ended because the forge or the policy had moved
// on; once they are back (another target and then the first again, a rule taken
// out and put in again), nobody could decide on it.
func (r *Request) passedBy() bool {
	return r.State == Superseded || r.State == Withdrawn && r.Cause == CauseNoRule
}

// follow moves the latest request as the forge's news demand.
func (mr *MergeRequest) follow(r *Request, v view) {
	s := v.snapshot
	if !r.State.Followed() {
		return
	}
	switch {
	case s.State == ForgeMerged && mr.Landing == nil:
		mr.end(r, EventSuperseded, CauseRetarget) // into a branch that is nobody's business
	case s.State == ForgeMerged && mr.Landing.Around == "":
		mr.move(r, EventMerged) // whoever pressed
	case s.State == ForgeMerged:
		mr.end(r, EventWithdrawn, CauseMerged)
	case s.State == ForgeClosed && r.State == Rejected && r.Rule.OnReject == policy.OnRejectClose && !r.Dry:
		mr.move(r, EventClosed)
	case s.State == ForgeClosed:
		mr.end(r, EventWithdrawn, CauseClosed)
	case r.Dry && !v.rules.dry:
		mr.end(r, EventWithdrawn, CauseDryRun)
	case s.Draft:
		mr.end(r, EventSuperseded, CauseDraft)
	case s.Target != r.Target:
		mr.end(r, EventSuperseded, CauseRetarget)
	case s.Head != r.Head:
		mr.end(r, EventSuperseded, CausePush)
	case mr.Opening != r.Opening:
		mr.end(r, EventSuperseded, CauseReopened)
	case !v.rules.minds(r.Dry):
	case v.rule == nil:
		mr.end(r, EventWithdrawn, CauseNoRule)
	case r.State == BlockedNow:
		mr.unblock(r, s)
	case r.State == Approved && s.State == ForgeLocked && (!r.ends() || !r.Approve.done()):
		mr.locked(r, s)
	}
}

// recount applies another policy, or what is known of the people by now, to the
// latest request: approvals whose givers may no longer decide stop counting.
func (mr *MergeRequest) recount(r *Request, v view) {
	if !r.State.Followed() || !v.rules.minds(r.Dry) || v.rule == nil || v.panel == nil {
		return
	}
	if v.rule.RequireRole != "" && v.roles == nil && len(r.givers()) > 0 {
		return // none of what was given may count before the roles are known
	}
	if v.panel.Blind && !r.Panel.Blind {
		// A shell without a chat knows nobody: the listener does this.
		mr.LookAt = earliest(mr.LookAt, mr.Now.Add(retryMin))
		return
	}
	rule := *v.rule
	if r.ends() {
		// What was decided on a card that promised no more than this stays no more.
		rule.OnApprove, rule.OnReject = r.Rule.OnApprove, r.Rule.OnReject
	}
	// Nor is what the forge may be doing already called something else.
	if r.Merge.tried() {
		rule.OnApprove = r.Rule.OnApprove
	}
	if r.Close.tried() {
		rule.OnReject = r.Rule.OnReject
	}
	ended := r.ends()
	told, before := mr.notice(r, v.rules.words), r.Panel
	r.Rule, r.PolicyHash, r.Panel = rule, v.rules.hash, *v.panel
	r.Panel.Until = r.until(v.fresh, mr.Now)
	if !slices.Equal(before.Missing, r.Panel.Missing) || !slices.Equal(before.Others, r.Panel.Others) {
		mr.record(r, EntryPeople, PeopleData{r.Panel.Missing, r.Panel.Others, rule.Name, r.PolicyHash})
	}
	for _, d := range r.Decisions {
		may := r.mayApprove(d.Person)
		if d.Via == viaOperator {
			may = v.rules.OperatorDecisions != policy.OperatorDeny
		}
		if d.Via == viaCard && rule.RequireRole != "" && may {
			continue // which recountRoles judges
		}
		mr.count(r, d, d.Verdict != Approve || may, "")
	}
	mr.recountRoles(r, v)
	mr.counted(r)
	if !ended && r.ends() {
		mr.tellAuthor(r)
	}
	mr.addressees(r, nil)
	if m := r.message(KindNotice, Recipient{ID: r.Panel.Author.ID}); m != nil && r.State == Pending && told != "" && told != mr.notice(r, v.rules.words) {
		m.Shown = "" // others are asked now, or nobody is
	}
}

// count notes whether the decision counts, and if that is for a role, for which.
func (mr *MergeRequest) count(r *Request, d *Decision, counts bool, role policy.Role) {
	if d.Void == !counts {
		return
	}
	d.Void = !counts
	mr.record(r, EntryCounts, CountsData{Person: d.Person, Name: d.Name, Counts: counts, Rule: r.Rule.Name, Policy: r.PolicyHash, Role: role})
}

// counted moves the request by what counts now.
func (mr *MergeRequest) counted(r *Request) {
	enough := r.enough()
	switch {
	case r.State == Pending && enough:
		mr.move(r, EventApproved)
	case (r.State == Approved || r.State == BlockedNow) && !enough:
		mr.move(r, EventLapsed)
	}
}

// notice is the digest of what the author's notice has to say; "": there is none.
func (mr *MergeRequest) notice(r *Request, w *words.Words) string {
	m := r.message(KindNotice, Recipient{ID: r.Panel.Author.ID})
	if m == nil {
		return ""
	}
	card := mr.face(r, m, w)
	return card.Digest()
}

// expire ends a request whose time is over.
func (mr *MergeRequest) expire() {
	if r := mr.Current(); r != nil && r.expired(mr.Now) {
		mr.end(r, EventExpired, CauseTime)
	}
}

// expired says that the time is over.
func (r *Request) expired(now time.Time) bool {
	return r.State.Open() && !r.ends() && !now.Before(r.expiresAt())
}

// expiresAt is when the time is over; not while a merge may be under way.
func (r *Request) expiresAt() time.Time {
	if r.State != Pending && r.Merge.tried() {
		return latest(r.ExpiresAt, r.Merge.Tried.Add(callTimeout+time.Millisecond))
	}
	return r.ExpiresAt
}

// WhyNoRule begins a MergeRequest's Why that another policy may change.
const WhyNoRule = "no rule"

// open opens a request, if the merge request waits for one; it says whether that
// is put off.
func (mr *MergeRequest) open(v view) (putOff bool) {
	s := v.snapshot
	switch {
	case s.State != ForgeOpen && s.State != ForgeLocked:
		mr.Why = string(s.State)
		return false
	case s.Draft:
		mr.Why = "a draft"
		return false
	case v.rule == nil:
		mr.Why = fmt.Sprintf(WhyNoRule+" matches %s of %s", s.Target, s.Path)
		return false
	case mr.asked(s, mr.Opening, v.rules):
		mr.Why = ""
		return false
	case v.contents == nil || v.panel == nil:
		mr.Why = "its committers or approvers could not be looked up yet"
		return true
	case v.contents.Size == nil && s.Merging.Class == MergeSoon && mr.Now.Sub(s.SeenAt) < preparePause:
		mr.Why = "the forge is still preparing it"
		mr.LookAt = mr.Now.Add(soonMin)
		return true
	}
	mr.Why = ""
	old := mr.Current()
	r := &Request{
		ID: mr.NextRequest, Seq: 1, Opening: mr.Opening, Head: s.Head, Target: s.Target, State: Pending, Dry: v.rules.dry,
		Rule: *v.rule, PolicyHash: v.rules.hash, Panel: *v.panel, Pipeline: s.Pipeline,
		OpenedAt: mr.Now, ExpiresAt: mr.Now.Add(v.rule.ExpireAfter),
	}
	r.Panel.Until = r.until(v.fresh, mr.Now)
	if old != nil {
		r.Seq = old.Seq + 1
		r.Before = old.before()
		if old.Dry && !r.Dry {
			r.Before = old.Before // nobody was rejected in a dry run
		}
		old.Settled = old.Settled && !old.mayBeAskedAgain() // else the button that asks again goes
	}
	mr.NextRequest++
	mr.Requests = append(mr.Requests, r)
	mr.record(r, EntryOpened, OpenedData{
		Path: s.Path, Number: mr.Ref.Number, URL: s.URL, Title: s.Title, Author: s.Author,
		Head: s.Head, Source: s.Source, Target: s.Target,
		Rule: r.Rule.Name, Policy: r.PolicyHash, Required: r.Rule.Required, Approvers: r.Panel.Approvers, Dry: r.Dry,
		Missing: r.Panel.Missing, Others: r.Panel.Others,
	})
	mr.addressees(r, old)
	mr.sentAgain(r, old)
	return false
}

// before is what the next request's card has to say of this one; where nobody
// decided on it, what it had to say itself.
func (r *Request) before() *Before {
	if len(r.Decisions) == 0 {
		return r.Before
	}
	for _, d := range slices.Backward(r.Decisions) {
		if d.Verdict == Reject {
			return &Before{Name: d.Name, Operator: d.Via == viaOperator, Reason: d.Reason}
		}
	}
	return nil
}

// addressees gives everybody whom the request concerns their message. It takes
// the waiting cards of the request before (nil: none) over, so that a push
// changes them in place; only whose decision it made void gets a new card.
func (mr *MergeRequest) addressees(r, old *Request) {
	for _, to := range r.Panel.Cards {
		mr.address(r, old, KindCard, to)
	}
	if old != nil && old.State == Superseded {
		// Who got a job's card without being asked by the rule follows along.
		for _, m := range old.Messages {
			if m.Kind == KindCard && m.Ref != nil && r.isApprover(m.To.ID) {
				mr.address(r, old, KindCard, m.To)
			}
		}
	}
	if r.Panel.Author.ID != "" {
		mr.address(r, old, KindNotice, Recipient{ID: r.Panel.Author.ID})
	}
}

func (mr *MergeRequest) address(r, old *Request, kind MessageKind, to Recipient) {
	if r.message(kind, to) != nil {
		return
	}
	m := &Message{Key: MessageKey(mr.Ref, r.Head, r.Target, r.Seq, kind, to), Kind: kind, To: to}
	r.Messages = append(r.Messages, m)
	if old == nil || old.State != Superseded || old.Dry != r.Dry || old.decisionOf(to.ID) != nil {
		return
	}
	was := old.message(kind, to)
	if was == nil || was.Gone != "" || was.TriedAt.IsZero() {
		return
	}
	m.Ref, m.TriedAt, m.NotBefore = was.Ref, was.TriedAt, was.NotBefore
	m.SentAs = was.SentAs
	if m.SentAs == "" {
		m.SentAs = was.Key
	}
	m.PushAt = mr.Now
	if m.AskedAt = was.AskedAt; !m.AskedAt.IsZero() && (old.Cause != CausePush || !was.RemindedAt.IsZero()) {
		m.AskedAt = mr.Now
	}
	if old.Cause == CausePush && was.PushAt.Add(pushPause).After(mr.Now) {
		m.Face = was.Face
		m.PushAt = was.PushAt
		if !was.PushAt.After(mr.Now) {
			m.PushAt = was.PushAt.Add(pushPause)
		}
	}
	was.Ref, was.Gone = nil, fmt.Sprintf("taken over by request %d", r.ID)
}

// judgeClaims judges clicks that had to wait for a look.
func (mr *MergeRequest) judgeClaims(v view) {
	claims := mr.Claims
	mr.Claims = nil
	for _, c := range claims {
		if c.Refused == "" && mr.judgeClaim(c, v) {
			continue
		}
		mr.Claims = append(mr.Claims, c) // it waits: for another look, or to be told
	}
}

// judgeClaim judges one; false: it has to wait.
func (mr *MergeRequest) judgeClaim(c *Claim, v view) bool {
	if !v.rules.minds(c.Dry) {
		return false
	}
	r, m := mr.MessageByKey(c.Message)
	if c.Origin != nil {
		var ok bool
		if r, m, ok = mr.adoptable(c, v); !ok {
			return false
		}
		same := r.Head == c.Origin.Head && r.Target == c.Origin.Target
		switch {
		case m == nil:
			mr.tell(r, c.became(BecameRefused, RefusedCard, ""))
			return true
		case !same || v.rules.AdoptCards != policy.AdoptTrust:
			mr.tell(r, c.became(BecameAdopted, "", ""))
			return true // the card now shows the forge's facts, and the person decides on it
		}
	}
	if r == nil {
		mr.tell(nil, c.became(BecameRefused, RefusedCard, ""))
		return true
	}
	m.Shown = "" // whatever becomes of it, the card has to say so
	if r != mr.Current() || !r.State.Followed() {
		mr.tell(r, c.became(BecameRefused, RefusedSuperseded, ""))
		return true
	}
	if c.Dry != v.rules.dry || r.Dry != v.rules.dry {
		mr.tell(r, c.became(BecameRefused, RefusedDryRun, ""))
		return true
	}
	if r.PolicyHash != v.rules.hash {
		return false
	}
	verdict := Reject
	if c.Action == ActionApprove {
		verdict = Approve
	}
	_, known := v.roles[c.Person.ID]
	if verdict == Approve && r.Rule.RequireRole != "" && !known && len(r.accountsOf(c.Person.ID)) > 0 {
		return false
	}
	var why Refusal
	if why, m.Said = r.turnDown(c, verdict, v.rules.words); m.Said != "" {
		mr.tell(r, c.became(BecameRefused, why, m.Said))
		return true
	}
	if role := r.Rule.RequireRole; verdict == Approve && !v.roles[c.Person.ID].Covers(role) {
		m.Said = v.rules.words.ToastRole(string(role))
		mr.tell(r, c.became(BecameRefused, RefusedRole, m.Said))
		return true
	}
	mr.decide(r, &Decision{
		Person: c.Person.ID, Name: r.nameOf(c.Person), Verdict: verdict, Reason: c.Reason, Via: viaCard, Shown: c.Evidence.Shown, At: c.At,
	}, c.Evidence)
	return true
}

// turnDown says why a claim does not count, and in which words; "": it does.
func (r *Request) turnDown(c *Claim, v Verdict, w *words.Words) (Refusal, string) {
	if why, text := r.refuse(c.Person.ID, v, w); text != "" {
		return why, text
	}
	if d := r.decisionOf(c.Person.ID); d != nil {
		return r.again(d, v, w)
	}
	if _, why, text := r.over(v, w); text != "" {
		return why, text
	}
	if v == Reject && r.Rule.RequireReason && strings.TrimSpace(c.Reason) == "" {
		return RefusedReason, w.ToastReasonMissing()
	}
	return "", ""
}

// enough says that the approvals that count are what the rule needs; an
// operator's is, alone.
func (r *Request) enough() bool {
	given := r.approvals()
	return len(given) >= r.Rule.Required || slices.ContainsFunc(given, func(d *Decision) bool { return d.Via == viaOperator })
}

// end moves the request to an end that nobody decided on.
func (mr *MergeRequest) end(r *Request, on Event, cause Cause) {
	r.Cause = cause
	mr.move(r, on)
}

// move moves the request along the state table, logs it, and says what follows.
func (mr *MergeRequest) move(r *Request, on Event) {
	from := r.State
	to, err := from.next(on)
	if err != nil {
		panic(fmt.Sprintf("request %d: %v", r.ID, err)) // the table and the code disagree: nothing may be written
	}
	r.State, r.Settled = to, false
	switch to {
	case Approved:
		if from == Pending {
			r.DecidedAt = mr.Now
		}
		r.Blocked = Mergeability{}
	case Rejected:
		r.DecidedAt = mr.Now
	case MergedHere, ClosedHere, Expired, Superseded, Withdrawn:
		r.EndedAt = mr.Now
	case Pending, BlockedNow:
	}
	if to == Pending {
		// Lapsed: what was done in the forge is taken back, and may be done again.
		r.DecidedAt, r.Blocked = time.Time{}, Mergeability{}
	}
	mr.tellAuthor(r)
	data := StateData{From: from, To: to, On: on, Cause: r.Cause, Why: r.Blocked.Reason, Detail: r.Blocked.Detail, Dry: r.Dry}
	if s := mr.Snapshot; s != nil {
		switch {
		case s.State == ForgeMerged:
			data.By = s.MergedBy
		case s.State == ForgeClosed && r.Cause == CauseClosed:
			data.By = s.ClosedBy
		}
	}
	if on == EventMerged && r.Merge.tried() && !r.Merge.done() {
		data.Tried = r.Merge.Tried
	}
	mr.record(r, EntryState, data)
}

// tellAuthor adds the message that makes the author's phone ring, where the new
// state is news to them: not for a push, a draft or a retarget, which they did.
func (mr *MergeRequest) tellAuthor(r *Request) {
	if r.Panel.Author.ID == "" || r.Cause == CauseDryRun {
		return // the notice of the request that follows says enough
	}
	to := Recipient{ID: r.Panel.Author.ID}
	if was := r.message(KindResult, to); was != nil {
		was.Shown = "" // it told of an end that was none, and is changed
	}
	switch r.State {
	case BlockedNow:
		mr.address(r, nil, stuck(r.Blocked.Reason), to)
	case MergedHere, Expired, Withdrawn:
		mr.address(r, nil, KindResult, to)
	case Rejected, Approved:
		if r.ends() {
			mr.address(r, nil, KindResult, to)
		}
	case ClosedHere:
		mr.address(r, nil, KindResult, to)
	case Pending, Superseded:
	}
}

// ends says that the rule, or a dry run, asks nothing more of the forge in this
// state: the request is over, and only followed.
func (r *Request) ends() bool {
	switch r.State {
	case Approved:
		return r.Dry || r.Rule.OnApprove == policy.OnApproveApprove
	case Rejected:
		return r.Dry || r.Rule.OnReject == policy.OnRejectComment
	case MergedHere, ClosedHere, Expired, Superseded, Withdrawn:
		return true
	case Pending, BlockedNow:
	}
	return false
}

// message is the request's message of the kind to the recipient; nil: none.
func (r *Request) message(kind MessageKind, to Recipient) *Message {
	for _, m := range r.Messages {
		if m.Kind == kind && m.To == to {
			return m
		}
	}
	return nil
}

// decisionOf is the person's decision; nil: none.
func (r *Request) decisionOf(person string) *Decision {
	for _, d := range r.Decisions {
		if d.Person == person {
			return d
		}
	}
	return nil
}
