package page

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/story"
)

// row is a request in a list.
type row struct {
	gate.Listed
	Name      string // of the merge request: payments/api!7
	Needs     string // approvals: "1 of 2"; "": one is enough
	Waits     string // for whom or what; "": for nothing
	Trouble   string // that somebody should know of; "": none
	Outcome   string // what became of it, if it is over
	Since     time.Time
	Now       time.Time
	Rehearsal bool
}

func rowOf(l gate.Listed, now time.Time) row {
	r := row{Listed: l, Name: story.Name(l.Path, l.Ref), Now: now, Since: l.OpenedAt, Rehearsal: l.Dry}
	if l.Required > 1 {
		r.Needs = fmt.Sprintf("%d of %d", l.Approvals, l.Required)
	}
	if l.State.Open() {
		r.Waits, r.Trouble = awaited(l), trouble(l)
		return r
	}
	r.Outcome = outcome(l)
	for _, at := range []time.Time{l.DecidedAt, l.EndedAt} {
		if !at.IsZero() {
			r.Since = at
		}
	}
	return r
}

// awaited says who has to do something next.
func awaited(l gate.Listed) string {
	switch {
	case l.State == gate.BlockedNow:
		return "somebody to act: " + story.Clean(cmp.Or(l.Blocked, "GitLab does not merge it"))
	case l.State == gate.Approved:
		return "GitLab"
	case len(l.Awaited) == 0:
		return "an approver, but nobody is left who may approve"
	}
	return story.CleanList(l.Awaited)
}

// trouble says what holds it up, or will.
func trouble(l gate.Listed) string {
	var list []string
	if len(l.Missing) > 0 {
		list = append(list, "not found in the chat: "+story.CleanList(l.Missing))
	}
	for _, o := range l.Others {
		list = append(list, "another person now: "+story.Clean(o.Identity))
	}
	if l.Error != "" {
		list = append(list, story.Clean(l.Error))
	}
	return strings.Join(list, "; ")
}

// outcome says by whom or what it came to its end.
func outcome(l gate.Listed) string {
	if l.Cause != "" {
		return story.CauseText(l.Cause)
	}
	var approved, rejected []string
	for _, d := range l.Decided {
		switch {
		case d.Void:
		case d.Verdict == gate.Reject:
			said := story.Clean(cmp.Or(d.Name, d.Person)) + " rejected"
			if d.Reason != "" {
				said += ": “" + story.Clean(d.Reason) + "”"
			}
			rejected = append(rejected, said)
		default:
			approved = append(approved, story.Clean(cmp.Or(d.Name, d.Person)))
		}
	}
	if len(rejected) > 0 {
		return strings.Join(rejected, "; ")
	}
	if len(approved) > 0 {
		return strings.Join(approved, ", ") + " approved"
	}
	return ""
}
