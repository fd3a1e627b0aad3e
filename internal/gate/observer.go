package gate

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Observer is told what a Gate does while it does it, for those who measure. Its
// methods are called from several goroutines, and return at once.
type Observer interface {
	// Called: a call that writes has done so, or a call failed. That mrgate ended
	// meanwhile, or that there is another commit by now, is no failure.
	Called(call Call, done bool)
	// Merged: a request was merged, so long after the decision that was enough.
	Merged(after time.Duration)
}

// Target is whom a call goes to.
type Target string

// The targets.
const (
	TargetForge Target = "forge"
	TargetChat  Target = "chat"
)

// Call is a kind of call that a Gate makes.
type Call struct {
	Target Target
	Name   string
	Writes bool
}

// Calls are all kinds there are.
func Calls() []Call {
	calls := []Call{callRead(), callSend(), callUpdate(), callPeople()}
	for _, what := range []effectKind{effectApprove, effectMerge, effectClose, effectRetract, effectNote, effectStatus} {
		calls = append(calls, what.call())
	}
	return calls
}

func callRead() Call   { return Call{Target: TargetForge, Name: "read"} }
func callSend() Call   { return Call{Target: TargetChat, Name: "send", Writes: true} }
func callUpdate() Call { return Call{Target: TargetChat, Name: "update", Writes: true} }
func callPeople() Call { return Call{Target: TargetChat, Name: "people"} }

func (what effectKind) call() Call {
	return Call{Target: TargetForge, Name: string(what), Writes: true}
}

// observe tells how a call ended that was made for ctx.
func (g *Gate) observe(ctx context.Context, call Call, err error) {
	switch {
	case g.observer == nil, err == nil && !call.Writes:
	case err != nil && ctx.Err() != nil, errors.Is(err, ErrHeadMoved):
	default:
		g.observer.Called(call, err == nil)
	}
}

// observeMerge tells of a merge that a write made known: of a request that was
// open before. A rejection that came too late is no decision to merge.
func (g *Gate) observeMerge(open []int64, now *MergeRequest) {
	if g.observer == nil {
		return
	}
	for _, r := range now.Requests {
		if r.State == MergedHere && slices.Contains(open, r.ID) {
			g.observer.Merged(r.EndedAt.Sub(r.DecidedAt))
		}
	}
}

// openRequests are the numbers of those that are.
func (mr *MergeRequest) openRequests() []int64 {
	var open []int64
	for _, r := range mr.Requests {
		if r.State.Open() {
			open = append(open, r.ID)
		}
	}
	return open
}
