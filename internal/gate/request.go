package gate

import (
	"time"

	"mrgate/internal/policy"
)

// Request is an approval request: it asks for approval of one head commit of a
// merge request into one target branch.
type Request struct {
	ID      int64 // its number: one count a database
	Seq     int   // the how-manieth of its merge request
	Opening int   // of the merge request, when it was opened
	Head    CommitID
	Target  string
	State   State
	Cause   Cause // why it was superseded, withdrawn or expired; for the card
	Settled bool  // nothing is left to do or to show
	Dry     bool  // of a dry run: nothing of it is ever carried out

	Rule       policy.Rule // as it read when it was last looked up
	PolicyHash string
	Panel      Panel

	// At opening: what the forge said then, for facts that would grow stale.
	Pipeline *Pipeline
	Before   *Before // nil: the one before was not rejected

	OpenedAt  time.Time
	ExpiresAt time.Time
	DecidedAt time.Time // when the decision fell that made it approved or rejected
	EndedAt   time.Time // when it was merged, closed or ended otherwise

	Approve, Merge, Close, Retract, Note, Status Effect

	NoteRef     string
	NoteShown   string       // the digest of what the note says; "": not known
	StatusShown StatusState  // what the status on the commit says; "": there is none, or it is not known
	Scheduled   bool         // the forge said that it will merge by itself
	Blocked     Mergeability // why it is blocked
	Answered    string       // what the log last told of the forge's answers

	Decisions []*Decision
	Messages  []*Message
}

// Cause says what ended a request that nobody decided on.
type Cause string

// The causes.
const (
	CausePush     Cause = "push"
	CauseRetarget Cause = "retarget"
	CauseDraft    Cause = "draft"
	CauseReopened Cause = "reopened" // closed and opened again, or a draft and ready again, unseen between
	CauseMerged   Cause = "merged elsewhere"
	CauseClosed   Cause = "closed elsewhere"
	CauseNoRule   Cause = "no rule"
	CauseTime     Cause = "time"
	CauseDryRun   Cause = "dry run over"
)

// Before is what a card says about a rejection before this request, on which
// nobody has decided since.
type Before struct {
	Name     string `json:"name,omitempty"`
	Operator bool   `json:"operator,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Effect is a write to the forge: when it was last tried, and when it was known
// to be done. Zero times: not.
type Effect struct {
	Tried time.Time `json:"tried,omitzero"`
	Done  time.Time `json:"done,omitzero"`
}

func (e Effect) done() bool  { return !e.Done.IsZero() }
func (e Effect) tried() bool { return !e.Tried.IsZero() }

// Panel is the people whom a request concerns, as the chat's directory knew
// them when the rule was last looked up.
type Panel struct {
	Approvers []Member    `json:"approvers"`
	Cards     []Recipient `json:"cards"`             // who is asked
	Author    Person      `json:"author"`            // ID "": nobody knows who the author is in the chat
	Committer []Person    `json:"committer"`         // who in the chat has commits in it
	Unsure    []string    `json:"unsure"`            // usernames of author and committers of whom nobody knows who they are in the chat
	Told      []string    `json:"told,omitempty"`    // chat IDs of approvers of whom `users` says who they are in the forge
	Sought    bool        `json:"sought,omitempty"`  // of some in Unsure there is an identity, which the chat may come to know
	Missing   []string    `json:"missing,omitempty"` // identities of approvers, and of others who were to get a card, whom the chat does not know
	Others    []Other     `json:"others,omitempty"`  // identities that are somebody else's by now
	Until     time.Time   `json:"until,omitzero"`    // when all that is to be looked up again
	// Blind: opened by an operator without a chat to ask; the next listener looks
	// the people up.
	Blind bool `json:"blind,omitempty"`
}

// Other is an identity that is not whose it was: an address or a number was given
// to another person. It counts for nobody until the policy names whom it means.
type Other struct {
	Identity string `json:"identity"`
	First    string `json:"first"` // the chat's ID of whom it was when it was first looked up
	Now      string `json:"now"`   // and of whom it is
}

// Member is an approver: as the policy names them, and who that is in the chat.
type Member struct {
	Identity policy.Identity `json:"identity"`
	Person
	// Accounts are theirs in the forge, by ID or by username, as far as the policy
	// tells; only under a rule that demands a role.
	Accounts []policy.GitLabUser `json:"accounts,omitempty"`
}
