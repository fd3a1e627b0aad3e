package gate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// EntryKind says what an entry of the log is about.
type EntryKind string

// The kinds of entries.
const (
	EntryOpened  EntryKind = "opened"
	EntryDecided EntryKind = "decided"
	EntryState   EntryKind = "state"   // a request moved
	EntryEffect  EntryKind = "effect"  // the forge was written to, and what it answered
	EntryMessage EntryKind = "message" // sent, or let go
)

// Entry is one entry of the audit log. Entries are numbered without gaps and
// chained: each one's hash covers the one before, so that nothing between two
// known hashes can be changed or removed.
type Entry struct {
	Number       int64
	At           time.Time // to the millisecond
	MergeRequest int64     // row
	Request      int64     // number; 0: none
	Kind         EntryKind
	Data         json.RawMessage // an object
	Hash         string          // see Chain; the store numbers, times and chains entries when it writes them
}

// Chain gives the hash of e after an entry with the hash before ("" for the
// first): SHA-256 in hexadecimal digits over all fields but the hash itself,
// each with its length in front, so that no two entries encode alike.
func (e *Entry) Chain(before string) string {
	h := sha256.New()
	field := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	number := func(n int64) { field(fmt.Appendf(nil, "%d", n)) }
	field([]byte("mrgate log 1"))
	field([]byte(before))
	number(e.Number)
	number(e.At.UnixMilli())
	number(e.MergeRequest)
	number(e.Request)
	field([]byte(e.Kind))
	field(e.Data)
	return hex.EncodeToString(h.Sum(nil))
}
