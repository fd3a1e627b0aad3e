package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/policy"
)

// Order is an operator's decision. It settles a request alone, whatever the
// quorum.
type Order struct {
	Verdict  Verdict
	Reason   string
	Operator string // who it is, as the system knows: "alice@build-3", or the name of a token
	By       string // who they say they are; a claim, shown as one
	Way      string // how it came in, for the log: "shell"
}

// Outcome is what became of an order within its time.
type Outcome string

// The outcomes.
const (
	OutcomeDone      Outcome = "done"      // the forge has done it
	OutcomeBlocked   Outcome = "blocked"   // a person has to do something first
	OutcomeRecorded  Outcome = "recorded"  // it is on disk; whoever works on the database next does it
	OutcomeOvertaken Outcome = "overtaken" // another commit or target, a draft, merged or closed elsewhere
	OutcomeRejected  Outcome = "rejected"  // an approver's rejection stands
)

// Errors of Decide, beside those of the store and the forge.
var (
	// ErrNoRule: no rule covers the merge request.
	ErrNoRule = errors.New("no rule covers it")
	// ErrDenied: the policy lets no operator decide.
	ErrDenied = errors.New("the policy says operator_decisions: deny")
	// ErrOtherPolicy: the listener on this database works under another policy.
	ErrOtherPolicy = errors.New("the listener on this database works under another policy")
	// ErrDryRun: the listener on this database rehearses, or did when it last ran.
	ErrDryRun = errors.New("the listener on this database is in a dry run, and operators decide for real; start it without --dry-run first")
	// ErrDecided: this operator decided otherwise before.
	ErrDecided = errors.New("this operator has decided otherwise before")
)

// Decide has an operator decide on the latest request of the merge request, and
// opens one if there is none. It works on the row itself, or waits while somebody
// else does, until the forge has done it or ctx ends. request, if not 0, is the
// number that the latest one must have. The merge request is given as it then is.
//
// It needs no chat: without one the cards are left to the listener.
func (g *Gate) Decide(ctx context.Context, ref Ref, request int64, order Order) (Outcome, *MergeRequest, error) {
	rules := g.rules.Load()
	if rules.OperatorDecisions == policy.OperatorDeny {
		return "", nil, ErrDenied
	}
	switch hash, dry, err := g.store.InForce(ctx); {
	case err != nil:
		return "", nil, fmt.Errorf("read the policy in force: %w", err)
	case dry, rules.dry:
		return "", nil, ErrDryRun
	case hash == "":
		if err := g.store.Policy(ctx, rules.hash, rules.Text(), false); err != nil {
			return "", nil, fmt.Errorf("note the policy: %w", err)
		}
	case hash != rules.hash:
		return "", nil, ErrOtherPolicy
	}
	mr, err := g.opened(ctx, ref)
	switch {
	case errors.Is(err, errOvertaken):
		return mr.overFor(order), mr, nil
	case err != nil:
		return "", mr, err
	}
	r := mr.Current()
	if request != 0 && r.ID != request {
		return OutcomeOvertaken, mr, nil
	}
	err = g.store.Change(ctx, By{Ref: &ref}, func(now *MergeRequest) error {
		mr = now
		return now.order(r.ID, order)
	})
	switch {
	case errors.Is(err, errOvertaken):
		return mr.overFor(order), mr, nil
	case err != nil:
		return "", mr, fmt.Errorf("record the decision: %w", err)
	}
	return g.carryOut(ctx, ref, r.ID, order.Verdict)
}

// opened gives the merge request with a followed request; it looks at the forge
// if there is none.
func (g *Gate) opened(ctx context.Context, ref Ref) (*MergeRequest, error) {
	mr, err := g.store.Peek(ctx, By{Ref: &ref})
	if err == nil && mr.Current() != nil && mr.Current().State.Followed() && !mr.Current().Dry {
		return mr, nil
	}
	if err != nil && !errors.Is(err, ErrNoRow) {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	var since time.Time
	err = g.store.Change(ctx, By{Ref: &ref}, func(mr *MergeRequest) error {
		since = mr.Now
		mr.look()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask for a look: %w", err)
	}
	for {
		mr, err := g.workOn(ctx, ref)
		if err != nil {
			return mr, err
		}
		switch {
		case mr.Snapshot != nil && !mr.Snapshot.ReadAt.Before(since) && mr.Why != "":
			if mr.noRuleFor(g.rules.Load()) {
				return mr, fmt.Errorf("%w: %s", ErrNoRule, mr.Why)
			}
			if s := mr.Snapshot.State; s == ForgeMerged || s == ForgeClosed {
				return mr, errOvertaken
			}
			if mr.LookAt.IsZero() { // else it is being prepared, and looked at again
				return mr, fmt.Errorf("nothing to decide on: %s", mr.Why)
			}
		case mr.Current() != nil && mr.Snapshot != nil && !mr.Snapshot.ReadAt.Before(since):
			return mr, nil
		case mr.ForgeAt.After(since) && mr.Error != "":
			return mr, errors.New(mr.Error)
		}
	}
}

func (mr *MergeRequest) noRuleFor(rules *rules) bool {
	return mr.Snapshot.Ready() && rules.Match(projectOf(mr.Ref, mr.Snapshot), mr.Snapshot.Target) == nil
}

// errOvertaken: what the order was about is over.
var errOvertaken = errors.New("overtaken")

// overFor says what it means for the order that everything is over. Ordered
// again, what this operator brought about is done; what others did is not theirs.
func (mr *MergeRequest) overFor(o Order) Outcome {
	r := mr.Current()
	if r == nil {
		return OutcomeOvertaken
	}
	outcome := outcomeOf(r, o.Verdict)
	if d := r.decisionOf(o.person()); outcome == OutcomeDone && (d == nil || d.Verdict != o.Verdict) || outcome == OutcomeRecorded {
		return OutcomeOvertaken
	}
	return outcome
}

// person is whom the decision stands for, apart from the chat's people.
func (o *Order) person() string { return viaOperator + ":" + o.Operator }

// order adds an operator's decision.
func (mr *MergeRequest) order(id int64, o Order) error {
	mr.expire()
	r := mr.Current()
	if r == nil || r.ID != id || !r.State.Followed() || r.Dry {
		return errOvertaken
	}
	person := o.person()
	if d := r.decisionOf(person); d != nil {
		if d.Verdict != o.Verdict {
			return ErrDecided
		}
		mr.arrive(true)
		return nil // run again: it goes on waiting
	}
	switch {
	case o.Verdict == Approve && r.State == Rejected, o.Verdict == Reject && r.State == Rejected:
		return errOvertaken
	case o.Verdict == Reject && r.State == Approved && r.ends():
		return errOvertaken
	}
	name := o.Operator
	if o.By != "" {
		name += " (" + o.By + "?)"
	}
	mr.decide(r, &Decision{Person: person, Name: name, Verdict: o.Verdict, Reason: o.Reason, Via: viaOperator, At: mr.Now}, Evidence{Way: o.Way})
	return nil
}

// carryOut works on the row until the forge has done what was ordered.
func (g *Gate) carryOut(ctx context.Context, ref Ref, id int64, v Verdict) (Outcome, *MergeRequest, error) {
	for {
		mr, err := g.workOn(ctx, ref)
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			return OutcomeRecorded, mr, nil
		case err != nil:
			return OutcomeRecorded, mr, err
		}
		r := mr.request(id)
		if r == nil {
			r = mr.Current()
		}
		if r.ID != id {
			return OutcomeOvertaken, mr, nil
		}
		if outcome := outcomeOf(r, v); outcome != OutcomeRecorded && (outcome == OutcomeBlocked || mr.effectOf(r, g.rules.Load()) == "") {
			return outcome, mr, nil
		}
	}
}

// outcomeOf says what the state means for somebody who wanted v.
func outcomeOf(r *Request, v Verdict) Outcome {
	switch r.State {
	case MergedHere:
		if v == Approve {
			return OutcomeDone
		}
		return OutcomeOvertaken
	case ClosedHere:
		if v == Reject {
			return OutcomeDone
		}
		return OutcomeRejected
	case Rejected:
		if v == Approve {
			return OutcomeRejected
		}
		if r.ends() {
			return OutcomeDone
		}
	case Approved:
		if v == Approve && r.ends() && r.Approve.done() {
			return OutcomeDone
		}
	case BlockedNow:
		if v == Approve {
			return OutcomeBlocked
		}
	case Superseded, Withdrawn, Expired:
		return OutcomeOvertaken
	case Pending:
	}
	return OutcomeRecorded
}

// workOn works once on the row, or waits a moment while somebody else does, and
// gives it as it then is.
func (g *Gate) workOn(ctx context.Context, ref Ref) (*MergeRequest, error) {
	by := By{Ref: &ref}
	mr, err := g.store.Peek(ctx, by)
	if err != nil {
		return nil, err
	}
	if what, _ := mr.nextEffect(g.rules.Load()); !mr.forgeRests() && (what != nil || mr.wantsLook()) {
		claimed, err := g.store.ClaimRow(ctx, by, rand.Text(), leaseFor)
		switch {
		case err == nil:
			g.reconcile(ctx, claimed)
			return g.store.Peek(context.WithoutCancel(ctx), by)
		case !errors.Is(err, ErrBusy):
			return mr, err
		}
	}
	if !pause(ctx, 50*time.Millisecond) {
		return mr, ctx.Err()
	}
	return g.store.Peek(ctx, by)
}
