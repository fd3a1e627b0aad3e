package gate

import "time"

// MergeRequest is the unit of work, and of what is written together: what the
// forge last said of one merge request, its approval requests with their
// decisions and messages, and when it is next due.
//
// The store hands one out inside a transaction ([Store.Change]); whatever the
// function changes in it is written when it returns nil.
type MergeRequest struct {
	ID  int64
	Ref Ref
	Now time.Time // of the transaction, by the store's clock; not stored

	Snapshot *Snapshot // nil: not read yet
	Contents *Contents // of the newest head that asked for approval; nil: not read yet
	Opening  int       // +1 each time it is seen open after it was not, or ready after it was a draft
	Why      string    // why there is no open request, for people
	Landing  *Landing  // nil: it was not merged yet, or no rule covered it then

	Wake  int64     // arrivals ever: looks, clicks. Reconcile's own writes don't count
	DueAt time.Time // next work; while leased, the lease's end; zero: none. DueFirst: a person waits
	Lease string    // the holder's token; "": nobody

	LookAt    time.Time // when somebody wants the forge to be read; zero: nobody does
	ReadingAt time.Time // a reading that is under way began then; zero: none is
	AgainAt   time.Time // when somebody asked again for what had ended; zero: nobody did, or it is settled

	// The forge and the chat have waiting times of their own: trouble with one
	// never holds up the other.
	ForgeAt   time.Time // not before: the forge failed
	Tries     int       // how often in a row
	ChatAt    time.Time // not before: the chat failed
	ChatTries int
	Error     string // the last one, for people

	// Requests holds the latest request, last, and those before it that are not settled.
	Requests []*Request
	Claims   []*Claim
	Told     []Told // clicks of the last minute of which the log has told

	// NextRequest is the number that a new request gets.
	NextRequest int64

	starter string // of a card without a listener: who asks; see Asking

	// Entries are appended to the log with this change, in order; not read back.
	Entries []*Entry
}

// DueFirst is a due time before all others.
func DueFirst() time.Time { return time.UnixMilli(0).UTC() }

// Current is the latest request; nil: there was none.
func (mr *MergeRequest) Current() *Request {
	if len(mr.Requests) == 0 {
		return nil
	}
	return mr.Requests[len(mr.Requests)-1]
}

// MessageByKey finds a message and its request.
func (mr *MergeRequest) MessageByKey(key string) (*Request, *Message) {
	for _, r := range mr.Requests {
		for _, m := range r.Messages {
			if m.Key == key {
				return r, m
			}
		}
	}
	return nil, nil
}

// wantsLook says that the forge is to be read now.
func (mr *MergeRequest) wantsLook() bool {
	return mr.Snapshot == nil || !mr.LookAt.IsZero() && !mr.LookAt.After(mr.Now)
}

// forgeRests says that the forge failed and is left alone.
func (mr *MergeRequest) forgeRests() bool { return mr.ForgeAt.After(mr.Now) }

// arrive notes that something new is there: first in line if a person waits.
func (mr *MergeRequest) arrive(first bool) {
	mr.Wake++
	if mr.Lease != "" {
		return // whoever holds it sees that Wake has moved
	}
	at := mr.Now
	if first {
		at = DueFirst()
	}
	if mr.DueAt.IsZero() || at.Before(mr.DueAt) {
		mr.DueAt = at
	}
}

// record appends an entry about r (nil: about the merge request) to the log.
func (mr *MergeRequest) record(r *Request, kind EntryKind, data any) *Entry {
	e := newEntry(kind, data)
	e.At, e.MergeRequest = mr.Now, mr.ID
	if r != nil {
		e.Request = r.ID
	}
	mr.Entries = append(mr.Entries, e)
	return e
}
