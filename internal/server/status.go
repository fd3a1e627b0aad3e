package server

import (
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/story"
)

// Status is what the API tells of a merge request and a request about it. It and
// the other bodies have the names of docs/openapi.yaml.
type Status struct {
	MergeRequest MergeRequest  `json:"merge_request"`
	Request      *Request      `json:"request,omitempty"`
	Outcome      gate.Standing `json:"outcome"`
	Why          string        `json:"why,omitempty"`
}

// MergeRequest is what GitLab said of it when it was last read.
type MergeRequest struct {
	ProjectID   int64           `json:"project_id"`
	IID         int64           `json:"iid"`
	Path        string          `json:"path,omitempty"`
	URL         string          `json:"url,omitempty"`
	Title       string          `json:"title,omitempty"`
	Author      string          `json:"author,omitempty"`
	State       gate.ForgeState `json:"state,omitempty"`
	Draft       bool            `json:"draft,omitempty"`
	Head        gate.CommitID   `json:"head,omitempty"`
	Target      string          `json:"target,omitempty"`
	MergeCommit gate.CommitID   `json:"merge_commit,omitempty"`
}

// Request is an approval request.
type Request struct {
	ID        int64         `json:"id"`
	State     gate.State    `json:"state"`
	DryRun    bool          `json:"dry_run,omitempty"`
	Cause     gate.Cause    `json:"cause,omitempty"`
	Blocked   string        `json:"blocked,omitempty"`
	Head      gate.CommitID `json:"head"`
	Target    string        `json:"target"`
	Rule      string        `json:"rule"`
	Required  int           `json:"required"`
	Approvals int           `json:"approvals"`
	Awaited   []string      `json:"awaited,omitempty"`
	WaitsFor  string        `json:"waits_for,omitempty"`
	OpenedAt  time.Time     `json:"opened_at"`
	ExpiresAt time.Time     `json:"expires_at"`
	DecidedAt time.Time     `json:"decided_at,omitzero"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Decisions []Decision    `json:"decisions"`
}

// Decision is one person's verdict.
type Decision struct {
	Name    string       `json:"name,omitempty"`
	Verdict gate.Verdict `json:"verdict"`
	Via     string       `json:"via"`
	Reason  string       `json:"reason,omitempty"`
	Void    bool         `json:"void,omitempty"`
	At      time.Time    `json:"at"`
}

// statusOf tells of the request with this number, or, of 0, of the latest.
func statusOf(mr *gate.MergeRequest, number int64) Status {
	st := Status{
		MergeRequest: MergeRequest{ProjectID: mr.Ref.Project, IID: mr.Ref.Number},
		Outcome:      mr.Standing(number),
		Why:          mr.Why,
	}
	if mr.Error != "" && !st.Outcome.Final() {
		st.Why = strings.TrimPrefix(st.Why+"; "+mr.Error, "; ")
	}
	if s := mr.Snapshot; s != nil {
		m := &st.MergeRequest
		m.Path, m.URL, m.Title, m.Author = s.Path, s.URL, s.Title, s.Author.Username
		m.State, m.Draft, m.Head, m.Target, m.MergeCommit = s.State, s.Draft, s.Head, s.Target, s.MergeCommit
	}
	r := mr.Current()
	for _, other := range mr.Requests {
		if other.ID == number {
			r = other
		}
	}
	if r == nil {
		return st
	}
	if r.Dry && r.State.Followed() {
		st.Why = "the listener is in a dry run: what people decide in it counts for nothing"
	}
	l := mr.Listed(r)
	st.Request = &Request{
		ID: l.Number, State: l.State, DryRun: l.Dry, Cause: l.Cause, Blocked: l.Blocked, Head: l.Head, Target: l.Target,
		Rule: l.Rule, Required: l.Required, Approvals: l.Approvals, Awaited: l.Awaited, WaitsFor: story.WaitsFor(mr, r),
		OpenedAt: l.OpenedAt, ExpiresAt: r.ExpiresAt, DecidedAt: l.DecidedAt, EndedAt: l.EndedAt,
		Decisions: []Decision{},
	}
	for _, d := range l.Decided {
		st.Request.Decisions = append(st.Request.Decisions, Decision{d.Name, d.Verdict, d.Via, d.Reason, d.Void, d.At})
	}
	return st
}
