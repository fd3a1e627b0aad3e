package gate

import (
	"context"
	"time"

	"mrgate/internal/policy"
)

// Forge is a code host. Every write carries the head commit, so that nothing is
// done to a commit that nobody decided on; "it is so already" is success. A call
// ends within 10 s. Errors are those of this package; any other: try again.
type Forge interface {
	// Get reads the merge request in one call.
	// ErrNotFound: there is none, or it may not be seen.
	Get(ctx context.Context, mr Ref) (Snapshot, error)

	// Contents reads what head changes and who committed to it. A size that
	// cannot be read is left out; committers that cannot be read are an error.
	// ErrHeadMoved: the head is another commit.
	Contents(ctx context.Context, mr Ref, path string, head CommitID) (Contents, error)

	// Approve approves head in mrgate's own name. ErrHeadMoved, ErrNotPermitted.
	Approve(ctx context.Context, mr Ref, head CommitID) error

	// Merge merges if the head is still head, and says what became of it. An
	// error is only trouble in transport, ErrHeadMoved, or ErrNotPermitted.
	Merge(ctx context.Context, mr Ref, head CommitID, how MergeOptions) (MergeResult, error)

	// Role is the role that the account, given by ID or by username, has in the
	// project of the merge request, also one inherited; "": none, or there is no
	// such account, or it is blocked. With it comes whose account it is.
	// ErrNotPermitted: mrgate may not see the project's members.
	Role(ctx context.Context, mr Ref, of policy.GitLabUser) (Role, error)

	// Close closes the merge request. GitLab's close takes no commit: read first.
	Close(ctx context.Context, mr Ref, head CommitID) error

	// Retract takes mrgate's approval and auto-merge back, as far as there are any.
	Retract(ctx context.Context, mr Ref) error

	// Lists names the lists of the forge that have to be gone through to see the
	// merge requests of every project in scope. With an error there may be some
	// all the same: those that could be found out. It may take several calls.
	Lists(ctx context.Context, scope policy.Scope) ([]List, error)

	// Changed reads a list on from mark, the longest unchanged first, at most a
	// hundred merge requests. What it gives is only good to see that there is
	// something to look at: parts of it may be missing or a little old.
	//
	// A list of what changed that was never read (mark "") begins now: the page is
	// empty, and its mark is where to go on. What changed twice or just now may
	// come again; nothing is left out.
	Changed(ctx context.Context, list List, mark Mark) (Page, error)

	// Note sees to it that there is one note of the key under the merge request,
	// that it says body, and gives a reference to it. Body is plain text: it is
	// shown as it is, and no line of it is obeyed as a command. With a Ref that
	// note is changed, and written anew if it is gone; with Again (it may have been
	// written before) the forge is searched for the key first. What a note was when
	// it was written, internal or public, some forges cannot change.
	// ErrNotPermitted. ErrPublic: this forge has no internal notes.
	Note(ctx context.Context, mr Ref, note Note) (ref string, err error)

	// Status sees to it that a status of mrgate's on the commit says this about
	// the merge request. It is a sign, not a gate: no Get ever takes it for a
	// pipeline, and it keeps nobody from merging. The commit need not be the head
	// any more. ErrNotPermitted, ErrNotFound.
	Status(ctx context.Context, mr Ref, status CommitStatus) error
}

// CommitStatus is a sign on a commit, for people to see.
type CommitStatus struct {
	Head  CommitID
	State StatusState
	Text  string // a sentence
	URL   string // where it leads
	Again bool   // it may be there already
}

// StatusState is what a status on a commit says.
type StatusState string

// What it can say.
const (
	StatusPending  StatusState = "pending"
	StatusSuccess  StatusState = "success"
	StatusFailed   StatusState = "failed"
	StatusCanceled StatusState = "canceled"
)

// Role is what an account may do in a project.
type Role struct {
	User User // ID 0: there is no such account
	Role policy.Role
}

// MergeOptions is how to merge; nil means as the merge request says.
type MergeOptions struct {
	Squash             *bool
	RemoveSourceBranch *bool
	// WhenGreen has the forge merge by itself when the running pipeline passes.
	WhenGreen bool
}

// MergeStatus is what became of an attempt to merge.
type MergeStatus string

// What can become of it.
const (
	Merged    MergeStatus = "merged"
	Scheduled MergeStatus = "scheduled" // the forge will do it by itself; look again
	Computing MergeStatus = "computing" // the forge does not know yet: soon
	Blocked   MergeStatus = "blocked"   // a person has to do something
	Moved     MergeStatus = "moved"     // it is no longer what was to be merged: look
)

// MergeResult is the status and, if blocked, why.
type MergeResult struct {
	Status MergeStatus
	Commit CommitID // the merge commit, where merged
	By     User     // who merged, and when, by the forge's clock
	At     time.Time
	Why    Mergeability
}

// List is one of a forge's lists of merge requests.
type List struct {
	Of string // as the forge names it: "groups/payments"
	// Open says that it holds what is open now; it is gone through again and
	// again. Else it holds, of every state, what has changed.
	Open bool
	From Mark // where to begin if it was never read; "": as Changed says
}

// String is for logs, and names the list in the store.
func (l List) String() string {
	if l.Open {
		return "open in " + l.Of
	}
	return "changed in " + l.Of
}

// Mark is how far a list was read, in the forge's own time and for itself alone.
type Mark string

// Page is the next part of a list.
type Page struct {
	Hints []Hint
	Mark  Mark // where to read on
	More  bool // there is more by now
}

// Note is text for people under a merge request.
type Note struct {
	Key      string // the same for the same note; hidden in it
	Body     string
	Internal bool   // only for members of the project
	Ref      string // of the note that there is; "": not known
	Again    bool
}
