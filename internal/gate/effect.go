package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/policy"
)

// effectKind is a write to the forge.
type effectKind string

const (
	effectApprove effectKind = "approve"
	effectMerge   effectKind = "merge"
	effectClose   effectKind = "close"
	effectRetract effectKind = "retract"
	effectNote    effectKind = "note"
)

// nextEffect is the next write that a request waits for; nil: none does.
func (mr *MergeRequest) nextEffect(p *rules) (*Request, effectKind) {
	for _, r := range mr.Requests {
		if what := mr.effectOf(r, p); what != "" {
			return r, what
		}
	}
	return nil, ""
}

func (mr *MergeRequest) effectOf(r *Request, p *rules) effectKind {
	merged := mr.Snapshot != nil && mr.Snapshot.State == ForgeMerged
	switch r.State {
	case Approved:
		switch {
		case !r.Approve.done():
			return effectApprove
		case r.Rule.OnApprove == policy.OnApproveMerge:
			return effectMerge
		}
		return r.note(p)
	case Rejected:
		switch {
		case r.Approve.tried() && !r.Retract.done():
			return effectRetract
		case r.Rule.OnReject == policy.OnRejectClose:
			return effectClose
		}
		return r.note(p)
	case MergedHere, ClosedHere:
		return r.note(p)
	case Pending, Superseded, Withdrawn, Expired:
		// What was approved in the forge is not approved any more.
		if r.Approve.tried() && !r.Retract.done() && !merged {
			return effectRetract
		}
	case BlockedNow:
	}
	return ""
}

// note is the effect of writing the note, if it is not written.
func (r *Request) note(p *rules) effectKind {
	if r.Note.done() || p.Note == policy.NoteOff {
		return ""
	}
	return effectNote
}

// effect does one write: says that it is tried, calls, and writes down what the
// forge answered.
func (w *work) effect(ctx context.Context, r *Request, what effectKind) error {
	switch what {
	case effectApprove:
		return w.write(ctx, r.ID, what, func(ctx context.Context, mr *MergeRequest, r *Request) error {
			return w.g.forge.Approve(ctx, mr.Ref, r.Head)
		})
	case effectMerge:
		return w.merge(ctx, r.ID)
	case effectClose:
		// A close takes no commit: without a fresh look it might close a push
		// that nobody saw.
		if ready, err := w.fresh(ctx, r.ID, Rejected); !ready {
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
	}
	return nil
}

// fresh sees to it that the forge was read within the last two seconds and not
// written to since, and says whether the request is still in the state.
func (w *work) fresh(ctx context.Context, id int64, still State) (bool, error) {
	if w.read.IsZero() || time.Since(w.read) > freshFor {
		if err := w.look(ctx); err != nil {
			return false, err
		}
	}
	r := w.mr.request(id)
	return r != nil && r.State == still && !w.mr.LookAt.After(w.mr.Now), nil
}

// write is approve, close or retract: effects that either are done or fail.
func (w *work) write(ctx context.Context, id int64, what effectKind, do func(context.Context, *MergeRequest, *Request) error) error {
	if err := w.announce(func(mr *MergeRequest) { mr.request(id).effect(what).Tried = mr.Now }); err != nil {
		return err
	}
	c, cancel := call(ctx)
	defer cancel()
	err := do(c, w.mr, w.mr.request(id))
	w.read = time.Time{}
	switch {
	case err == nil:
		return w.change(func(mr *MergeRequest) { mr.did(mr.request(id), what, "") })
	case errors.Is(err, ErrNotPermitted):
		return w.refused(ctx, id, what, err)
	}
	return w.failed(ctx, string(what), err)
}

// refused writes down that the forge will not have it until a person acts.
func (w *work) refused(ctx context.Context, id int64, what effectKind, err error) error {
	switch what {
	case effectApprove:
		werr := w.change(func(mr *MergeRequest) {
			mr.block(mr.request(id), Mergeability{Class: MergeBlocked, Reason: ReasonNotPermitted, Detail: err.Error()})
		})
		return errors.Join(werr, errStop)
	case effectRetract, effectNote:
		// Nothing depends on these: say so in the log, and go on.
		w.g.log.Warn("the forge refuses", "what", string(what), "merge_request", w.mr.Ref.String(), "err", err)
		return w.change(func(mr *MergeRequest) { mr.did(mr.request(id), what, err.Error()) })
	case effectMerge, effectClose:
	}
	return w.failed(ctx, string(what), err)
}

// ReasonNotPermitted is the reason of a block that no merge status names: the
// forge does not let mrgate's own account do it.
const ReasonNotPermitted = "not_permitted"

// did writes down an effect that is done, or given up with an error.
func (mr *MergeRequest) did(r *Request, what effectKind, trouble string) {
	r.effect(what).Done = mr.Now
	mr.Tries, mr.Error = 0, ""
	mr.record(r, EntryEffect, struct {
		Effect effectKind `json:"effect"`
		Head   CommitID   `json:"head"`
		Note   string     `json:"note,omitempty"`
		Error  string     `json:"error,omitempty"`
	}{what, r.Head, r.NoteRef, trouble})
	switch what {
	case effectClose:
		if mr.Snapshot != nil {
			mr.Snapshot.State = ForgeClosed
		}
		mr.move(r, EventClosed)
	case effectRetract:
		if r.State == Pending {
			r.Approve, r.Merge, r.Retract, r.Scheduled = Effect{}, Effect{}, Effect{}, false
		}
	case effectApprove, effectMerge, effectNote:
	}
}

// merge reads the merge request once more, and merges exactly the approved
// commit if it can be merged.
func (w *work) merge(ctx context.Context, id int64) error {
	project := w.mr.Ref.Project
	if !w.g.merges.lock(ctx, project, leaseFor/3) {
		err := w.change(func(mr *MergeRequest) { mr.LookAt = mr.Now.Add(retryMin) })
		return errors.Join(err, errStop)
	}
	defer w.g.merges.unlock(project)

	if ready, err := w.fresh(ctx, id, Approved); !ready {
		return err
	}
	var how MergeOptions
	var go_ bool
	err := w.announce(func(mr *MergeRequest) {
		r := mr.request(id)
		if how, go_ = mr.mayMerge(r); go_ {
			r.Merge.Tried = mr.Now
		}
	})
	if err != nil || !go_ {
		return err
	}
	c, cancel := call(ctx)
	defer cancel()
	result, err := w.g.forge.Merge(c, w.mr.Ref, w.mr.request(id).Head, how)
	w.read = time.Time{}
	if err != nil {
		if errors.Is(err, ErrNotPermitted) {
			result, err = MergeResult{Status: Blocked, Why: Mergeability{Class: MergeBlocked, Reason: ReasonNotPermitted, Detail: err.Error()}}, nil
		} else {
			return w.failed(ctx, string(effectMerge), err)
		}
	}
	return w.change(func(mr *MergeRequest) { mr.mergeAnswered(mr.request(id), result) })
}

// mayMerge says, from the fresh snapshot, whether and how to merge now; if not,
// it has moved the request or set when to look again.
func (mr *MergeRequest) mayMerge(r *Request) (MergeOptions, bool) {
	s := mr.Snapshot
	how := MergeOptions{Squash: r.Rule.Merge.Squash, RemoveSourceBranch: r.Rule.Merge.RemoveSourceBranch}
	if s.State != ForgeOpen || s.Head != r.Head || s.Target != r.Target || s.Draft {
		mr.LookAt = mr.Now.Add(retryMin) // locked: a merge is under way
		return how, false
	}
	class := s.Merging.Class
	if wait := r.Rule.Merge.WhenPipelineSucceeds; class == MergeGo && wait != nil && *wait {
		class = mr.pipelineClass(r)
	}
	switch class {
	case MergeGo:
		return how, true
	case MergeCI:
		if s.AutoMerge {
			r.Scheduled = true
		} else if wait := r.Rule.Merge.WhenPipelineSucceeds; !r.Scheduled && (wait == nil || *wait) {
			how.WhenGreen = true
			return how, true
		}
		mr.lookAgain(r, soonMin, personMax)
	case MergeSoon:
		mr.lookAgain(r, soonMin, soonMax)
	case MergeBlocked:
		mr.block(r, s.Merging)
	}
	return how, false
}

// pipelineClass is the class under a rule that waits for the pipeline, also
// where the project demands none.
func (mr *MergeRequest) pipelineClass(r *Request) MergeClass {
	p := mr.Snapshot.Pipeline
	switch {
	case p == nil && mr.Now.Sub(r.OpenedAt) < time.Minute:
		return MergeSoon // right after a push the pipeline is not there yet
	case p == nil, p.Status == "success":
		return MergeGo
	case p.Status == "failed", p.Status == "canceled", p.Status == "skipped", p.Status == "manual":
		mr.Snapshot.Merging = Mergeability{Class: MergeBlocked, Reason: "ci_must_pass", Detail: p.Status}
		return MergeBlocked
	}
	return MergeCI
}

// mergeAnswered takes in what became of an attempt to merge.
func (mr *MergeRequest) mergeAnswered(r *Request, result MergeResult) {
	mr.Tries, mr.Error = 0, ""
	mr.record(r, EntryEffect, struct {
		Effect effectKind  `json:"effect"`
		Head   CommitID    `json:"head"`
		Answer MergeStatus `json:"answer"`
		Commit CommitID    `json:"commit,omitempty"`
		Why    string      `json:"why,omitempty"`
	}{effectMerge, r.Head, result.Status, result.Commit, result.Why.Reason})
	switch result.Status { //nolint:exhaustive // the others change nothing in the forge
	case Merged:
		r.Merge.Done = mr.Now
		mr.Snapshot.State, mr.Snapshot.MergeCommit = ForgeMerged, result.Commit
	case Scheduled:
		r.Scheduled, mr.Snapshot.AutoMerge = true, true
	}
	// Somebody may have rejected it meanwhile. That comes too late if it is merged
	// by now; else what it asks for is next, and not to be waited with.
	if r.State != Approved && (result.Status != Merged || !r.State.Followed()) {
		return
	}
	switch result.Status {
	case Merged:
		mr.move(r, EventMerged)
	case Scheduled:
		mr.lookAgain(r, personMin, personMax)
	case Computing:
		// "It can be merged", and yet it was not: after a while, or with an error
		// to show, that is for a person.
		if why := result.Why; why.Class == MergeGo && (why.Detail != "" || mr.Now.Sub(r.DecidedAt) > stuckAfter) {
			mr.block(r, Mergeability{Class: MergeBlocked, Reason: "merge_error", Detail: why.Detail})
			return
		}
		mr.lookAgain(r, soonMin, soonMax)
	case Blocked:
		mr.block(r, result.Why)
	case Moved:
		mr.LookAt = mr.Now
	}
}

// block says that a person has to do something, and when to see whether they did.
func (mr *MergeRequest) block(r *Request, why Mergeability) {
	if r.State != Approved && r.State != BlockedNow {
		return // rejected while the forge was asked: nothing is blocked by this any more
	}
	r.Blocked = why
	if r.State != BlockedNow {
		mr.move(r, EventBlocked)
	}
	mr.lookAgain(r, personMin, personMax)
}

func (mr *MergeRequest) lookAgain(r *Request, least, most time.Duration) {
	mr.LookAt = mr.Now.Add(patience(mr.Now.Sub(r.DecidedAt), least, most))
}

// note writes what was decided, by whom and why under the merge request: the
// forge itself shows only mrgate's own account.
func (w *work) note(ctx context.Context, id int64) error {
	var n Note
	mode := w.g.rules.Load().Note
	err := w.announce(func(mr *MergeRequest) {
		r := mr.request(id)
		n = Note{
			Key:      fmt.Sprintf("%s-%d", r.Head.Short(), r.ID),
			Body:     noteBody(mr, r, w.g.words),
			Internal: mode == policy.NoteInternal || mode == policy.NoteAuto && (mr.Contents == nil || mr.Contents.Public),
			Again:    r.Note.tried(),
		}
		r.Note.Tried = mr.Now
	})
	if err != nil {
		return err
	}
	c, cancel := call(ctx)
	defer cancel()
	ref, err := w.g.forge.Note(c, w.mr.Ref, n)
	w.read = time.Time{}
	switch {
	case errors.Is(err, ErrNotPermitted):
		return w.refused(ctx, id, effectNote, err)
	case err != nil:
		return w.failed(ctx, string(effectNote), err)
	}
	return w.change(func(mr *MergeRequest) {
		r := mr.request(id)
		r.NoteRef = ref
		mr.did(r, effectNote, "")
	})
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
	}
	panic("no such effect: " + string(what))
}
