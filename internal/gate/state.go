package gate

import "fmt"

// State is where an approval request stands.
type State string

// The states; docs/states.md shows how one leads to another.
const (
	Pending    State = "pending"    // waits for decisions
	Approved   State = "approved"   // enough approved; the end where the rule says on_approve: approve
	MergedHere State = "merged"     // end
	BlockedNow State = "blocked"    // approved, but the forge wants a person to do something
	Rejected   State = "rejected"   // the end where the rule says on_reject: comment
	ClosedHere State = "closed"     // end
	Expired    State = "expired"    // end
	Superseded State = "superseded" // end: another head or target, or a draft
	Withdrawn  State = "withdrawn"  // end: merged or closed by somebody else, or no rule any more
)

// States are all of them.
func States() []State {
	return []State{Pending, Approved, BlockedNow, MergedHere, Rejected, ClosedHere, Expired, Superseded, Withdrawn}
}

// Event is what moves a request.
type Event string

// The events, as the log names them.
const (
	EventApproved   Event = "enough approvals"
	EventRejected   Event = "a rejection"
	EventMerged     Event = "the forge merged this head"
	EventBlocked    Event = "the forge will not merge until a person acts"
	EventUnblocked  Event = "Retry, or the cause is gone"
	EventLapsed     Event = "approvals stopped counting"
	EventClosed     Event = "closed after the rejection"
	EventExpired    Event = "time is over"
	EventSuperseded Event = "another head or target, or a draft"
	EventWithdrawn  Event = "merged or closed elsewhere, or no rule any more"
)

// Move is one line of the state table.
type Move struct {
	From State
	On   Event
	To   State
}

// Moves is the state table: every move that a request can make. A test prints
// it into docs/states.md.
func Moves() []Move {
	return []Move{
		{Pending, EventApproved, Approved},
		{Pending, EventRejected, Rejected},
		{Pending, EventExpired, Expired},
		{Pending, EventSuperseded, Superseded},
		{Pending, EventWithdrawn, Withdrawn},

		{Approved, EventMerged, MergedHere},
		{Approved, EventBlocked, BlockedNow},
		{Approved, EventRejected, Rejected},
		{Approved, EventLapsed, Pending},
		{Approved, EventExpired, Expired},
		{Approved, EventSuperseded, Superseded},
		{Approved, EventWithdrawn, Withdrawn},

		{BlockedNow, EventMerged, MergedHere},
		{BlockedNow, EventUnblocked, Approved},
		{BlockedNow, EventRejected, Rejected},
		{BlockedNow, EventLapsed, Pending},
		{BlockedNow, EventExpired, Expired},
		{BlockedNow, EventSuperseded, Superseded},
		{BlockedNow, EventWithdrawn, Withdrawn},

		{Rejected, EventClosed, ClosedHere},
		{Rejected, EventMerged, MergedHere}, // it came while the forge was merging: too late
		{Rejected, EventSuperseded, Superseded},
		{Rejected, EventWithdrawn, Withdrawn},
	}
}

// next gives the state that on leads to from s.
func (s State) next(on Event) (State, error) {
	for _, m := range Moves() {
		if m.From == s && m.On == on {
			return m.To, nil
		}
	}
	return s, fmt.Errorf("no move from %q on %q", s, on)
}

// Open says that the request asks or acts: at most one of a merge request is.
func (s State) Open() bool { return s == Pending || s == Approved || s == BlockedNow }

// Followed says that what happens to the merge request still matters to it.
func (s State) Followed() bool { return s.Open() || s == Rejected }
