package gatetest

import (
	"fmt"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// waits opens a request with a card that has just reached somebody, who is to be
// reminded of it after a while (0: never).
func (s *tried) waits(number int64, who string, after time.Duration, change ...func(r *gate.Request, m *gate.Message)) *gate.MergeRequest {
	s.t.Helper()
	return s.change(byRef(number), func(mr *gate.MergeRequest) {
		r := ask(mr)
		r.Rule.RemindAfter, r.Rule.AllowSelfApproval = after, true
		r.ExpiresAt = mr.Now.Add(24 * time.Hour)
		r.Panel.Approvers = []gate.Member{{Person: gate.Person{ID: who}}}
		mr.Snapshot = &gate.Snapshot{
			Path: "payments/api", URL: fmt.Sprintf("https://gitlab.example.com/%d", number), Title: fmt.Sprint("Title ", number),
		}
		m := &gate.Message{Key: fmt.Sprint("key", number), Kind: gate.KindCard, To: gate.Recipient{ID: who}, AskedAt: mr.Now}
		r.Messages = []*gate.Message{m}
		for _, f := range change {
			f(r, m)
		}
	})
}

// decided has the person decide.
func (s *tried) decided(number int64, who string) {
	s.t.Helper()
	s.change(byRef(number), func(mr *gate.MergeRequest) {
		r := mr.Current()
		r.Decisions = []*gate.Decision{{Person: who, Verdict: gate.Approve, Entry: enter(mr, "yes")}}
	})
}

// remind takes a reminder of what is real for a minute; nil: none is due.
func (s *tried) remind(lines int) *gate.Reminder {
	s.t.Helper()
	return s.remindAs(false, lines)
}

// remindAs takes one of what is dry or of what is real.
func (s *tried) remindAs(dry bool, lines int) *gate.Reminder {
	s.t.Helper()
	r, err := s.Remind(s.t.Context(), dry, time.Minute, lines)
	if err != nil {
		s.t.Fatalf("remind: %v", err)
	}
	return r
}

func (s *tried) reminded(r *gate.Reminder, again time.Duration) {
	s.t.Helper()
	var entries []*gate.Entry
	for _, w := range r.Listed {
		entries = append(entries, &gate.Entry{Kind: gate.EntryReminder, Request: w.Request, Data: []byte("{}")})
	}
	if err := s.Reminded(s.t.Context(), r, again, entries...); err != nil {
		s.t.Fatalf("reminded: %v", err)
	}
}

// reminderIn checks when the next reminder of what is real is due.
func (s *tried) reminderIn(want time.Duration) {
	s.t.Helper()
	s.reminderAsIn(false, want)
}

// reminderAsIn checks it for who rehearses, or does not.
func (s *tried) reminderAsIn(dry bool, want time.Duration) {
	s.t.Helper()
	_, d, err := s.NextDue(s.t.Context(), dry)
	if err != nil {
		s.t.Fatalf("next due: %v", err)
	}
	equal(s.t, fmt.Sprintf("next reminder, dry %t", dry), d, want)
}

// noReminder checks that none is due.
func noReminder(t *testing.T, r *gate.Reminder) {
	t.Helper()
	if r != nil {
		t.Fatalf("a reminder that is not due: %+v", r)
	}
}

func testRemind(s *tried) {
	t := s.t
	s.reminderIn(gate.Never)
	noReminder(t, s.remind(10))
	s.waits(1, "ou_alice", time.Hour)
	time.Sleep(30 * time.Minute)
	second := s.waits(2, "ou_alice", time.Hour)
	s.waits(3, "ou_alice", 0) // nobody is reminded of it, but it waits, too
	s.waits(4, "ou_bob", time.Hour)
	s.reminderIn(30 * time.Minute)
	time.Sleep(30*time.Minute - time.Millisecond)
	noReminder(t, s.remind(10))
	time.Sleep(time.Millisecond)
	s.reminderIn(0)

	r := s.remind(10)
	if r == nil {
		t.Fatal("no reminder")
	}
	equal(t, "whom", r.To, "ou_alice")
	equal(t, "requests", r.Requests, []int64{1, 2, 3})
	equal(t, "one of them", r.Listed[1], gate.Waiting{
		Request: 2, Ref: second.Ref, Path: "payments/api", URL: "https://gitlab.example.com/2", Title: "Title 2",
		AskedAt: second.Current().Messages[0].AskedAt, ExpiresAt: second.Current().ExpiresAt,
	})
	if r.Key == "" || r.Tries != 0 || !r.Now.Equal(time.Now()) || !r.MadeAt.Equal(r.Now) {
		t.Errorf("reminder %+v", r)
	}
	equal(t, "when it was reminded of", s.peek(byRef(2)).Current().Messages[0].RemindedAt, r.Now)
	noReminder(t, s.remind(10))
	s.reminderIn(time.Minute) // till it may be taken by others
	s.reminded(r, 0)
	s.reminded(r, 0) // by somebody who had it before
	s.reminderIn(30 * time.Minute)
	equal(t, "number of the next entry", s.change(byRef(1), func(mr *gate.MergeRequest) { enter(mr, "next") }).Entries[0].Number, int64(4))

	time.Sleep(30 * time.Minute)
	if r = s.remind(10); r == nil || r.To != "ou_bob" || len(r.Requests) != 1 {
		t.Fatalf("Bob's reminder is %+v", r)
	}
	s.reminded(r, 0)
	time.Sleep(20 * time.Hour)
	noReminder(t, s.remind(10))
	s.reminderIn(gate.Never)
}

func testRemindAgain(s *tried) {
	t := s.t
	s.waits(1, "ou_alice", time.Hour)
	s.waits(2, "ou_alice", time.Hour)
	time.Sleep(time.Hour)
	first := s.remind(10)
	if first == nil {
		t.Fatal("no reminder")
	}
	time.Sleep(time.Minute - time.Millisecond)
	noReminder(t, s.remind(10))
	time.Sleep(time.Millisecond)
	second := s.remind(10) // whoever had the first has died
	if second == nil || second.Key != first.Key || second.Tries != 0 {
		t.Fatalf("second %+v", second)
	}
	s.reminded(second, 5*time.Minute)
	s.reminderIn(5 * time.Minute)
	s.decided(1, "ou_alice")
	s.waits(3, "ou_alice", time.Minute)
	time.Sleep(4 * time.Minute)
	noReminder(t, s.remind(10)) // one at a time
	s.reminderIn(time.Minute)
	time.Sleep(time.Minute)
	third := s.remind(10)
	if third == nil || third.Key != first.Key || third.Tries != 1 {
		t.Fatalf("third %+v", third)
	}
	equal(t, "what still waits of it", third.Requests, []int64{2})
	s.reminded(third, 0)
	s.reminderIn(0)
	last := s.remind(10)
	if last == nil || last.Key == first.Key {
		t.Fatalf("last %+v", last)
	}
	equal(t, "what came later", last.Requests, []int64{3})
	s.decided(3, "ou_alice")
	s.reminded(last, time.Minute)
	time.Sleep(time.Minute)
	if last = s.remind(10); last == nil || len(last.Requests) != 0 {
		t.Fatalf("of nothing: %+v", last)
	}
	if err := s.Reminded(t.Context(), last, 0); err != nil {
		t.Error(err)
	}
	s.reminderIn(gate.Never)
}

func testRemindMuch(s *tried) {
	t := s.t
	const many = 450
	for i := range int64(many) {
		s.waits(many-i, "ou_alice", time.Hour)
		time.Sleep(time.Second)
	}
	time.Sleep(time.Hour)
	r := s.remind(3)
	if r == nil || len(r.Requests) != many || len(r.Listed) != 3 {
		t.Fatalf("reminder %+v", r)
	}
	for i, w := range r.Listed {
		equal(t, "number", w.Ref.Number, int64(many-i))
		equal(t, "request", w.Request, int64(i+1))
	}
	s.reminded(r, 0)
	noReminder(t, s.remind(3))
}

// testRemindDry: who rehearses reminds of what is rehearsed, and nobody else does.
// Neither waits for the other.
func testRemindDry(s *tried) {
	t := s.t
	dry := func(r *gate.Request, _ *gate.Message) { r.Dry = true }
	s.waits(1, "ou_alice", time.Hour, dry)
	s.reminderIn(gate.Never)
	s.reminderAsIn(true, time.Hour)
	time.Sleep(time.Hour)
	s.reminderIn(gate.Never)
	s.reminderAsIn(true, 0)
	noReminder(t, s.remind(10))
	s.waits(2, "ou_alice", 0)
	rehearsed := s.remindAs(true, 10)
	if rehearsed == nil {
		t.Fatal("no reminder")
	}
	equal(t, "what is rehearsed", rehearsed.Requests, []int64{1})
	s.waits(3, "ou_alice", time.Second)
	s.reminderAsIn(true, time.Minute)
	s.reminderIn(time.Second)
	time.Sleep(time.Second)
	s.reminderIn(0)
	real := s.remind(10) // while the other is on its way
	if real == nil || real.Key == rehearsed.Key {
		t.Fatalf("reminder %+v", real)
	}
	equal(t, "what is real", real.Requests, []int64{2, 3})

	// Whoever had these has died, and a dry run goes on.
	s.waits(4, "ou_alice", time.Second, dry)
	time.Sleep(time.Hour)
	s.reminderAsIn(true, 0)
	again := s.remindAs(true, 10)
	if again == nil || again.Key != rehearsed.Key {
		t.Fatalf("reminder %+v", again)
	}
	s.reminded(again, 0)
	s.reminderAsIn(true, 0)
	rehearsed = s.remindAs(true, 10)
	if rehearsed == nil {
		t.Fatal("no reminder")
	}
	equal(t, "what else is rehearsed", rehearsed.Requests, []int64{4})
	time.Sleep(time.Hour)
	s.reminderIn(0)
	if r := s.remind(10); r == nil || r.Key != real.Key { // the dry one ends with the dry run
		t.Fatalf("reminder %+v", r)
	}
	s.reminded(real, 0)
	noReminder(t, s.remind(10))
	s.reminderIn(gate.Never)
	s.reminderAsIn(true, gate.Never)
}

func testRemindNobody(s *tried) {
	t := s.t
	for i, change := range []func(r *gate.Request, m *gate.Message){
		func(r *gate.Request, _ *gate.Message) { r.State = gate.Approved },
		func(r *gate.Request, _ *gate.Message) { r.State = gate.Expired },
		func(r *gate.Request, _ *gate.Message) { r.Panel.Approvers = nil },
		func(r *gate.Request, _ *gate.Message) {
			r.Rule.AllowSelfApproval, r.Panel.Author = false, gate.Person{ID: "ou_alice"}
		},
		func(_ *gate.Request, m *gate.Message) { m.To.Group = true },
		func(_ *gate.Request, m *gate.Message) { m.Kind = gate.KindNotice },
		func(_ *gate.Request, m *gate.Message) { m.AskedAt = time.Time{} },
		func(_ *gate.Request, m *gate.Message) { m.Gone = "left the company" },
		func(_ *gate.Request, m *gate.Message) { m.RemindedAt = m.AskedAt },
		func(r *gate.Request, m *gate.Message) { r.ExpiresAt = m.AskedAt.Add(time.Hour) },
	} {
		s.waits(int64(i+1), "ou_alice", time.Hour, change)
	}
	s.reminderIn(gate.Never)
	time.Sleep(2 * time.Hour)
	noReminder(t, s.remind(10))

	// What has expired is not mentioned, also if nobody has noticed.
	s.waits(100, "ou_alice", time.Minute)
	time.Sleep(48 * time.Hour)
	if r := s.remind(10); r == nil || len(r.Requests) != 0 {
		t.Errorf("reminder %+v", r)
	}
}

func testPairRemind(a, b *tried) {
	t := a.t
	a.waits(1, "ou_alice", time.Hour)
	b.waits(2, "ou_alice", time.Hour)
	time.Sleep(time.Hour)
	one := a.remind(10)
	if one == nil || len(one.Requests) != 2 {
		t.Fatalf("reminder %+v", one)
	}
	noReminder(t, b.remind(10))
	a.reminded(one, 0)
	noReminder(t, b.remind(10))
	b.reminderIn(gate.Never)
}
