package gate

import (
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
	// Log gives the entries of the log, the oldest first.
	Log(ctx context.Context, f LogFilter) iter.Seq2[Entry, error]
}

// Filter says which requests; zero values mean all.
type Filter struct {
	States   []State
	Project  string        // path, without regard to case, or numeric ID
	Approver string        // an identity of the policy, or the name of somebody who may decide or did
	Since    time.Duration // opened within this last time
	Older    time.Duration // opened longer ago than this
	Limit    int           // 0: all
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
	Blocked   string // the forge's word for why
	Error     string // the last trouble, while something is outstanding
	Rule      string
	Required  int
	Approvals int
	Awaited   []string // while pending: names of those whose approval would count and who have not decided; of those nameless, the identity in the policy
	Decided   []Decision
	OpenedAt  time.Time
	DecidedAt time.Time
	EndedAt   time.Time
	MergedAs  CommitID
}
