package story

import (
	"context"
	"encoding/json"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// Story is what mrgate show --json prints. Fields may be added; those that are
// there keep their names and meanings. Times are RFC 3339, in UTC; what has not
// happened is left out.
type Story struct {
	Request int64      `json:"request"` // its number
	State   gate.State `json:"state"`
	DryRun  bool       `json:"dry_run,omitempty"` // it was rehearsed: nothing of it is ever carried out
	Cause   gate.Cause `json:"cause,omitempty"`   // what ended it, where nobody decided

	// The merge request. Title, author and source are what GitLab last said, or,
	// if there is a later request, what it said when this one was opened.
	Project     string        `json:"project"` // path
	ProjectID   int64         `json:"project_id"`
	IID         int64         `json:"iid"`
	URL         string        `json:"url"`
	Title       string        `json:"title"`
	Author      gate.User     `json:"author"` // id, username, name
	Source      string        `json:"source"`
	Target      string        `json:"target"`
	Head        gate.CommitID `json:"head"`                   // the commit that approval is asked for
	MergeCommit gate.CommitID `json:"merge_commit,omitempty"` // what it was merged as
	Note        string        `json:"note,omitempty"`         // GitLab's reference to the note under the merge request

	Rule      string      `json:"rule"`
	Required  int         `json:"required"`  // approvals
	Approvals int         `json:"approvals"` // that count
	Role      policy.Role `json:"require_gitlab_role,omitempty"`
	Approvers []Approver  `json:"approvers"`
	Decisions []Decision  `json:"decisions"` // the first one first

	OpenedAt  Stamp `json:"opened_at"`
	ExpiresAt Stamp `json:"expires_at,omitzero"`
	DecidedAt Stamp `json:"decided_at,omitzero"` // when it was approved or rejected
	EndedAt   Stamp `json:"ended_at,omitzero"`

	// What is still to come. WaitsFor and Troubles are sentences for people.
	WaitsFor  string   `json:"waits_for,omitempty"`
	Blocked   string   `json:"blocked,omitempty"`    // GitLab's word for why it does not merge
	NextTryAt Stamp    `json:"next_try_at,omitzero"` // when the listener next works on it by itself
	Error     string   `json:"error,omitempty"`      // the last trouble, while something is outstanding
	Troubles  []string `json:"troubles"`             // what will go wrong, or stays undone
	Earlier   []int64  `json:"earlier_requests"`     // of the merge request, the newest first
	Later     []int64  `json:"later_requests"`       // likewise

	Messages []Message `json:"messages"`
	Timeline []Event   `json:"timeline"` // the log's entries, the oldest first
}

// Approver is somebody who may decide.
type Approver struct {
	Identity string `json:"identity"`       // as the policy names them
	ID       string `json:"id,omitempty"`   // the chat's; none: the chat does not know them
	Name     string `json:"name,omitempty"` // as the chat knows them
}

// Message is a message that was sent, or is to be.
type Message struct {
	Kind      gate.MessageKind `json:"kind"` // card, adopted, notice, result, stuck
	To        string           `json:"to"`   // the chat's ID
	Group     bool             `json:"group,omitempty"`
	Name      string           `json:"name,omitempty"` // as the chat knows them
	Sent      bool             `json:"sent"`
	Failures  int              `json:"failures,omitempty"` // in a row
	NextTryAt Stamp            `json:"next_try_at,omitzero"`
	LetGo     string           `json:"let_go,omitempty"` // why it is followed no more

	RemindedAt Stamp `json:"reminded_at,omitzero"` // of a card: when its recipient was reminded
}

// Event is an entry of the log.
type Event struct {
	Number int64           `json:"number"`
	At     Stamp           `json:"at"`
	Kind   gate.EntryKind  `json:"kind"`
	Text   string          `json:"text"` // a sentence for people
	Data   json.RawMessage `json:"data"`
	Hash   string          `json:"hash"`
}

// Read reads what there is to say of a request.
func Read(ctx context.Context, archive gate.Archive, request int64) (*Story, error) {
	mr, err := archive.Story(ctx, request)
	if err != nil {
		return nil, err
	}
	siblings, err := archive.Find(ctx, gate.Sought{Ref: &mr.Ref})
	if err != nil {
		return nil, err
	}
	t := NewTeller(archive)
	t.learn(mr)
	s := storyOf(mr, siblings)
	for e, err := range archive.Log(ctx, gate.LogFilter{Request: request}) {
		if err != nil {
			return nil, err
		}
		s.Timeline = append(s.Timeline, Event{e.Number, Stamp(e.At), e.Kind, t.Tell(ctx, e), e.Data, e.Hash})
		if e.Kind == gate.EntryOpened && len(s.Later) > 0 {
			var o gate.OpenedData
			if json.Unmarshal(e.Data, &o) == nil {
				s.Title, s.Author, s.Source = o.Title, o.Author, o.Source
			}
		}
	}
	for i := range s.Messages {
		if m := &s.Messages[i]; !m.Group && t.names[m.To] != m.To {
			m.Name = t.names[m.To]
		}
	}
	s.Troubles = append(s.Troubles, troubles(ctx, t, mr)...)
	return s, nil
}

func storyOf(mr *gate.MergeRequest, siblings []int64) *Story {
	r := mr.Current()
	s := &Story{
		Request: r.ID, State: r.State, DryRun: r.Dry, Cause: r.Cause, ProjectID: mr.Ref.Project, IID: mr.Ref.Number,
		Target: r.Target, Head: r.Head, Note: r.NoteRef, Rule: r.Rule.Name, Required: max(1, r.Rule.Required), Role: r.Rule.RequireRole,
		Approvers: []Approver{}, Decisions: []Decision{}, Messages: []Message{}, Timeline: []Event{},
		Earlier: []int64{}, Later: []int64{}, Troubles: []string{},
		OpenedAt: Stamp(r.OpenedAt), ExpiresAt: Stamp(r.ExpiresAt), DecidedAt: Stamp(r.DecidedAt), EndedAt: Stamp(r.EndedAt),
		WaitsFor: WaitsFor(mr, r),
	}
	if known := mr.Snapshot; known != nil {
		s.Project, s.URL, s.Title, s.Author, s.Source = known.Path, known.URL, known.Title, known.Author, known.Source
		if r.State == gate.MergedHere || r.Cause == gate.CauseMerged {
			s.MergeCommit = known.MergeCommit
		}
	}
	for _, n := range siblings {
		switch {
		case n < r.ID:
			s.Earlier = append(s.Earlier, n)
		case n > r.ID:
			s.Later = append(s.Later, n)
		}
	}
	for _, m := range r.Panel.Approvers {
		s.Approvers = append(s.Approvers, Approver{m.Identity.Value, m.ID, m.Name})
	}
	for _, d := range r.Decisions {
		s.Decisions = append(s.Decisions, DecisionOf(*d))
		if d.Verdict == gate.Approve && !d.Void {
			s.Approvals++
		}
	}
	for _, m := range r.Messages {
		item := Message{Kind: m.Kind, To: m.To.ID, Group: m.To.Group, Sent: m.Ref != nil, Failures: m.Tries, LetGo: m.Gone, RemindedAt: Stamp(m.RemindedAt)}
		if m.Tries > 0 && m.Gone == "" {
			item.NextTryAt = Stamp(m.NotBefore)
		}
		s.Messages = append(s.Messages, item)
	}
	if r.State == gate.BlockedNow {
		s.Blocked = r.Blocked.Reason
	}
	if !r.Settled {
		s.Error = mr.Error
		if !mr.DueAt.IsZero() {
			s.NextTryAt = Stamp(mr.DueAt)
			if mr.DueAt.Before(mr.Now) {
				s.NextTryAt = Stamp(mr.Now)
			}
		}
	}
	return s
}

// Decision is a decision in JSON.
type Decision struct {
	Entry   int64        `json:"entry,omitempty"` // its number in the log, and its hash there
	Hash    string       `json:"hash,omitempty"`
	At      Stamp        `json:"at"`
	Person  string       `json:"person"` // the chat's ID; of an operator: "operator:" and who
	Name    string       `json:"name,omitempty"`
	Verdict gate.Verdict `json:"verdict"` // approve, reject
	Reason  string       `json:"reason,omitempty"`
	Via     string       `json:"via"`    // card, operator
	Counts  bool         `json:"counts"` // false: who gave it may no longer decide
}

// DecisionOf is the decision for JSON.
func DecisionOf(d gate.Decision) Decision {
	item := Decision{
		At: Stamp(d.At), Person: d.Person, Name: d.Name, Verdict: d.Verdict, Reason: d.Reason, Via: d.Via, Counts: !d.Void,
	}
	if d.Entry != nil {
		item.Entry, item.Hash = d.Entry.Number, d.Entry.Hash
	}
	return item
}
