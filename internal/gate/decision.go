package gate

import "time"

// Verdict is what a person decided.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Reject  Verdict = "reject"
)

// How a decision came in.
const (
	viaCard     = "card"     // by a click
	viaOperator = "operator" // from a shell
)

// Decision is one person's verdict on one request. The first one stands.
type Decision struct {
	Person  string    `json:"person"` // the chat's ID
	Name    string    `json:"name,omitempty"`
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason,omitempty"`
	Via     string    `json:"via"`             // "card" or "operator"
	Shown   string    `json:"shown,omitempty"` // the digest of the card that was clicked
	Void    bool      `json:"void,omitempty"`  // its giver may no longer decide
	At      time.Time `json:"at"`

	// Entry is the log entry that says so. Read back, it has Number and Hash alone.
	Entry *Entry `json:"-"`
}

// Claim is a click that could not be judged from the database alone: it was
// acknowledged as "being checked", and Reconcile judges it.
type Claim struct {
	Message string    `json:"message"` // the key of the clicked message
	Person  Person    `json:"person"`
	Action  ActionID  `json:"action"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
	Dry     bool      `json:"dry_run,omitempty"` // clicked in a dry run

	Evidence Evidence `json:"evidence,omitzero"`

	// Of a card that no listener sent: what it says, and where it is.
	Origin *Origin   `json:"origin,omitempty"`
	Ref    *CardRef  `json:"ref,omitempty"`
	To     Recipient `json:"to,omitzero"`
	// Refused is what such a card is to say if no request comes of it; then only
	// that is left to do.
	Refused string `json:"refused,omitempty"`
}
