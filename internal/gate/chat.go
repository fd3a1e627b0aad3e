package gate

import (
	"context"
	"time"

	"mrgate/internal/policy"
)

// Chat is where people are asked and told. A call ends within 10 s. Errors are
// those of this package; any other: try again.
type Chat interface {
	// Resolve says who the identities are. One that the directory does not know
	// is in the answer as a Person without ID; a name that may not be read is
	// empty.
	Resolve(ctx context.Context, ids []policy.Identity) (map[policy.Identity]Person, error)

	// Send sends a card to one recipient and proves it by a reference. Sent again
	// with the same card key, it answers the reference of what was sent before
	// (Feishu: within an hour), which may show something older: an Update has to
	// follow. ErrGone: this recipient can never be reached. ErrNotPermitted.
	Send(ctx context.Context, to Recipient, card Card) (CardRef, error)

	// Update changes a card in place. It never creates one. ErrGone: it can
	// never be changed again.
	Update(ctx context.Context, ref CardRef, card Card) (CardRef, error)
}

// Person is somebody in the chat: ID as the chat knows them (Feishu: open_id),
// "" if the directory does not know them; Name for people to read.
type Person struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// Recipient is where a message goes.
type Recipient struct {
	Group bool   `json:"group,omitempty"`
	ID    string `json:"id"`
}

// String is unique among recipients.
func (r Recipient) String() string {
	if r.Group {
		return "group:" + r.ID
	}
	return "person:" + r.ID
}

// CardRef is what an adapter needs to change a message again. The core stores
// the newest and reads only Left and Until.
type CardRef struct {
	Data  string    `json:"data"`           // the adapter's own, opaque
	Left  int       `json:"left"`           // updates it still bears; -1: without limit
	Until time.Time `json:"until,omitzero"` // no update after this; zero: none known
}

// LookFunc says where to look. It returns after that is on disk, with a short
// sentence on what will come of it, for the caller's log.
type LookFunc func(ctx context.Context, hint Hint) (string, error)

// Hint is what a webhook or a job says of a merge request. Nothing in it is
// believed: it may only suppress itself, by showing nothing that is not known.
type Hint struct {
	Ref      Ref
	Path     string
	Snapshot *Snapshot // the parts that webhook bodies carry; nil: nothing known
	Again    bool      // somebody asks again for what has expired or was rejected
}

// ClickFunc takes a click and gives what to answer. It never fails: what cannot
// be recorded is said in the answer.
type ClickFunc func(ctx context.Context, click Click) Answer

// Click is a pressed button: by whom was verified by the adapter.
type Click struct {
	Key    string // of the message, as Card.Key went out
	Action ActionID
	By     Person
	Text   string   // the reason or comment
	Ref    *CardRef // the clicked message, where the chat names it
	Chat   string   // the conversation that it stands in, where the chat names it; a group's is its ID
	Way    string   // how it came in, for the log: "new-style callback"
	Event  string   // the chat's ID of the event, where it has one
	Origin *Origin  // what the card says that it is about, if it says so
}

// AnswerKind colours an answer.
type AnswerKind string

// The kinds of answers.
const (
	AnswerOK    AnswerKind = "ok"
	AnswerInfo  AnswerKind = "info"
	AnswerError AnswerKind = "error"
)

// Answer is what the person who clicked sees at once.
type Answer struct {
	Kind AnswerKind
	Text string
	Card *Card // nil: the card stays as it is

	Why Refusal // the click changed nothing; for the log
}

// because is the answer with the reason why the click changed nothing.
func (a Answer) because(why Refusal) Answer {
	a.Why = why
	return a
}
