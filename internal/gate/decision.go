package gate

import "time"

// Verdict is what a person decided.
type Verdict string

const (
	Approve Verdict = "approve"
	Reject  Verdict = "reject"
)

// Decision is one person's verdict on one request. The first one stands.
type Decision struct {
	Person  string    `json:"person"` // the chat's ID
	Name    string    `json:"name,omitempty"`
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason,omitempty"`
	Via     string    `json:"via"`             // "card"
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
	Request int64     `json:"request"`
	Person  Person    `json:"person"`
	Action  ActionID  `json:"action"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
}
