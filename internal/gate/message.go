package gate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// MessageKind says what a message is for. A request sends one of a kind to a
// recipient at most.
type MessageKind string

// The kinds of messages.
const (
	KindCard     MessageKind = "card"     // asks an approver, and follows the request's state
	KindAdopted  MessageKind = "adopted"  // a second card at the same recipient, sent by a job
	KindNotice   MessageKind = "notice"   // tells the author that somebody was asked
	KindResult   MessageKind = "result"   // tells the author what became of it: a message of its own, so that the phone rings
	KindReminder MessageKind = "reminder" // see Reminder; belongs to no request
	KindStuck    MessageKind = "stuck"    // tells the author that it is approved but blocked; one for each cause: see stuck
)

// stuck is the kind of message that tells the author of this cause.
func stuck(reason string) MessageKind { return KindStuck + MessageKind(" "+reason) }

func (k MessageKind) isStuck() bool { return strings.HasPrefix(string(k), string(KindStuck)) }

// follows says that such a message is kept up to date; the others are sent once.
func (k MessageKind) follows() bool { return k == KindCard || k == KindAdopted || k.isStuck() }

// Message is one message that mrgate sent or is about to send.
type Message struct {
	Key  string // see MessageKey
	Kind MessageKind
	To   Recipient

	// SentAs is the key that it may have been sent with before it was taken over,
	// or by a job that asked again: only a Send with that key finds it. "": its own.
	SentAs string

	Ref   *CardRef // nil: not known to be sent
	Shown string   // the digest of the card that it surely shows; "": not known
	Face  string   // state and count of approvals that it shows: a change of these never waits

	AskedAt    time.Time // since when its recipient has it, or the one that it took over
	RemindedAt time.Time // when they were reminded; zero: they were not

	TriedAt   time.Time // the last attempt to send or change it; zero: none
	NotBefore time.Time // not touched before: it was clicked, or failed
	PushAt    time.Time // when it last took, or will take, a new commit in place
	Tries     int       // failures in a row
	Told      string    // the Face of which the log has told
	Said      string    // why the last click on it does not count; "": nothing to say
	Gone      string    // why it is let go; "": it is not
}

// MessageKey makes a message's key, the same in every process, before anything
// is sent: it is the chat's idempotency key, and comes back with a click.
// 48 characters of [0-9a-f]: Feishu's uuid takes at most 50.
func MessageKey(mr Ref, head CommitID, target string, ordinal int, kind MessageKind, to Recipient) string {
	h := sha256.New()
	for _, part := range []string{
		"mrgate message 1", mr.Forge, fmt.Sprint(mr.Project), fmt.Sprint(mr.Number),
		string(head), target, fmt.Sprint(ordinal), string(kind), to.String(),
	} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))[:48]
}

// Digest is the same for cards that look the same.
func (c *Card) Digest() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // a Card holds nothing that can fail to marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
