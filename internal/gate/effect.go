package gate

import (
	"context"
	"errors"
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// effectKind is a write to the forge.
type effectKind string

const (
	effectApprove effectKind = "approve"
	effectMerge   effectKind = "merge"
	effectClose   effectKind = "close"
	effectRetract effectKind = "retract"
	effectNote    effectKind = "note"
	effectStatus  effectKind = "status"
)

// nextEffect is the next write that a request waits for; nil: none does. Notes
// and then statuses come last: nothing depends on them.
func (mr *MergeRequest) nextEffect(p *rules) (next *Request, what effectKind) {
	for _, r := range mr.Requests {
		switch of := mr.effectOf(r, p); of {
		case "":
		case effectNote, effectStatus:
			if next == nil || what == effectStatus && of == effectNote {
				next, what = r, of
			}
		default:
			return r, of
		}
	}
	return next, what
}

// effectOf is the next write that the request waits for. It is asked twice: to
// see what is next, and, in the write that announces it, whether that still is.
func (mr *MergeRequest) effectOf(r *Request, p *rules) effectKind {
	if p.dry || r.Dry {
		return "" // a dry run writes nothing, and nothing of it is ever carried out
	}
	underPolicy := r.PolicyHash == p.hash // else the people have to be looked up first
	waits := mr.LookAt.After(mr.Now)      // for the forge, or for a person in it
	locked := mr.Snapshot != nil && mr.Snapshot.State == ForgeLocked
	switch r.State {
	case Approved:
		switch {
		case !r.Approve.done() && underPolicy && !locked:
			return effectApprove
		case !r.Approve.done():
			return ""
		case r.Rule.OnApprove != policy.OnApproveMerge:
			return mr.report(r, p)
		case underPolicy && !waits && mr.Now.Before(r.ExpiresAt):
			return effectMerge
		case r.Scheduled || mr.Snapshot.Merging.Class == MergeCI:
			return mr.report(r, p) // it may take a while
		}
	case BlockedNow:
		// What no status of the forge shows to be mended can only be tried.
		switch {
		case !underPolicy || waits:
		case !r.Approve.done() && !locked:
			return effectApprove
		case r.onlyTrying(mr.Snapshot) && mr.Now.Before(r.ExpiresAt):
			return effectMerge
		}
		return mr.report(r, p)
	case Rejected:
		switch {
		case mr.toRetract(r):
			return effectRetract
		case r.Rule.OnReject == policy.OnRejectClose && underPolicy:
			return effectClose
		case r.Rule.OnReject != policy.OnRejectClose:
			return mr.report(r, p)
		}
	case MergedHere, ClosedHere:
		return mr.report(r, p)
	case Pending, Superseded, Withdrawn, Expired:
		if mr.toRetract(r) {
			return effectRetract
		}
		return mr.report(r, p)
	}
	return ""
}

// report is the effect of saying in the forge what was decided, if that does not
// stand there.
func (mr *MergeRequest) report(r *Request, p *rules) effectKind {
	if note := mr.note(r, p); note != "" {
		return note
	}
	if at, due := mr.statusAt(r, p); due && !at.After(mr.Now) {
		return effectStatus
	}
	return ""
}

// toRetract says that the forge may still have mrgate's approval or auto-merge,
// and must not.
func (mr *MergeRequest) toRetract(r *Request) bool {
	merged := mr.Snapshot != nil && mr.Snapshot.State == ForgeMerged
	return r.Approve.tried() && !r.Retract.done() && !merged
}

// onlyTrying says that the request is blocked by something that only another try
// can show to be mended.
func (r *Request) onlyTrying(s *Snapshot) bool {
	switch r.Blocked.Reason {
	case ReasonNotPermitted, ReasonMergeError:
		return s.Merging.Class == MergeGo
	case ReasonUnchecked:
		return s.Merging.Class == MergeSoon && s.State == ForgeOpen
	}
	return false
}

// effect does one write: says that it is tried, calls, and takes in what the forge
// answered.
func (w *work) effect(ctx context.Context, r *Request, what effectKind) error {
	switch what {
	case effectApprove:
		if r.Rule.RequireRole != "" {
			if err := w.fresh(ctx); err != nil { // roles come and go
				return err
			}
		}
		return w.write(ctx, r.ID, what, func(ctx context.Context, mr *MergeRequest, r *Request) error {
			return w.g.forge.Approve(ctx, mr.Ref, r.Head)
		})
	case effectMerge:
		return w.merge(ctx, r.ID)
	case effectClose:
		// A close takes no commit: without a fresh look it might close a push
		// that nobody saw.
		if err := w.fresh(ctx); err != nil {
			return err
		}
		return w.write(ctx, r.ID, what, func(ctx context.Context, mr *MergeRequest, r *Request) error {
			return w.g.forge.Close(ctx, mr.Ref, r.Head)
		})
	case effectRetract:
		return w.write(ctx, r.ID, what, func(ctx context.Context, mr *MergeRequest, _ *Request) error {
			return w.g.forge.Retract(ctx, mr.Ref)
		})
	case effectNote:
		return w.note(ctx, r.ID)
	case effectStatus:
		return w.status(ctx, r.ID)
	}
	return nil
}

// fresh sees to it that the forge was read within the last two seconds and not
// written to since.
func (w *work) fresh(ctx context.Context) error {
	if w.read.IsZero() || time.Since(w.read) > freshFor {
		return w.look(ctx)
	}
	return nil
}

// stillWanted announces an effect, if the row as it now is still wants it: it may
// have been rejected, expired or come under another policy meanwhile. announced
// writes down what is tried.
func (w *work) stillWanted(id int64, what effectKind, announced func(mr *MergeRequest, r *Request)) (still bool, err error) {
	rules := w.g.rules.Load()
	err = w.announce(func(mr *MergeRequest) {
		r := mr.request(id)
		if still = r != nil && mr.effectOf(r, rules) == what; still {
			announced(mr, r)
		}
	})
	return still, err
}

// write is approve, close or retract: effects that either are done or fail.
func (w *work) write(ctx context.Context, id int64, what effectKind, do func(context.Context, *MergeRequest, *Request) error) error {
	still, err := w.stillWanted(id, what, func(mr *MergeRequest, r *Request) {
		r.effect(what).Tried = mr.Now
		if what == effectRetract && r.State.Open() {
			// Whether its answer comes or not: approved again, all is to be done again.
			r.Approve.Done, r.Merge, r.Scheduled = time.Time{}, Effect{}, false
		}
	})
	if err != nil || !still {
		return err
	}
	c, cancel := call(ctx)
	defer cancel()
	err = do(c, w.mr, w.mr.request(id))
	w.read = time.Time{}
	w.g.observe(ctx, what.call(), err)
	switch {
	case err == nil:
		w.learn(func(mr *MergeRequest) { mr.did(mr.request(id), what, "") })
		return nil
	case errors.Is(err, ErrNotPermitted):
		return w.refused(ctx, id, what, err)
	}
	return w.failEffect(ctx, id, what, err)
}

// refused writes down that the forge will not have it until a person acts.
func (w *work) refused(ctx context.Context, id int64, what effectKind, err error) error {
	switch what {
	case effectApprove:
		werr := w.change(func(mr *MergeRequest) {
			mr.attempted(mr.request(id), what, err)
			mr.block(mr.request(id), Mergeability{Class: MergeBlocked, Reason: ReasonMayNotApprove, Detail: err.Error()})
		})
		return errors.Join(werr, errStop)
	case effectRetract:
		// Nothing depends on an approval where nothing can be merged any more.
		// After some tries it is said in the log, and let be.
		open := w.mr.Snapshot.State == ForgeOpen || w.mr.Snapshot.State == ForgeLocked
		if w.mr.Tries >= refusedEnough && !open {
			w.g.log.Warn("the forge refuses", "what", string(what), "merge_request", w.mr.Ref.String(), "err", err)
			w.learn(func(mr *MergeRequest) { mr.did(mr.request(id), what, err.Error()) })
			return nil
		}
	case effectMerge, effectClose, effectNote, effectStatus:
	}
	return w.failEffect(ctx, id, what, err)
}

// refusedEnough is how often the forge may refuse what nothing depends on.
const refusedEnough = 4

// ReasonCIMustPass is the forge's own word where a pipeline failed, was skipped or
// cancelled, or is missing; a rule that waits for the pipeline says the same.
const ReasonCIMustPass = "ci_must_pass"

// Reasons of a block that no merge status of the forge names.
const (
	ReasonNotPermitted       = "not_permitted"        // the forge does not let mrgate's own account merge it
	ReasonMayNotApprove      = "may_not_approve"      // nor approve it
	ReasonMergeError         = "merge_error"          // "it can be merged", and yet it was not
	ReasonAutoMergeCancelled = "auto_merge_cancelled" // somebody took the forge's own auto-merge back
	ReasonNoPipeline         = "no_pipeline"          // the rule waits for one, and this commit has none
	ReasonLocked             = "locked"               // the forge began to merge it and does not end
	ReasonUnchecked          = "unchecked"            // the forge does not find out whether it can
)

// did writes down an effect that is done, or given up with an error.
func (mr *MergeRequest) did(r *Request, what effectKind, trouble string) {
	r.effect(what).Done = mr.Now
	data := EffectData{Effect: string(what), Head: r.Head, Answer: AnswerDone, Error: trouble}
	switch {
	case trouble != "":
		data.Answer = AnswerGivenUp
	case what == effectNote:
		data.Note = r.NoteRef
	case what == effectStatus:
		data.Status = r.StatusShown
	}
	mr.answered(r, data)
	switch what {
	case effectClose:
		if mr.Snapshot != nil {
			mr.Snapshot.State = ForgeClosed
		}
		mr.move(r, EventClosed)
	case effectRetract:
		if r.State.Open() {
			// Perhaps approved again: then all of it is to be done again.
			r.Approve, r.Merge, r.Retract, r.Scheduled = Effect{}, Effect{}, Effect{}, false
		}
	case effectApprove:
		if r.State == BlockedNow {
			mr.LookAt = mr.Now // what else is in the way?
		}
	case effectMerge, effectNote, effectStatus:
	}
}

// merge reads the merge request once more, and merges exactly the approved
// commit if it can be merged.
func (w *work) merge(ctx context.Context, id int64) error {
	project := w.mr.Ref.Project
	if !w.g.merges.lock(ctx, project, mergeTurn) {
		err := w.change(func(mr *MergeRequest) { mr.LookAt = mr.Now.Add(retryMin) })
		return errors.Join(err, errStop)
	}
	defer w.g.merges.unlock(project)

	if err := w.fresh(ctx); err != nil {
		return err
	}
	var how MergeOptions
	now := false
	_, err := w.stillWanted(id, effectMerge, func(mr *MergeRequest, r *Request) {
		if how, now = mr.mayMerge(r); now {
			r.Merge.Tried = mr.Now
		}
	})
	switch {
	case err != nil:
		return err
	case !now:
		return errStop // not yet, or not any more: the row says what is next, and when
	}
	c, cancel := call(ctx)
	defer cancel()
	result, err := w.g.forge.Merge(c, w.mr.Ref, w.mr.request(id).Head, how)
	w.read = time.Time{}
	if err != nil || result.Status == Merged || result.Status == Scheduled {
		w.g.observe(ctx, effectMerge.call(), err)
	}
	if err != nil {
		if errors.Is(err, ErrNotPermitted) {
			result, err = MergeResult{Status: Blocked, Why: Mergeability{Class: MergeBlocked, Reason: ReasonNotPermitted, Detail: err.Error()}}, nil
		} else {
			return w.failEffect(ctx, id, effectMerge, err)
		}
	}
	w.learn(func(mr *MergeRequest) { mr.mergeAnswered(mr.request(id), result) })
	return nil
}

// mayMerge says, from the fresh snapshot, whether and how to merge now; if not,
// it has moved the request or set when to look again.
func (mr *MergeRequest) mayMerge(r *Request) (MergeOptions, bool) {
	s := mr.Snapshot
	how := MergeOptions{Squash: r.Rule.Merge.Squash, RemoveSourceBranch: r.Rule.Merge.RemoveSourceBranch}
	if s.State != ForgeOpen || s.Head != r.Head || s.Target != r.Target || s.Draft {
		mr.lookAgain(soonMin, soonMax)
		return how, false
	}
	ci := r.ci(s, mr.Now)
	how.WhenGreen = ci == ciRuns
	switch s.Merging.Class {
	case MergeGo:
		return how, true
	case MergeCI:
		wait := r.Rule.Merge.WhenPipelineSucceeds
		switch {
		case s.AutoMerge:
			r.Scheduled = true
		case wait == nil || *wait:
			how.WhenGreen = true
			return how, true
		}
		mr.lookAgain(soonMin, personMax)
	case MergeSoon:
		switch {
		case ci == ciLate:
			mr.lookAgain(lateMin, soonMax)
		case mr.Now.Sub(s.Since) >= tryAfter:
			return how, true // for some merge requests GitLab finds out only when told to merge
		default:
			mr.lookAgain(soonMin, soonMax)
		}
	case MergeBlocked:
		mr.block(r, s.Merging)
	default:
		mr.lookAgain(personMin, personMax)
	}
	return how, false
}

// mergeAnswered takes in what became of an attempt to merge.
func (mr *MergeRequest) mergeAnswered(r *Request, result MergeResult) {
	if r.State == BlockedNow && result.Status == Blocked && result.Why == r.Blocked {
		mr.lookAgain(personMin, personMax)
		return // as before, and said before
	}
	mr.answered(r, EffectData{
		Effect: string(effectMerge), Head: r.Head, Answer: string(result.Status), Commit: result.Commit,
		Why: result.Why.Reason, Detail: result.Why.Detail,
	})
	switch result.Status { //nolint:exhaustive // the others change nothing in the forge
	case Merged:
		r.Merge.Done = mr.Now
		s := mr.Snapshot
		s.State, s.MergeCommit, s.MergedBy, s.MergedAt = ForgeMerged, result.Commit, result.By, result.At
		mr.land(&r.Rule)
	case Scheduled:
		r.Scheduled, mr.Snapshot.AutoMerge = true, true
	}
	// Somebody may have rejected it meanwhile. That comes too late if it is merged
	// by now; else what it asks for is next, and not to be waited with.
	if r.State != Approved && r.State != BlockedNow && (result.Status != Merged || !r.State.Followed()) {
		return
	}
	if why := result.Why; why.Class != "" && why.Class != mr.Snapshot.Merging.Class {
		mr.Snapshot.Merging, mr.Snapshot.Since = why, mr.Now
	}
	switch result.Status {
	case Merged:
		mr.move(r, EventMerged)
	case Scheduled:
		if r.State == BlockedNow {
			mr.move(r, EventUnblocked)
		}
		mr.lookAgain(personMin, personMax)
	case Computing:
		// "It can be merged", and yet it was not: after a while, or with an error
		// to show, that is for a person.
		if why := result.Why; why.Class == MergeGo && (why.Detail != "" || mr.Now.Sub(r.DecidedAt) > stuckAfter) {
			mr.block(r, Mergeability{Class: MergeBlocked, Reason: ReasonMergeError, Detail: why.Detail})
			return
		}
		if result.Why.Class == MergeSoon && mr.Now.Sub(mr.Snapshot.Since) > stuckAfter && !mr.Snapshot.Pipeline.runs() {
			mr.block(r, Mergeability{Class: MergeBlocked, Reason: ReasonUnchecked})
			return
		}
		mr.lookAgain(soonMin, soonMax)
	case Blocked:
		mr.block(r, result.Why)
	case Moved:
		mr.LookAt = mr.Now.Add(retryMin) // two readings of the forge may disagree for a while
	}
}

// Block is why the request is blocked, for [words.Words.Blocked].
func (mr *MergeRequest) Block(r *Request, w *words.Words) words.Block {
	b := words.Block{Reason: r.Blocked.Reason, Detail: r.Blocked.Detail, Bot: r.Blocked.Account, Target: r.Target}
	if s := mr.Snapshot; s != nil {
		b.Author = w.Author(s.Author.Name, s.Author.Username)
		if p := s.Pipeline; p != nil && s.Head == r.Head {
			b.Pipeline, b.Status = p.ID, p.Status
		}
	}
	return b
}

// block says that a person has to do something, and when to see whether they did.
func (mr *MergeRequest) block(r *Request, why Mergeability) {
	if r.State != Approved && r.State != BlockedNow {
		return // rejected while the forge was asked: nothing is blocked by this any more
	}
	r.Blocked, r.Scheduled = why, false
	if r.State != BlockedNow {
		mr.move(r, EventBlocked)
	} else {
		mr.tellAuthor(r) // of another cause
	}
	mr.lookAgain(personMin, personMax)
}

// unblock sees whether what blocked the request is gone, or has become something
// else. s is a fresh snapshot of the same head and target.
func (mr *MergeRequest) unblock(r *Request, s *Snapshot) {
	class, lasts := s.Merging.Class, mr.Now.Sub(s.Since)
	switch {
	case s.State == ForgeLocked:
		mr.lookAgain(soonMin, personMax)
	case !r.Approve.done() || r.onlyTrying(s):
		// Whether this is mended shows another try alone: see effectOf.
	case r.Blocked.Reason == ReasonAutoMergeCancelled && !s.AutoMerge:
		mr.lookAgain(personMin, personMax)
	case class == MergeBlocked:
		mr.block(r, s.Merging) // perhaps by something else now
	case class == MergeSoon && lasts < tryAfter:
		mr.lookAgain(soonMin, soonMax) // it may turn out to be blocked all the same
	case class != MergeGo && (r.Blocked.Reason == ReasonNotPermitted || r.Blocked.Reason == ReasonMergeError):
		mr.lookAgain(soonMin, personMax)
	default:
		mr.move(r, EventUnblocked)
	}
}

// locked waits while the forge merges, by whoever's order, unless it has been at
// it for too long. s is a fresh snapshot.
func (mr *MergeRequest) locked(r *Request, s *Snapshot) {
	if mr.Now.Sub(s.Since) > stuckAfter {
		mr.block(r, Mergeability{Class: MergeBlocked, Reason: ReasonLocked})
		return
	}
	mr.lookAgain(soonMin, soonMax)
}

// dropped says why the forge does not merge by itself any more, though it said
// that it would; false: it still means to, or never did.
func (r *Request) dropped(was, s *Snapshot) (Mergeability, bool) {
	if r.State != Approved || !r.Scheduled || s.AutoMerge || s.State != ForgeOpen {
		return Mergeability{}, false
	}
	if why := s.Merging.Detail; why != "" && (was == nil || was.Merging.Detail != why) {
		return Mergeability{Class: MergeBlocked, Reason: ReasonMergeError, Detail: why}, true
	}
	return Mergeability{Class: MergeBlocked, Reason: ReasonAutoMergeCancelled}, true
}

// lookAgain has the forge read after a while, unless something that arrived wants
// it sooner.
func (mr *MergeRequest) lookAgain(least, most time.Duration) {
	mr.LookAt = earliest(mr.LookAt, mr.Now.Add(patience(mr.Now.Sub(mr.Snapshot.Since), least, most)))
}

// request finds a loaded request by its number; nil: it is not loaded.
func (mr *MergeRequest) request(id int64) *Request {
	for _, r := range mr.Requests {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func (r *Request) effect(what effectKind) *Effect {
	switch what {
	case effectApprove:
		return &r.Approve
	case effectMerge:
		return &r.Merge
	case effectClose:
		return &r.Close
	case effectRetract:
		return &r.Retract
	case effectNote:
		return &r.Note
	case effectStatus:
		return &r.Status
	}
	panic("no such effect: " + string(what))
}
