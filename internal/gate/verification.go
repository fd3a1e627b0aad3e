package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AnchorDigits is how many digits of a hash an anchor has at least, which is what
// a note shows: fewer could be found again by somebody who has the time.
const AnchorDigits = 32

// Anchor is what is known from elsewhere of an entry: its number, and its hash or
// the beginning of that.
type Anchor struct {
	Number int64
	Hash   string // lower-case hexadecimal digits
	From   string // where it is from, for people
}

// ParseAnchor reads "12:0123…", as mrgate log --verify prints it; a number sign
// may stand before it, as in a note.
func ParseAnchor(s string) (Anchor, error) {
	number, hash, ok := strings.Cut(strings.TrimPrefix(s, "#"), ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n < 1 {
		return Anchor{}, fmt.Errorf("%q is no anchor; it looks like 12:0123abcd…, an entry's number and its hash", s)
	}
	hash = strings.ToLower(hash)
	if strings.Trim(hash, "0123456789abcdef") != "" || len(hash) > hex.EncodedLen(sha256.Size) {
		return Anchor{}, fmt.Errorf("the anchor %q has no hash: that is up to 64 digits from 0 to f", s)
	}
	if len(hash) < AnchorDigits {
		return Anchor{}, fmt.Errorf("the anchor %q has %d digits of a hash and needs at least %d, which is what a note shows", s, len(hash), AnchorDigits)
	}
	return Anchor{Number: n, Hash: hash}, nil
}

// Flaw is something that is not as mrgate wrote it.
type Flaw struct {
	Entry   int64  `json:"entry,omitempty"`   // the entry that shows it; 0: none does
	Request int64  `json:"request,omitempty"` // the request that it is about; 0: none
	What    string `json:"what"`
}

func (f Flaw) String() string {
	switch {
	case f.Entry != 0:
		return fmt.Sprintf("entry %d: %s", f.Entry, f.What)
	case f.Request != 0:
		return fmt.Sprintf("request %d: %s", f.Request, f.What)
	}
	return f.What
}

// mostFlaws is how many are kept: one change may be seen in many places.
const mostFlaws = 20

// Verification checks a log: that each entry follows on from the one before by
// its hash, that none is missing, also at the end, and that what the database
// says besides (requests, their states, decisions, policies) is what the log
// tells of. An [Archive] tells it what there is, in the order of its methods;
// then Finish has the last word. It keeps nothing that grows with the log.
//
// Whoever can write the whole file can also write all of it anew, with hashes
// that fit. That show anchors only: what was known of the log elsewhere.
type Verification struct {
	Entries  int64
	First    Entry // their data is not kept
	Last     Entry
	Anchored int64 // the newest entry that an anchor has borne out; 0: none

	Flaws   []Flaw   // the first ones
	Unsaid  int      // how many more there are
	Remarks []string // what is worth to know, and no flaw; the first ones

	anchors  map[int64][]Anchor
	noted    map[int64]string // requests of which a note is known elsewhere, by number
	head     Anchor           // what the database notes as the last entry; number 0: nothing
	computed string           // the hash that the last entry should have
	setBack  int              // how often the clock was
	policies []PolicyData     // as the log tells
	kept     int              // policies that the database keeps, so far
}

// NewVerification is one that also checks the anchors.
func NewVerification(anchors ...Anchor) *Verification {
	v := &Verification{anchors: make(map[int64][]Anchor), noted: make(map[int64]string)}
	for _, a := range anchors {
		v.anchors[a.Number] = append(v.anchors[a.Number], a)
	}
	return v
}

// Noted says that a note from elsewhere is about the request, which therefore has
// to be there.
func (v *Verification) Noted(request int64, where string) { v.noted[request] = where }

func (v *Verification) flaw(f Flaw) {
	if len(v.Flaws) == mostFlaws {
		v.Unsaid++
		return
	}
	v.Flaws = append(v.Flaws, f)
}

func (v *Verification) entryFlaw(number int64, format string, args ...any) {
	v.flaw(Flaw{Entry: number, What: fmt.Sprintf(format, args...)})
}

func (v *Verification) requestFlaw(number int64, format string, args ...any) {
	v.flaw(Flaw{Request: number, What: fmt.Sprintf(format, args...)})
}

// Unguarded says that the database has nothing that refuses changes of the log
// any more.
func (v *Verification) Unguarded(trigger string) {
	v.flaw(Flaw{What: fmt.Sprintf("the trigger %s, which refuses to change or remove entries of the log, is gone from the database", trigger)})
}

// Head takes what the database notes as the last entry.
func (v *Verification) Head(number int64, hash string) { v.head = Anchor{Number: number, Hash: hash} }

// Entry takes the entries in the order of their numbers. It keeps no part of e.Data.
func (v *Verification) Entry(e *Entry) {
	next := v.Last.Number + 1
	switch hash := e.Chain(v.Last.Hash); {
	case e.Number > next:
		v.missing(next, e.Number-1, fmt.Sprintf("; whether entry %d is as it was written cannot be seen", e.Number))
		v.computed = e.Hash
	case e.Number < next:
		v.entryFlaw(e.Number, "no entry has such a number")
	case e.Hash != hash && e.Hash != e.Chain(v.computed):
		v.entryFlaw(e.Number, "its hash is not that of what it says and of the entry before it: %s", changed(e.Number))
		v.computed = hash
	default:
		v.computed = e.Hash
	}
	if v.Entries > 0 && e.At.Before(v.Last.At) {
		v.setBack++
		v.remark("entry %d is of %s and entry %d after it of %s: the clock was set back",
			v.Last.Number, v.Last.At.Format(time.RFC3339), e.Number, e.At.Format(time.RFC3339))
	}
	for _, a := range v.anchors[e.Number] {
		if strings.HasPrefix(e.Hash, a.Hash) {
			v.Anchored = e.Number
		} else {
			v.entryFlaw(e.Number, "its hash is %s, and %s says %s: the log was rewritten, at this entry or before it", e.Hash, a.From, a.Hash)
		}
	}
	delete(v.anchors, e.Number)
	if e.Kind == EntryPolicy {
		var p PolicyData
		if err := json.Unmarshal(e.Data, &p); err != nil {
			v.entryFlaw(e.Number, "it does not name a policy: %v", err)
		}
		v.policies = append(v.policies, p)
	}
	last := *e
	last.Data = nil
	if v.Entries == 0 {
		v.First = last
	}
	v.Entries++
	v.Last = last
}

func changed(number int64) string {
	if number == 1 {
		return "it was changed"
	}
	return fmt.Sprintf("it was changed, or entry %d was, with a new hash", number-1)
}

func (v *Verification) missing(from, to int64, more string) {
	what := "it is missing"
	if from != to {
		what = fmt.Sprintf("it and those up to entry %d are missing", to)
	}
	v.entryFlaw(from, "%s%s", what, more)
}

func (v *Verification) remark(format string, args ...any) {
	if len(v.Remarks) < mostFlaws {
		v.Remarks = append(v.Remarks, fmt.Sprintf(format, args...))
	}
}

// Policy takes a policy that the database keeps, in the order in which they came
// into force.
func (v *Verification) Policy(hash, text string, dry bool, since time.Time) {
	v.kept++
	if sum := sha256.Sum256([]byte(text)); hex.EncodeToString(sum[:]) != hash {
		v.flaw(Flaw{What: fmt.Sprintf("the text of policy %s, in force since %s, has another hash: it was changed", hash, since.Format(time.RFC3339))})
	}
	if v.kept > len(v.policies) {
		v.flaw(Flaw{What: fmt.Sprintf("the database keeps policy %s as in force since %s, and the log does not tell of it", hash, since.Format(time.RFC3339))})
		return
	}
	if p := v.policies[v.kept-1]; p.Policy != hash || p.Dry != dry || !p.Since.Equal(since) {
		v.flaw(Flaw{What: fmt.Sprintf("the database keeps policy %s as in force since %s (dry run: %t), and the log tells of %s since %s (%t)",
			hash, since.Format(time.RFC3339), dry, p.Policy, p.Since.Format(time.RFC3339), p.Dry)})
	}
}

// Kept is a request as the database has it.
type Kept struct {
	Number    int64
	Head      CommitID
	Target    string
	State     State
	Dry       bool
	Decisions []Decision // their Entry has the Number
}

// Story takes what there is of one merge request: its requests, its landing (nil:
// none), and those entries, in their order, that tell of opening, decisions,
// counting, states and a merge around the gate.
func (v *Verification) Story(requests []Kept, landing *Landing, entries []Entry) {
	told := make(map[int64]*recounted)
	var around *Entry
	for i := range entries {
		if entries[i].Kind == EntryBypassed {
			around = &entries[i]
			continue
		}
		v.recount(told, &entries[i])
	}
	v.landed(landing, around)
	for i := range requests {
		r := &requests[i]
		delete(v.noted, r.Number)
		t := told[r.Number]
		delete(told, r.Number)
		if t == nil || !t.opened {
			v.requestFlaw(r.Number, "it is in the database, and the log does not tell that it was opened")
			continue
		}
		v.compare(r, t)
	}
	for _, e := range entries {
		if t := told[e.Request]; t != nil {
			v.entryFlaw(e.Number, "it tells of request %d, which the database no longer has", e.Request)
			delete(told, e.Request)
		}
	}
}

// landed holds how the database says that it was merged against the entry that it
// was merged around the gate; nil: there is none.
func (v *Verification) landed(l *Landing, e *Entry) {
	var d BypassedData
	if e != nil {
		if err := json.Unmarshal(e.Data, &d); err != nil {
			v.entryFlaw(e.Number, "what it holds cannot be read: %v", err)
			return
		}
	}
	switch {
	case e == nil && l != nil && l.Around != "":
		v.flaw(Flaw{What: fmt.Sprintf("the database has a merge of %s around mrgate under rule %q, and the log does not tell of it", l.At.Format(time.RFC3339), l.Rule)})
	case e != nil && (l == nil || l.Around == ""):
		v.entryFlaw(e.Number, "it tells of a merge around mrgate, which the database does not have as one")
	case e != nil && (l.Around != d.Why || l.Rule != d.Rule || l.At.UnixMilli() != d.At.UnixMilli() || l.Entry == nil || l.Entry.Number != e.Number):
		v.entryFlaw(e.Number, "the merge around mrgate that the database has differs from it")
	}
}

// recounted is what the log tells of a request.
type recounted struct {
	opened  bool
	head    CommitID
	target  string
	state   State
	dry     bool
	moved   int64             // the entry that tells so
	decided map[string]voiced // by person
}

// voiced is what the log tells of a decision.
type voiced struct {
	DecidedData
	entry int64
	void  bool
}

// recount takes in an entry about a request.
func (v *Verification) recount(told map[int64]*recounted, e *Entry) {
	t := told[e.Request]
	if t == nil {
		t = &recounted{decided: make(map[string]voiced)}
		told[e.Request] = t
	}
	var err error
	switch e.Kind {
	case EntryOpened:
		var d OpenedData
		err = json.Unmarshal(e.Data, &d)
		t.opened, t.head, t.target, t.dry, t.state, t.moved = true, d.Head, d.Target, d.Dry, Pending, e.Number
	case EntryDecided:
		var d DecidedData
		err = json.Unmarshal(e.Data, &d)
		t.decided[d.Person] = voiced{DecidedData: d, entry: e.Number}
	case EntryCounts:
		var d CountsData
		err = json.Unmarshal(e.Data, &d)
		if was, ok := t.decided[d.Person]; ok {
			was.void = !d.Counts
			t.decided[d.Person] = was
		}
	case EntryState:
		var d StateData
		err = json.Unmarshal(e.Data, &d)
		if err == nil && d.From != t.state {
			v.entryFlaw(e.Number, "it moves request %d from %s, which by then was %s", e.Request, d.From, t.state)
		}
		t.state, t.moved = d.To, e.Number
	case EntryClick, EntryPeople, EntryAgain, EntryBypassed, EntryEffect, EntryMessage, EntryReminder, EntryPolicy:
	}
	if err != nil {
		v.entryFlaw(e.Number, "what it holds cannot be read: %v", err)
	}
}

// compare holds what the database has of a request against what the log tells.
func (v *Verification) compare(r *Kept, t *recounted) {
	if r.Head != t.head || r.Target != t.target {
		v.requestFlaw(r.Number, "the database has it about commit %s into %s, and the log about %s into %s", r.Head, r.Target, t.head, t.target)
	}
	if r.Dry != t.dry {
		is := map[bool]string{true: "a dry run", false: "real"}
		v.requestFlaw(r.Number, "the database has it as %s, and the log as %s", is[r.Dry], is[t.dry])
	}
	if r.State != t.state {
		v.requestFlaw(r.Number, "the database has it as %s, and entry %d, the last one about that, as %s", r.State, t.moved, t.state)
	}
	for _, d := range r.Decisions {
		d.Person, d.Name, d.Reason = asLogged(d.Person), asLogged(d.Name), asLogged(d.Reason)
		said, ok := t.decided[d.Person]
		delete(t.decided, d.Person)
		if !ok {
			v.requestFlaw(r.Number, "the database has a decision of %s (%s), and the log has none", d.Name, d.Person)
			continue
		}
		if differ := said.differs(&d); len(differ) > 0 {
			v.entryFlaw(said.entry, "the decision of %s on request %d that the database has differs from it: %s", d.Name, r.Number, strings.Join(differ, ", "))
		}
	}
	for _, person := range sortedKeys(t.decided) {
		said := t.decided[person]
		v.entryFlaw(said.entry, "it tells of a decision of %s on request %d, which the database no longer has", said.Name, r.Number)
	}
}

// asLogged is the text as it comes back from JSON, which has no place for what is
// not UTF-8: an operator's shell may give anything.
func asLogged(s string) string { return string([]rune(s)) }

func sortedKeys(m map[string]voiced) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// differs names what the database has otherwise.
func (s *voiced) differs(d *Decision) (names []string) {
	is := func(same bool, name string) {
		if !same {
			names = append(names, name)
		}
	}
	is(d.Verdict == s.Verdict, "verdict")
	is(d.Name == s.Name, "name")
	is(d.Reason == s.Reason, "reason")
	is(d.Via == s.Via, "way in")
	is(d.Shown == s.Shown, "what the card showed")
	is(d.At.Equal(s.At), "time")
	is(d.Void == s.void, "whether it counts")
	is(d.Entry != nil && d.Entry.Number == s.entry, "number of the entry")
	return names
}

// Finish says what only shows when everything was seen.
func (v *Verification) Finish() {
	switch {
	case v.Entries == 0 && v.head.Number == 0:
		v.flaw(Flaw{What: "the log is empty: there is nothing to verify"})
	case v.head.Number == 0:
		v.flaw(Flaw{What: "the database does not note which entry is the last (log_head in meta): whether the end was cut off cannot be seen"})
	case v.head.Number > v.Last.Number:
		v.missing(v.Last.Number+1, v.head.Number, ": the end of the log was cut off")
	case v.head.Number < v.Last.Number:
		v.entryFlaw(v.head.Number+1, "the database notes entry %d as the last, so this one and what follows were not written by mrgate", v.head.Number)
	case v.head.Hash != v.Last.Hash:
		v.entryFlaw(v.Last.Number, "its hash is %s, and the database notes %s of it as the last entry", v.Last.Hash, v.head.Hash)
	}
	if v.kept < len(v.policies) {
		v.flaw(Flaw{What: fmt.Sprintf("the log tells of more policies that came into force (%d) than the database keeps (%d)", len(v.policies), v.kept)})
	}
	var left []int64
	for number := range v.anchors {
		left = append(left, number)
	}
	slices.Sort(left)
	for _, number := range left {
		v.entryFlaw(number, "it is not there, and %s says that its hash is %s", v.anchors[number][0].From, v.anchors[number][0].Hash)
	}
	left = left[:0]
	for number := range v.noted {
		left = append(left, number)
	}
	slices.Sort(left)
	for _, number := range left {
		v.requestFlaw(number, "the database does not have it, and %s is about it", v.noted[number])
	}
	if v.setBack > len(v.Remarks) {
		v.Remarks = append(v.Remarks, fmt.Sprintf("the clock was set back %d times in all", v.setBack))
	}
}

// Err is the first flaw; nil: there is none.
func (v *Verification) Err() error {
	switch n := len(v.Flaws) + v.Unsaid; n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s", v.Flaws[0])
	default:
		return fmt.Errorf("%s (and %d more)", v.Flaws[0], n-1)
	}
}
