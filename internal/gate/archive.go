package gate

import (
	"cmp"
	"context"
	"iter"
	"time"
)

// Archive is what a store tells people who ask what is pending and what
// happened. It only reads.
type Archive interface {
	// List gives requests, the newest first.
	List(ctx context.Context, f Filter) ([]Listed, error)
	// Find gives the numbers of the requests about a merge request or a commit
	// (a head or a merge commit, by at least 8 of its digits), the newest first.
	Find(ctx context.Context, what Sought) ([]int64, error)
	// Story reads the merge request that the request belongs to, with this
	// request whole (its decisions and messages) as the last of Requests.
	// ErrNoRow: there is no such request.
	Story(ctx context.Context, request int64) (*MergeRequest, error)
	// Landings gives the merges into branches that a rule covered, the newest
	// first, those around the gate too.
	Landings(ctx context.Context, f LandingFilter) iter.Seq2[Landed, error]
	// Counts tells how much there is of what, without reading any of it.
	Counts(ctx context.Context) (Counts, error)
	// Log gives the entries of the log, the oldest first.
	Log(ctx context.Context, f LogFilter) iter.Seq2[Entry, error]
	// Audit tells the verification all that there is, as of one moment, and has
	// it finish. An error: not everything could be read.
	Audit(ctx context.Context, v *Verification) error
}

// Counts is how much there is of what.
type Counts struct {
	Requests map[State]int64 // of all that there ever were; a state that none is in may be missing
	Around   int64           // merges that went around the gate, ever
	Due      int64           // merge requests that wait for a worker
	// Overdue is for how long the longest has waited of those that are due. What a
	// person waits for is always next, and bears no time: it is not among these.
	Overdue time.Duration
}

// Filter says which requests; zero values mean all.
type Filter struct {
	States   []State
	Project  string        // path, without regard to case, or numeric ID
	Approver string        // an identity of the policy, or the name of somebody who may decide or did
	Since    time.Duration // opened within this last time
	Older    time.Duration // opened longer ago than this
	Before   int64         // numbers below this; to go on where a list ended
	Limit    int           // 0: all
}

// LandingFilter says which merges; zero values mean all.
type LandingFilter struct {
	Project string        // as in Filter
	Since   time.Duration // merged within this last time
	Older   time.Duration // merged longer ago than this
	Around  bool          // around the gate
	Before  LandingPlace  // what stands behind this in the list; to go on where a list ended
	Limit   int
}

// LandingPlace is where a merge stands in the list of them.
type LandingPlace struct {
	At  time.Time
	Row int64
}

// LogFilter says which entries; zero values mean all.
type LogFilter struct {
	Request int64         // and entries about its merge request while it was the latest
	Since   time.Duration // written within this last time
	After   int64         // numbers above this
	Limit   int
}

// Sought is a merge request or a commit, by exactly one of its fields.
type Sought struct {
	Ref    *Ref
	Path   string // with Number: the project's path, without regard to case
	Number int64
	Commit string
}

// Listed is a request as a list shows it.
type Listed struct {
	Number    int64
	Ref       Ref
	Path      string
	URL       string
	Title     string
	Author    User
	Head      CommitID
	Source    string
	Target    string
	State     State
	Cause     Cause
	Dry       bool   // of a dry run
	Blocked   string // the forge's word for why
	Error     string // the last trouble, while something is outstanding
	Rule      string
	Required  int
	Approvals int
	Awaited   []string // while pending: names of those whose approval would count and who have not decided; of those nameless, the identity in the policy
	Missing   []string // while pending: identities of approvers, and of others to get a card, whom the chat does not know
	Others    []Other  // while pending: identities that are somebody else's than at first, and count for nobody
	Decided   []Decision
	OpenedAt  time.Time
	DecidedAt time.Time
	EndedAt   time.Time
	MergedAs  CommitID
	Note      string // the forge's reference to the note on it; "": none was written
}

// Landed is a merge as a list shows it.
type Landed struct {
	Landing
	Row      int64 // of the merge request; with Landing.At its place in the list
	Ref      Ref
	Path     string
	URL      string
	Title    string
	Author   User
	Head     CommitID
	Target   string
	Commit   CommitID   // by which it came into the target
	By       User       // who merged
	Request  int64      // the last one about it; 0: nobody was ever asked
	Approved []Decision // by which it was approved; none, if it went around the gate
}

// Landed is the merge of the merge request, which has its landing and its latest
// request, if there was one.
func (mr *MergeRequest) Landed() Landed {
	l := Landed{Landing: *mr.Landing, Row: mr.ID, Ref: mr.Ref}
	if s := mr.Snapshot; s != nil {
		l.Path, l.URL, l.Title, l.Author, l.Head, l.Target, l.Commit, l.By = s.Path, s.URL, s.Title, s.Author, s.Head, s.Target, s.MergeCommit, s.MergedBy
	}
	if r := mr.Current(); r != nil {
		l.Request = r.ID
		if l.Around == "" {
			for _, d := range r.approvals() {
				l.Approved = append(l.Approved, *d)
			}
		}
	}
	return l
}

// Listed is the request, one of the merge request's, as a list shows it.
func (mr *MergeRequest) Listed(r *Request) Listed {
	l := Listed{
		Number: r.ID, Ref: mr.Ref, Head: r.Head, Target: r.Target, State: r.State, Cause: r.Cause, Dry: r.Dry,
		Rule: r.Rule.Name, Required: r.Rule.Required, Approvals: len(r.approvals()),
		OpenedAt: r.OpenedAt, DecidedAt: r.DecidedAt, EndedAt: r.EndedAt, Note: r.NoteRef,
	}
	if s := mr.Snapshot; s != nil {
		l.Path, l.URL, l.Title, l.Author, l.Source = s.Path, s.URL, s.Title, s.Author, s.Source
		if r.State == MergedHere || r.Cause == CauseMerged {
			l.MergedAs = s.MergeCommit
		}
	}
	if r.State == BlockedNow {
		l.Blocked = r.Blocked.Reason
	}
	if !r.Settled {
		l.Error = mr.Error
	}
	for _, d := range r.Decisions {
		l.Decided = append(l.Decided, *d)
	}
	if r.State == Pending {
		l.Awaited, l.Missing, l.Others = r.awaited(), r.Panel.Missing, r.Panel.Others
	}
	return l
}

// awaited names the approvers whose approval would count and who have not
// decided.
func (r *Request) awaited() (names []string) {
	seen := make(map[string]bool) // one person may have two identities
	for _, d := range r.Decisions {
		seen[d.Person] = true
	}
	if p := r.Panel; !r.Rule.AllowSelfApproval {
		seen[p.Author.ID] = true
		for _, who := range p.Committer {
			seen[who.ID] = true
		}
	}
	for _, m := range r.Panel.Approvers {
		if m.ID == "" && !r.Panel.Blind || m.ID != "" && seen[m.ID] {
			continue
		}
		seen[m.ID] = true
		names = append(names, cmp.Or(m.Name, m.Identity.Value))
	}
	return names
}
