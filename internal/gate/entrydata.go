package gate

import (
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// What an entry holds, by its kind. The names are what the log is read by, years
// later too: fields may be added, those that are there keep their names and
// meanings. docs/log.md lists them, and a test holds it against these types.

// OpenedData is an [EntryOpened]: whom it was asked about, and who may decide.
type OpenedData struct {
	Path      string   `json:"path"` // of the project, as it was then
	Number    int64    `json:"number"`
	URL       string   `json:"url"`
	Title     string   `json:"title"`
	Author    User     `json:"author"`
	Head      CommitID `json:"head"`
	Source    string   `json:"source"`
	Target    string   `json:"target"`
	Rule      string   `json:"rule"`
	Policy    string   `json:"policy"` // the hash of its text
	Required  int      `json:"required"`
	Approvers []Member `json:"approvers"`         // without an id: the chat did not know them, or not as whom it had known
	Missing   []string `json:"missing,omitempty"` // identities of approvers, and of others to get a card, whom the chat did not know
	Dry       bool     `json:"dry_run,omitempty"`
	Others    []Other  `json:"others,omitempty"` // identities that were somebody else's than at first, and counted for nobody
}

// PeopleData is an [EntryPeople]: what is so from now on.
type PeopleData struct {
	Missing []string `json:"missing,omitempty"` // as in OpenedData
	Others  []Other  `json:"others,omitempty"`
	Rule    string   `json:"rule"`
	Policy  string   `json:"policy"` // the hash of its text
}

// ClickData is an [EntryClick].
type ClickData struct {
	Person Person    `json:"person"`
	Action ActionID  `json:"action"`
	Text   string    `json:"text,omitempty"` // what the person typed
	Became Became    `json:"became"`
	Why    Refusal   `json:"why,omitempty"`  // it was refused
	Said   string    `json:"said,omitempty"` // to the person
	At     time.Time `json:"at"`             // of the click, which may have waited
	// Origin is what a job's card says that it is about.
	Origin *Origin `json:"origin,omitempty"`
	Evidence
}

// Became says what a click became that decided nothing.
type Became string

// What it can become.
const (
	BecameRefused  Became = "refused"  // nothing
	BecameChecking Became = "checking" // a claim, which a look at the forge judges
	BecameAdopted  Became = "adopted"  // the card is now a listener's; the person decides on what it then says
	BecameRetry    Became = "retry"    // another try to merge
)

// Refusal is why a click changed nothing, in a word that stays.
type Refusal string

// The refusals.
const (
	RefusedOutsider   Refusal = "outsider"           // no approver; of a retry: nor the author
	RefusedAuthor     Refusal = "author"             // of the merge request
	RefusedCommitter  Refusal = "committer"          // of one of its commits
	RefusedUnsure     Refusal = "perhaps the author" // nobody can tell
	RefusedRole       Refusal = "role"               // missing in the forge, or nobody can tell
	RefusedAgain      Refusal = "decided before"     // by the same person
	RefusedLate       Refusal = "too late"           // somebody else decided it
	RefusedExpired    Refusal = "expired"            // so had the request
	RefusedSuperseded Refusal = "another commit"     // or target, or turned into a draft
	RefusedNewer      Refusal = "asked again"        // about the same commit, by a newer card
	RefusedNotAuthor  Refusal = "not the author"     // who alone can ask again
	RefusedWithdrawn  Refusal = "over"               // merged or closed in the forge
	RefusedNoRule     Refusal = "no rule"            // covers it any more
	RefusedReason     Refusal = "no reason"          // where the rule demands one
	RefusedCard       Refusal = "not this card"      // it is none that the listener sent
	RefusedCrowd      Refusal = "too many"           // wait to be checked already
	RefusedDryRun     Refusal = "dry run"            // it rehearses while the request is real, or is over
	RefusedNeedless   Refusal = "retry not needed"   // it is being merged
	RefusedOther      Refusal = "other"              // what was said to the person tells
)

// Evidence is how a click came in, and what the clicked card showed.
type Evidence struct {
	Way     string `json:"way,omitempty"`     // how the adapter got it: "new-style callback"
	Event   string `json:"event,omitempty"`   // the chat's ID of the event
	Message string `json:"message,omitempty"` // the key of the clicked message
	Ref     string `json:"ref,omitempty"`     // the chat's reference to it
	Chat    string `json:"chat,omitempty"`    // the conversation that it stood in
	Shown   string `json:"shown,omitempty"`   // the digest of what it showed

	// What that was, or why nobody knows.
	Showed  *Showed `json:"showed,omitempty"`
	Unknown string  `json:"showed_unknown,omitempty"`
}

// Showed is what a person had read who clicked on a card.
type Showed struct {
	Title    string   `json:"title"`
	Subtitle string   `json:"subtitle"` // the merge request's title
	Facts    []string `json:"facts"`
	Status   []string `json:"status"`
	Buttons  []string `json:"buttons"`
	Foot     string   `json:"foot"`
}

// showed is what the card shows, for the log.
func showed(c *Card) *Showed {
	lines := func(texts []words.Text) []string {
		list := []string{}
		for _, t := range texts {
			list = append(list, t.String())
		}
		return list
	}
	s := &Showed{Title: c.Title, Subtitle: c.Subtitle, Facts: lines(c.Facts), Status: lines(c.Status), Buttons: []string{}, Foot: c.Foot}
	for _, a := range c.Actions {
		s.Buttons = append(s.Buttons, a.Label)
	}
	return s
}

// DecidedData is an [EntryDecided].
type DecidedData struct {
	Person  string    `json:"person"` // the chat's ID; of an operator "operator:" and who
	Name    string    `json:"name,omitempty"`
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason,omitempty"`
	Via     string    `json:"via"` // "card" or "operator"
	At      time.Time `json:"at"`  // of the click, which may have waited
	Head    CommitID  `json:"head"`
	Target  string    `json:"target"`
	Rule    string    `json:"rule"`
	Policy  string    `json:"policy"` // the hash of its text
	Dry     bool      `json:"dry_run,omitempty"`
	Evidence
}

// AgainData is an [EntryAgain]: it was asked again, by its author's click or, By
// empty, by a job.
type AgainData struct {
	By Person    `json:"by,omitzero"`
	At time.Time `json:"at"` // of a job's card: when that was made, as it says
	Evidence
}

// CountsData is an [EntryCounts].
type CountsData struct {
	Person string `json:"person"`
	Name   string `json:"name,omitempty"`
	Counts bool   `json:"counts"`
	Rule   string `json:"rule"`
	Policy string `json:"policy"` // under which that is so
	// Role is the one in the forge that is missing, or there again; "": it is not for that.
	Role policy.Role `json:"role,omitempty"`
}

// StateData is an [EntryState].
type StateData struct {
	From   State  `json:"from"`
	To     State  `json:"to"`
	On     Event  `json:"on"`
	Cause  Cause  `json:"cause,omitempty"`  // what ended it, where nobody decided
	Why    string `json:"why,omitempty"`    // of a block: the forge's own word
	Detail string `json:"detail,omitempty"` // and what it said besides
	By     User   `json:"by,omitzero"`      // who merged or closed it in the forge, as the forge says
	// Tried is when mrgate itself last tried a merge whose answer never came.
	Tried time.Time `json:"tried,omitzero"`
	Dry   bool      `json:"dry_run,omitempty"`
}

// EffectData is an [EntryEffect].
type EffectData struct {
	Effect string      `json:"effect"` // approve, merge, close, retract, note, status
	Head   CommitID    `json:"head"`
	Answer string      `json:"answer"`           // see the Answer constants; of a merge also a MergeStatus
	Commit CommitID    `json:"commit,omitempty"` // the merge commit
	Note   string      `json:"note,omitempty"`   // the forge's reference to it
	Status StatusState `json:"status,omitempty"` // on the commit: what it says
	Why    string      `json:"why,omitempty"`    // it was not merged: the forge's own word
	Detail string      `json:"detail,omitempty"` // and what it said besides
	Error  string      `json:"error,omitempty"`
	Tries  int         `json:"tries,omitempty"` // failures in a row
}

// What the forge answered to an effect, besides what a merge can become.
const (
	AnswerDone    = "done"
	AnswerGivenUp = "given up" // refused too often; nothing depends on it
	AnswerRefused = "refused"  // not permitted
	AnswerMoved   = "moved"    // it is another commit
	AnswerGone    = "not found"
	AnswerWait    = "wait" // the forge asked for patience
	AnswerNone    = "none" // no answer, or none that says whether it was done
)

// BypassedData is an [EntryBypassed].
type BypassedData struct {
	Path   string    `json:"path"` // of the project, as it was then
	Number int64     `json:"number"`
	URL    string    `json:"url"`
	Title  string    `json:"title"`
	Author User      `json:"author"`
	Head   CommitID  `json:"head"`
	Source string    `json:"source"`
	Target string    `json:"target"`
	Rule   string    `json:"rule"` // that covered it when it was merged
	Why    Bypass    `json:"why"`
	By     User      `json:"by"`     // who merged it
	At     time.Time `json:"at"`     // by the forge's clock
	Commit CommitID  `json:"commit"` // by which it came into the target
}

// MessageData is an [EntryMessage].
type MessageData struct {
	Did   MessageDid  `json:"did"`
	Kind  MessageKind `json:"kind,omitempty"`
	To    Recipient   `json:"to"`
	Key   string      `json:"key"`
	Ref   string      `json:"ref,omitempty"`   // the chat's reference
	Shows string      `json:"shows,omitempty"` // state, count of approvals
	Shown string      `json:"shown,omitempty"` // the digest of the card; none: perhaps it shows something older
	Why   string      `json:"why,omitempty"`   // it was let go
}

// ReminderData is an [EntryReminder].
type ReminderData struct {
	Did     MessageDid `json:"did"` // sent, or let go
	To      Recipient  `json:"to"`
	Key     string     `json:"key"`
	Ref     string     `json:"ref,omitempty"` // the chat's reference
	Waiting int        `json:"waiting"`       // how many requests waited; those that it names have an entry each
	Why     string     `json:"why,omitempty"` // it was let go
}

// MessageDid is what happened to a message.
type MessageDid string

// What can happen to it.
const (
	MessageSent     MessageDid = "sent"
	MessageChanged  MessageDid = "changed"  // to another state or count, or to another request; other repaints are not told
	MessageAnswered MessageDid = "answered" // likewise, in the answer to a click on it
	MessageLetGo    MessageDid = "let go"   // it can never be sent or changed again
)

// PolicyData is an [EntryPolicy].
type PolicyData struct {
	Policy string    `json:"policy"`            // the hash of its text, which the database keeps
	Before string    `json:"before,omitempty"`  // the hash of the one before; none: it is the first
	Dry    bool      `json:"dry_run,omitempty"` // a dry run begins, or goes on
	Since  time.Time `json:"since"`
}
