package gate

import (
	"context"
	"errors"
	"time"

	"mrgate/internal/words"
)

const (
	// statusMin and statusMax bound how often a status is tried that the forge does
	// not take, and statusFor is for how long.
	statusMin = 10 * time.Second
	statusMax = time.Hour
	statusFor = 24 * time.Hour
)

// statusOf is what the status on the request's commit is to say; "": nothing. It
// promises no more than was done: what is approved and not merged yet still waits.
// What nobody decided, or does not count any more, is neither passed nor failed.
func (mr *MergeRequest) statusOf(r *Request) StatusState {
	for _, later := range mr.Requests {
		if later.Seq > r.Seq && later.Head == r.Head {
			return "" // which speaks for this commit now
		}
	}
	if !r.Rule.CommitStatus {
		if r.StatusShown == StatusPending {
			return StatusCanceled // the rule wants it no more, and nothing would ever end it
		}
		return ""
	}
	switch r.State {
	case Pending, BlockedNow:
		return StatusPending
	case Approved:
		if r.ends() && r.Approve.done() {
			return StatusSuccess
		}
		return StatusPending
	case MergedHere:
		return StatusSuccess
	case Rejected, ClosedHere:
		return StatusFailed
	case Expired, Superseded, Withdrawn:
		if r.Status.tried() {
			return StatusCanceled
		}
	}
	return ""
}

// statusAt says whether the status does not say what it should, and when to say it:
// at once, or some time after a try that failed. That holds up nothing else.
func (mr *MergeRequest) statusAt(r *Request, p *rules) (at time.Time, due bool) {
	if want := mr.statusOf(r); p.dry || r.Dry || want == "" || want == r.StatusShown {
		return time.Time{}, false
	}
	if !r.unanswered() {
		return mr.Now, true
	}
	return r.Status.Tried.Add(patience(r.Status.Tried.Sub(r.changedAt()), statusMin, statusMax)), true
}

// unanswered says that nobody knows what became of the last try at the status.
func (r *Request) unanswered() bool { return r.Status.Tried.After(r.Status.Done) }

// changedAt is when the request came to where it stands, or nearly.
func (r *Request) changedAt() time.Time { return latest(latest(r.OpenedAt, r.DecidedAt), r.EndedAt) }

// status shows on the commit where the request stands. What keeps the forge from
// taking it is written down and keeps nothing else: it is a sign, on which nothing
// depends.
func (w *work) status(ctx context.Context, id int64) error {
	var s CommitStatus
	still, err := w.stillWanted(id, effectStatus, func(mr *MergeRequest, r *Request) {
		state := mr.statusOf(r)
		s = CommitStatus{
			Head: r.Head, State: state, URL: mr.Snapshot.URL, Again: r.unanswered(),
			Text: w.g.words().Status(words.Ref(mr.Snapshot.Path, mr.Ref.Number), string(state)),
		}
		r.Status.Tried = mr.Now
	})
	if err != nil || !still {
		return err
	}
	c, cancel := call(ctx)
	defer cancel()
	err = w.g.forge.Status(c, w.mr.Ref, s)
	w.g.observe(ctx, effectStatus.call(), err)
	trouble := ""
	switch r := w.mr.request(id); {
	case err != nil && ctx.Err() != nil:
		return errStop // mrgate is told to end
	case errors.Is(err, ErrNotPermitted), errors.Is(err, ErrNotFound), err != nil && w.mr.Now.Sub(r.changedAt()) > statusFor:
		w.g.log.Warn("the forge refuses", "what", string(effectStatus), "merge_request", w.mr.Ref.String(), "err", err)
		trouble = err.Error()
	case err != nil:
		at, _ := w.mr.statusAt(r, w.g.rules.Load())
		w.warn(string(effectStatus), err, at)
		return w.change(func(mr *MergeRequest) { mr.attempted(mr.request(id), effectStatus, err) })
	}
	return w.change(func(mr *MergeRequest) {
		r := mr.request(id)
		r.StatusShown = s.State
		mr.did(r, effectStatus, trouble)
	})
}
