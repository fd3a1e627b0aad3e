package gate

import (
	"time"

	"mrgate/internal/policy"
)

// Landing is how a merge request came to be merged into a branch that a rule
// covers: each has at most one, since a forge opens nothing again that is merged.
type Landing struct {
	At     time.Time // by the forge's clock; where it does not say when, by the store's
	Around Bypass    // "": what was merged is what was approved
	Rule   string    // the name of the rule that covered it
	Entry  *Entry    // of the log, if it was merged around the gate; nil: it was not
}

// Bypass says why a merge went around the gate.
type Bypass string

// The ways around the gate. What nobody was asked about includes what was a draft
// or had another target when it was last asked about.
const (
	BypassUnasked   Bypass = "nobody was asked"
	BypassUndecided Bypass = "not approved"
	BypassRejected  Bypass = "rejected"
	BypassExpired   Bypass = "expired"
	BypassCommit    Bypass = "another commit than was asked about"
	BypassTarget    Bypass = "another target than was asked about"
	BypassEarly     Bypass = "merged before it was approved"
	BypassDryRun    Bypass = "asked about in a dry run only"
)

// clocksApart is how much the forge's clock may differ from the store's. A merge
// by hand that came less than this before the approval is taken for one after it.
const clocksApart = time.Minute

// land takes in that the forge has merged it, the first time that this is seen:
// rule is the one that covered it then; nil: none did, and the merge is nobody's
// business, unless somebody was asked about just this.
func (mr *MergeRequest) land(rule *policy.Rule) {
	s, r := mr.Snapshot, mr.Current()
	if mr.Landing != nil || s.State != ForgeMerged {
		return
	}
	if r != nil && r.State.Followed() && r.Target == s.Target {
		rule = &r.Rule
	}
	if rule == nil {
		return
	}
	l := &Landing{At: s.MergedAt, Around: mr.bypass(), Rule: rule.Name}
	if l.At.IsZero() {
		l.At = mr.Now
	}
	mr.Landing = l
	if l.Around == "" {
		return
	}
	l.Entry = mr.record(r, EntryBypassed, BypassedData{
		Path: s.Path, Number: mr.Ref.Number, URL: s.URL, Title: s.Title, Author: s.Author,
		Head: s.Head, Source: s.Source, Target: s.Target, Rule: l.Rule,
		Why: l.Around, By: s.MergedBy, At: l.At, Commit: s.MergeCommit,
	})
}

// bypass says why what the forge has merged is not what was approved; "": it is.
func (mr *MergeRequest) bypass() Bypass {
	s, r := mr.Snapshot, mr.Current()
	switch {
	case r == nil || r.State == Superseded || r.State == Withdrawn:
		return BypassUnasked
	case r.Dry:
		return BypassDryRun
	case r.State == Expired && (!r.Merge.tried() || !s.MergedAt.Before(r.ExpiresAt)): // else the forge did it in time, as it was told
		return BypassExpired
	case r.State == ClosedHere:
		return BypassRejected
	case r.Head != s.Head:
		return BypassCommit
	case r.Target != s.Target:
		return BypassTarget
	case r.State == Rejected && !r.rejectedTooLate():
		return BypassRejected
	case r.State == Pending:
		return BypassUndecided
	case !r.Merge.tried() && !s.MergedAt.IsZero() && s.MergedAt.Before(r.DecidedAt.Add(-clocksApart)):
		return BypassEarly
	}
	return ""
}

// rejectedTooLate says that the rejection came while mrgate itself was merging.
func (r *Request) rejectedTooLate() bool {
	return r.State == Rejected && r.Merge.tried() && r.DecidedAt.Sub(r.Merge.Tried) <= callTimeout
}
