package gate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// EntryKind says what an entry of the log is about.
type EntryKind string

// The kinds of entries.
const (
	EntryOpened   EntryKind = "opened"
	EntryClick    EntryKind = "click"    // a click that decided nothing, at most one a minute of a person with one outcome
	EntryDecided  EntryKind = "decided"  // by a click, or from a shell
	EntryCounts   EntryKind = "counts"   // an approval no longer counts under another policy, or does again
	EntryState    EntryKind = "state"    // a request moved
	EntryEffect   EntryKind = "effect"   // the forge was written to, and what it answered
	EntryMessage  EntryKind = "message"  // sent, changed, or let go
	EntryPolicy   EntryKind = "policy"   // another policy is in force, or a dry run begins or ends
	EntryAgain    EntryKind = "again"    // somebody asked again for what had ended
	EntryPeople   EntryKind = "people"   // others are missing in the chat than were, or are somebody else there
	EntryReminder EntryKind = "reminder" // sent, or let go
	// EntryBypassed: merged around the gate, by whom and as what.
	EntryBypassed EntryKind = "bypassed"
)

// Entry is one entry of the audit log. Entries are numbered without gaps and
// chained: each one's hash covers the one before, so that nothing between two
// known hashes can be changed or removed.
type Entry struct {
	Number       int64
	At           time.Time // to the millisecond
	MergeRequest int64     // row; 0: none
	Request      int64     // number; 0: none
	Kind         EntryKind
	Data         json.RawMessage // an object
	Hash         string          // see Chain; the store numbers, times and chains entries when it writes them
}

// PolicyEntry is the entry that another policy is in force since then, in a dry
// run or for real.
func PolicyEntry(hash, before string, dry bool, since time.Time) *Entry {
	return newEntry(EntryPolicy, PolicyData{Policy: hash, Before: before, Dry: dry, Since: since})
}

func newEntry(kind EntryKind, data any) *Entry {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err) // entries are made of strings, numbers and times
	}
	return &Entry{Kind: kind, Data: b}
}

// Chain gives the hash of e after an entry with the hash before ("" for the
// first): SHA-256 in hexadecimal digits over all fields but the hash itself,
// each with its length in front, so that no two entries encode alike.
func (e *Entry) Chain(before string) string {
	b := make([]byte, 0, 512+len(e.Data))
	begin := func(n int) { b = binary.BigEndian.AppendUint64(b, uint64(n)) } //nolint:gosec // a length
	text := func(s string) {
		begin(len(s))
		b = append(b, s...)
	}
	number := func(n int64) {
		var digits [20]byte
		text(string(strconv.AppendInt(digits[:0], n, 10)))
	}
	text("mrgate log 1")
	text(before)
	number(e.Number)
	number(e.At.UnixMilli())
	number(e.MergeRequest)
	number(e.Request)
	text(string(e.Kind))
	begin(len(e.Data))
	b = append(b, e.Data...)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
