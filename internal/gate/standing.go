package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mrgate/internal/policy"
)

// Standing is what a request means to somebody who waits for people's decision,
// merged or not.
type Standing string

// The standings.
const (
	StandingPending   Standing = "pending"   // not decided
	StandingApproved  Standing = "approved"  // enough people approved
	StandingRejected  Standing = "rejected"  // somebody rejected
	StandingExpired   Standing = "expired"   // nobody decided in time
	StandingOvertaken Standing = "overtaken" // another commit or target; merged or closed elsewhere
	StandingDraft     Standing = "draft"     // nobody is asked before it is ready
	StandingNoRule    Standing = "no_rule"   // no rule covers it
	StandingUnknown   Standing = "unknown"   // the forge has not been read yet
)

// Final says that nobody has to be waited for any more.
func (s Standing) Final() bool {
	switch s {
	case StandingPending, StandingDraft, StandingUnknown:
		return false
	case StandingApproved, StandingRejected, StandingExpired, StandingOvertaken, StandingNoRule:
	}
	return true
}

// Standing is that of the request with this number, which must be loaded; of 0,
// that of the merge request as it now is.
func (mr *MergeRequest) Standing(request int64) Standing {
	r := mr.Current()
	if request != 0 {
		r = mr.request(request)
	}
	switch {
	case r == nil:
		return mr.unasked()
	case request == 0 && mr.wantedAgain():
		return StandingUnknown
	case request == 0 && mr.movedOn(r):
		return mr.unasked()
	}
	switch {
	case r.Dry && r.State.Followed():
		return StandingPending // what is decided in a dry run lets nothing pass
	case r.Dry && r.State == ClosedHere:
		return StandingOvertaken
	}
	switch r.State {
	case Pending:
		return StandingPending
	case Approved, BlockedNow, MergedHere:
		return StandingApproved
	case Rejected, ClosedHere:
		return StandingRejected
	case Expired:
		return StandingExpired
	case Superseded:
		switch {
		case request == 0:
			return mr.unasked()
		case r.Cause == CauseDraft:
			return StandingDraft
		}
	case Withdrawn:
		if r.Cause == CauseNoRule {
			return StandingNoRule
		}
	}
	return StandingOvertaken
}

// movedOn says that the merge request is open for something else than what the
// request was about, and that this is still to be asked about.
func (mr *MergeRequest) movedOn(r *Request) bool {
	s := mr.Snapshot
	return !r.State.Followed() && s != nil && (s.State == ForgeOpen || s.State == ForgeLocked) &&
		(s.Draft || r.Head != s.Head || r.Target != s.Target || r.Opening != mr.Opening)
}

// unasked is the standing of a merge request for which nothing is open.
func (mr *MergeRequest) unasked() Standing {
	s := mr.Snapshot
	switch {
	case s == nil:
		return StandingUnknown
	case s.State == ForgeMerged, s.State == ForgeClosed:
		return StandingOvertaken
	case s.Draft:
		return StandingDraft
	case strings.HasPrefix(mr.Why, WhyNoRule):
		return StandingNoRule
	}
	return StandingUnknown
}

// Covers says that some rule holds in the project with this ID and path.
func (g *Gate) Covers(id int64, path string) bool {
	return g.rules.Load().Covers(policy.ProjectRef{ID: id, Path: path})
}

// CoversForks says that some rule lets jobs of forks of the project with this ID
// and path ask.
func (g *Gate) CoversForks(id int64, path string) bool {
	return g.rules.Load().CoversForks(policy.ProjectRef{ID: id, Path: path})
}

// OpenToFork says that a job of the project with the ID from may ask about the
// merge request: its source branch is there, and its rule has forks: true.
func (g *Gate) OpenToFork(ref Ref, s *Snapshot, from int64) bool {
	rule := g.rules.Load().Match(projectOf(ref, s), s.Target)
	return rule != nil && rule.Forks && from != 0 && s.From == from
}

// pollStanding is how often somebody's wait looks into the store, where another
// process may have written.
const pollStanding = 200 * time.Millisecond

// Ask has the merge request looked at, and gives it as it is when that is done
// or ctx has ended. ErrNoRow: no rule covers its project, or it is over and was
// never asked about.
func (g *Gate) Ask(ctx context.Context, hint Hint) (*MergeRequest, error) {
	by := By{Ref: &hint.Ref}
	before, err := g.store.Peek(ctx, by)
	if err != nil && !errors.Is(err, ErrNoRow) {
		return nil, fmt.Errorf("ask for %s: %w", hint.Ref, err)
	}
	var since time.Time
	if before != nil {
		since = before.Now
	}
	if _, err := g.Look(ctx, hint); err != nil {
		return nil, err
	}
	return g.Await(ctx, by, func(mr *MergeRequest) bool {
		return mr.Snapshot != nil && !mr.Snapshot.ReadAt.Before(since) && mr.Standing(0) != StandingUnknown
	})
}

// Await gives the merge request that by names as soon as it is as until wants
// it, or as it is when ctx ends.
func (g *Gate) Await(ctx context.Context, by By, until func(mr *MergeRequest) bool) (*MergeRequest, error) {
	for {
		mr, err := g.store.Peek(context.WithoutCancel(ctx), by)
		if err != nil || until(mr) || !pause(ctx, pollStanding) {
			return mr, err
		}
	}
}
