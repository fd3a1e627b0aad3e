package gatetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/token"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// Store checks that what open gives, an empty store each time, is a gate.Store.
// Each check runs in a bubble of testing/synctest, and so has open to start its
// goroutines there; the store's clock is the bubble's.
func Store(t *testing.T, open func(t *testing.T) gate.Store) {
	t.Helper()
	for _, check := range []struct {
		name string
		f    func(s *tried)
	}{
		{"a ref creates its merge request", testCreate},
		{"every field comes back", testRoundTrip},
		{"a change of any field is written", testEveryField},
		{"requests that are settled and not the latest stay away", testSettled},
		{"a failed change leaves nothing behind", testFailedChange},
		{"a panic is its caller's", testPanic},
		{"changes of one merge request follow each other", testSerial},
		{"the first decision of a person stands", testOneDecision},
		{"at most one request is open", testOneOpen},
		{"requests are numbered in one count", testRequestNumbers},
		{"history is not removed", testHistory},
		{"a message finds its merge request", testMessage},
		{"a message moves to a newer request", testMessageMoves},
		{"claims come and go", testClaims},
		{"the log is numbered and chained", testLog},
		{"who is longest due is claimed first", testClaimOrder},
		{"a lease runs out", testLeaseEnds},
		{"a write renews the lease", testLeaseRenewed},
		{"a lease that ran out and was not taken is good for writing", testLeaseLate},
		{"a row that was let go is due again", testLeaseGivenBack},
		{"a row that is asked for is claimed", testClaimRow},
		{"a request finds its merge request", testRequest},
		{"the next due time is known", testNextDue},
		{"who has not decided is reminded once, of all that waits", testRemind},
		{"a reminder that was not sent is tried again", testRemindAgain},
		{"a reminder about much lists some of it", testRemindMuch},
		{"what does not wait is not mentioned", testRemindNobody},
		{"a dry run reminds of its own", testRemindDry},
		{"a new policy wakes who is followed under another", testPolicy},
		{"the policy of a time is known", testPolicyAt},
		{"a project that moved has another path everywhere", testMoved},
		{"a dry run and its end wake whom they concern", testDryRun},
		{"the mark of a list moves on", testMark},
		{"what is followed is known", testFollowed},
		{"people are known for a while", testPeople},
		{"a change that was not begun is dropped with its context", testContextBefore},
		{"a change that was begun is waited for", testContextAfter},
		{"a closed store refuses", testClosed},
	} {
		t.Run(check.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { check.f(try(t, open(t))) })
		})
	}
}

// StorePair checks that two stores on one empty database, as two processes have
// them, do not get into each other's way.
func StorePair(t *testing.T, open func(t *testing.T) (a, b gate.Store)) {
	t.Helper()
	for _, check := range []struct {
		name string
		f    func(a, b *tried)
	}{
		{"one sees what the other wrote", testPairSees},
		{"changes of one merge request follow each other", testPairSerial},
		{"the log is numbered and chained", testPairLog},
		{"a row is claimed by one", testPairClaim},
		{"a paused worker's write is refused", testPairLeaseLost},
		{"the mark of a list is moved by one", testPairMark},
		{"a reminder is sent by one", testPairRemind},
	} {
		t.Run(check.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := open(t)
				check.f(try(t, a), try(t, b))
			})
		})
	}
}

// tried is a store under test.
type tried struct {
	gate.Store
	t *testing.T
}

func try(t *testing.T, s gate.Store) *tried {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &tried{s, t}
}

// change makes a change that has to succeed, and gives what it wrote.
func (s *tried) change(by gate.By, f func(mr *gate.MergeRequest)) *gate.MergeRequest {
	s.t.Helper()
	var written *gate.MergeRequest
	err := s.Change(s.t.Context(), by, func(mr *gate.MergeRequest) error {
		written = mr
		f(mr)
		return nil
	})
	if err != nil {
		s.t.Fatalf("change: %v", err)
	}
	return written
}

// refuse makes a change that has to fail with target; nil: with any error.
func (s *tried) refuse(by gate.By, target error, f func(mr *gate.MergeRequest)) {
	s.t.Helper()
	err := s.Change(s.t.Context(), by, func(mr *gate.MergeRequest) error { f(mr); return nil })
	if err == nil || target != nil && !errors.Is(err, target) {
		s.t.Fatalf("change: error is %v, should be %v", err, target)
	}
}

func (s *tried) peek(by gate.By) *gate.MergeRequest {
	s.t.Helper()
	mr, err := s.Peek(s.t.Context(), by)
	if err != nil {
		s.t.Fatalf("peek: %v", err)
	}
	return mr
}

// claim gives the numbers of the merge requests that it got.
func (s *tried) claim(token string, n int, d time.Duration) (numbers []int64) {
	s.t.Helper()
	mrs, err := s.Claim(s.t.Context(), token, n, d)
	if err != nil {
		s.t.Fatalf("claim: %v", err)
	}
	for _, mr := range mrs {
		if mr.Lease != token {
			s.t.Errorf("lease of a claimed row is %q, should be %q", mr.Lease, token)
		}
		if end := mr.Now.Add(d); !mr.DueAt.Equal(end) {
			s.t.Errorf("the lease ends %s, should %s", mr.DueAt, end)
		}
		numbers = append(numbers, mr.Ref.Number)
	}
	return numbers
}

// due makes a merge request that is due at a time from now.
func (s *tried) due(number int64, in time.Duration) *gate.MergeRequest {
	s.t.Helper()
	return s.change(byRef(number), func(mr *gate.MergeRequest) { mr.DueAt = mr.Now.Add(in) })
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := gocmp.Diff(want, got, exported()); diff != "" {
		t.Errorf("%s is not as it should be (-want +got):\n%s", what, diff)
	}
}

// exported leaves out of comparisons what gate keeps to itself: no store can
// see it.
func exported() gocmp.Option {
	return gocmp.FilterPath(func(p gocmp.Path) bool {
		f, ok := p.Last().(gocmp.StructField)
		return ok && !token.IsExported(f.Name())
	}, gocmp.Ignore())
}

func byRef(number int64) gate.By {
	return gate.By{Ref: &gate.Ref{Forge: "gitlab", Project: 47778247, Number: number}}
}

func byLease(mr *gate.MergeRequest, token string, d time.Duration) gate.By {
	return gate.By{Lease: &gate.Lease{Row: mr.ID, Token: token, For: d}}
}

func byRequest(number int64) gate.By { return gate.By{Request: number} }

func byMessage(key string) gate.By { return gate.By{Message: key} }

// ask opens a request.
func ask(mr *gate.MergeRequest) *gate.Request {
	r := &gate.Request{ID: mr.NextRequest, Seq: 1, State: gate.Pending, Head: "c0ffee", Target: "main"}
	if cur := mr.Current(); cur != nil {
		r.Seq = cur.Seq + 1
	}
	mr.NextRequest++
	mr.Requests = append(mr.Requests, r)
	return r
}

// end ends the latest request and settles it.
func end(mr *gate.MergeRequest, s gate.State) {
	mr.Current().State = s
	mr.Current().Settled = true
}

// message adds one to the latest request.
func message(mr *gate.MergeRequest, key string) *gate.Message {
	m := &gate.Message{Key: key, Kind: gate.KindCard, To: gate.Recipient{ID: "ou_" + key}}
	mr.Current().Messages = append(mr.Current().Messages, m)
	return m
}

// enter adds an entry to the log.
func enter(mr *gate.MergeRequest, text string) *gate.Entry {
	e := &gate.Entry{At: mr.Now, MergeRequest: mr.ID, Kind: gate.EntryState, Data: []byte(fmt.Sprintf("{\"text\":%q}", text))}
	if r := mr.Current(); r != nil {
		e.Request = r.ID
	}
	mr.Entries = append(mr.Entries, e)
	return e
}

func testCreate(s *tried) {
	t := s.t
	for _, by := range []gate.By{byRef(1), byMessage("unknown"), byRequest(1), byLease(&gate.MergeRequest{ID: 1}, "token", time.Second)} {
		if _, err := s.Peek(t.Context(), by); !errors.Is(err, gate.ErrNoRow) {
			t.Errorf("peek at nothing: error is %v, should be %v", err, gate.ErrNoRow)
		}
		if by.Ref == nil {
			s.refuse(by, gate.ErrNoRow, func(*gate.MergeRequest) { t.Error("there is nothing to change") })
		}
		if _, err := s.ClaimRow(t.Context(), by, "token", time.Second); !errors.Is(err, gate.ErrNoRow) {
			t.Errorf("claim of nothing: error is %v, should be %v", err, gate.ErrNoRow)
		}
	}
	s.refuse(gate.By{}, nil, func(*gate.MergeRequest) {})
	s.refuse(gate.By{Ref: byRef(1).Ref, Message: "key"}, nil, func(*gate.MergeRequest) {})

	time.Sleep(1500 * time.Microsecond)
	one := s.change(byRef(1), func(mr *gate.MergeRequest) {
		equal(t, "number of the first request", mr.NextRequest, int64(1))
		equal(t, "the transaction's time, cut to milliseconds", mr.Now, time.Now().UTC().Truncate(time.Millisecond))
		mr.Why = "one"
	})
	two := s.change(byRef(2), func(mr *gate.MergeRequest) { mr.Why = "two" })
	if one.ID == 0 || two.ID == 0 || one.ID == two.ID {
		t.Errorf("rows are numbered %d and %d", one.ID, two.ID)
	}
	for _, want := range []*gate.MergeRequest{one, two} {
		equal(t, "merge request", s.peek(gate.By{Ref: &want.Ref}), want)
	}
	again := s.change(byRef(1), func(mr *gate.MergeRequest) { equal(t, "what was written", mr.Why, "one") })
	equal(t, "row", again.ID, one.ID)

	// A look at something that turns out to be nobody's business leaves no row.
	s.change(byRef(3), func(*gate.MergeRequest) {})
	if _, err := s.Peek(t.Context(), byRef(3)); !errors.Is(err, gate.ErrNoRow) {
		t.Errorf("after a change of nothing: error is %v, should be %v", err, gate.ErrNoRow)
	}
}

func testSettled(s *tried) {
	t := s.t
	for i := range 4 {
		s.change(byRef(1), func(mr *gate.MergeRequest) {
			if i > 0 {
				mr.Current().State = gate.Superseded
				mr.Current().Settled = i != 2 // of the second there is something left to do
			}
			ask(mr)
		})
	}
	seqs := func(mr *gate.MergeRequest) (seqs []int) {
		for _, r := range mr.Requests {
			seqs = append(seqs, r.Seq)
		}
		return seqs
	}
	equal(t, "requests", seqs(s.peek(byRef(1))), []int{2, 4})
	s.change(byRef(1), func(mr *gate.MergeRequest) { end(mr, gate.Expired); mr.Requests[0].Settled = true })
	equal(t, "requests after all is done", seqs(s.peek(byRef(1))), []int{4})
}

func testFailedChange(s *tried) {
	t := s.t
	reason := errors.New("no")
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Why = "before"; enter(ofRequest(mr), "before") })
	// Together with others, so that they are in one transaction where the store
	// makes one of many.
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			err := s.Change(t.Context(), byRef(int64(i+1)), func(mr *gate.MergeRequest) error {
				mr.Why = "after"
				ask(mr)
				message(mr, fmt.Sprint("key", i))
				enter(mr, "after")
				if i%2 == 0 {
					return reason
				}
				return nil
			})
			if failed := errors.Is(err, reason); failed != (i%2 == 0) || err != nil && !failed {
				t.Errorf("change %d: error is %v", i, err)
			}
		})
	}
	all.Wait()
	mr := s.peek(byRef(1))
	equal(t, "reason", mr.Why, "before")
	equal(t, "requests", len(mr.Requests), 1)
	for i := range 20 {
		_, err := s.Peek(t.Context(), byMessage(fmt.Sprint("key", i)))
		if written := err == nil; written != (i%2 == 1) {
			t.Errorf("message %d: error is %v", i, err)
		}
	}
	e := s.change(byRef(1), func(mr *gate.MergeRequest) { enter(mr, "last") }).Entries[0]
	equal(t, "number of the next entry", e.Number, int64(12))
}

// ofRequest opens a request and gives the merge request back.
func ofRequest(mr *gate.MergeRequest) *gate.MergeRequest {
	ask(mr)
	return mr
}

func testPanic(s *tried) {
	t := s.t
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) {
		mr.Why = "before the panic"
		panic("at the disco")
	})
	s.change(byRef(1), func(mr *gate.MergeRequest) { equal(t, "reason", mr.Why, ""); mr.Why = "after it" })
}

func testSerial(s *tried) {
	t := s.t
	const callers, changes = 8, 20
	var all sync.WaitGroup
	for range callers {
		all.Go(func() { s.count(changes) })
	}
	all.Wait()
	equal(t, "count", s.peek(byRef(1)).Wake, int64(callers*changes))
}

// count counts in one merge request.
func (s *tried) count(changes int) {
	for range changes {
		err := s.Change(s.t.Context(), byRef(1), func(mr *gate.MergeRequest) error { mr.Wake++; return nil })
		if err != nil {
			s.t.Errorf("change: %v", err)
		}
	}
}

func testOneDecision(s *tried) {
	t := s.t
	decide := func(v gate.Verdict) func(mr *gate.MergeRequest) {
		return func(mr *gate.MergeRequest) {
			r := mr.Current()
			r.Decisions = append(r.Decisions, &gate.Decision{Person: "ou_alice", Verdict: v, Entry: enter(mr, string(v))})
		}
	}
	s.change(byRef(1), func(mr *gate.MergeRequest) { ask(mr) })
	s.change(byRef(1), decide(gate.Approve))
	s.refuse(byRef(1), nil, decide(gate.Reject))
	s.refuse(byRef(2), nil, func(mr *gate.MergeRequest) { ask(mr); decide(gate.Approve)(mr); decide(gate.Reject)(mr) })
	r := s.peek(byRef(1)).Current()
	if len(r.Decisions) != 1 || r.Decisions[0].Verdict != gate.Approve {
		t.Errorf("decisions are %+v, should be the first", r.Decisions)
	}
	// On another request she decides anew.
	s.change(byRef(1), func(mr *gate.MergeRequest) { end(mr, gate.Superseded); ask(mr); decide(gate.Reject)(mr) })
}

func testOneOpen(s *tried) {
	s.change(byRef(1), func(mr *gate.MergeRequest) { ask(mr) })
	for _, state := range []gate.State{gate.Pending, gate.Approved, gate.BlockedNow} {
		s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Current().State = state })
		s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { ask(mr) })
		s.change(byRef(1), func(mr *gate.MergeRequest) { end(mr, gate.Superseded); ask(mr) })
	}
}

func testRequestNumbers(s *tried) {
	t := s.t
	s.change(byRef(1), func(mr *gate.MergeRequest) { ask(mr); end(mr, gate.Expired); ask(mr) })
	s.change(byRef(2), func(mr *gate.MergeRequest) { equal(t, "next number", mr.NextRequest, int64(3)); ask(mr) })
	equal(t, "number", s.peek(byRef(2)).Current().ID, int64(3))
	s.refuse(byRef(3), nil, func(mr *gate.MergeRequest) { ask(mr).ID = 2 })
	s.refuse(byRef(3), nil, func(mr *gate.MergeRequest) { ask(mr).ID = 0 })
}

func testHistory(s *tried) {
	t := s.t
	s.change(byRef(1), func(mr *gate.MergeRequest) {
		r := ask(mr)
		r.Decisions = []*gate.Decision{{Person: "ou_alice", Verdict: gate.Approve, Entry: enter(mr, "yes")}}
		mr.Landing = &gate.Landing{At: mr.Now, Rule: "production"}
	})
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { mr.Landing = nil })
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { mr.Landing.Entry = &gate.Entry{} })
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { mr.Current().Decisions = nil })
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { mr.Requests = nil })
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { mr.Ref.Number++ })
	equal(t, "decisions", len(s.peek(byRef(1)).Current().Decisions), 1)
}

func testMessage(s *tried) {
	t := s.t
	s.change(byRef(1), func(mr *gate.MergeRequest) { ask(mr); message(mr, "old") })
	s.change(byRef(1), func(mr *gate.MergeRequest) { end(mr, gate.Superseded); ask(mr); message(mr, "middle") })
	s.change(byRef(1), func(mr *gate.MergeRequest) { end(mr, gate.Superseded); ask(mr); message(mr, "new") })
	for _, test := range []struct {
		key  string
		seqs []int
	}{{"old", []int{1, 3}}, {"middle", []int{2, 3}}, {"new", []int{3}}} {
		var seqs []int
		mr := s.change(byMessage(test.key), func(mr *gate.MergeRequest) {
			if _, m := mr.MessageByKey(test.key); m != nil {
				m.Face = "seen " + test.key
			}
		})
		for _, r := range mr.Requests {
			seqs = append(seqs, r.Seq)
		}
		equal(t, "requests by message "+test.key, seqs, test.seqs)
		if _, m := s.peek(byMessage(test.key)).MessageByKey(test.key); m == nil || m.Face != "seen "+test.key {
			t.Errorf("message %q is %+v", test.key, m)
		}
	}
	// A key is one message's in all the database, also of what is not loaded.
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { message(mr, "old") })
	s.refuse(byRef(2), nil, func(mr *gate.MergeRequest) { ask(mr); message(mr, "new") })
	// One message of a kind to a recipient.
	s.refuse(byRef(1), nil, func(mr *gate.MergeRequest) { message(mr, "other").To.ID = "ou_new" })
}

func testMessageMoves(s *tried) {
	t := s.t
	s.change(byRef(1), func(mr *gate.MergeRequest) { ask(mr); message(mr, "one"); message(mr, "two"); message(mr, "three") })
	s.change(byRef(1), func(mr *gate.MergeRequest) {
		old := mr.Current()
		end(mr, gate.Superseded)
		r := ask(mr)
		r.Messages = append(r.Messages, old.Messages[0])
		old.Messages = old.Messages[1:2] // and the third is dropped
		message(mr, "four")
	})
	keys := func(mr *gate.MergeRequest) (all []string) {
		for _, r := range mr.Requests {
			for _, m := range r.Messages {
				all = append(all, fmt.Sprint(r.Seq, " ", m.Key))
			}
		}
		return all
	}
	equal(t, "messages by the one that moved", keys(s.peek(byMessage("one"))), []string{"2 one", "2 four"})
	equal(t, "messages by the one that stayed", keys(s.peek(byMessage("two"))), []string{"1 two", "2 one", "2 four"})
	if _, err := s.Peek(t.Context(), byMessage("three")); !errors.Is(err, gate.ErrNoRow) {
		t.Errorf("dropped message: error is %v, should be %v", err, gate.ErrNoRow)
	}
}

func testClaims(s *tried) {
	t := s.t
	claim := func(reason string) *gate.Claim {
		return &gate.Claim{Message: "key", Person: gate.Person{ID: "ou_bob"}, Action: gate.ActionReject, Reason: reason}
	}
	reasons := func() (all []string) {
		for _, c := range s.peek(byRef(1)).Claims {
			all = append(all, c.Reason)
		}
		return all
	}
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Claims = append(mr.Claims, claim("a"), claim("b")) })
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Claims = append(mr.Claims, claim("c")) })
	equal(t, "claims", reasons(), []string{"a", "b", "c"})
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Claims = mr.Claims[1:]; mr.Claims[0].Reason = "d" })
	equal(t, "claims", reasons(), []string{"d", "c"})
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Claims = nil })
	equal(t, "claims", reasons(), []string(nil))
}

func testLog(s *tried) {
	t := s.t
	var log ledger
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { log.fill(s, int64(i), 10) })
	}
	all.Wait()
	log.check(t)

	// A decision knows its entry.
	e := s.change(byRef(1), func(mr *gate.MergeRequest) {
		ask(mr)
		mr.Current().Decisions = []*gate.Decision{{Person: "ou_alice", Verdict: gate.Approve, Entry: enter(mr, "yes")}}
	}).Entries[0]
	equal(t, "entry of a decision", s.peek(byRef(1)).Current().Decisions[0].Entry, &gate.Entry{Number: e.Number, Hash: e.Hash})
	// One that is in no log is a mistake.
	s.refuse(byRef(2), nil, func(mr *gate.MergeRequest) {
		ask(mr).Decisions = []*gate.Decision{{Person: "ou_alice", Verdict: gate.Approve, Entry: &gate.Entry{}}}
	})
}

// ledger collects what was written to the log.
type ledger struct {
	mu      sync.Mutex
	entries []*gate.Entry
}

// fill makes changes of one merge request, with no, one or two entries each; every third fails.
func (l *ledger) fill(s *tried, number int64, changes int) {
	for i := range changes {
		var entries []*gate.Entry
		err := s.Change(s.t.Context(), byRef(number), func(mr *gate.MergeRequest) error {
			for n := range i % 3 {
				enter(mr, fmt.Sprint(number, " ", i, " ", n))
			}
			entries = mr.Entries
			mr.Wake++
			if i%3 == 1 {
				return errors.New("no")
			}
			return nil
		})
		if (err != nil) != (i%3 == 1) {
			s.t.Errorf("change: %v", err)
		}
		if err == nil {
			l.mu.Lock()
			l.entries = append(l.entries, entries...)
			l.mu.Unlock()
		}
	}
}

func (l *ledger) check(t *testing.T) {
	t.Helper()
	slices.SortFunc(l.entries, func(a, b *gate.Entry) int { return cmp.Compare(a.Number, b.Number) })
	before := ""
	for i, e := range l.entries {
		if e.Number != int64(i+1) {
			t.Fatalf("entry %d has the number %d", i+1, e.Number)
		}
		if e.MergeRequest == 0 || e.At.IsZero() || !e.At.Equal(e.At.Truncate(time.Millisecond)) {
			t.Errorf("entry %d is of merge request %d and of %s", e.Number, e.MergeRequest, e.At)
		}
		if e.Hash == "" || e.Hash != e.Chain(before) {
			t.Fatalf("entry %d is not chained to the one before", e.Number)
		}
		before = e.Hash
	}
	if len(l.entries) == 0 {
		t.Error("the log is empty")
	}
}

func testClaimOrder(s *tried) {
	t := s.t
	s.due(1, -time.Second)
	s.due(2, time.Minute)
	s.due(3, -time.Hour)
	s.due(4, 0)
	s.change(byRef(5), func(mr *gate.MergeRequest) { mr.DueAt = gate.DueFirst() })
	s.change(byRef(6), func(mr *gate.MergeRequest) { mr.Why = "never due" })

	equal(t, "none asked for", s.claim("token", 0, time.Minute), []int64(nil))
	equal(t, "the first two", s.claim("a", 2, time.Minute), []int64{5, 3})
	equal(t, "the rest", s.claim("b", 10, time.Minute), []int64{1, 4})
	equal(t, "nothing is left", s.claim("c", 10, time.Minute), []int64(nil))
	if _, err := s.Claim(t.Context(), "", 1, time.Minute); err == nil {
		t.Error("a claim without a token went through")
	}
	time.Sleep(time.Minute)
	equal(t, "what is due later, and what nobody kept", len(s.claim("d", 10, time.Minute)), 5)
}

func testLeaseEnds(s *tried) {
	t := s.t
	mr := s.due(1, 0)
	s.claim("first", 1, 15*time.Second)
	time.Sleep(15*time.Second - time.Millisecond)
	equal(t, "claimed while leased", s.claim("second", 1, 15*time.Second), []int64(nil))
	time.Sleep(time.Millisecond)
	equal(t, "claimed after the lease", s.claim("second", 1, 15*time.Second), []int64{1})

	late := func(mr *gate.MergeRequest) { mr.Why = "from a worker that was paused" }
	s.refuse(byLease(mr, "first", 15*time.Second), gate.ErrLeaseLost, late)
	s.refuse(byLease(mr, "", 15*time.Second), gate.ErrLeaseLost, late)
	if _, err := s.Peek(t.Context(), byLease(mr, "first", 0)); !errors.Is(err, gate.ErrLeaseLost) {
		t.Errorf("peek under a lost lease: error is %v, should be %v", err, gate.ErrLeaseLost)
	}
	s.change(byLease(mr, "second", 15*time.Second), func(mr *gate.MergeRequest) { equal(t, "reason", mr.Why, "") })
}

func testLeaseRenewed(s *tried) {
	t := s.t
	mr := s.due(1, 0)
	s.claim("token", 1, 15*time.Second)
	time.Sleep(10 * time.Second)
	s.change(byLease(mr, "token", 15*time.Second), func(mr *gate.MergeRequest) {
		equal(t, "the lease's end, before the change", mr.DueAt, mr.Now.Add(15*time.Second))
	})
	// What arrives while a worker is at it does not touch its lease.
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Wake++ })
	time.Sleep(10 * time.Second)
	equal(t, "claimed while renewed", s.claim("other", 1, time.Second), []int64(nil))
	time.Sleep(5 * time.Second)
	equal(t, "claimed after that", s.claim("other", 1, time.Second), []int64{1})
}

func testLeaseLate(s *tried) {
	t := s.t
	mr := s.due(1, 0)
	s.claim("token", 1, 15*time.Second)
	time.Sleep(time.Hour)
	s.change(byLease(mr, "token", 15*time.Second), func(mr *gate.MergeRequest) { mr.Why = "it was merged" })
	equal(t, "claimed after the renewal", s.claim("other", 1, time.Second), []int64(nil))
}

func testLeaseGivenBack(s *tried) {
	t := s.t
	mr := s.due(1, 0)
	s.claim("token", 1, 15*time.Second)
	s.change(byLease(mr, "token", 15*time.Second), func(mr *gate.MergeRequest) {
		mr.Lease = ""
		mr.DueAt = mr.Now.Add(time.Second)
	})
	s.refuse(byLease(mr, "token", 15*time.Second), gate.ErrLeaseLost, func(*gate.MergeRequest) {})
	s.refuse(byLease(mr, "", 15*time.Second), gate.ErrLeaseLost, func(*gate.MergeRequest) {})
	time.Sleep(time.Second)
	equal(t, "claimed", s.claim("other", 1, 15*time.Second), []int64{1})
	s.change(byLease(mr, "other", 15*time.Second), func(mr *gate.MergeRequest) { mr.Lease, mr.DueAt = "", time.Time{} })
	time.Sleep(time.Hour)
	equal(t, "claimed with nothing to do", s.claim("third", 1, 15*time.Second), []int64(nil))
}

func testClaimRow(s *tried) {
	t := s.t
	const d = 15 * time.Second
	claim := func(by gate.By, token string) error {
		t.Helper()
		mr, err := s.ClaimRow(t.Context(), by, token, d)
		if err == nil && (mr.Lease != token || !mr.DueAt.Equal(mr.Now.Add(d))) {
			t.Errorf("claimed by %q until %s, should be by %q until %s", mr.Lease, mr.DueAt, token, mr.Now.Add(d))
		}
		return err
	}
	never := s.change(byRef(1), func(mr *gate.MergeRequest) { ask(mr); message(mr, "key") })
	s.due(2, -time.Hour)
	for _, by := range []gate.By{byRef(1), byRef(2)} { // never due, and due
		if err := claim(by, "first"); err != nil {
			t.Errorf("claim: %v", err)
		}
	}
	for _, by := range []gate.By{byRef(1), byMessage("key"), byRequest(1)} {
		if err := claim(by, "second"); !errors.Is(err, gate.ErrBusy) {
			t.Errorf("claim of a leased row: error is %v, should be %v", err, gate.ErrBusy)
		}
	}
	s.change(byLease(never, "first", d), func(*gate.MergeRequest) {})
	if err := claim(byRef(1), ""); err == nil {
		t.Error("a claim without a token went through")
	}
	time.Sleep(d)
	if err := claim(byRef(1), "second"); err != nil {
		t.Errorf("claim after the lease: %v", err)
	}
	s.refuse(byLease(never, "first", d), gate.ErrLeaseLost, func(*gate.MergeRequest) {})
	equal(t, "the others that are due", s.claim("third", 10, d), []int64{2})
}

func testRequest(s *tried) {
	t := s.t
	for range 3 {
		s.change(byRef(1), func(mr *gate.MergeRequest) {
			if mr.Current() != nil {
				end(mr, gate.Superseded)
			}
			ask(mr)
		})
	}
	for number, want := range [][]int{1: {1, 3}, 2: {2, 3}, 3: {3}} {
		if number == 0 {
			continue
		}
		var seqs []int
		for _, r := range s.peek(byRequest(int64(number))).Requests {
			seqs = append(seqs, r.Seq)
		}
		equal(t, fmt.Sprintf("requests by number %d", number), seqs, want)
	}
	s.change(byRequest(1), func(mr *gate.MergeRequest) { mr.Why = "found" })
	equal(t, "reason", s.peek(byRef(1)).Why, "found")
}

func testNextDue(s *tried) {
	t := s.t
	next := func() string {
		t.Helper()
		d, reminder, err := s.NextDue(t.Context(), false)
		if err != nil || reminder != gate.Never {
			t.Fatalf("next due: a reminder in %s, %v", reminder, err)
		}
		if d == gate.Never {
			return "never"
		}
		return d.String()
	}
	equal(t, "next of none", next(), "never")
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.Why = "never due" })
	equal(t, "next of one that is never due", next(), "never")
	s.due(2, time.Hour)
	s.due(3, time.Minute)
	equal(t, "next", next(), "1m0s")
	time.Sleep(time.Minute - time.Microsecond)
	equal(t, "next, nearly there", next(), "1µs")
	time.Sleep(time.Hour + time.Microsecond)
	equal(t, "next, long due", next(), "0s")
	s.claim("token", 2, 15*time.Second)
	equal(t, "next, while leased", next(), "15s")
	s.change(byRef(1), func(mr *gate.MergeRequest) { mr.DueAt = gate.DueFirst() })
	equal(t, "next, with a person waiting", next(), "0s")
}

func testMoved(s *tried) {
	t := s.t
	at := func(number int64, path string, state gate.State) {
		s.change(byRef(number), func(mr *gate.MergeRequest) {
			ask(mr).State = state
			mr.Snapshot = &gate.Snapshot{Path: path, URL: "https://git.example.com/lab/" + path + "/-/merge_requests/1", Title: "<&> 审批"}
		})
	}
	at(1, "payments/api", gate.Pending)
	at(2, "payments/api", gate.MergedHere)
	at(3, "Billing/api", gate.Rejected) // but for the case it has moved already
	at(4, "billing/api", gate.Pending)
	s.change(byRef(5), func(mr *gate.MergeRequest) { mr.Why = "never read" })
	elsewhere := gate.Ref{Forge: "gitlab", Project: 5, Number: 1}
	s.change(gate.By{Ref: &elsewhere}, func(mr *gate.MergeRequest) {
		ask(mr)
		mr.Snapshot = &gate.Snapshot{Path: "payments/api", URL: "https://git.example.com/payments/api/-/merge_requests/1"}
	})
	if err := s.Moved(t.Context(), "gitlab", byRef(1).Ref.Project, "billing/api"); err != nil {
		t.Fatalf("moved: %v", err)
	}
	now := time.Now().UTC()
	for number := range int64(4) {
		mr := s.peek(byRef(number + 1))
		equal(t, fmt.Sprintf("snapshot of %d", number+1), mr.Snapshot,
			&gate.Snapshot{Path: "billing/api", URL: "https://git.example.com/lab/billing/api/-/merge_requests/1", Title: "<&> 审批"})
		due := mr.Wake == 1 && mr.LookAt.Equal(now) && mr.DueAt.Equal(now)
		if moved := number == 0 || number == 2; due != moved || !moved && mr.Wake != 0 {
			t.Errorf("merge request %d: wake %d, look at %s, due at %s", number+1, mr.Wake, mr.LookAt, mr.DueAt)
		}
	}
	if mr := s.peek(byRef(5)); mr.Snapshot != nil {
		t.Errorf("what was never read: %+v", mr.Snapshot)
	}
	if mr := s.peek(gate.By{Ref: &elsewhere}); mr.Snapshot.Path != "payments/api" || mr.Wake != 0 {
		t.Errorf("another project: %+v", mr.Snapshot)
	}
}

func testPolicyAt(s *tried) {
	began := time.Now().UTC().Truncate(time.Millisecond)
	at := func(d time.Duration) gate.Noted {
		s.t.Helper()
		noted, err := s.PolicyAt(s.t.Context(), began.Add(d))
		if err != nil {
			s.t.Fatalf("policy at %s: %v", d, err)
		}
		return noted
	}
	time.Sleep(time.Hour)
	note := func(hash string) {
		s.t.Helper()
		if err := s.Policy(s.t.Context(), hash, "the text of "+hash, false); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(time.Hour)
	}
	for _, hash := range []string{"one", "one", "two", "one"} { // noted after 1, 2, 3 and 4 hours
		note(hash)
	}
	equal(s.t, "before the first", at(time.Hour-time.Millisecond), gate.Noted{})
	first := gate.Noted{Hash: "one", Text: "the text of one", Since: began.Add(time.Hour), Until: began.Add(3 * time.Hour)}
	equal(s.t, "as it came into force", at(time.Hour), first)
	equal(s.t, "noted again", at(150*time.Minute), first)
	equal(s.t, "just before the next", at(3*time.Hour-time.Millisecond), first)
	equal(s.t, "the next", at(3*time.Hour), gate.Noted{Hash: "two", Text: "the text of two", Since: began.Add(3 * time.Hour), Until: began.Add(4 * time.Hour)})
	equal(s.t, "the one that came back, in days to come", at(1000*time.Hour), gate.Noted{Hash: "one", Text: "the text of one", Since: began.Add(4 * time.Hour)})
}

func testPolicy(s *tried) {
	t := s.t
	const leased = 9
	states := []gate.State{
		gate.Pending, gate.Approved, gate.BlockedNow, gate.Rejected, // are followed
		gate.MergedHere, gate.ClosedHere, gate.Expired, gate.Superseded, gate.Withdrawn,
	}
	for i, state := range states {
		s.change(byRef(int64(i)), func(mr *gate.MergeRequest) {
			r := ask(mr)
			r.State, r.PolicyHash = state, "old"
			r.Settled = state != gate.Pending
		})
	}
	s.change(byRef(leased), func(mr *gate.MergeRequest) { ask(mr).PolicyHash = "old"; mr.DueAt = mr.Now })
	s.claim("token", 1, time.Minute)
	s.change(byRef(10), func(mr *gate.MergeRequest) { ask(mr).PolicyHash = "new" })
	s.change(byRef(11), func(mr *gate.MergeRequest) { // rejected, and asked again about
		ask(mr).PolicyHash = "old"
		end(mr, gate.Rejected)
		ask(mr).PolicyHash = "new"
	})
	s.change(byRef(12), func(mr *gate.MergeRequest) { // a person waits
		ask(mr).PolicyHash = "old"
		mr.DueAt = gate.DueFirst()
	})
	s.change(byRef(13), func(mr *gate.MergeRequest) { // comes up later anyway
		ask(mr).PolicyHash = "old"
		mr.DueAt, mr.LookAt = mr.Now.Add(time.Hour), mr.Now.Add(time.Hour)
	})
	if hash, dry, err := s.InForce(t.Context()); hash != "" || dry || err != nil {
		t.Errorf("policy in force, before any was: %q, %v", hash, err)
	}
	time.Sleep(time.Second)
	if err := s.Policy(t.Context(), "new", "rules: []", false); err != nil {
		t.Fatalf("policy: %v", err)
	}
	now := time.Now().UTC()
	for i := range int64(14) {
		mr := s.peek(byRef(i))
		want := gate.MergeRequest{Wake: 1, DueAt: now, LookAt: now}
		switch {
		case i == leased:
			want.DueAt = now.Add(time.Minute - time.Second)
		case i == 12:
			want.DueAt = gate.DueFirst()
		case i == 10, i == 11, i < leased && !states[i].Followed():
			want = gate.MergeRequest{}
		}
		equal(t, fmt.Sprintf("merge request %d", i), gate.MergeRequest{Wake: mr.Wake, DueAt: mr.DueAt, LookAt: mr.LookAt}, want)
	}
	for _, hash := range []string{"new", "old", "new"} { // a policy may come back
		if err := s.Policy(t.Context(), hash, "rules: []", hash == "old"); err != nil {
			t.Fatalf("policy: %v", err)
		}
		inForce, dry, err := s.InForce(t.Context())
		if err != nil {
			t.Fatalf("policy in force: %v", err)
		}
		equal(t, "policy in force", inForce, hash)
		equal(t, "a dry run", dry, hash == "old")
	}
}

func testDryRun(s *tried) {
	t := s.t
	rows := []struct {
		name      string
		dry       bool
		hash      string
		state     gate.State
		settled   bool
		why       string
		rehearsed bool // woken by a dry run under another policy
		resumed   bool // woken by the end of that dry run
	}{
		{name: "real, pending", hash: "new", state: gate.Pending},
		{name: "real, pending, under the policy before", hash: "old", state: gate.Pending, resumed: true},
		{name: "real, with something left to do", hash: "new", state: gate.Superseded, resumed: true},
		{name: "real, approved", hash: "new", state: gate.Approved, resumed: true},
		{name: "real, over", hash: "new", state: gate.MergedHere, settled: true},
		{name: "dry, pending", dry: true, hash: "new", state: gate.Pending, resumed: true},
		{name: "dry, pending, under the policy before", dry: true, hash: "old", state: gate.Pending, rehearsed: true, resumed: true},
		{name: "dry, approved", dry: true, hash: "new", state: gate.Approved, settled: true, resumed: true},
		{name: "dry, expired", dry: true, hash: "new", state: gate.Expired, resumed: true},
		{name: "dry, over", dry: true, hash: "new", state: gate.Withdrawn, settled: true},
		{name: "no rule", why: gate.WhyNoRule + " matches main", rehearsed: true, resumed: true},
	}
	note := func(hash string, dry bool) {
		t.Helper()
		if err := s.Policy(t.Context(), hash, "rules: []", dry); err != nil {
			t.Fatalf("policy: %v", err)
		}
	}
	woken := func(what string, want func(i int) bool) {
		t.Helper()
		for i := range rows {
			by := byRef(int64(i + 1))
			mr := s.peek(by)
			equal(t, what+": "+rows[i].name+" is looked at", !mr.LookAt.IsZero(), want(i))
			s.change(by, func(mr *gate.MergeRequest) { mr.LookAt, mr.DueAt = time.Time{}, time.Time{} })
		}
	}
	note("old", false)
	for i, row := range rows {
		s.change(byRef(int64(i+1)), func(mr *gate.MergeRequest) {
			mr.Why = row.why
			if row.state != "" {
				r := ask(mr)
				r.Dry, r.PolicyHash, r.State, r.Settled = row.dry, row.hash, row.state, row.settled
			}
		})
	}
	note("new", true)
	woken("a dry run", func(i int) bool { return rows[i].rehearsed })
	note("new", true)
	woken("a dry run that goes on", func(i int) bool { return rows[i].rehearsed && rows[i].state != "" })
	note("new", false)
	woken("its end", func(i int) bool { return rows[i].resumed })
}

func (s *tried) mark(list string) gate.Mark {
	s.t.Helper()
	mark, err := s.Mark(s.t.Context(), list)
	if err != nil {
		s.t.Fatalf("mark: %v", err)
	}
	return mark
}

func (s *tried) setMark(list string, from, to gate.Mark) bool {
	s.t.Helper()
	set, err := s.SetMark(s.t.Context(), list, from, to)
	if err != nil {
		s.t.Fatalf("set mark: %v", err)
	}
	return set
}

func testFollowed(s *tried) {
	followed := func(opened time.Duration) string {
		s.t.Helper()
		refs, err := s.Followed(s.t.Context(), opened)
		if err != nil {
			s.t.Fatalf("followed: %v", err)
		}
		var numbers []int64
		for _, ref := range refs {
			numbers = append(numbers, ref.Number)
		}
		slices.Sort(numbers)
		return fmt.Sprint(numbers)
	}
	equal(s.t, "followed, of nothing", followed(0), "[]")
	for number, state := range []gate.State{
		gate.Pending, gate.Approved, gate.BlockedNow, gate.Rejected, gate.ClosedHere, gate.MergedHere, gate.Withdrawn,
	} {
		s.change(byRef(int64(number)+1), func(mr *gate.MergeRequest) {
			r := ask(mr)
			r.OpenedAt = mr.Now
			end(mr, state)
		})
	}
	s.change(byRef(4), func(mr *gate.MergeRequest) { // rejected, asked again, and over
		ask(mr).OpenedAt = mr.Now
		end(mr, gate.Expired)
	})
	s.due(8, 0)
	time.Sleep(time.Minute)
	s.change(byRef(9), func(mr *gate.MergeRequest) { ask(mr).OpenedAt = mr.Now })
	equal(s.t, "followed", followed(0), "[1 2 3 9]")
	equal(s.t, "followed for a minute", followed(time.Minute), "[1 2 3]")
	equal(s.t, "followed for longer", followed(time.Hour), "[]")
}

func testMark(s *tried) {
	const one, other = "changed in groups/one", "changed in groups/other"
	equal(s.t, "the mark of a list that was never read", s.mark(one), gate.Mark(""))
	equal(s.t, "a mark set from another than there is", s.setMark(one, "x", "a"), false)
	equal(s.t, "the first", s.setMark(one, "", "a"), true)
	equal(s.t, "the first again", s.setMark(one, "", "b"), false)
	equal(s.t, "the next", s.setMark(one, "a", "b"), true)
	equal(s.t, "the mark", s.mark(one), gate.Mark("b"))
	equal(s.t, "that of another list", s.mark(other), gate.Mark(""))
	equal(s.t, "the first of another list", s.setMark(other, "", "z"), true)
	equal(s.t, "the mark", s.mark(one), gate.Mark("b"))
}

func testPeople(s *tried) {
	t := s.t
	alice := policy.Identity{Kind: policy.KindEmail, Value: "alice@example.com"}
	nobody := policy.Identity{Kind: policy.KindEmail, Value: "nobody@example.com"}
	number := policy.Identity{Kind: policy.KindMobile, Value: "+8613800138000"}
	stranger := policy.Identity{Kind: policy.KindID, Value: alice.Value} // the kind counts
	ids := []policy.Identity{alice, nobody, number, stranger}
	known := func() map[policy.Identity]gate.Known {
		t.Helper()
		people, err := s.People(t.Context(), ids)
		if err != nil {
			t.Fatalf("people: %v", err)
		}
		return people
	}
	learn := func(keep time.Duration, people map[policy.Identity]gate.Person) {
		t.Helper()
		if err := s.Learn(t.Context(), people, keep); err != nil {
			t.Fatalf("learn: %v", err)
		}
	}
	equal(t, "people at first", known(), map[policy.Identity]gate.Known{})
	learn(time.Hour, nil)
	person := gate.Person{ID: "ou_alice", Name: "Alice"}
	learn(time.Hour, map[policy.Identity]gate.Person{alice: person, number: person})
	learn(time.Minute, map[policy.Identity]gate.Person{nobody: {}})
	found := func(p gate.Person, fresh time.Duration) gate.Known {
		return gate.Known{Person: p, First: "ou_alice", Fresh: fresh}
	}
	equal(t, "people", known(), map[policy.Identity]gate.Known{
		alice: found(person, time.Hour), number: found(person, time.Hour), nobody: {Fresh: time.Minute},
	})

	time.Sleep(time.Minute)
	equal(t, "people later", known(), map[policy.Identity]gate.Known{
		alice: found(person, 59*time.Minute), number: found(person, 59*time.Minute), nobody: {},
	})

	time.Sleep(time.Hour)
	renamed := gate.Person{ID: "ou_alice", Name: "Alice B."}
	learn(time.Hour, map[policy.Identity]gate.Person{alice: renamed})
	equal(t, "people much later", known(), map[policy.Identity]gate.Known{
		alice: found(renamed, time.Hour), number: found(person, -time.Minute), nobody: {Fresh: -time.Hour},
	})

	other := gate.Person{ID: "ou_other", Name: "Alice C."}
	learn(time.Hour, map[policy.Identity]gate.Person{alice: other, number: {}, nobody: other})
	equal(t, "people who are others", known(), map[policy.Identity]gate.Known{
		alice: found(other, time.Hour), number: found(gate.Person{}, time.Hour), nobody: {Person: other, First: "ou_other", Fresh: time.Hour},
	})
	learn(time.Hour, map[policy.Identity]gate.Person{number: other, nobody: {}})
	equal(t, "whoever it was first stays", known(), map[policy.Identity]gate.Known{
		alice: found(other, time.Hour), number: found(other, time.Hour), nobody: {First: "ou_other", Fresh: time.Hour},
	})
}

// hold makes a change that lasts until release is called, and waits for its
// beginning; done gives its error.
func (s *tried) hold(ctx context.Context, f func(mr *gate.MergeRequest)) (release func(), done <-chan error) {
	wait, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Change(ctx, byRef(1), func(mr *gate.MergeRequest) error {
			<-wait
			f(mr)
			return nil
		})
	}()
	synctest.Wait()
	return func() { close(wait) }, ended
}

func testContextBefore(s *tried) {
	t := s.t
	release, first := s.hold(t.Context(), func(mr *gate.MergeRequest) { mr.Wake++ })
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() {
		second <- s.Change(ctx, byRef(1), func(mr *gate.MergeRequest) error { mr.Wake += 100; return nil })
	}()
	synctest.Wait()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) { // while the first still goes on
		t.Errorf("change that was not begun: error is %v, should be %v", err, context.Canceled)
	}
	release()
	if err := <-first; err != nil {
		t.Errorf("change: %v", err)
	}
	s.change(byRef(1), func(mr *gate.MergeRequest) { equal(t, "count", mr.Wake, int64(1)) })

	for _, f := range []func() error{
		func() error { return s.Change(ctx, byRef(1), func(*gate.MergeRequest) error { return nil }) },
		func() error { _, err := s.Claim(ctx, "token", 1, time.Second); return err },
		func() error { return s.Policy(ctx, "hash", "text", false) },
	} {
		if err := f(); !errors.Is(err, context.Canceled) {
			t.Errorf("write with an ended context: error is %v, should be %v", err, context.Canceled)
		}
	}
}

func testContextAfter(s *tried) {
	t := s.t
	ctx, cancel := context.WithCancel(t.Context())
	release, done := s.hold(ctx, func(mr *gate.MergeRequest) { mr.Wake++ })
	cancel()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("a change that was begun was given up on: %v", err)
		release()
	default:
		release()
		if err := <-done; err != nil {
			t.Errorf("change: %v", err)
		}
	}
	equal(t, "count", s.peek(byRef(1)).Wake, int64(1))
}

func testClosed(s *tried) {
	t := s.t
	release, done := s.hold(t.Context(), func(mr *gate.MergeRequest) { mr.Wake++ })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	synctest.Wait()
	release()
	if err := <-done; err != nil {
		t.Errorf("a change under way when the store was closed: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	s.refuse(byRef(1), nil, func(*gate.MergeRequest) { t.Error("the store is closed") })
	if _, err := s.Peek(t.Context(), byRef(1)); err == nil || strings.Contains(err.Error(), "panic") {
		t.Errorf("peek into a closed store: error is %v", err)
	}
}

func testPairSees(a, b *tried) {
	t := a.t
	want := a.change(byRef(1), func(mr *gate.MergeRequest) { ask(mr); message(mr, "key"); mr.DueAt = mr.Now })
	equal(t, "what the other reads", b.peek(byMessage("key")), want)
	b.change(byMessage("key"), func(mr *gate.MergeRequest) { end(mr, gate.Expired) })
	equal(t, "state", a.peek(byRef(1)).Current().State, gate.Expired)
	if d, _, err := b.NextDue(t.Context(), false); d != 0 || err != nil {
		t.Errorf("next due: %v, %v", d, err)
	}
}

func testPairSerial(a, b *tried) {
	t := a.t
	const callers, changes = 3, 10
	var all sync.WaitGroup
	for range callers {
		all.Go(func() { a.count(changes) })
		all.Go(func() { b.count(changes) })
	}
	all.Wait()
	equal(t, "count", a.peek(byRef(1)).Wake, int64(2*callers*changes))
}

func testPairLog(a, b *tried) {
	t := a.t
	var log ledger
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() { log.fill(a, int64(i), 10) })
		all.Go(func() { log.fill(b, int64(i+2), 10) })
	}
	all.Wait()
	log.check(t)
}

func testPairClaim(a, b *tried) {
	t := a.t
	const rows = 20
	for i := range int64(rows) {
		a.due(i, 0)
	}
	var mu sync.Mutex
	times := make(map[int64]int)
	var all sync.WaitGroup
	for i, s := range []*tried{a, b, a, b} {
		all.Go(func() {
			for {
				numbers := s.claim(fmt.Sprint("token", i), 3, time.Minute)
				if len(numbers) == 0 {
					return
				}
				mu.Lock()
				for _, n := range numbers {
					times[n]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(times) != rows {
		t.Errorf("%d of %d rows were claimed", len(times), rows)
	}
	for n, times := range times {
		if times != 1 {
			t.Errorf("merge request %d was claimed %d times", n, times)
		}
	}
}

func testPairMark(a, b *tried) {
	const list = "changed in groups/one"
	var moved [2]int
	var group sync.WaitGroup
	for i, s := range []*tried{a, b} {
		group.Go(func() {
			for range 50 {
				from := s.mark(list)
				if s.setMark(list, from, from+"x") {
					moved[i]++
				}
			}
		})
	}
	group.Wait()
	equal(a.t, "the mark, one longer with each move", len(a.mark(list)), moved[0]+moved[1])
	equal(a.t, "what the other sees", b.mark(list), a.mark(list))
}

func testPairLeaseLost(a, b *tried) {
	t := a.t
	mr := a.due(1, 0)
	a.claim("a", 1, 15*time.Second)
	time.Sleep(15 * time.Second)
	equal(t, "claimed by the other", b.claim("b", 1, 15*time.Second), []int64{1})
	a.refuse(byLease(mr, "a", 15*time.Second), gate.ErrLeaseLost, func(mr *gate.MergeRequest) { mr.Why = "paused" })
	b.change(byLease(mr, "b", 15*time.Second), func(mr *gate.MergeRequest) { equal(t, "reason", mr.Why, "") })
}
